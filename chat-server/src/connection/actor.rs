//! The task of one connection: waits for the socket, the wake queue, work, pages and time, and does
//! what is due.
//!
//! The state is in parts; this file has the loop and everything that concerns several of them. What
//! the client's frames do is in `effects` and `send`.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use shared::web::Credentials;
use stomp::{CloseCode, Output, Session};
use tokio::time::{Sleep, sleep_until};

use super::closing::{CloseRequest, Closing, reconnect_refusal};
use super::delivery::OUT_BYTES_MAX;
use super::error::ClientError;
use super::in_flight::{InFlight, WorkDone};
use super::limiter::{Limiter, Typed};
use super::liveness::{Liveness, LivenessLimits, Silence};
use super::login::Login;
use super::migration::{Migration, MigrationStep, rebalance_at};
use super::page::PageRead;
use super::permission::Permits;
use super::registry::ConnectionEntry;
use super::services::Services;
use super::socket::{Read, Socket, SocketEvent};
use super::subscriptions::{DeliveryContext, Subscriptions};
use crate::wake_queue::CloseReason;

/// Code and text when the token has run out; a client with a fresh one may reconnect.
const TOKEN_EXPIRED: (CloseCode, &str) = (CloseCode(4401), "token expired");

/// The connection has reached its greatest age, and nothing else is wrong with it.
const OLD: CloseReason = CloseReason {
    code: CloseCode(1012),
    text: "max-age",
};

/// One connection.
pub(super) struct Actor {
    pub(super) services: Arc<Services>,
    /// The connection in the list of all.
    pub(super) entry: Arc<ConnectionEntry>,
    pub(super) session: Session,
    pub(super) socket: Socket,
    pub(super) login: Login,
    pub(super) permits: Permits,
    pub(super) subscriptions: Subscriptions,
    pub(super) in_flight: InFlight,
    pub(super) limiter: Limiter,
    pub(super) typed: Typed,
    pub(super) closing: Closing,
    pub(super) migration: Migration,
    pub(super) liveness: Liveness,
}

/// What woke the task. Each input is cancel-safe: it is consumed only when it is returned.
///
/// | input | why |
/// |---|---|
/// | socket | bytes came or went; keeps what it read or has to write |
/// | wake queue | a topic grew, a send has its outcome, an event, a request to close |
/// | work | the frame being worked on is done |
/// | page | a read for a subscription that is behind |
/// | time | a heart-beat, a limit |
///
/// Polled in this order: what the peer does first, as it may end everything else.
enum Wake {
    Socket(SocketEvent),
    Queue,
    Work(WorkDone),
    Page(PageRead),
    Time,
}

impl Actor {
    pub(super) fn new(
        services: Arc<Services>,
        entry: &Arc<ConnectionEntry>,
        socket: Socket,
        credentials: Credentials,
    ) -> Self {
        let now = services.clock.now();
        let limits = LivenessLimits {
            ping_interval: services.config.ping_interval,
            send_time_limit: services.config.send_time_limit,
        };
        Self {
            entry: Arc::clone(entry),
            session: Session::new(Arc::clone(&services.session), now),
            socket,
            login: Login::new(credentials),
            permits: Permits::default(),
            subscriptions: Subscriptions::default(),
            in_flight: InFlight::new(now),
            limiter: Limiter::new(services.config.sends_per_second),
            typed: Typed::default(),
            closing: Closing::default(),
            migration: Migration::new(rebalance_at(&services, entry.id(), now)),
            liveness: Liveness::new(limits, now),
            services,
        }
    }

    /// Serves the connection; returns the close code for the statistics.
    pub(super) async fn run(&mut self) -> &'static str {
        let mut timer = pin!(sleep_until(self.services.clock.now().into()));
        loop {
            if let Some((code, reason)) = self.advance() {
                self.socket.start_close(code, &reason);
                let now = self.services.clock.now();
                self.closing.note_close_frame(code, now);
            }
            if self.refuse_flood() {
                continue;
            }
            if self.is_over() {
                return self.closing.label();
            }
            self.set_timer(&mut timer);
            self.entry.note_waiting(self.socket.pending_bytes());
            let wake = poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
            self.handle(wake);
        }
    }

    /// Does everything that can be done without waiting. Returns how the session ended, once.
    fn advance(&mut self) -> Option<(CloseCode, Cow<'static, str>)> {
        let mut dirty = Vec::new();
        for event in self.entry.wake_queue().take(&mut dirty) {
            self.on_connection_event(event);
        }
        for slot in dirty {
            self.subscriptions.queue(slot);
        }
        let end = self.carry_out();
        let mut context = DeliveryContext {
            services: &self.services,
            socket: &mut self.socket,
            session: &mut self.session,
        };
        if !self.closing.is_peer_gone() {
            self.subscriptions.pump_ready(&mut context);
        }
        self.subscriptions.read_next(&mut context);
        end
    }

    /// Carries out the session's outputs. Returns how the session ended, once.
    fn carry_out(&mut self) -> Option<(CloseCode, Cow<'static, str>)> {
        let mut end = None;
        loop {
            // Also in between: a frame may be what makes the server end the session.
            if self.closing.is_by_server() && !self.in_flight.is_working() {
                self.advance_closing();
            }
            if !self.may_take_frames() {
                return end;
            }
            match self.session.poll_output() {
                Some(Output::Close { code, reason }) => end = Some((code, reason)),
                Some(output) => self.on_output(output),
                None if self.advance_closing() => {}
                None => return end,
            }
        }
    }

    /// Whether the next frame may be carried out: not while one is being worked on, too many sends
    /// are in flight, or the socket accepts no answers.
    fn may_take_frames(&self) -> bool {
        !self.in_flight.is_working()
            && !self.closing.is_by_server()
            && self.in_flight.has_room()
            && (self.closing.is_peer_gone() || self.socket.pending_bytes() < OUT_BYTES_MAX)
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Wake> {
        if !self.closing.is_peer_gone() {
            let read = if self.may_read() { Read::Yes } else { Read::No };
            if let Poll::Ready(event) = self.socket.poll(cx, read) {
                return Poll::Ready(Wake::Socket(event));
            }
        }
        if self.entry.wake_queue().poll_ready(cx).is_ready() {
            return Poll::Ready(Wake::Queue);
        }
        if let Poll::Ready(done) = self.in_flight.poll_work(cx) {
            return Poll::Ready(Wake::Work(done));
        }
        if let Poll::Ready(page) = self.subscriptions.poll_page(cx) {
            return Poll::Ready(Wake::Page(page));
        }
        timer.poll(cx).map(|()| Wake::Time)
    }

    /// Reading pauses while frames already here wait to be carried out. A frame that is incomplete
    /// never pauses it: its rest would never come.
    fn may_read(&self) -> bool {
        let frame_bytes_max = self.services.session.after_login.frame_bytes_max;
        self.session.buffered_bytes() < OUT_BYTES_MAX.max(frame_bytes_max)
            && self.socket.pending_bytes() < 2 * OUT_BYTES_MAX
    }

    fn handle(&mut self, wake: Wake) {
        let now = self.services.clock.now();
        match wake {
            Wake::Socket(event) => self.on_socket(event, now),
            Wake::Queue => {}
            Wake::Work(done) => self.on_work(done, now),
            Wake::Page(page) => self.subscriptions.take_page(page, &mut self.socket),
            Wake::Time => self.on_time(now),
        }
    }

    /// Ends a session whose peer sends too much without content; whether it did.
    fn refuse_flood(&mut self) -> bool {
        let idle = self.socket.take_idle_frames();
        let idle = idle.saturating_add(self.session.take_idle_eols());
        if idle == 0 || self.session.is_closed() {
            return false;
        }
        if self.liveness.allows_idle(idle, self.services.clock.now()) {
            return false;
        }
        let limited = &self.services.metrics.rate_limited;
        limited.with_label_values(&["idle"]).inc();
        self.session.refuse(ClientError::FLOOD.refusal(None));
        true
    }

    /// Frames received before the peer left are still carried out.
    fn is_over(&self) -> bool {
        let is_idle = !self.in_flight.is_working() && self.in_flight.has_room();
        self.closing.is_peer_gone() && (self.session.is_closed() || is_idle)
    }

    // ---- the end ------------------------------------------------------------------------------

    /// Ends the session if that was requested and no send is in flight.
    fn advance_closing(&mut self) -> bool {
        if !self.in_flight.is_settled() {
            return false;
        }
        let Some(request) = self.closing.take_request() else {
            return false;
        };
        match request {
            CloseRequest::Client(Some(receipt)) => {
                self.session.confirm(Some(receipt));
                self.linger();
            }
            CloseRequest::Client(None) => self.session.finish(None),
            CloseRequest::Server(reason) if self.needs_error(reason) => {
                self.session.refuse(reconnect_refusal());
            }
            CloseRequest::Server(reason) => self.session.close(reason.code, reason.text),
        }
        true
    }

    /// Whether a client that is to reconnect needs an ERROR before the close: one without the
    /// server's notices may be one that subscribes again only after an ERROR.
    fn needs_error(&self, reason: CloseReason) -> bool {
        reason.code == CloseReason::RESTART.code
            && self.services.config.close_with_error
            && !self.subscriptions.has_system()
    }

    /// Leaves the client some time to close; nothing more is delivered to it.
    fn linger(&mut self) {
        let now = self.services.clock.now();
        let count = self.services.connections.lingering();
        if !self.closing.linger(count, now) {
            return self.session.close(CloseCode::NORMAL, "");
        }
        self.socket.note_finished();
        for _ in 0..self.subscriptions.clear() {
            self.note_subscription_ended();
        }
    }

    /// The server ends the session, after the sends in flight.
    pub(super) fn close_gracefully(&mut self, reason: CloseReason) {
        let now = self.services.clock.now();
        self.closing.request_by_server(reason, now);
    }

    /// A connection that ends with its token ends at once, and reconnecting with the same token is in
    /// vain; one that has only become old is to reconnect.
    fn end_login(&mut self) {
        if self.login.ends_by_age() {
            self.close_gracefully(OLD);
        } else {
            let (code, text) = TOKEN_EXPIRED;
            self.session.close(code, text);
        }
    }

    // ---- time ---------------------------------------------------------------------------------

    fn on_time(&mut self, now: Instant) {
        let is_due = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if !self.may_read() {
            // We have stopped reading, so silence is no sign that the peer is gone.
            self.liveness.note_received(now);
            self.session.handle_received(now);
        }
        if self.socket.has_stomp_waiting() {
            // As good as a heart-beat, and one behind it would arrive no sooner.
            self.session.handle_sent(now);
        }
        self.session.handle_timeout(now);
        if is_due(self.stalled_due()) {
            self.services.metrics.slow_closed.inc();
            self.closing.note_peer_gone();
        }
        if is_due(self.closing.answer_due()) {
            self.closing.note_peer_gone();
        }
        if is_due(self.login_due()) {
            self.end_login();
        }
        if self.closing.end_lingering(now) {
            self.session.close(CloseCode::NORMAL, "");
        }
        if is_due(self.migration_due()) {
            let margin = self.services.config.rebalance_margin;
            match self.migration.step(now, margin) {
                MigrationStep::Notify => self.notify_of_migration(),
                MigrationStep::Close(reason) => self.close_gracefully(reason),
            }
        }
        if is_due(self.closing.receipts_due()) {
            self.in_flight.abandon();
        }
        if self.silence_due() <= now {
            match self.liveness.on_silence(now) {
                Silence::Ping => self.socket.push_ping(),
                Silence::Lost => {
                    self.services.metrics.heartbeats_missed.inc();
                    self.closing.note_peer_gone();
                }
            }
        }
    }

    fn set_timer(&self, timer: &mut Pin<&mut Sleep>) {
        let due = [
            self.session.poll_timeout(),
            self.stalled_due(),
            self.closing.answer_due(),
            self.login_due(),
            self.migration_due(),
            self.closing.receipts_due(),
            self.closing.linger_due(),
        ];
        let due = due
            .into_iter()
            .flatten()
            .fold(self.silence_due(), Instant::min);
        // Setting a timer costs more than waking once too early: heart-beats move theirs with every
        // byte, so it is only ever set forward.
        let due = tokio::time::Instant::from(due);
        if due < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(due);
        }
    }

    fn stalled_due(&self) -> Option<Instant> {
        self.liveness.stalled_due(self.socket.pending_bytes())
    }

    fn silence_due(&self) -> Instant {
        let probe_due = self.session.probe_due();
        self.liveness
            .silence_due(probe_due.filter(|_| !self.session.is_closed()))
    }

    /// Whether neither side is ending the session. What is ending is not ended again: a time in the
    /// past would wake the task for ever.
    fn is_open(&self) -> bool {
        !self.closing.is_ending() && !self.session.is_closed()
    }

    fn login_due(&self) -> Option<Instant> {
        self.login.ends_at().filter(|_| self.is_open())
    }

    fn migration_due(&self) -> Option<Instant> {
        self.migration.due().filter(|_| self.is_open())
    }
}
