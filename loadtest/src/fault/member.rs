//! Member of a crowd: connects, resumes its subscriptions, sends what is due, and records what it
//! receives.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::board::Board;
use super::outbox::Open;
use super::record::{Memory, Record};
use super::session::{Leave, Session};
use super::wire::Connection;

/// Sends of one member that may be without a receipt at once.
const WINDOW: usize = 8;

/// Longest wait before a reconnect; the wait is random.
const RECONNECT_MS_MAX: u64 = 300;

/// How often a member checks what is due; also how often it probes a room.
const PULSE: Duration = Duration::from_millis(200);

/// An order of a case to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Drop the TCP connection and open another at once.
    Cut,
    /// The same after so many further messages.
    CutAfter(u32),
    /// Drop the connection and stay disconnected.
    Leave,
    /// Connect again.
    Return,
    /// Stop reading and all other activity.
    Freeze,
    /// Continue after `Freeze`.
    Thaw,
    /// Send so many messages, as fast as receipts come.
    Burst(u32),
    /// Send one message to this room.
    Say(u32),
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    record: Record,
    token: String,
    address: SocketAddr,
    send_every: Duration,
    orders: mpsc::Receiver<Order>,
    /// Messages to send outside continuous traffic.
    burst: u32,
    /// Rooms to send one message each to.
    say: VecDeque<u32>,
    /// Counter that selects the room of the next send.
    turn: usize,
}

/// Parameters of a member.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) number: u32,
    pub(crate) token: String,
    pub(crate) address: SocketAddr,
    pub(crate) rooms: Vec<u32>,
    pub(crate) send_every: Duration,
    pub(crate) board: Board,
    pub(crate) orders: mpsc::Receiver<Order>,
}

impl Member {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            record: Record::new(parts.number, parts.rooms, parts.board),
            token: parts.token,
            address: parts.address,
            send_every: parts.send_every,
            orders: parts.orders,
            burst: 0,
            say: VecDeque::new(),
            turn: 0,
        }
    }

    /// Runs until its channel of orders is closed.
    pub(crate) async fn run(mut self) -> Memory {
        let mut at_once = true;
        loop {
            if !at_once && self.pause().await == Some(Leave::Home) {
                return self.record.into_memory();
            }
            at_once = false;
            let connection = match Connection::open(self.address, &self.token).await {
                Ok(connection) => connection,
                Err(refusal) => {
                    self.record.board.with(|s| s.counts.note_refusal(&refusal));
                    continue;
                }
            };
            self.record.board.with(|s| s.counts.connects += 1);
            let leave = self.serve(connection).await;
            self.record
                .board
                .with(|s| s.node_of.remove(&self.record.number));
            match leave {
                Leave::Ended(ended) => self.record.board.with(|s| {
                    *s.counts.closes.entry(ended.kind()).or_default() += 1;
                }),
                Leave::Moved => {
                    self.record.board.with(|s| s.counts.moved += 1);
                    at_once = true;
                }
                Leave::Cut => at_once = true,
                Leave::Away => match self.stay_away().await {
                    Leave::Home => return self.record.into_memory(),
                    Leave::Ended(_) | Leave::Moved | Leave::Cut | Leave::Away => at_once = true,
                },
                Leave::Home => return self.record.into_memory(),
            }
        }
    }

    /// A random wait before the next attempt; orders are carried out meanwhile.
    async fn pause(&mut self) -> Option<Leave> {
        let wait = rand::rng().random_range(0..RECONNECT_MS_MAX);
        let mut wait = std::pin::pin!(sleep(Duration::from_millis(wait)));
        loop {
            tokio::select! {
                () = &mut wait => return None,
                order = self.orders.recv() => match order {
                    None => return Some(Leave::Home),
                    Some(Order::Leave) => {
                        let left = self.stay_away().await;
                        return (left == Leave::Home).then_some(left);
                    }
                    Some(order) => self.note_order(order),
                },
            }
        }
    }

    async fn stay_away(&mut self) -> Leave {
        loop {
            match self.orders.recv().await {
                None => return Leave::Home,
                Some(Order::Return) => return Leave::Cut,
                Some(order) => self.note_order(order),
            }
        }
    }

    fn note_order(&mut self, order: Order) {
        match order {
            Order::Burst(count) => self.burst += count,
            Order::CutAfter(count) => self.record.cut_after(count),
            Order::Say(room) => self.say.push_back(room),
            Order::Cut | Order::Leave | Order::Return | Order::Freeze | Order::Thaw => {}
        }
    }

    /// One session. Arms of the loop, all of them cancel-safe: a frame (frames stay in the
    /// connection until taken), an order, a send that is due, and the pulse for everything that has
    /// a time.
    async fn serve(&mut self, connection: Connection) -> Leave {
        let mut session = Session::new(connection);
        if let Err(ended) = session.begin(&mut self.record).await {
            return Leave::Ended(ended);
        }
        let mut pulse = ticks(PULSE);
        let mut speak = ticks(self.send_every);
        loop {
            let done = tokio::select! {
                frame = session.connection.next() => match frame {
                    Ok(frame) => session.on_frame(&mut self.record, &frame),
                    Err(ended) => Err(Leave::Ended(ended)),
                },
                order = self.orders.recv() => self.follow(order, &mut session).await,
                _ = speak.tick() => { let new = self.speak(); session.send_all(&self.record, new).await },
                _ = pulse.tick() => session.on_pulse(&mut self.record, SystemClock.now()).await,
            };
            if let Err(leave) = done {
                return leave;
            }
            let more = self.take_ordered();
            if let Err(leave) = session.send_all(&self.record, more).await {
                return leave;
            }
        }
    }

    async fn follow(&mut self, order: Option<Order>, session: &mut Session) -> Result<(), Leave> {
        match order {
            None => Err(Leave::Home),
            Some(Order::Cut) => Err(Leave::Cut),
            Some(Order::Leave) => Err(Leave::Away),
            Some(Order::Freeze) => self.freeze(session).await,
            Some(order) => {
                self.note_order(order);
                Ok(())
            }
        }
    }

    /// Reads nothing until it is thawed. It still sends heart-beats: the server would close a
    /// connection without them, however slowly it is read.
    async fn freeze(&mut self, session: &mut Session) -> Result<(), Leave> {
        let mut pulse = ticks(PULSE);
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None => return Err(Leave::Home),
                    Some(Order::Thaw) => break,
                    Some(order) => self.note_order(order),
                },
                _ = pulse.tick() => {
                    session.connection.forgive_silence();
                    let beat = session.connection.beat(SystemClock.now()).await;
                    beat.map_err(Leave::Ended)?;
                }
            }
        }
        session.connection.forgive_silence();
        Ok(())
    }

    /// The next send, if there is traffic and room in the window.
    fn speak(&mut self) -> Vec<Open> {
        let loud = self.loud_rooms();
        let allowed = self.record.board.with(|s| s.traffic);
        if !allowed || loud.is_empty() || self.record.outbox.open() >= WINDOW {
            return Vec::new();
        }
        self.turn += 1;
        let room = loud[self.turn % loud.len()];
        self.record.compose(room).into_iter().collect()
    }

    /// Its rooms with continuous traffic.
    fn loud_rooms(&self) -> Vec<u32> {
        let rooms = self.record.rooms.iter().copied();
        self.record
            .board
            .with(|s| rooms.filter(|room| !s.quiet.contains(room)).collect())
    }

    /// The sends that it was ordered to make.
    fn take_ordered(&mut self) -> Vec<Open> {
        let mut sends = Vec::new();
        while let Some(room) = self.say.pop_front() {
            self.record
                .board
                .with(|s| s.whispering = s.whispering.saturating_sub(1));
            sends.extend(self.record.compose(room));
        }
        // All into one room, so that the burst overloads one subscriber.
        let loud = self.loud_rooms().first().copied();
        while let Some(room) = loud.filter(|_| self.burst > 0 && self.record.outbox.open() < WINDOW)
        {
            self.burst -= 1;
            self.record
                .board
                .with(|s| s.bursting = s.bursting.saturating_sub(1));
            sends.extend(self.record.compose(room));
        }
        sends
    }
}

/// Ticks that begin after a random part of the period, so that members do not act in step.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset_after(every.mul_f64(rand::rng().random()));
    ticks
}
