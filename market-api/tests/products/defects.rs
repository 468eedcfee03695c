//! Regression tests for defects of the first site, numbered as in `domain.md` §7.

use std::time::Duration;

use market_api::products::{Filter, Kind, OfferError, Sort};
use shared::money::Units;

use crate::fixtures::{
    Market, SEOUL, at, first_page, ids_of, member, new_data, page_size, product,
};
use crate::on_both;
use crate::support::On;

on_both! {
    defect_9_deleting_mints_no_data,
    defect_9_deleting_a_spot_touches_no_mobile_data,
    defect_10_editing_sets_the_amount_and_adds_nothing,
    defect_11_last_months_sales_do_not_count_in_this_month,
    defect_14_every_order_goes_on_behind_its_last_row,
    defect_15_pages_of_another_size_or_amount_are_not_shared,
    defect_15_distances_are_the_readers_own,
    defect_15_open_filter_uses_the_present_time,
    defect_15_mobile_data_is_not_listed_beyond_its_month,
}

async fn defect_9_deleting_mints_no_data(on: On) {
    let market = Market::open(on).await;
    market.members(1, 5).await;
    for _ in 0..3 {
        let id = market.offer(1, 100, 5).await.unwrap();
        assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::PlanShort));
        market
            .products
            .delete(member(1), product(id))
            .await
            .unwrap();
    }
    assert_eq!(market.offer(1, 100, 6).await, Err(OfferError::PlanShort));
    let id = market.offer(1, 100, 5).await.unwrap();
    market.sell(id, 2).await;
    market
        .products
        .delete(member(1), product(id))
        .await
        .unwrap();
    // Three units were returned; the two sold ones were not.
    assert_eq!(market.offer(1, 100, 4).await, Err(OfferError::PlanShort));
    market.offer(1, 100, 3).await.unwrap();
    let listed = "select cast(sum(units_left + units_sold) as bigint) from product";
    assert_eq!(market.int(listed).await, 5);
}

async fn defect_9_deleting_a_spot_touches_no_mobile_data(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let data = market.offer(1, 100, 5).await.unwrap();
    let spot = market.spot(1, 100, SEOUL).await;
    market
        .products
        .delete(member(1), product(spot))
        .await
        .unwrap();
    let query = first_page(Kind::MobileData, Sort::Recent, 10);
    assert_eq!(ids_of(&market.list(query).await), [data]);
    let left = format!("select units_left from product where id = {data}");
    assert_eq!(market.int(&left).await, 5);
    for sort in Sort::of(Kind::Wifi) {
        let query = first_page(Kind::Wifi, *sort, 10);
        assert_eq!(ids_of(&market.list(query).await), [0_i64; 0]);
    }
}

async fn defect_10_editing_sets_the_amount_and_adds_nothing(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let id = market.offer(1, 1_000, 15).await.unwrap();
    market.edit(id, new_data(1, 1_000, 10, true)).await.unwrap();
    let detail = market
        .products
        .details()
        .data(member(1), product(id))
        .await
        .unwrap();
    assert_eq!(
        (detail.left, detail.unit_price.get()),
        (Units::new(10), 100)
    );
    // 15 + 15 would exceed the month's 20.
    market.edit(id, new_data(1, 1_000, 20, true)).await.unwrap();
    let over = market.offer(1, 1_000, 1).await;
    assert_eq!(over, Err(OfferError::SellLimit));
}

async fn defect_11_last_months_sales_do_not_count_in_this_month(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let id = market.offer(1, 1_000, 20).await.unwrap();
    market.sell(id, 20).await;
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    let id = market.offer(1, 1_000, 20).await.unwrap();
    market.sell(id, 20).await;
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
}

async fn defect_14_every_order_goes_on_behind_its_last_row(on: On) {
    let market = Market::open(on).await;
    market.members(12, 100).await;
    for n in 1..=12_i64 {
        market.base.clock.advance(Duration::from_millis(7));
        let units = u16::try_from(n % 4 + 1).unwrap();
        market.offer(n, n % 3 * 100 + 100, units).await.unwrap();
        let spot = market.spot(n, n % 3 * 100 + 100, SEOUL).await;
        market.rate(spot, n % 3 * 1_000).await;
    }
    for kind in [Kind::MobileData, Kind::Wifi] {
        for sort in Sort::of(kind) {
            let first = first_page(kind, *sort, 2);
            assert_eq!(
                market.walk(first).await,
                market.truth(&first).await,
                "{sort:?}"
            );
        }
    }
}

async fn defect_15_pages_of_another_size_or_amount_are_not_shared(on: On) {
    let market = Market::open(on).await;
    market.members(6, 100).await;
    let mut ids = Vec::new();
    for by in 1..=6_i64 {
        let units = u16::try_from(by % 2 + 1).unwrap();
        ids.push(market.offer(by, 100, units).await.unwrap());
    }
    let mut query = first_page(Kind::MobileData, Sort::FewestUnits, 2);
    assert_eq!(ids_of(&market.list(query).await), [ids[1], ids[3]]);
    query.size = page_size(4);
    assert_eq!(
        ids_of(&market.list(query).await),
        [ids[1], ids[3], ids[5], ids[0]]
    );
    query.filter = Filter::Units(Units::new(2));
    assert_eq!(ids_of(&market.list(query).await), [ids[0], ids[2], ids[4]]);
    query.filter = Filter::Units(Units::new(1));
    assert_eq!(ids_of(&market.list(query).await), [ids[1], ids[3], ids[5]]);
}

async fn defect_15_distances_are_the_readers_own(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    let south = market.spot(1, 100, (37.5, 127.0)).await;
    let north = market.spot(1, 100, (37.6, 127.0)).await;
    for sort in Sort::of(Kind::Wifi) {
        let mut query = first_page(Kind::Wifi, *sort, 2);
        query.at = Some(at(37.51, 127.0));
        let one = market.list(query).await;
        query.reader = member(2);
        query.at = Some(at(37.59, 127.0));
        let other = market.list(query).await;
        let far = |page: &market_api::products::OfferPage, id| {
            let row = page.rows.iter().find(|row| row.id == product(id));
            row.unwrap().distance_m.unwrap().round()
        };
        assert_eq!(
            [far(&one, south), far(&other, north)],
            [1_112.0; 2],
            "{sort:?}"
        );
        assert_eq!(
            [far(&one, north), far(&other, south)],
            [10_008.0; 2],
            "{sort:?}"
        );
        if *sort == Sort::Nearest {
            assert_eq!(ids_of(&one), [south, north]);
            assert_eq!(ids_of(&other), [north, south]);
            // The same member at another position.
            query.reader = member(1);
            assert_eq!(ids_of(&market.list(query).await), [north, south]);
        }
    }
}

async fn defect_15_open_filter_uses_the_present_time(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    // Open from 09:00 to 18:00; the time is noon.
    let id = market.spot(1, 100, SEOUL).await;
    for sort in Sort::of(Kind::Wifi) {
        let all = first_page(Kind::Wifi, *sort, 2);
        let mut open = all;
        open.filter = Filter::Open;
        let shown = async |open_now: bool| {
            let page = market.list(all).await;
            assert_eq!(page.rows[0].open, Some(open_now), "{sort:?}");
            let expected: &[i64] = if open_now { &[id] } else { &[] };
            assert_eq!(ids_of(&market.list(open).await), expected, "{sort:?}");
        };
        shown(true).await;
        let clock = &market.base.clock;
        clock.advance(Duration::from_secs(6 * 3_600)); // 18:00 is open still
        shown(true).await;
        clock.advance(Duration::from_secs(60));
        shown(false).await;
        clock.advance(Duration::from_secs(18 * 3_600 - 60));
        shown(true).await;
    }
}

async fn defect_15_mobile_data_is_not_listed_beyond_its_month(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let to_month_end = Duration::from_secs(15 * 24 * 3_600 + 12 * 3_600);
    market
        .base
        .clock
        .advance(to_month_end - Duration::from_secs(60));
    let id = market.offer(1, 100, 5).await.unwrap();
    for sort in Sort::of(Kind::MobileData) {
        let query = first_page(Kind::MobileData, *sort, 2);
        assert_eq!(ids_of(&market.list(query).await), [id]);
    }
    market.base.clock.advance(Duration::from_secs(60));
    for sort in Sort::of(Kind::MobileData) {
        let query = first_page(Kind::MobileData, *sort, 2);
        assert_eq!(ids_of(&market.list(query).await), [0_i64; 0], "{sort:?}");
    }
}
