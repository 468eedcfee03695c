//! Why a purchase is refused. The HTTP module maps each reason to a code of the site.

use shared::ids::ProductId;
use shared::money::{Units, Won};

use crate::bookings::NoPlace;
use crate::cash::CashShort;
use crate::db::DbError;
use crate::idempotency::IdempotencyError;
use crate::plans::BuyError;

/// Why a purchase is refused. Nothing was bought or paid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PurchaseError {
    /// No such product.
    #[error("no such product")]
    ProductUnknown,
    /// The item does not belong to the product, or the product is of another kind.
    #[error("the item is not the product's")]
    ItemUnknown,
    /// As [`Self::ItemUnknown`], of a spot.
    #[error("the item is not the product's spot")]
    SpotUnknown,
    /// Hidden, deleted or expired.
    #[error("the product is no longer available")]
    Unavailable,
    /// Nothing is left.
    #[error("sold out")]
    SoldOut,
    /// The buyer's own offer.
    #[error("the buyer's own product")]
    OwnProduct,
    /// Not an amount that can be bought, or none for an offer that is sold in parts.
    #[error("not an amount of data")]
    Amount,
    /// Less is left, or the amount is not the whole of a whole offer.
    #[error("another amount is left")]
    Remaining,
    /// No time, not a time of the spot's, or fully booked.
    #[error(transparent)]
    NoPlace(#[from] NoPlace),
    /// The price is another than the one that the buyer saw.
    #[error("the price has changed")]
    PriceChanged(NewTerms),
    /// A combination with no part or too many, a product twice, or parts that do not sum up.
    #[error("not a combination")]
    Combination,
    /// The offers of a combination are not as quoted any more.
    #[error("the quote is outdated")]
    QuoteOutdated(Outdated),
    /// Too little cash.
    #[error(transparent)]
    CashShort(#[from] CashShort),
    /// No plan, or the month's limit.
    #[error(transparent)]
    Plan(#[from] BuyError),
    /// The idempotency key was used for another request, or its request still runs.
    #[error(transparent)]
    Idempotency(IdempotencyError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a quoted combination cannot be bought as it was quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// An offer is sold out, deleted or expired.
    SoldOut,
    /// Another amount is left of an offer.
    Remaining,
    /// The sum is another.
    Price,
}

/// The terms of an offer now, for a buyer who saw others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTerms {
    /// The offer.
    pub product: ProductId,
    /// Won for what was asked for.
    pub price: Won,
    /// Won for 0.1 GB, or for each started ten minutes.
    pub unit_price: Won,
    /// What is left of an offer of mobile data.
    pub units_left: Option<Units>,
}

impl From<IdempotencyError> for PurchaseError {
    fn from(error: IdempotencyError) -> Self {
        match error {
            IdempotencyError::Db(error) => Self::Db(error),
            error @ (IdempotencyError::KeyReused | IdempotencyError::KeyRunning) => {
                Self::Idempotency(error)
            }
        }
    }
}

impl From<sqlx::Error> for PurchaseError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}
