//! The other party of a trade: whom a review is about.

use shared::ids::{MemberId, TradeId};
use sqlx::AnyConnection;

use super::ReviewError;
use super::repo::{self, Party};
use crate::db::DbError;
use crate::trades::Classification;

/// The other party of a trade of this member. Trades never change, so no lock is needed.
pub(super) async fn other_party(
    connection: &mut AnyConnection,
    member: MemberId,
    trade: TradeId,
) -> Result<Party, ReviewError> {
    let own = repo::own_side(connection, trade).await;
    let own = own.map_err(DbError::from)?;
    let own = own.ok_or(ReviewError::TradeUnknown)?;
    if own.member != member {
        return Err(ReviewError::TradeNotMine);
    }
    let sides = match own.kind.classification() {
        Classification::Purchase => repo::sales(connection, trade).await,
        Classification::Sale => repo::purchase(connection, trade).await,
        Classification::Charge | Classification::Refund => Ok(Vec::new()),
    };
    let sides = sides.map_err(DbError::from)?;
    let other = only(&sides).ok_or(ReviewError::NotReviewable)?;
    if other.member == member {
        return Err(ReviewError::Oneself);
    }
    Ok(other)
}

/// The first of these sides if all are one member's.
fn only(sides: &[Party]) -> Option<Party> {
    let first = *sides.first()?;
    let is_one = sides.iter().all(|side| side.member == first.member);
    is_one.then_some(first)
}

#[cfg(test)]
mod tests {
    use shared::ids::ProductId;

    use super::*;

    fn side(member: u64, trade: u64) -> Party {
        Party {
            member: MemberId::try_from(member).unwrap(),
            trade: TradeId::try_from(trade).unwrap(),
            product: ProductId::try_from(trade).unwrap(),
        }
    }

    #[test]
    fn a_composite_purchase_is_reviewed_if_it_has_one_seller() {
        assert_eq!(only(&[]), None);
        assert_eq!(only(&[side(1, 5)]), Some(side(1, 5)));
        assert_eq!(only(&[side(1, 5), side(1, 6)]), Some(side(1, 5)));
        assert_eq!(only(&[side(1, 5), side(2, 6)]), None);
    }
}
