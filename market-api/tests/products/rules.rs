//! Rules for offering, changing and deleting, and the visibility of offers to others.

use std::time::Duration;

use market_api::products::{Kind, NewSpot, OfferError, SellingError, SellingQuery, State};
use market_api::trades::{Fees, Trades};
use shared::money::{Units, Won};
use sqlx::Row as _;
use tokio::task::JoinSet;

use crate::fixtures::{Market, SEOUL, member, new_data, number, page_size, product, spot_form};
use crate::on_both;
use crate::support::On;

on_both! {
    month_holds_two_gigabytes_left_and_sold,
    month_of_the_limit_begins_at_midnight_in_seoul,
    offers_are_limited_by_the_plan_plus_purchases,
    registrations_at_once_keep_the_limits,
    split_offer_costs_its_unit_price_and_a_whole_one_its_total,
    edit_is_refused_where_it_cannot_be,
    edit_marks_a_raised_price,
    deletion_is_refused_where_it_cannot_be,
    deletion_and_sales_at_once_lose_no_unit,
    month_end_hides_offers_and_gives_their_rest_back_once,
    spot_is_offered_changed_and_deleted,
    detail_is_shown_of_active_and_sold_out_offers,
    own_offers_are_listed_by_state,
    market_price_is_that_of_the_last_thirty_days,
    rating_shows_in_new_offers,
}

async fn month_holds_two_gigabytes_left_and_sold(on: On) {
    let market = Market::open(on).await;
    market.members(1, 1_000).await;
    let id = market.offer(1, 100, 12).await.unwrap();
    market.sell(id, 12).await;
    assert_eq!(market.offer(1, 100, 9).await, Err(OfferError::SellLimit));
    let id = market.offer(1, 100, 8).await.unwrap();
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    let over = market.edit(id, new_data(1, 100, 9, true)).await;
    assert_eq!(over, Err(OfferError::SellLimit));
    market.edit(id, new_data(1, 100, 7, true)).await.unwrap();
    market.offer(1, 100, 1).await.unwrap();
}

async fn month_of_the_limit_begins_at_midnight_in_seoul(on: On) {
    let market = Market::open(on).await;
    market.members(1, 1_000).await;
    let clock = &market.base.clock;
    let moment = Duration::from_millis(1);
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let full = async || {
        market.offer(1, 100, 20).await.unwrap();
        assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    };
    full().await;
    // It is noon of 2026-11-15. December begins in Seoul nine hours before it does in UTC.
    clock.advance(hours(15 * 24 + 12) - moment);
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    clock.advance(moment);
    full().await;
    let ends = "select expires_at from product order by id desc limit 1";
    let december_ms = 31 * 24 * 3_600_000;
    assert_eq!(market.int(ends).await, market.now_ms() + december_ms);
    clock.advance(hours(9));
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    // Across the turn of the year.
    clock.advance(hours(31 * 24 - 9) - moment);
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::SellLimit));
    clock.advance(moment);
    full().await;
    assert_eq!(market.int("select max(month) from product").await, 202_701);
}

async fn offers_are_limited_by_the_plan_plus_purchases(on: On) {
    let market = Market::open(on).await;
    market.members(2, 3).await;
    market
        .sql(vec!["delete from plan where member_id = 2".to_owned()])
        .await;
    assert_eq!(market.offer(2, 100, 1).await, Err(OfferError::NoPlan));
    assert_eq!(market.offer(1, 100, 4).await, Err(OfferError::PlanShort));
    let id = market.offer(1, 100, 3).await.unwrap();
    market
        .sql(vec![
            "update member_month set bought = 2 where member_id = 1".to_owned(),
        ])
        .await;
    let over = market.edit(id, new_data(1, 100, 6, false)).await;
    assert_eq!(over, Err(OfferError::PlanShort));
    market.edit(id, new_data(1, 100, 5, false)).await.unwrap();
    // A plan changed within the month takes effect in the next month.
    market
        .sql(vec![
            "update plan set providing = 9 where member_id = 1".to_owned(),
        ])
        .await;
    assert_eq!(market.offer(1, 100, 1).await, Err(OfferError::PlanShort));
    market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    market.offer(1, 100, 9).await.unwrap();
}

async fn registrations_at_once_keep_the_limits(on: On) {
    let market = Market::open(on).await;
    market.members(2, 12).await;
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let products = market.products.clone();
        tasks.spawn(async move {
            let offered = products.offer_data(new_data(n % 2 + 1, 100, 5, true)).await;
            (n % 2, offered.err())
        });
    }
    let mut offered = [0, 0];
    for (by, refused) in tasks.join_all().await {
        match refused {
            None => offered[usize::try_from(by).unwrap()] += 1,
            Some(refused) => {
                assert!([OfferError::PlanShort, OfferError::SellLimit].contains(&refused))
            }
        }
    }
    assert_eq!(offered, [2, 2]);
}

async fn split_offer_costs_its_unit_price_and_a_whole_one_its_total(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    let split = market.offer_as(1, 101, 20, true).await.unwrap();
    let whole = market.offer_as(2, 101, 20, false).await.unwrap();
    market.sell(split, 3).await;
    let split = market
        .products
        .details()
        .data(member(1), product(split))
        .await
        .unwrap();
    let whole = market
        .products
        .details()
        .data(member(1), product(whole))
        .await
        .unwrap();
    assert_eq!(
        (split.price, split.unit_price),
        (Won::new(6 * 17), Won::new(6))
    );
    assert_eq!(
        (whole.price, whole.unit_price),
        (Won::new(101), Won::new(6))
    );
    assert!(split.mine && !whole.mine);
}

async fn edit_is_refused_where_it_cannot_be(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    let to = |by| new_data(by, 200, 5, true);
    let spot = market.spot(1, 100, SEOUL).await;
    let id = market.offer(1, 100, 5).await.unwrap();
    assert_eq!(market.edit(id + 100, to(1)).await, Err(OfferError::Unknown));
    assert_eq!(
        market.edit(spot, to(1)).await,
        Err(OfferError::NotOfKind(Kind::MobileData))
    );
    assert_eq!(market.edit(id, to(2)).await, Err(OfferError::NotMine));
    market.sell(id, 1).await;
    assert_eq!(market.edit(id, to(1)).await, Err(OfferError::PartlySold));
    market.sell(id, 4).await;
    assert_eq!(market.edit(id, to(1)).await, Err(OfferError::Unavailable));
    let id = market.offer(1, 100, 5).await.unwrap();
    market
        .products
        .delete(member(1), product(id))
        .await
        .unwrap();
    assert_eq!(market.edit(id, to(1)).await, Err(OfferError::Unavailable));
    let id = market.offer(1, 100, 5).await.unwrap();
    market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    assert_eq!(market.edit(id, to(1)).await, Err(OfferError::Unavailable));
}

async fn edit_marks_a_raised_price(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let id = market.offer_as(1, 1_000, 10, false).await.unwrap();
    let raised = format!("select coalesce(raised_at, 0) from product where id = {id}");
    let second = Duration::from_secs(1);
    let mut last = 0;
    for (price, units, split, dearer) in [
        (900, 10, false, false),
        (901, 10, false, true),
        (901, 9, false, true), // for each unit
        (901, 10, false, false),
        (901, 10, true, true), // another kind of offer
        (100, 10, true, false),
    ] {
        market.base.clock.advance(second);
        market
            .edit(id, new_data(1, price, units, split))
            .await
            .unwrap();
        let at = market.int(&raised).await;
        assert_eq!(at > last, dearer, "{price} {units} {split}");
        last = at;
    }
}

async fn deletion_is_refused_where_it_cannot_be(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    let id = market.offer(1, 100, 5).await.unwrap();
    let delete = async |by, id| market.products.delete(member(by), product(id)).await;
    assert_eq!(delete(1, id + 100).await, Err(OfferError::Unknown));
    assert_eq!(delete(2, id).await, Err(OfferError::NotMine));
    assert_eq!(delete(1, id).await, Ok(()));
    assert_eq!(delete(1, id).await, Err(OfferError::AlreadyDeleted));
    assert_eq!(delete(2, id).await, Err(OfferError::NotMine));
    let id = market.offer(1, 100, 5).await.unwrap();
    market.sell(id, 5).await;
    assert_eq!(delete(1, id).await, Err(OfferError::Unavailable));
}

async fn deletion_and_sales_at_once_lose_no_unit(on: On) {
    let market = std::sync::Arc::new(Market::open(on).await);
    market.members(10, 100).await;
    for by in 1..=10 {
        let id = market.offer(by, 100, 10).await.unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let market = std::sync::Arc::clone(&market);
            tasks.spawn(async move { market.sell(id, 2).await });
        }
        let products = market.products.clone();
        tasks.spawn(async move {
            let deleted = products.delete(member(by), product(id)).await;
            assert_eq!(deleted, Ok(()));
        });
        tasks.join_all().await;
    }
    // The table's own constraint: listed = left + sold + returned.
    let rows = market
        .rows("select state, units_left from product".to_owned())
        .await;
    assert_eq!(rows.len(), 10);
    for row in rows {
        let (state, left): (String, i64) = (row.try_get(0).unwrap(), row.try_get(1).unwrap());
        assert_eq!((state.as_str(), left), ("DELETED", 0));
    }
}

async fn month_end_hides_offers_and_gives_their_rest_back_once(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let id = market.offer(1, 100, 5).await.unwrap();
    market.sell(id, 2).await;
    let spot = market.spot(1, 100, SEOUL).await;
    assert_eq!(market.products.expire().await.unwrap(), 0);
    // 2026-12-01 00:00 in Seoul.
    market
        .base
        .clock
        .advance(Duration::from_secs(15 * 24 * 3_600 + 12 * 3_600));
    assert_eq!(market.products.expire().await.unwrap(), 1);
    assert_eq!(market.products.expire().await.unwrap(), 0);
    let text = "select id, state, coalesce(units_left, -1), coalesce(units_returned, -1) \
         from product order by id";
    let rows = market.rows(text.to_owned()).await;
    let rows: Vec<(i64, String, i64, i64)> = rows
        .iter()
        .map(|row| {
            let int = |n: usize| row.try_get::<i64, _>(n).unwrap();
            (int(0), row.try_get(1).unwrap(), int(2), int(3))
        })
        .collect();
    let expected = [
        (id, "HIDDEN".to_owned(), 0, 3),
        (spot, "ACTIVE".to_owned(), -1, -1),
    ];
    assert_eq!(rows, expected);
}

async fn spot_is_offered_changed_and_deleted(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    for kind in [Kind::Wifi, Kind::Hotspot] {
        let parse = |by, form| NewSpot::parse(member(by), kind, form).unwrap();
        let products = &market.products;
        let id = products
            .offer_spot(parse(1, spot_form(500, SEOUL)))
            .await
            .unwrap();
        let other = if kind == Kind::Wifi {
            Kind::Hotspot
        } else {
            Kind::Wifi
        };
        let detail = products.details().spot(member(2), kind, id).await.unwrap();
        assert_eq!((detail.title.as_str(), detail.images.len()), ("Café", 1));
        assert_eq!((detail.mine, detail.open), (false, true));
        let elsewhere = products.details().spot(member(2), other, id).await;
        assert_eq!(elsewhere.err(), Some(OfferError::NotOfKind(other)));

        let mut form = spot_form(600, (37.0, 127.5));
        form.images = vec!["https://i/b.jpg".to_owned(), "https://i/a.jpg".to_owned()];
        let theirs = products.change_spot(id, parse(2, form.clone())).await;
        assert_eq!(theirs, Err(OfferError::NotMine));
        let as_other = NewSpot::parse(member(1), other, form.clone()).unwrap();
        assert_eq!(
            products.change_spot(id, as_other).await,
            Err(OfferError::NotOfKind(other))
        );
        products
            .change_spot(id, parse(1, form.clone()))
            .await
            .unwrap();
        let detail = products.details().spot(member(1), kind, id).await.unwrap();
        assert_eq!(detail.images, form.images);
        assert_eq!((detail.price, detail.at.latitude()), (Won::new(600), 37.0));

        products.delete(member(1), id).await.unwrap();
        let gone = products.details().spot(member(1), kind, id).await;
        assert_eq!(gone.err(), Some(OfferError::Unavailable));
        assert_eq!(
            products.change_spot(id, parse(1, form)).await,
            Err(OfferError::Unavailable)
        );
    }
}

async fn detail_is_shown_of_active_and_sold_out_offers(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let id = market.offer(1, 100, 5).await.unwrap();
    let detail = async |id| market.products.details().data(member(1), product(id)).await;
    assert_eq!(detail(id + 1).await.err(), Some(OfferError::Unknown));
    market.sell(id, 5).await;
    let sold_out = detail(id).await.unwrap();
    assert_eq!(
        (sold_out.state, sold_out.left),
        (State::SoldOut, Units::ZERO)
    );
    let id = market.offer(1, 100, 5).await.unwrap();
    assert_eq!(detail(id).await.unwrap().state, State::Active);
    market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    assert_eq!(detail(id).await.err(), Some(OfferError::Unavailable));
}

async fn own_offers_are_listed_by_state(on: On) {
    let market = Market::open(on).await;
    market.members(2, 100).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(market.offer(1, 100, 4).await.unwrap());
    }
    let spot = market.spot(1, 100, SEOUL).await;
    market.sell(ids[0], 4).await;
    market
        .products
        .delete(member(1), product(ids[1]))
        .await
        .unwrap();
    let mut query = SellingQuery {
        seller: member(1),
        reader: member(1),
        state: State::Active,
        size: page_size(2),
        after: None,
    };
    let page = market.products.details().selling(&query).await.unwrap();
    let page_ids = |page: &market_api::products::SellingPage| -> Vec<i64> {
        page.rows.iter().map(|row| number(row.id)).collect()
    };
    assert_eq!(
        (page_ids(&page), page.count, page.has_next),
        (vec![spot, ids[3]], 3, true)
    );
    query.after = Some(product(ids[3]));
    let page = market.products.details().selling(&query).await.unwrap();
    assert_eq!(
        (page_ids(&page), page.count, page.has_next),
        (vec![ids[2]], 3, false)
    );
    query.after = None;
    for (state, expected) in [(State::SoldOut, ids[0]), (State::Deleted, ids[1])] {
        query.state = state;
        let page = market.products.details().selling(&query).await.unwrap();
        assert_eq!((page_ids(&page), page.count), (vec![expected], 1));
    }
    query.reader = member(2);
    let hidden = market.products.details().selling(&query).await;
    assert_eq!(hidden.err(), Some(SellingError::Forbidden));
    query.state = State::SoldOut;
    let own = market.products.details().selling(&query).await;
    assert_eq!(own.unwrap().count, 1);
    query.seller = member(3);
    assert_eq!(
        market.products.details().selling(&query).await.err(),
        Some(SellingError::MemberUnknown)
    );
    // An expired offer counts as hidden before the job has marked it, and equally after.
    market
        .base
        .clock
        .advance(Duration::from_secs(20 * 24 * 3_600));
    (query.seller, query.reader, query.state) = (member(1), member(1), State::Hidden);
    for _ in 0..2 {
        let page = market.products.details().selling(&query).await.unwrap();
        assert_eq!((page_ids(&page), page.count), (vec![ids[3], ids[2]], 2));
        market.products.expire().await.unwrap();
    }
}

async fn market_price_is_that_of_the_last_thirty_days(on: On) {
    let market = Market::open(on).await;
    market.members(4, 100).await;
    let trades = Trades::new(
        market.base.db.clone(),
        market.cache.clone(),
        Fees::default(),
    );
    let price = async |kind| {
        let price = trades.market_price(kind).await.unwrap();
        (price.recent.get(), price.average.get())
    };
    for kind in Kind::ALL {
        assert_eq!(price(kind).await, (0, 0));
    }
    for (by, won) in [(1, 1_000), (2, 2_000), (3, 2_000)] {
        let id = market.offer(by, won, 10).await.unwrap();
        market.sell(id, 10).await;
    }
    assert_eq!(price(Kind::MobileData).await, (200, 166));
    let now = shared::clock::Clock::unix_millis(&*market.base.clock).get();
    // 25 minutes are three started units of ten: 500 each; then an hour at 600.
    market.sql(vec![
        format!("insert into trade (member_id, kind, price, minutes, month, created_at) values \
             (1, 'SALE_WIFI', 1500, 25, 202611, {now}), (1, 'SALE_WIFI', 3600, 60, 202611, {now} + 1), \
             (1, 'SALE_HOTSPOT', 100, 10, 202611, {now})"),
    ])
    .await;
    assert_eq!(price(Kind::Wifi).await, (600, 550));
    assert_eq!(price(Kind::Hotspot).await, (100, 100));
    market
        .base
        .clock
        .advance(Duration::from_secs(31 * 24 * 3_600));
    for kind in Kind::ALL {
        assert_eq!(price(kind).await, (0, 0));
    }
}

async fn rating_shows_in_new_offers(on: On) {
    let market = Market::open(on).await;
    market.members(1, 100).await;
    let rated = "update member set rating_sum = 130, rating_count = 3 where id = 1";
    market.sql(vec![rated.to_owned()]).await;
    let id = market.spot(1, 100, SEOUL).await;
    let rate = format!("select seller_rate from product where id = {id}");
    assert_eq!(market.int(&rate).await, 4_333);
    let spot = market
        .products
        .details()
        .spot(member(1), Kind::Wifi, product(id))
        .await
        .unwrap();
    assert_eq!((spot.seller.rate, spot.seller.ratings), (4_333, 3));
}
