//! Session cache: the sessions that were read since the last COMMIT, so that many requests at once read theirs once.
//!
//! Only where this process makes all COMMITs ([`Db::commits`]). There a hit is what the database would answer: a logout,
//! a block or another role is a COMMIT, which makes every session be read again. On PostgreSQL other processes write,
//! too, so each request reads its session.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::claims::{FamilyId, MemberClaims};
use shared::ids::MemberId;

use super::session::Session;
use super::{Auth, AuthError, Identity, Origin, repo};
use crate::db::{Db, DbError};

/// Bound of the sessions; more are read each time.
const SESSIONS_MAX: usize = 10_000;

/// Lifetime of the cache: another program may have the file open, such as SQLite's shell of an operator.
const KEPT: Duration = Duration::from_secs(1);

/// Sessions by their family.
#[derive(Debug, Default)]
pub(super) struct SessionCache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// The number of COMMITs before the sessions were read, and when the first one was.
    since: Option<(u64, Instant)>,
    sessions: HashMap<FamilyId, (MemberId, Arc<Session>)>,
}

impl Auth {
    /// The caller of an access token, as the database has them.
    pub(super) async fn look_up(
        &self,
        claims: MemberClaims,
        origin: Origin,
    ) -> Result<Identity, AuthError> {
        let session = if self.developer_family.as_ref() == Some(&claims.family) {
            let session = repo::without_session(&self.db, &claims).await?;
            session.map(Arc::new)
        } else {
            let (now, sessions) = (self.clock.now(), &self.sessions);
            let found = sessions.session(&self.db, now, claims.member, &claims.family);
            found.await?
        };
        self.admit(claims, session.as_deref(), origin)
    }
}

impl SessionCache {
    /// The session of this member, as the database has it.
    async fn session(
        &self,
        db: &Db,
        now: Instant,
        member: MemberId,
        family: &FamilyId,
    ) -> Result<Option<Arc<Session>>, DbError> {
        // Before the read: a COMMIT during it may be missing in what it returns.
        let commits = db.commits();
        if let Some(commits) = commits {
            let mut kept = self.lock();
            kept.forget_old(commits, now);
            if let Some((owner, session)) = kept.sessions.get(family)
                && *owner == member
            {
                return Ok(Some(Arc::clone(session)));
            }
        }
        let found = repo::session(db, member, family).await?.map(Arc::new);
        if let Some((commits, session)) = commits.zip(found.as_ref()) {
            let mut kept = self.lock();
            let is_same = kept.since.is_some_and(|(since, _)| since == commits);
            if is_same && kept.sessions.len() < SESSIONS_MAX {
                let entry = (member, Arc::clone(session));
                kept.sessions.insert(family.clone(), entry);
            }
        }
        Ok(found)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Each change under the lock is whole in itself: a panic elsewhere leaves no partial state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget_old(&mut self, commits: u64, now: Instant) {
        let is_fresh = self.since.is_some_and(|(since, begun)| {
            since == commits && now.saturating_duration_since(begun) < KEPT
        });
        if !is_fresh {
            self.since = Some((commits, now));
            drop(mem::take(&mut self.sessions));
        }
    }
}
