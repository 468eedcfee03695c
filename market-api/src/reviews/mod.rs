//! Reviews: a party of a trade rates the other, once for each trade of its own. Owns `review`.
//!
//! ```text
//! the trade's other party is read ─► BEGIN ─► rating locked ─► rate of the member's offers ─► review ─► sum and count
//!     ─► event ─► COMMIT ─► lists invalidated
//! ```
//!
//! The mean of a member is computed from a sum and a count on the member, which each change of a review moves by the
//! exact difference, in its own transaction. Offers carry the mean, since lists are sorted by it.
//!
//! What this module does not do: decide which reviews may stay. Administrators do (`reports`), and call
//! [`remove_in`].

mod change;
mod form;
mod http;
mod list;
mod page;
mod party;
mod remove;
mod repo;

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId, ReviewId, TradeId};
use sqlx::AnyConnection;

use crate::cache::ListCache;
use crate::db::{Abort, Db, DbError};

pub use form::{FormError, NewReview, Stars};
pub use http::routes;
pub use list::ListError;
pub use page::{Cursor, ReviewPage, ReviewQuery, ReviewRow, Side, Sort};
pub use remove::{Removed, remove_in};

/// Why a review is not written, shown, changed or deleted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// No such trade.
    #[error("no such trade")]
    TradeUnknown,
    /// Another member's trade.
    #[error("another member's trade")]
    TradeNotMine,
    /// A trade without another party, or with several.
    #[error("a trade without one other party")]
    NotReviewable,
    /// The other party is the reviewer: no trade has that.
    #[error("the reviewer's own trade on both sides")]
    Oneself,
    /// The trade has a review.
    #[error("the trade is reviewed already")]
    Repeated,
    /// No such review.
    #[error("no such review")]
    Unknown,
    /// Another member's review.
    #[error("another member's review")]
    NotMine,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The result of a step inside a transaction.
type TxResult<T> = Result<T, Abort<ReviewError>>;

/// A review as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// The reviewer's trade.
    pub trade: TradeId,
    /// The member who wrote it.
    pub reviewer: MemberId,
    /// The member it is about.
    pub reviewee: MemberId,
    /// The offer traded; of several the first.
    pub product: ProductId,
    /// The rating.
    pub stars: Stars,
    /// The text; may be empty.
    pub comment: String,
    /// The time of its creation.
    pub created_at: LocalDateTime,
    /// The time of its last change.
    pub updated_at: LocalDateTime,
}

/// Reads a review on a connection, which may be a transaction's; `None` if it does not exist.
///
/// # Errors
/// The database's.
pub async fn review(
    connection: &mut AnyConnection,
    id: ReviewId,
) -> Result<Option<Review>, sqlx::Error> {
    repo::review(connection, id).await
}

/// The reviews. Clones share one state.
#[derive(Clone, Debug)]
pub struct Reviews {
    db: Db,
    cache: ListCache,
}

impl Reviews {
    /// The reviews in `db`; `cache` holds the lists that display the rates of sellers.
    #[must_use]
    pub const fn new(db: Db, cache: ListCache) -> Self {
        Self { db, cache }
    }

    /// A review of this member.
    ///
    /// # Errors
    /// [`ReviewError::Unknown`], [`ReviewError::NotMine`], or the database's.
    pub async fn own(&self, member: MemberId, id: ReviewId) -> Result<Review, ReviewError> {
        let mut connection = self.db.read().await?;
        let found = repo::review(&mut connection, id).await;
        let found = found.map_err(DbError::from)?;
        let review = found.ok_or(ReviewError::Unknown)?;
        if review.reviewer != member {
            return Err(ReviewError::NotMine);
        }
        Ok(review)
    }
}
