//! Account status of members: whether one may use the site, read through a cache.
//!
//! A blocked member may go on for [`CACHE_AGE_MAX`] at most, as a cached status expires then; a
//! login reads the store itself. `connection` checks the members of open connections within the
//! same time.
//!
//! It does not decide to block a member: the market and operators do.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use shared::clock::{Clock, UnixMillis};
use shared::ids::MemberId;

use crate::bus::{Bus, Control};
use crate::metrics::{ControlKind, Metrics};
use crate::store::{AccountStatus, MemberStore, StoreError};

/// How old a cached status may be. A bound on how long a blocked member may go on.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// Some 100 bytes each: 20 MiB, more members than a node has connections.
const CACHED_MAX: u64 = 200_000;

/// Why a member may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// The account is blocked.
    #[error("member {0} is blocked")]
    Blocked(MemberId),
    /// The store does not answer now. A retry later may succeed.
    #[error("members cannot be read now")]
    Unavailable,
}

/// Dependencies of [`Members`].
pub struct MembersParts {
    /// Account status of all members.
    pub store: Arc<dyn MemberStore>,
    /// Publishes changes to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Ages, and the times of changes.
    pub clock: Arc<dyn Clock>,
    /// Counters of failed store requests and control messages.
    pub metrics: Arc<Metrics>,
}

/// The members of the site, with a cache of this node.
pub struct Members {
    parts: MembersParts,
    cache: Cache<MemberId, Known>,
}

/// A status with the time it was read at.
#[derive(Clone, Copy)]
struct Known {
    status: AccountStatus,
    read_at: Instant,
}

impl Members {
    /// An empty cache.
    #[must_use]
    pub fn new(parts: MembersParts) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_AGE_MAX)
            .max_capacity(CACHED_MAX)
            .build();
        Self { parts, cache }
    }

    /// Whether the member may use the site, by a status not older than [`CACHE_AGE_MAX`].
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn check(&self, member: MemberId) -> Result<(), MemberError> {
        let known = self.known(member).await?;
        let age = self.now().saturating_duration_since(known.read_at);
        let status = if age < CACHE_AGE_MAX {
            known.status
        } else {
            self.refresh(member).await?
        };
        may_go_on(member, status)
    }

    /// Whether the member may use the site, read from the store now.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn check_now(&self, member: MemberId) -> Result<(), MemberError> {
        may_go_on(member, self.refresh(member).await?)
    }

    /// The member may, or may not, use the site from `at` on. Publishes that to all nodes.
    /// Returns the status that counts now: of two changes the later one, whatever their order here.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn set(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<AccountStatus, MemberError> {
        let set = self
            .parts
            .store
            .set_account_status(member, status, at)
            .await;
        set.map_err(|error| self.unavailable("set_account_status", &error))?;
        let control = Control::AccountStatusChanged { member_id: member };
        self.parts
            .metrics
            .control_sent
            .count(ControlKind::AccountStatusChanged);
        self.parts.bus.publish_control(control);
        self.refresh(member).await
    }

    /// The same, from now on.
    ///
    /// # Errors
    /// See [`Members::set`].
    pub async fn set_now(
        &self,
        member: MemberId,
        status: AccountStatus,
    ) -> Result<AccountStatus, MemberError> {
        let now = self.parts.clock.unix_millis();
        self.set(member, status, now).await
    }

    /// Invalidates the cached status of a member: it has changed.
    pub async fn forget(&self, member: MemberId) {
        self.cache.invalidate(&member).await;
    }

    /// Invalidates the cache: changes may have been missed.
    pub fn forget_all(&self) {
        self.cache.invalidate_all();
    }

    /// From the cache or the store; concurrent callers share one request.
    async fn known(&self, member: MemberId) -> Result<Known, MemberError> {
        let known = self.cache.try_get_with(member, self.read(member)).await;
        known.map_err(|error| *error)
    }

    /// From the store, whatever is cached.
    async fn refresh(&self, member: MemberId) -> Result<AccountStatus, MemberError> {
        let known = self.read(member).await?;
        self.cache.insert(member, known).await;
        Ok(known.status)
    }

    async fn read(&self, member: MemberId) -> Result<Known, MemberError> {
        // Before the request: a copy is as old as the request.
        let read_at = self.now();
        match self.parts.store.status(member).await {
            Ok(status) => Ok(Known { status, read_at }),
            Err(error) => Err(self.unavailable("status", &error)),
        }
    }

    fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// The caller may retry; the reason is logged here.
    fn unavailable(&self, operation: &'static str, error: &StoreError) -> MemberError {
        let errors = &self.parts.metrics.store_errors;
        errors.with_label_values(&[operation]).inc();
        match error {
            StoreError::Corrupt(_) => tracing::error!(operation, "{operation}: {error}"),
            StoreError::Unavailable(_) | StoreError::Unknown(_) => {
                tracing::warn!(operation, "{operation}: {error}");
            }
        }
        MemberError::Unavailable
    }
}

fn may_go_on(member: MemberId, status: AccountStatus) -> Result<(), MemberError> {
    match status {
        AccountStatus::Good => Ok(()),
        AccountStatus::Blocked => Err(MemberError::Blocked(member)),
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members")
            .field("cached", &self.cache.entry_count())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for MembersParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MembersParts").finish_non_exhaustive()
    }
}
