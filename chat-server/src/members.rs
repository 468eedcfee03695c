//! Members: whether one may use the site, which of their sessions have ended, and their profiles;
//! read through caches.
//!
//! A blocked member, or one whose session has ended, may go on for [`CACHE_AGE_MAX`] at most, as a
//! cached value expires then; a login reads the store itself. `connection` checks the members of
//! open connections within the same time.
//!
//! | file | contents |
//! |---|---|
//! | `standing` | account status and ended sessions |
//! | `profile` | profiles |
//! | `separation` | members of whom one has blocked the other |
//!
//! It does not decide to block a member or to end a session: the market and operators do.

mod profile;
mod separation;
mod standing;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::claims::FamilyId;
use shared::clock::{Clock, UnixMillis};
use shared::ids::MemberId;

use crate::aged_cache::{AgedCache, Dated};
use crate::auth::Identity;
use crate::bus::{Bus, Control};
use crate::metrics::{ControlKind, Metrics};
use crate::store::{AccountStatus, MemberStore, NewRecord, RecordStore, StoreError};
pub use profile::Profile;
use profile::{CLOSED_KEY, PROFILE_KEY};
pub use separation::Separation;
use separation::Separations;
pub use standing::StatusChange;
use standing::{
    CLOSED_SESSIONS_KEY, ENDED_FOR, SESSION_PREFIX, SessionState, Standing, session_key,
};

/// How old a cached value may be. A bound on how long a blocked member may go on.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// Some 100 bytes each: 20 MiB, more members than a node has connections.
const CACHED_MAX: u64 = 200_000;

/// Why a member may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The account is blocked.
    #[error("member {0} is blocked")]
    Blocked(MemberId),
    /// The session has ended: a logout, or its refresh token was stolen. Others may go on.
    #[error("the session of member {0} has ended")]
    SessionEnded(MemberId),
    /// The store does not answer now. A retry later may succeed.
    #[error("members cannot be read now")]
    Unavailable,
}

/// What may not go on from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The member was blocked.
    Member(MemberId),
    /// The member's session of this token family has ended.
    Session(MemberId, FamilyId),
}

/// Dependencies of [`Members`].
pub struct MembersParts {
    /// Account status of all members.
    pub store: Arc<dyn MemberStore>,
    /// Their profiles and ended sessions.
    pub records: Arc<dyn RecordStore>,
    /// Publishes changes to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Ages, and the times of changes.
    pub clock: Arc<dyn Clock>,
    /// Counters of failed store requests and control messages.
    pub metrics: Arc<Metrics>,
    /// Closes this node's connections of what has ended; returns how many there were.
    pub close: Box<dyn Fn(Ended) -> usize + Send + Sync>,
}

/// The members of the site, with caches of this node.
pub struct Members {
    parts: MembersParts,
    standings: AgedCache<Arc<Standing>>,
    profiles: AgedCache<Option<Arc<Profile>>>,
    separations: AgedCache<Option<Arc<Separations>>>,
}

impl Members {
    /// Empty caches.
    #[must_use]
    pub fn new(parts: MembersParts) -> Self {
        Self {
            standings: AgedCache::new(CACHE_AGE_MAX, CACHED_MAX, Arc::clone(&parts.clock)),
            profiles: AgedCache::new(CACHE_AGE_MAX, CACHED_MAX, Arc::clone(&parts.clock)),
            separations: AgedCache::new(CACHE_AGE_MAX, CACHED_MAX, Arc::clone(&parts.clock)),
            parts,
        }
    }

    // ---- who may go on ------------------------------------------------------------------------

    /// Whether the member may use the site with this login, by what was read within the last
    /// [`CACHE_AGE_MAX`].
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn check(&self, identity: &Identity) -> Result<(), MemberError> {
        self.check_dated(identity).await.map(|dated| dated.value)
    }

    /// Like [`Members::check`], and until when that may be kept while the
    /// [`generation`](Self::generation) is the one from before the call.
    pub(crate) async fn check_dated(&self, identity: &Identity) -> Result<Dated<()>, MemberError> {
        let member = identity.member;
        let read = || self.read_standing(member);
        let Dated { value, ends_at } = self.standings.get_dated(member, read).await?;
        self.admit(&value, member, &identity.family).await?;
        // What a record of its own has decided is read each time.
        let is_listed = value.session(&identity.family) != SessionState::Unlisted;
        Ok(Dated {
            value: (),
            ends_at: ends_at.filter(|_| is_listed),
        })
    }

    /// Differs from an earlier one if account statuses, ended sessions or separations may have changed
    /// in between. (The sum of counts that only rise is equal only if all are.)
    #[must_use]
    pub fn generation(&self) -> u64 {
        let separations = self.separations.generation();
        self.standings.generation().wrapping_add(separations)
    }

    /// The first of these logins whose session has not ended, checked like [`Members::check`].
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn pick(&self, candidates: Vec<Identity>) -> Result<Identity, MemberError> {
        let mut refused = MemberError::Unavailable; // never: there is a candidate
        for identity in candidates {
            match self.check(&identity).await {
                Ok(()) => return Ok(identity),
                Err(error @ MemberError::SessionEnded(_)) => refused = error,
                Err(error @ (MemberError::Blocked(_) | MemberError::Unavailable)) => {
                    return Err(error);
                }
            }
        }
        Err(refused)
    }

    /// Whether the member may use the site with this login, read from the store now.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn check_now(&self, identity: &Identity) -> Result<(), MemberError> {
        let standing = self.refresh(identity.member).await?;
        self.admit(&standing, identity.member, &identity.family)
            .await
    }

    /// Whether the account is blocked, by what was read within the last [`CACHE_AGE_MAX`].
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn is_blocked(&self, member: MemberId) -> Result<bool, MemberError> {
        let read = || self.read_standing(member);
        let standing = self.standings.get(member, read).await?;
        Ok(standing.status == AccountStatus::Blocked)
    }

    /// What of these sessions of a member must not go on, read from the store now.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn ended(
        &self,
        member: MemberId,
        sessions: Vec<FamilyId>,
    ) -> Result<Vec<Ended>, MemberError> {
        let standing = self.refresh(member).await?;
        let mut ended = Vec::new();
        for session in sessions {
            match self.admit(&standing, member, &session).await {
                Ok(()) => {}
                Err(MemberError::Blocked(_)) => return Ok(vec![Ended::Member(member)]),
                Err(MemberError::SessionEnded(_)) => ended.push(Ended::Session(member, session)),
                Err(error @ MemberError::Unavailable) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// The member may, or may not, use the site from `at` on. Publishes that to all nodes and closes
    /// a blocked member's connections here.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn set(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<StatusChange, MemberError> {
        let set = self
            .parts
            .store
            .set_account_status(member, status, at)
            .await;
        set.map_err(|error| self.unavailable("set_account_status", &error))?;
        self.standings.forget(member).await;
        let control = Control::AccountStatusChanged { member_id: member };
        self.publish(ControlKind::AccountStatusChanged, control);
        let status = self.refresh(member).await?.status;
        let closed = match status {
            AccountStatus::Good => 0,
            AccountStatus::Blocked => (self.parts.close)(Ended::Member(member)),
        };
        Ok(StatusChange { status, closed })
    }

    /// The same, from now on.
    ///
    /// # Errors
    /// See [`Members::set`].
    pub async fn set_now(
        &self,
        member: MemberId,
        status: AccountStatus,
    ) -> Result<StatusChange, MemberError> {
        let now = self.parts.clock.unix_millis();
        self.set(member, status, now).await
    }

    /// Ends a session of the member for good: stores that as long as its tokens could be valid,
    /// publishes it to all nodes and closes the session's connections here. Idempotent.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn revoke_session(
        &self,
        member: MemberId,
        sid: FamilyId,
        at: UnixMillis,
    ) -> Result<(), MemberError> {
        let record = NewRecord {
            key: session_key(&sid).into(),
            value: "{}".into(),
            stamp: stamp(at),
            rank: 0,
            time_to_live: Some(ENDED_FOR),
        };
        let put = self.parts.records.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))?;
        self.standings.forget(member).await;
        let control = Control::SessionRevoked { member_id: member };
        self.publish(ControlKind::SessionRevoked, control);
        (self.parts.close)(Ended::Session(member, sid));
        Ok(())
    }

    /// The member closed the account: removes the profile, closes the connections here, and publishes
    /// that to all nodes. Idempotent.
    ///
    /// Two records without an end say so, and no later event changes them, whatever its time: the
    /// clocks of the market's processes differ, so an older change may have a later time.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn close(&self, member: MemberId, at: UnixMillis) -> Result<(), MemberError> {
        let marks = [
            (CLOSED_SESSIONS_KEY, "{}"),
            (CLOSED_KEY, "{}"),
            // What is left of the name and the picture.
            (PROFILE_KEY, ""),
        ];
        for (key, value) in marks {
            let record = NewRecord {
                key: key.into(),
                value: Bytes::from_static(value.as_bytes()),
                stamp: stamp(at),
                rank: 0,
                time_to_live: None,
            };
            let put = self.parts.records.put_record(member, record).await;
            put.map_err(|error| self.unavailable("put_record", &error))?;
        }
        self.profiles.forget(member).await;
        let control = Control::ProfileChanged { member_id: member };
        self.publish(ControlKind::ProfileChanged, control);
        self.set(member, AccountStatus::Blocked, at).await.map(drop)
    }

    // ---- caches -------------------------------------------------------------------------------

    /// Invalidates the member's cached status and ended sessions: they have changed.
    pub async fn forget_standing(&self, member: MemberId) {
        self.standings.forget(member).await;
    }

    /// Invalidates the member's cached profile: it has changed.
    pub async fn forget_profile(&self, member: MemberId) {
        self.profiles.forget(member).await;
    }

    /// Invalidates the caches: changes may have been missed.
    pub fn forget_all(&self) {
        self.standings.forget_all();
        self.profiles.forget_all();
        self.separations.forget_all();
    }

    async fn admit(
        &self,
        standing: &Standing,
        member: MemberId,
        session: &FamilyId,
    ) -> Result<(), MemberError> {
        standing.account()?;
        let is_ended = match standing.session(session) {
            SessionState::Open => false,
            SessionState::Ended => true,
            SessionState::Unlisted => self.record(member, &session_key(session)).await?,
        };
        if is_ended {
            return Err(MemberError::SessionEnded(member));
        }
        Ok(())
    }

    /// From the store, whatever is cached.
    async fn refresh(&self, member: MemberId) -> Result<Arc<Standing>, MemberError> {
        let read = self.read_standing(member);
        let standing = self.standings.refresh(member, read).await?;
        if standing.refuses_any() {
            self.standings.note_change();
        }
        Ok(standing)
    }

    async fn read_standing(&self, member: MemberId) -> Result<Arc<Standing>, MemberError> {
        let MembersParts { store, records, .. } = &self.parts;
        let (status, ended) = tokio::join!(
            store.status(member),
            records.records(member, SESSION_PREFIX)
        );
        let status = status.map_err(|error| self.unavailable("status", &error))?;
        let ended = ended.map_err(|error| self.unavailable("records", &error))?;
        Ok(Arc::new(Standing::new(member, status, ended)))
    }

    /// Whether there is such a record.
    async fn record(&self, member: MemberId, key: &str) -> Result<bool, MemberError> {
        let record = self.parts.records.record(member, key).await;
        let record = record.map_err(|error| self.unavailable("record", &error))?;
        Ok(record.is_some())
    }

    fn publish(&self, kind: ControlKind, control: Control) {
        self.parts.metrics.control_sent.count(kind);
        self.parts.bus.publish_control(control);
    }

    /// The caller may retry; the reason is logged here.
    fn unavailable(&self, operation: &'static str, error: &StoreError) -> MemberError {
        error.note(operation, &self.parts.metrics);
        MemberError::Unavailable
    }
}

/// The stamp of a record that a change of this time writes.
fn stamp(at: UnixMillis) -> u64 {
    u64::try_from(at.get()).unwrap_or(0)
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("standings", &self.standings.count())
            .field("profiles", &self.profiles.count())
            .field("separations", &self.separations.count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MembersParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MembersParts").finish_non_exhaustive()
    }
}
