//! Offers of mobile data: the limits per month, and the rules for changes.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};
use shared::money::Units;

use super::form::{MONTH_UNITS_MAX, Price};
use super::repo::{self, DataTerms, PriceChange};
use super::{Kind, OfferError, Sale, State, TxResult, refuse};
use crate::db::Tx;
use crate::{cash, members, plans};

/// A new offer of mobile data.
#[derive(Clone, Copy, Debug)]
pub struct NewData {
    /// The seller.
    pub member: MemberId,
    /// The price in won of the whole amount.
    pub price: Price,
    /// The amount; parsed by [`super::listed_units`].
    pub units: Units,
    /// Whether it is sold whole or in parts.
    pub sale: Sale,
}

impl NewData {
    fn terms(&self) -> DataTerms {
        DataTerms {
            price: self.price.won(),
            unit_price: self.price.per_unit(self.units),
            sale: self.sale,
            units: self.units,
        }
    }
}

/// A change of an offer of mobile data.
#[derive(Clone, Copy, Debug)]
pub struct DataChange {
    /// The offer to change.
    pub product: ProductId,
    /// Its new terms, and the member who changes it.
    pub to: NewData,
}

pub(super) async fn offer_in(offer: &NewData, tx: &mut Tx<'_>) -> TxResult<ProductId> {
    let (member, month) = (offer.member, tx.month());
    // Before the wallet, in the order of locks.
    let rating = members::lock_rating_in(tx, member).await?;
    // The wallet's lock serializes the registrations of a member.
    cash::lock_in(tx, member).await?;
    let listed = repo::listed_in_month(tx, member, month).await?;
    check_limits(tx, member, listed, offer.units).await?;
    let row = repo::DataRow {
        member,
        month,
        expires_at: LocalDateTime::from_unix(tx.now()).next_month().to_unix(),
        terms: offer.terms(),
        seller_rate: rating.mean(),
    };
    // The row's lock serializes it with the end of the account.
    members::lock_in(tx, member).await?;
    if !members::is_open_in(tx, member).await? {
        return refuse(OfferError::AccountClosed);
    }
    Ok(repo::insert_data(tx, &row).await?)
}

pub(super) async fn change_in(change: &DataChange, tx: &mut Tx<'_>) -> TxResult<()> {
    let DataChange { product, to } = change;
    let member = to.member;
    let old = repo::lock_product(tx, *product).await?;
    let Some(old) = old else {
        return refuse(OfferError::Unknown);
    };
    if old.kind != Kind::MobileData {
        return refuse(OfferError::NotOfKind(Kind::MobileData));
    }
    if old.member != member {
        return refuse(OfferError::NotMine);
    }
    let expired = old.expires_at.is_some_and(|at| at <= tx.now());
    if old.state != State::Active || expired {
        return refuse(OfferError::Unavailable);
    }
    if old.units_sold > Units::ZERO {
        return refuse(OfferError::PartlySold);
    }
    cash::lock_in(tx, member).await?;
    let listed = repo::listed_in_month(tx, member, tx.month()).await?;
    // An offer that has not expired belongs to this month.
    let others = listed
        .checked_sub(old.units_left)
        .ok_or_else(|| sqlx::Error::Decode("a month holds less than one of its offers".into()))?;
    check_limits(tx, member, others, to.units).await?;
    let new = to.terms();
    let is_raised =
        new.price > old.price || new.unit_price > old.unit_price || new.sale != old.sale;
    repo::update_data(tx, old.id, &new, PriceChange::raised_if(is_raised)).await?;
    Ok(())
}

/// Checks the two limits of `money.md`; `listed` is the rest of the month's other offers plus their sales.
async fn check_limits(
    tx: &mut Tx<'_>,
    member: MemberId,
    listed: Units,
    new: Units,
) -> TxResult<()> {
    let month = tx.month();
    let Some(had) = plans::lock_month_in(tx, member, month).await? else {
        return refuse(OfferError::NoPlan);
    };
    let wanted = u32::from(listed.get()) + u32::from(new.get());
    if wanted > u32::from(MONTH_UNITS_MAX) {
        return refuse(OfferError::SellLimit);
    }
    if wanted > u32::from(had.providing.get()) + u32::from(had.bought.get()) {
        return refuse(OfferError::PlanShort);
    }
    Ok(())
}
