//! The end of a connection: sends in flight are settled first, and a client that leaves, or is sent
//! away, gets its last frame.
//!
//! State only: the task writes the frames and closes the socket.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stomp::{CloseCode, Receipt, Refusal};

use super::error::ClientError;
use crate::wake_queue::CloseReason;

/// Time for the outcomes of sends in flight when the server ends the session.
const RECEIPTS_WAIT: Duration = Duration::from_secs(5);

/// Time for a client that has its last RECEIPT to close the socket itself. Clients that are closed
/// at once report that as a fault of their DISCONNECT (go-stomp, Spring).
const LINGER: Duration = Duration::from_millis(500);

/// Connections of a node that linger at a time; beyond, they are closed at once.
const LINGERING_MAX: usize = 1_024;

/// Time for the peer to answer our close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// Text of the ERROR before a planned close. Front ends stop reconnecting at another one only,
/// [`stomp::AUTHENTICATION_FAILED`].
const RECONNECT: &str = "Server restarting, reconnect";

/// Why a session ends once its sends are settled.
#[derive(Debug)]
pub(super) enum CloseRequest {
    /// DISCONNECT, with its receipt.
    Client(Option<Receipt>),
    /// The server ends it.
    Server(CloseReason),
}

/// A client that has its last RECEIPT may close until then; counted while it does.
#[derive(Debug)]
struct Lingering {
    due: Instant,
    count: Arc<AtomicUsize>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Closing {
    request: Option<CloseRequest>,
    /// When the server ends the session whatever is in flight.
    receipts_due: Option<Instant>,
    lingering: Option<Lingering>,
    /// How the session ended.
    code: Option<CloseCode>,
    /// When the answer to our close frame is not waited for any more.
    answer_due: Option<Instant>,
    peer_gone: bool,
}

impl Closing {
    /// The client has sent DISCONNECT.
    pub(super) fn request_by_client(&mut self, receipt: Option<Receipt>) {
        self.request = Some(CloseRequest::Client(receipt));
    }

    /// The server ends the session, unless it is ending already.
    pub(super) fn request_by_server(&mut self, reason: CloseReason, now: Instant) {
        if !self.is_ending() {
            self.request = Some(CloseRequest::Server(reason));
            self.receipts_due = now.checked_add(RECEIPTS_WAIT);
        }
    }

    /// Takes the request, to be carried out when no send is in flight.
    pub(super) fn take_request(&mut self) -> Option<CloseRequest> {
        self.request.take()
    }

    /// Whether the server is ending the session: no other frame is carried out, or a client that
    /// goes on sending would never be closed.
    pub(super) fn is_by_server(&self) -> bool {
        matches!(self.request, Some(CloseRequest::Server(_)))
    }

    /// Whether either side is ending the session.
    pub(super) fn is_ending(&self) -> bool {
        self.request.is_some() || self.lingering.is_some()
    }

    /// When the outcomes of sends in flight are not waited for any more.
    pub(super) fn receipts_due(&self) -> Option<Instant> {
        self.receipts_due.filter(|_| self.is_by_server())
    }

    /// Leaves the client some time to close by itself; `false` if too many connections of the node,
    /// counted by `count`, do that already.
    pub(super) fn linger(&mut self, count: &Arc<AtomicUsize>, now: Instant) -> bool {
        let one_more = |now: usize| (now < LINGERING_MAX).then_some(now + 1);
        let counted = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if counted.is_err() {
            return false;
        }
        self.lingering = Some(Lingering {
            due: now.checked_add(LINGER).unwrap_or(now),
            count: Arc::clone(count),
        });
        self.code = Some(CloseCode::NORMAL);
        true
    }

    /// When that time is over.
    pub(super) fn linger_due(&self) -> Option<Instant> {
        self.lingering.as_ref().map(|lingering| lingering.due)
    }

    /// Ends the lingering if its time is over; whether it did.
    pub(super) fn end_lingering(&mut self, now: Instant) -> bool {
        let is_over = self.linger_due().is_some_and(|due| due <= now);
        if is_over {
            self.lingering = None;
        }
        is_over
    }

    /// The close frame is on its way.
    pub(super) fn note_close_frame(&mut self, code: CloseCode, now: Instant) {
        self.code = Some(code);
        self.answer_due = now.checked_add(CLOSE_WAIT);
    }

    /// When the peer's answer to the close frame is not waited for any more.
    pub(super) fn answer_due(&self) -> Option<Instant> {
        self.answer_due
    }

    /// The peer has closed, or was given up.
    pub(super) fn note_peer_gone(&mut self) {
        self.peer_gone = true;
    }

    pub(super) fn is_peer_gone(&self) -> bool {
        self.peer_gone
    }

    /// The close code for the statistics.
    pub(super) fn label(&self) -> &'static str {
        self.code.map_or("1006", label)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The ERROR before a planned close, for clients that subscribe again only after an ERROR, as the
/// first front end does.
pub(super) fn reconnect_refusal() -> Refusal {
    Refusal {
        code: ClientError::UNAVAILABLE.code,
        message: Cow::Borrowed(RECONNECT),
        receipt: None,
        close: CloseReason::RESTART.code,
    }
}

fn label(code: CloseCode) -> &'static str {
    match code.0 {
        1000 => "1000",
        1001 => "1001",
        1002 => "1002",
        1008 => "1008",
        1009 => "1009",
        1012 => "1012",
        1013 => "1013",
        4401 => "4401",
        4403 => "4403",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    #[test]
    fn the_first_request_of_the_server_counts() {
        let now = SystemClock.now();
        let mut closing = Closing::default();
        assert!(!closing.is_ending());
        closing.request_by_server(CloseReason::RESTART, now);
        let other = CloseReason {
            code: CloseCode::POLICY,
            text: "other",
        };
        closing.request_by_server(other, now);
        assert!(closing.is_by_server() && closing.is_ending());
        assert_eq!(closing.receipts_due(), Some(now + RECEIPTS_WAIT));
        let request = closing.take_request();
        assert!(
            matches!(request, Some(CloseRequest::Server(reason)) if reason == CloseReason::RESTART)
        );
        assert!(!closing.is_ending());
        assert_eq!(closing.receipts_due(), None);
    }

    #[test]
    fn a_client_that_leaves_is_not_hurried() {
        let now = SystemClock.now();
        let mut closing = Closing::default();
        closing.request_by_client(None);
        closing.request_by_server(CloseReason::RESTART, now);
        assert!(closing.is_ending() && !closing.is_by_server());
        assert_eq!(closing.receipts_due(), None);
    }

    #[test]
    fn connections_linger_in_bounded_number() {
        let now = SystemClock.now();
        let count = Arc::new(AtomicUsize::new(LINGERING_MAX - 1));
        let mut closing = Closing::default();
        assert!(closing.linger(&count, now));
        assert!(!Closing::default().linger(&count, now));
        assert_eq!(
            (closing.label(), closing.linger_due()),
            ("1000", Some(now + LINGER))
        );
        assert!(!closing.end_lingering(now) && closing.is_ending());
        assert!(closing.end_lingering(now + LINGER) && !closing.is_ending());
        assert_eq!(count.load(Ordering::Relaxed), LINGERING_MAX - 1);
    }
}
