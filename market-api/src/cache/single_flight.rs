//! Single flight: concurrent look-ups of one key share one result.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::drain::Drain;
use tokio::sync::watch;
use tokio::time::timeout;

/// Bound of keys in flight; beyond it each caller runs its own look-up. There are never more look-ups than
/// requests.
const FLIGHTS_MAX: usize = 4_096;

/// Deadline of a look-up, that of a request.
const LOOK_UP_MAX: Duration = Duration::from_secs(10);

/// Look-ups in flight. Clones share one state.
#[derive(Clone)]
pub struct SingleFlight<T> {
    under_way: Arc<Mutex<UnderWay<T>>>,
    drain: Drain,
}

type UnderWay<T> = HashMap<String, watch::Receiver<Option<T>>>;

impl<T> fmt::Debug for SingleFlight<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").finish_non_exhaustive()
    }
}

/// A result, and whose look-up produced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined<T> {
    /// The caller's own look-up.
    Leader(T),
    /// Another caller's look-up that was in flight.
    Followed(T),
}

impl<T> Joined<T> {
    /// The result, from either look-up.
    pub fn into_inner(self) -> T {
        match self {
            Self::Leader(answer) | Self::Followed(answer) => answer,
        }
    }
}

impl<T: Clone + Send + Sync + 'static> SingleFlight<T> {
    /// No look-ups in flight.
    #[must_use]
    pub fn new(drain: Drain) -> Self {
        Self {
            under_way: Arc::default(),
            drain,
        }
    }

    /// Joins the look-up in flight under `key`, or starts `work`. A look-up continues when its caller is
    /// cancelled, since others may have joined. `None` if it panicked or missed its deadline.
    ///
    /// A caller that joins gets data that may have been read before it called, so the key must contain
    /// the state that the result has to reflect (see [`super::Seen`]).
    pub async fn join<F>(&self, key: String, work: F) -> Option<Joined<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (mut answer, led) = self.enter(key, work);
        let answer = answer.wait_for(Option::is_some).await.ok()?.clone()?;
        Some(if led {
            Joined::Leader(answer)
        } else {
            Joined::Followed(answer)
        })
    }

    fn enter<F>(&self, key: String, work: F) -> (watch::Receiver<Option<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        if let Some(answer) = under_way.get(&key) {
            return (answer.clone(), false);
        }
        let (tell, answer) = watch::channel(None);
        let landing = if under_way.len() < FLIGHTS_MAX {
            under_way.insert(key.clone(), answer.clone());
            Some(LeaderGuard {
                under_way: Arc::clone(&self.under_way),
                key,
            })
        } else {
            None
        };
        drop(under_way);
        drop(self.drain.spawn("list-look-up", async move {
            // A look-up that never returns would block every caller of its key forever.
            let found = timeout(LOOK_UP_MAX, work).await;
            drop(landing);
            match found {
                Ok(found) => drop(tell.send_replace(Some(found))),
                Err(_elapsed) => tracing::error!("a look-up took longer than {LOOK_UP_MAX:?}"),
            }
        }));
        (answer, true)
    }
}

fn lock<T>(under_way: &Mutex<UnderWay<T>>) -> MutexGuard<'_, UnderWay<T>> {
    // One insertion or removal under the lock: a panic elsewhere leaves no partial state.
    under_way.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes a look-up from the table when it ends, also by a panic.
struct LeaderGuard<T> {
    under_way: Arc<Mutex<UnderWay<T>>>,
    key: String,
}

impl<T> Drop for LeaderGuard<T> {
    fn drop(&mut self) {
        lock(&self.under_way).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn thousand_concurrent_look_ups_run_once() {
        let single_flight = SingleFlight::new(Drain::new());
        let (count, leave) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
        let callers: Vec<_> = (0..1_000)
            .map(|_| {
                let (count, leave) = (Arc::clone(&count), Arc::clone(&leave));
                single_flight.enter("key".to_owned(), async move {
                    leave.notified().await;
                    count.fetch_add(1, Ordering::SeqCst) + 7
                })
            })
            .collect();
        assert_eq!(callers.iter().filter(|(_, led)| *led).count(), 1);
        leave.notify_one();
        for (mut answer, _) in callers {
            assert_eq!(*answer.wait_for(Option::is_some).await.unwrap(), Some(7));
        }
        // The first look-up has ended: the next caller runs its own.
        let again = single_flight.join("key".to_owned(), async { 9 }).await;
        assert_eq!(again, Some(Joined::Leader(9)));
    }

    #[tokio::test]
    async fn look_up_that_panics_leaves_nothing_behind() {
        let single_flight: SingleFlight<u32> = SingleFlight::new(Drain::new());
        let broken = single_flight.join("key".to_owned(), async { panic!("on purpose") });
        assert_eq!(broken.await, None);
        let again = single_flight.join("key".to_owned(), async { 9 }).await;
        assert_eq!(again, Some(Joined::Leader(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn look_up_ends_at_its_deadline() {
        let single_flight: SingleFlight<u32> = SingleFlight::new(Drain::new());
        let silent = single_flight.join("key".to_owned(), std::future::pending());
        assert_eq!(silent.await, None);
        let again = single_flight.join("key".to_owned(), async { 9 }).await;
        assert_eq!(again, Some(Joined::Leader(9)));
    }

    #[tokio::test]
    async fn look_up_continues_when_its_caller_is_cancelled() {
        let single_flight = SingleFlight::new(Drain::new());
        let leave = Arc::new(Notify::new());
        let waiting = Arc::clone(&leave);
        let (first, _) = single_flight.enter("key".to_owned(), async move {
            waiting.notified().await;
            9
        });
        drop(first);
        let (mut second, led) = single_flight.enter("key".to_owned(), async { 10 });
        assert!(!led);
        leave.notify_one();
        assert_eq!(*second.wait_for(Option::is_some).await.unwrap(), Some(9));
    }
}
