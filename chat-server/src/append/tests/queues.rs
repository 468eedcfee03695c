//! The queues of topics: bound, order of the outcomes, end.

use std::sync::mpsc as std_mpsc;
use std::task::{Wake, Waker};
use std::thread;

use shared::clock::ManualClock;
use tokio::runtime::Runtime;

use super::super::queue::QUEUE_MAX;
use super::super::{AppendError, IDLE_MAX};
use super::*;
use crate::wakers::Wakers;

const ROUNDS: u64 = 20_000;

/// Sends while the sweep takes every idle queue out of the map: none gets stuck, none is lost.
#[test]
fn sends_and_sweeps_do_not_wait_for_each_other() {
    let runtime = Runtime::new().unwrap();
    let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
    let fixture = runtime.block_on(Fixture::by(Arc::clone(&clock) as Arc<dyn Clock>));
    let (sender, outcomes) = std_mpsc::channel();
    for writer in 1..=2 {
        let (appender, sender) = (Arc::clone(&fixture.appender), sender.clone());
        let handle = runtime.handle().clone();
        thread::spawn(move || {
            let _inside = handle.enter();
            for round in 0..ROUNDS {
                let topic = room(writer * ROUNDS + round % 64);
                let sender = sender.clone();
                let done = Box::new(move |outcome, _: &mut Wakers| sender.send(outcome).unwrap());
                appender.submit(topic, None, vec![draft("x", None)], done);
            }
        });
    }
    let sweeping = Arc::clone(&fixture.appender);
    let (end, ended) = std_mpsc::channel();
    let sweeper = thread::spawn(move || {
        while ended.try_recv().is_err() {
            clock.advance(IDLE_MAX);
            sweeping.sweep();
        }
    });
    for _ in 0..2 * ROUNDS {
        drop(
            outcomes
                .recv_timeout(PATIENCE)
                .expect("each send has an outcome"),
        );
    }
    end.send(()).unwrap();
    sweeper.join().unwrap();
}

/// Notes when it is woken.
struct Woken(Events);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push("woken".to_owned());
    }
}

/// The sender's connection has its receipt and its own message when it is woken: one write takes both.
#[tokio::test]
async fn the_sender_is_woken_when_the_hub_has_its_message() {
    let fixture = Fixture::new().await;
    for nth in 1..=2 {
        let events = Arc::clone(&fixture.events);
        let waker = Waker::from(Arc::new(Woken(Arc::clone(&events))));
        let done = Box::new(move |_: Outcome, wakers: &mut Wakers| {
            events.lock().unwrap().push("receipt".to_owned());
            wakers.add(Some(waker));
        });
        let drafts = vec![draft("x", None)];
        fixture.appender.submit(room(1), None, drafts, done);
        until("it is woken", || fixture.events().len() == 3).await;
        // The first send's log was read by a task; the second one goes without.
        let shown = format!("shown [{nth}]");
        assert_eq!(fixture.events(), ["receipt", shown.as_str(), "woken"]);
        fixture.events.lock().unwrap().clear();
    }
}

#[tokio::test(start_paused = true)]
async fn a_receipt_comes_before_the_hub_and_the_hub_before_the_bus() {
    let mut fixture = Fixture::new().await;
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_millis(1));
    let first = fixture.submit(vec![draft("1", None)]);
    until("the first is on its way", || {
        fixture.faulty.calls(Operation::Append) == 1
    })
    .await;
    let more: Vec<_> = (2..=4)
        .map(|text| fixture.submit(vec![draft(&text.to_string(), None)]))
        .collect();
    assert_eq!(fixture.events(), [""; 0]);
    assert_eq!(first.await.unwrap(), at(1));
    for (send, seq) in more.into_iter().zip(2..) {
        assert_eq!(send.await.unwrap(), at(seq));
    }
    until("the second batch is published", || fixture.heard.len() == 2).await;
    assert_eq!(fixture.heard(), [vec![1], vec![2, 3, 4]]);
    let events = fixture.events();
    let receipts = ["receipt [2]", "receipt [3]", "receipt [4]"];
    assert_eq!(events[..2], ["receipt [1]", "shown [1]"]);
    assert_eq!(events[2..5], receipts);
    assert_eq!(events[5..], ["shown [2, 3, 4]"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_and_goes_on() {
    let fixture = Fixture::new().await;
    fixture
        .faulty
        .delay(Operation::Append, Duration::from_millis(1));
    let first = fixture.submit(vec![draft("first", None)]);
    until("the first is on its way", || {
        fixture.faulty.calls(Operation::Append) == 1
    })
    .await;
    let waiting: Vec<_> = (0..QUEUE_MAX)
        .map(|_| fixture.submit(vec![draft("waits", None)]))
        .collect();
    let refused = fixture.submit(vec![draft("too many", None)]);
    assert_eq!(refused.await.unwrap(), Err(AppendError::Unavailable));
    assert_eq!(first.await.unwrap(), at(1));
    for (send, seq) in waiting.into_iter().zip(2..) {
        assert_eq!(send.await.unwrap(), at(seq));
    }
    assert_eq!(
        fixture.send("room again", None).await,
        at(2 + u32::try_from(QUEUE_MAX).unwrap())
    );
}

#[tokio::test]
async fn what_is_idle_is_forgotten_and_what_works_is_not() {
    let clock = Arc::new(ManualClock::new(UnixMillis::EPOCH));
    let fixture = Fixture::by(Arc::clone(&clock) as Arc<dyn Clock>).await;
    assert_eq!(fixture.send("1", Some("a")).await, at(1));
    let topics = &fixture.appender.shared.topics;
    let idle = || topics.iter().all(|queue| !queue.lock().working);
    until("its work is over", idle).await;
    fixture.appender.sweep();
    assert_eq!(topics.len(), 1);
    clock.advance(IDLE_MAX);
    fixture.appender.sweep();
    assert_eq!(topics.len(), 0);
    // It still is the same message, which the log tells now.
    assert_eq!(fixture.send("1", Some("a")).await, again_at(1));
    // At work, however long it takes.
    fixture
        .faulty
        .set(&[Operation::Head, Operation::Read], Fault::Hang);
    fixture
        .faulty
        .script(Operation::Append, [Fault::ApplyThenHang]);
    let never = fixture.submit(vec![draft("2", None)]);
    clock.advance(IDLE_MAX);
    fixture.appender.sweep();
    assert_eq!(topics.len(), 1);
    drop(never);
}

#[tokio::test]
async fn a_log_is_full_at_the_last_position() {
    let fixture = Fixture::new().await;
    // The store does not check positions, so a log can be made that is nearly full.
    let last = Entry {
        seq: seq(Seq::MAX.get() - 2),
        deleted: false,
        draft: draft("far up", None),
    };
    let made = fixture
        .store
        .append(room(1), Seq::ZERO, vec![Arc::new(last)]);
    made.await.unwrap();
    let three = vec![draft("a", None), draft("b", None), draft("c", None)];
    assert_eq!(fixture.submit(three).await.unwrap(), Err(AppendError::Full));
    let first = fixture.send("one but last", None).await;
    assert_eq!(first, at(Seq::MAX.get() - 1));
    let (last, over) = tokio::join!(fixture.send("last", None), fixture.send("over", None));
    assert_eq!((last, over), (at(Seq::MAX.get()), Err(AppendError::Full)));
    assert_eq!(fixture.send("over", None).await, Err(AppendError::Full));
}

#[tokio::test]
async fn what_is_sent_again_is_shown_again() {
    let mut fixture = Fixture::new().await;
    assert_eq!(fixture.send("hello", Some("a")).await, at(1));
    until("it is published", || fixture.heard.len() == 1).await;
    assert_eq!(fixture.send("hello", Some("a")).await, again_at(1));
    until("it is published again", || fixture.heard.len() == 2).await;
    assert_eq!(fixture.heard(), [[1], [1]]);
    let shown = |event: &String| event == "shown [1]";
    assert_eq!(
        fixture.events().iter().filter(|event| shown(event)).count(),
        2
    );
}
