//! Deduplication window: the named sends in the newest part of a log, to recognise repeated ones.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, Seq};

use crate::log::{Draft, Entry, Topic};

/// A client that got no receipt retries within seconds, or after a reconnect; ten minutes cover a
/// phone in a tunnel.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Bounds the memory of a room in which thousands write within ten minutes.
const ENTRIES_MAX: u32 = 8_192;

/// Sender and client message id.
type Name = (Option<MemberId>, Box<str>);

/// Result of a search for a repeated send.
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

    /// Adds the next entry of the log and drops those that leave the window.
    pub(super) fn push(&mut self, entry: &Entry) {
        if let Some((name, fingerprint)) = self.named(entry) {
            self.by_name.insert(name.clone(), (entry.seq, fingerprint));
            self.named.push_back((entry.seq, entry.draft.sent_at, name));
        }
        self.forget(entry.seq, entry.draft.sent_at);
    }

    /// Adds an entry older than all others, while the window is being loaded.
    pub(super) fn push_older(&mut self, entry: &Entry) {
        if let Some((name, fingerprint)) = self.named(entry) {
            let newest = self.by_name.entry(name.clone());
            newest.or_insert((entry.seq, fingerprint));
            self.named
                .push_front((entry.seq, entry.draft.sent_at, name));
        }
    }

    fn named(&self, entry: &Entry) -> Option<(Name, u64)> {
        let name = (entry.draft.sender, entry.draft.client_message_id.clone()?);
        let whole = self.fingerprint(&entry.draft);
        Some((name, if entry.deleted { DELETED } else { whole }))
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

    /// Whether two drafts of one name have the same content.
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
            let behind = head.since(*seq);
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

/// An inbox takes events of the market, which repeats a batch of up to 200 whole; an event is up to
/// two entries of one inbox.
fn entries_min(topic: Topic) -> u32 {
    match topic {
        Topic::Room(_) => 128,
        Topic::Inbox(_) => 512,
    }
}

/// The first position to read when the window of a log that ends at `head` is loaded.
pub(super) fn first_page(topic: Topic, head: Seq) -> Seq {
    back(head, entries_min(topic).saturating_sub(1))
}

/// The start of the page before one that began at `first` with an entry of `oldest`, if the window
/// reaches that far back.
pub(super) fn earlier_page(
    head: Seq,
    first: Seq,
    oldest: UnixMillis,
    now: UnixMillis,
) -> Option<Seq> {
    let covered = head.since(first);
    let young = now.saturating_since(oldest) <= AGE_MAX;
    (young && first > Seq::FIRST && covered < ENTRIES_MAX)
        .then(|| back(first, crate::store::READ_ENTRIES_MAX))
}

/// The position `count` before `seq`, at least the first.
fn back(seq: Seq, count: u32) -> Seq {
    seq.saturating_sub(count).max(Seq::FIRST)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use shared::ids::RoomId;

    use super::*;
    use crate::log::{Kind, Uid};

    const ROOM: Topic = Topic::Room(RoomId::FIRST_ALLOCATED_BY_CHAT);

    fn inbox() -> Topic {
        Topic::Inbox(MemberId::try_from(1_u64).unwrap())
    }

    fn draft(name: u32) -> Draft {
        Draft {
            uid: Uid(name.into()),
            kind: Kind::Chat,
            sender: None,
            client_message_id: Some(name.to_string().into()),
            headers: Vec::new(),
            content_type: None,
            body: Bytes::from(format!("text {name}")),
            sent_at: UnixMillis::EPOCH,
        }
    }

    /// The entry at `seq`, named after it, sent at `second`.
    fn entry(seq: u32, second: u64) -> Entry {
        let mut draft = draft(seq);
        draft.sent_at = UnixMillis::EPOCH.saturating_add(Duration::from_secs(second));
        Entry {
            seq: at(seq),
            deleted: false,
            draft,
        }
    }

    fn at(seq: u32) -> Seq {
        Seq::try_from(u64::from(seq)).unwrap()
    }

    /// A log whose positions were sent at the seconds that `sent` returns; both ways of making
    /// its window must find the same.
    #[track_caller]
    fn check(topic: Topic, sent: impl Fn(u32) -> u64, head: u32, first_found: u32) {
        let log: Vec<Arc<Entry>> = (1..=head)
            .map(|seq| Arc::new(entry(seq, sent(seq))))
            .collect();
        let mut followed = Window::new(topic);
        log.iter().for_each(|entry| followed.push(entry));
        let mut read = Window::new(topic);
        log.iter().rev().for_each(|entry| read.push_older(entry));
        read.forget(at(head), log.last().unwrap().draft.sent_at);
        for (window, how) in [(followed, "followed"), (read, "read")] {
            let found = |seq: &u32| window.find(&draft(*seq)).is_some();
            assert_eq!((1..=head).find(found), Some(first_found), "{how}");
            assert!((first_found..=head).all(|seq| found(&seq)), "{how}");
            let kept = (head - first_found + 1) as usize;
            assert_eq!(window.named.len(), kept, "{how}: nothing else is kept");
            assert_eq!(window.by_name.len(), kept, "{how}: nothing else is kept");
        }
    }

    #[test]
    fn the_newest_are_found_however_old() {
        let a_day_each = |seq| u64::from(seq) * 86_400;
        check(ROOM, a_day_each, 1_000, 1_000 - 127);
        check(inbox(), a_day_each, 1_000, 1_000 - 511);
        check(ROOM, a_day_each, 100, 1);
    }

    #[test]
    fn ten_minutes_are_found_however_many() {
        let one_a_second = |seq| u64::from(seq);
        check(ROOM, one_a_second, 2_000, 2_000 - 600);
        check(inbox(), one_a_second, 2_000, 2_000 - 600);
    }

    #[test]
    fn more_than_the_bound_are_not_kept() {
        let all_at_once = |_| 0;
        let first = 10_000 - ENTRIES_MAX + 1;
        check(ROOM, all_at_once, 10_000, first);
        check(inbox(), all_at_once, 10_000, first);
    }

    #[test]
    fn a_name_stands_for_its_newest_entry() {
        let again = |seq: u32| Entry {
            seq: at(seq),
            ..entry(1, u64::from(seq) * 86_400)
        };
        // The second one was let through, as the first had left the window.
        let (first, second) = (again(1), again(200));
        let mut followed = Window::new(ROOM);
        let mut read = Window::new(ROOM);
        followed.push(&first);
        followed.push(&second);
        read.push_older(&second);
        read.push_older(&first);
        for window in [followed, read] {
            assert_eq!(window.find(&draft(1)), Some(Repeated::Same(at(200))));
        }
    }

    #[test]
    fn the_same_is_told_from_another_message() {
        let mut window = Window::new(ROOM);
        window.push(&entry(1, 0));
        let mut deleted = entry(2, 0);
        (deleted.deleted, deleted.draft.body) = (true, Bytes::new());
        window.push(&deleted);
        let same = Some(Repeated::Same(at(1)));
        assert_eq!(window.find(&draft(1)), same);
        // What only travels with it does not make it another message.
        let later = Draft {
            uid: Uid(77),
            sent_at: UnixMillis::MAX,
            ..draft(1)
        };
        assert_eq!(window.find(&later), same);
        let others = [
            Draft {
                body: Bytes::from_static(b"other"),
                ..draft(1)
            },
            Draft {
                kind: Kind::Opaque,
                ..draft(1)
            },
            Draft {
                content_type: Some("a/b".into()),
                ..draft(1)
            },
        ];
        for other in others {
            assert_eq!(window.find(&other), Some(Repeated::Different));
        }
        // Another member's, and one without a name.
        let elses = Draft {
            sender: Some(MemberId::try_from(9_u64).unwrap()),
            ..draft(1)
        };
        let nameless = Draft {
            client_message_id: None,
            ..draft(1)
        };
        assert_eq!(window.find(&elses), None);
        assert_eq!(window.find(&nameless), None);
        // It has lost its body, but not its name.
        assert_eq!(window.find(&draft(2)), Some(Repeated::Same(at(2))));
    }

    #[test]
    fn pages_reach_back_as_far_as_the_window() {
        let reach = |head: u32, oldest_age: u64| {
            let now = UnixMillis::EPOCH.saturating_add(Duration::from_secs(100_000));
            let oldest =
                UnixMillis::EPOCH.saturating_add(Duration::from_secs(100_000 - oldest_age));
            let mut first = first_page(ROOM, at(head));
            let mut pages = vec![first.get()];
            while let Some(earlier) = earlier_page(at(head), first, oldest, now) {
                first = earlier;
                pages.push(first.get());
            }
            pages
        };
        assert_eq!(reach(100_000, 601), [100_000 - 127]);
        assert_eq!(reach(1, 601), [1]);
        assert_eq!(reach(600, 0), [473, 1]);
        let far = reach(100_000, 600);
        assert_eq!(far.len(), 1 + 16);
        assert!(100_000 - far.last().unwrap() >= ENTRIES_MAX - 1);
    }
}
