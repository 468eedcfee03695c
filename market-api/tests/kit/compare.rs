//! The nightly comparison of the gateway's transactions with the books, with a gateway that has books of its own.

use std::sync::Arc;
use std::time::Duration;

use fakes::toss::{FakeToss, How};
use market_api::db::Abort;
use market_api::gateway::Gateway;
use market_api::gateway::toss::{TossGateway, TossSettings, TossTimes};
use market_api::ledger;
use market_api::payments::{
    COMPARISON, ChargeAnswer, ChargeOrder, Payments, PaymentsParts, differences,
};
use market_api::schedule::{self, Schedule};
use shared::clock::Clock as _;
use shared::config::Secret;
use shared::ids::MemberId;
use shared::money::Won;
use sqlx::{Row as _, query};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::on_both;
use crate::support::{Base, NOON_MS, On, crowd, open};

on_both!(
    equal_books_have_no_difference,
    a_capture_that_the_books_lack_is_found_and_credited,
    a_payment_of_an_unknown_order_is_found_and_held,
    a_second_payment_of_an_order_is_found_and_held,
    a_cancel_that_the_books_lack_is_found,
    a_cancel_of_a_held_payment_is_taken_over,
    what_the_gateway_lacks_is_found,
    another_amount_is_found,
    the_present_is_left_to_the_next_night,
    missed_nights_are_caught_up,
    a_day_of_many_pages_is_compared_in_windows,
    a_gateway_that_is_away_delays_the_comparison,
    without_a_gateway_nothing_is_compared,
);

const SECRET: &str = "test_sk";
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The gateway's stand-in over HTTP.
struct Gate {
    toss: Arc<FakeToss>,
    client: Arc<dyn Gateway>,
    _server: JoinSet<()>,
}

impl Gate {
    async fn start(base: &Base) -> Self {
        let toss = Arc::new(FakeToss::new(SECRET, Arc::clone(&base.clock) as _));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Arc::clone(&toss).router();
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            toss,
            client: client(base, &url),
            _server: server,
        }
    }
}

fn client(base: &Base, url: &str) -> Arc<dyn Gateway> {
    let settings = TossSettings {
        base: url.parse().unwrap(),
        secret: Secret::new(SECRET.to_owned()),
        times: TossTimes::default(),
    };
    let (clock, metrics) = (Arc::clone(&base.clock) as _, Arc::clone(&base.metrics));
    Arc::new(TossGateway::new(settings, clock, metrics).unwrap())
}

/// A market's payments with the jobs that belong to them.
struct Shop {
    base: Base,
    gate: Gate,
    payments: Payments,
    schedule: Schedule,
}

fn payments_of(base: &Base, gateway: Option<Arc<dyn Gateway>>) -> (Payments, Schedule) {
    let payments = Payments::new(PaymentsParts {
        db: base.db.clone(),
        gateway,
        payouts: None,
        metrics: Arc::clone(&base.metrics),
        drain: base.drain.clone(),
    });
    let workers = payments.workers();
    let schedule = Schedule::new(base.db.clone(), Arc::clone(&base.metrics), workers);
    (payments, schedule)
}

impl Shop {
    /// At noon, with two members. The comparison has run, so that the next is at four o'clock.
    async fn open(on: On) -> Self {
        let base = open(on).await;
        sql(&base, crowd(1, 2, 0)).await;
        let gate = Gate::start(&base).await;
        let (payments, schedule) = payments_of(&base, Some(Arc::clone(&gate.client)));
        let put = base.db.write((), |(), tx| {
            Box::pin(async move {
                let now = tx.now();
                schedule::put(tx, COMPARISON, "", now, "").await?;
                Ok::<_, Abort<()>>(())
            })
        });
        put.await.unwrap();
        let shop = Self {
            base,
            gate,
            payments,
            schedule,
        };
        shop.work().await;
        shop
    }

    /// Runs all jobs and checks that are due.
    async fn work(&self) {
        while self.schedule.work().await.unwrap() + self.payments.run_due().await.unwrap() > 0 {}
    }

    async fn save(&self, order: &str, amount: i64) {
        let order = order.to_owned().try_into().unwrap();
        let saved = self.payments.save_order(member(), order, Won::new(amount));
        saved.await.unwrap();
    }

    /// A charge as a member makes it; the payment's key.
    async fn charge(&self, order: &str, amount: i64) -> String {
        self.save(order, amount).await;
        let key = self.gate.toss.authorize(order, amount, How::Card);
        let charge = ChargeOrder {
            member: member(),
            key: key.clone().try_into().unwrap(),
            order: order.to_owned().try_into().unwrap(),
            amount: Won::new(amount),
        };
        let answer = self.payments.charge(charge).await.unwrap();
        assert!(matches!(answer, ChargeAnswer::Captured { .. }));
        key
    }

    /// To four o'clock of the next morning, from noon.
    async fn night(&self) {
        self.base.clock.advance(16 * HOUR);
        self.work().await;
    }

    /// Differences as `kind reference ours theirs`, and whether they are open.
    async fn found(&self) -> Vec<(String, bool)> {
        let rows = query(
            "select kind, reference, ours, theirs, resolved_at from gateway_difference order by id",
        )
        .fetch_all(&mut *self.base.db.read().await.unwrap())
        .await
        .unwrap();
        let text = |row: &sqlx::any::AnyRow| {
            let kind: String = row.try_get("kind").unwrap();
            let reference: String = row.try_get("reference").unwrap();
            let ours: i64 = row.try_get("ours").unwrap();
            let theirs: i64 = row.try_get("theirs").unwrap();
            let resolved: Option<i64> = row.try_get("resolved_at").unwrap();
            let text = format!("{kind} {reference} {ours} {theirs}");
            (text, resolved.is_none())
        };
        rows.iter().map(text).collect()
    }

    async fn check(&self, expected: &[(String, bool)]) {
        assert_eq!(self.found().await, expected);
    }

    async fn number(&self, text: &str) -> i64 {
        let mut connection = self.base.db.read().await.unwrap();
        let row = query(sqlx::AssertSqlSafe(text.to_owned())).fetch_one(&mut *connection);
        row.await.unwrap().try_get(0).unwrap()
    }

    /// The only cancel of a payment, by its transaction's key.
    fn cancel_of(&self, key: &str) -> String {
        let booked = self.gate.toss.booked(key).unwrap();
        booked.cancels[0].transaction_key.clone()
    }
}

fn member() -> MemberId {
    MemberId::try_from(1_u64).unwrap()
}

async fn sql(base: &Base, texts: Vec<String>) {
    let done = base.db.write(texts, |texts, tx| {
        Box::pin(async move {
            for text in texts {
                query(sqlx::AssertSqlSafe(text.clone()))
                    .execute(tx.connection())
                    .await?;
            }
            Ok::<_, Abort<()>>(())
        })
    });
    done.await.unwrap();
}

async fn equal_books_have_no_difference(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.charge("order-1", 5_000).await;
    shop.charge("order-2", 7_000).await;
    // What moved no money is no transaction.
    shop.gate.toss.authorize("order-3", 9_000, How::Card);
    assert!(shop.gate.toss.dashboard_cancel(&key, 1_000));
    let notified = format!(r#"{{"data": {{"orderId": "order-1", "paymentKey": "{key}"}}}}"#);
    shop.payments.notify(notified.as_bytes()).await.unwrap();
    shop.base.clock.advance(Duration::from_secs(10));
    shop.work().await;
    assert_eq!(shop.number("select count(*) from gateway_cancel").await, 1);
    shop.night().await;
    shop.check(&[]).await;
    let next = "select due_at from schedule where name = 'gateway-comparison'";
    let night = NOON_MS + i64::try_from((16 * HOUR + DAY).as_millis()).unwrap();
    assert_eq!(shop.number(next).await, night);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn a_capture_that_the_books_lack_is_found_and_credited(on: On) {
    let shop = Shop::open(on).await;
    shop.save("order-1", 5_000).await;
    let key = shop.gate.toss.authorize("order-1", 5_000, How::Card);
    // Captured without a confirmation of ours, and no notification arrives.
    assert!(shop.gate.toss.capture(&key));
    shop.base.clock.advance(16 * HOUR);
    shop.schedule.work().await.unwrap();
    let found = format!("MISSING_IN_BOOKS capture {key} 0 5000");
    shop.check(&[(found.clone(), true)]).await;
    let open = differences(&shop.base.db).await.unwrap();
    let expected = [
        ("missing_in_books", 1),
        ("missing_at_gateway", 0),
        ("amount", 0),
    ];
    assert_eq!(open, expected);
    // The reconciler credits it, and the next look sees that.
    let charged = "select charged from wallet where member_id = 1";
    assert_eq!(shop.number(charged).await, 0);
    shop.work().await;
    shop.base.clock.advance(HOUR);
    shop.work().await;
    shop.check(&[(found, false)]).await;
    assert_eq!(shop.number(charged).await, 5_000);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn a_payment_of_an_unknown_order_is_found_and_held(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.gate.toss.authorize("stranger-1", 5_000, How::Card);
    assert!(shop.gate.toss.capture(&key));
    shop.night().await;
    let found = format!("MISSING_IN_BOOKS capture {key} 0 5000");
    let held = "select count(*) from suspense_payment where order_id = 'stranger-1' \
        and captured = 5000 and charge_id is null and needs_attention = 1";
    assert_eq!(shop.number(held).await, 1);
    shop.base.clock.advance(HOUR);
    shop.work().await;
    shop.check(&[(found, false)]).await;
    assert_eq!(shop.number(held).await, 1);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn a_second_payment_of_an_order_is_found_and_held(on: On) {
    let shop = Shop::open(on).await;
    shop.charge("order-1", 5_000).await;
    let second = shop.gate.toss.authorize("order-1", 5_000, How::Card);
    assert!(shop.gate.toss.capture(&second));
    shop.night().await;
    let found = format!("MISSING_IN_BOOKS capture {second} 0 5000");
    // Held by the comparison itself, so that the look that follows it sees it.
    shop.check(&[(found, false)]).await;
    let held =
        "select cast(sum(captured) as bigint) from suspense_payment where needs_attention = 1";
    assert_eq!(shop.number(held).await, 5_000);
    let charged = "select charged from wallet where member_id = 1";
    assert_eq!(shop.number(charged).await, 5_000);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn a_cancel_that_the_books_lack_is_found(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.charge("order-1", 5_000).await;
    assert!(shop.gate.toss.dashboard_cancel(&key, 1_000));
    let cancel = shop.cancel_of(&key);
    shop.base.clock.advance(16 * HOUR);
    shop.schedule.work().await.unwrap();
    let found = format!("MISSING_IN_BOOKS cancel {cancel} 0 1000");
    shop.check(&[(found.clone(), true)]).await;
    // The charge is queried, and the member's cash follows the cancel.
    shop.work().await;
    let charged = "select charged from wallet where member_id = 1";
    assert_eq!(shop.number(charged).await, 4_000);
    shop.base.clock.advance(HOUR);
    shop.work().await;
    shop.check(&[(found, false)]).await;
    assert_eq!(shop.number(charged).await, 4_000);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn a_cancel_of_a_held_payment_is_taken_over(on: On) {
    let shop = Shop::open(on).await;
    shop.charge("order-1", 5_000).await;
    let second = shop.gate.toss.authorize("order-1", 5_000, How::Card);
    assert!(shop.gate.toss.capture(&second));
    shop.night().await;
    // An operator gives it back in the gateway's console. A query by the order shows the first payment.
    assert!(shop.gate.toss.dashboard_cancel(&second, 5_000));
    shop.base.clock.advance(DAY);
    shop.work().await;
    let open = shop.found().await.into_iter().filter(|(_, open)| *open);
    assert_eq!(open.count(), 0);
    let given_back =
        "select count(*) from suspense_payment where canceled = 5000 and needs_attention = 0";
    assert_eq!(shop.number(given_back).await, 1);
    assert_eq!(ledger::verify(&shop.base.db).await.unwrap(), []);
}

async fn what_the_gateway_lacks_is_found(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.charge("order-1", 5_000).await;
    // Another gateway, with an empty book.
    let empty = Gate::start(&shop.base).await;
    let (_payments, schedule) = payments_of(&shop.base, Some(empty.client));
    shop.base.clock.advance(16 * HOUR);
    while schedule.work().await.unwrap() > 0 {}
    let found = format!("MISSING_AT_GATEWAY capture {key} 5000 0");
    shop.check(&[(found.clone(), true)]).await;
    // It stays while the gateway lacks it, once.
    shop.base.clock.advance(DAY);
    while schedule.work().await.unwrap() > 0 {}
    shop.check(&[(found.clone(), true)]).await;
    // The list is complete again.
    shop.base.clock.advance(HOUR);
    shop.work().await;
    shop.check(&[(found, false)]).await;
}

async fn another_amount_is_found(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.charge("order-1", 5_000).await;
    let set = |amount: i64| {
        format!(
            "update charge set amount = {amount}, captured = {amount} where order_id = 'order-1'"
        )
    };
    sql(&shop.base, vec![set(6_000)]).await;
    shop.night().await;
    let found = format!("AMOUNT capture {key} 6000 5000");
    shop.check(&[(found.clone(), true)]).await;
    sql(&shop.base, vec![set(5_000)]).await;
    shop.base.clock.advance(HOUR);
    shop.work().await;
    shop.check(&[(found.clone(), false)]).await;
    // One that comes back is found anew: the row is the same.
    sql(&shop.base, vec![set(6_000)]).await;
    let again = "update schedule set body = '0', due_at = 0 where name = 'gateway-comparison'";
    sql(&shop.base, vec![again.to_owned()]).await;
    shop.work().await;
    shop.check(&[(found, true)]).await;
}

async fn the_present_is_left_to_the_next_night(on: On) {
    let shop = Shop::open(on).await;
    shop.base
        .clock
        .advance(12 * HOUR - Duration::from_secs(600));
    let key = shop.gate.toss.authorize("stranger-1", 5_000, How::Card);
    assert!(shop.gate.toss.capture(&key));
    // Twenty minutes later is the next day.
    shop.base.clock.advance(Duration::from_secs(1_200));
    let now = "update schedule set due_at = 0 where name = 'gateway-comparison'";
    sql(&shop.base, vec![now.to_owned()]).await;
    shop.work().await;
    shop.check(&[]).await;
    shop.base.clock.advance(4 * HOUR);
    shop.work().await;
    assert_eq!(shop.found().await.len(), 1);
}

async fn missed_nights_are_caught_up(on: On) {
    let shop = Shop::open(on).await;
    let mut keys = Vec::new();
    for day in 0..4 {
        shop.save(&format!("order-{day}"), 5_000).await;
        let order = format!("order-{day}");
        let key = shop.gate.toss.authorize(&order, 5_000, How::Card);
        assert!(shop.gate.toss.capture(&key));
        keys.push(key);
        shop.base.clock.advance(DAY);
    }
    shop.work().await;
    let found: Vec<_> = shop
        .found()
        .await
        .into_iter()
        .map(|found| found.0)
        .collect();
    let expected = keys.iter();
    let expected = expected.map(|key| format!("MISSING_IN_BOOKS capture {key} 0 5000"));
    assert_eq!(found, expected.collect::<Vec<_>>());
    assert_eq!(
        shop.number("select charged from wallet where member_id = 1")
            .await,
        20_000
    );
}

async fn a_day_of_many_pages_is_compared_in_windows(on: On) {
    const COUNT: i64 = 1_203;
    let shop = Shop::open(on).await;
    let mut texts = Vec::new();
    let mut missing = Vec::new();
    for n in 1..=COUNT {
        let order = format!("order-{n}");
        let key = shop.gate.toss.authorize(&order, n, How::Card);
        assert!(shop.gate.toss.capture(&key));
        let at = shop.base.clock.unix_millis().get() / 1_000 * 1_000;
        // Several in each second, so that windows end within seconds of many rows.
        shop.base.clock.advance(Duration::from_millis(70));
        if n % 400 == 0 {
            missing.push(format!("MISSING_IN_BOOKS capture {key} 0 {n}"));
            continue;
        }
        texts.push(format!(
            "insert into trade (id, member_id, kind, price, fee, charged, earned, month, created_at) \
             values ({n}, 1, 'CHARGE', {n}, 0, 0, 0, 202611, {NOON_MS})"
        ));
        texts.push(format!(
            "insert into charge (order_id, member_id, amount, state, payment_key, captured, captured_at, trade_id, \
             created_at) values ('{order}', 1, {n}, 'CAPTURED', '{key}', {n}, {at}, {n}, {NOON_MS})"
        ));
    }
    sql(&shop.base, texts).await;
    shop.base.clock.advance(16 * HOUR);
    shop.schedule.work().await.unwrap();
    // The first run has compared a part of the day.
    let body = "select length(body) from schedule where name = 'gateway-comparison' and due_at <= ";
    let now = shop.base.clock.unix_millis().get();
    assert!(shop.number(&format!("{body}{now}")).await > 0);
    shop.work().await;
    let found: Vec<_> = shop
        .found()
        .await
        .into_iter()
        .map(|found| found.0)
        .collect();
    assert_eq!(found, missing);
}

async fn a_gateway_that_is_away_delays_the_comparison(on: On) {
    let shop = Shop::open(on).await;
    let key = shop.gate.toss.authorize("stranger-1", 5_000, How::Card);
    assert!(shop.gate.toss.capture(&key));
    // Nothing listens there.
    let away = client(&shop.base, "http://127.0.0.1:9");
    let (_payments, schedule) = payments_of(&shop.base, Some(away));
    shop.base.clock.advance(16 * HOUR);
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(schedule.work().await.unwrap(), 0, "it is retried later");
    shop.check(&[]).await;
    shop.base.clock.advance(HOUR);
    shop.work().await;
    assert_eq!(shop.found().await.len(), 1);
}

async fn without_a_gateway_nothing_is_compared(on: On) {
    let shop = Shop::open(on).await;
    shop.charge("order-1", 5_000).await;
    let (_payments, schedule) = payments_of(&shop.base, None);
    shop.base.clock.advance(16 * HOUR);
    assert_eq!(schedule.work().await.unwrap(), 1);
    assert_eq!(schedule.work().await.unwrap(), 0);
    shop.check(&[]).await;
}
