//! How a connection ends in good order: what is under way is settled first, and a client that goes,
//! or is sent away, is left the last word it needs.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stomp::{CloseCode, Receipt, Refusal};

use super::actor::Actor;
use super::delivery::{Source, Subscription};
use super::failure::ClientError;
use super::registry::Change;

/// How long the receipts of sends under way are waited for when the server wants the session to end.
const RECEIPTS_WAIT: Duration = Duration::from_secs(5);

/// How long a client that has its last RECEIPT may take to close the socket itself. Clients that are
/// closed at once report that as a fault of their DISCONNECT (go-stomp, Spring).
const LINGER: Duration = Duration::from_millis(500);

/// Connections of a node that linger at a time; beyond, they are closed at once.
const LINGERING_MAX: usize = 1_024;

/// The text before a planned close. Front ends stop coming back at another one only,
/// [`stomp::AUTHENTICATION_FAILED`].
const RECONNECT: &str = "Server restarting, reconnect";

/// The number in that ERROR, of what works when it is tried again.
const RECONNECT_CODE: u16 = ClientError::UNAVAILABLE.code;

/// How the server closes what it wants to come again.
const COME_AGAIN: CloseCode = CloseCode(1012);

/// Why a connection ends once its sends are settled.
pub(super) enum Closing {
    /// DISCONNECT, with its receipt.
    Client(Option<Receipt>),
    /// The server wants it.
    Server(CloseCode, &'static str),
}

/// A client that has its last RECEIPT has until then to close.
pub(super) struct Lingering {
    due: Instant,
    count: Arc<AtomicUsize>,
}

impl Drop for Lingering {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Actor {
    /// Ends the session if it is to end and nothing is under way.
    pub(super) fn advance_closing(&mut self) -> bool {
        if !self.sends.is_empty() {
            return false;
        }
        match self.closing.take() {
            Some(Closing::Client(Some(receipt))) => {
                self.session.confirm(Some(receipt));
                self.linger();
            }
            Some(Closing::Client(None)) => self.session.finish(None),
            Some(Closing::Server(COME_AGAIN, _)) if self.has_to_be_told() => {
                self.session.refuse(Refusal {
                    code: RECONNECT_CODE,
                    message: Cow::Borrowed(RECONNECT),
                    receipt: None,
                    close: COME_AGAIN,
                });
            }
            Some(Closing::Server(code, reason)) => self.session.close(code, reason),
            None => return false,
        }
        true
    }

    /// A client that does not listen for what the server has to say may be one that begins its
    /// subscriptions again only after an ERROR, as the first front end does.
    fn has_to_be_told(&self) -> bool {
        let listens = |subscription: &Subscription| matches!(subscription.source, Source::System);
        self.services.config.close_with_error && !self.slots.iter().flatten().any(listens)
    }

    /// Waits a little for the client to close; it hears nothing more.
    fn linger(&mut self) {
        let count = &self.services.connections.lingering;
        let one_more = |now: usize| (now < LINGERING_MAX).then_some(now + 1);
        let counted = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        if counted.is_err() {
            return self.session.close(CloseCode::NORMAL, "");
        }
        let now = self.services.clock.now();
        self.lingering = Some(Lingering {
            due: now.checked_add(LINGER).unwrap_or(now),
            count: Arc::clone(count),
        });
        self.ended = Some(CloseCode::NORMAL);
        self.socket.note_goodbye();
        let ended = std::mem::take(&mut self.slots).into_iter().flatten();
        for _ in ended {
            self.services.metrics.subscriptions_closed.inc();
            self.entry.note_subscription(Change::Ended);
        }
        self.ready.clear();
        self.behind.clear();
        self.again.clear();
        self.reading = None;
    }

    /// Closes a connection that has lingered long enough.
    pub(super) fn end_lingering(&mut self, now: Instant) {
        if self.linger_due().is_some_and(|due| due <= now) {
            self.lingering = None;
            self.session.close(CloseCode::NORMAL, "");
        }
    }

    pub(super) fn linger_due(&self) -> Option<Instant> {
        self.lingering.as_ref().map(|lingering| lingering.due)
    }

    /// The server wants the session to end, after what is under way.
    pub(super) fn close_gracefully(&mut self, code: CloseCode, reason: &'static str) {
        if !self.is_ending() {
            self.closing = Some(Closing::Server(code, reason));
            self.closing_due = self.services.clock.now().checked_add(RECEIPTS_WAIT);
        }
    }

    /// The server wants the session to end: nothing new is begun, or a client that goes on sending
    /// would never be rid of.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.closing, Some(Closing::Server(..)))
    }

    /// Somebody wants the session to end, and it will.
    pub(super) fn is_ending(&self) -> bool {
        self.closing.is_some() || self.lingering.is_some()
    }

    /// When to stop waiting for what is under way.
    pub(super) fn closing_due(&self) -> Option<Instant> {
        self.closing_due.filter(|_| self.is_closing())
    }
}
