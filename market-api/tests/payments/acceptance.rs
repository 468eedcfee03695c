//! Acceptance of refunds: amounts, request ids, races.

use futures_util::future::{join, join_all};
use market_api::payments::{Payments, PaymentsParts, RefundError, RefundOrder, RequestId};
use market_api::trades::PurchaseError;
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::shop::{Busy, unless_busy};
use crate::support::On;
use crate::till::Till;

on_both!(
    defect_2_no_refund_adds_to_the_cash,
    defect_5_request_id_of_a_refused_refund_is_free,
    one_request_in_parallel_is_one_refund,
    refunds_and_purchases_share_the_cash,
    refunds_of_a_day_are_bounded,
    nothing_is_refunded_without_a_gateway,
);

impl Busy for RefundError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_busy())
    }
}

async fn defect_2_no_refund_adds_to_the_cash(on: On) {
    let till = Till::open(on).await;
    till.shop.members(2, 1_000).await;
    till.charge(1, "order-1", 500).await;
    for amount in [0, -1, -1_000, i64::MIN, 1_501, 1_000_000_000_001, i64::MAX] {
        let refused = till.refund(1, "r", amount).await;
        assert_eq!(refused, Err(RefundError::Amount), "{amount}");
    }
    for request in ["", &"x".repeat(65), "a\nb", "\0"] {
        let refused = till.refund(1, request, 100).await;
        assert_eq!(refused, Err(RefundError::RequestId), "{request:?}");
    }
    assert_eq!(till.shop.cash(1).await, 1_500);
    for table in ["refund", "refund_leg"] {
        let count = format!("select count(*) from {table}");
        assert_eq!(till.shop.market.int(&count).await, 0);
    }
    till.refund(1, &"환".repeat(64), 1_500).await.unwrap();
    till.settle(1).await;
    assert_eq!(till.shop.cash(1).await, 0);
    till.close().await;
}

async fn defect_5_request_id_of_a_refused_refund_is_free(on: On) {
    let till = Till::open(on).await;
    till.shop.members(2, 1_000).await;
    assert_eq!(till.refund(1, "r", 1_001).await, Err(RefundError::Amount));
    let first = till.refund(1, "r", 400).await.unwrap();
    till.settle(60).await;
    // It is not forgotten after five minutes, and its answer is the first one.
    till.refund(1, "other", 100).await.unwrap();
    let year = std::time::Duration::from_secs(365 * 24 * 3_600);
    till.shop.market.base.clock.advance(year);
    assert_eq!(till.refund(1, "r", 400).await, Ok(first));
    for amount in [399, 401] {
        let refused = till.refund(1, "r", amount).await;
        assert_eq!(refused, Err(RefundError::Repeated), "{amount}");
    }
    // Another member's request is another one.
    till.refund(2, "r", 1_000).await.unwrap();
    till.settle(1).await;
    assert_eq!((till.shop.cash(1).await, till.shop.cash(2).await), (500, 0));
    till.close().await;
}

async fn one_request_in_parallel_is_one_refund(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 10_000).await;
    till.charge(1, "order-1", 5_000).await;
    let order = RefundOrder {
        member: member(1),
        request: RequestId::try_from("r".to_owned()).unwrap(),
        amount: Won::new(7_000),
    };
    let refunds = (0..50).map(|_| {
        let (payments, order) = (&till.payments, &order);
        unless_busy(async move || payments.refund(order.clone()).await)
    });
    let mut answers: Vec<_> = join_all(refunds).await;
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(answers[0].as_ref().unwrap().remain, Won::new(8_000));
    till.settle(1).await;
    assert_eq!(till.refunds().await, ["DONE 7000 0"]);
    assert_eq!(till.shop.cash(1).await, 8_000);
    till.close().await;
}

/// Twenty refunds and twenty purchases of 1,000 won each, of 10,000 won: ten of them succeed.
async fn refunds_and_purchases_share_the_cash(on: On) {
    let till = Till::open(on).await;
    till.shop.members(2, 4_000).await;
    till.charge(2, "order-1", 6_000).await;
    let offer = till
        .shop
        .market
        .offer_as(1, 20_000, 20, true)
        .await
        .unwrap();
    let refunds = join_all((0..20).map(async |nth| {
        let request = nth.to_string();
        let refund = || till.refund(2, &request, 1_000);
        match unless_busy(async || refund().await).await {
            Ok(_) => true,
            Err(RefundError::Amount) => false,
            Err(error) => panic!("{error:?}"),
        }
    }));
    let buys = join_all(
        (0..20).map(async |_| match till.shop.buy(2, offer, Some(1)).await {
            Ok(_) => true,
            Err(PurchaseError::CashShort(_)) => false,
            Err(error) => panic!("{error:?}"),
        }),
    );
    let (refunds, buys) = join(refunds, buys).await;
    let done = |outcomes: &[bool]| outcomes.iter().filter(|done| **done).count();
    assert_eq!(done(&refunds) + done(&buys), 10);
    till.settle(30).await;
    assert_eq!(till.shop.cash(2).await, 0);
    let open = "select count(*) from refund where state = 'OPEN'";
    assert_eq!(till.shop.market.int(open).await, 0);
    till.close().await;
}

async fn refunds_of_a_day_are_bounded(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 10_000).await;
    for nth in 0..50 {
        till.refund(1, &nth.to_string(), 10).await.unwrap();
    }
    assert_eq!(till.refund(1, "50", 10).await, Err(RefundError::TooMany));
    // What was accepted is still answered.
    till.refund(1, "7", 10).await.unwrap();
    let day = std::time::Duration::from_secs(24 * 3_600);
    till.shop.market.base.clock.advance(day);
    till.refund(1, "50", 10).await.unwrap();
    till.settle(10).await;
    assert_eq!(till.shop.cash(1).await, 9_490);
    till.close().await;
}

async fn nothing_is_refunded_without_a_gateway(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 1_000).await;
    let base = &till.shop.market.base;
    let bare = Payments::new(PaymentsParts {
        db: base.db.clone(),
        gateway: None,
        payouts: None,
        metrics: std::sync::Arc::clone(&base.metrics),
        drain: base.drain.clone(),
    });
    let order = RefundOrder {
        member: member(1),
        request: RequestId::try_from("r".to_owned()).unwrap(),
        amount: Won::new(100),
    };
    assert_eq!(bare.refund(order).await, Err(RefundError::NoGateway));
    assert_eq!(till.shop.cash(1).await, 1_000);
    till.close().await;
}
