//! Readiness of one source among several that wake a task: whether it is worth polling.
//!
//! A task is not shown what woke it. Nearly all wake-ups of a connection come from its wake queue, and
//! polling its socket each time, to find nothing, would cost a lock. So the source gets a waker of its
//! own, which notes that it was woken and wakes the task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    source: Arc<Source>,
    /// The task that the source wakes, while that has nothing.
    waiting: Option<Waker>,
}

#[derive(Debug, Default)]
struct Source {
    is_woken: AtomicBool,
    /// The task. It stays here when it is woken: two wake-ups may overlap, and the second one, late,
    /// would take away the waker that the poll between them has left for a third.
    task: Mutex<Option<Waker>>,
}

impl Readiness {
    /// Polls the source, unless it was pending and has not woken its waker since. Always the same
    /// source.
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let is_waiting = |waiting: &Waker| waiting.will_wake(cx.waker());
        let waits = self.waiting.as_ref().is_some_and(is_waiting);
        if waits && !self.source.is_woken.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before the poll: what wakes the source from here on is noted for the next one. What woke it
        // before is seen by this one.
        self.source.is_woken.swap(false, Ordering::AcqRel);
        if !waits {
            self.source.set_task(cx.waker());
        }
        let waker = Waker::from(Arc::clone(&self.source));
        let polled = poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.waiting = None;
        } else if !waits {
            self.waiting = Some(cx.waker().clone());
        }
        polled
    }
}

impl Source {
    fn set_task(&self, task: &Waker) {
        let mut kept = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *kept {
            Some(kept) => kept.clone_from(task),
            None => *kept = Some(task.clone()),
        }
    }

    fn note_woken(&self) {
        self.is_woken.store(true, Ordering::Release);
    }

    fn wake_task(&self) {
        let kept = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        let task = kept.clone();
        drop(kept);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl Wake for Source {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.note_woken();
        self.wake_task();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::Pin;
    use std::sync::atomic::AtomicUsize;
    use std::thread::{self, Thread};
    use std::time::Duration;

    use shared::clock::{Clock as _, SystemClock};
    use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;
    use tokio::task::{JoinSet, yield_now};
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_source_is_polled_again_only_when_it_has_woken() {
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&task);
        let (mut readiness, mut polls, mut kept) = (Readiness::default(), 0, None);
        let mut poll = |cx: &mut Context<'_>, outcome: Poll<()>| {
            let polled = readiness.poll(cx, |cx| {
                polls += 1;
                kept = Some(cx.waker().clone());
                outcome
            });
            (polled, polls, kept.clone().unwrap())
        };
        let (_, polls, _) = poll(&mut cx, Poll::Ready(()));
        assert_eq!(polls, 1);
        let (polled, polls, source) = poll(&mut cx, Poll::Pending);
        assert_eq!((polled, polls), (Poll::Pending, 2), "there may be more");
        for _ in 0..9 {
            let (polled, polls, _) = poll(&mut cx, Poll::Ready(()));
            assert_eq!((polled, polls), (Poll::Pending, 2));
        }
        source.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        let (polled, polls, source) = poll(&mut cx, Poll::Pending);
        assert_eq!((polled, polls), (Poll::Pending, 3), "in vain");
        source.wake();
        let (polled, polls, _) = poll(&mut cx, Poll::Ready(()));
        assert_eq!((polled, polls), (Poll::Ready(()), 4));
        // Another task: the source has to know it.
        let (_, polls, _) = poll(&mut cx, Poll::Pending);
        assert_eq!(polls, 5);
        let other = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&other));
        let (_, polls, source) = poll(&mut Context::from_waker(&task), Poll::Pending);
        assert_eq!(polls, 6);
        source.wake();
        let woken = |count: &Count| count.0.load(Ordering::Relaxed);
        assert_eq!((woken(&count), woken(&other)), (2, 1));
    }

    #[test]
    fn a_wake_up_that_another_overtakes_leaves_the_waker_for_a_third() {
        let count = Arc::new(Count::default());
        let task = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&task);
        let mut readiness = Readiness::default();
        let pending = |_: &mut Context<'_>| Poll::<()>::Pending;
        assert!(readiness.poll(&mut cx, pending).is_pending());
        let source = Arc::clone(&readiness.source);
        source.note_woken();
        source.wake_by_ref();
        assert!(readiness.poll(&mut cx, pending).is_pending());
        source.wake_task();
        assert!(readiness.poll(&mut cx, pending).is_pending());
        source.wake_by_ref();
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
    }

    /// Wakes a thread.
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Counts what has come, and wakes who waits for more, as often as it likes.
    #[derive(Default)]
    struct Counter {
        count: AtomicUsize,
        waker: Mutex<Option<Waker>>,
    }

    impl Counter {
        fn add(&self) {
            self.count.fetch_add(1, Ordering::SeqCst);
            let waker = self.waker.lock().unwrap().clone();
            waker.inspect(Waker::wake_by_ref);
        }

        fn poll(&self, seen: usize, cx: &mut Context<'_>) -> Poll<usize> {
            *self.waker.lock().unwrap() = Some(cx.waker().clone());
            match self.count.load(Ordering::SeqCst) {
                count if count > seen => Poll::Ready(count),
                _ => Poll::Pending,
            }
        }
    }

    #[test]
    fn no_wake_up_is_lost_when_several_overlap() {
        const THREADS: usize = 8;
        const EACH: usize = 20_000;
        let counter = Arc::new(Counter::default());
        let adding = [(); THREADS].map(|()| {
            let counter = Arc::clone(&counter);
            thread::spawn(move || (0..EACH).for_each(|_| counter.add()))
        });
        let task = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&task);
        let (mut readiness, mut seen) = (Readiness::default(), 0);
        while seen < THREADS * EACH {
            match readiness.poll(&mut cx, |cx| counter.poll(seen, cx)) {
                Poll::Ready(count) => seen = count,
                Poll::Pending => {
                    let parked = SystemClock.now();
                    thread::park_timeout(PATIENCE);
                    let waited = SystemClock.now() - parked;
                    assert!(waited < PATIENCE, "not woken after {seen}");
                }
            }
        }
        adding.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// Reads `count` bytes; each turn also ends by `other`.
    async fn read_all(mut tcp: TcpStream, count: usize, other: Arc<Notify>) {
        let (mut readiness, mut seen) = (Readiness::default(), 0);
        let mut notified = Box::pin(other.notified());
        while seen < count {
            let turn = poll_fn(|cx| {
                if notified.as_mut().poll(cx).is_ready() {
                    notified = Box::pin(other.notified());
                }
                let mut bytes = [0; 64];
                let mut buf = ReadBuf::new(&mut bytes);
                let read = readiness.poll(cx, |cx| Pin::new(&mut tcp).poll_read(cx, &mut buf));
                read.map(|read| read.map(|()| buf.filled().len()))
            });
            let read = timeout(PATIENCE, turn).await;
            seen += read.expect("woken while there are bytes to come").unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_bytes_of_a_socket_are_left_unread() {
        const BYTES: usize = 20_000;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut client, other) = (client.unwrap(), Arc::new(Notify::new()));
        client.set_nodelay(true).unwrap();
        let server = listener.accept().await.unwrap().0;
        let mut reading = JoinSet::new();
        reading.spawn(read_all(server, BYTES, Arc::clone(&other)));
        for byte in 0..BYTES {
            client.write_all(b"x").await.unwrap();
            if byte % 3 == 0 {
                other.notify_one();
            }
            if byte % 7 == 0 {
                yield_now().await;
            }
        }
        timeout(PATIENCE, reading.join_all()).await.unwrap();
    }
}
