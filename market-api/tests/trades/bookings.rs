//! Purchases of time on spots, and the announcements of their starts and ends.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use market_api::bookings::{self, NoPlace, SlotError, Wanted};
use market_api::cash::CashShort;
use market_api::db::Db;
use market_api::idempotency::{IdempotencyError, IdempotentRequest, Reply};
use market_api::ledger;
use market_api::metrics::Metrics;
use market_api::products::{Kind, NewSpot};
use market_api::schedule::Schedule;
use market_api::trades::{PurchaseError, SpotOrder};
use rand::RngExt as _;
use serde_json::Value;
use shared::clock::LocalDateTime;
use shared::drain::Drain;
use shared::money::Won;
use sqlx::{Row as _, query};

use crate::fixtures::{SEOUL, member, number, product, random, spot_form};
use crate::on_both;
use crate::shop::{Shop, item};
use crate::support::On;

on_both!(
    time_moves_cash_and_is_booked,
    refused_time_changes_nothing,
    defect_13_dates_past_hours_and_overlap_are_checked,
    spot_open_over_midnight_is_booked_across_it,
    past_start_is_charged_from_now,
    same_times_again_are_the_first_purchase,
    concurrent_identical_requests_are_one_trade,
    key_is_stored_with_a_repetition_of_the_times,
    price_of_time_is_compared,
    capacity_bounds_concurrent_bookings,
    capacity_bounds_the_greatest_overlap,
    booking_outlives_edits_and_deletion_of_its_spot,
    start_and_end_are_announced_by_the_instance_that_runs_then,
    two_instances_announce_each_start_and_end_once,
    overdue_start_is_announced_before_its_end,
);

/// `13:00` of the 15th, which is today, `16T13:00`, or a whole date-time.
fn time(text: &str) -> LocalDateTime {
    let text = match text.len() {
        5 => format!("2026-11-15T{text}"),
        8 => format!("2026-11-{text}"),
        _ => text.to_owned(),
    };
    text.parse().unwrap()
}

/// A Wi-Fi spot of member 1 for 500 won, with these hours and this capacity.
fn spot_of(hours: &str, capacity: u16) -> NewSpot {
    let (opens, closes) = hours.split_once('-').unwrap();
    let mut form = spot_form(500, SEOUL);
    (form.opens_at, form.closes_at) = (time(opens), time(&format!("16T{closes}")));
    form.capacity = Some(capacity);
    NewSpot::parse(member(1), Kind::Wifi, form).unwrap()
}

async fn spot(shop: &Shop, hours: &str, capacity: u16) -> i64 {
    let offered = shop.market.products.offer_spot(spot_of(hours, capacity));
    number(offered.await.unwrap())
}

/// A shop of this many members with 100,000 won each, and a spot of the first.
async fn shop(on: On, members: i64, hours: &str, capacity: u16) -> (Shop, i64) {
    let shop = Shop::open(on).await;
    shop.members(members, 100_000).await;
    let spot = spot(&shop, hours, capacity).await;
    (shop, spot)
}

pub(crate) fn order(spot: i64, from: &str, to: &str) -> SpotOrder {
    SpotOrder {
        kind: Kind::Wifi,
        product: product(spot),
        item: item(spot),
        wanted: Wanted::new(time(from), time(to)),
        price: None,
    }
}

async fn reply(
    shop: &Shop,
    buyer: i64,
    order: SpotOrder,
    once: Option<IdempotentRequest>,
) -> Result<Reply, PurchaseError> {
    shop.buy_time(buyer, order, once).await
}

/// The response's data.
async fn buy(shop: &Shop, buyer: i64, order: SpotOrder) -> Result<Value, PurchaseError> {
    let reply = reply(shop, buyer, order, None).await?;
    let body: Value = serde_json::from_str(&reply.answer().body).unwrap();
    Ok(body["data"].clone())
}

/// Books these times, and returns those that were booked, and the price.
async fn book(
    shop: &Shop,
    buyer: i64,
    spot: i64,
    times: (&str, &str),
) -> Result<(LocalDateTime, LocalDateTime, i64), PurchaseError> {
    let data = buy(shop, buyer, order(spot, times.0, times.1)).await?;
    let at = |name: &str| data[name].as_str().unwrap().parse().unwrap();
    let price = data["price"].as_i64().unwrap();
    Ok((at("startTime"), at("endTime"), price))
}

const OUTSIDE: PurchaseError = PurchaseError::NoPlace(NoPlace::Slot(SlotError::OutsideHours));
const FULL: PurchaseError = PurchaseError::NoPlace(NoPlace::Full);

async fn time_moves_cash_and_is_booked(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 10).await;
    let booked = book(&shop, 2, wifi, ("13:00", "16T13:25")).await.unwrap();
    assert_eq!(booked, (time("13:00"), time("13:25"), 1_500));
    assert_eq!((shop.cash(1).await, shop.cash(2).await), (101_500, 98_500));
    let mut form = spot_form(700, SEOUL);
    form.capacity = Some(1);
    let hotspot = NewSpot::parse(member(1), Kind::Hotspot, form).unwrap();
    let hotspot = number(shop.market.products.offer_spot(hotspot).await.unwrap());
    let mut other = order(hotspot, "13:00", "13:01");
    other.kind = Kind::Hotspot;
    buy(&shop, 2, other).await.unwrap();
    let kinds = "select kind, minutes, price from trade order by id";
    let kinds = shop.market.rows(kinds.to_owned()).await;
    let kinds: Vec<(String, i64, i64)> = kinds
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let kind = |name: &str, minutes, price| (name.to_owned(), minutes, price);
    assert_eq!(
        kinds,
        [
            kind("PURCHASE_WIFI", 25, 1_500),
            kind("SALE_WIFI", 25, 1_500),
            kind("PURCHASE_HOTSPOT", 1, 700),
            kind("SALE_HOTSPOT", 1, 700),
        ]
    );
    let events = "select count(*) from outbox where kind = 'trade.completed'";
    assert_eq!(shop.market.int(events).await, 2);
    // A spot is not sold out, and the month's limit of data does not count time.
    let active = "select count(*) from product where state = 'ACTIVE'";
    assert_eq!(shop.market.int(active).await, 2);
    let months = "select count(*) from member_month where bought > 0";
    assert_eq!(shop.market.int(months).await, 0);
    shop.verify().await;
}

async fn refused_time_changes_nothing(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 1_499).await;
    let wifi = spot(&shop, "09:00-18:00", 1).await;
    let data = shop.market.offer_as(1, 600, 10, true).await.unwrap();
    let good = order(wifi, "13:00", "13:30");
    let refused = async |buyer, order| buy(&shop, buyer, order).await.unwrap_err();
    let unknown = order(99, "13:00", "13:30");
    assert_eq!(refused(2, unknown).await, PurchaseError::ProductUnknown);
    let of_data = order(data, "13:00", "13:30");
    assert_eq!(refused(2, of_data).await, PurchaseError::SpotUnknown);
    let mut hotspot = good;
    hotspot.kind = Kind::Hotspot;
    assert_eq!(refused(2, hotspot).await, PurchaseError::SpotUnknown);
    let mut as_data = of_data;
    as_data.kind = Kind::MobileData;
    assert_eq!(refused(2, as_data).await, PurchaseError::SpotUnknown);
    let mut other = good;
    other.item = "77".parse().unwrap();
    assert_eq!(refused(2, other).await, PurchaseError::SpotUnknown);
    assert_eq!(refused(1, good).await, PurchaseError::OwnProduct);
    let none = NoPlace::Slot(SlotError::NoTime).into();
    assert_eq!(refused(2, order(wifi, "13:00", "16T13:00")).await, none);
    assert_eq!(refused(2, order(wifi, "17:00", "18:01")).await, OUTSIDE);
    assert_eq!(refused(2, good).await, CashShort.into());
    let deleted = shop.market.products.delete(member(1), product(wifi));
    deleted.await.unwrap();
    assert_eq!(refused(2, good).await, PurchaseError::Unavailable);
    let traces = "select (select count(*) from trade) + (select count(*) from booking) \
                  + (select count(*) from schedule) + (select count(*) from outbox)";
    assert_eq!(shop.market.int(traces).await, 0);
    shop.verify().await;
}

/// The first site checked neither dates nor overlap nor capacity, and took windows that leave the hours.
async fn defect_13_dates_past_hours_and_overlap_are_checked(on: On) {
    let (shop, wifi) = shop(on, 5, "09:00-18:00", 2).await;
    let book = async |buyer, from, to| book(&shop, buyer, wifi, (from, to)).await;
    // The page sends the end a day late: half an hour, not a day and a half.
    let late = book(2, "13:00", "16T13:30").await.unwrap();
    assert_eq!(late, (time("13:00"), time("13:30"), 1_500));
    assert_eq!(book(2, "09:00", "10:00").await, Err(OUTSIDE));
    assert_eq!(book(2, "14T13:00", "14T14:00").await, Err(OUTSIDE));
    assert_eq!(book(2, "22T12:01", "22T13:00").await, Err(OUTSIDE));
    // Both ends are inside the hours; the night between them is not.
    assert_eq!(book(2, "17:00", "16T10:00").await, Err(OUTSIDE));
    book(3, "13:20", "14:00").await.unwrap();
    assert_eq!(book(4, "13:10", "13:21").await, Err(FULL));
    assert_eq!(book(4, "12:30", "15:00").await, Err(FULL));
    // Half-open: from the end of one on, and until the start of the other.
    book(4, "13:30", "14:00").await.unwrap();
    book(5, "12:30", "13:20").await.unwrap();
    book(5, "16T13:00", "16T14:00").await.unwrap();
    shop.verify().await;
}

async fn spot_open_over_midnight_is_booked_across_it(on: On) {
    let (shop, night) = shop(on, 3, "18:00-02:00", 1).await;
    let across = book(&shop, 2, night, ("23:00", "01:00")).await.unwrap();
    assert_eq!(across, (time("23:00"), time("16T01:00"), 6_000));
    let over = book(&shop, 3, night, ("23:00", "02:01")).await;
    assert_eq!(over, Err(OUTSIDE));
    let wall = |text: &str| shop.market.base.clock.set_wall(time(text).to_unix());
    wall("23:50");
    // The page has today's date still.
    assert_eq!(book(&shop, 3, night, ("00:10", "01:00")).await, Err(FULL));
    let next = book(&shop, 3, night, ("01:00", "01:30")).await.unwrap();
    assert_eq!(next, (time("16T01:00"), time("16T01:30"), 1_500));
    let tomorrow = book(&shop, 3, night, ("18:00", "19:00")).await.unwrap();
    assert_eq!(tomorrow, (time("16T18:00"), time("16T19:00"), 3_000));
    shop.verify().await;
}

async fn past_start_is_charged_from_now(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 1).await;
    let advance = Duration::from_millis(30_500);
    shop.market.base.clock.advance(advance);
    let now = time("2026-11-15T12:00:30.500");
    let booked = book(&shop, 2, wifi, ("10:00", "12:11")).await.unwrap();
    assert_eq!(booked, (now, time("12:11"), 1_000));
    // Ten minutes late are not changed.
    let late = book(&shop, 2, wifi, ("11:55", "12:00")).await;
    assert_eq!(late, Err(OUTSIDE));
    let full = book(&shop, 2, wifi, ("11:55", "12:05")).await;
    assert_eq!(full, Err(FULL));
    shop.verify().await;
}

async fn same_times_again_are_the_first_purchase(on: On) {
    let (shop, wifi) = shop(on, 3, "09:00-18:00", 1).await;
    let wanted = order(wifi, "13:00", "13:30");
    let first = reply(&shop, 2, wanted, None).await.unwrap();
    assert!(matches!(first, Reply::New(_)));
    let again = async |buyer, order| reply(&shop, buyer, order, None).await;
    let replayed = Ok(Reply::Replayed(first.answer().clone()));
    assert_eq!(again(2, wanted).await, replayed);
    // Whatever the date of the end, and a price that is not compared any more.
    let mut priced = order(wifi, "13:00", "16T13:30");
    priced.price = Some(Won::new(7));
    assert_eq!(again(2, priced).await, replayed);
    assert_eq!(again(3, wanted).await, Err(FULL));
    assert_eq!(again(2, order(wifi, "13:00", "13:31")).await, Err(FULL));
    shop.market.base.clock.advance(Duration::from_secs(7_200));
    assert_eq!(again(2, wanted).await, replayed);
    let deleted = shop.market.products.delete(member(1), product(wifi));
    deleted.await.unwrap();
    assert_eq!(again(2, wanted).await, replayed);
    assert_eq!(shop.cash(2).await, 98_500);
    shop.verify().await;
}

async fn concurrent_identical_requests_are_one_trade(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 10).await;
    let wanted = order(wifi, "13:00", "13:30");
    let buys = (0..20).map(|_| reply(&shop, 2, wanted, None));
    let replies: Vec<_> = join_all(buys)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let new = replies.iter().filter(|one| matches!(one, Reply::New(_)));
    assert_eq!(new.count(), 1);
    let body = &replies[0].answer().body;
    assert!(
        replies.iter().all(|one| one.answer().body == *body),
        "{replies:?}"
    );
    assert_eq!(shop.cash(2).await, 98_500);
    assert_eq!(shop.market.int("select count(*) from booking").await, 1);
    shop.close().await;
}

async fn key_is_stored_with_a_repetition_of_the_times(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 10).await;
    let wanted = order(wifi, "13:00", "13:30");
    let once = |key: &str, body: &[u8]| {
        let route = "POST /api/trades/wifi";
        Some(IdempotentRequest::new(
            member(2),
            route,
            key.to_owned(),
            body,
        ))
    };
    let first = reply(&shop, 2, wanted, once("a", b"1")).await.unwrap();
    let replayed = Reply::Replayed(first.answer().clone());
    for (key, body) in [("a", b"1"), ("b", b"2"), ("b", b"2")] {
        let again = reply(&shop, 2, wanted, once(key, body)).await.unwrap();
        assert_eq!(again, replayed, "{key}");
    }
    let other = reply(&shop, 2, order(wifi, "14:00", "15:00"), once("b", b"3")).await;
    let reused = PurchaseError::Idempotency(IdempotencyError::KeyReused);
    assert_eq!(other, Err(reused));
    assert_eq!(shop.market.int("select count(*) from idempotency").await, 2);
    assert_eq!(shop.cash(2).await, 98_500);
    shop.verify().await;
}

async fn price_of_time_is_compared(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 10).await;
    let mut wanted = order(wifi, "13:00", "13:30");
    wanted.price = Some(Won::new(1_499));
    let refused = buy(&shop, 2, wanted).await;
    let Err(PurchaseError::PriceChanged(terms)) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((terms.price.get(), terms.unit_price.get()), (1_500, 500));
    let mut raised = spot_form(600, SEOUL);
    raised.capacity = Some(10);
    let raised = NewSpot::parse(member(1), Kind::Wifi, raised).unwrap();
    let changed = shop.market.products.change_spot(product(wifi), raised);
    changed.await.unwrap();
    wanted.price = None;
    let refused = buy(&shop, 2, wanted).await;
    assert!(
        matches!(refused, Err(PurchaseError::PriceChanged(_))),
        "{refused:?}"
    );
    wanted.price = Some(Won::new(1_800));
    buy(&shop, 2, wanted).await.unwrap();
    shop.market.base.clock.advance(Duration::from_secs(60));
    buy(&shop, 2, order(wifi, "14:00", "14:10")).await.unwrap();
    assert_eq!(shop.cash(2).await, 100_000 - 1_800 - 600);
    shop.verify().await;
}

async fn capacity_bounds_concurrent_bookings(on: On) {
    let (shop, wifi) = shop(on, 21, "09:00-18:00", 3).await;
    let buys = (2..=21).map(|buyer| buy(&shop, buyer, order(wifi, "13:00", "14:00")));
    let results = join_all(buys).await;
    let (booked, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!(booked.len(), 3);
    assert!(refused.iter().all(|no| *no == Err(FULL)), "{refused:?}");
    shop.close().await;
}

async fn capacity_bounds_the_greatest_overlap(on: On) {
    let (shop, wifi) = shop(on, 41, "09:00-18:00", 3).await;
    let mut random = random();
    let mut slots = Vec::new();
    for buyer in 2..=41 {
        let start = random.random_range(12 * 60..16 * 60);
        let end = start + random.random_range(1..120);
        slots.push((buyer, start, end));
    }
    let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let buys = slots.iter().map(|(buyer, start, end)| {
        let wanted = order(wifi, &clock(*start), &clock(*end));
        buy(&shop, *buyer, wanted)
    });
    let results = join_all(buys).await;
    let taken = slots
        .iter()
        .zip(&results)
        .filter(|(_, result)| result.is_ok());
    let taken: Vec<_> = taken.map(|(slot, _)| *slot).collect();
    let present = |minute: i32| {
        let at = taken
            .iter()
            .filter(|(_, from, to)| (*from..*to).contains(&minute));
        at.count()
    };
    assert!((0..1_440).all(|minute| present(minute) <= 3));
    for ((_, start, end), result) in slots.iter().zip(&results) {
        if let Err(error) = result {
            assert_eq!(*error, FULL);
            assert!(
                (*start..*end).any(|minute| present(minute) == 3),
                "refused in vain"
            );
        }
    }
    shop.close().await;
}

async fn booking_outlives_edits_and_deletion_of_its_spot(on: On) {
    let (shop, wifi) = shop(on, 3, "09:00-18:00", 2).await;
    for buyer in [2, 3] {
        book(&shop, buyer, wifi, ("13:00", "14:00")).await.unwrap();
    }
    let changed = spot_of("20:00-21:00", 1);
    let changed = shop.market.products.change_spot(product(wifi), changed);
    changed.await.unwrap();
    shop.verify().await;
    let deleted = shop.market.products.delete(member(1), product(wifi));
    deleted.await.unwrap();
    shop.verify().await;
    shop.market.base.clock.set_wall(time("14:00").to_unix());
    while schedule(&shop.market.base.db).work().await.unwrap() > 0 {}
    let of = |trade| [(trade, "wifi.started"), (trade, "wifi.ended")];
    assert_eq!(
        announced(&shop.market.base.db).await,
        [of(1), of(3)].concat()
    );
    shop.verify().await;
}

/// The announcements of an instance.
fn schedule(db: &Db) -> Schedule {
    Schedule::new(db.clone(), Arc::new(Metrics::new()), bookings::workers(db))
}

/// Another instance at the same time: on SQLite one process has the file.
async fn beside(on: On, shop: &Shop) -> Db {
    match on {
        On::Postgres => instance(shop).await,
        On::Sqlite => shop.market.base.db.clone(),
    }
}

/// A process of its own on the same database.
async fn instance(shop: &Shop) -> Db {
    let clock = Arc::clone(&shop.market.base.clock) as _;
    let (metrics, drain) = (Arc::new(Metrics::new()), Drain::new());
    let db = Db::open(&shop.market.base.url, clock, metrics, &drain).await;
    db.unwrap()
}

/// The starts and ends in the outbox, by trade and number.
async fn announced(db: &Db) -> Vec<(i64, &'static str)> {
    let mut connection = db.read().await.unwrap();
    let rows = query(
        "select aggregate, kind, body from outbox where kind like 'wifi.%' \
         order by aggregate, aggregate_seq",
    );
    let rows = rows.fetch_all(&mut *connection).await.unwrap();
    let event = |row: &sqlx::any::AnyRow| {
        let (aggregate, kind, body): (String, String, String) =
            (row.get(0), row.get(1), row.get(2));
        let body: Value = serde_json::from_str(&body).unwrap();
        let trade = body["data"]["tradeId"].as_i64().unwrap();
        assert_eq!(aggregate, format!("trade:{trade}"));
        let known = ["wifi.started", "wifi.ended"];
        (
            trade,
            known.into_iter().find(|known| *known == kind).unwrap(),
        )
    };
    let mut events: Vec<_> = rows.iter().map(event).collect();
    // Stable: the numbers of a trade stay in order.
    events.sort_by_key(|(trade, _)| *trade);
    events
}

async fn start_and_end_are_announced_by_the_instance_that_runs_then(on: On) {
    let (shop, wifi) = shop(on, 2, "09:00-18:00", 1).await;
    book(&shop, 2, wifi, ("13:00", "14:00")).await.unwrap();
    let base = &shop.market.base;
    let at = |text: &str| base.clock.set_wall(time(text).to_unix());
    assert_eq!(schedule(&base.db).work().await.unwrap(), 0);
    // The instance that sold the time ends.
    base.drain.hard().cancel();
    base.db.close().await;
    let second = instance(&shop).await;
    at("13:00");
    assert_eq!(schedule(&second).work().await.unwrap(), 1);
    assert_eq!(announced(&second).await, [(1, "wifi.started")]);
    let body = {
        let mut connection = second.read().await.unwrap();
        let row = query("select body from outbox where kind = 'wifi.started'");
        let row = row.fetch_one(&mut *connection).await.unwrap();
        let body: String = row.get(0);
        serde_json::from_str::<Value>(&body).unwrap()
    };
    assert_eq!(body["members"], serde_json::json!([2, 1]));
    let expected = serde_json::json!({
        "tradeId": 1, "buyerId": 2, "productId": wifi, "sellerId": 1,
        "startTime": "2026-11-15T13:00:00.000", "endTime": "2026-11-15T14:00:00.000",
    });
    assert_eq!(body["data"], expected);
    assert_eq!(ledger::verify(&second).await.unwrap(), []);
    second.close().await;
    let third = instance(&shop).await;
    assert_eq!(schedule(&third).work().await.unwrap(), 0);
    at("14:00");
    assert_eq!(schedule(&third).work().await.unwrap(), 1);
    let both = [(1, "wifi.started"), (1, "wifi.ended")];
    assert_eq!(announced(&third).await, both);
    assert_eq!(ledger::verify(&third).await.unwrap(), []);
}

async fn two_instances_announce_each_start_and_end_once(on: On) {
    let (shop, wifi) = shop(on, 21, "09:00-18:00", 20).await;
    let mut expected = Vec::new();
    for buyer in 2..=21 {
        let data = buy(&shop, buyer, order(wifi, "13:00", "13:30"))
            .await
            .unwrap();
        let trade = data["tradeId"].as_i64().unwrap();
        expected.extend([(trade, "wifi.started"), (trade, "wifi.ended")]);
    }
    let (first, second) = (shop.market.base.db.clone(), beside(on, &shop).await);
    for text in ["13:00", "13:30"] {
        shop.market.base.clock.set_wall(time(text).to_unix());
        let run = async |db: &Db| {
            let schedule = schedule(db);
            while schedule.work().await.unwrap() > 0 {}
        };
        tokio::join!(run(&first), run(&second));
    }
    assert_eq!(announced(&first).await, expected);
    assert_eq!(shop.market.int("select count(*) from schedule").await, 0);
    shop.verify().await;
}

/// No instance ran from before the start until after the end.
async fn overdue_start_is_announced_before_its_end(on: On) {
    let (shop, wifi) = shop(on, 9, "09:00-18:00", 10).await;
    let mut expected = Vec::new();
    for buyer in 2..=9 {
        let data = buy(&shop, buyer, order(wifi, "12:00", "12:01"))
            .await
            .unwrap();
        let trade = data["tradeId"].as_i64().unwrap();
        expected.extend([(trade, "wifi.started"), (trade, "wifi.ended")]);
    }
    shop.market.base.clock.set_wall(time("15:00").to_unix());
    let (first, second) = (shop.market.base.db.clone(), beside(on, &shop).await);
    let (one, two) = (schedule(&first), schedule(&second));
    for _ in 0..8 {
        let (one, two) = tokio::join!(one.work(), two.work());
        one.unwrap();
        two.unwrap();
    }
    assert_eq!(announced(&first).await, expected);
    assert_eq!(shop.market.int("select count(*) from schedule").await, 0);
    shop.verify().await;
}
