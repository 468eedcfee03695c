//! The SQL of the rate that offers show of their seller.

use shared::ids::MemberId;
use sqlx::query;

use super::super::Kind;
use crate::db::row::named;
use crate::db::{Lock, Tx, locking};

/// Sets the rate that a seller's active offers show, in thousandths of a star; returns the kinds whose lists change.
///
/// The caller holds the seller's rating (`members::lock_rating_in`), so that no offer is made with the old rate
/// meanwhile, and runs in [`ListCache::change`](crate::cache::ListCache::change). Locks the offers.
///
/// # Errors
/// The database's.
pub async fn rate_offers_in(
    tx: &mut Tx<'_>,
    seller: MemberId,
    rate: i64,
) -> Result<Vec<Kind>, sqlx::Error> {
    // Locked in ascending order of ids, as purchases do: a single update has no order.
    let text = locking!(
        tx,
        [Lock::FoundOffers],
        "select kind from product where member_id = $1 and state = 'ACTIVE' and seller_rate <> $2 \
         order by id"
    );
    let rows = query(text).bind(i64::from(seller)).bind(rate);
    let rows = rows.fetch_all(tx.connection()).await?;
    let mut kinds = Vec::new();
    for row in &rows {
        let kind: Kind = named(row, "kind")?;
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    if !kinds.is_empty() {
        query(
            "update product set seller_rate = $2 \
             where member_id = $1 and state = 'ACTIVE' and seller_rate <> $2",
        )
        .bind(i64::from(seller))
        .bind(rate)
        .execute(tx.connection())
        .await?;
    }
    Ok(kinds)
}
