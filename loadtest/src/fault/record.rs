//! Record of a member over all its connections: its number and rooms, what it has sent and received.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::board::Board;
use super::judge::{At, SendId, Sent, View};
use super::outbox::{Open, Outbox};

/// A record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) number: u32,
    pub(crate) rooms: Vec<u32>,
    pub(crate) board: Board,
    pub(crate) outbox: Outbox,
    seen: BTreeMap<u32, Vec<At>>,
    /// Messages that may still come before the connection is cut.
    cut_after: Option<u32>,
}

/// What a member has sent and received.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) views: Vec<(u32, View)>,
    pub(crate) sent: Vec<(u32, Sent)>,
}

impl Record {
    pub(crate) fn new(number: u32, rooms: Vec<u32>, board: Board) -> Self {
        Self {
            number,
            rooms,
            board,
            outbox: Outbox::new(number),
            seen: BTreeMap::new(),
            cut_after: None,
        }
    }

    /// Cuts the connection after so many further messages.
    pub(crate) fn cut_after(&mut self, count: u32) {
        self.cut_after = Some(count);
    }

    /// A send to each of its rooms that does not deliver yet. None while an earlier probe is open:
    /// more would only load a cluster in trouble.
    pub(crate) fn probe(&mut self) -> Vec<Open> {
        if self.outbox.open() > 0 {
            return Vec::new();
        }
        let rooms = self
            .board
            .with(|s| s.rooms_to_probe(self.number, &self.rooms));
        let sends = rooms.into_iter().filter_map(|room| self.compose(room));
        sends.collect()
    }

    pub(crate) fn compose(&mut self, room: u32) -> Option<Open> {
        let new = self.outbox.compose(room);
        self.board.with(|s| s.counts.sends += 1);
        self.tell_open();
        new
    }

    /// Handles a receipt; false if it names no send.
    pub(crate) fn settle(&mut self, id: SendId) -> bool {
        let settled = self.outbox.settle(id);
        self.tell_open();
        settled
    }

    fn tell_open(&self) {
        let (member, count) = (self.number, self.outbox.open());
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

    /// Handles a message; breaks after the last one before an ordered cut.
    pub(crate) fn see(&mut self, room: u32, at: At) -> ControlFlow<()> {
        self.seen.entry(room).or_default().push(at);
        let (member, At { seq, id }) = (self.number, at);
        self.board.with(|s| s.note_delivery(member, room, seq, id));
        match self.cut_after {
            Some(0 | 1) => {
                self.cut_after = None;
                ControlFlow::Break(())
            }
            Some(left) => {
                self.cut_after = Some(left - 1);
                ControlFlow::Continue(())
            }
            None => ControlFlow::Continue(()),
        }
    }

    /// What the run is judged by.
    pub(crate) fn into_memory(self) -> Memory {
        let member = self.number;
        let mut seen = self.seen;
        let views = self.rooms.iter().map(|room| {
            let seen = seen.remove(room).unwrap_or_default();
            (*room, View { member, seen })
        });
        Memory {
            views: views.collect(),
            sent: self.outbox.into_sent(),
        }
    }
}
