//! Stopping a node that others take over from: the phases before the drain of its tasks.
//!
//! | phase | the node |
//! |---|---|
//! | lame duck | says that it is not ready and goes on as before, until balancers have noticed |
//! | notice | takes no connection; sends those it has to other nodes, each at its time |
//! | close | closes those that were told to go and stayed |
//! | flush | finishes what is under way: the drain's soft stop begins here |
//!
//! `course` decides; this file carries out and waits. A node whose drain is begun by hand (the
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

/// Who wants the node to stop says it here. Clones are the same.
#[derive(Clone, Debug)]
pub struct Stop {
    asked: CancellationToken,
    signalled: Arc<AtomicBool>,
    drain: Drain,
}

/// What a stop works with.
#[derive(Debug)]
pub struct Stopping {
    /// Whose connections go.
    pub services: Arc<Services>,
    /// What balancers are told.
    pub health: Arc<Health>,
    /// How long it may take.
    pub times: StopTimes,
}

impl Stop {
    /// Nobody wants it yet.
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
    /// Waits until somebody wants the node to stop, and goes through the phases up to the drain's
    /// soft stop, which it begins, unless somebody else does before.
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
                    // Whoever is let in after this finds the departure when it begins.
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
