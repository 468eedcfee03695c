//! What can be wrong with offers and lists of them. The HTTP module maps each to a code of the site.

use super::Kind;
use crate::db::DbError;

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A value that is out of its bounds.
    #[error("a value is out of its bounds")]
    Value,
    /// The kind of offer has no position (mobile data).
    #[error("not a kind with a place")]
    Kind,
    /// The start is after the end.
    #[error("the start is after the end")]
    StartAfterEnd,
    /// Not the name of a picture.
    #[error("not the name of a picture")]
    Image,
    /// Not a whole number of 0.1 GB, or none.
    #[error("not an amount of data")]
    Amount,
    /// More than a month allows, whatever was sold before.
    #[error("more than may be sold in a month")]
    SellLimit,
}

/// Why an offer is not made, changed, deleted or shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// No such product.
    #[error("no such product")]
    Unknown,
    /// The product is not of the kind that was wanted.
    #[error("the product is not of kind {}", .0.name())]
    NotOfKind(Kind),
    /// Another member's product.
    #[error("another member's product")]
    NotMine,
    /// Hidden, deleted, sold out or expired.
    #[error("the product is no longer available")]
    Unavailable,
    /// Deleted before.
    #[error("the product is already deleted")]
    AlreadyDeleted,
    /// A part of it is sold, so it cannot change.
    #[error("a part of the offer is sold")]
    PartlySold,
    /// The seller has no mobile plan.
    #[error("the seller has no plan")]
    NoPlan,
    /// Listed and sold this month would exceed what may be sold.
    #[error("more than may be sold in a month")]
    SellLimit,
    /// The seller's account was closed meanwhile.
    #[error("the seller's account is closed")]
    AccountClosed,
    /// The plan has less data left.
    #[error("more than the plan has left")]
    PlanShort,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for OfferError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Why a page of a list is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// The kind is not sorted so.
    #[error("unknown sort option")]
    Sort,
    /// A cursor of another list, or of none.
    #[error("the cursor is not of this list")]
    Cursor,
    /// A list by distance needs a position.
    #[error("a list by distance without a position")]
    Position,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for ListError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Why a seller's list is not read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SellingError {
    /// Hidden and deleted offers are shown to their seller only.
    #[error("hidden and deleted offers of another member")]
    Forbidden,
    /// No such member.
    #[error("no such member")]
    MemberUnknown,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for SellingError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
