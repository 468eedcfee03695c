//! Commands of administrators about members (block, unblock), and of operators about payments. Each is recorded in
//! the audit log, which administrators can list. Decisions about reports are in `reports`.

mod http;
mod operator;

use shared::event::Event;
use shared::ids::MemberId;
use shared::web::{PageSize, Rows};

use crate::audit::{self, Actor, Entry, Recorded};
use crate::db::{Abort, Db, DbError, Tx, WriteError};
use crate::members::{self, AccountStatus, Members, StatusChange};
use crate::outbox::{self, NewEvent};

pub use http::routes;
pub use operator::{Due, acknowledge, recheck, recheck_open};

/// A command of an administrator.
#[derive(Clone, Debug)]
pub struct AdminCommand {
    /// The administrator who gives the command.
    pub by: MemberId,
    /// The member it applies to.
    pub member: MemberId,
    /// The account status to set.
    pub status: AccountStatus,
    /// The request id, for the audit log.
    pub request: Option<String>,
}

/// Why a command was not carried out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// Administrators cannot block themselves: they could not undo it.
    #[error("a command about oneself")]
    Oneself,
    /// No such member, or a closed account.
    #[error("no such member")]
    MemberUnknown,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Runs administrators' commands. Clones share one state.
#[derive(Clone, Debug)]
pub struct Admins {
    db: Db,
    members: Members,
}

impl Admins {
    /// Commands about these members, in their database.
    #[must_use]
    pub fn new(db: Db, members: Members) -> Self {
        Self { db, members }
    }

    /// A page of the audit log, newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn audit(
        &self,
        size: PageSize,
        before: Option<u64>,
    ) -> Result<Rows<Recorded>, DbError> {
        audit::page(&self.db, size, before).await
    }

    /// Applies a command and records it in the audit log. Idempotent: a repeated command changes nothing.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn carry_out(&self, command: AdminCommand) -> Result<(), AdminError> {
        if command.by == command.member {
            // A blocked administrator could not undo the block.
            return Err(AdminError::Oneself);
        }
        let db = self.db.clone();
        let done = self.members.change_status(async move {
            let work = db.write(command, |command, tx| Box::pin(carry_out_in(command, tx)));
            Ok((work.await?, ()))
        });
        done.await.map_err(WriteError::into_domain)
    }
}

async fn carry_out_in(
    command: &AdminCommand,
    tx: &mut Tx<'_>,
) -> Result<StatusChange, Abort<AdminError>> {
    let (event, action) = match command.status {
        AccountStatus::Blocked => (Event::MemberBlocked, "member.block"),
        AccountStatus::Active => (Event::MemberUnblocked, "member.unblock"),
    };
    let entry = Entry {
        actor: Actor::Member(command.by),
        action,
        target: &format!("member:{}", command.member),
        request: command.request.as_deref(),
    };
    audit::append_in(tx, entry).await?;
    if members::set_status_in(tx, command.member, command.status).await? {
        outbox::append(tx, &NewEvent::of_member(command.member, event)).await?;
        return Ok(StatusChange::Changed);
    }
    if !members::is_open_in(tx, command.member).await? {
        return Err(Abort::Refused(AdminError::MemberUnknown));
    }
    Ok(StatusChange::Unchanged)
}
