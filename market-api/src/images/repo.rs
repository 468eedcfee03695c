//! The SQL of upload slots.

use shared::clock::UnixMillis;
use shared::ids::MemberId;
use sqlx::{Row as _, query};

use super::{InvalidKey, Key, SWEEPING, UNUSED_MAX, UPLOAD_TIME};
use crate::db::{Db, DbError, Tx};
use crate::schedule;

/// The number of unused upload slots of a member.
pub(super) async fn count_open(tx: &mut Tx<'_>, member: MemberId) -> Result<i64, sqlx::Error> {
    let now = tx.now().get();
    let row = query("select count(*) from upload where member_id = $1 and expires_at > $2")
        .bind(i64::from(member.get()))
        .bind(now)
        .fetch_one(tx.connection())
        .await?;
    row.try_get(0)
}

pub(super) async fn insert_upload(tx: &mut Tx<'_>, key: &Key) -> Result<(), sqlx::Error> {
    let now = tx.now();
    query(
        "insert into upload (key, member_id, state, created_at, expires_at) \
         values ($1, $2, 'OPEN', $3, $4)",
    )
    .bind(key.to_string())
    .bind(i64::from(key.member().get()))
    .bind(now.get())
    .bind(now.saturating_add(UPLOAD_TIME).get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The state of an upload slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// Not checked yet.
    Open,
    /// Checked and published.
    Used,
}

/// The state of the slot of this key; `None` if the member was never given it, or it is doomed.
pub(super) async fn use_of(db: &Db, key: &Key) -> Result<Option<Use>, DbError> {
    let mut connection = db.read().await?;
    let row =
        query("select state from upload where key = $1 and member_id = $2 and state <> 'DOOMED'")
            .bind(key.to_string())
            .bind(i64::from(key.member().get()))
            .fetch_optional(&mut *connection)
            .await?;
    let Some(row) = row else { return Ok(None) };
    let state: String = row.try_get(0)?;
    Ok(Some(match state.as_str() {
        "USED" => Use::Used,
        _ => Use::Open,
    }))
}

/// Marks the slot as used; false if it is no longer there.
pub(super) async fn mark_used(tx: &mut Tx<'_>, key: &Key) -> Result<bool, sqlx::Error> {
    let done = query("update upload set state = 'USED' where key = $1 and state <> 'DOOMED'")
        .bind(key.to_string())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Dooms the first unused slots that expired before a time, at most `limit`: from now on they cannot be
/// used.
pub(super) async fn doom(
    tx: &mut Tx<'_>,
    before: UnixMillis,
    limit: i64,
) -> Result<Vec<Key>, sqlx::Error> {
    let rows = query(
        "update upload set state = 'DOOMED' where state <> 'USED' and key in \
         (select key from upload where state <> 'USED' and expires_at < $1 \
         order by expires_at, key limit $2) returning key",
    )
    .bind(before.get())
    .bind(limit)
    .fetch_all(tx.connection())
    .await?;
    let key = |text: String| {
        let key: Result<Key, InvalidKey> = text.parse();
        key.map_err(|error| sqlx::Error::Decode(error.into()))
    };
    rows.iter().map(|row| key(row.try_get(0)?)).collect()
}

/// Dooms the files of a closed account, except the pictures of spots that were bought, which the buyers' histories
/// show. The next sweep removes them; those whose upload URL is still valid, the first one after its end.
///
/// # Errors
/// The database's.
pub async fn doom_all_of_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let unused = i64::try_from(UNUSED_MAX.as_millis()).unwrap_or(i64::MAX);
    // A sweep takes what expired longer ago than that. A public URL ends like its key, which begins with `images/`.
    query(
        "update upload set state = 'DOOMED', expires_at = expires_at - $2 \
         where member_id = $1 and state <> 'DOOMED' and not exists (select 1 from product p \
         join product_image i on i.product_id = p.id join trade_detail d on d.product_id = p.id \
         where p.member_id = $1 and i.url like '%/' || substr(upload.key, 8))",
    )
    .bind(i64::from(member))
    .bind(unused)
    .execute(tx.connection())
    .await?;
    let now = tx.now();
    schedule::put(tx, SWEEPING, "", now, "").await
}

pub(super) async fn forget(tx: &mut Tx<'_>, key: &Key) -> Result<(), sqlx::Error> {
    query("delete from upload where key = $1 and state = 'DOOMED'")
        .bind(key.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}
