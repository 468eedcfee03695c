//! Cached tail of a log: its head, the time of its newest entry, its deduplication window.
//!
//! It reads the log; appending to it is `batch`'s.

use std::sync::Arc;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::Seq;
use tokio::time::timeout;

use super::AppenderParts;
use super::turns::Turns;
use super::window::{Window, earlier_page, first_page};
use crate::log::{Entry, Topic};
use crate::store::{READ_ENTRIES_MAX, ReadConsistency, StoreError};

/// Time limit of one store call; then it is retried, at another coordinator if there is one.
pub(super) const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Why an attempt did not settle the batch.
pub(super) enum Retry {
    /// The log grew meanwhile; other nodes write here too.
    Crowded,
    /// The store has failed or timed out.
    Trouble,
}

/// The tail of a log up to exactly this head.
pub(super) struct LogTail {
    pub(super) head: Seq,
    /// When the newest entry was sent; read before the first append.
    pub(super) newest_at: Option<UnixMillis>,
    /// Made when the first named send comes; most logs never need it.
    pub(super) window: Option<Window>,
    /// The outcome of an append is unknown: entries beyond the head may be ours.
    pub(super) unsettled: bool,
    /// The nodes take turns in writing to this log.
    pub(super) turns: Option<Turns>,
}

impl LogTail {
    pub(super) async fn load(parts: &AppenderParts, topic: Topic) -> Result<Self, Retry> {
        let head = ask(parts, "head", parts.store.enter(topic)).await?;
        Ok(Self {
            head,
            newest_at: None,
            window: None,
            unsettled: false,
            turns: None,
        })
    }

    /// Reads the newest part of the log, back to where a repeated send could be.
    pub(super) async fn load_window(
        &mut self,
        parts: &AppenderParts,
        topic: Topic,
    ) -> Result<(), Retry> {
        if self.window.is_some() {
            return Ok(());
        }
        let now = parts.clock.unix_millis();
        let mut window = Window::new(topic);
        let mut last = self.head;
        let mut next = (self.head > Seq::ZERO).then(|| first_page(topic, self.head));
        while let Some(first) = next {
            let page = read_page(parts, topic, first, last).await?;
            page.iter().rev().for_each(|entry| window.push_older(entry));
            self.newest_at = self
                .newest_at
                .or(page.last().map(|entry| entry.draft.sent_at));
            // A page without entries has expired, or was passed over by a jump: nothing recent.
            let oldest = page
                .first()
                .map_or(UnixMillis::EPOCH, |entry| entry.draft.sent_at);
            last = first.saturating_sub(1);
            next = earlier_page(self.head, first, oldest, now);
        }
        self.window = Some(window);
        Ok(())
    }

    /// Reads the newest entry if it was not read yet.
    pub(super) async fn load_newest_at(
        &mut self,
        parts: &AppenderParts,
        topic: Topic,
    ) -> Result<(), Retry> {
        if self.newest_at.is_none() {
            let mut page = match self.head {
                Seq::ZERO => Vec::new(),
                head => read_page(parts, topic, head, head).await?,
            };
            if page.is_empty() && self.head > Seq::ZERO && matches!(topic, Topic::Room(_)) {
                // The log has just jumped.
                let newest = parts.store.nearest(topic, self.head, Seq::ZERO);
                if let Some(newest) = ask(parts, "read", newest).await? {
                    page = read_page(parts, topic, newest, newest).await?;
                }
            }
            let newest_at = page.last().map(|entry| entry.draft.sent_at);
            self.newest_at = Some(newest_at.unwrap_or(UnixMillis::EPOCH)); // none, or expired
        }
        Ok(())
    }

    /// Takes in the next page of entries beyond the cached head, up to `head`.
    ///
    /// One page per call, so that the caller finds its own sends in it before the next page can fail:
    /// entries up to the cached head are never read again.
    pub(super) async fn catch_up(
        &mut self,
        parts: &AppenderParts,
        topic: Topic,
        head: Seq,
    ) -> Result<Vec<Arc<Entry>>, Retry> {
        let first = self.head.saturating_add(1);
        let last = first.saturating_add(READ_ENTRIES_MAX - 1).min(head);
        let page = read_page(parts, topic, first, last).await?;
        if let Some(window) = &mut self.window {
            page.iter().for_each(|entry| window.push(entry));
        }
        self.head = last;
        if page.is_empty() && last < head {
            // A long hole: another node moved the log into a new epoch.
            let next = ask(parts, "read", parts.store.nearest(topic, last, head)).await?;
            self.head = next.map_or(head, |next| next.saturating_sub(1));
        }
        self.newest_at = page
            .last()
            .map(|entry| entry.draft.sent_at)
            .or(self.newest_at);
        Ok(page)
    }

    /// Takes in the next page of entries of a room up to `last`, as far as a quorum shows it.
    pub(super) async fn peek(
        &mut self,
        parts: &AppenderParts,
        topic: Topic,
        last: Seq,
    ) -> Result<Vec<Arc<Entry>>, Retry> {
        let first = self.head.saturating_add(1);
        let last = first.saturating_add(READ_ENTRIES_MAX - 1).min(last);
        let page = parts
            .store
            .read(topic, first, last, ReadConsistency::Quorum);
        let mut page = ask(parts, "read", page).await?;
        if page.first().is_none_or(|entry| entry.seq != first) {
            page.clear();
        }
        self.advance(&page);
        Ok(page)
    }

    pub(super) fn advance(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.head = entry.seq;
            self.newest_at = Some(entry.draft.sent_at);
            if let Some(window) = &mut self.window {
                window.push(entry);
            }
        }
    }
}

/// A store call within the time of one attempt.
pub(super) async fn ask<T>(
    parts: &AppenderParts,
    what: &str,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Retry> {
    match timeout(ATTEMPT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => {
            parts.count_store_error(what);
            Err(Retry::Trouble)
        }
    }
}

/// A page of the log; if entries are missing, it is read again at serial consistency, after every
/// append under way. What is missing then is a hole: no later read finds it, and appends go on behind
/// it. But never on a log that ends before the page.
async fn read_page(
    parts: &AppenderParts,
    topic: Topic,
    first: Seq,
    last: Seq,
) -> Result<Vec<Arc<Entry>>, Retry> {
    let read = |view| ask(parts, "read", parts.store.read(topic, first, last, view));
    let page = read(ReadConsistency::Quorum).await?;
    if is_whole(topic, &page, first, last) {
        return Ok(page);
    }
    let head = ask(
        parts,
        "head",
        parts.store.head(topic, ReadConsistency::Serial),
    )
    .await?;
    if head < last {
        return Err(Retry::Trouble);
    }
    read(ReadConsistency::Serial).await
}

/// Whether a page holds every position of its range. Inbox entries expire, so there only the newest
/// must be there.
fn is_whole(topic: Topic, page: &[Arc<Entry>], first: Seq, last: Seq) -> bool {
    let wanted = last.since(first).saturating_add(1);
    match topic {
        Topic::Room(_) => page.len() == wanted as usize,
        Topic::Inbox(_) => page.last().is_some_and(|entry| entry.seq == last),
    }
}
