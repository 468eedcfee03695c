//! Operators' orders in the database.

use shared::ids::MemberId;
use sqlx::query;

use super::{AccountStatus, AdminCommand};
use crate::db::Tx;

/// Notes who ordered what: rows that are never changed.
pub(super) async fn note(
    tx: &mut Tx<'_>,
    command: &AdminCommand,
    action: &str,
) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query(
        "insert into audit (actor_id, action, target, request_id, created_at) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(i64::from(command.by.get()))
    .bind(action)
    .bind(format!("member:{}", command.member))
    .bind(command.request.as_deref())
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether that was a change.
pub(super) async fn set_status(
    tx: &mut Tx<'_>,
    member: MemberId,
    standing: AccountStatus,
) -> Result<bool, sqlx::Error> {
    let now = tx.now().get();
    let done =
        query("update member set blocked = $2, updated_at = $3 where id = $1 and blocked <> $2")
            .bind(i64::from(member.get()))
            .bind(i64::from(standing == AccountStatus::Blocked))
            .bind(now)
            .execute(tx.connection())
            .await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn is_member(tx: &mut Tx<'_>, member: MemberId) -> Result<bool, sqlx::Error> {
    let row = query("select 1 from member where id = $1")
        .bind(i64::from(member.get()))
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.is_some())
}
