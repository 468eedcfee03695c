//! A request's body on its way in: how long its client may take, and how long we have waited for it.
//!
//! Time goes by progress: a body may be slow as long as it comes. The time that a handler waits for
//! its client is not the handler's.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::stream::{at, now};

/// Between two pieces of a body.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A whole body may take so long, and longer by a second for every [`BYTES_A_SECOND_MIN`] of it.
const WHOLE_BASE: Duration = Duration::from_secs(20);

/// Half of what the slowest of networks gives.
const BYTES_A_SECOND_MIN: u64 = 500;

/// However large it is.
const WHOLE_MAX: Duration = Duration::from_secs(600);

/// For what has arrived and was not read yet.
const GRACE: Duration = Duration::from_secs(1);

/// The client has not sent its body in time.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// What is known of a body by now.
#[derive(Debug, Default)]
struct Course {
    waited: Duration,
    waiting_since: Option<Instant>,
    is_too_slow: bool,
}

/// What a body's reader, and who waits for the reader, know of it. Clones are of the same body.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace(Arc<Mutex<Course>>);

impl Pace {
    /// How long the client has kept us waiting.
    pub(super) fn waited(&self) -> Duration {
        let course = self.lock();
        let since = course.waiting_since;
        let current = since.map(|since| now().saturating_duration_since(since));
        course.waited.saturating_add(current.unwrap_or_default())
    }

    /// Whether it was given up for that.
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

/// A body with bounds on its time.
#[derive(Debug)]
pub(super) struct PacedBody {
    body: Body,
    pace: Pace,
    timer: Pin<Box<Sleep>>,
    /// Since the first wait: what a handler does before it reads is not the client's time.
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

    /// When a body is given up of which nothing more comes.
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
