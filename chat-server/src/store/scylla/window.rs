//! How many appends may be in flight: an adaptive limit, so that an overloaded store recovers.
//!
//! A store that gets more appends than it can take answers all of them too late: the senders give up and
//! repeat, and it works for nobody. So the number in flight is bounded, as TCP bounds the bytes: more by
//! one with each answer in time while half of it is used, half as many after an answer that came late
//! or not at all. What is late is given, by the time that appenders wait; so no latency of an idle store
//! has to be estimated, which gradient and Vegas need and which batches and contention change.

use std::time::{Duration, Instant};

/// An answer is late after this: appenders wait half as long again.
const LATE: Duration = Duration::from_secs(1);

/// Appends in flight: at least, at first, at most. With fewer, a store that is slow for another reason
/// than its load, such as a replica that stops for moments, would do less than it could.
const MIN: usize = 16;
const FIRST: usize = 64;
const MAX: usize = 1_024;

/// The limit of a worker.
#[derive(Debug)]
pub(super) struct Window {
    size: usize,
    /// When it was halved: appends that began before met the load of before.
    cut_at: Option<Instant>,
}

/// How an append ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Applied, or another head.
    Given,
    /// A failure.
    Failed,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            size: FIRST,
            cut_at: None,
        }
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Takes the end of an append into account, which was one of so many in flight.
    pub(super) fn note(&mut self, answer: Answer, began: Instant, now: Instant, in_flight: usize) {
        let is_late = now.saturating_duration_since(began) > LATE;
        if answer == Answer::Failed || is_late {
            if self.cut_at.is_none_or(|cut_at| began >= cut_at) {
                self.size = (self.size / 2).max(MIN);
                self.cut_at = Some(now);
            }
        } else if in_flight.saturating_mul(2) >= self.size {
            self.size = (self.size + 1).min(MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    const FAST: Duration = Duration::from_millis(5);

    /// A store that answers so many appends a second, whatever is in flight; rounds of a full window.
    fn rounds(window: &mut Window, at: &mut Instant, per_second: f64, count: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        for _ in 0..count {
            let (size, began) = (window.size(), *at);
            *at += Duration::from_secs_f64(size as f64 / per_second).max(FAST);
            for _ in 0..size {
                window.note(Answer::Given, began, *at, size);
            }
            sizes.push(window.size());
        }
        sizes
    }

    #[test]
    fn window_follows_what_the_store_can_take() {
        let (mut window, mut at) = (Window::new(), SystemClock.now());
        rounds(&mut window, &mut at, 1e6, 10);
        assert_eq!(window.size(), MAX);
        let slow = rounds(&mut window, &mut at, 100.0, 60);
        // It would take all of them a second to be answered.
        assert!(
            slow[10..].iter().all(|size| (50..=200).contains(size)),
            "{slow:?}"
        );
        rounds(&mut window, &mut at, 1.0, 10);
        assert_eq!(window.size(), MIN);
        rounds(&mut window, &mut at, 1e6, 8);
        assert_eq!(window.size(), MAX, "it recovers within a few rounds");
    }

    #[test]
    fn failures_of_one_moment_count_once() {
        let (mut window, began) = (Window::new(), SystemClock.now());
        let now = began + FAST;
        for _ in 0..FIRST {
            window.note(Answer::Failed, began, now, FIRST);
        }
        assert_eq!(window.size(), FIRST / 2);
        window.note(Answer::Failed, now, now + FAST, FIRST);
        assert_eq!(window.size(), FIRST / 4);
        for round in 0..10 {
            let began = now + FAST * (round + 2);
            window.note(Answer::Failed, began, began, FIRST);
        }
        assert_eq!(window.size(), MIN);
    }

    #[test]
    fn window_that_is_not_needed_does_not_grow() {
        let (mut window, began) = (Window::new(), SystemClock.now());
        for _ in 0..FIRST {
            window.note(Answer::Given, began, began + FAST, FIRST / 2 - 1);
        }
        assert_eq!(window.size(), FIRST);
    }
}
