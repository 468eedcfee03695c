//! Pages of a log from the store, for subscriptions whose cursor is older than the ring.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use shared::ids::Seq;
use stomp::SubscriptionKey;
use tokio::time::{Duration, sleep};

use super::services::Services;
use crate::hub::Delivery;
use crate::log::{Entry, Topic};
use crate::store::{MessageStore, ReadConsistency, StoreError};
use crate::wake_queue::Slot;

/// Entries of one page: some 50 KB of chat.
const PAGE_ENTRIES: u32 = 128;

/// Bytes of bodies that a page holds at most. Every subscription of a connection may hold one while
/// the socket is full or its acknowledgements do not come; of the largest messages a whole page
/// would be 8 MiB.
const PAGE_BYTES_MAX: usize = 256 << 10;

/// Time between attempts while the store is away.
const READ_PAUSE: Duration = Duration::from_millis(500);

/// Entries that were read for a subscription and are not written yet.
#[derive(Debug)]
pub(super) struct Page {
    entries: VecDeque<Arc<Entry>>,
    /// Entries up to here are in the page, were in it, or have expired.
    end: Seq,
    /// Number of entries to read for the next page: as many as fitted into this one, growing again.
    size: u32,
}

impl Default for Page {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            end: Seq::ZERO,
            size: PAGE_ENTRIES,
        }
    }
}

impl Page {
    pub(super) fn pop(&mut self) -> Option<Arc<Entry>> {
        self.entries.pop_front()
    }

    /// Once all is popped, the cursor stands here.
    pub(super) fn end(&self) -> Seq {
        self.end
    }

    /// Where the page after `cursor` ends.
    pub(super) fn next_end(&self, cursor: Seq, head: Seq) -> Seq {
        cursor.saturating_add(self.size).min(head)
    }

    /// Stores the entries that were read, or as many of the first ones as fit.
    pub(super) fn take(&mut self, mut entries: Vec<Arc<Entry>>, last: Seq) {
        let fits = count_that_fits(&entries);
        if fits < entries.len() {
            entries.truncate(fits);
            self.end = entries.last().map_or(last, |entry| entry.seq);
            self.size = u32::try_from(fits).unwrap_or(PAGE_ENTRIES);
        } else {
            self.end = last;
            self.size = self.size.saturating_mul(2).min(PAGE_ENTRIES);
        }
        self.entries = entries.into();
    }
}

/// At least one, however large.
fn count_that_fits(entries: &[Arc<Entry>]) -> usize {
    let mut bytes = 0_usize;
    let too_many = entries.iter().position(|entry| {
        bytes = bytes.saturating_add(entry.draft.body.len());
        bytes > PAGE_BYTES_MAX
    });
    too_many.map_or(entries.len(), |first| first.max(1))
}

/// A page to be read for a subscription.
#[derive(Clone, Copy, Debug)]
pub(super) struct PageRequest {
    pub(super) slot: Slot,
    /// Distinguishes the subscription from a later one in the same slot.
    pub(super) key: SubscriptionKey,
    pub(super) delivery: Delivery,
    pub(super) topic: Topic,
    /// The position before the page.
    pub(super) after: Seq,
    /// Its last position.
    pub(super) last: Seq,
}

/// A page that was read.
#[derive(Debug)]
pub(super) struct PageRead {
    pub(super) slot: Slot,
    pub(super) key: SubscriptionKey,
    pub(super) delivery: Delivery,
    pub(super) entries: Vec<Arc<Entry>>,
    /// Nothing is missing up to here.
    pub(super) last: Seq,
}

/// Reads a page, for as long as it takes; ends with the connection.
pub(super) fn read_page(services: &Services, request: PageRequest) -> BoxFuture<'static, PageRead> {
    let store: Arc<dyn MessageStore> = Arc::clone(&services.store);
    let metrics = Arc::clone(&services.metrics);
    Box::pin(async move {
        let PageRequest {
            slot,
            key,
            delivery,
            topic,
            after,
            last,
        } = request;
        let first = after.saturating_add(1);
        loop {
            match read_over_holes(store.as_ref(), topic, first, last).await {
                Ok(Some((entries, last))) => {
                    metrics.catch_ups.inc();
                    return PageRead {
                        slot,
                        key,
                        delivery,
                        entries,
                        last,
                    };
                }
                // The log ends before what was shown here: the hub detects that and closes.
                Ok(None) => {}
                Err(_) => metrics.store_errors.with_label_values(&["read"]).inc(),
            }
            sleep(READ_PAUSE).await;
        }
    })
}

/// The entries from `first` on, and the position up to which they are complete: `last`, or, if there
/// are none, the one before the next entry.
async fn read_over_holes(
    store: &dyn MessageStore,
    topic: Topic,
    first: Seq,
    last: Seq,
) -> Result<Option<(Vec<Arc<Entry>>, Seq)>, StoreError> {
    let wanted = last.since(first.saturating_sub(1)) as usize;
    let entries = store
        .read(topic, first, last, ReadConsistency::Quorum)
        .await?;
    if entries.len() == wanted {
        return Ok(Some((entries, last)));
    }
    // Something is missing that was stored. A serial read finds it, or it does not exist any more:
    // in an inbox because it expired, in a room because it is lost.
    let head = store.head(topic, ReadConsistency::Serial).await?;
    if head < last {
        return Ok(None);
    }
    let entries = store
        .read(topic, first, last, ReadConsistency::Serial)
        .await?;
    if !entries.is_empty() || last == head {
        return Ok(Some((entries, last)));
    }
    let next = store.nearest(topic, last, head).await?;
    let end = next.map_or(last, |next| next.saturating_sub(1).max(last));
    Ok(Some((entries, end)))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use shared::clock::UnixMillis;

    use super::*;
    use crate::log::{Draft, Kind, Uid};

    fn seq(seq: u32) -> Seq {
        Seq::try_from(u64::from(seq)).unwrap()
    }

    fn entry(at: u32, bytes: usize) -> Arc<Entry> {
        let draft = Draft {
            uid: Uid(0),
            kind: Kind::Opaque,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::from(vec![b'x'; bytes]),
            sent_at: UnixMillis::EPOCH,
        };
        Arc::new(Entry {
            seq: seq(at),
            deleted: false,
            draft,
        })
    }

    /// Reads a log whose entries have as many bytes as `size` returns (`None`: it has expired),
    /// page by page; `kept`: how many entries each page holds.
    #[track_caller]
    fn check(head: u32, size: impl Fn(u32) -> Option<usize>, kept: &[usize]) {
        let (mut page, mut cursor) = (Page::default(), Seq::ZERO);
        let (mut seen, mut pages) = (Vec::new(), Vec::new());
        while cursor < seq(head) {
            let last = page.next_end(cursor, seq(head));
            let range = cursor.get() + 1..=last.get();
            let read = range.filter_map(|at| size(at).map(|bytes| entry(at, bytes)));
            page.take(read.collect(), last);
            let (mut count, mut bytes) = (0, 0);
            while let Some(entry) = page.pop() {
                seen.push(entry.seq.get());
                (count, bytes) = (count + 1, bytes + entry.draft.body.len());
            }
            assert!(bytes <= PAGE_BYTES_MAX || count == 1);
            assert!(page.end() > cursor, "it goes on");
            pages.push(count);
            cursor = page.end();
        }
        let there: Vec<u32> = (1..=head).filter(|at| size(*at).is_some()).collect();
        assert_eq!(seen, there, "all, once, in order");
        assert_eq!(pages, kept);
    }

    #[test]
    fn a_page_keeps_as_much_as_it_may_and_the_next_asks_for_that() {
        check(300, |_| Some(100), &[128, 128, 44]);
        check(20, |_| Some(60 << 10), &[4, 4, 4, 4, 4]);
        check(3, |_| Some(1 << 20), &[1, 1, 1]);
        // After the large ones it grows again.
        let first_large = |at| Some(if at <= 4 { 200 << 10 } else { 10 });
        check(200, first_large, &[1, 1, 1, 1, 2, 4, 8, 16, 32, 64, 70]);
        check(0, |_| None, &[]);
    }

    #[test]
    fn what_has_expired_is_passed_over() {
        check(300, |at| (at > 280).then_some(10), &[0, 0, 20]);
        check(
            300,
            |at| (at < 10).then_some(60 << 10),
            &[4, 4, 1, 0, 0, 0, 0, 0],
        );
    }
}
