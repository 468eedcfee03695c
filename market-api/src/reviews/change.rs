//! Writing, changing and deleting a review: one transaction each, with the rating of the member reviewed.

use shared::event::{Event, ReviewCreated};
use shared::ids::{MemberId, ReviewId, TradeId};

use super::form::NewReview;
use super::party::other_party;
use super::remove::{RatingChange, delete_locked_in};
use super::repo::{self, Party};
use super::{Review, ReviewError, Reviews, TxResult};
use crate::cache::Namespace;
use crate::db::{Abort, Tx, WriteError};
use crate::outbox::{self, NewEvent};

/// A review to write.
#[derive(Clone, Debug)]
struct Writing {
    reviewer: MemberId,
    trade: TradeId,
    other: Party,
    form: NewReview,
}

/// A change of a review.
#[derive(Clone, Debug)]
struct Change {
    reviewer: MemberId,
    review: ReviewId,
    /// `None` deletes it.
    to: Option<NewReview>,
}

impl Reviews {
    /// Reviews the other party of a trade of this member. Of two at once, one is written.
    ///
    /// # Errors
    /// [`ReviewError::TradeUnknown`], [`ReviewError::TradeNotMine`]; [`ReviewError::NotReviewable`] for charges,
    /// refunds and purchases from several sellers; [`ReviewError::Repeated`]; or the database's.
    pub async fn write(
        &self,
        reviewer: MemberId,
        trade: TradeId,
        form: NewReview,
    ) -> Result<ReviewId, ReviewError> {
        let other = other_party(&mut *self.db.read().await?, reviewer, trade).await?;
        let writing = Writing {
            reviewer,
            trade,
            other,
            form,
        };
        let db = self.db.clone();
        let write = async move {
            let work = db.write(writing, |writing, tx| Box::pin(write_in(writing, tx)));
            work.await
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }

    /// Changes a review of this member.
    ///
    /// # Errors
    /// [`ReviewError::Unknown`], [`ReviewError::NotMine`], or the database's.
    pub async fn edit(
        &self,
        reviewer: MemberId,
        review: ReviewId,
        form: NewReview,
    ) -> Result<(), ReviewError> {
        self.change(reviewer, review, Some(form)).await
    }

    /// Deletes a review of this member. The trade may be reviewed again.
    ///
    /// # Errors
    /// As [`Self::edit`].
    pub async fn delete(&self, reviewer: MemberId, review: ReviewId) -> Result<(), ReviewError> {
        self.change(reviewer, review, None).await
    }

    async fn change(
        &self,
        reviewer: MemberId,
        review: ReviewId,
        to: Option<NewReview>,
    ) -> Result<(), ReviewError> {
        let change = Change {
            reviewer,
            review,
            to,
        };
        let db = self.db.clone();
        let write = async move {
            let work = db.write(change, |change, tx| Box::pin(change_in(change, tx)));
            Ok((work.await?, ()))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }
}

/// Writes a review; returns its id, and the lists that it changes.
async fn write_in(writing: &Writing, tx: &mut Tx<'_>) -> TxResult<(Vec<Namespace>, ReviewId)> {
    let Writing {
        reviewer,
        trade,
        other,
        form,
    } = writing;
    if repo::is_reviewed(tx.connection(), *trade).await? {
        return Err(Abort::Refused(ReviewError::Repeated));
    }
    let tenths = i64::from(form.stars.tenths());
    let change = RatingChange::begin_in(tx, other.member, (tenths, 1)).await?;
    // After the offers are locked: the row refers to the members, whose end waits for it with the offers locked.
    let inserted = repo::insert(tx, *reviewer, *trade, other, form).await?;
    let Some(id) = inserted else {
        return Err(Abort::Refused(ReviewError::Repeated));
    };
    let changed = change.finish_in(tx, None).await?;
    let event = Event::ReviewCreated(ReviewCreated {
        review_id: id,
        trade_id: other.trade,
        rating: form.stars.get(),
    });
    outbox::append(tx, &NewEvent::of_member(other.member, event)).await?;
    Ok((changed, id))
}

async fn change_in(change: &Change, tx: &mut Tx<'_>) -> TxResult<Vec<Namespace>> {
    let old = repo::lock(tx, change.review).await?;
    let Some(old) = old else {
        return Err(Abort::Refused(ReviewError::Unknown));
    };
    if old.reviewer != change.reviewer {
        return Err(Abort::Refused(ReviewError::NotMine));
    }
    match &change.to {
        Some(form) => edit_in(tx, &old, form).await,
        None => Ok(delete_locked_in(tx, &old, None).await?),
    }
}

/// The rating moves by the difference to the review as it is locked, not as a page showed it.
async fn edit_in(tx: &mut Tx<'_>, old: &Review, form: &NewReview) -> TxResult<Vec<Namespace>> {
    repo::update(tx, old.id, form).await?;
    let difference = i64::from(form.stars.tenths()) - i64::from(old.stars.tenths());
    if difference == 0 {
        return Ok(Vec::new());
    }
    let change = RatingChange::begin_in(tx, old.reviewee, (difference, 0)).await?;
    Ok(change.finish_in(tx, None).await?)
}
