//! Removal of personal data from events that are not relayed yet, or never will be: dead ones stay for an operator.

use shared::event::{Aggregate, Envelope, Event, MemberUpdated};
use shared::ids::MemberId;
use sqlx::{Row as _, query};

use crate::db::row::column;
use crate::db::{Tx, defect};

/// Replaces name and picture in this member's events of the profile. An event that the chat server has stored already
/// and gets again is recognized by its id, which stays.
///
/// # Errors
/// The database's; a row that is no event is a defect.
pub async fn redact_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    profile: &MemberUpdated,
) -> Result<(), sqlx::Error> {
    let rows = query(
        "select id, body from outbox where aggregate = $1 and kind = 'member.updated' order by id",
    )
    .bind(Aggregate::from(member).as_str())
    .fetch_all(tx.connection())
    .await?;
    for row in rows {
        let (id, body): (i64, String) = (column(&row, "id")?, row.try_get("body")?);
        let stored: Result<Envelope, _> = serde_json::from_str(&body);
        let mut stored = stored.map_err(|error| defect(format!("outbox row {id}: {error}")))?;
        stored.event = Event::MemberUpdated(profile.clone());
        let body = serde_json::to_string(&stored);
        let body = body.map_err(|error| sqlx::Error::Encode(error.into()))?;
        query("update outbox set body = $2 where id = $1")
            .bind(id)
            .bind(body)
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}
