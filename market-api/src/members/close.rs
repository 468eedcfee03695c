//! The end of an account: the personal fields go, the row stays, since the books and others' histories refer to it.
//!
//! What this module does not do: decide whether an account may be closed (`account`).

use shared::claims::Role;
use shared::ids::MemberId;
use shared::text::CLOSED_NAME;
use sqlx::query;

use crate::db::row::{column, named};
use crate::db::{Dialect, Lock, LockMode, Tx};

/// An open account whose row is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// No other administrator could act after it.
    pub is_last_admin: bool,
}

/// Locks a member's row for [`close_in`]; `None` if the account is closed or does not exist. An administrator's
/// account is locked together with those of the others, so that of the last two only one closes.
///
/// # Errors
/// The database's.
pub async fn lock_to_close_in(
    tx: &mut Tx<'_>,
    member: MemberId,
) -> Result<Option<Closing>, sqlx::Error> {
    // The role of an administrator does not end, except with the account.
    let admins = admins_in(tx).await?;
    let is_admin = admins.contains(&member);
    let mut wanted = if is_admin { admins } else { Vec::new() };
    wanted.push(member);
    wanted.sort_unstable();
    wanted.dedup();
    for one in wanted {
        lock_key_in(tx, one).await?;
    }
    let row = query("select role from member where id = $1 and closed_at is null")
        .bind(i64::from(member))
        .fetch_optional(tx.connection())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let role: Role = named(&row, "role")?;
    let is_last_admin = role == Role::Admin && admins_in(tx).await? == [member];
    Ok(Some(Closing { is_last_admin }))
}

/// The administrators who can act, and the one who closes, in ascending order.
async fn admins_in(tx: &mut Tx<'_>) -> Result<Vec<MemberId>, sqlx::Error> {
    let rows = query(
        "select id from member where role = 'ROLE_ADMIN' and blocked = 0 order by id limit 100",
    )
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(|row| column(row, "id")).collect()
}

/// A lock that also waits for transactions that have inserted rows which refer to the member: closing changes the
/// key of the row. Taken at once, because two that raise a weaker lock deadlock.
async fn lock_key_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    tx.note_locks([Lock::Member(member)], LockMode::Exclusive);
    let text = match tx.dialect() {
        Dialect::Postgres => "select id from member where id = $1 for update",
        Dialect::Sqlite => "select id from member where id = $1",
    };
    let row = query(text).bind(i64::from(member));
    row.fetch_optional(tx.connection()).await?;
    Ok(())
}

/// Removes the personal fields of a member whose row is locked, and closes the account for ever. The new provider id
/// is random: the old one cannot be derived from it, and the same person gets a new account.
///
/// # Errors
/// The database's.
pub async fn close_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    // No provider has ids with a colon.
    let nobody = format!("closed:{:032x}", rand::random::<u128>());
    query(
        "update member set provider_id = $2, name = $3, email = null, image_url = null, \
         role = 'ROLE_MEMBER', language = 'ko', blocked = 1, closed_at = $4, updated_at = $4 \
         where id = $1",
    )
    .bind(i64::from(member))
    .bind(nobody)
    .bind(CLOSED_NAME)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// True if the account exists and is not closed. Valid until the transaction ends if the caller has locked the
/// member's row or wallet in an earlier statement.
///
/// # Errors
/// The database's.
pub async fn is_open_in(tx: &mut Tx<'_>, member: MemberId) -> Result<bool, sqlx::Error> {
    let row = query("select 1 from member where id = $1 and closed_at is null")
        .bind(i64::from(member))
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.is_some())
}
