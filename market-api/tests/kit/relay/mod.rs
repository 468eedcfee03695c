//! The relay: events reach the chat server in order, once in effect, whatever fails in between.

mod instances;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use market_api::auth::KeyRing;
use market_api::chat_api::ChatApi;
use market_api::db::{Abort, Db, DbUrl};
use market_api::metrics::Metrics;
use market_api::outbox::{NewEvent, append};
use market_api::relay::{HttpEventReceiver, Relay, RelayParts, RelayState, RelayStatus};
use shared::claims::TokenScope;
use shared::clock::LocalDateTime;
use shared::drain::Drain;
use shared::event::{Aggregate, Event};
use sqlx::{AssertSqlSafe, Executor as _, Row as _, query};
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::chat::{Chat, Mode};
use crate::on_both;
use crate::support::{Base, On, eventually, open, session};

on_both! {
    concurrent_events_arrive_once_in_the_order_of_their_aggregates,
    rows_are_deleted_only_after_the_chat_server_has_stored_them,
    chat_server_away_for_ten_minutes_gets_everything_once_in_order,
    refused_events_are_dead_and_hold_up_no_other,
    refusal_that_names_no_event_of_the_post_is_retried,
    post_that_is_too_large_is_halved,
    commit_wakes_the_relay_of_its_process,
    idle_relay_writes_nothing,
    stop_finishes_the_post_in_flight_and_releases_the_lease,
    interrupted_post_is_repeated,
    stored_events_are_not_posted_again_while_their_rows_cannot_be_deleted,
}

/// An instance of the market, as far as it concerns the relay.
struct Instance {
    db: Db,
    metrics: Arc<Metrics>,
    status: RelayStatus,
    drain: Drain,
    _keys: TempDir,
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl Instance {
    async fn start(base: &Base, chat: &Chat) -> Self {
        let (clock, url) = (Arc::clone(&base.clock), base.url.clone());
        Self::start_by(url, clock, chat.base.clone()).await
    }

    async fn start_by(url: DbUrl, clock: Arc<shared::clock::ManualClock>, chat: String) -> Self {
        let (metrics, drain) = (Arc::new(Metrics::new()), Drain::new());
        let db = Db::open(&url, clock.clone(), Arc::clone(&metrics), &drain);
        let db = db.await.unwrap();
        let keys = tempfile::tempdir().unwrap();
        let scope = TokenScope {
            issuer: "https://market.example".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let ring = KeyRing::open(keys.path(), scope, clock.clone()).unwrap();
        let api = ChatApi::new(&chat.parse().unwrap(), Arc::new(ring), clock.clone());
        let relay = Relay::new(RelayParts {
            db: db.clone(),
            receiver: Arc::new(HttpEventReceiver(Arc::new(api.unwrap()))),
            clock,
            metrics: Arc::clone(&metrics),
            answer_max: Duration::from_secs(10),
            drain: drain.clone(),
        });
        let status = relay.status();
        relay.start();
        Self {
            db,
            metrics,
            status,
            drain,
            _keys: keys,
        }
    }

    fn relayed(&self) -> u64 {
        self.metrics.relay.events.get()
    }

    fn posts(&self, outcome: &str) -> u64 {
        self.metrics.relay.posts.with_label_values(&[outcome]).get()
    }

    fn wakes(&self, by: &str) -> u64 {
        self.metrics.relay.wakes.with_label_values(&[by]).get()
    }

    async fn stop(self) {
        self.drain.begin();
        drop(self.db.clone());
        let stopped = self.drain.running();
        eventually(&format!("the relay stops: {stopped:?}"), async || {
            let running = self.drain.running();
            !running.iter().any(|(name, _)| name.starts_with("outbox"))
        })
        .await;
    }
}

async fn happen(db: &Db, aggregate: &str) {
    let event = NewEvent {
        event: Event::MemberBlocked,
        aggregate: Aggregate::try_from(aggregate.to_owned()).unwrap(),
        members: vec![7_u64.try_into().unwrap()],
    };
    let appended = db.write(event, |event, tx| {
        Box::pin(async move {
            append(tx, event).await?;
            Ok::<_, Abort<()>>(())
        })
    });
    appended.await.unwrap();
}

async fn count(db: &Db, filter: &str) -> i64 {
    let text = format!("select count(*) from outbox where {filter}");
    let mut connection = db.read().await.unwrap();
    let row = query(AssertSqlSafe(text)).fetch_one(&mut *connection).await;
    row.unwrap().try_get(0).unwrap()
}

/// Waits until nothing is left to relay, and moves the clock on meanwhile, so that no back-off is waited for.
async fn relayed_all(base: &Base) {
    eventually("everything is relayed", async || {
        base.clock.advance(Duration::from_secs(1));
        count(&base.db, "dead_at is null").await == 0
    })
    .await;
}

fn in_order(counts: &[(&str, u64)]) -> BTreeMap<String, Vec<u64>> {
    let numbers = |(name, count): &(&str, u64)| ((*name).to_owned(), (1..=*count).collect());
    counts.iter().map(numbers).collect()
}

async fn concurrent_events_arrive_once_in_the_order_of_their_aggregates(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    let instance = Instance::start(&base, &chat).await;
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let db = match writer % 2 {
            0 => base.db.clone(),
            _ => instance.db.clone(),
        };
        writers.spawn(async move {
            for n in 0..40 {
                happen(&db, ["a", "b", "c", "d"][(writer + n) % 4]).await;
            }
        });
    }
    writers.join_all().await;
    eventually("everything is relayed", async || {
        count(&base.db, "true").await == 0
    })
    .await;
    let expected = in_order(&[("a", 80), ("b", 80), ("c", 80), ("d", 80)]);
    assert_eq!(chat.stored(), expected);
    let now = LocalDateTime::from_unix(base.db.now());
    assert!(chat.posted_at().iter().all(|at| *at == now));
    assert_eq!(instance.status.get(), RelayState::Ok);
}

async fn rows_are_deleted_only_after_the_chat_server_has_stored_them(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Status(503));
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    for status in [200, 302, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503] {
        chat.set(Mode::Status(status));
        let before = chat.posts().len();
        eventually("it is posted twice", async || {
            base.clock.advance(Duration::from_secs(1));
            chat.posts().len() > before + 1
        })
        .await;
        assert_eq!(count(&base.db, "dead_at is null").await, 1, "{status}");
    }
    assert_eq!(instance.status.get(), RelayState::Unavailable);
    assert_eq!(instance.relayed(), 0);
    chat.set(Mode::Store);
    relayed_all(&base).await;
    assert_eq!(chat.stored(), in_order(&[("a", 1)]));
    assert_eq!(instance.status.get(), RelayState::Ok);
}

async fn chat_server_away_for_ten_minutes_gets_everything_once_in_order(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Status(503));
    let instance = Instance::start(&base, &chat).await;
    for _ in 0..60 {
        happen(&instance.db, "a").await;
        happen(&base.db, "b").await;
        base.clock.advance(Duration::from_secs(10));
    }
    eventually("it is posted in vain", async || instance.posts("away") > 0).await;
    chat.set(Mode::Store);
    relayed_all(&base).await;
    assert_eq!(chat.stored(), in_order(&[("a", 60), ("b", 60)]));
}

async fn refused_events_are_dead_and_hold_up_no_other(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Refuse("bad"));
    for aggregate in ["a", "bad", "b", "bad", "a"] {
        happen(&base.db, aggregate).await;
    }
    let instance = Instance::start(&base, &chat).await;
    // The clock stands still: nothing waits for a back-off.
    eventually("the others are relayed", async || {
        count(&base.db, "dead_at is null").await == 0
    })
    .await;
    assert_eq!(chat.stored(), in_order(&[("a", 2), ("b", 1)]));
    let dead = "dead_at = 1794711600000 and dead_reason = 'bad taste' and aggregate = 'bad'";
    assert_eq!(count(&base.db, dead).await, 2);
    assert_eq!(instance.metrics.relay.dead.get(), 2);
    assert_eq!(chat.posts(), [5, 3]);
}

async fn refusal_that_names_no_event_of_the_post_is_retried(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::RefuseOther);
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    eventually("it is posted again", async || {
        base.clock.advance(Duration::from_secs(1));
        chat.posts().len() > 2
    })
    .await;
    assert_eq!(count(&base.db, "dead_at is null").await, 1);
    assert_eq!(instance.status.get(), RelayState::Unavailable);
    chat.set(Mode::Store);
    relayed_all(&base).await;
    assert_eq!(instance.metrics.relay.dead.get(), 0);
}

async fn post_that_is_too_large_is_halved(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::AtMost(30));
    for n in 0..100 {
        happen(&base.db, ["a", "b"][n % 2]).await;
    }
    let instance = Instance::start(&base, &chat).await;
    eventually("everything is relayed", async || {
        count(&base.db, "true").await == 0
    })
    .await;
    assert_eq!(chat.stored(), in_order(&[("a", 50), ("b", 50)]));
    let halved = &chat.posts()[..4];
    assert_eq!(halved, [100, 50, 25, 35], "grows after a success");
    assert_eq!(instance.posts("away"), 0);
}

async fn commit_wakes_the_relay_of_its_process(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    eventually("the commit wakes it", async || {
        instance.wakes("commit") == 1
    })
    .await;
    relayed_all(&base).await;
    assert_eq!(instance.wakes("notification"), 0);
}

async fn idle_relay_writes_nothing(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    let instance = Instance::start(&base, &chat).await;
    eventually("it polls", async || instance.wakes("poll") > 1).await;
    assert_eq!(instance.metrics.db.writes_started.get(), 0);
    assert_eq!(instance.metrics.relay.lease_held.get(), 0);
    assert_eq!(instance.status.get(), RelayState::Ok);
}

async fn stop_finishes_the_post_in_flight_and_releases_the_lease(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Hold);
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    eventually("it is posted", async || chat.posts().len() == 1).await;
    assert_eq!(instance.metrics.relay.lease_held.get(), 1);
    happen(&instance.db, "a").await;
    instance.drain.begin();
    chat.release();
    instance.stop().await;
    assert_eq!(count(&base.db, "true").await, 1, "the second event stays");
    // The clock stands still, and the lease is free.
    chat.set(Mode::Store);
    let _other = Instance::start(&base, &chat).await;
    eventually("another instance goes on", async || {
        count(&base.db, "true").await == 0
    })
    .await;
    assert_eq!(chat.stored(), in_order(&[("a", 2)]));
}

async fn stored_events_are_not_posted_again_while_their_rows_cannot_be_deleted(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Hold);
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    eventually("it is posted", async || chat.posts().len() == 1).await;
    let mut other = session(&base.url).await;
    let lock = match on {
        On::Postgres => "begin; lock table outbox in share mode",
        On::Sqlite => "begin immediate",
    };
    other.execute(lock).await.unwrap();
    chat.set(Mode::Store);
    chat.release();
    eventually("a deletion fails", async || {
        let writes = &instance.metrics.db.writes;
        let failed = ["busy", "unavailable"].map(|end| writes.with_label_values(&[end]).get());
        failed.iter().sum::<u64>() > 0
    })
    .await;
    other.execute("rollback").await.unwrap();
    eventually("it is deleted", async || count(&base.db, "true").await == 0).await;
    assert_eq!(chat.posts(), [1]);
}

async fn interrupted_post_is_repeated(on: On) {
    let (base, chat) = (open(on).await, Chat::start().await);
    chat.set(Mode::Hang);
    let instance = Instance::start(&base, &chat).await;
    happen(&instance.db, "a").await;
    eventually("it is posted", async || chat.posts().len() == 1).await;
    instance.drain.hard().cancel();
    instance.stop().await;
    assert_eq!(count(&base.db, "dead_at is null").await, 1);
    chat.set(Mode::Store);
    let _other = Instance::start(&base, &chat).await;
    relayed_all(&base).await;
    assert_eq!(chat.stored(), in_order(&[("a", 1)]));
}
