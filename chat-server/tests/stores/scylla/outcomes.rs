//! Lost answers: the error that the caller gets, and that a retry finds the outcome.

use std::sync::Arc;
use std::time::Duration;

use chat_server::append::{RoomHeads, RoomHeadsParts};
use chat_server::bus::local::LocalBus;
use chat_server::hub::{Hub, HubParts};
use chat_server::log::Topic;
use chat_server::metrics::Metrics;
use chat_server::rooms::{RoomSpec, Rooms, RoomsParts};
use chat_server::store::scylla::ScyllaStore;
use chat_server::store::{
    Append, MessageStore, ReadConsistency, Role, Room, RoomMember, RoomStore, StoreError,
};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use shared::clock::SystemClock;
use shared::drain::Drain;
use shared::ids::{MemberId, Seq};
use tokio::time::{interval, timeout};

use super::proxy::{Mode, Proxy};
use super::rooms::is_shown;
use super::{
    KEYSPACE, PATIENCE, append, assert_whole, connect, head, servers, settings, settings_at,
};
use crate::contract::make::{batch, fresh_member, fresh_room, fresh_topic, millis, seq};

/// Longer than any answer takes that comes, also on a busy machine.
const ANSWER_WAIT: Duration = Duration::from_secs(4);

async fn through_proxy() -> (Proxy, Arc<ScyllaStore>) {
    let proxy = Proxy::to(&servers(), Mode::Open).await;
    let mut settings = settings_at(&proxy.address.to_string(), &KEYSPACE);
    settings.answer_wait = ANSWER_WAIT;
    (proxy, connect(&settings).await)
}

async fn unknown(store: &ScyllaStore, topic: Topic, at: u32) {
    let outcome = timeout(PATIENCE, store.append(topic, seq(at.into()), entries(at)));
    let outcome = outcome.await.expect("the store has a deadline of its own");
    assert!(
        matches!(outcome, Err(StoreError::Unknown(_))),
        "{outcome:?}"
    );
}

fn entries(at: u32) -> Vec<Arc<chat_server::log::Entry>> {
    batch(seq(at.into()), 2, u128::from(at + 1))
}

/// Retries, as the appender does, until the store returns an outcome.
async fn settle(store: &ScyllaStore, topic: Topic, at: u32) -> Append {
    let asking = async {
        let mut pause = interval(Duration::from_millis(50));
        loop {
            pause.tick().await;
            match store.append(topic, seq(at.into()), entries(at)).await {
                Ok(outcome) => return outcome,
                Err(StoreError::Unknown(_) | StoreError::Unavailable(_)) => {}
                Err(StoreError::Corrupt(why)) => panic!("{why}"),
            }
        }
    };
    timeout(PATIENCE, asking).await.expect("it settles")
}

#[tokio::test]
async fn lost_answer_is_unknown_and_the_repeat_finds_it_stored() {
    let (proxy, store) = through_proxy().await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    proxy.set(Mode::HoldAnswers);
    unknown(&store, topic, 3).await;
    proxy.set(Mode::Open);
    assert_eq!(settle(&store, topic, 3).await, super::conflict(5));
    assert_whole(&store, topic, 5).await;
}

#[tokio::test]
async fn request_that_arrives_late_is_stored_once() {
    let (proxy, store) = through_proxy().await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    proxy.set(Mode::HoldRequests);
    unknown(&store, topic, 3).await;
    proxy.set(Mode::Open);
    // Now the first request may arrive before the second or after it.
    let outcome = settle(&store, topic, 3).await;
    assert!(
        [Append::Applied, super::conflict(5)].contains(&outcome),
        "{outcome:?}"
    );
    assert_eq!(head(&store, topic).await, 5);
    assert_whole(&store, topic, 5).await;
    assert_eq!(append(&store, topic, 5, 1).await, Append::Applied);
}

#[tokio::test]
async fn connection_that_breaks_is_unknown_and_comes_back() {
    let (proxy, store) = through_proxy().await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    proxy.set(Mode::HoldAnswers);
    let (outcome, ()) = tokio::join!(biased;
        store.append(topic, seq(3), entries(3)),
        async { proxy.set(Mode::Cut) }
    );
    assert!(
        matches!(outcome, Err(StoreError::Unknown(_))),
        "{outcome:?}"
    );
    proxy.set(Mode::Open);
    let outcome = settle(&store, topic, 3).await;
    assert!(
        [Append::Applied, super::conflict(5)].contains(&outcome),
        "{outcome:?}"
    );
    assert_whole(&store, topic, 5).await;
}

#[tokio::test]
async fn without_any_server_nothing_was_written_for_certain() {
    let (proxy, store) = through_proxy().await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    proxy.set(Mode::Cut);
    let asking = async {
        let mut pause = interval(Duration::from_millis(10));
        loop {
            pause.tick().await;
            match store.append(topic, seq(3), entries(3)).await {
                Err(StoreError::Unavailable(why)) => return why,
                // Before the driver has noticed.
                Err(StoreError::Unknown(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let why = timeout(PATIENCE, asking).await.expect("the driver notices");
    assert!(!why.is_empty());
    proxy.set(Mode::Open);
    assert_eq!(settle(&store, topic, 3).await, Append::Applied);
    assert_whole(&store, topic, 5).await;
}

#[tokio::test]
async fn frozen_server_holds_nobody_for_ever() {
    let (proxy, store) = through_proxy().await;
    let (topic, who) = (fresh_topic(), fresh_member());
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    proxy.set(Mode::HoldAnswers);
    let reads = async {
        let read = |view| store.read(topic, Seq::ZERO, Seq::MAX, view);
        let (head, page) = (
            store.head(topic, ReadConsistency::Quorum),
            read(ReadConsistency::Quorum),
        );
        let (settled, memberships) = (read(ReadConsistency::Serial), store.memberships(who));
        let (head, page, settled, memberships) = tokio::join!(head, page, settled, memberships);
        let errors = [
            head.map(drop),
            page.map(drop),
            settled.map(drop),
            memberships.map(drop),
        ];
        for error in errors {
            assert!(
                matches!(error, Err(StoreError::Unavailable(_))),
                "{error:?}"
            );
        }
    };
    timeout(PATIENCE, reads).await.expect("each has a deadline");
    let mark = timeout(PATIENCE, store.mark_read(who, fresh_room(), seq(1))).await;
    let mark = mark.expect("it has a deadline");
    assert!(mark.is_err(), "{mark:?}");
    proxy.set(Mode::Open);
    let after = settle(&store, topic, 3).await;
    assert_eq!(after, Append::Applied, "reads and marks append nothing");
    assert_whole(&store, topic, 5).await;
}

/// The rooms of a node on this store.
fn rooms_on(store: &Arc<ScyllaStore>) -> Rooms {
    let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
    let (clock, bus) = (
        Arc::new(SystemClock),
        Arc::new(LocalBus::new().attach(64).0),
    );
    let heads = RoomHeads::new(RoomHeadsParts {
        rooms: Arc::clone(store) as _,
        messages: Arc::clone(store) as _,
        drain: drain.clone(),
        metrics: Arc::clone(&metrics),
    });
    let hub = Hub::new(HubParts {
        store: Arc::clone(store) as _,
        heads: heads.clone(),
        bus: Arc::clone(&bus) as _,
        clock: Arc::clone(&clock) as _,
        drain,
        metrics: Arc::clone(&metrics),
    });
    Rooms::new(RoomsParts {
        rooms: Arc::clone(store) as _,
        messages: Arc::clone(store) as _,
        heads,
        hub,
        bus,
        clock,
        metrics,
        random: StdRng::seed_from_u64(7),
    })
}

/// The room is written before its memberships: where the answer is lost they are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_put_again_after_a_lost_answer_is_shown_to_its_members() {
    let (proxy, far) = through_proxy().await;
    let near = connect(&settings()).await;
    let (id, ids) = (fresh_room(), [(); 3].map(|()| fresh_member()));
    let [stays, leaves, comes] = ids;
    let members = |ids: [MemberId; 2]| {
        let member = |member_id| RoomMember {
            member_id,
            role: Role::Member,
            name: "n".to_owned(),
            image_url: None,
        };
        ids.map(member).to_vec()
    };
    let room = |ids| Room {
        room_id: id,
        members: members(ids),
        product: None,
        opaque: false,
        created_at: millis(1_000),
    };
    far.put_room(&room([stays, leaves])).await.unwrap();
    proxy.set(Mode::HoldAnswers);
    let after = room([stays, comes]);
    let lost = timeout(PATIENCE, far.put_room(&after)).await;
    let lost = lost.expect("it has a deadline");
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    let shown = async || {
        let mut shown = Vec::new();
        for member in ids {
            shown.push(is_shown(&near, member, id).await);
        }
        shown
    };
    assert_eq!(near.room(id).await.unwrap(), Some(after.clone()));
    assert_eq!(shown().await, [true, true, false]);

    // The stored room equals the specification already, and its memberships are completed
    // nevertheless.
    let spec = RoomSpec {
        members: after.members,
        product: None,
        opaque: false,
    };
    rooms_on(&near).put(id, spec).await.unwrap();
    assert_eq!(shown().await, [true, false, true]);
}
