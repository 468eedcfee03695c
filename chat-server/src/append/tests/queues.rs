//! The queues of topics: bound, end, order of what is told.

use std::sync::mpsc as std_mpsc;
use std::thread;

use tokio::runtime::Runtime;

use super::super::{AppendError, IDLE_MAX, QUEUE_MAX};
use super::*;

const ROUNDS: u64 = 20_000;

/// Sends while the sweep takes every idle queue out of the map: none gets stuck, none is lost.
#[test]
fn sends_and_sweeps_do_not_wait_for_each_other() {
    let runtime = Runtime::new().unwrap();
    let fixture = Fixture::new();
    let (tell, told) = std_mpsc::channel();
    for writer in 1..=2 {
        let (appender, tell) = (Arc::clone(&fixture.appender), tell.clone());
        let handle = runtime.handle().clone();
        thread::spawn(move || {
            let _inside = handle.enter();
            for round in 0..ROUNDS {
                // Empty topics by the thousand: the shards of the map are met often.
                let topic = room(writer * ROUNDS + round % 64);
                let tell = tell.clone();
                let done = Box::new(move |outcome| tell.send(outcome).unwrap());
                appender.submit(topic, vec![draft("x", None)], done);
            }
        });
    }
    let sweeping = Arc::clone(&fixture.appender);
    let clock = Arc::clone(&fixture.clock);
    let (end, ended) = std_mpsc::channel();
    let sweeper = thread::spawn(move || {
        while ended.try_recv().is_err() {
            clock.advance(IDLE_MAX);
            sweeping.sweep();
        }
    });
    for _ in 0..2 * ROUNDS {
        drop(told.recv_timeout(PATIENCE).expect("each send is told"));
    }
    end.send(()).unwrap();
    sweeper.join().unwrap();
}
