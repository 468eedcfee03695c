//! The newest entries of a topic, encoded, and the order in which entries become visible here.
//!
//! Pure: what to read from the store is returned, not done.

use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::ids::Seq;

use super::frame::{Encoded, Form};
use crate::log::{Entry, Topic};

/// Entries kept for subscriptions that pull: enough for a connection that writes in bursts; a
/// slower one reads from the store.
pub const RING_ENTRIES_MAX: usize = 256;

/// Bytes kept, counted as bodies with what surrounds them.
pub const RING_BYTES_MAX: usize = 512 << 10;

/// What an entry takes besides its body: its frame's head and headers, and the record.
const ENTRY_BYTES: usize = 512;

/// What taking entries in led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing new is visible.
    Nothing,
    /// The head moved; subscriptions have something to pull.
    Grew,
}

/// How a pull ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pulled {
    /// The subscription has seen everything up to the head.
    UpToDate,
    /// It stopped because the receiver was full.
    Full,
    /// The next entry is not in the ring any more; read the store up to this position.
    Behind(Seq),
}

#[derive(Debug)]
struct Kept {
    seq: Seq,
    entry: Arc<Entry>,
    since: Instant,
    encoded: Encoded,
}

/// The live part of a log on this node.
#[derive(Debug)]
pub(super) struct Ring {
    topic: Topic,
    /// `None` until the store was asked.
    head: Option<Seq>,
    /// Ends at the head, without holes in a room.
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Arrived, but entries before them are missing.
    held: BTreeMap<Seq, Arc<Entry>>,
    /// The greatest position heard of.
    heard_of: Seq,
}

impl Ring {
    pub(super) fn new(topic: Topic) -> Self {
        let (kept, held) = (VecDeque::new(), BTreeMap::new());
        Self {
            topic,
            head: None,
            kept,
            bytes: 0,
            held,
            heard_of: Seq::ZERO,
        }
    }

    pub(super) fn head(&self) -> Option<Seq> {
        self.head
    }

    /// The store's head at the beginning; what arrived meanwhile is sorted in.
    pub(super) fn begin(&mut self, head: Seq, now: Instant) -> Taken {
        if self.head.is_none() {
            self.head = Some(head);
            self.heard_of = self.heard_of.max(head);
        }
        self.release(now)
    }

    /// Takes in entries from anywhere: the next one is shown, earlier ones are known, later ones
    /// wait for what is missing.
    pub(super) fn take(&mut self, entries: &[Arc<Entry>], now: Instant) -> Taken {
        let before = self.head;
        for entry in entries {
            self.heard_of = self.heard_of.max(entry.seq);
            match self.head {
                Some(head) if entry.seq <= head => {}
                Some(head) if Some(entry.seq) == head.next() => self.show(Arc::clone(entry), now),
                Some(_) | None if self.held.len() < RING_ENTRIES_MAX => {
                    self.held.insert(entry.seq, Arc::clone(entry));
                }
                // Beyond that only the greatest position is remembered; the store has the rest.
                Some(_) | None => {}
            }
        }
        let released = self.release(now);
        if self.head == before {
            released
        } else {
            Taken::Grew
        }
    }

    /// Entries read from the store up to `last`; positions without an entry have expired there.
    pub(super) fn fill(&mut self, entries: &[Arc<Entry>], last: Seq, now: Instant) -> Taken {
        let before = self.head;
        for entry in entries {
            if self.head.is_some_and(|head| entry.seq > head) {
                self.show(Arc::clone(entry), now);
            }
        }
        self.head = self.head.map(|head| head.max(last));
        let released = self.release(now);
        if self.head == before {
            released
        } else {
            Taken::Grew
        }
    }

    /// The range that has to be read from the store, if entries are missing.
    pub(super) fn missing(&self) -> Option<(Seq, Seq)> {
        let head = self.head?;
        (self.heard_of > head).then_some((head, self.heard_of))
    }

    /// The log has grown to here, somebody says.
    pub(super) fn hear_of(&mut self, head: Seq) {
        self.heard_of = self.heard_of.max(head);
    }

    /// Gives the frames after `cursor` to `sink`, in order, until it breaks off. The cursor follows
    /// what was given.
    pub(super) fn pull(
        &mut self,
        cursor: &mut Seq,
        form: &Arc<Form>,
        mut sink: impl FnMut(&Entry, Option<Bytes>) -> ControlFlow<()>,
    ) -> Pulled {
        let Some(head) = self.head.filter(|head| *head > *cursor) else {
            return Pulled::UpToDate;
        };
        let at = self.place_after(*cursor);
        let oldest = self.kept.get(at).map(|kept| kept.seq);
        if oldest.is_none() || (at == 0 && oldest != cursor.next()) {
            return Pulled::Behind(head);
        }
        for kept in self.kept.range_mut(at..) {
            let shown = form.lens.shows(kept.entry.draft.kind);
            let frame = shown.then(|| kept.encoded.frame(self.topic, &kept.entry, form));
            *cursor = kept.seq;
            if sink(&kept.entry, frame).is_break() {
                return if *cursor < head {
                    Pulled::Full
                } else {
                    Pulled::UpToDate
                };
            }
        }
        *cursor = head;
        Pulled::UpToDate
    }

    /// Where the entry after `cursor` stands, or would.
    ///
    /// A room has no holes, so the place follows from the position; searching would touch an entry
    /// in a dozen places of memory for each subscription.
    fn place_after(&self, cursor: Seq) -> usize {
        let first = self.kept.front().map_or(0, |kept| kept.seq.get());
        let wanted = cursor.get().saturating_add(1);
        let place = wanted.saturating_sub(first) as usize;
        match self.kept.get(place) {
            Some(kept) if kept.seq.get() == wanted => place,
            Some(_) | None => self.kept.partition_point(|kept| kept.seq <= cursor),
        }
    }

    /// The entry was taken back.
    pub(super) fn delete(&mut self, seq: Seq) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.seq == seq) {
            let mut entry = Entry::clone(&kept.entry);
            entry.deleted = true;
            entry.draft.body = Bytes::new();
            kept.entry = Arc::new(entry);
            kept.encoded.clear();
        }
    }

    /// Drops what was kept for longer than `age`: a quiet room costs nothing.
    pub(super) fn forget_older(&mut self, now: Instant, age: Duration) {
        while self
            .kept
            .front()
            .is_some_and(|kept| now.duration_since(kept.since) >= age)
        {
            self.drop_oldest();
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
    }

    fn show(&mut self, entry: Arc<Entry>, now: Instant) {
        self.head = Some(entry.seq);
        self.bytes += size(&entry);
        self.kept.push_back(Kept {
            seq: entry.seq,
            entry,
            since: now,
            encoded: Encoded::default(),
        });
        while self.kept.len() > RING_ENTRIES_MAX || self.bytes > RING_BYTES_MAX {
            if self.kept.len() == 1 {
                break; // the newest stays, however large
            }
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(kept) = self.kept.pop_front() {
            self.bytes -= size(&kept.entry);
        }
    }

    /// Shows what was held and now follows the head; drops what the head has passed.
    fn release(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::Nothing;
        while let (Some(head), Some(first)) = (self.head, self.held.first_entry()) {
            if *first.key() <= head {
                first.remove();
            } else if Some(*first.key()) == head.next() {
                let entry = first.remove();
                self.show(entry, now);
                taken = Taken::Grew;
            } else {
                break;
            }
        }
        taken
    }
}

fn size(entry: &Entry) -> usize {
    // The body is kept once as stored and once or more encoded.
    entry.draft.body.len() * 2 + ENTRY_BYTES
}
