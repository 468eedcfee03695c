//! Offering mobile data: what may be registered in a month, and what of it may be changed.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};

use super::form::{MONTH_UNITS_MAX, Price};
use super::{Kind, Products, State, TxResult, product_id, refuse, repo};
use crate::cache::Namespace;
use crate::db::{Abort, Tx};
use crate::http::ApiError;

/// An offer of mobile data to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewData {
    /// Who offers.
    pub member: MemberId,
    /// Won for all of it.
    pub price: Price,
    /// How much: see [`super::listed_units`].
    pub units: Units,
    /// Whether it is sold in parts.
    pub split: bool,
}

/// An offer as it shall be from now on.
#[derive(Clone, Copy, Debug)]
pub struct DataChange {
    /// Which one.
    pub product: ProductId,
    /// What it shall be, and who says so.
    pub to: NewData,
}

impl Products {
    /// Offers mobile data until the end of the Seoul month.
    ///
    /// # Errors
    /// [`ApiError::PlanUnknown`]; [`ApiError::SellLimit`] when the month's offers would hold or
    /// have sold more than 2 GB; [`ApiError::PlanShort`] when they would take more than the
    /// plan gives and the month's purchases added.
    pub async fn offer_data(&self, offer: NewData) -> Result<ProductId, ApiError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write(offer, |offer, tx| Box::pin(offer_data_in(offer, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }

    /// Changes an offer of which nothing is sold yet. The amount is the new one, not a difference.
    ///
    /// # Errors
    /// [`ApiError::SplitPartlySold`] once a part is sold, [`ApiError::ProductNotValid`] when it is no
    /// longer offered; else as [`Self::offer_data`].
    pub async fn change_data(&self, change: DataChange) -> Result<(), ApiError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write(change, |change, tx| Box::pin(change_data_in(change, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }
}

async fn offer_data_in(offer: &NewData, tx: &mut Tx<'_>) -> TxResult<ProductId> {
    let member = i64::from(offer.member.get());
    let month = tx.month();
    // The one lock that keeps two registrations of a member apart.
    repo::lock_wallet(tx, member).await?;
    let listed = repo::listed_in_month(tx, member, month).await?;
    check_limits(tx, member, listed, offer.units).await?;
    let row = repo::DataRow {
        member,
        month,
        expires_at: LocalDateTime::from_unix(tx.now())
            .next_month()
            .to_unix()
            .get(),
        price: offer.price.won().get(),
        unit_price: offer.price.per_unit(offer.units).get(),
        split: offer.split,
        units: i64::from(offer.units.get()),
        seller_rate: repo::lock_rate(tx, member).await?,
    };
    let id = repo::insert_data(tx, &row).await?;
    product_id(id).map_err(|error| Abort::Refused(error.into()))
}

async fn change_data_in(change: &DataChange, tx: &mut Tx<'_>) -> TxResult<()> {
    let DataChange { product, to } = change;
    let member = i64::from(to.member.get());
    let old = repo::lock_product(tx, i64::from(product.get())).await?;
    let Some(old) = old else {
        return refuse(ApiError::ProductUnknown);
    };
    if old.kind != Kind::MobileData.name() {
        return refuse(ApiError::MobileDataUnknown);
    }
    if old.member != member {
        return refuse(ApiError::NotMyProduct);
    }
    let expired = old.expires_at.is_some_and(|at| at <= tx.now().get());
    if old.state != State::Active.name() || expired {
        return refuse(ApiError::ProductNotValid);
    }
    if old.units_sold > 0 {
        return refuse(ApiError::SplitPartlySold);
    }
    repo::lock_wallet(tx, member).await?;
    let listed = repo::listed_in_month(tx, member, tx.month()).await?;
    check_limits(tx, member, listed - old.units_left, to.units).await?;
    let unit_price = to.price.per_unit(to.units);
    let raised = to.price.won() > Won::new(old.price)
        || unit_price > Won::new(old.unit_price)
        || to.split != old.split;
    let new = repo::DataTerms {
        price: to.price.won().get(),
        unit_price: unit_price.get(),
        split: to.split,
        units: i64::from(to.units.get()),
        raised,
    };
    repo::update_data(tx, old.id, &new).await?;
    Ok(())
}

/// The two limits of `money.md`: `listed` is what the month's other offers have left and sold.
async fn check_limits(tx: &mut Tx<'_>, member: i64, listed: i64, new: Units) -> TxResult<()> {
    let month = tx.month();
    repo::ensure_month(tx, member, month).await?;
    let Some(had) = repo::month_of(tx, member, month).await? else {
        return refuse(ApiError::PlanUnknown);
    };
    let wanted = listed + i64::from(new.get());
    if wanted > i64::from(MONTH_UNITS_MAX) {
        return refuse(ApiError::SellLimit);
    }
    if wanted > had.providing + had.bought {
        return refuse(ApiError::PlanShort);
    }
    Ok(())
}
