//! Purchases of quoted combinations.

use market_api::cash::CashShort;
use market_api::plans::BuyError;
use market_api::trades::{Outdated, PurchaseError};

use crate::fixtures::new_data;
use crate::on_both;
use crate::shop::{Shop, combination};
use crate::support::On;

on_both!(
    combination_is_bought_as_quoted,
    defect_1_the_request_sets_no_price_amount_or_product,
    outdated_quote_changes_nothing,
    whole_and_part_beyond_the_limits_are_refused,
    concurrent_combinations_buy_each_offer_once,
);

async fn combination_is_bought_as_quoted(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 10_000).await;
    let whole = shop.market.offer_as(1, 500, 5, false).await.unwrap();
    let split = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    let other = shop.market.offer_as(2, 330, 3, true).await.unwrap();
    // In another order than that of the locks.
    let parts = [(other, 2), (split, 4), (whole, 5)];
    let order = combination(&parts, 11, 500 + 400 + 220).unwrap();
    let trade = shop.buy_scrap(3, order).await.unwrap();
    let cash = (shop.cash(1).await, shop.cash(2).await, shop.cash(3).await);
    assert_eq!(cash, (10_900, 10_220, 8_880));
    // Defect 18: one row in the history, three details.
    let details = format!("select count(*) from trade_detail where trade_id = {trade}");
    assert_eq!(shop.market.int(&details).await, 3);
    let sales = format!("select count(*) from trade where purchase_id = {trade}");
    assert_eq!(shop.market.int(&sales).await, 3);
    let credits = "select count(*) from credit c join journal j on j.id = c.journal_id where j.kind = 'trade'";
    assert_eq!(shop.market.int(credits).await, 2);
    shop.verify().await;
}

async fn defect_1_the_request_sets_no_price_amount_or_product(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let one = shop.market.offer_as(1, 2_000, 10, true).await.unwrap();
    let own = shop.market.offer_as(2, 2_000, 10, true).await.unwrap();
    let place = crate::fixtures::SEOUL;
    let spot = shop.market.spot(1, 500, place).await;
    let buy = async |parts: &[(i64, u16)], units, price| match combination(parts, units, price) {
        Ok(order) => shop.buy_scrap(2, order).await.unwrap_err(),
        Err(refused) => refused,
    };
    let outdated = PurchaseError::QuoteOutdated;
    assert_eq!(buy(&[(one, 10)], 10, 1).await, outdated(Outdated::Price));
    assert_eq!(
        buy(&[(one, 10)], 10, 3_000).await,
        outdated(Outdated::Price)
    );
    assert_eq!(
        buy(&[(one, 11)], 11, 2_200).await,
        outdated(Outdated::Remaining)
    );
    assert_eq!(buy(&[(own, 1)], 1, 200).await, PurchaseError::OwnProduct);
    assert_eq!(buy(&[(spot, 1)], 1, 500).await, PurchaseError::ItemUnknown);
    assert_eq!(buy(&[(99, 1)], 1, 500).await, PurchaseError::ProductUnknown);
    for parts in [
        vec![],
        vec![(one, 1), (one, 1)],
        vec![(one, 0)],
        vec![(one, 1)],
    ] {
        assert_eq!(buy(&parts, 2, 400).await, PurchaseError::Combination);
    }
    let many: Vec<_> = (1..=21).map(|id| (id, 1)).collect();
    assert_eq!(buy(&many, 21, 400).await, PurchaseError::Combination);
    assert_eq!(shop.cash(2).await, 10_000);
    shop.verify().await;
}

async fn outdated_quote_changes_nothing(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 10_000).await;
    let first = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    let second = shop.market.offer_as(1, 900, 9, false).await.unwrap();
    let order = || combination(&[(first, 4), (second, 9)], 13, 1_300).unwrap();
    let outdated = |why| Err(PurchaseError::QuoteOutdated(why));
    shop.buy(2, first, Some(7)).await.unwrap();
    assert_eq!(
        shop.buy_scrap(3, order()).await,
        outdated(Outdated::Remaining)
    );
    let dearer = new_data(1, 990, 9, false);
    shop.market.edit(second, dearer).await.unwrap();
    let order = || combination(&[(first, 3), (second, 9)], 12, 1_200).unwrap();
    assert_eq!(shop.buy_scrap(3, order()).await, outdated(Outdated::Price));
    // A lower price is another price, too: the buyer sees the new quote first.
    shop.market
        .edit(second, new_data(1, 800, 9, false))
        .await
        .unwrap();
    assert_eq!(shop.buy_scrap(3, order()).await, outdated(Outdated::Price));
    shop.buy(2, first, Some(3)).await.unwrap();
    assert_eq!(
        shop.buy_scrap(3, order()).await,
        outdated(Outdated::SoldOut)
    );
    assert_eq!(shop.cash(3).await, 10_000);
    shop.verify().await;
}

async fn whole_and_part_beyond_the_limits_are_refused(on: On) {
    let shop = Shop::open(on).await;
    shop.members(4, 1_000).await;
    let one = shop.market.offer_as(1, 100, 20, false).await.unwrap();
    let two = shop.market.offer_as(2, 2_000, 20, true).await.unwrap();
    let over = combination(&[(one, 20), (two, 1)], 21, 200).unwrap();
    assert_eq!(shop.buy_scrap(4, over).await, Err(BuyError::Limit.into()));
    let dear = combination(&[(two, 11)], 11, 1_100).unwrap();
    assert_eq!(shop.buy_scrap(4, dear).await, Err(CashShort.into()));
    let cut = combination(&[(one, 10)], 10, 100).unwrap();
    let refused = shop.buy_scrap(4, cut).await;
    assert_eq!(
        refused,
        Err(PurchaseError::QuoteOutdated(Outdated::Remaining))
    );
    shop.verify().await;
}

async fn concurrent_combinations_buy_each_offer_once(on: On) {
    let shop = Shop::open(on).await;
    shop.members(12, 10_000).await;
    let one = shop.market.offer_as(1, 700, 7, false).await.unwrap();
    let two = shop.market.offer_as(2, 900, 9, false).await.unwrap();
    let buys = (3..=12).map(|buyer| {
        let order = combination(&[(two, 9), (one, 7)], 16, 1_600).unwrap();
        shop.buy_scrap(buyer, order)
    });
    let results = futures_util::future::join_all(buys).await;
    let (bought, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(bought.len(), 1);
    let outdated = Err(PurchaseError::QuoteOutdated(Outdated::SoldOut));
    assert!(refused.iter().all(|no| *no == outdated), "{refused:?}");
    shop.verify().await;
}
