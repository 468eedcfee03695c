//! Offers of Wi-Fi and hotspot time. A spot never sells out and does not expire.

use shared::ids::ProductId;

use super::form::NewSpot;
use super::repo::{self, PriceChange};
use super::{OfferError, State, TxResult, refuse};
use crate::db::Tx;
use crate::members;

pub(super) async fn offer_in(spot: &NewSpot, tx: &mut Tx<'_>) -> TxResult<ProductId> {
    let rate = members::lock_rating_in(tx, spot.member).await?;
    // The row's lock serializes it with the end of the account.
    members::lock_in(tx, spot.member).await?;
    if !members::is_open_in(tx, spot.member).await? {
        return refuse(OfferError::AccountClosed);
    }
    let id = repo::insert_spot_product(tx, spot, rate.mean()).await?;
    repo::insert_spot(tx, id, spot).await?;
    repo::insert_images(tx, id, &spot.images).await?;
    Ok(id)
}

pub(super) async fn change_in(id: ProductId, spot: &NewSpot, tx: &mut Tx<'_>) -> TxResult<()> {
    let old = repo::lock_product(tx, id).await?;
    let Some(old) = old else {
        return refuse(OfferError::Unknown);
    };
    if old.kind != spot.kind {
        return refuse(OfferError::NotOfKind(spot.kind));
    }
    if old.member != spot.member {
        return refuse(OfferError::NotMine);
    }
    if old.state != State::Active {
        return refuse(OfferError::Unavailable);
    }
    let price = spot.price.won();
    let change = PriceChange::raised_if(price > old.price);
    repo::update_price(tx, old.id, price, change).await?;
    repo::update_spot(tx, old.id, spot).await?;
    repo::delete_images(tx, old.id).await?;
    repo::insert_images(tx, old.id, &spot.images).await?;
    Ok(())
}
