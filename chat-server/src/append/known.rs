//! What the appender knows of a log: everything up to one position, as far as it needs it.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::Seq;
use tokio::time::timeout;

use super::Parts;
use super::window::{Window, earlier_page, first_page};
use crate::log::{Entry, Topic};
use crate::store::{READ_ENTRIES_MAX, StoreError, View};

/// One question to the store; then it is asked again, at another coordinator if there is one.
pub(super) const ATTEMPT: Duration = Duration::from_millis(1_500);

/// Why an attempt did not settle the batch.
pub(super) enum Retry {
    /// The log grew meanwhile; other nodes write here too.
    Crowded,
    /// The store is not answering as it should.
    Trouble,
}

/// What the appender knows of a log: all of it up to exactly this head, as far as names go.
pub(super) struct Known {
    pub(super) head: Seq,
    /// Made when the first named send comes; most logs never need it.
    pub(super) window: Option<Window>,
}

impl Known {
    pub(super) async fn load(parts: &Parts, topic: Topic) -> Result<Self, Retry> {
        let head = ask(parts, "head", parts.store.head(topic, View::Quorum)).await?;
        Ok(Self { head, window: None })
    }

    /// Reads the newest part of the log, back to where a repeated send could be.
    pub(super) async fn load_window(&mut self, parts: &Parts, topic: Topic) -> Result<(), Retry> {
        if self.window.is_some() {
            return Ok(());
        }
        let now = parts.clock.unix_millis();
        let mut pages = Vec::new();
        let mut last = self.head;
        let mut next = (self.head > Seq::ZERO).then(|| first_page(topic, self.head));
        while let Some(first) = next {
            let page = ask(
                parts,
                "read",
                parts.store.read(topic, first, last, View::Quorum),
            );
            let page = page.await?;
            let oldest = page.first().map_or(now, |entry| entry.draft.sent_at);
            pages.push(page);
            last = before(first);
            next = earlier_page(self.head, first, oldest, now);
        }
        let mut window = Window::new(topic);
        for entry in pages.iter().rev().flatten() {
            window.push(entry);
        }
        self.window = Some(window);
        Ok(())
    }

    /// Takes in the next page of what the log holds beyond the known head, up to `head`.
    ///
    /// One page a call, so that the caller finds its own sends in it before the next page can fail:
    /// what lies behind the known head is never read again.
    pub(super) async fn catch_up(
        &mut self,
        parts: &Parts,
        topic: Topic,
        head: Seq,
    ) -> Result<Vec<Arc<Entry>>, Retry> {
        let first = after(self.head);
        let page_end = first.get().saturating_add(READ_ENTRIES_MAX - 1);
        let last = Seq::try_from(u64::from(page_end.min(head.get()))).unwrap_or(head);
        let read = |view| ask(parts, "read", parts.store.read(topic, first, last, view));
        let mut page = read(View::Quorum).await?;
        if !is_whole(topic, &page, first, last) {
            page = read(View::Settled).await?;
        }
        // Never append on a log of which a part is missing.
        if !is_whole(topic, &page, first, last) {
            return Err(Retry::Trouble);
        }
        if let Some(window) = &mut self.window {
            page.iter().for_each(|entry| window.push(entry));
        }
        self.head = last;
        Ok(page)
    }

    pub(super) fn advance(&mut self, entries: &[Arc<Entry>]) {
        for entry in entries {
            self.head = entry.seq;
            if let Some(window) = &mut self.window {
                window.push(entry);
            }
        }
    }
}

/// A question to the store within the time of one attempt.
pub(super) async fn ask<T>(
    parts: &Parts,
    what: &str,
    question: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Retry> {
    match timeout(ATTEMPT, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => {
            parts.metrics.store_errors.with_label_values(&[what]).inc();
            Err(Retry::Trouble)
        }
    }
}

/// Whether a page holds every position of its range. Inbox entries expire, so there only the newest
/// must be there.
fn is_whole(topic: Topic, page: &[Arc<Entry>], first: Seq, last: Seq) -> bool {
    let wanted = last.get().saturating_sub(first.get()).saturating_add(1);
    match topic {
        Topic::Room(_) => page.len() == wanted as usize,
        Topic::Inbox(_) => page.last().is_some_and(|entry| entry.seq == last),
    }
}

fn after(seq: Seq) -> Seq {
    seq.next().unwrap_or(Seq::MAX)
}

fn before(seq: Seq) -> Seq {
    Seq::try_from(u64::from(seq.get().saturating_sub(1))).unwrap_or(Seq::ZERO)
}
