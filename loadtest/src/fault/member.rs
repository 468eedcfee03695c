//! One member of a crowd: connects, subscribes where it stopped, sends with receipts, sends again
//! what has none, and remembers what it saw.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::board::Board;
use super::judge::{At, SendId, Sent, View};
use super::session::{Leave, Session};
use super::wire::Connection;

/// Sends of one member that may be without a receipt at once.
const WINDOW: usize = 8;

/// The longest wait before another connection is tried; how long it is is left to chance.
const RECONNECT_MS_MAX: u64 = 300;

/// How often a member looks what is due; also how often it probes a room.
const PULSE: Duration = Duration::from_millis(200);

/// How long after a send was refused for now it is repeated, at the latest.
const RETRY_AFTER: Duration = Duration::from_millis(400);

/// How often that time is doubled: up to 6.4 s.
const RETRY_DOUBLED_MAX: u32 = 4;

/// What a case makes a member do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Drop the TCP connection and open another at once.
    Cut,
    /// The same once so many messages more have come.
    CutAfter(u32),
    /// Drop it and stay away.
    Leave,
    /// Come back.
    Return,
    /// Stop reading, and everything else.
    Freeze,
    /// Go on.
    Thaw,
    /// Send so many messages, as fast as receipts come.
    Burst(u32),
}

/// A send of this member.
#[derive(Clone, Copy, Debug)]
struct Outgoing {
    room: u32,
    receipt: bool,
}

/// A send without a receipt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) id: SendId,
    pub(crate) room: u32,
    /// When to send it again, if it was refused for now.
    pub(crate) again_at: Option<Instant>,
    /// How often it was refused for now.
    pub(crate) refusals: u32,
}

impl Open {
    /// It was refused for now: each time it waits longer, as a client should.
    pub(crate) fn refuse(&mut self, now: Instant) {
        let longest = RETRY_AFTER * 2_u32.pow(self.refusals.min(RETRY_DOUBLED_MAX));
        self.refusals += 1;
        let wait = longest.mul_f64(0.5 + rand::rng().random::<f64>() / 2.0);
        self.again_at = Some(now + wait);
    }
}

/// What a member brings home.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) views: Vec<(u32, View)>,
    pub(crate) sent: Vec<(u32, Sent)>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) number: u32,
    token: String,
    address: SocketAddr,
    pub(crate) rooms: Vec<u32>,
    send_every: Duration,
    pub(crate) board: Board,
    orders: mpsc::Receiver<Order>,
    seen: BTreeMap<u32, Vec<At>>,
    sends: Vec<Outgoing>,
    pub(crate) open: VecDeque<Open>,
    /// Messages to send although there is no traffic.
    burst: u32,
    /// Messages that may still come before the connection is cut.
    cut_after: Option<u32>,
}

/// What makes a member.
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
            number: parts.number,
            token: parts.token,
            address: parts.address,
            rooms: parts.rooms,
            send_every: parts.send_every,
            board: parts.board,
            orders: parts.orders,
            seen: BTreeMap::new(),
            sends: Vec::new(),
            open: VecDeque::new(),
            burst: 0,
            cut_after: None,
        }
    }

    /// Lives until nobody can give it orders any more.
    pub(crate) async fn run(mut self) -> Memory {
        let mut at_once = true;
        loop {
            if !at_once && self.pause().await == Some(Leave::Home) {
                return self.remember();
            }
            at_once = false;
            let connection = match Connection::open(self.address, &self.token).await {
                Ok(connection) => connection,
                Err(refusal) => {
                    self.board.with(|s| s.counts.note_refusal(&refusal));
                    continue;
                }
            };
            self.board.with(|s| s.counts.connects += 1);
            let leave = self.serve(connection).await;
            self.board.with(|s| s.node_of.remove(&self.number));
            match leave {
                Leave::Ended(ended) => self.board.with(|s| {
                    *s.counts.closes.entry(ended.kind()).or_default() += 1;
                }),
                Leave::Moved => {
                    self.board.with(|s| s.counts.moved += 1);
                    at_once = true;
                }
                Leave::Cut => at_once = true,
                Leave::Away => match self.stay_away().await {
                    Leave::Home => return self.remember(),
                    Leave::Ended(_) | Leave::Moved | Leave::Cut | Leave::Away => at_once = true,
                },
                Leave::Home => return self.remember(),
            }
        }
    }

    /// A random wait before the next try; orders that come meanwhile are followed.
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
            Order::CutAfter(count) => self.cut_after = Some(count),
            Order::Cut | Order::Leave | Order::Return | Order::Freeze | Order::Thaw => {}
        }
    }

    /// One session. Its arms, all of them cancel-safe: a frame (frames stay in the connection until
    /// taken), an order, a send that is due, and the pulse for everything that has a time.
    async fn serve(&mut self, connection: Connection) -> Leave {
        let mut session = Session::new(connection);
        if let Err(ended) = session.begin(self).await {
            return Leave::Ended(ended);
        }
        let mut pulse = ticks(PULSE);
        let mut speak = ticks(self.send_every);
        loop {
            let done = tokio::select! {
                frame = session.connection.next() => match frame {
                    Ok(frame) => session.on_frame(self, &frame),
                    Err(ended) => Err(Leave::Ended(ended)),
                },
                order = self.orders.recv() => self.follow(order, &mut session).await,
                _ = speak.tick() => { let new = self.speak(); session.send_all(self, new).await },
                _ = pulse.tick() => session.on_pulse(self, SystemClock.now()).await,
            };
            if let Err(leave) = done {
                return leave;
            }
            let more = self.take_burst();
            if let Err(leave) = session.send_all(self, more).await {
                return leave;
            }
        }
    }

    async fn follow(&mut self, order: Option<Order>, session: &mut Session) -> Result<(), Leave> {
        match order {
            None => return Err(Leave::Home),
            Some(Order::Cut) => return Err(Leave::Cut),
            Some(Order::Leave) => return Err(Leave::Away),
            Some(Order::Freeze) => loop {
                match self.orders.recv().await {
                    None => return Err(Leave::Home),
                    Some(Order::Thaw) => break,
                    Some(order) => self.note_order(order),
                }
            },
            Some(order @ (Order::Burst(_) | Order::CutAfter(_) | Order::Return | Order::Thaw)) => {
                self.note_order(order);
                return Ok(());
            }
        }
        session.connection.forgive_silence();
        Ok(())
    }

    /// The next send, if there is traffic and place for it.
    fn speak(&mut self) -> Vec<Open> {
        let room = self.rooms[self.sends.len() % self.rooms.len()];
        let allowed = self.board.with(|s| s.traffic && !s.quiet.contains(&room));
        if allowed && self.open.len() < WINDOW {
            vec![self.compose(room)]
        } else {
            Vec::new()
        }
    }

    /// A send to each of its rooms that does not deliver yet. While anything of it is open that is
    /// answer enough: more would only load a cluster that is in trouble.
    pub(crate) fn probe(&mut self) -> Vec<Open> {
        if !self.open.is_empty() {
            return Vec::new();
        }
        let rooms = self
            .board
            .with(|s| s.rooms_to_probe(self.number, &self.rooms));
        rooms.into_iter().map(|room| self.compose(room)).collect()
    }

    fn take_burst(&mut self) -> Vec<Open> {
        let mut sends = Vec::new();
        while self.burst > 0 && self.open.len() < WINDOW {
            self.burst -= 1;
            self.board
                .with(|s| s.bursting = s.bursting.saturating_sub(1));
            // All into one room: a burst is to be much for somebody.
            sends.push(self.compose(self.rooms[0]));
        }
        sends
    }

    fn compose(&mut self, room: u32) -> Open {
        let receipt = false;
        self.sends.push(Outgoing { room, receipt });
        let number = u32::try_from(self.sends.len()).expect("a run is not that long");
        let member = self.number;
        let open = Open {
            id: SendId { member, number },
            room,
            again_at: None,
            refusals: 0,
        };
        self.open.push_back(open);
        self.board.with(|s| s.counts.sends += 1);
        self.tell_open();
        open
    }

    /// A receipt has come; false if nothing was sent by that name.
    pub(crate) fn settle(&mut self, id: SendId) -> bool {
        let place = usize::try_from(id.number).expect("the width of this computer");
        let sent = place.checked_sub(1).and_then(|at| self.sends.get_mut(at));
        let (Some(sent), true) = (sent, id.member == self.number) else {
            return false;
        };
        sent.receipt = true;
        self.open.retain(|open| open.id != id);
        self.tell_open();
        true
    }

    fn tell_open(&self) {
        let (member, count) = (self.number, self.open.len());
        self.board.with(|s| match count {
            0 => drop(s.open.remove(&member)),
            count => drop(s.open.insert(member, count)),
        });
    }

    /// The last position seen of a room; 0 before the first.
    pub(crate) fn position(&self, room: u32) -> u64 {
        let seen = self.seen.get(&room).and_then(|seen| seen.last());
        seen.map_or(0, |at| at.seq)
    }

    /// A message has come.
    ///
    /// # Errors
    /// It was the last before the cut that was ordered.
    pub(crate) fn see(&mut self, room: u32, at: At) -> Result<(), Leave> {
        self.seen.entry(room).or_default().push(at);
        let (member, At { seq, id }) = (self.number, at);
        self.board.with(|s| s.note_delivery(member, room, seq, id));
        match self.cut_after {
            Some(0 | 1) => {
                self.cut_after = None;
                Err(Leave::Cut)
            }
            Some(left) => {
                self.cut_after = Some(left - 1);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn remember(self) -> Memory {
        let member = self.number;
        let mut seen = self.seen;
        let views = self.rooms.iter().map(|room| {
            let seen = seen.remove(room).unwrap_or_default();
            (*room, View { member, seen })
        });
        let sends = (1..).zip(&self.sends);
        let sent = sends.map(|(number, Outgoing { room, receipt })| {
            let (id, receipt) = (SendId { member, number }, *receipt);
            (*room, Sent { id, receipt })
        });
        Memory {
            views: views.collect(),
            sent: sent.collect(),
        }
    }
}

/// Ticks whose first comes after a random part of the period, so that members do not act as one.
fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.reset_after(every.mul_f64(rand::rng().random()));
    ticks
}
