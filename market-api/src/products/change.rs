//! Registering and changing offers: one transaction each, then the lists of their kind are invalidated.
//!
//! The rules are in `data` and `spots`.

use shared::ids::ProductId;

use super::data::{self, DataChange, NewData};
use super::form::NewSpot;
use super::{Products, spots};
use crate::cache::Namespace;
use crate::http::ApiError;

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
            let work = db.write(offer, |offer, tx| Box::pin(data::offer_in(offer, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }

    /// Changes an unsold offer. The amount is the new one, not a difference.
    ///
    /// # Errors
    /// [`ApiError::SplitPartlySold`] once a part is sold, [`ApiError::ProductNotValid`] when it is no
    /// longer offered; else as [`Self::offer_data`].
    pub async fn change_data(&self, change: DataChange) -> Result<(), ApiError> {
        let db = self.db.clone();
        let write = async move {
            let work = db.write(change, |change, tx| Box::pin(data::change_in(change, tx)));
            Ok(([Namespace::MOBILE_DATA], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }

    /// Offers a spot.
    ///
    /// # Errors
    /// The database's.
    pub async fn offer_spot(&self, spot: NewSpot) -> Result<ProductId, ApiError> {
        let (db, space) = (self.db.clone(), spot.kind.namespace());
        let write = async move {
            let work = db.write(spot, |spot, tx| Box::pin(spots::offer_in(spot, tx)));
            Ok(([space], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }

    /// Changes an offered spot to `spot`. Its bookings stay unchanged.
    ///
    /// # Errors
    /// [`ApiError::WifiUnknown`] for a product of another kind, [`ApiError::ProductNotValid`] for a
    /// deleted one, [`ApiError::NotMyProduct`].
    pub async fn change_spot(&self, id: ProductId, spot: NewSpot) -> Result<(), ApiError> {
        let (db, space) = (self.db.clone(), spot.kind.namespace());
        let write = async move {
            let work = db.write((id, spot), |(id, spot), tx| {
                Box::pin(spots::change_in(*id, spot, tx))
            });
            Ok(([space], work.await?))
        };
        Ok(self.cache.change(write).await?)
    }
}
