//! The SQL of the offers of a closing account.

use shared::ids::MemberId;
use sqlx::query;

use crate::db::row::column;
use crate::db::{Lock, Tx, locking};

type Sql<T> = Result<T, sqlx::Error>;

/// Locks a member's active offers, also expired ones, until the transaction ends; returns their number. Purchases from
/// them wait, and find them deleted.
///
/// # Errors
/// The database's.
pub async fn lock_active_of_in(tx: &mut Tx<'_>, member: MemberId) -> Sql<u64> {
    let text = locking!(
        tx,
        [Lock::FoundOffers],
        "select id from product where member_id = $1 and state = 'ACTIVE' order by id"
    );
    let rows = query(text).bind(i64::from(member));
    let rows = rows.fetch_all(tx.connection()).await?;
    Ok(rows.len().try_into().unwrap_or(u64::MAX))
}

/// The number of a member's active offers.
///
/// # Errors
/// The database's.
pub async fn count_active_of_in(tx: &mut Tx<'_>, member: MemberId) -> Sql<u64> {
    let row =
        query("select count(*) as active from product where member_id = $1 and state = 'ACTIVE'")
            .bind(i64::from(member))
            .fetch_one(tx.connection())
            .await?;
    column(&row, "active")
}

/// Deletes a member's active offers, all of which the caller has locked, as their seller would. Of all spots of the
/// member the description, the address and a hotspot's exact position go. The title, and the pictures of spots that were bought, stay: the buyers'
/// histories show them.
///
/// # Errors
/// The database's.
pub async fn close_all_in(tx: &mut Tx<'_>, member: MemberId) -> Sql<()> {
    let now = tx.now().get();
    // A spot has no units: null times anything is null.
    query(
        "update product set state = 'DELETED', units_returned = units_left, \
         units_left = units_left * 0, updated_at = $2 where member_id = $1 and state = 'ACTIVE'",
    )
    .bind(i64::from(member))
    .bind(now)
    .execute(tx.connection())
    .await?;
    query(
        "update spot set listed = 0, content = '', address = '', exact_latitude = null, \
         exact_longitude = null, exact_address = null \
         where product_id in (select id from product where member_id = $1)",
    )
    .bind(i64::from(member))
    .execute(tx.connection())
    .await?;
    query(
        "delete from product_image where product_id in (select p.id from product p \
         where p.member_id = $1 \
         and not exists (select 1 from trade_detail d where d.product_id = p.id))",
    )
    .bind(i64::from(member))
    .execute(tx.connection())
    .await?;
    Ok(())
}
