//! The list of a node's connections: their members, their counters, and their moves to other nodes.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use shared::claims::FamilyId;
use shared::ids::MemberId;
use stomp::Version;
use tokio::sync::Notify;

use super::drain_schedule::{DrainSchedule, Purpose, draw, places};
use super::error::{BLOCKED, SESSION_ENDED};
use crate::auth::{Identity, Origin};
use crate::members::Ended;
use crate::presence::Presence;
use crate::wake_queue::{CloseReason, ConnectionEvent, Owner, WakeQueue};

/// The connections of this node.
#[derive(Debug, Default)]
pub struct Connections {
    open: DashMap<u64, Arc<ConnectionEntry>>,
    members: DashMap<MemberId, Vec<Arc<ConnectionEntry>>>,
    count: AtomicUsize,
    made: AtomicU64,
    /// Those whose client has its last RECEIPT and has not closed yet.
    lingering: Arc<AtomicUsize>,
    /// Notified when the last one has ended.
    emptied: Notify,
    /// Set once the node drains.
    schedule: OnceLock<DrainSchedule>,
}

/// A connection in the list. Only the connection's task writes to it.
#[derive(Debug)]
pub(super) struct ConnectionEntry {
    id: u64,
    wake_queue: Arc<WakeQueue>,
    opened_at: Instant,
    login: OnceLock<(MemberId, Origin)>,
    /// Whether the login was accepted: what counts for the member's presence.
    is_present: AtomicBool,
    /// The token family of the login, or of the fresh token that came after it.
    session: Mutex<Option<FamilyId>>,
    /// 1, 2, 3 for STOMP 1.0, 1.1, 1.2; 0 before the login.
    version: AtomicU8,
    subscriptions: AtomicU32,
    waiting_bytes: AtomicUsize,
}

/// Change of the number of subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Begun,
    Ended,
}

/// Figures of a node's connections, counted one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionsSurvey {
    /// WebSockets that are open.
    pub connections: usize,
    /// Those of STOMP 1.0, 1.1 and 1.2; the others have not logged in.
    pub by_version: [usize; 3],
    /// Those that logged in with a bearer token.
    pub by_bearer: usize,
    /// Those that logged in with cookies.
    pub by_cookie: usize,
    /// Their subscriptions together.
    pub subscriptions: u64,
    /// Age of the oldest.
    pub oldest: Duration,
    /// All that have something to be written or pulled, most first.
    pub slowest: Vec<SlowConnection>,
}

/// A connection with something left to write or to pull.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowConnection {
    /// Its number on this node.
    pub connection: u64,
    /// Its member; `None` before the login.
    pub member: Option<MemberId>,
    /// Time since it was opened.
    pub age: Duration,
    /// Bytes that the socket has not taken.
    pub waiting_bytes: usize,
    /// Entries that its subscriptions have to pull.
    pub lag: u64,
}

impl Connections {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits until there is none, which may change again.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.count() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Closes a member's connections, each after its sends in flight; how many there were.
    pub fn close_member(&self, member: MemberId, reason: CloseReason) -> usize {
        let entries = self.of_member(member);
        for entry in &entries {
            entry.wake_queue.post(ConnectionEvent::Close(reason));
        }
        entries.len()
    }

    fn of_member(&self, member: MemberId) -> Vec<Arc<ConnectionEntry>> {
        let entries = self.members.get(&member);
        entries.map(|entries| entries.clone()).unwrap_or_default()
    }

    /// Closes the connections of what has ended, each after its sends in flight; how many there were.
    pub fn end(&self, ended: &Ended) -> usize {
        let (member, session) = match ended {
            Ended::Member(member) => return self.close_member(*member, BLOCKED),
            Ended::Session(member, session) => (member, session),
        };
        let entries = self.of_member(*member);
        let of_session = entries
            .iter()
            .filter(|entry| entry.session().as_ref() == Some(session));
        let close = |entry: &Arc<ConnectionEntry>| {
            let close = ConnectionEvent::Close(SESSION_ENDED);
            entry.wake_queue.post(close);
        };
        of_session.inspect(|entry| close(entry)).count()
    }

    /// The sessions that the member's connections belong to.
    #[must_use]
    pub fn sessions(&self, member: MemberId) -> Vec<FamilyId> {
        let entries = self.of_member(member);
        let mut sessions: Vec<FamilyId> = entries
            .iter()
            .filter_map(|entry| entry.session().clone())
            .collect();
        sessions.sort_unstable();
        sessions.dedup();
        sessions
    }

    /// Whether the member has a connection here.
    #[must_use]
    pub fn has_member(&self, member: MemberId) -> bool {
        self.members.contains_key(&member)
    }

    /// The members with connections here that `wanted` picks.
    #[must_use]
    pub fn members(&self, wanted: impl Fn(MemberId) -> bool) -> Vec<MemberId> {
        let all = self.members.iter().map(|entry| *entry.key());
        all.filter(|member| wanted(*member)).collect()
    }

    /// Figures of all connections; `lag_of` returns the entries that one's subscriptions have to
    /// pull. The list of the slowest has at most `limit`.
    #[must_use]
    pub fn survey(
        &self,
        now: Instant,
        limit: usize,
        lag_of: impl Fn(u64) -> u64,
    ) -> ConnectionsSurvey {
        let mut survey = ConnectionsSurvey::default();
        for entry in self.all() {
            let measured = entry.measure(now, lag_of(entry.id));
            survey.connections += 1;
            let version = usize::from(entry.version.load(Ordering::Relaxed));
            let of_version = version.checked_sub(1);
            if let Some(count) = of_version.and_then(|at| survey.by_version.get_mut(at)) {
                *count += 1;
                match entry.login.get() {
                    Some((_, Origin::Bearer)) => survey.by_bearer += 1,
                    Some((_, Origin::Cookie)) => survey.by_cookie += 1,
                    None => {}
                }
            }
            survey.subscriptions += u64::from(entry.subscriptions.load(Ordering::Relaxed));
            survey.oldest = survey.oldest.max(measured.age);
            if measured.waiting_bytes > 0 || measured.lag > 0 {
                survey.slowest.push(measured);
            }
        }
        let order = |one: &SlowConnection| {
            let most_first = std::cmp::Reverse((one.waiting_bytes, one.lag));
            (most_first, one.connection)
        };
        survey.slowest.sort_unstable_by_key(order);
        survey.slowest.truncate(limit);
        survey
    }

    /// Adds the connection to those of its member; `false` if that has `max` here already.
    ///
    /// The new one is refused, not the oldest closed: that one's client would reconnect and close the
    /// next oldest, all of them in turn for ever.
    pub(super) fn note_login(
        &self,
        entry: &Arc<ConnectionEntry>,
        identity: &Identity,
        max: usize,
    ) -> bool {
        let (member, connection) = (identity.member, entry.id);
        entry.note_session(identity.family.clone());
        let mut entries = self.members.entry(member).or_default();
        if entries.len() >= max {
            return false;
        }
        if entry.login.set((member, identity.origin)).is_ok() {
            entry.wake_queue.set_owner(Owner { connection, member });
            entries.push(Arc::clone(entry));
        }
        true
    }

    /// The login of a connection noted before was accepted: its member is present.
    pub(super) fn note_presence(&self, entry: &ConnectionEntry, presence: &dyn Presence) {
        let Some((member, _)) = entry.login.get() else {
            return;
        };
        // The lock on the member's entries keeps the calls for a member in order.
        let Some(entries) = self.members.get_mut(member) else {
            return;
        };
        let was_present = entries.iter().any(|entry| entry.is_present());
        entry.is_present.store(true, Ordering::Relaxed);
        if !was_present {
            presence.connected(*member);
        }
    }

    /// Makes room for one more connection, unless there are `max`.
    pub(super) fn reserve(&self, max: usize) -> bool {
        let one_more = |count: usize| (count < max).then_some(count + 1);
        let order = Ordering::Relaxed;
        self.count.fetch_update(order, order, one_more).is_ok()
    }

    /// Gives that room back.
    pub(super) fn release(&self) {
        if self.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.emptied.notify_waiters();
        }
    }

    /// The number of connections whose client has its last RECEIPT and has not closed yet.
    pub(super) fn lingering(&self) -> &Arc<AtomicUsize> {
        &self.lingering
    }

    /// Moves all connections to other nodes, those here and those on their way here, each at its
    /// time. Only the first call counts.
    pub(super) fn migrate_all(&self, seed: u64, schedule: DrainSchedule) {
        // First this, then the list: a connection that is not in the list yet finds it.
        if self.schedule.set(schedule).is_err() {
            return;
        }
        let ids = self.open.iter().map(|entry| *entry.key()).collect();
        for (id, place) in places(seed, ids) {
            if let Some(entry) = self.open.get(&id) {
                entry.migrate(schedule, place);
            }
        }
    }

    /// The same for a connection that has just been added. It may have been moved already.
    pub(super) fn migrate_late(&self, seed: u64, entry: &ConnectionEntry) {
        if let Some(schedule) = self.schedule.get() {
            entry.migrate(*schedule, draw(seed, Purpose::Place, entry.id));
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<ConnectionEntry>> {
        self.open.iter().map(|entry| Arc::clone(&entry)).collect()
    }

    pub(super) fn add(&self, now: Instant) -> Arc<ConnectionEntry> {
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(ConnectionEntry {
            id,
            wake_queue: Arc::default(),
            opened_at: now,
            login: OnceLock::new(),
            is_present: AtomicBool::new(false),
            session: Mutex::default(),
            version: AtomicU8::new(0),
            subscriptions: AtomicU32::new(0),
            waiting_bytes: AtomicUsize::new(0),
        });
        self.open.insert(id, Arc::clone(&entry));
        entry
    }

    pub(super) fn remove(&self, entry: &ConnectionEntry, presence: &dyn Presence) {
        self.open.remove(&entry.id);
        let Some((member, _)) = entry.login.get() else {
            return;
        };
        if let Entry::Occupied(mut entries) = self.members.entry(*member) {
            entries.get_mut().retain(|other| other.id != entry.id);
            let still_present = entries.get().iter().any(|entry| entry.is_present());
            if entry.is_present() && !still_present {
                presence.disconnected(*member);
            }
            if entries.get().is_empty() {
                entries.remove();
            }
        }
    }
}

impl ConnectionEntry {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn wake_queue(&self) -> &Arc<WakeQueue> {
        &self.wake_queue
    }

    fn is_present(&self) -> bool {
        self.is_present.load(Ordering::Relaxed)
    }

    /// The connection belongs to this session from now on.
    pub(super) fn note_session(&self, session: FamilyId) {
        *self.session() = Some(session);
    }

    fn session(&self) -> MutexGuard<'_, Option<FamilyId>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn migrate(&self, schedule: DrainSchedule, place: f64) {
        let at = schedule.at(place);
        self.wake_queue.post(ConnectionEvent::Migrate(at));
    }

    pub(super) fn note_version(&self, version: Option<Version>) {
        let number = match version {
            None => 0,
            Some(Version::V1_0) => 1,
            Some(Version::V1_1) => 2,
            Some(Version::V1_2) => 3,
        };
        self.version.store(number, Ordering::Relaxed);
    }

    pub(super) fn note_subscription(&self, change: Change) {
        match change {
            Change::Begun => self.subscriptions.fetch_add(1, Ordering::Relaxed),
            Change::Ended => self.subscriptions.fetch_sub(1, Ordering::Relaxed),
        };
    }

    pub(super) fn note_waiting(&self, bytes: usize) {
        self.waiting_bytes.store(bytes, Ordering::Relaxed);
    }

    fn measure(&self, now: Instant, lag: u64) -> SlowConnection {
        SlowConnection {
            connection: self.id,
            member: self.login.get().map(|(member, _)| *member),
            age: now.saturating_duration_since(self.opened_at),
            waiting_bytes: self.waiting_bytes.load(Ordering::Relaxed),
            lag,
        }
    }
}
