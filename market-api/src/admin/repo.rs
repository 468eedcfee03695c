//! The SQL of the audit log.

use sqlx::query;

use crate::db::Tx;

/// A row of the audit log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// The administrator's member id; 0: an operator at the command line, where there are no members.
    pub(super) actor: i64,
    pub(super) action: &'a str,
    pub(super) target: &'a str,
    pub(super) request: Option<&'a str>,
}

/// Appends to the audit log, whose rows are never changed.
pub(super) async fn note(tx: &mut Tx<'_>, entry: Entry<'_>) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query(
        "insert into audit (actor_id, action, target, request_id, created_at) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(entry.actor)
    .bind(entry.action)
    .bind(entry.target)
    .bind(entry.request)
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}
