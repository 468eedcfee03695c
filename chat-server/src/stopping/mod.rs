//! Orderly stop of a node: the phases before the drain of its tasks, in which its clients migrate
//! to other nodes.
//!
//! | phase | the node |
//! |---|---|
//! | lame duck | is unready and serves as before, until balancers have noticed |
//! | notice | accepts no connection; asks those it has to migrate, each at its time |
//! | close | closes the connections that have not migrated |
//! | flush | finishes writes under way: the drain's soft stop begins here |
//!
//! `course` decides; this file carries out and waits. A node whose drain begins without a stop (the
//! standalone program, most tests) goes to the last phase at once.

mod course;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::drain::{Drain, on_stop_signals};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::StopTimes;
use crate::connection::Services;
use crate::health::{Health, Phase};
use course::{Course, Step};

/// How often the metrics of a stop are set anew.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// Handle for requesting a stop. Clones are the same.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: CancellationToken,
    signalled: Arc<AtomicBool>,
    drain: Drain,
}

/// The task that runs a stop.
#[derive(Debug)]
pub struct Stopping {
    /// The connections and the drain.
    pub services: Arc<Services>,
    /// Readiness.
    pub health: Arc<Health>,
    /// Time of each phase.
    pub times: StopTimes,
}

impl Stop {
    /// No stop is requested yet.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        Self {
            asked: CancellationToken::new(),
            signalled: Arc::default(),
            drain,
        }
    }

    /// Begins the first phase; does nothing when it has begun. For an operator's request, which may
    /// come twice, or before the signal that follows it.
    pub fn begin(&self) {
        self.asked.cancel();
    }

    /// A signal: the first begins the first phase, the second goes to the last one, the third drops
    /// what is left.
    pub fn signal(&self) {
        let again = self.signalled.swap(true, Ordering::AcqRel);
        if again {
            self.drain.stop();
        } else {
            self.begin();
        }
    }

    /// Turns SIGTERM and SIGINT into [`signal`](Self::signal), each time one comes, from now on.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn listen_to_signals(&self) -> std::io::Result<()> {
        let stop = self.clone();
        on_stop_signals(move || stop.signal())
    }
}

impl Stopping {
    /// Waits for the request to stop, and runs the phases up to the drain's soft stop, which it
    /// begins unless it has begun before.
    pub async fn run(self, stop: Stop) {
        let soft = stop.drain.soft();
        let phases = async {
            stop.asked.cancelled().await;
            self.go_through().await;
        };
        if soft.run_until_cancelled(phases).await.is_some() {
            stop.drain.begin();
        }
    }

    async fn go_through(&self) {
        let Services {
            clock, connections, ..
        } = &*self.services;
        let begun = clock.now();
        let mut course = Course::begin(self.times.clone(), begun);
        self.enter(Phase::LameDuck);
        loop {
            let now = clock.now();
            self.show(now.saturating_duration_since(begun));
            match course.step(now, connections.count()) {
                Some(Step::Notice(schedule)) => {
                    // A connection accepted after this finds the schedule when it begins.
                    self.enter(Phase::Notice);
                    self.services.migrate_all(schedule);
                }
                Some(Step::Close) => self.enter(Phase::Close),
                Some(Step::Flush) => return,
                None => self.wait(&course).await,
            }
        }
    }

    /// Until the next step may be due, or the metrics are out of date.
    async fn wait(&self, course: &Course) {
        let over = async {
            let time = sleep_until(course.ends_at().into());
            if course.ends_when_empty() {
                tokio::select! {
                    () = time => {}
                    () = self.services.connections.emptied() => {}
                }
            } else {
                time.await;
            }
        };
        timeout(SHOW_EVERY, over).await.ok();
    }

    fn enter(&self, phase: Phase) {
        self.health.enter(phase);
        let metrics = &self.services.metrics;
        metrics.drain_state.set(phase.number().into());
        let connections = self.services.connections.count();
        info!(
            connections,
            "stopping: {}, {connections} connections",
            phase.name()
        );
    }

    fn show(&self, since: Duration) {
        let metrics = &self.services.metrics;
        let connections = self.services.connections.count();
        let count = i64::try_from(connections).unwrap_or(i64::MAX);
        metrics.drain_remaining.set(count);
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        metrics.drain_seconds.set(seconds);
    }
}
