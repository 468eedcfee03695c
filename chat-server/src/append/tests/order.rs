//! The order of one connection's sends through outages. Time is virtual.

use std::collections::VecDeque;
use std::iter::repeat_n;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::time::sleep;

use super::super::{AppendError, HOLD_MAX};
use super::*;

const MESSAGES: usize = 40;

/// A client that has several messages under way and sends again, in their order, those that failed,
/// a while after they did: until it reads of a failure it goes on with the next ones.
struct Client<'a> {
    fixture: &'a Fixture,
    origin: Origin,
    random: &'a mut StdRng,
    next: usize,
    under_way: VecDeque<(usize, oneshot::Receiver<Outcome>)>,
}

impl Client<'_> {
    fn send_next(&mut self) {
        let name = format!("{:03}", self.next);
        let sent = draft(&name, Some(&name));
        let outcome = self.fixture.submit_from(Some(&self.origin), vec![sent]);
        self.under_way.push_back((self.next, outcome));
        self.next += 1;
    }

    /// Reads one outcome, in the order of the sends.
    async fn read_one(&mut self) {
        let Some((number, outcome)) = self.under_way.pop_front() else {
            return;
        };
        match outcome.await.unwrap() {
            Ok(_) => {}
            Err(AppendError::Unavailable) => {
                for _ in 0..self.random.random_range(0..4) {
                    self.pause(300).await;
                    self.send_next();
                }
                for (_, outcome) in std::mem::take(&mut self.under_way) {
                    drop(outcome.await.unwrap());
                }
                self.next = number;
            }
            Err(other) => panic!("{other}"),
        }
    }

    async fn pause(&mut self, max_ms: u64) {
        let pause = self.random.random_range(0..max_ms);
        sleep(Duration::from_millis(pause)).await;
    }

    async fn run(&mut self) {
        while self.next < MESSAGES || !self.under_way.is_empty() {
            if self.next < MESSAGES && self.under_way.len() < 8 {
                self.send_next();
                self.pause(1_000).await;
            } else {
                self.read_one().await;
            }
        }
    }
}

/// Outages of all lengths: the store takes nothing, or what it takes is not confirmed.
async fn break_store(faulty: &FaultyStore, random: &mut StdRng) {
    let end = SystemClock.now() + Duration::from_secs(60);
    while SystemClock.now() < end {
        match random.random_range(0..3) {
            0 => faulty.delay(Operation::Append, Duration::from_secs(2)),
            1 => {
                let lost = repeat_n(Fault::ApplyThenHang, random.random_range(0..4));
                faulty.script(Operation::Append, lost);
            }
            _ => faulty.delay(Operation::Append, Duration::ZERO),
        }
        sleep(Duration::from_millis(random.random_range(0..7_000))).await;
    }
    faulty.heal();
}

#[tokio::test(start_paused = true)]
async fn what_fails_and_is_sent_again_in_order_is_stored_in_order() {
    for seed in 0..12 {
        let fixture = Fixture::new().await;
        let mut random = StdRng::seed_from_u64(seed);
        let mut breaking = StdRng::seed_from_u64(seed + 1_000);
        let mut client = Client {
            fixture: &fixture,
            origin: Origin::default(),
            random: &mut random,
            next: 0,
            under_way: VecDeque::new(),
        };
        tokio::join!(client.run(), break_store(&fixture.faulty, &mut breaking));
        let stored = fixture
            .store
            .read(room(1), seq(1), seq(500), ReadConsistency::Serial);
        let stored = stored.await.unwrap();
        let names = stored
            .iter()
            .map(|entry| entry.draft.client_message_id.clone());
        let names: Vec<String> = names.flatten().map(String::from).collect();
        let expected: Vec<String> = (0..names.len()).map(|nth| format!("{nth:03}")).collect();
        assert_eq!(names, expected, "seed {seed}");
        assert!(names.len() >= MESSAGES);
    }
}

/// What one connection sends to room 1, under names.
struct Connection<'a> {
    fixture: &'a Fixture,
    origin: Origin,
}

impl<'a> Connection<'a> {
    fn new(fixture: &'a Fixture) -> Self {
        let origin = Origin::default();
        Self { fixture, origin }
    }

    fn send(&self, name: &str) -> oneshot::Receiver<Outcome> {
        let draft = draft(name, Some(name));
        self.fixture.submit_from(Some(&self.origin), vec![draft])
    }
}

const FAILED: Outcome = Err(AppendError::Unavailable);

/// A send that is refused because of an earlier one succeeds later; other connections are not
/// affected.
#[tokio::test(start_paused = true)]
async fn others_go_on_and_a_client_that_gave_up_does_later() {
    let fixture = Fixture::new().await;
    let (one, other) = (Connection::new(&fixture), Connection::new(&fixture));
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_secs(2));
    let first = one.send("a");
    sleep(Duration::from_secs(4)).await;
    let behind = one.send("b");
    let others = other.send("c");
    assert_eq!(first.await.unwrap(), FAILED);
    assert_eq!(behind.await.unwrap(), FAILED);
    fixture.faulty.heal();
    assert_eq!(others.await.unwrap(), at(1));
    assert_eq!(one.send("new").await.unwrap(), FAILED, "a comes first");
    sleep(HOLD_MAX).await;
    assert_eq!(one.send("d").await.unwrap(), at(2), "a was given up");
}

/// The longest wait of a client before it sends again is longer than a send is tried for.
#[tokio::test(start_paused = true)]
async fn nothing_overtakes_however_long_a_client_waits_before_it_sends_again() {
    let fixture = Fixture::new().await;
    let one = Connection::new(&fixture);
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_secs(2));
    assert_eq!(one.send("a").await.unwrap(), FAILED);
    fixture.faulty.heal();
    sleep(Duration::from_secs(30)).await;
    assert_eq!(one.send("b").await.unwrap(), FAILED, "it was on its way");
    let again = [one.send("a"), one.send("b"), one.send("c")];
    for (sent, seq) in again.into_iter().zip(1..) {
        assert_eq!(sent.await.unwrap(), at(seq));
    }
}

/// A client that has read only the first refusal: its new sends wait for all refused ones.
#[tokio::test(start_paused = true)]
async fn each_that_was_refused_comes_before_what_is_new() {
    let fixture = Fixture::new().await;
    let one = Connection::new(&fixture);
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_secs(2));
    let (first, second) = (one.send("a"), one.send("b"));
    assert_eq!(
        (first.await.unwrap(), second.await.unwrap()),
        (FAILED, FAILED)
    );
    fixture.faulty.heal();
    assert_eq!(one.send("a").await.unwrap(), at(1));
    assert_eq!(one.send("c").await.unwrap(), FAILED, "b comes first");
    assert_eq!(one.send("b").await.unwrap(), at(2));
    assert_eq!(one.send("c").await.unwrap(), at(3));
}

/// A client that received the failure of the earlier send retries only a later one: it has given up
/// the earlier one.
#[tokio::test(start_paused = true)]
async fn a_later_one_that_comes_again_gives_up_those_before_it() {
    let fixture = Fixture::new().await;
    let one = Connection::new(&fixture);
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_secs(2));
    assert_eq!(one.send("a").await.unwrap(), FAILED);
    fixture.faulty.heal();
    assert_eq!(one.send("b").await.unwrap(), FAILED);
    assert_eq!(one.send("b").await.unwrap(), at(1));
    assert_eq!(one.send("c").await.unwrap(), at(2));
}

/// A send refused before the one ahead of it: its retry does not give up the other, whose failure
/// the client has not received yet.
#[test]
fn a_later_one_that_was_refused_first_does_not_overtake() {
    let (origin, now) = (Origin::default(), SystemClock.now());
    let turn = |name| origin.take_turn(room(1), Some(name), b"", now);
    let (a, b) = (turn("a"), turn("b"));
    b.refuse(now);
    a.refuse(now);
    let again = turn("b");
    assert!(again.has_to_wait());
    again.refuse(now);
    for name in ["a", "b", "c"] {
        assert!(!turn(name).has_to_wait(), "{name}");
    }
}

/// The record of refused sends is bounded; the earliest ones stay in it.
#[test]
fn what_is_remembered_is_bounded() {
    let (origin, now) = (Origin::default(), SystemClock.now());
    let turn = |name: usize| origin.take_turn(room(1), Some(&name.to_string()), b"", now);
    for name in 0..10_000 {
        turn(name).refuse(now);
    }
    assert!(format!("{origin:?}").contains("refused: 256"), "{origin:?}");
    assert!(turn(20_000).has_to_wait());
    assert!((0..256).all(|name| !turn(name).has_to_wait()));
    assert!(!turn(20_000).has_to_wait());
}

/// A clock that is behind, or another node's that is ahead, makes no time fall within a log.
#[tokio::test]
async fn times_never_fall_within_a_log() {
    let fixture = Fixture::new().await;
    let sent_at = |ms: i64| Draft {
        sent_at: UnixMillis::try_from(ms).unwrap(),
        ..draft("x", None)
    };
    // Another node's entry, not seen by this one's appender.
    let foreign = Entry {
        seq: seq(1),
        deleted: false,
        draft: sent_at(5_000),
    };
    let append = fixture
        .store
        .append(room(1), Seq::ZERO, vec![Arc::new(foreign)]);
    append.await.unwrap();
    let sends = [vec![sent_at(4_000)], vec![sent_at(6_000), sent_at(5_500)]];
    for drafts in sends {
        fixture.submit(drafts).await.unwrap().unwrap();
    }
    let another = Entry {
        seq: seq(5),
        deleted: false,
        draft: sent_at(9_000),
    };
    let append = fixture
        .store
        .append(room(1), seq(4), vec![Arc::new(another)]);
    append.await.unwrap();
    fixture.submit(vec![sent_at(7_000)]).await.unwrap().unwrap();
    let stored = fixture
        .store
        .read(room(1), seq(1), seq(9), ReadConsistency::Serial);
    let times = stored.await.unwrap();
    let times: Vec<i64> = times
        .iter()
        .map(|entry| entry.draft.sent_at.get())
        .collect();
    assert_eq!(times, [5_000, 5_000, 6_000, 6_000, 9_000, 9_000]);
}
