//! Publish queue: one bounded queue of messages, and the heads to publish in place of failed ones
//! (`owed`).
//!
//! For entries that do not fit or were not sent, their topic's greatest position is published as a
//! head, retried until that succeeds. More such topics than fit are replaced by one `Lost` to all
//! nodes.
//!
//! It does not send (`sender`).

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shared::ids::Seq;
use tokio::sync::Notify;

use super::message;
use crate::log::Topic;

/// Messages waiting at most: a tenth of a second's worth of what one Redis takes.
const QUEUE_MAX: usize = 16_384;

/// 16 MiB of messages waiting at most.
const QUEUE_BYTES_MAX: usize = 16 << 20;

/// Owed heads at most: more topics than a node subscribes.
const OWED_MAX: usize = 65_536;

/// Messages sent at a time.
const BATCH_MAX: usize = 512;

/// 1 MiB sent at a time, or one message.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// Messages of each batch reserved for owed heads, so that they are sent under load, too.
const BATCH_OWED: usize = 64;

/// Something to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Entries of a topic, to its channel and its head key.
    Grown {
        /// The topic.
        topic: Topic,
        /// Position of the last entry.
        head: Seq,
        /// The encoded message.
        message: Bytes,
    },
    /// A room event, to a topic's channel. It may be lost.
    Beside(Topic, Bytes),
    /// A control message, to all nodes. It may be lost.
    Control(Bytes),
    /// A position, to a topic's head key alone.
    Noted(Topic, Seq),
    /// To all nodes: anything may have been missed.
    Lost(Bytes),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Grown { message, .. } => message.len(),
            Self::Beside(_, message) | Self::Control(message) | Self::Lost(message) => {
                message.len()
            }
            Self::Noted(..) => 0,
        }
    }
}

/// The publish queue of a node.
#[derive(Debug)]
pub(super) struct Outbox {
    node: u64,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Item>,
    queue_bytes: usize,
    owed: HashMap<Topic, Seq>,
    lost_owed: bool,
    is_closed: bool,
}

impl Outbox {
    pub(super) fn new(node: u64) -> Self {
        Self {
            node,
            state: Mutex::default(),
            ready: Notify::new(),
        }
    }

    /// Queues an item. Of one that does not fit the head is owed, or it is dropped. Returns whether
    /// a head is owed.
    pub(super) fn push(&self, item: Item) -> bool {
        let mut state = self.lock();
        let is_owed = if state.has_place(&item) {
            state.queue_bytes += item.bytes();
            if let Item::Grown { topic, .. } = &item {
                // A node that receives the later position reads the earlier ones, too.
                state.owed.remove(topic);
            }
            state.queue.push_back(item);
            false
        } else {
            state.owe(item)
        };
        drop(state);
        self.ready.notify_one();
        is_owed
    }

    /// Takes back items that were not sent. Returns for how many of them a head is owed.
    pub(super) fn give_back(&self, items: impl IntoIterator<Item = Item>) -> u64 {
        let mut state = self.lock();
        items
            .into_iter()
            .map(|item| u64::from(state.owe(item)))
            .sum()
    }

    /// Without a connection all queued items are taken back. Returns for how many of them a head is
    /// owed.
    pub(super) fn give_all_back(&self) -> u64 {
        let mut state = self.lock();
        state.queue_bytes = 0;
        let queue = std::mem::take(&mut state.queue);
        queue
            .into_iter()
            .map(|item| u64::from(state.owe(item)))
            .sum()
    }

    /// The next batch, in order; empty if the queue is.
    pub(super) fn take(&self) -> Vec<Item> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        if std::mem::take(&mut state.lost_owed) {
            batch.push(Item::Lost(message::lost(self.node)));
        }
        let owed: Vec<_> = state.owed.keys().take(BATCH_OWED).copied().collect();
        for topic in owed {
            let Some(head) = state.owed.remove(&topic) else {
                continue;
            };
            let message = message::head(self.node, head);
            batch.push(Item::Grown {
                topic,
                head,
                message,
            });
        }
        let mut bytes = 0;
        while batch.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Some(item) = state.queue.pop_front() else {
                break;
            };
            bytes += item.bytes();
            batch.push(item);
        }
        state.queue_bytes -= bytes;
        batch
    }

    /// Ends when there may be something to send, or the outbox was closed.
    pub(super) async fn ready(&self) {
        self.ready.notified().await;
    }

    /// Nothing is queued from now on.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.ready.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counted after the queue is changed only by pushing and popping, which do not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_place(&self, item: &Item) -> bool {
        let fits = self.queue_bytes + item.bytes() <= QUEUE_BYTES_MAX;
        !self.is_closed && self.queue.len() < QUEUE_MAX && fits
    }

    /// Records the head of an item that must not be lost; returns whether it is such an item.
    fn owe(&mut self, item: Item) -> bool {
        match item {
            Item::Grown { topic, head, .. } => {
                if let Some(owed) = self.owed.get_mut(&topic) {
                    *owed = head.max(*owed);
                } else if self.owed.len() < OWED_MAX {
                    self.owed.insert(topic, head);
                } else {
                    self.lost_owed = true;
                }
                true
            }
            Item::Lost(_) => {
                self.lost_owed = true;
                true
            }
            Item::Beside(..) | Item::Control(_) | Item::Noted(..) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::RoomId;

    use super::*;

    fn topic(number: u64) -> Topic {
        Topic::Room(RoomId::try_from(number).unwrap())
    }

    fn seq(number: u64) -> Seq {
        Seq::try_from(number).unwrap()
    }

    fn grown(number: u64, head: u64, message: &[u8]) -> Item {
        Item::Grown {
            topic: topic(number),
            head: seq(head),
            message: Bytes::copy_from_slice(message),
        }
    }

    fn owed(number: u64, head: u64) -> Item {
        grown(number, head, &message::head(1, seq(head)))
    }

    #[test]
    fn what_was_queued_leaves_in_order() {
        let outbox = Outbox::new(1);
        for head in 1..=1_000 {
            assert!(!outbox.push(grown(7, head, b"m")));
        }
        let (first, second) = (outbox.take(), outbox.take());
        assert_eq!((first.len(), second.len()), (512, 488));
        let all: Vec<_> = first.into_iter().chain(second).collect();
        let expected: Vec<_> = (1..=1_000).map(|head| grown(7, head, b"m")).collect();
        assert_eq!(all, expected);
        assert_eq!(outbox.take(), []);
    }

    #[test]
    fn what_finds_no_place_is_owed_by_its_greatest_head() {
        let outbox = Outbox::new(1);
        for _ in 0..QUEUE_MAX {
            outbox.push(Item::Control(Bytes::new()));
        }
        assert!(outbox.push(grown(7, 2, b"m")));
        assert!(outbox.push(grown(7, 1, b"m")));
        assert!(!outbox.push(Item::Beside(topic(7), Bytes::new())));
        let batch = outbox.take();
        assert_eq!(batch[0], owed(7, 2));
        assert!(
            batch[1..]
                .iter()
                .all(|item| *item == Item::Control(Bytes::new()))
        );
    }

    #[test]
    fn bytes_are_bounded_too() {
        let outbox = Outbox::new(1);
        let large = vec![0; 1 << 20];
        let owed: Vec<bool> = (1..=17)
            .map(|head| outbox.push(grown(7, head, &large)))
            .collect();
        assert_eq!(owed.iter().position(|owed| *owed), Some(16));
        assert_eq!(outbox.take()[0], self::owed(7, 17), "and one at a time");
        assert!(!outbox.push(grown(7, 18, &large)), "there is place again");
    }

    #[test]
    fn a_later_entry_makes_good_what_was_owed() {
        let outbox = Outbox::new(1);
        assert_eq!(outbox.give_back([grown(7, 1, b"m"), grown(8, 1, b"m")]), 2);
        outbox.push(grown(7, 2, b"n"));
        assert_eq!(outbox.take(), [owed(8, 1), grown(7, 2, b"n")]);
    }

    #[test]
    fn all_that_waits_can_be_given_back() {
        let outbox = Outbox::new(1);
        outbox.push(grown(7, 1, b"m"));
        outbox.push(Item::Beside(topic(7), Bytes::new()));
        outbox.push(Item::Noted(topic(7), seq(9)));
        outbox.push(grown(7, 2, b"m"));
        assert_eq!(outbox.give_all_back(), 2);
        assert_eq!(outbox.take(), [owed(7, 2)]);
    }

    #[test]
    fn more_owed_than_can_be_kept_is_a_lost_to_all() {
        let outbox = Outbox::new(1);
        let last = OWED_MAX as u64 + 1;
        outbox.give_back((1..=last).map(|number| grown(number, 1, b"m")));
        let lost = Item::Lost(message::lost(1));
        let batch = outbox.take();
        assert_eq!((&batch[0], batch.len()), (&lost, 1 + BATCH_OWED));
        outbox.give_back(batch);
        assert_eq!(outbox.take()[0], lost, "until it gets through");
    }

    #[test]
    fn closed_takes_nothing_more() {
        let outbox = Outbox::new(1);
        outbox.push(grown(7, 1, b"m"));
        outbox.close();
        assert!(outbox.push(grown(8, 1, b"m")));
        assert!(outbox.is_closed());
        assert_eq!(outbox.take().len(), 2, "what is owed is sent all the same");
    }
}
