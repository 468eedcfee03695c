//! What operators see and do, with a gateway that has books of its own.

use fakes::toss::How;
use market_api::admin;
use market_api::gateway::{CancelRequest, Gateway as _};
use market_api::payments::operate::{self, Filter};
use market_api::payments::{PaymentBacklog, backlog};
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::support::On;
use crate::till::{Till, order_id};

on_both!(
    settled_mismatch_needs_no_attention,
    recheck_takes_over_what_was_cancelled_at_the_gateway,
);

const ALL: Filter = Filter {
    state: None,
    member: None,
    limit: 100,
};

impl Till {
    async fn listed(&self) -> Vec<String> {
        let db = &self.shop.market.base.db;
        operate::list(db, ALL).await.unwrap()
    }

    async fn shown(&self, item: &str) -> Vec<String> {
        let db = &self.shop.market.base.db;
        let item = item.parse().unwrap();
        operate::show(db, &item).await.unwrap()
    }

    async fn backlog(&self) -> PaymentBacklog {
        backlog(&self.shop.market.base.db).await.unwrap()
    }

    async fn recheck(&self, item: &str) {
        let db = &self.shop.market.base.db;
        let item = item.parse().unwrap();
        admin::recheck(db, vec![item]).await.unwrap();
    }
}

/// Its state is for ever, so a mark on it would be, too.
async fn settled_mismatch_needs_no_attention(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let saved = till
        .payments
        .save_order(member(1), order_id("order-a"), Won::new(1_000));
    saved.await.unwrap();
    let cheap = till.toss.authorize("order-a", 900, How::Card);
    till.toss.capture(&cheap);
    till.recheck("order-a").await;
    assert_eq!(till.payments.run_due().await, Ok(1));
    let open = till.listed().await;
    assert!(open[0].contains(" state=MISMATCH "), "{open:?}");
    assert!(open[1].contains(" captured=900 canceled=0 "), "{open:?}");
    let backlog = till.backlog().await;
    assert_eq!((backlog.needs_attention, backlog.suspense), (1, 900));
    till.settle(1).await;
    let nothing = "charge: 0, refund: 0, leg: 0, suspense: 0, difference: 0";
    assert_eq!(till.listed().await, [nothing]);
    let backlog = till.backlog().await;
    assert_eq!((backlog.needs_attention, backlog.suspense), (0, 0));
    let shown = till.shown("order-a").await;
    for part in ["cancel ", "journal=suspense ", "journal=suspense_cancel "] {
        assert!(shown.iter().any(|line| line.contains(part)), "{shown:?}");
    }
    till.close().await;
}

/// Without a webhook, nothing else would query a charge that is captured.
async fn recheck_takes_over_what_was_cancelled_at_the_gateway(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    let charge = till.charge(1, "order-a", 3_000).await;
    till.work().await;
    let request = CancelRequest {
        key: charge.key.clone().try_into().unwrap(),
        amount: Won::new(1_000),
        reason: "by hand".to_owned(),
        idempotency_key: "by-hand".to_owned().try_into().unwrap(),
    };
    till.gateway.cancel(&request).await.unwrap();
    assert_eq!(till.payments.run_due().await, Ok(0));
    till.recheck("charge:1").await;
    assert_eq!(till.payments.run_due().await, Ok(1));
    assert_eq!(till.shop.cash(1).await, 2_000);
    let shown = till.shown("charge:1").await;
    assert!(shown[0].contains(" reversed=1000 "), "{shown:?}");
    assert!(
        shown.iter().any(|line| line.contains("journal=reversal ")),
        "{shown:?}"
    );
    till.close().await;
}
