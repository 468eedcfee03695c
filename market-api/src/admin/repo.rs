//! The SQL of the audit log.

use sqlx::query;

use super::AdminCommand;
use crate::db::Tx;

/// Appends a command to the audit log, whose rows are never changed.
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
    .bind(i64::from(command.by))
    .bind(action)
    .bind(format!("member:{}", command.member))
    .bind(command.request.as_deref())
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}
