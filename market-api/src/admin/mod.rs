//! What operators do.

mod http;
mod repo;

use serde_json::json;
use shared::ids::MemberId;

use crate::db::{Abort, Db, Tx};
use crate::http::ApiError;
use crate::members::{self, AccountStatus};
use crate::outbox::{self, Event, EventKind};
use shared::web::CommonError;

pub use http::routes;

/// An operator's order.
#[derive(Clone, Debug)]
pub struct AdminCommand {
    /// Who gives it.
    pub by: MemberId,
    /// About whom.
    pub member: MemberId,
    /// What is to hold.
    pub status: AccountStatus,
    /// The request, for the record.
    pub request: Option<String>,
}

/// Operators' orders.
#[derive(Clone, Debug)]
pub struct Admins {
    db: Db,
}

impl Admins {
    /// Orders about the members of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Carries out an order, and notes who gave it. Given twice it changes nothing more.
    ///
    /// # Errors
    /// [`ApiError::MemberUnknown`], forbidden for oneself, or the database's.
    pub async fn carry_out(&self, command: AdminCommand) -> Result<(), ApiError> {
        if command.by == command.member {
            // Whoever locks themselves out could not let themselves in again.
            return Err(CommonError::Forbidden.into());
        }
        let done = self
            .db
            .write(command, |command, tx| Box::pin(carry_out_in(command, tx)));
        Ok(done.await?)
    }
}

async fn carry_out_in(command: &AdminCommand, tx: &mut Tx<'_>) -> Result<(), Abort<ApiError>> {
    let (kind, action) = match command.status {
        AccountStatus::Blocked => (EventKind::MemberBlocked, "member.block"),
        AccountStatus::Active => (EventKind::MemberUnblocked, "member.unblock"),
    };
    repo::note(tx, command, action).await?;
    if members::set_status_in(tx, command.member, command.status).await? {
        let event = Event {
            kind,
            aggregate: format!("member:{}", command.member),
            members: vec![command.member],
            data: json!({}),
        };
        outbox::append(tx, &event).await?;
    } else if !members::exists_in(tx, command.member).await? {
        return Err(Abort::Refused(ApiError::MemberUnknown));
    }
    Ok(())
}
