//! Purchases of mobile data from one offer.

use std::time::Duration;

use market_api::cash::CashShort;
use market_api::plans::BuyError;
use market_api::trades::{Fees, PurchaseError};

use crate::fixtures::new_data;
use crate::on_both;
use crate::shop::{Shop, order};
use crate::support::On;

on_both!(
    whole_offer_moves_cash_data_and_state,
    parts_of_a_split_offer_cost_the_unit_price,
    fee_is_rounded_down_and_stays_with_the_site,
    refusals_change_nothing,
    price_seen_is_compared,
    raise_is_refused_for_a_minute_without_the_price,
    sales_income_can_be_spent_at_once,
    one_whole_offer_is_sold_once_to_a_hundred_buyers,
    one_wallet_pays_three_of_fifty,
);

async fn whole_offer_moves_cash_data_and_state(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 3_000, 15, false).await.unwrap();
    let trade = shop.buy(2, offer, None).await.unwrap();
    assert_eq!((shop.cash(1).await, shop.cash(2).await), (13_000, 7_000));
    let state = "select count(*) from product where state = 'SOLD_OUT' and units_sold = 15";
    assert_eq!(shop.market.int(state).await, 1);
    let bought = "select bought from member_month where member_id = 2";
    assert_eq!(shop.market.int(bought).await, 15);
    let sale = format!("select count(*) from trade where purchase_id = {trade} and price = 3000");
    assert_eq!(shop.market.int(&sale).await, 1);
    let events =
        "select count(*) from outbox where kind in ('trade.completed', 'product.sold_out')";
    assert_eq!(shop.market.int(events).await, 2);
    assert_eq!(shop.buy(2, offer, None).await, Err(PurchaseError::SoldOut));
    shop.verify().await;
}

async fn parts_of_a_split_offer_cost_the_unit_price(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 10_000).await;
    // Defect 8: 2.0 GB for 101 won cost 6 won for 0.1 GB, whatever is left.
    let offer = shop.market.offer_as(1, 101, 20, true).await.unwrap();
    shop.buy(2, offer, Some(17)).await.unwrap();
    assert_eq!(shop.cash(2).await, 10_000 - 17 * 6);
    let over = shop.buy(3, offer, Some(4)).await;
    assert_eq!(over, Err(PurchaseError::Remaining));
    shop.buy(3, offer, Some(3)).await.unwrap();
    assert_eq!(shop.cash(3).await, 10_000 - 3 * 6);
    assert_eq!(shop.cash(1).await, 10_000 + 20 * 6);
    shop.verify().await;
}

async fn fee_is_rounded_down_and_stays_with_the_site(on: On) {
    let fees = Fees {
        data: 333,
        spots: 0,
    };
    let shop = Shop::with_fees(on, fees).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 1_000, 5, false).await.unwrap();
    shop.buy(2, offer, None).await.unwrap();
    assert_eq!((shop.cash(1).await, shop.cash(2).await), (10_967, 9_000));
    let income = "select -amount from posting where account = 'fee_income'";
    assert_eq!(shop.market.int(income).await, 33);
    shop.verify().await;
}

async fn refusals_change_nothing(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 1_000).await;
    let whole = shop.market.offer_as(1, 600, 10, false).await.unwrap();
    let split = shop.market.offer_as(1, 2_000, 10, true).await.unwrap();
    let place = crate::fixtures::SEOUL;
    let spot = shop.market.spot(1, 500, place).await;
    let buy = async |buyer, offer, units| shop.buy(buyer, offer, units).await.unwrap_err();
    assert_eq!(buy(2, 99, None).await, PurchaseError::ProductUnknown);
    assert_eq!(buy(2, spot, None).await, PurchaseError::ItemUnknown);
    assert_eq!(buy(1, whole, None).await, PurchaseError::OwnProduct);
    assert_eq!(buy(2, whole, Some(5)).await, PurchaseError::Remaining);
    // Defect 12: a part of a split offer without an amount is refused, not a crash.
    assert_eq!(buy(2, split, None).await, PurchaseError::Amount);
    assert_eq!(buy(2, split, Some(0)).await, PurchaseError::Amount);
    assert_eq!(buy(2, split, Some(11)).await, PurchaseError::Remaining);
    assert_eq!(buy(2, split, Some(6)).await, CashShort.into());
    let mut other = order(whole, None);
    other.item = "77".parse().unwrap();
    let other = shop.buy_as(2, other, None).await;
    assert_eq!(other, Err(PurchaseError::ItemUnknown));
    shop.market
        .sql(vec![
            "update member_month set bought = 0".to_owned(),
            "insert into member_month (member_id, month, providing, bought) \
             values (3, 202611, 100, 11)"
                .to_owned(),
        ])
        .await;
    assert_eq!(buy(3, whole, None).await, BuyError::Limit.into());
    shop.market
        .sql(vec![
            "delete from member_month where member_id = 3".to_owned(),
        ])
        .await;
    let deleted = crate::fixtures::product(split);
    let seller = crate::fixtures::member(1);
    shop.market.products.delete(seller, deleted).await.unwrap();
    assert_eq!(buy(2, split, Some(1)).await, PurchaseError::Unavailable);
    shop.market
        .base
        .clock
        .advance(Duration::from_secs(16 * 24 * 3_600));
    assert_eq!(buy(2, whole, None).await, PurchaseError::Unavailable);
    let traces = "select (select count(*) from trade) + (select count(*) from journal \
                  where kind = 'trade') + (select count(*) from idempotency)";
    assert_eq!(shop.market.int(traces).await, 0);
    shop.verify().await;
}

async fn price_seen_is_compared(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 10, true).await.unwrap();
    let mut seen = order(offer, Some(5));
    seen.price = Some(shared::money::Won::new(999));
    let refused = shop.buy_as(2, seen, None).await;
    let Err(PurchaseError::PriceChanged(terms)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((terms.price.get(), terms.unit_price.get()), (1_000, 200));
    seen.price = Some(terms.price);
    shop.buy_as(2, seen, None).await.unwrap();
    shop.verify().await;
}

async fn raise_is_refused_for_a_minute_without_the_price(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 10, false).await.unwrap();
    let raised = new_data(1, 2_500, 10, false);
    shop.market.edit(offer, raised).await.unwrap();
    let refused = shop.buy(2, offer, None).await;
    assert!(
        matches!(refused, Err(PurchaseError::PriceChanged(_))),
        "{refused:?}"
    );
    shop.market.base.clock.advance(Duration::from_secs(60));
    shop.buy(2, offer, None).await.unwrap();
    assert_eq!(shop.cash(2).await, 7_500);
    shop.verify().await;
}

async fn sales_income_can_be_spent_at_once(on: On) {
    let shop = Shop::open(on).await;
    shop.market.members(3, 100).await;
    shop.give(2, 5_000).await;
    let first = shop.market.offer_as(1, 5_000, 10, false).await.unwrap();
    let second = shop.market.offer_as(3, 5_000, 10, false).await.unwrap();
    shop.buy(2, first, None).await.unwrap();
    shop.buy(1, second, None).await.unwrap();
    let cash = (shop.cash(1).await, shop.cash(2).await, shop.cash(3).await);
    assert_eq!(cash, (0, 0, 5_000));
    shop.verify().await;
}

async fn one_whole_offer_is_sold_once_to_a_hundred_buyers(on: On) {
    let shop = Shop::open(on).await;
    shop.members(101, 5_000).await;
    let offer = shop.market.offer_as(1, 3_000, 20, false).await.unwrap();
    let buys = (2..=101).map(|buyer| shop.buy(buyer, offer, None));
    let results = futures_util::future::join_all(buys).await;
    let (bought, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(bought.len(), 1);
    assert!(
        refused.iter().all(|no| *no == Err(PurchaseError::SoldOut)),
        "{refused:?}"
    );
    shop.verify().await;
}

async fn one_wallet_pays_three_of_fifty(on: On) {
    let shop = Shop::open(on).await;
    shop.members(51, 10_000).await;
    let mut offers = Vec::new();
    for seller in 2..=51 {
        offers.push(shop.market.offer_as(seller, 3_000, 1, false).await.unwrap());
    }
    let buys = offers.iter().map(|offer| shop.buy(1, *offer, None));
    let results = futures_util::future::join_all(buys).await;
    let (bought, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(bought.len(), 3);
    assert!(
        refused.iter().all(|no| *no == Err(CashShort.into())),
        "{refused:?}"
    );
    assert_eq!(shop.cash(1).await, 1_000);
    shop.verify().await;
}
