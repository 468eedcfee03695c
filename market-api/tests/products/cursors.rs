//! Cursors: where pages begin, and which numbers are rejected.

use std::time::Duration;

use market_api::products::{Cursor, Filter, Kind, ListError, ListQuery, Sort};
use shared::money::Units;

use crate::fixtures::{Market, cursor, first_page, ids_of, member, new_data, product};
use crate::on_both;
use crate::support::On;

on_both! {
    page_continues_where_the_last_row_was_before_it_moved,
    page_by_distance_continues_where_the_last_spot_was,
    triggers_record_replaced_sort_keys,
    cursor_of_another_list_is_refused,
    sort_key_of_a_moved_row_is_pruned_after_a_day,
}

const REFUSED: Option<ListError> = Some(ListError::Cursor);

/// Five offers of 1, 2, … units, and the cursor after the second.
async fn five(on: On) -> (Market, Vec<i64>, ListQuery) {
    let market = Market::open(on).await;
    market.members(5, 100).await;
    let mut ids = Vec::new();
    for by in 1..=5_u16 {
        ids.push(market.offer(i64::from(by), 100, by).await.unwrap());
    }
    let mut query = first_page(Kind::MobileData, Sort::FewestUnits, 2);
    let page = market.list(query).await;
    assert_eq!(ids_of(&page), ids[..2]);
    query.after = page.next;
    (market, ids, query)
}

async fn page_continues_where_the_last_row_was_before_it_moved(on: On) {
    let (market, ids, query) = five(on).await;
    let rest = &ids[2..4];
    assert_eq!(ids_of(&market.list(query).await), rest);
    // Its two units are sold one by one, then it is edited without a change, and rated.
    market.sell(ids[1], 1).await;
    assert_eq!(ids_of(&market.list(query).await), rest);
    market.sell(ids[1], 1).await;
    assert_eq!(ids_of(&market.list(query).await), rest);
    market.rate(ids[1], 5_000).await;
    assert_eq!(ids_of(&market.list(query).await), rest);

    // The row before moves to the end, and is deleted.
    let mut first = first_page(Kind::MobileData, Sort::FewestUnits, 1);
    first.after = market.list(first).await.next;
    first.size = crate::fixtures::page_size(2);
    market
        .edit(ids[0], new_data(1, 100, 9, true))
        .await
        .unwrap();
    assert_eq!(ids_of(&market.list(first).await), rest);
    market
        .products
        .delete(member(1), product(ids[0]))
        .await
        .unwrap();
    assert_eq!(ids_of(&market.list(first).await), rest);
}

async fn page_by_distance_continues_where_the_last_spot_was(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let mut ids = Vec::new();
    for north in 1..=4 {
        ids.push(
            market
                .spot(1, 100, (37.5665 + f64::from(north) / 100.0, 126.978))
                .await,
        );
    }
    let mut query = first_page(Kind::Wifi, Sort::Nearest, 2);
    query.after = market.list(query).await.next;
    assert_eq!(ids_of(&market.list(query).await), ids[2..]);
    market
        .sql(vec![format!(
            "update spot set latitude = -10 where product_id = {}",
            ids[1]
        )])
        .await;
    market.invalidate(Kind::Wifi).await;
    assert_eq!(ids_of(&market.list(query).await), [ids[2], ids[3]]);
    market
        .products
        .delete(member(1), product(ids[1]))
        .await
        .unwrap();
    assert_eq!(ids_of(&market.list(query).await), [ids[2], ids[3]]);
}

/// The triggers of `0002_products.sql`: they record every writer's changes, and nothing when no sort key
/// changes.
async fn triggers_record_replaced_sort_keys(on: On) {
    let (market, ids, _) = five(on).await;
    let spot = market.spot(1, 100, crate::fixtures::SEOUL).await;
    let (data, places) = (ids[0], "select count(*) from sort_key_history");
    for (text, kept) in [
        (format!("update product set price = 7 where id = {data}"), 1),
        (format!("update product set price = 7 where id = {data}"), 0),
        (
            format!("update product set unit_price = 7 where id = {data}"),
            1,
        ),
        (
            format!("update product set units_left = 0, units_sold = 1 where id = {data}"),
            1,
        ),
        (
            format!("update product set seller_rate = 7 where id = {data}"),
            1,
        ),
        (
            format!("update product set updated_at = 7 where id = {data}"),
            1,
        ),
        (
            format!("update product set state = 'SOLD_OUT' where id = {data}"),
            0,
        ),
        (
            format!("update spot set latitude = 7 where product_id = {spot}"),
            1,
        ),
        (
            format!("update spot set longitude = 7 where product_id = {spot}"),
            1,
        ),
        (
            format!("update spot set listed = 0, title = 'x' where product_id = {spot}"),
            0,
        ),
    ] {
        let before = market.int(places).await;
        market.sql(vec![text.clone()]).await;
        assert_eq!(market.int(places).await - before, kept, "{text}");
    }
}

async fn cursor_of_another_list_is_refused(on: On) {
    let (market, ids, query) = five(on).await;
    let spot = market.spot(1, 100, crate::fixtures::SEOUL).await;
    let number = query.after.unwrap().get();
    let mut others = vec![];
    for sort in [Sort::Recent, Sort::UnitPrice, Sort::MostUnits] {
        others.push(ListQuery { sort, ..query });
    }
    let filter = Filter::Units(Units::new(3));
    others.push(ListQuery { filter, ..query });
    let sort = Sort::Price;
    others.push(ListQuery {
        after: query.after,
        ..first_page(Kind::Wifi, sort, 2)
    });
    // Another hash, another row, a row that does not exist, a row of another kind.
    let (id, hash) = (number & 0x7fff_ffff, number >> 31 << 31);
    for tampered in [
        number ^ (1 << 40),
        hash | u64::try_from(ids[3]).unwrap(),
        hash | 0x7fff_fff0,
        hash | u64::try_from(spot).unwrap(),
        id,
    ] {
        others.push(ListQuery {
            after: cursor(tampered),
            ..query
        });
    }
    for other in others {
        assert_eq!(
            market.products.lists().list(other).await.err(),
            REFUSED,
            "{other:?}"
        );
    }
    assert_eq!(Cursor::parse(1 << 60), None);
}

async fn sort_key_of_a_moved_row_is_pruned_after_a_day(on: On) {
    let (market, ids, query) = five(on).await;
    market.sell(ids[1], 1).await;
    assert_eq!(market.products.prune_sort_keys().await.unwrap(), 0);
    market.base.clock.advance(Duration::from_secs(23 * 3_600));
    assert_eq!(market.products.prune_sort_keys().await.unwrap(), 0);
    assert_eq!(ids_of(&market.list(query).await), ids[2..4]);
    market.base.clock.advance(Duration::from_secs(2 * 3_600));
    assert_eq!(market.products.prune_sort_keys().await.unwrap(), 1);
    assert_eq!(market.products.lists().list(query).await.err(), REFUSED);
}
