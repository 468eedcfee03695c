//! Drain: the orderly stop of a process. It counts every task, signals them to end, and names those
//! that did not.
//!
//! Two cancellation tokens: **soft** requests an end (accept nothing new, finish what has begun),
//! **hard** ends the grace period (drop the rest). Each task watches the token that concerns it;
//! nothing is aborted from outside, because a payment or a write in flight must not be cut in two.
//! Tasks that ignore both are named when [`Drain::wait`] gives up, and end with the process.
//!
//! What this module does not do: the steps of a particular server's drain (lame duck, notices,
//! paced closes). Each server builds them on these tokens.

use std::collections::BTreeMap;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long [`Drain::wait`] waits after the hard token: 3 s, for closing files and connections.
/// Nothing that needs longer should have waited for the hard token. With [`LEFT_BEHIND_MAX`] and the
/// last lines of the log it makes 5 s.
pub const LAST_WAIT: Duration = Duration::from_secs(3);

/// The tasks of a process and the two signals that end them. Clones are the same drain.
#[derive(Debug, Clone)]
pub struct Drain {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Child of `hard`: a hard stop is always a soft stop, too.
    soft: CancellationToken,
    hard: CancellationToken,
    stop_asked: AtomicBool,
    /// Why the process cannot continue, if the stop was not requested.
    failure: OnceLock<String>,
    /// How many tasks run under each name.
    running: Mutex<BTreeMap<&'static str, usize>>,
    /// How many tasks run in all: the sum of `running`, changed just after it.
    count: watch::Sender<usize>,
}

/// Tasks that had not ended when [`Drain::wait`] gave up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("still running at the end of the drain: {}", ShownNames(.names))]
pub struct StillRunning {
    /// How many tasks run under each name, in alphabetical order.
    pub names: Vec<(&'static str, usize)>,
}

/// The task did not complete: it panicked, which is logged, or the runtime was shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("task {name} was lost")]
pub struct TaskLost {
    /// The task's name.
    pub name: &'static str,
}

/// The process ends because of a fatal failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ended because of a failure: {why}")]
pub struct Failed {
    /// The failure, for the log.
    pub why: String,
}

/// Guard that is dropped when a vital task ends, also by a panic.
struct VitalWatch {
    drain: Drain,
    name: &'static str,
}

impl Drop for VitalWatch {
    fn drop(&mut self) {
        if !self.drain.shared.soft.is_cancelled() {
            let name = self.name;
            self.drain
                .fail(format!("task {name} ended while it was needed"));
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// A drain without tasks, not stopped.
    #[must_use]
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        let shared = Shared {
            soft: hard.child_token(),
            hard,
            stop_asked: AtomicBool::new(false),
            failure: OnceLock::new(),
            running: Mutex::default(),
            count: watch::Sender::new(0),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts a task under a name. It is counted until it ends; a panic in it is logged with the
    /// name and ends nothing else. The task goes on when the [`Task`] is dropped.
    ///
    /// Tasks may be started after the stop has begun: shutting down needs some.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let running = self.hold(name);
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the spawn that others use"
        )]
        let handle = tokio::spawn(caught(name, future).map(move |output| {
            drop(running);
            output
        }));
        Task { name, handle }
    }

    /// As [`Self::spawn`], for a task that the process depends on: if it panics, or ends before the
    /// soft stop, the process [fails](Self::fail).
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn_vital<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let drain = self.clone();
        self.spawn(name, async move {
            let _watch = VitalWatch { drain, name };
            future.await
        })
    }

    /// Records a fatal failure and begins the soft stop. The program then ends with an error code,
    /// so that a supervisor restarts it.
    pub fn fail(&self, why: String) {
        if self.shared.failure.get().is_none() {
            tracing::error!("cannot go on: {why}");
        }
        // Only the first reason is stored; later failures follow from it.
        drop(self.shared.failure.set(why));
        self.begin();
    }

    /// Why the process ends, if it failed; for the end of its program.
    ///
    /// # Errors
    /// [`Failed`] if it did.
    pub fn outcome(&self) -> Result<(), Failed> {
        let why = self.shared.failure.get().cloned();
        why.map_or(Ok(()), |why| Err(Failed { why }))
    }

    /// Counts work that is not a task of its own (a thread, a step within a task) until the guard
    /// is dropped.
    #[must_use]
    pub fn hold(&self, name: &'static str) -> Running {
        *self.shared.lock().entry(name).or_default() += 1;
        self.shared.count.send_modify(|count| *count += 1);
        Running {
            shared: Arc::clone(&self.shared),
            name,
        }
    }

    /// Cancelled when the stop begins: accept nothing new, finish what has begun.
    #[must_use]
    pub fn soft(&self) -> CancellationToken {
        self.shared.soft.clone()
    }

    /// Cancelled when the grace period is over: drop the rest.
    #[must_use]
    pub fn hard(&self) -> CancellationToken {
        self.shared.hard.clone()
    }

    /// Begins the soft stop; does nothing once it has begun. For an operator's request, which may
    /// be repeated or followed by a signal.
    pub fn begin(&self) {
        self.shared.soft.cancel();
    }

    /// A repeatable stop request: the first call begins the soft stop, the second makes it hard.
    /// For signals: a second Ctrl-C means not to wait.
    pub fn stop(&self) {
        let again = self.shared.stop_asked.swap(true, Ordering::AcqRel);
        if again {
            self.shared.hard.cancel();
        } else {
            self.shared.soft.cancel();
        }
    }

    /// Calls [`stop`](Self::stop) at every SIGTERM and SIGINT from now on.
    ///
    /// # Errors
    /// When the operating system refuses the handlers.
    pub fn stop_on_signals(&self) -> std::io::Result<()> {
        let drain = self.clone();
        on_stop_signals(move || drain.stop())
    }

    /// Which tasks run, how many of each name, in alphabetical order.
    #[must_use]
    pub fn running(&self) -> Vec<(&'static str, usize)> {
        self.shared
            .lock()
            .iter()
            .map(|(name, count)| (*name, *count))
            .collect()
    }

    /// Begins the soft stop, if it has not begun, and waits until every task has ended: for
    /// `grace`, then (or until the stop is made hard) with the hard token for [`LAST_WAIT`].
    ///
    /// Do not call it from a task of this drain: it would wait for itself.
    ///
    /// # Errors
    /// [`StillRunning`] with the names of the tasks that ignored both tokens.
    pub async fn wait(&self, grace: Duration) -> Result<(), StillRunning> {
        self.begin();
        let idle_in_time = self.shared.hard.run_until_cancelled(self.idle());
        if let Ok(Some(())) = timeout(grace, idle_in_time).await {
            return Ok(());
        }
        self.shared.hard.cancel();
        match timeout(LAST_WAIT, self.idle()).await {
            Ok(()) => Ok(()),
            Err(_elapsed) => Err(StillRunning {
                names: self.running(),
            }),
        }
    }

    /// Ends when no task runs.
    async fn idle(&self) {
        let mut count = self.shared.count.subscribe();
        count
            .wait_for(|count| *count == 0)
            .await
            .expect("self holds the sender");
    }
}

/// Runs a server's future on a runtime of its own. What still runs or blocks at its end (a write to
/// a disk that hangs, say) is abandoned after [`LEFT_BEHIND_MAX`], so that the process ends.
///
/// # Errors
/// When the operating system gives no threads.
pub fn run<F: Future>(future: F) -> std::io::Result<F::Output> {
    let runtime = tokio::runtime::Runtime::new()?;
    let output = runtime.block_on(future);
    runtime.shutdown_timeout(LEFT_BEHIND_MAX);
    Ok(output)
}

/// Nothing should run after the drain; tasks that do get one more second.
pub const LEFT_BEHIND_MAX: Duration = Duration::from_secs(1);

/// Calls `act` at every SIGTERM and SIGINT from now on, within the current runtime.
///
/// # Errors
/// When the operating system refuses the handlers.
pub fn on_stop_signals(act: impl Fn() + Clone + Send + 'static) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};

    for (kind, name) in [
        (SignalKind::terminate(), "SIGTERM"),
        (SignalKind::interrupt(), "SIGINT"),
    ] {
        let mut signals = signal(kind)?;
        let act = act.clone();
        // Not counted: it ends with the process, and nothing waits for it.
        #[expect(
            clippy::disallowed_methods,
            reason = "a drain must not wait for what begins it"
        )]
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::info!(signal = name, "{name} received");
                act();
            }
        });
    }
    Ok(())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, usize>> {
        // Each update is complete in itself, so a poisoned lock holds consistent counts.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Guard of work counted by [`Drain::hold`]; the count falls when it is dropped.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    name: &'static str,
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.shared.lock();
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
        drop(running);
        self.shared.count.send_modify(|count| *count -= 1);
    }
}

/// A started task: await it for its output, or drop it and let it run.
#[derive(Debug)]
pub struct Task<T> {
    name: &'static str,
    handle: JoinHandle<Option<T>>,
}

impl<T> Task<T> {
    /// The name it was started under.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, TaskLost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = TaskLost { name: self.name };
        Pin::new(&mut self.handle)
            .poll(context)
            .map(|joined| joined.ok().flatten().ok_or(lost))
    }
}

/// The names as `connection ×12, outbox-relay`.
struct ShownNames<'a>(&'a [(&'static str, usize)]);

impl fmt::Display for ShownNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, count)) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match count {
                1 => write!(f, "{comma}{name}")?,
                _ => write!(f, "{comma}{name} ×{count}")?,
            }
        }
        Ok(())
    }
}

/// The future's output; `None`, with a line in the log, when it panicked. It is not polled again
/// after that; state that it shared may be inconsistent, which a poisoned lock shows.
///
/// Adapters of futures, not an async function: that would hold its argument twice, once as it came and
/// once pinned, and each connection is such a task.
fn caught<F: Future>(
    name: &'static str,
    future: F,
) -> impl Future<Output = Option<F::Output>> + use<F> {
    AssertUnwindSafe(future).catch_unwind().map(move |output| {
        if output.is_err() {
            tracing::error!(task.name = name, "task {name} panicked");
        }
        output.ok()
    })
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    /// Waiting for this drain ends with `expected` after so much (paused) time.
    async fn check(drain: &Drain, expected: Result<(), &[(&'static str, usize)]>, after: Duration) {
        let start = tokio_now();
        let result = drain.wait(GRACE).await;
        assert_eq!(
            result,
            expected.map_err(|names| StillRunning {
                names: names.to_vec()
            })
        );
        assert_eq!(tokio_now() - start, after);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "paused time of the test's runtime"
    )]
    fn tokio_now() -> Instant {
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn empty_drain_ends_at_once() {
        check(&Drain::new(), Ok(()), Duration::ZERO).await;
    }

    #[tokio::test(start_paused = true)]
    async fn task_that_heeds_soft_ends_within_the_grace() {
        let drain = Drain::new();
        let soft = drain.soft();
        drain.spawn("relay", async move {
            soft.cancelled().await;
            sleep(Duration::from_secs(3)).await;
        });
        check(&drain, Ok(()), Duration::from_secs(3)).await;
        assert!(!drain.hard().is_cancelled());
        assert_eq!(drain.running(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn hard_follows_the_grace() {
        let drain = Drain::new();
        let hard = drain.hard();
        drain.spawn("slow", async move { hard.cancelled().await });
        check(&drain, Ok(()), GRACE).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_ignores_both_is_named() {
        let drain = Drain::new();
        drain.spawn("stuck", pending::<()>());
        drain.spawn("connection", pending::<()>());
        drain.spawn("connection", pending::<()>());
        let expected: &[_] = &[("connection", 2), ("stuck", 1)];
        check(&drain, Err(expected), GRACE + LAST_WAIT).await;
        let error = StillRunning {
            names: drain.running(),
        };
        assert_eq!(
            error.to_string(),
            "still running at the end of the drain: connection ×2, stuck"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn second_stop_cuts_the_grace_short() {
        let drain = Drain::new();
        let hard = drain.hard();
        drain.spawn("slow", async move { hard.cancelled().await });
        drain.stop();
        assert!(drain.soft().is_cancelled() && !drain.hard().is_cancelled());
        let second = drain.clone();
        drain.spawn("operator", async move {
            sleep(Duration::from_secs(2)).await;
            second.stop();
        });
        check(&drain, Ok(()), Duration::from_secs(2)).await;
        assert!(drain.hard().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn beginning_twice_stays_soft() {
        let drain = Drain::new();
        drain.begin();
        drain.begin();
        drain.stop();
        assert!(drain.soft().is_cancelled() && !drain.hard().is_cancelled());
        drain.stop();
        assert!(drain.hard().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn hard_implies_soft() {
        let drain = Drain::new();
        drain.hard().cancel();
        assert!(drain.soft().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn cancelling_soft_alone_is_not_hard() {
        let drain = Drain::new();
        drain.soft().cancel();
        assert!(!drain.hard().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn panic_ends_its_task_only() {
        let drain = Drain::new();
        let broken = drain.spawn("broken", async { panic!("on purpose") });
        assert_eq!(drain.outcome(), Ok(()));
        let sound = drain.spawn("sound", async { 7 });
        assert_eq!(broken.await, Err::<(), _>(TaskLost { name: "broken" }));
        assert_eq!(sound.await, Ok(7));
        check(&drain, Ok(()), Duration::ZERO).await;
    }

    #[tokio::test(start_paused = true)]
    async fn vital_task_that_panics_or_ends_too_early_fails_the_process() {
        let drain = Drain::new();
        drop(drain.spawn_vital("sound", drain.soft().cancelled_owned()));
        let broken = drain.spawn_vital("broken", async { panic!("on purpose") });
        assert_eq!(broken.await, Err::<(), _>(TaskLost { name: "broken" }));
        let why = "task broken ended while it was needed".to_owned();
        assert_eq!(drain.outcome(), Err(Failed { why }));
        check(&drain, Ok(()), Duration::ZERO).await;

        let drain = Drain::new();
        assert_eq!(drain.spawn_vital("short", async { 7 }).await, Ok(7));
        assert!(drain.soft().is_cancelled());
        assert!(drain.outcome().is_err());

        let drain = Drain::new();
        let stopped = drain.spawn_vital("stopped", drain.soft().cancelled_owned());
        drain.begin();
        assert_eq!(stopped.await, Ok(()));
        assert_eq!(drain.outcome(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn panic_after_a_wait_is_caught_too() {
        let drain = Drain::new();
        let broken = drain.spawn("broken", async {
            sleep(Duration::from_secs(1)).await;
            panic!("on purpose")
        });
        assert_eq!(broken.name(), "broken");
        assert_eq!(broken.await, Err::<(), _>(TaskLost { name: "broken" }));
        assert_eq!(drain.running(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn dropped_handle_lets_the_task_run() {
        let drain = Drain::new();
        let (sender, receiver) = tokio::sync::oneshot::channel();
        drop(drain.spawn("sender", async move { sender.send(7) }));
        assert_eq!(receiver.await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn task_started_while_stopping_is_waited_for() {
        let drain = Drain::new();
        let (soft, inner) = (drain.soft(), drain.clone());
        drain.spawn("parent", async move {
            soft.cancelled().await;
            inner.spawn("child", sleep(Duration::from_secs(4)));
        });
        check(&drain, Ok(()), Duration::from_secs(4)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn held_work_is_waited_for() {
        let drain = Drain::new();
        let running = drain.hold("thread");
        assert_eq!(drain.running(), [("thread", 1)]);
        let expected: &[_] = &[("thread", 1)];
        check(&drain, Err(expected), GRACE + LAST_WAIT).await;
        drop(running);
        check(&drain, Ok(()), Duration::ZERO).await;
    }

    #[test]
    fn a_task_holds_its_future_once() {
        let future = async {
            let state = [0_u8; 4_096];
            pending::<()>().await;
            assert_eq!(state[0], 0);
        };
        let size = size_of_val(&future);
        assert!(size > 4_096);
        let held = size_of_val(&caught("large", future));
        assert!(held < size + 64, "{held} bytes for {size}");
    }

    #[test]
    fn end_of_a_run_waits_for_no_blocked_thread() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let (said, end) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let output = run(async {
                drop(tokio::task::spawn_blocking(move || blocked.recv()));
                7
            });
            said.send(output.unwrap()).unwrap();
        });
        assert_eq!(end.recv_timeout(GRACE), Ok(7));
        drop(release);
        thread.join().unwrap();
    }

    #[test]
    fn runtime_that_goes_away_leaves_no_task_counted() {
        let drain = Drain::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(async { drop(drain.spawn("stuck", pending::<()>())) });
        assert_eq!(drain.running(), [("stuck", 1)]);
        drop(runtime);
        assert_eq!(drain.running(), []);
    }
}
