//! The server's side of one connection, as a state machine without I/O.
//!
//! ```text
//!   Greeting ── CONNECT ─► LoggingIn ── accept_login ─► Open ── DISCONNECT ─► Leaving
//!      └───────────────┴── fault, refusal, close ─────────┴──────────────────────┴─► Closed
//! ```

mod acks;
mod client_frames;
mod endings;
mod headers;
mod output;
mod subscriptions;
mod transactions;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::decode::Decoder;
use crate::encode::FrameWriter;
use crate::error::{CloseCode, ProtocolError, Refusal};
use crate::frame::{Command, Receipt};
use crate::heart_beat::{HeartBeat, HeartBeatTimers};
use crate::limits::Limits;
use crate::version::Version;
use acks::settle;
use subscriptions::Subscriptions;
use transactions::Transactions;

pub use output::{Commit, Login, NotSubscribed, Output, Send, Subscribe, Unsubscribe};
pub use subscriptions::{AckMode, SubscriptionKey};

/// Subscriptions and transactions live as long as the client wants, so the length of their names is
/// bounded: 4 MiB for all that `subscriptions_max` allows. Ids of real clients have under 40 bytes.
const NAME_BYTES_MAX: usize = 256;

/// Configuration shared by all sessions of a server.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Bounds until the login is accepted.
    pub before_login: Limits,
    /// Bounds from then on.
    pub after_login: Limits,
    /// The shortest interval at which this side sends, and the longest that it requests from a peer
    /// that can send more often: [`HeartBeat::towards`]. The slower offer counts in each direction.
    pub heart_beat: HeartBeat,
    /// From the start of the session to [`Session::accept_login`].
    pub login_timeout: Duration,
    /// Subscriptions of a session; those beyond are [`Output::NotSubscribed`]. A member's chat list
    /// subscribes to each of its rooms.
    pub subscriptions_max: usize,
    /// Messages of one subscription that may wait for an ACK; then delivery pauses.
    pub unacknowledged_max: usize,
    /// Open transactions of a session.
    pub transactions_max: usize,
    /// Frames bound to one transaction.
    pub transaction_frames_max: usize,
    /// Bytes of the frames bound to one transaction.
    pub transaction_bytes_max: usize,
    /// The `server` header of CONNECTED: `name/version`.
    pub server: String,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            before_login: Limits::before_login(),
            after_login: Limits::after_login(),
            heart_beat: HeartBeat {
                can_send_ms: 1_000,
                wants_ms: 25_000,
            },
            login_timeout: Duration::from_secs(10),
            subscriptions_max: 16_384,
            unacknowledged_max: 1_000,
            transactions_max: 16,
            transaction_frames_max: 64,
            transaction_bytes_max: 1 << 20,
            server: concat!("DaPanDa/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for CONNECT.
    Greeting,
    /// CONNECT was parsed and the application decides on it. No frame is read meanwhile.
    LoggingIn { theirs: HeartBeat },
    /// Logged in.
    Open,
    /// DISCONNECT was received; the application finishes requests in flight.
    Leaving,
    /// The session is over; only outputs are left to be polled.
    Closed,
}

/// The STOMP state of one connection; see the crate's documentation for how to drive it.
pub struct Session {
    config: Arc<SessionConfig>,
    state: State,
    version: Option<Version>,
    decoder: Decoder,
    login_due: Instant,
    timers: HeartBeatTimers,
    subscriptions: Subscriptions,
    transactions: Transactions,
    outputs: VecDeque<Output>,
}

impl Session {
    /// The session of a connection that was opened at `now`.
    #[must_use]
    pub fn new(config: Arc<SessionConfig>, now: Instant) -> Self {
        Self {
            state: State::Greeting,
            version: None,
            decoder: Decoder::new(config.before_login),
            login_due: now.checked_add(config.login_timeout).unwrap_or(now),
            timers: HeartBeatTimers::default(),
            subscriptions: Subscriptions::default(),
            transactions: Transactions::default(),
            outputs: VecDeque::new(),
            config,
        }
    }

    // ---- how it stands ------------------------------------------------------------------------

    /// The version agreed on; `None` before CONNECT.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Whether the login was accepted and nothing ended the session since.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the session is over; the outputs still in [`Self::poll_output`] are the last ones.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Bytes received and not yet read as frames. Stop receiving while it is high.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.decoder.buffered_bytes()
    }

    /// How many more messages a subscription may receive before it pauses for ACKs; `None` without
    /// a bound (ack mode `auto`), 0 for a subscription that is gone.
    #[must_use]
    pub fn delivery_window(&self, key: SubscriptionKey) -> Option<usize> {
        self.subscriptions
            .window(key, self.config.unacknowledged_max)
    }

    // ---- what happened ------------------------------------------------------------------------

    /// The peer sent `bytes`: parts of any number of frames, or heart-beats.
    pub fn handle_input(&mut self, bytes: Bytes, now: Instant) {
        self.timers.handle_received(now);
        if !matches!(self.state, State::Leaving | State::Closed) {
            self.decoder.feed(bytes);
        }
    }

    /// Bytes of an incomplete message arrived: they count as a heart-beat (STOMP 1.2,
    /// "Heart-beating").
    pub fn handle_received(&mut self, now: Instant) {
        self.timers.handle_received(now);
    }

    /// Line ends received since the last call, except one or two right after each frame.
    pub fn take_idle_eols(&mut self) -> u64 {
        self.decoder.take_idle_eols()
    }

    /// The transport refused a message for its size, so no frame could be read from it.
    pub fn handle_message_too_large(&mut self) {
        // After DISCONNECT nothing is read, and its RECEIPT is still to be sent.
        if self.state != State::Leaving {
            self.fail(ProtocolError::MessageTooLarge, None);
        }
    }

    /// Bytes were written to the peer: the next heart-beat is postponed.
    pub fn handle_sent(&mut self, now: Instant) {
        self.timers.handle_sent(now);
    }

    /// Runs the timers that are due: at the time that [`Self::poll_timeout`] returned, or at any
    /// other.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_late = self.login_due <= now;
        match self.state {
            State::Greeting if is_late => self.fail(ProtocolError::LoginTimeout, None),
            State::LoggingIn { .. } if is_late => self.fail(ProtocolError::LoginUndecided, None),
            State::Open | State::Leaving => match self.timers.handle_timeout(now) {
                Ok(true) => self.beat(),
                Ok(false) => {}
                Err(_missed) => self.fail(ProtocolError::HeartBeatMissed, None),
            },
            State::Greeting | State::LoggingIn { .. } | State::Closed => {}
        }
    }

    /// Sends an EOL, unless other output is waiting, which also counts as a heart-beat.
    fn beat(&mut self) {
        let is_transmit = |output: &Output| matches!(output, Output::Transmit(_));
        if !self.outputs.iter().any(is_transmit) {
            self.outputs
                .push_back(Output::Transmit(Bytes::from_static(b"\n")));
        }
    }

    /// The application accepts the [`Output::Login`]: CONNECTED goes out, frames are read again.
    ///
    /// `session` names the connection in logs of both sides, `user_name` the member.
    pub fn accept_login(&mut self, session: &str, user_name: &str, now: Instant) {
        let (State::LoggingIn { theirs }, Some(version)) = (self.state, self.version) else {
            return;
        };
        // 1.0 has no heart-beats.
        let ours = if version == Version::V1_0 {
            HeartBeat::default()
        } else {
            self.config.heart_beat.towards(theirs)
        };
        let connected = FrameWriter::new(Command::Connected, version)
            .header("version", version.as_str())
            .header("heart-beat", &ours.header())
            .header("session", session)
            .header("server", &self.config.server)
            .header("user-name", user_name)
            .end();
        self.outputs.push_back(Output::Transmit(connected));
        self.decoder.set_limits(self.config.after_login);
        self.timers = HeartBeatTimers::new(ours, theirs, now);
        self.state = State::Open;
    }

    /// A frame's request is done: sends its RECEIPT, if one was requested.
    pub fn confirm(&mut self, receipt: Option<Receipt>) {
        self.confirm_with(receipt, &[]);
    }

    /// Like [`Self::confirm`], with more headers on the RECEIPT.
    pub fn confirm_with(&mut self, receipt: Option<Receipt>, headers: &[(&str, &str)]) {
        let Some(receipt) = receipt else { return };
        if self.state == State::Closed {
            return;
        }
        let mut frame = FrameWriter::new(Command::Receipt, self.written_version())
            .header("receipt-id", receipt.as_str());
        for (name, value) in headers {
            frame = frame.header(name, value);
        }
        self.outputs.push_back(Output::Transmit(frame.end()));
    }

    /// The application carried out an [`Output::Commit`]: its acknowledgements take effect and all
    /// its receipts go out.
    pub fn confirm_commit(&mut self, commit: Commit) {
        for request in commit.acks {
            settle(&request, &mut self.subscriptions, &mut self.outputs);
        }
        for receipt in commit.bound_receipts {
            self.confirm(Some(receipt));
        }
        self.confirm(commit.receipt);
    }

    /// A message went out on a subscription. In the client ack modes it now waits for its ACK.
    ///
    /// The ids of a subscription's messages rise; one sent again is not counted again.
    pub fn handle_delivered(&mut self, key: SubscriptionKey, message_id: u64) {
        self.subscriptions.note_delivered(key, message_id);
    }

    /// All requests in flight at [`Output::Disconnect`] are done: RECEIPT, then the normal close.
    pub fn finish(&mut self, receipt: Option<Receipt>) {
        self.confirm(receipt);
        self.close(CloseCode::NORMAL, "");
    }

    /// Ends the session with an ERROR frame.
    pub fn refuse(&mut self, refusal: Refusal) {
        self.refuse_with(refusal, &[]);
    }

    /// Ends the session without an ERROR frame.
    pub fn close(&mut self, code: CloseCode, reason: &'static str) {
        if self.state != State::Closed {
            self.end(code, reason.into());
        }
    }

    // ---- what to do next ----------------------------------------------------------------------

    /// The next action; `None` until another event.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.outputs.pop_front() {
                return Some(output);
            }
            if !matches!(self.state, State::Greeting | State::Open) {
                return None;
            }
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.handle_frame(frame),
                Ok(None) => {
                    // Most sessions are idle most of the time; an empty queue then holds no memory.
                    self.outputs = VecDeque::new();
                    return None;
                }
                Err(failure) => self.fail(failure.error.into(), failure.receipt),
            }
        }
    }

    /// When to call [`Self::handle_timeout`] at the latest; `None`: not before the next event.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Greeting | State::LoggingIn { .. } => Some(self.login_due),
            State::Open | State::Leaving => self.timers.poll_timeout(),
            State::Closed => None,
        }
    }

    /// When to probe the peer below STOMP, as its heart-beats are late: any byte that arrives in
    /// time keeps the session. `None`: no heart-beats are agreed.
    #[must_use]
    pub fn probe_due(&self) -> Option<Instant> {
        self.timers.probe_due()
    }

    /// The version of written frames: before one is negotiated, the one without escapes.
    fn written_version(&self) -> Version {
        self.version.unwrap_or(Version::V1_0)
    }
}

impl fmt::Debug for Session {
    /// Without received bytes, which contain tokens and messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("version", &self.version)
            .field("buffered_bytes", &self.buffered_bytes())
            .field("subscriptions", &self.subscriptions)
            .finish_non_exhaustive()
    }
}

/// The one instant from which tests count.
#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had in no other way"
)]
pub(crate) fn test_epoch() -> Instant {
    Instant::now()
}
