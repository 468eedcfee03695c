//! The audit log: who did what as an administrator or operator, in the transaction that did it. Owns the table
//! `audit`, whose rows are never changed.
//!
//! What this module does not do: display the log (`admin`).

use shared::ids::MemberId;
use sqlx::query;

use crate::db::Tx;

/// Who gave a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// An administrator.
    Member(MemberId),
    /// An operator at the command line, where there are no members, or the server by its own rules. Stored as 0.
    System,
}

/// A row of the audit log.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Who gave the command.
    pub actor: Actor,
    /// What was done, such as `member.block`.
    pub action: &'a str,
    /// What it was done to, such as `member:7`.
    pub target: &'a str,
    /// The id of the request, if it came by one.
    pub request: Option<&'a str>,
}

/// Appends to the audit log.
///
/// # Errors
/// The database's.
pub async fn append_in(tx: &mut Tx<'_>, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    let actor = match entry.actor {
        Actor::Member(member) => member.into(),
        Actor::System => 0_i64,
    };
    query(
        "insert into audit (actor_id, action, target, request_id, created_at) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(actor)
    .bind(entry.action)
    .bind(entry.target)
    .bind(entry.request)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}
