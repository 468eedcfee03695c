//! Memory of what was read of members: account statuses, and short lists of records.
//!
//! Every login reads them. From the disk that is two hops to the blocking pool each time, mostly to
//! find that there is nothing. This process alone writes to the folder, so what was read stays true
//! until a write of the member. A read that overlaps such a write is not kept, and neither is any of a
//! member with a write whose outcome is unknown: that one may still come.
//!
//! It does not remember what was never read: the first login of a member reads the disk.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use crate::store::{AccountStatus, Record, StoreError};

/// As many members as a node has connections by default. Mostly empty lists: about 10 MB.
const MEMBERS_MAX: usize = 50_000;

/// Lists of one member: the ended sessions, the separations, the profile.
const LISTS_MAX: usize = 3;

/// Bytes of a list that is kept. A longer one is of a member with many of them, which is rare.
const LIST_BYTES_MAX: usize = 512;

/// What a record takes besides its key and value.
const RECORD_BYTES: usize = 64;

/// Members with writes of unknown outcome; beyond so many nothing is kept until a restart. Such
/// writes come with a disk that does not answer, not in operation.
const UNCERTAIN_MAX: usize = 10_000;

/// See the module.
pub(super) struct MemberReads {
    state: Mutex<State>,
}

struct State {
    /// Counts writes, of any member: a read that began at another count is not kept.
    changes: u64,
    /// How many writes of a member wait for their answer.
    changing: HashMap<MemberId, u32>,
    /// Members with a write of unknown outcome.
    uncertain: HashSet<MemberId>,
    members: Cache<MemberId, Known>,
}

/// What was read of a member.
#[derive(Clone, Default)]
struct Known {
    status: Option<AccountStatus>,
    lists: Vec<KnownList>,
}

#[derive(Clone)]
struct KnownList {
    prefix: Box<str>,
    records: Vec<Record>,
    expires_at: Option<UnixMillis>,
}

/// Records of one prefix, and when the first of them expires.
#[derive(Default)]
pub(super) struct RecordList {
    pub(super) records: Vec<Record>,
    pub(super) expires_at: Option<UnixMillis>,
}

/// The state that a read begins at.
#[derive(Clone, Copy)]
pub(super) struct ReadStart(u64);

/// A write of a member under way. Dropped without its answer, its outcome is unknown.
pub(super) struct Change<'a> {
    reads: &'a MemberReads,
    member: MemberId,
    is_certain: bool,
}

impl MemberReads {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                changes: 0,
                changing: HashMap::new(),
                uncertain: HashSet::new(),
                members: Cache::new(MEMBERS_MAX),
            }),
        }
    }

    /// To be called before a read whose result is offered by one of the `keep` functions.
    pub(super) fn start(&self) -> ReadStart {
        ReadStart(self.lock().changes)
    }

    pub(super) fn status(&self, member: MemberId) -> Option<AccountStatus> {
        self.lock().members.get(&member)?.status
    }

    pub(super) fn keep_status(&self, start: ReadStart, member: MemberId, status: AccountStatus) {
        self.keep(start, member, |known| known.status = Some(status));
    }

    pub(super) fn records(
        &self,
        member: MemberId,
        prefix: &str,
        now: UnixMillis,
    ) -> Option<Vec<Record>> {
        let state = self.lock();
        let lists = &state.members.get(&member)?.lists;
        let list = lists.iter().find(|list| &*list.prefix == prefix)?;
        let is_current = list.expires_at.is_none_or(|expires| now < expires);
        is_current.then(|| list.records.clone())
    }

    pub(super) fn keep_records(
        &self,
        start: ReadStart,
        member: MemberId,
        prefix: &str,
        list: &RecordList,
    ) {
        let bytes = |record: &Record| record.key.len() + record.value.len() + RECORD_BYTES;
        if list.records.iter().map(bytes).sum::<usize>() > LIST_BYTES_MAX {
            return;
        }
        self.keep(start, member, |known| {
            known.lists.retain(|known| &*known.prefix != prefix);
            if known.lists.len() == LISTS_MAX {
                known.lists.remove(0);
            }
            known.lists.push(KnownList {
                prefix: prefix.into(),
                records: list.records.clone(),
                expires_at: list.expires_at,
            });
        });
    }

    /// Begins a write of the member: what was read of them is dropped, and nothing is kept before its
    /// end.
    pub(super) fn change(&self, member: MemberId) -> Change<'_> {
        let mut state = self.lock();
        state.drop_reads(member);
        *state.changing.entry(member).or_default() += 1;
        drop(state);
        Change {
            reads: self,
            member,
            is_certain: false,
        }
    }

    fn keep(&self, start: ReadStart, member: MemberId, put: impl FnOnce(&mut Known)) {
        let mut state = self.lock();
        let is_current = start.0 == state.changes;
        let is_certain = !state.uncertain.contains(&member)
            && !state.changing.contains_key(&member)
            && state.uncertain.len() < UNCERTAIN_MAX;
        if !is_current || !is_certain {
            return;
        }
        let mut known = state.members.get(&member).cloned().unwrap_or_default();
        put(&mut known);
        state.members.insert(member, known);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn drop_reads(&mut self, member: MemberId) {
        self.changes += 1;
        self.members.remove(&member);
    }

    fn end(&mut self, member: MemberId, is_certain: bool) {
        self.drop_reads(member);
        if let Some(count) = self.changing.get_mut(&member) {
            *count -= 1;
            if *count == 0 {
                self.changing.remove(&member);
            }
        }
        if !is_certain && self.uncertain.len() < UNCERTAIN_MAX {
            self.uncertain.insert(member);
        }
        if self.uncertain.len() == UNCERTAIN_MAX {
            self.members.clear();
        }
    }
}

impl Change<'_> {
    /// The write's answer.
    pub(super) fn end<T>(mut self, answer: &Result<T, StoreError>) {
        self.is_certain = match answer {
            Ok(_) | Err(StoreError::Unavailable(_)) => true,
            Err(StoreError::Unknown(_) | StoreError::Corrupt(_)) => false,
        };
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.reads.lock().end(self.member, self.is_certain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(number: u64) -> MemberId {
        MemberId::try_from(number).unwrap()
    }

    fn at(millis: i64) -> UnixMillis {
        UnixMillis::from_seconds(1_754_537_696)
            .unwrap()
            .saturating_add(std::time::Duration::from_millis(millis.unsigned_abs()))
    }

    fn list(value: &'static str, expires_at: Option<UnixMillis>) -> RecordList {
        let record = Record {
            key: "session:a".into(),
            value: value.as_bytes().into(),
        };
        RecordList {
            records: vec![record],
            expires_at,
        }
    }

    #[test]
    fn status_read_before_a_write_is_not_kept_and_others_are() {
        let reads = MemberReads::new();
        let (one, other) = (member(1), member(2));
        let before = reads.start();
        reads.keep_status(before, one, AccountStatus::Good);
        reads.keep_status(before, other, AccountStatus::Good);
        let change = reads.change(one);
        assert_eq!(reads.status(one), None);
        reads.keep_status(reads.start(), one, AccountStatus::Good);
        assert_eq!(reads.status(one), None, "the write is under way");
        let during = reads.start();
        change.end(&Ok(()));
        reads.keep_status(before, one, AccountStatus::Good);
        reads.keep_status(during, one, AccountStatus::Good);
        assert_eq!(reads.status(one), None, "read before the write ended");
        reads.keep_status(reads.start(), one, AccountStatus::Blocked);
        assert_eq!(reads.status(one), Some(AccountStatus::Blocked));
        assert_eq!(reads.status(other), Some(AccountStatus::Good));
    }

    #[test]
    fn member_with_a_write_of_unknown_outcome_is_read_from_the_disk() {
        let ends: [fn(Change<'_>); 3] = [
            |change| drop(change),
            |change| change.end(&Err::<(), _>(StoreError::Unknown("no answer".to_owned()))),
            |change| change.end(&Err::<(), _>(StoreError::Corrupt("damaged".to_owned()))),
        ];
        for end in ends {
            let reads = MemberReads::new();
            end(reads.change(member(1)));
            reads.change(member(1)).end(&Ok(()));
            for number in 1..=2 {
                reads.keep_status(reads.start(), member(number), AccountStatus::Good);
            }
            assert_eq!(reads.status(member(1)), None);
            assert_eq!(reads.status(member(2)), Some(AccountStatus::Good));
        }
        let reads = MemberReads::new();
        let refused = StoreError::Unavailable("full".to_owned());
        reads.change(member(1)).end(&Err::<(), _>(refused));
        reads.keep_status(reads.start(), member(1), AccountStatus::Good);
        assert_eq!(reads.status(member(1)), Some(AccountStatus::Good));
    }

    #[test]
    fn too_many_unknown_outcomes_end_the_keeping() {
        let reads = MemberReads::new();
        reads.keep_status(reads.start(), member(7), AccountStatus::Good);
        for number in 1..=UNCERTAIN_MAX as u64 {
            drop(reads.change(member(100 + number)));
        }
        assert_eq!(reads.status(member(7)), None);
        reads.keep_status(reads.start(), member(7), AccountStatus::Good);
        assert_eq!(reads.status(member(7)), None);
        assert!(reads.lock().changing.is_empty());
    }

    #[test]
    fn list_is_kept_until_its_first_record_expires() {
        let reads = MemberReads::new();
        let read = |prefix, now| {
            reads
                .records(member(1), prefix, at(now))
                .map(|all| all.len())
        };
        let start = reads.start();
        reads.keep_records(start, member(1), "session:", &list("{}", Some(at(50))));
        reads.keep_records(start, member(1), "separated:", &RecordList::default());
        assert_eq!(read("session:", 49), Some(1));
        assert_eq!(read("session:", 50), None);
        assert_eq!(read("separated:", 50), Some(0));
        assert_eq!(read("separated", 50), None, "another prefix");
        reads.change(member(1)).end(&Ok(()));
        assert_eq!(read("separated:", 0), None);
    }

    #[test]
    fn lists_are_few_and_short() {
        let reads = MemberReads::new();
        let long: &'static str = "x".repeat(LIST_BYTES_MAX).leak();
        reads.keep_records(reads.start(), member(1), "long:", &list(long, None));
        for prefix in ["a", "b", "c", "a", "d"] {
            reads.keep_records(reads.start(), member(1), prefix, &RecordList::default());
        }
        let known = |prefix| reads.records(member(1), prefix, at(0)).is_some();
        let known = ["long:", "a", "b", "c", "d"].map(known);
        assert_eq!(known, [false, true, false, true, true]);
    }
}
