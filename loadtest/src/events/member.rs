//! Sockets of a member: connects, resumes both subscriptions of the inbox, and records what arrives.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use shared::clock::{Clock as _, SystemClock};
use stomp::{Command, Frame};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::frame::{ALARMS, NOTICES, read_message};
use super::judge::Entry;
use crate::fault::board::Board;
use crate::fault::session::subscribe;
use crate::fault::wire::{Connection, Ended, is_not_now};

/// Longest wait before a reconnect; the wait is random.
const RECONNECT_MS_MAX: u64 = 300;

/// How often heart-beats are checked.
const PULSE: Duration = Duration::from_millis(500);

/// Stands for the inbox where the board wants a room.
pub(crate) const INBOX: u32 = 0;

/// A member with a socket.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) member: u32,
    pub(crate) token: String,
    pub(crate) address: SocketAddr,
    pub(crate) board: Board,
    pub(crate) stop: watch::Receiver<bool>,
    seen: Vec<Seen>,
    /// The last id of notifications, and of alarms.
    after: [u64; 2],
}

/// An entry, and when it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) entry: Entry,
    pub(crate) at: Instant,
}

/// What a member received.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) member: u32,
    pub(crate) seen: Vec<Seen>,
}

impl Listener {
    pub(crate) fn new(
        member: u32,
        token: String,
        address: SocketAddr,
        board: Board,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            member,
            token,
            address,
            board,
            stop,
            seen: Vec::new(),
            after: [0, 0],
        }
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(mut self) -> Memory {
        let mut stop = self.stop.clone();
        loop {
            // Both arms are cancel-safe: a connection that is dropped is opened again from `after`.
            tokio::select! {
                () = self.serve() => {}
                // An error: the run is over, too.
                _ = stop.wait_for(|stop| *stop) => break,
            }
            self.board.with(|s| s.node_of.remove(&self.member));
        }
        Memory {
            member: self.member,
            seen: self.seen,
        }
    }

    /// One connection, and the pause after it.
    async fn serve(&mut self) {
        match Connection::open(self.address, &self.token).await {
            Ok(connection) => {
                self.board.with(|s| s.counts.connects += 1);
                let ended = self.listen(connection).await;
                self.board.with(|s| {
                    *s.counts.closes.entry(ended.kind()).or_default() += 1;
                    s.node_of.remove(&self.member);
                });
            }
            Err(refusal) => self.board.with(|s| s.counts.note_refusal(&refusal)),
        }
        let wait = rand::rng().random_range(0..RECONNECT_MS_MAX);
        sleep(Duration::from_millis(wait)).await;
    }

    async fn listen(&mut self, mut connection: Connection) -> Ended {
        for (id, destination, after) in [
            (
                NOTICES,
                "/user/queue/notifications".to_owned(),
                self.after[0],
            ),
            (ALARMS, format!("/sub/alarm/{}", self.member), self.after[1]),
        ] {
            let frame = subscribe(id, &destination)
                .header("resume-after", &after.to_string())
                .header("receipt", id);
            if let Err(ended) = connection.send(frame.end()).await {
                return ended;
            }
        }
        let mut confirmed = 0;
        let mut pulse = interval(PULSE);
        pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Frames stay in the connection until taken.
            let done = tokio::select! {
                frame = connection.next() => frame.map(|frame| {
                    confirmed += usize::from(self.on_frame(&frame));
                    if confirmed == 2 {
                        let node = connection.node.clone();
                        self.board.with(|s| s.node_of.insert(self.member, node));
                    }
                }),
                _ = pulse.tick() => connection.beat(SystemClock.now()).await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// Records it; true for the receipt of a subscription.
    fn on_frame(&mut self, frame: &Frame) -> bool {
        match (frame.command(), read_message(frame)) {
            (Command::Message, Some(entry)) => self.see(entry),
            (Command::Receipt, _) => {
                if frame.header("recovered") != Some("true") {
                    self.board.with(|s| s.counts.unrecovered += 1);
                }
                return true;
            }
            _ if is_not_now(frame) => self.board.with(|s| s.counts.turned_away += 1),
            _ => {
                let body = String::from_utf8_lossy(frame.body());
                let headers: Vec<_> = frame.headers().collect();
                let what = format!(
                    "m{}: {} {headers:?} {body}",
                    self.member,
                    frame.command().as_str()
                );
                self.board.with(|s| s.counts.note_odd(what));
            }
        }
        false
    }

    fn see(&mut self, entry: Entry) {
        let at = SystemClock.now();
        let after = &mut self.after[usize::from(entry.is_alarm())];
        *after = entry.id;
        let (member, id) = (self.member, entry.id);
        self.seen.push(Seen { entry, at });
        self.board.with(|s| {
            s.counts.deliveries += 1;
            let head = s.seen.entry((member, INBOX)).or_default();
            *head = id.max(*head);
        });
    }
}
