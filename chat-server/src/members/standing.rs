//! Standing of a member: whether the account is blocked, and which of its sessions have ended.

use std::collections::HashSet;

use shared::claims::{FamilyId, REFRESH_LIFETIME};
use shared::ids::MemberId;
use std::time::Duration;

use super::MemberError;
use crate::store::{AccountStatus, RECORDS_MAX, Record};

/// What the keys of ended sessions begin with; the token family follows.
pub(super) const SESSION_PREFIX: &str = "session:";

/// The key of the record that a closed account has: all its sessions have ended, for good. No token
/// family has this name, and it is the first of the member's keys with the prefix.
pub(super) const CLOSED_SESSIONS_KEY: &str = "session:*";

/// How long an ended session is stored: as long as its refresh token, and a day for clocks that
/// differ and for tokens signed while the end was on its way.
pub(super) const ENDED_FOR: Duration = REFRESH_LIFETIME.saturating_add(Duration::from_secs(86_400));

/// See the module.
#[derive(Debug)]
pub(super) struct Standing {
    member: MemberId,
    pub(super) status: AccountStatus,
    ended: HashSet<Box<str>>,
    /// Whether `ended` has all of them.
    is_complete: bool,
}

/// Whether a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SessionState {
    Open,
    Ended,
    /// The list is too long to tell; its own record does.
    Unlisted,
}

/// The outcome of a change of a member's account status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The status that counts now: of two changes the later one, whatever their order here.
    pub status: AccountStatus,
    /// How many connections were closed on this node.
    pub closed: usize,
}

/// The key of an ended session's record.
pub(super) fn session_key(sid: &FamilyId) -> String {
    format!("{SESSION_PREFIX}{sid}")
}

impl Standing {
    pub(super) fn new(member: MemberId, status: AccountStatus, ended: Vec<Record>) -> Self {
        let is_complete = ended.len() < RECORDS_MAX;
        let mut keys = ended.iter().map(|record| &*record.key);
        let status = if keys.any(|key| key == CLOSED_SESSIONS_KEY) {
            AccountStatus::Blocked
        } else {
            status
        };
        let sids = ended.iter().filter_map(|record| {
            let sid = record.key.strip_prefix(SESSION_PREFIX)?;
            Some(Box::from(sid))
        });
        Self {
            member,
            status,
            ended: sids.collect(),
            is_complete,
        }
    }

    /// Whether the account is neither blocked nor closed.
    pub(super) fn account(&self) -> Result<(), MemberError> {
        match self.status {
            AccountStatus::Good => Ok(()),
            AccountStatus::Blocked => Err(MemberError::Blocked(self.member)),
        }
    }

    /// Whether it refuses any session of the member.
    pub(super) fn refuses_any(&self) -> bool {
        self.account().is_err() || !self.ended.is_empty() || !self.is_complete
    }

    pub(super) fn session(&self, sid: &FamilyId) -> SessionState {
        if self.ended.contains(sid.as_str()) {
            SessionState::Ended
        } else if self.is_complete {
            SessionState::Open
        } else {
            SessionState::Unlisted
        }
    }
}
