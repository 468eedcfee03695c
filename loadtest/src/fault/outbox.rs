//! Outbox of a member: each send has a name of its own, is open until its receipt, and is repeated
//! in the order of sending.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::judge::{SendId, Sent};

/// Longest delay before a refused send is repeated for the first time.
const RETRY_AFTER: Duration = Duration::from_millis(400);

/// How often the delay is doubled: up to 6.4 s.
const RETRY_DOUBLED_MAX: u32 = 4;

/// A send.
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
    /// When to send it, if it or one before it was refused as retryable.
    again_at: Option<Instant>,
    /// How often it was refused as retryable.
    refusals: u32,
}

/// The sends of a member.
#[derive(Debug)]
pub(crate) struct Outbox {
    member: u32,
    sends: Vec<Outgoing>,
    open: VecDeque<Open>,
}

impl Outbox {
    pub(crate) fn new(member: u32) -> Self {
        Self {
            member,
            sends: Vec::new(),
            open: VecDeque::new(),
        }
    }

    /// A new send, to be sent now; `None` if it has to wait for one before it in the same room that
    /// was refused: a later one must not overtake it.
    pub(crate) fn compose(&mut self, room: u32) -> Option<Open> {
        let receipt = false;
        self.sends.push(Outgoing { room, receipt });
        let number = u32::try_from(self.sends.len()).expect("a run is not that long");
        let member = self.member;
        let mut before = self.open.iter().filter(|open| open.room == room);
        let open = Open {
            id: SendId { member, number },
            room,
            again_at: before.find_map(|open| open.again_at),
            refusals: 0,
        };
        self.open.push_back(open);
        open.again_at.is_none().then_some(open)
    }

    /// Handles a receipt; false if it names no send.
    pub(crate) fn settle(&mut self, id: SendId) -> bool {
        let place = usize::try_from(id.number).expect("the width of this computer");
        let sent = place.checked_sub(1).and_then(|at| self.sends.get_mut(at));
        let (Some(sent), true) = (sent, id.member == self.member) else {
            return false;
        };
        sent.receipt = true;
        self.open.retain(|open| open.id != id);
        true
    }

    /// Handles a retryable refusal: backs off exponentially, as a client should. False if the send
    /// is not open.
    pub(crate) fn refuse(&mut self, id: SendId, now: Instant) -> bool {
        let Some(open) = self.open.iter_mut().find(|open| open.id == id) else {
            return false;
        };
        let longest = RETRY_AFTER * 2_u32.pow(open.refusals.min(RETRY_DOUBLED_MAX));
        open.refusals += 1;
        let wait = longest.mul_f64(0.5 + rand::rng().random::<f64>() / 2.0);
        open.again_at = Some(now + wait);
        true
    }

    /// The sends that are due again: of a room all from the first refused one on, once all behind
    /// it are refused, too, so that a retry preserves their order.
    pub(crate) fn take_due(&mut self, rooms: &[u32], now: Instant) -> Vec<Open> {
        let mut due = Vec::new();
        for room in rooms {
            let opens = self.open.iter_mut().filter(|open| open.room == *room);
            let refused = opens.skip_while(|open| open.again_at.is_none());
            let refused: Vec<&mut Open> = refused.collect();
            let first = refused.first().and_then(|first| first.again_at);
            let is_due = first.is_some_and(|at| at <= now);
            if is_due && refused.iter().all(|open| open.again_at.is_some()) {
                for open in refused {
                    open.again_at = None;
                    due.push(*open);
                }
            }
        }
        due
    }

    /// All open sends in order, to be repeated on another connection.
    pub(crate) fn take_open(&mut self) -> Vec<Open> {
        for open in &mut self.open {
            open.again_at = None;
        }
        self.open.iter().copied().collect()
    }

    pub(crate) fn open(&self) -> usize {
        self.open.len()
    }

    /// All sends, by room.
    pub(crate) fn into_sent(self) -> Vec<(u32, Sent)> {
        let member = self.member;
        let sends = (1..).zip(self.sends);
        let sent = sends.map(|(number, Outgoing { room, receipt })| {
            let id = SendId { member, number };
            (room, Sent { id, receipt })
        });
        sent.collect()
    }
}

#[cfg(test)]
mod tests {
    use shared::clock::{Clock as _, SystemClock};

    use super::*;

    const LATER: Duration = Duration::from_secs(60);

    fn id(number: u32) -> SendId {
        SendId { member: 7, number }
    }

    fn numbers(sends: &[Open]) -> Vec<u32> {
        sends.iter().map(|open| open.id.number).collect()
    }

    #[test]
    fn what_was_refused_is_sent_again_in_order_and_before_what_is_new() {
        let now = SystemClock.now();
        let mut outbox = Outbox::new(7);
        for _ in 0..3 {
            assert!(outbox.compose(1).is_some());
        }
        assert!(outbox.settle(id(1)) && outbox.refuse(id(2), now));
        assert!(outbox.compose(1).is_none(), "it would overtake the second");
        assert!(outbox.compose(2).is_some(), "another room");
        let due = outbox.take_due(&[1, 2], now + LATER);
        assert!(due.is_empty(), "the third is not answered yet");
        assert!(outbox.refuse(id(3), now + LATER));
        assert!(outbox.take_due(&[1, 2], now).is_empty());
        let due = outbox.take_due(&[1, 2], now + LATER);
        assert_eq!(numbers(&due), [2, 3, 4]);
        assert!(outbox.take_due(&[1, 2], now + LATER).is_empty());
    }

    #[test]
    fn another_connection_gets_all_that_is_open_in_order() {
        let now = SystemClock.now();
        let mut outbox = Outbox::new(7);
        for room in [1, 2, 1] {
            outbox.compose(room);
        }
        outbox.refuse(id(1), now);
        assert_eq!(numbers(&outbox.take_open()), [1, 2, 3]);
        assert!(outbox.take_due(&[1, 2], now + LATER).is_empty());
    }
}
