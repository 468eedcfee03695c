//! The task of one connection.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use shared::web::Credentials;
use stomp::{CloseCode, Output, Session};
use tokio::time::{Sleep, sleep_until};

use super::Services;
use super::closing::{Closing, Lingering};
use super::delivery::{OUT_BYTES_MAX, Pumped, Subscription};
use super::effects::{InFlight, Login, WorkDone};
use super::failure::ClientError;
use super::limiter::{Limiter, Typed};
use super::meter::IdleBudget;
use super::migrate::{Migration, rebalance_at};
use super::page::{PageRead, read_page};
use super::registry::ConnectionEntry;
use super::socket::{Read, Socket, SocketEvent, Wrote};
use crate::append::Origin;
use crate::hub::Delivery;
use crate::wake_queue::{Slot, WakeQueue};

/// Sends under way of one connection; beyond, its frames wait.
pub(super) const SENDS_MAX: usize = 64;

/// How long the peer may take to answer our close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A frame on its way through something that takes time.
pub(super) type Work = BoxFuture<'static, WorkDone>;

/// One connection.
pub(super) struct Actor {
    pub(super) services: Arc<Services>,
    pub(super) session: Session,
    pub(super) socket: Socket,
    pub(super) wake_queue: Arc<WakeQueue>,
    /// What others see of the connection.
    pub(super) entry: Arc<ConnectionEntry>,
    pub(super) credentials: Credentials,
    pub(super) login: Option<Login>,
    pub(super) slots: Vec<Option<Subscription>>,
    /// Subscriptions that have something to pull; each at most once.
    pub(super) ready: VecDeque<Slot>,
    /// The frame that is being worked on; the next one waits.
    pub(super) work: Option<Work>,
    pub(super) sends: HashMap<u64, InFlight>,
    pub(super) tickets: u64,
    /// Keeps the order of its sends through refusals.
    pub(super) origin: Origin,
    /// Nothing that waits to be carried out came earlier.
    pub(super) received_at: Instant,
    pub(super) limiter: Limiter,
    pub(super) typed: Typed,
    /// The read of a page for one of the subscriptions that are behind.
    pub(super) reading: Option<BoxFuture<'static, PageRead>>,
    /// Subscriptions that wait for their turn to read a page.
    pub(super) behind: VecDeque<Slot>,
    /// Messages to be read and written once more; at most what waits for an ACK.
    pub(super) again: VecDeque<(Slot, u64)>,
    /// What to do when nothing is under way any more.
    pub(super) closing: Option<Closing>,
    /// When a farewell of the server is said whatever is under way.
    pub(super) closing_due: Option<Instant>,
    /// Set once the client has its last RECEIPT and may close first.
    pub(super) lingering: Option<Lingering>,
    /// What may still come that carries nothing.
    pub(super) idle: IdleBudget,
    /// Set once the client is to go to another node.
    pub(super) migration: Option<Migration>,
    /// When the connection is old enough to be asked to come again.
    pub(super) rebalance_at: Option<Instant>,
    /// How the session ended.
    pub(super) ended: Option<CloseCode>,
    pub(super) heard_at: Instant,
    pub(super) pinged: bool,
    pub(super) progress_at: Instant,
    pub(super) close_due: Option<Instant>,
    pub(super) peer_gone: bool,
    /// Numbers what is not of a log.
    pub(super) unstored: u64,
}

/// What woke the task. Each input is cancel-safe: it is consumed only when it is returned.
///
/// | input | why |
/// |---|---|
/// | socket | bytes came or went; keeps what it read or has to write |
/// | mailbox | a topic grew, a send was settled, an event, an order to close |
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
        Self {
            session: Session::new(Arc::clone(&services.session), now),
            limiter: Limiter::new(services.config.sends_per_second),
            wake_queue: Arc::clone(entry.wake_queue()),
            entry: Arc::clone(entry),
            services,
            socket,
            credentials,
            login: None,
            slots: Vec::new(),
            ready: VecDeque::new(),
            work: None,
            sends: HashMap::new(),
            tickets: 0,
            origin: Origin::default(),
            received_at: now,
            typed: Typed::default(),
            reading: None,
            behind: VecDeque::new(),
            again: VecDeque::new(),
            closing: None,
            closing_due: None,
            lingering: None,
            idle: IdleBudget::new(now),
            migration: None,
            rebalance_at: None,
            ended: None,
            heard_at: now,
            pinged: false,
            progress_at: now,
            close_due: None,
            peer_gone: false,
            unstored: 0,
        }
    }

    /// Serves the connection; returns the close code for the statistics.
    pub(super) async fn run(&mut self, id: u64) -> &'static str {
        let now = self.services.clock.now();
        self.rebalance_at = rebalance_at(&self.services, id, now);
        let mut timer = Box::pin(sleep_until(now.into()));
        loop {
            if let Some((code, reason)) = self.advance(id) {
                self.socket.start_close(code, &reason).await;
                self.close_due = self.services.clock.now().checked_add(CLOSE_WAIT);
                self.ended = Some(code);
            }
            if self.refuse_flood() {
                continue;
            }
            if self.is_over() {
                return self.ended.map_or("1006", label);
            }
            self.set_timer(&mut timer);
            self.entry.note_waiting(self.socket.pending_bytes());
            let wake = poll_fn(|cx| self.poll(cx, timer.as_mut())).await;
            self.handle(wake);
        }
    }

    /// Does everything that can be done without waiting. Returns how the session ended, once.
    fn advance(&mut self, id: u64) -> Option<(CloseCode, Cow<'static, str>)> {
        let mut dirty = Vec::new();
        for event in self.wake_queue.take(&mut dirty) {
            self.on_connection_event(event);
        }
        for slot in dirty {
            self.queue(slot);
        }
        let mut end = None;
        loop {
            // Also in between: a frame may be what dismisses its sender.
            if self.is_closing() && self.work.is_none() {
                self.advance_closing();
            }
            if !self.may_take_frames() {
                break;
            }
            match self.session.poll_output() {
                Some(Output::Close { code, reason }) => end = Some((code, reason)),
                Some(output) => self.on_output(output, id),
                None if self.advance_closing() => {}
                None => break,
            }
        }
        while !self.peer_gone && self.socket.pending_bytes() < OUT_BYTES_MAX {
            let Some(slot) = self.ready.pop_front() else {
                break;
            };
            self.pump(slot);
        }
        self.read_next();
        end
    }

    /// Whether the next frame may be carried out: not while one is being worked on, too many sends
    /// are under way, or the socket takes no answers.
    fn may_take_frames(&self) -> bool {
        self.work.is_none()
            && !self.is_closing()
            && self.sends.len() < SENDS_MAX
            && (self.peer_gone || self.socket.pending_bytes() < OUT_BYTES_MAX)
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>) -> Poll<Wake> {
        if !self.peer_gone {
            let read = if self.may_read() { Read::Yes } else { Read::No };
            if let Poll::Ready(event) = self.socket.poll(cx, read) {
                return Poll::Ready(Wake::Socket(event));
            }
        }
        if self.wake_queue.poll_ready(cx).is_ready() {
            return Poll::Ready(Wake::Queue);
        }
        if let Some(work) = &mut self.work
            && let Poll::Ready(done) = work.as_mut().poll(cx)
        {
            self.work = None;
            return Poll::Ready(Wake::Work(done));
        }
        if let Some(reading) = &mut self.reading
            && let Poll::Ready(page) = reading.as_mut().poll(cx)
        {
            self.reading = None;
            return Poll::Ready(Wake::Page(page));
        }
        timer.poll(cx).map(|()| Wake::Time)
    }

    /// Reading pauses while frames already here wait to be carried out. What may be one frame that
    /// is not whole yet never pauses it: the rest would be waited for in vain.
    pub(super) fn may_read(&self) -> bool {
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
            Wake::Page(page) => self.on_page(page),
            Wake::Time => self.on_time(now),
        }
    }

    fn on_socket(&mut self, event: SocketEvent, now: Instant) {
        match event {
            SocketEvent::Data(bytes) => {
                self.note_alive(now);
                if self.work.is_none() && self.session.buffered_bytes() == 0 {
                    self.received_at = now;
                }
                self.session.handle_input(bytes, now);
            }
            // Any byte is a sign of life, so also a pong.
            SocketEvent::Progress | SocketEvent::Alive => {
                self.note_alive(now);
                self.session.handle_received(now);
            }
            SocketEvent::TooLarge => self.session.handle_message_too_large(),
            SocketEvent::Malformed(code) => self.session.close(code, "malformed WebSocket frame"),
            SocketEvent::Wrote(wrote) => {
                self.progress_at = now;
                if wrote == Wrote::Stomp {
                    self.session.handle_sent(now);
                }
            }
            SocketEvent::Gone => self.peer_gone = true,
        }
    }

    /// Ends a session whose peer sends much that carries nothing; whether it did.
    fn refuse_flood(&mut self) -> bool {
        let idle = self.socket.take_idle_frames();
        let idle = idle.saturating_add(self.session.take_idle_eols());
        if idle == 0 || self.session.is_closed() || self.idle.takes(idle, self.services.clock.now())
        {
            return false;
        }
        let limited = &self.services.metrics.rate_limited;
        limited.with_label_values(&["idle"]).inc();
        self.session.refuse(ClientError::FLOOD.refusal(None));
        true
    }

    pub(super) fn note_alive(&mut self, now: Instant) {
        self.heard_at = now;
        self.pinged = false;
    }

    /// What was received before the peer left is still carried out.
    fn is_over(&self) -> bool {
        let idle = self.work.is_none() && self.sends.len() < SENDS_MAX;
        self.peer_gone && (self.session.is_closed() || idle)
    }

    /// Puts a subscription on the list of those that pull, once.
    pub(super) fn queue(&mut self, slot: Slot) {
        let subscription = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        if let Some(subscription) = subscription.filter(|subscription| !subscription.queued) {
            subscription.queued = true;
            self.ready.push_back(slot);
        }
    }

    pub(super) fn pump(&mut self, slot: Slot) {
        let place = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        let Some(subscription) = place else { return };
        let metrics = &self.services.metrics;
        match subscription.pump(&mut self.socket, &mut self.session, metrics) {
            Pumped::Done => subscription.queued = false,
            Pumped::Full => self.ready.push_back(slot),
            Pumped::Behind(..) if self.reading.is_some() => self.behind.push_back(slot),
            Pumped::Behind(after, last) => {
                let Some(topic) = subscription.topic() else {
                    return;
                };
                let read = (slot, subscription.key, Delivery::First);
                self.reading = Some(read_page(&self.services, topic, (after, last), read));
            }
        }
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
