//! Ring of a topic's newest entries, encoded, and the order in which entries become visible here.
//!
//! Pure: ranges to read from the store are returned, not read.

mod readers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::ids::Seq;

use super::frame::{FrameCache, FrameVariant, Readers};
use crate::log::{Entry, Topic};

/// Entries kept for subscriptions that pull: enough for a connection that writes in bursts; a
/// slower one reads from the store.
pub const RING_ENTRIES_MAX: usize = 256;

/// Bytes kept, counted as bodies and headers with what surrounds them; as many again may be held.
pub const RING_BYTES_MAX: usize = 512 << 10;

/// What an entry takes besides its body: its frame's head and headers, and the record.
const ENTRY_BYTES: usize = 512;

/// Result of taking entries in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing new is visible.
    Nothing,
    /// The head moved; subscriptions have something to pull.
    Grew,
}

/// Sizes of what a ring has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSize {
    /// Entries for subscriptions to pull.
    pub entries: usize,
    /// About what they take, encoded forms included, also where those are gone.
    pub bytes: usize,
    /// Entries that wait for what is missing before them.
    pub held: usize,
}

/// Why a pull ended.
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
    encoded: FrameCache,
    /// Followers that have not passed it. At times too low, when one goes back: that costs an encoding
    /// or a read of the store.
    unread: u32,
}

/// The live part of a log on this node.
#[derive(Debug)]
pub(super) struct Ring {
    topic: Topic,
    /// `None` until it was read from the store.
    head: Option<Seq>,
    /// Ends at the head, without holes in a room.
    kept: VecDeque<Kept>,
    bytes: usize,
    /// Arrived, but entries before them are missing.
    held: BTreeMap<Seq, Arc<Entry>>,
    held_bytes: usize,
    /// Deleted before they are visible here: the event may overtake the entry, or a read of the
    /// store that is under way.
    taken_back: BTreeSet<Seq>,
    /// The greatest position that was announced.
    announced: Seq,
    followers: u32,
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
            held_bytes: 0,
            taken_back: BTreeSet::new(),
            announced: Seq::ZERO,
            followers: 0,
        }
    }

    pub(super) fn head(&self) -> Option<Seq> {
        self.head
    }

    /// Begins at the store's head; entries that arrived meanwhile are sorted in.
    pub(super) fn begin(&mut self, head: Seq, now: Instant) -> Taken {
        if self.head.is_none() {
            self.head = Some(head);
            self.announced = self.announced.max(head);
        }
        self.release(now)
    }

    /// Takes in entries from any source: the next one is shown, earlier ones are ignored, later ones
    /// wait for the missing ones.
    pub(super) fn take(&mut self, entries: &[Arc<Entry>], now: Instant) -> Taken {
        let before = self.head;
        for entry in entries {
            self.announced = self.announced.max(entry.seq);
            match self.head {
                Some(head) if entry.seq <= head => {}
                Some(head) if Some(entry.seq) == head.next() => self.show(Arc::clone(entry), now),
                Some(_) | None => self.hold(entry),
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
        (self.announced > head).then_some((head, self.announced))
    }

    /// Notes that the log has grown to `head`; whether that is more than was announced before.
    pub(super) fn announce(&mut self, head: Seq) -> bool {
        let is_news = head > self.announced;
        self.announced = self.announced.max(head);
        is_news
    }

    /// The greatest position that was announced.
    pub(super) fn announced(&self) -> Seq {
        self.announced
    }

    /// Retracts an announcement: the log ends at `end`, not at `announced`. Entries held beyond that
    /// belong to another log. Changes nothing and returns `false` if more was announced meanwhile.
    pub(super) fn retract(&mut self, announced: Seq, end: Seq) -> bool {
        if self.announced != announced {
            return false;
        }
        if let Some(beyond) = end.next() {
            drop(self.held.split_off(&beyond));
            self.held_bytes = self.held.values().map(|entry| size(entry)).sum();
        }
        self.announced = self.head.map_or(end, |head| head.max(end));
        true
    }

    /// Sizes of what it has in memory.
    pub(super) fn size(&self) -> RingSize {
        RingSize {
            entries: self.kept.len(),
            bytes: self.bytes,
            held: self.held.len(),
        }
    }

    /// Whether the ring contains the entry at a position.
    pub(super) fn keeps(&self, seq: Seq) -> bool {
        let place = |kept: &Kept| kept.seq.cmp(&seq);
        self.kept.binary_search_by(place).is_ok()
    }

    /// Gives the frames after `cursor` to `sink`, in order, until it breaks off. The cursor follows
    /// what was given.
    pub(super) fn pull(
        &mut self,
        cursor: &mut Seq,
        variant: &Arc<FrameVariant>,
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
            let shown = variant.view.shows(&kept.entry);
            let readers = if kept.unread > 1 {
                Readers::More
            } else {
                Readers::Last
            };
            let encode = || {
                let Kept { encoded, entry, .. } = &mut *kept;
                encoded.frame(self.topic, entry, variant, readers)
            };
            let frame = shown.then(encode);
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

    /// Index of the entry after `cursor`, or the index at which it would be inserted.
    ///
    /// A room has no holes, so the index follows from the position; a binary search would read up
    /// to a dozen scattered entries for each subscription.
    fn place_after(&self, cursor: Seq) -> usize {
        let first = self.kept.front().map_or(0, |kept| kept.seq.get());
        let wanted = cursor.get().saturating_add(1);
        let place = wanted.saturating_sub(first) as usize;
        match self.kept.get(place) {
            Some(kept) if kept.seq.get() == wanted => place,
            Some(_) | None => self.kept.partition_point(|kept| kept.seq <= cursor),
        }
    }

    /// Deletes an entry, also one that still waits for those before it.
    pub(super) fn delete(&mut self, seq: Seq) {
        if let Some(kept) = self.kept.iter_mut().find(|kept| kept.seq == seq) {
            self.bytes -= size(&kept.entry);
            kept.entry = taken_back(&kept.entry);
            self.bytes += size(&kept.entry);
            kept.encoded.clear();
        }
        let is_ahead = self.head.is_none_or(|head| seq > head);
        if is_ahead && self.taken_back.len() < RING_ENTRIES_MAX {
            self.taken_back.insert(seq);
        }
    }

    /// Drops entries older than `age`: a quiet room costs nothing.
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

    /// Holds an entry until those before it are here: at most a ring of them. Beyond that only the
    /// greatest position is noted; the store has the rest.
    fn hold(&mut self, entry: &Arc<Entry>) {
        let bytes = self.held_bytes + size(entry);
        if self.held.len() < RING_ENTRIES_MAX && bytes <= RING_BYTES_MAX {
            let known = self.held.insert(entry.seq, Arc::clone(entry));
            self.held_bytes = bytes - known.as_deref().map_or(0, size);
        }
    }

    fn show(&mut self, mut entry: Arc<Entry>, now: Instant) {
        self.head = Some(entry.seq);
        if self.taken_back.remove(&entry.seq) {
            entry = taken_back(&entry);
        }
        self.bytes += size(&entry);
        self.kept.push_back(Kept {
            seq: entry.seq,
            entry,
            since: now,
            encoded: FrameCache::default(),
            unread: self.followers,
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

    /// Shows held entries that now follow the head; drops those that the head has passed.
    fn release(&mut self, now: Instant) -> Taken {
        let mut taken = Taken::Nothing;
        while let (Some(head), Some(first)) = (self.head, self.held.first_entry()) {
            let seq = *first.key();
            if seq > head && Some(seq) != head.next() {
                break;
            }
            let entry = first.remove();
            self.held_bytes -= size(&entry);
            if seq > head {
                self.show(entry, now);
                taken = Taken::Grew;
            }
        }
        if let Some(head) = self.head {
            // In an inbox some never come: they have expired.
            while self.taken_back.first().is_some_and(|seq| *seq <= head) {
                self.taken_back.pop_first();
            }
        }
        taken
    }
}

fn taken_back(entry: &Entry) -> Arc<Entry> {
    let mut entry = entry.clone();
    entry.deleted = true;
    entry.draft.body = Bytes::new();
    Arc::new(entry)
}

fn size(entry: &Entry) -> usize {
    let headers = entry.draft.headers.iter();
    let headers: usize = headers.map(|(name, value)| name.len() + value.len()).sum();
    // An entry is in memory once as stored and once or more as an encoded frame.
    (entry.draft.body.len() + headers) * 2 + ENTRY_BYTES
}

#[cfg(test)]
mod tests;
