//! Deadlines, and appends that outlive them. Time is virtual.

use tokio::time::{Instant, advance};

use super::super::{AppendError, SEND_DEADLINE};
use super::*;
use crate::store::ReadConsistency;

const SECOND: Duration = Duration::from_secs(1);

/// The timer's grain.
const TICK: Duration = Duration::from_millis(3);

/// Sends after `delay`; returns the time from the start to the outcome, and the outcome.
async fn outcome_after(fixture: &Fixture, delay: Duration) -> (Duration, Outcome) {
    let start = now();
    tokio::time::sleep(delay).await;
    let outcome = fixture.send("text", None).await;
    (now() - start, outcome)
}

fn now() -> Instant {
    SystemClock.now().into()
}

#[tokio::test(start_paused = true)]
async fn everybody_is_told_at_the_deadline_also_in_the_queue() {
    let fixture = Fixture::new().await;
    fixture
        .faulty
        .set(&[Operation::Head, Operation::Read], Fault::Hang);
    let delays = [0, 1, 300, 1_700, 4_999].map(Duration::from_millis);
    let sends = delays.map(|delay| outcome_after(&fixture, delay));
    let outcomes = futures_util::future::join_all(sends).await;
    for (delay, (after, outcome)) in delays.into_iter().zip(outcomes) {
        assert_eq!(outcome, Err(AppendError::Unavailable));
        let due = delay + SEND_DEADLINE;
        assert!((due..due + TICK).contains(&after), "{delay:?}: {after:?}");
    }
    // The store is back.
    fixture.faulty.heal();
    assert_eq!(fixture.send("again", None).await, at(1));
}

/// A store whose append takes longer than the oldest send's remaining time must still complete appends.
#[tokio::test(start_paused = true)]
async fn a_slow_store_gets_to_take_what_it_can() {
    let fixture = Fixture::new().await;
    fixture.faulty.delay(Operation::Append, SECOND);
    // One every 8 ms: twice as many as a batch a second takes.
    let sends: Vec<_> = (0..2_000)
        .map(|nth| outcome_after(&fixture, Duration::from_millis(nth * 8)))
        .collect();
    let outcomes = futures_util::future::join_all(sends).await;
    // 16 s of sends, and a batch each second; at the ends it is not full.
    let head = fixture
        .store
        .head(room(1), ReadConsistency::Serial)
        .await
        .unwrap();
    assert!(head.get() > 14 * 64, "only {head} were stored");
    // The sends at the front get their outcomes late, as the queue is too long, but none past its
    // deadline.
    let late = outcomes
        .iter()
        .zip(0..)
        .find(|((after, _), nth)| *after >= Duration::from_millis(nth * 8) + SEND_DEADLINE + TICK);
    assert_eq!(late, None);
}

/// The outcome was "may or may not appear", and the message does appear: the room's subscribers get
/// it without waiting for another member's next message.
#[tokio::test(start_paused = true)]
async fn an_append_that_was_given_up_is_shown_when_it_turns_out_to_be_stored() {
    let mut fixture = Fixture::new().await;
    fixture
        .faulty
        .script(Operation::Append, [Fault::ApplyThenHang; 10]);
    let send = fixture.submit(vec![draft("text", None)]);
    until("it is asked", || {
        fixture.faulty.calls(Operation::Append) == 1
    })
    .await;
    fixture
        .faulty
        .set(&[Operation::Head, Operation::Read], Fault::Hang);
    assert_eq!(send.await.unwrap(), Err(AppendError::Unavailable));
    assert_eq!(fixture.events(), ["Unavailable"]);
    // As long as the store says nothing, nothing can be found out.
    let task_ends = |fixture: &Fixture| {
        let topics = &fixture.appender.shared.topics;
        topics.iter().all(|queue| !queue.lock().working)
    };
    advance(2 * SECOND).await;
    fixture.appender.sweep();
    advance(2 * SECOND).await;
    until("the attempt is over", || task_ends(&fixture)).await;
    assert_eq!(fixture.heard(), [[0; 0]; 0]);
    fixture.faulty.heal();
    fixture.appender.sweep();
    until("it is published", || fixture.heard.len() == 1).await;
    assert_eq!(fixture.heard(), [[1]]);
    assert_eq!(fixture.events(), ["Unavailable", "shown [1]"]);
    // Once is enough.
    until("the task is over", || task_ends(&fixture)).await;
    fixture.appender.sweep();
    assert!(task_ends(&fixture));
    assert_eq!(fixture.send("next", None).await, at(2));
}
