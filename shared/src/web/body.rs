//! Time limits for request bodies, by progress.
//!
//! A slow body is accepted as long as it makes progress. The time that a handler waits for its
//! client does not count against the handler's own limit.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::deadline::{at, now};

/// Longest pause between two pieces of a body.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Longest time for a whole body, extended by a second for every [`BYTES_A_SECOND_MIN`] of it.
const WHOLE_BASE: Duration = Duration::from_secs(20);

/// Slowest rate that is accepted: half of what the slowest networks give.
const BYTES_A_SECOND_MIN: u64 = 500;

/// Longest time for a body of any size.
const WHOLE_MAX: Duration = Duration::from_secs(600);

/// One more wait for bytes that have arrived and were not read yet.
const GRACE: Duration = Duration::from_secs(1);

/// The client has not sent its body in time.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// Progress of a body.
#[derive(Debug, Default)]
struct Course {
    waited: Duration,
    waiting_since: Option<Instant>,
    is_too_slow: bool,
}

/// Progress of a body, shared by its reader and the handler's time limit. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Mutex<Course>>);

impl Pace {
    /// How long the reader has waited for the client.
    pub(super) fn waited(&self) -> Duration {
        let course = self.lock();
        let since = course.waiting_since;
        let current = since.map(|since| now().saturating_duration_since(since));
        course.waited.saturating_add(current.unwrap_or_default())
    }

    /// Whether the body was given up because its client was too slow.
    pub(super) fn is_too_slow(&self) -> bool {
        self.lock().is_too_slow
    }

    fn begin_wait(&self) {
        self.lock().waiting_since.get_or_insert_with(now);
    }

    fn end_wait(&self) {
        let mut course = self.lock();
        if let Some(since) = course.waiting_since.take() {
            let more = now().saturating_duration_since(since);
            course.waited = course.waited.saturating_add(more);
        }
    }

    fn give_up(&self) {
        self.lock().is_too_slow = true;
    }

    fn lock(&self) -> MutexGuard<'_, Course> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body with time limits.
#[derive(Debug)]
pub(super) struct PacedBody {
    body: Body,
    pace: Pace,
    timer: Pin<Box<Sleep>>,
    /// Start of the first wait: what a handler does before it reads is not the client's time.
    begun: Option<Instant>,
    bytes: u64,
    is_waiting: bool,
    has_grace: bool,
}

impl PacedBody {
    pub(super) fn new(body: Body, pace: Pace) -> Self {
        Self {
            body,
            pace,
            timer: at(now() + PAUSE_MAX),
            begun: None,
            bytes: 0,
            is_waiting: false,
            has_grace: false,
        }
    }

    /// When the body is given up unless more of it arrives.
    fn deadline(&mut self) -> Instant {
        let now = now();
        let begun = *self.begun.get_or_insert(now);
        let earned = Duration::from_secs(self.bytes / BYTES_A_SECOND_MIN);
        let whole = WHOLE_BASE.saturating_add(earned).min(WHOLE_MAX);
        (begun + whole).min(now + PAUSE_MAX)
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body.frame()).poll(cx) {
            this.is_waiting = false;
            this.pace.end_wait();
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok());
            let bytes = data.and_then(Frame::data_ref).map_or(0, Bytes::len);
            this.bytes = this.bytes.saturating_add(bytes as u64);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        if !this.is_waiting {
            this.is_waiting = true;
            this.has_grace = true;
            this.pace.begin_wait();
            let deadline = this.deadline();
            this.timer.as_mut().reset(deadline);
        }
        while this.timer.as_mut().poll(cx).is_ready() && this.has_grace {
            // What has arrived may not have been read yet: that takes the connection's own task.
            this.has_grace = false;
            this.timer.as_mut().reset(now() + GRACE);
        }
        if !this.timer.is_elapsed() {
            return Poll::Pending;
        }
        this.pace.end_wait();
        this.pace.give_up();
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
