//! Whether a member may use the site, as this node knows it.
//!
//! Read through a cache, so somebody who was blocked may go on for as long as [`CACHE_AGE_MAX`];
//! a login is answered by the store itself. Connections that are open are looked at anew within
//! the same time, by whoever has their list.
//!
//! What this module does not do: decide who is blocked, which is the market's and the operators'.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use shared::clock::{Clock, UnixMillis};
use shared::ids::MemberId;

use crate::bus::{Bus, Control};
use crate::metrics::{ControlKind, Metrics};
use crate::store::{AccountStatus, MemberStore, StoreError};

/// How old a cached standing may be. A bound on how long somebody who was blocked may go on.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// Some 100 bytes each: 20 MiB, more members than a node has connections.
const CACHED_MAX: u64 = 200_000;

/// Why a member may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// They are blocked.
    #[error("member {0} is blocked")]
    Blocked(MemberId),
    /// The store does not answer now. Asking again later may work.
    #[error("members cannot be read now")]
    Unavailable,
}

/// What [`Members`] is made of.
pub struct MembersParts {
    /// Who is blocked.
    pub store: Arc<dyn MemberStore>,
    /// Tells the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Ages, and the times of changes.
    pub clock: Arc<dyn Clock>,
    /// Counts failed questions to the store.
    pub metrics: Arc<Metrics>,
}

/// The members of the site, as this node sees them.
pub struct Members {
    parts: MembersParts,
    cache: Cache<MemberId, Known>,
}

/// A standing as it was read, and when.
#[derive(Clone, Copy)]
struct Known {
    status: AccountStatus,
    read_at: Instant,
}

impl Members {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(parts: MembersParts) -> Self {
        let cache = Cache::builder()
            .time_to_live(CACHE_AGE_MAX)
            .max_capacity(CACHED_MAX)
            .build();
        Self { parts, cache }
    }

    /// Whether the member may go on, by what was read within [`CACHE_AGE_MAX`].
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

    /// Whether the member may go on, by what the store says now.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub async fn check_now(&self, member: MemberId) -> Result<(), MemberError> {
        may_go_on(member, self.refresh(member).await?)
    }

    /// The member may, or may not, use the site from `at` on. Tells all nodes. The answer is the
    /// standing that counts now: of two changes the later one does, whatever the order they came in.
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
            .orders_sent
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

    /// Forgets what is cached of a member: somebody says that it changed.
    pub async fn forget(&self, member: MemberId) {
        self.cache.invalidate(&member).await;
    }

    /// Forgets all that is cached: changes may have been missed.
    pub fn forget_all(&self) {
        self.cache.invalidate_all();
    }

    /// From the cache or the store; those who ask at once share one question.
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
        // Before the store is asked: a copy is as old as the question.
        let read_at = self.now();
        match self.parts.store.status(member).await {
            Ok(status) => Ok(Known { status, read_at }),
            Err(error) => Err(self.unavailable("status", &error)),
        }
    }

    fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// The caller is told to come again; why is for us.
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
