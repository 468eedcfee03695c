//! Removal of a review, and the rating of the member reviewed.

use shared::ids::{MemberId, ReviewId};

use super::{Review, repo};
use crate::cache::Namespace;
use crate::db::{Tx, overflow};
use crate::members::{self, Rating};
use crate::products::{self, Kind};

/// A review that was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The review as it was.
    pub review: Review,
    /// The lists that it changes: for [`ListCache::change`](crate::cache::ListCache::change), which the caller's
    /// write runs in.
    pub changed: Vec<Namespace>,
}

/// Deletes a review by an administrator's decision, and takes its rating from the member reviewed; `None` if there is
/// no such review. Its trade may be reviewed again.
///
/// Locks, in this order: the review, the rating and the offers of the member reviewed, and that member's row. The
/// caller has locked nothing that comes after reviews (`db/locks.rs`), and names in `also` another member whose row
/// it changes afterwards, such as the author: it is locked here, since members are locked in ascending order.
///
/// # Errors
/// The database's.
pub async fn remove_in(
    tx: &mut Tx<'_>,
    review: ReviewId,
    also: Option<MemberId>,
) -> Result<Option<Removed>, sqlx::Error> {
    let Some(old) = repo::lock(tx, review).await? else {
        return Ok(None);
    };
    let changed = delete_locked_in(tx, &old, also).await?;
    Ok(Some(Removed {
        review: old,
        changed,
    }))
}

/// Deletes a review whose row is locked; returns the lists that it changes.
pub(super) async fn delete_locked_in(
    tx: &mut Tx<'_>,
    review: &Review,
    also: Option<MemberId>,
) -> Result<Vec<Namespace>, sqlx::Error> {
    repo::delete(tx, review.id).await?;
    let tenths = -i64::from(review.stars.tenths());
    let change = RatingChange::begin_in(tx, review.reviewee, (tenths, -1)).await?;
    change.finish_in(tx, also).await
}

/// A change of a member's rating, of which the offers show the new mean already.
#[derive(Debug)]
pub(super) struct RatingChange {
    member: MemberId,
    was: Rating,
    rating: Rating,
    kinds: Vec<Kind>,
}

impl RatingChange {
    /// Adds tenths of a star and a number of ratings: locks the rating, and sets the rate of the member's offers.
    pub(super) async fn begin_in(
        tx: &mut Tx<'_>,
        member: MemberId,
        (tenths, count): (i64, i64),
    ) -> Result<Self, sqlx::Error> {
        let was = members::lock_rating_in(tx, member).await?;
        let rating = was.changed_by(tenths, count).ok_or_else(overflow)?;
        let kinds = if rating.mean() == was.mean() {
            Vec::new()
        } else {
            products::rate_offers_in(tx, member, rating.mean()).await?
        };
        Ok(Self {
            member,
            was,
            rating,
            kinds,
        })
    }

    /// Stores sum and count; returns the lists that change. `also` is locked with the member.
    pub(super) async fn finish_in(
        self,
        tx: &mut Tx<'_>,
        also: Option<MemberId>,
    ) -> Result<Vec<Namespace>, sqlx::Error> {
        if let Some(before) = also.filter(|other| *other < self.member) {
            members::lock_in(tx, before).await?;
        }
        members::set_rating_in(tx, self.member, self.was, self.rating).await?;
        if let Some(after) = also.filter(|other| *other > self.member) {
            members::lock_in(tx, after).await?;
        }
        Ok(self.kinds.into_iter().map(Kind::namespace).collect())
    }
}
