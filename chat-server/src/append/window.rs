//! The newest part of a log, as far as it is needed to recognise a send that is repeated.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, Seq};

use crate::log::{Draft, Entry, Topic};

/// A client that lost its answer asks again within seconds, or after a reconnect; ten minutes cover
/// a phone in a tunnel.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Bounds the memory of a room in which thousands write within ten minutes.
const ENTRIES_MAX: u32 = 8_192;

/// Who sent it and what they called it.
type Name = (Option<MemberId>, Box<str>);

/// What a repeated send turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeated {
    /// The same message; it is stored at this position.
    Same(Seq),
    /// Another message under the same name.
    Different,
}

/// The named sends of the entries within the window, oldest first.
#[derive(Debug)]
pub(super) struct Window {
    named: VecDeque<(Seq, UnixMillis, Name)>,
    by_name: HashMap<Name, (Seq, u64)>,
    /// At least so many of the newest entries are covered, however old.
    entries_min: u32,
    hasher: RandomState,
}

impl Window {
    pub(super) fn new(topic: Topic) -> Self {
        Self {
            named: VecDeque::new(),
            by_name: HashMap::new(),
            entries_min: entries_min(topic),
            hasher: RandomState::new(),
        }
    }

    /// Takes in the next entry of the log and forgets what falls out of the window.
    pub(super) fn push(&mut self, entry: &Entry) {
        if let Some(id) = &entry.draft.client_message_id {
            let name = (entry.draft.sender, id.clone());
            let whole = self.fingerprint(&entry.draft);
            let fingerprint = if entry.deleted { DELETED } else { whole };
            self.by_name.insert(name.clone(), (entry.seq, fingerprint));
            self.named.push_back((entry.seq, entry.draft.sent_at, name));
        }
        self.forget(entry.seq, entry.draft.sent_at);
    }

    /// Whether the draft was sent before.
    pub(super) fn find(&self, draft: &Draft) -> Option<Repeated> {
        let name = (draft.sender, draft.client_message_id.clone()?);
        let (seq, fingerprint) = self.by_name.get(&name)?;
        // A deleted entry has lost its body; it still is the one that was sent under this name.
        let same = *fingerprint == self.fingerprint(draft) || *fingerprint == DELETED;
        Some(if same {
            Repeated::Same(*seq)
        } else {
            Repeated::Different
        })
    }

    /// Whether two drafts say the same under the same name.
    pub(super) fn same(&self, one: &Draft, other: &Draft) -> bool {
        self.fingerprint(one) == self.fingerprint(other)
    }

    fn fingerprint(&self, draft: &Draft) -> u64 {
        self.hasher
            .hash_one((draft.kind, &draft.content_type, &draft.body))
            .max(DELETED + 1)
    }

    fn forget(&mut self, head: Seq, now: UnixMillis) {
        while let Some((seq, sent_at, name)) = self.named.front() {
            let behind = head.get().saturating_sub(seq.get());
            let old = now.saturating_since(*sent_at) > AGE_MAX && behind >= self.entries_min;
            if !old && behind < ENTRIES_MAX {
                return;
            }
            if self
                .by_name
                .get(name)
                .is_some_and(|(newest, _)| newest == seq)
            {
                self.by_name.remove(name);
            }
            self.named.pop_front();
        }
    }
}

/// The fingerprint of an entry whose body is gone.
const DELETED: u64 = 0;

/// An inbox takes events of the market, which repeats a batch of up to 200 whole.
fn entries_min(topic: Topic) -> u32 {
    match topic {
        Topic::Room(_) => 128,
        Topic::Inbox(_) => 256,
    }
}

/// The first position to read when the window of a log that ends at `head` is made, and whether,
/// after a page that began at `first` with an entry of `oldest`, an earlier one is needed.
pub(super) fn first_page(topic: Topic, head: Seq) -> Seq {
    back(head, entries_min(topic).saturating_sub(1))
}

/// The start of the page before `first`, if the window reaches that far back.
pub(super) fn earlier_page(
    head: Seq,
    first: Seq,
    oldest: UnixMillis,
    now: UnixMillis,
) -> Option<Seq> {
    let covered = head.get().saturating_sub(first.get());
    let young = now.saturating_since(oldest) <= AGE_MAX;
    (young && first > Seq::ZERO && first.get() > 1 && covered < ENTRIES_MAX)
        .then(|| back(first, crate::store::READ_ENTRIES_MAX))
}

/// The position `count` before `seq`, at least 1.
fn back(seq: Seq, count: u32) -> Seq {
    let first = seq.get().saturating_sub(count).max(1);
    Seq::try_from(u64::from(first)).unwrap_or(seq)
}
