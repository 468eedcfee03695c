//! Bounded queue between the log and its file descriptor, and the thread that writes it out.
//!
//! A reader of the log that hangs, has ended, or has a full disk must not block or end the server:
//! a line is queued or dropped without waiting, and drops are counted. `tracing-appender` has a
//! writer thread too, but bounds lines instead of bytes, loses what a failed write takes with it
//! uncounted, and at its end prints to a descriptor that may be the blocked one.
//!
//! What this module does not do: format lines, or filter them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// 1 MiB waits to be written, and at most as much is being written: some 7,000 lines, more than a
/// start or a stop logs, so that lines are lost only if the reader stops for a while.
const QUEUED_BYTES_MAX: usize = 1 << 20;

/// Pause before a descriptor that would block (a terminal in non-blocking mode) is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// The queue. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct LineQueue(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Signalled when lines are queued.
    filled: Condvar,
    /// Signalled when everything is written.
    emptied: Condvar,
    dropped: AtomicU64,
    bytes_max: usize,
}

#[derive(Debug, Default)]
struct State {
    queued: Vec<u8>,
    is_writing: bool,
}

impl LineQueue {
    /// A queue and its thread, which writes to standard error.
    ///
    /// # Errors
    /// The descriptor cannot be duplicated, or no thread started.
    pub(super) fn to_stderr() -> io::Result<Self> {
        // A descriptor of its own: the lock of `io::stderr` would be held while a write waits.
        let stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::start(stderr, QUEUED_BYTES_MAX)
    }

    fn start(out: impl Write + Send + 'static, bytes_max: usize) -> io::Result<Self> {
        let queue = Self(Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
            bytes_max,
        }));
        let shared = Arc::clone(&queue.0);
        let thread = thread::Builder::new().name("log-writer".to_owned());
        drop(thread.spawn(move || shared.write_to(out))?);
        Ok(queue)
    }

    /// Queues whole lines, or drops them where there is no room.
    pub(super) fn push(&self, lines: &[u8]) {
        self.0.push(lines);
    }

    /// How many lines were never written.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, at most `wait_max`.
    pub(super) fn flush(&self, wait_max: Duration) {
        let state = self.0.lock();
        let is_busy = |state: &mut State| state.is_writing || !state.queued.is_empty();
        let waited = self.0.emptied.wait_timeout_while(state, wait_max, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each update is complete in itself, so a poisoned lock holds whole lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, lines: &[u8]) {
        let mut state = self.lock();
        if state.queued.len() + lines.len() <= self.bytes_max {
            state.queued.extend_from_slice(lines);
            drop(state);
            self.filled.notify_one();
        } else {
            drop(state);
            self.drop_lines(lines);
        }
    }

    fn drop_lines(&self, lines: &[u8]) {
        let count = lines.iter().filter(|byte| **byte == b'\n').count().max(1);
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// The loop of the writer thread, which ends with the process.
    fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        let mut reported = 0;
        let mut is_torn = false;
        loop {
            self.take(&mut batch);
            // The rest of a line that was cut short must not run into the next.
            let whole = if is_torn {
                write_all(&mut out, b"\n")
            } else {
                Ok(())
            };
            let whole = whole.and_then(|()| write_all(&mut out, &batch));
            match whole {
                Ok(()) => {
                    is_torn = false;
                    self.report(&mut reported);
                }
                Err(written) => {
                    is_torn |= batch[..written].last().is_some_and(|byte| *byte != b'\n');
                    self.drop_lines(&batch[written..]);
                }
            }
            batch.clear();
        }
    }

    /// Waits for lines and takes all that are queued.
    fn take(&self, batch: &mut Vec<u8>) {
        let mut state = self.lock();
        state.is_writing = false;
        while state.queued.is_empty() {
            self.emptied.notify_all();
            let waited = self.filled.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.queued, batch);
        state.is_writing = true;
    }

    /// Logs how many lines were dropped, once writing works again.
    fn report(&self, reported: &mut u64) {
        let dropped = self.dropped.load(Ordering::Relaxed);
        let count = dropped - *reported;
        if count == 0 || self.lock().queued.len() > self.bytes_max / 2 {
            return;
        }
        tracing::error!(
            log.lines_dropped = count,
            "{count} lines of this log are missing: it was not read, or not kept, for a while"
        );
        // If this line was dropped, too, the report is repeated.
        if self.dropped.load(Ordering::Relaxed) == dropped {
            *reported = dropped;
        }
    }
}

/// Writes all bytes, or returns how many were written.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < bytes.len() {
        match out.write(&bytes[written..]) {
            Ok(0) => return Err(written),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => pause(),
            Err(_gone_or_full) => return Err(written),
        }
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own, no worker of the runtime"
)]
fn pause() {
    thread::sleep(RETRY_AFTER);
}

impl<'a> MakeWriter<'a> for LineQueue {
    type Writer = Lines<'a>;

    fn make_writer(&'a self) -> Lines<'a> {
        Lines(&self.0)
    }
}

/// The subscriber's end of the queue; each event is one write.
#[derive(Debug)]
pub(super) struct Lines<'a>(&'a Shared);

impl Write for Lines<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A test that hangs has failed.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Each write is handed over and answered by the test.
    struct Answered {
        writes: Sender<Vec<u8>>,
        answers: Receiver<io::Result<usize>>,
    }

    impl Write for Answered {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.writes.send(bytes.to_vec()).ok();
            let gone = || Err(ErrorKind::BrokenPipe.into());
            self.answers.recv().unwrap_or_else(|_| gone())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Test {
        queue: LineQueue,
        writes: Receiver<Vec<u8>>,
        answers: Sender<io::Result<usize>>,
    }

    impl Test {
        fn start(bytes_max: usize) -> Self {
            let (writes, seen) = channel();
            let (answer, answers) = channel();
            let out = Answered { writes, answers };
            let queue = LineQueue::start(out, bytes_max).unwrap();
            Self {
                queue,
                writes: seen,
                answers: answer,
            }
        }

        /// The writer writes this, and is answered so.
        fn check(&self, expected: &str, answer: io::Result<usize>) {
            let write = self.writes.recv_timeout(PATIENCE).unwrap();
            assert_eq!(String::from_utf8(write).unwrap(), expected);
            self.answers.send(answer).unwrap();
        }
    }

    #[test]
    fn lines_come_out_in_order_also_in_pieces() {
        let test = Test::start(100);
        test.queue.push(b"one\n");
        let first = test.writes.recv_timeout(PATIENCE).unwrap();
        assert_eq!(first, b"one\n");
        // What comes while the first is written goes out together.
        test.queue.push(b"two\n");
        test.queue.push(b"three\n");
        test.answers.send(Ok(4)).unwrap();
        test.check("two\nthree\n", Ok(2));
        test.check("o\nthree\n", Err(ErrorKind::Interrupted.into()));
        test.check("o\nthree\n", Err(ErrorKind::WouldBlock.into()));
        test.check("o\nthree\n", Ok(8));
        test.queue.flush(PATIENCE);
        assert_eq!(test.queue.dropped(), 0);
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted() {
        let test = Test::start(8);
        test.queue.push(b"one\n");
        let first = test.writes.recv_timeout(PATIENCE).unwrap();
        assert_eq!(first, b"one\n");
        // The writer is blocked; callers that log are not.
        for _ in 0..3 {
            test.queue.push(b"two\n");
        }
        test.queue.push(b"a line of more bytes than all\n");
        assert_eq!(test.queue.dropped(), 2);
        test.queue.flush(Duration::ZERO);
        test.answers.send(Ok(4)).unwrap();
        test.check("two\ntwo\n", Ok(8));
        test.queue.push(b"four\n");
        test.check("four\n", Ok(5));
        assert_eq!(test.queue.dropped(), 2);
    }

    #[test]
    fn failed_writes_are_counted_and_later_ones_tried() {
        let test = Test::start(100);
        test.queue.push(b"one\ntwo\n");
        test.check("one\ntwo\n", Ok(5));
        test.check("wo\n", Err(ErrorKind::StorageFull.into()));
        test.queue.flush(PATIENCE);
        assert_eq!(test.queue.dropped(), 1);
        test.queue.push(b"three\n");
        // The half line ends first.
        test.check("\n", Ok(1));
        test.check("three\n", Ok(6));
        test.queue.push(b"four\n");
        test.check("four\n", Err(ErrorKind::BrokenPipe.into()));
        test.queue.push(b"five\n");
        test.check("five\n", Ok(5));
        test.queue.flush(PATIENCE);
        assert_eq!(test.queue.dropped(), 2);
    }
}
