//! Histories of purchases and of cash.

use std::time::Duration;

use market_api::trades::{HistoryQuery, MonthTotals, TradeKind};
use shared::clock::Month;
use shared::ids::TradeId;
use shared::money::{Units, Won};

use crate::fixtures::{member, page_size};
use crate::on_both;
use crate::shop::Shop;
use crate::support::On;

on_both!(
    purchases_are_paged_newest_first,
    months_add_up_to_the_change_of_cash,
);

fn first(id: i64, rows: u32) -> HistoryQuery {
    HistoryQuery {
        member: member(id),
        size: page_size(rows),
        after: None,
    }
}

async fn purchases_are_paged_newest_first(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 10, true).await.unwrap();
    let mut bought = Vec::new();
    for units in 1..=4 {
        bought.push(shop.buy(2, offer, Some(units)).await.unwrap());
    }
    bought.reverse();
    let histories = shop.trades.histories();
    assert_eq!(histories.purchase_count(member(2)).await.unwrap(), 4);
    assert_eq!(histories.purchase_count(member(1)).await.unwrap(), 0);
    let (mut seen, mut query): (Vec<TradeId>, _) = (Vec::new(), first(2, 3));
    loop {
        let page = histories.purchases(&query).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.trade));
        if !page.has_next {
            break;
        }
        query.after = seen.last().copied();
    }
    assert_eq!(seen, bought);
    let newest = &histories.purchases(&first(2, 1)).await.unwrap().rows[0];
    assert_eq!(
        (newest.kind, newest.units),
        (TradeKind::PurchaseSingle, Some(Units::new(4)))
    );
    shop.verify().await;
}

async fn months_add_up_to_the_change_of_cash(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 10, true).await.unwrap();
    shop.buy(2, offer, Some(3)).await.unwrap();
    let own = shop.market.offer_as(2, 500, 2, false).await.unwrap();
    shop.buy(1, own, None).await.unwrap();
    let histories = shop.trades.histories();
    let november = Month::try_from(202_611).unwrap();
    let totals = histories.month_totals(member(2), november).await.unwrap();
    let expected = MonthTotals {
        purchase: Won::new(600),
        selling: Won::new(500),
        ..MonthTotals::default()
    };
    assert_eq!((totals, totals.total()), (expected, Some(Won::new(-100))));
    assert_eq!(shop.cash(2).await, 10_000 - 100);
    let rows = histories
        .cash_rows(&first(2, 9), november)
        .await
        .unwrap()
        .rows;
    let kinds: Vec<_> = rows
        .iter()
        .map(|row| (row.kind, row.amount.get()))
        .collect();
    assert_eq!(
        kinds,
        [(TradeKind::SaleData, 500), (TradeKind::PurchaseSingle, 600)]
    );

    shop.market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    let next = shop.market.offer_as(1, 100, 1, false).await.unwrap();
    shop.buy(2, next, None).await.unwrap();
    let december = Month::try_from(202_612).unwrap();
    let totals = histories.month_totals(member(2), december).await.unwrap();
    assert_eq!(totals.purchase, Won::new(100));
    let rows = histories
        .cash_rows(&first(2, 9), december)
        .await
        .unwrap()
        .rows;
    assert_eq!(rows.len(), 1);
    shop.verify().await;
}
