//! Registering and changing offers: one transaction each, then the lists of their kind are invalidated.
//!
//! The rules are in `data` and `spots`.

use shared::ids::ProductId;

use super::data::{self, DataChange, NewData};
use super::form::NewSpot;
use super::{OfferError, Products, spots};
use crate::cache::Namespace;
use crate::db::WriteError;

impl Products {
    /// Offers mobile data until the end of the Seoul month.
    ///
    /// # Errors
    /// [`OfferError::NoPlan`]; [`OfferError::SellLimit`] when the month's offers would hold or
    /// have sold more than 2 GB; [`OfferError::PlanShort`] when they would take more than the
    /// plan gives and the month's purchases added.
    pub async fn offer_data(&self, offer: NewData) -> Result<ProductId, OfferError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write(offer, |offer, tx| Box::pin(data::offer_in(offer, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }

    /// Changes an unsold offer. The amount is the new one, not a difference.
    ///
    /// # Errors
    /// [`OfferError::PartlySold`] once a part is sold, [`OfferError::Unavailable`] when it is no
    /// longer offered; else as [`Self::offer_data`].
    pub async fn change_data(&self, change: DataChange) -> Result<(), OfferError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write(change, |change, tx| Box::pin(data::change_in(change, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }

    /// Offers a spot.
    ///
    /// # Errors
    /// The database's.
    pub async fn offer_spot(&self, spot: NewSpot) -> Result<ProductId, OfferError> {
        let (db, space) = (self.db.clone(), spot.kind.namespace());
        let write = async move {
            let work = db.write(spot, |spot, tx| Box::pin(spots::offer_in(spot, tx)));
            Ok(([space], work.await?))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }

    /// Changes an offered spot to `spot`. Its bookings stay unchanged.
    ///
    /// # Errors
    /// [`OfferError::NotOfKind`] for a product of another kind, [`OfferError::Unavailable`] for a
    /// deleted one, [`OfferError::NotMine`].
    pub async fn change_spot(&self, id: ProductId, spot: NewSpot) -> Result<(), OfferError> {
        let (db, space) = (self.db.clone(), spot.kind.namespace());
        let write = async move {
            let work = db.write((id, spot), |(id, spot), tx| {
                Box::pin(spots::change_in(*id, spot, tx))
            });
            Ok(([space], work.await?))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }
}
