//! The audit log: who did what as an administrator or operator, in the transaction that did it. Owns the table
//! `audit`, whose rows are never changed.
//!
//! What this module does not do: display the log (`admin`).

use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::web::{PageSize, Rows};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Db, DbError, Tx};

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

/// A row that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its id; later rows have higher ones.
    pub id: u64,
    /// Who gave the command.
    pub actor: Actor,
    /// What was done.
    pub action: String,
    /// What it was done to.
    pub target: String,
    /// The id of the request, if it came by one.
    pub request: Option<String>,
    /// When it was done.
    pub created_at: LocalDateTime,
}

/// A page of the audit log, newest first.
///
/// # Errors
/// The database's.
pub async fn page(db: &Db, size: PageSize, before: Option<u64>) -> Result<Rows<Recorded>, DbError> {
    let before = before.and_then(|id| i64::try_from(id).ok());
    let rows = query(
        "select id, actor_id, action, target, request_id, created_at from audit where id < $1 \
         order by id desc limit $2",
    )
    .bind(before.unwrap_or(i64::MAX))
    .bind(i64::from(size.get()) + 1)
    .fetch_all(&mut *db.read().await?)
    .await?;
    let rows: Result<Vec<_>, sqlx::Error> = rows.iter().map(recorded).collect();
    Ok(Rows::cut(rows?, size))
}

fn recorded(row: &AnyRow) -> Result<Recorded, sqlx::Error> {
    let actor: i64 = row.try_get("actor_id")?;
    Ok(Recorded {
        id: column(row, "id")?,
        actor: match actor {
            0 => Actor::System,
            _ => Actor::Member(column(row, "actor_id")?),
        },
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        request: row.try_get("request_id")?,
        created_at: column(row, "created_at")?,
    })
}
