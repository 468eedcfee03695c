//! The SQL of blocks, and the conditions that statements of other modules share.

use shared::event::MemberPair;
use shared::ids::MemberId;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query};

use super::{BlockRow, BlocksQuery};
use crate::db::Tx;
use crate::db::row::column;

type Sql<T> = Result<T, sqlx::Error>;

/// The condition that a member's account is not blocked; `member` is the column with its id. A look-up in the
/// index of blocked accounts for each row, whose cost does not depend on their number.
#[must_use]
pub fn not_blocked(member: &str) -> String {
    format!("not exists (select 1 from member bm where bm.id = {member} and bm.blocked = 1)")
}

/// The condition that the listings of `seller` are shown: the account is not blocked, and neither blocks the other if
/// there is a `reader`. Both are columns or parameters.
#[must_use]
pub fn listed(seller: &str, reader: Option<&str>) -> String {
    let listed = not_blocked(seller);
    match reader {
        Some(reader) => format!("{listed} and not ({})", separated(seller, reader)),
        None => listed,
    }
}

/// The condition that the listings of `seller` are hidden from `reader`: a blocked account, or a separated
/// pair.
#[must_use]
pub fn hidden(seller: &str, reader: &str) -> String {
    format!(
        "(not {} or {})",
        not_blocked(seller),
        separated(seller, reader)
    )
}

fn separated(member: &str, other: &str) -> String {
    format!(
        "exists (select 1 from member_block mb where mb.blocker_id = {member} and mb.blocked_id = {other}) \
         or exists (select 1 from member_block mb where mb.blocker_id = {other} and mb.blocked_id = {member})"
    )
}

/// Whether the listings of `seller` are hidden from `reader`; `None` if there is no such seller.
///
/// # Errors
/// The database's.
pub async fn hides(
    connection: &mut AnyConnection,
    seller: MemberId,
    reader: MemberId,
) -> Sql<Option<bool>> {
    let text = format!(
        "select cast(case when {} then 1 else 0 end as bigint) as hidden from member m where m.id = $1",
        hidden("m.id", "$2")
    );
    let row = query(AssertSqlSafe(text))
        .bind(i64::from(seller))
        .bind(i64::from(reader))
        .fetch_optional(connection)
        .await?;
    row.as_ref().map(|row| column(row, "hidden")).transpose()
}

/// Whether one of two members blocks the other.
///
/// # Errors
/// The database's.
pub async fn is_separated(tx: &mut Tx<'_>, member: MemberId, other: MemberId) -> Sql<bool> {
    let text = format!(
        "select cast(case when {} then 1 else 0 end as bigint) as separated",
        separated("$1", "$2")
    );
    let row = query(AssertSqlSafe(text))
        .bind(i64::from(member))
        .bind(i64::from(other))
        .fetch_one(tx.connection())
        .await?;
    column(&row, "separated")
}

/// The members whom this one blocks or who block this one, in ascending order, at most `limit`.
pub(super) async fn separated_from(
    connection: &mut AnyConnection,
    member: MemberId,
    limit: usize,
) -> Sql<Vec<MemberId>> {
    let rows = query(
        "select blocked_id as other from member_block where blocker_id = $1 \
         union select blocker_id from member_block where blocked_id = $1 order by 1 limit $2",
    )
    .bind(i64::from(member))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| column(row, "other")).collect()
}

pub(super) async fn exists(tx: &mut Tx<'_>, pair: MemberPair) -> Sql<bool> {
    let row = query("select 1 from member_block where blocker_id = $1 and blocked_id = $2")
        .bind(i64::from(pair.blocker_id))
        .bind(i64::from(pair.blocked_id))
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.is_some())
}

pub(super) async fn count(tx: &mut Tx<'_>, blocker: MemberId) -> Sql<u64> {
    let row = query("select count(*) as blocks from member_block where blocker_id = $1")
        .bind(i64::from(blocker))
        .fetch_one(tx.connection())
        .await?;
    column(&row, "blocks")
}

pub(super) async fn insert(tx: &mut Tx<'_>, pair: MemberPair) -> Sql<()> {
    let now = tx.now().get();
    query("insert into member_block (blocker_id, blocked_id, created_at) values ($1, $2, $3)")
        .bind(i64::from(pair.blocker_id))
        .bind(i64::from(pair.blocked_id))
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Deletes a block; false if there is none.
pub(super) async fn delete(tx: &mut Tx<'_>, pair: MemberPair) -> Sql<bool> {
    let done = query("delete from member_block where blocker_id = $1 and blocked_id = $2")
        .bind(i64::from(pair.blocker_id))
        .bind(i64::from(pair.blocked_id))
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// A page of a member's blocks, newest first, plus one row if another page follows.
pub(super) async fn blocked(
    connection: &mut AnyConnection,
    asked: &BlocksQuery,
) -> Sql<Vec<BlockRow>> {
    let rows = query(
        "select b.id, b.blocked_id, b.created_at, m.name, m.image_url from member_block b \
         join member m on m.id = b.blocked_id \
         where b.blocker_id = $1 and b.id < $2 order by b.id desc limit $3",
    )
    .bind(i64::from(asked.blocker))
    .bind(asked.after.map_or(i64::MAX, i64::from))
    .bind(i64::from(asked.size.get()) + 1)
    .fetch_all(connection)
    .await?;
    let block = |row: &AnyRow| {
        Ok(BlockRow {
            id: column(row, "id")?,
            member: column(row, "blocked_id")?,
            name: row.try_get("name")?,
            image: row.try_get("image_url")?,
            blocked_at: column(row, "created_at")?,
        })
    };
    rows.iter().map(block).collect()
}
