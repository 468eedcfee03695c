//! Bookings: time bought on Wi-Fi spots and hotspots. Owns `booking`.
//!
//! ```text
//! wanted times ─► slot ─► place, below the capacity ─► booking ─► at its start and end: events
//! ```
//!
//! A booking outlives edits and the deletion of its spot. The same buyer, spot and wanted times are one
//! booking: a repetition is answered with the first.
//!
//! What this module does not do: take money. A purchase (`trades`) locks the offer, takes a place, pays, and
//! books in one transaction.

mod announce;
mod repo;
mod slot;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId, TradeId};
use shared::money::Won;
use sqlx::AnyConnection;

use crate::db::{Tx, defect};
use crate::products;

pub use announce::workers;
pub use repo::find;
pub use slot::{Slot, SlotError, Wanted};

/// Why time on a spot cannot be booked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlace {
    /// The times are no slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// The capacity of the spot is booked, at some moment of the slot.
    #[error("fully booked at that time")]
    Full,
}

/// A booking that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Booked {
    /// The buyer's trade.
    pub trade: TradeId,
    /// What the buyer paid, in won.
    pub price: Won,
    /// The time.
    pub slot: Slot,
}

/// A slot in which the spot has a free place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The time.
    pub slot: Slot,
    capacity: u16,
}

/// A booking to insert.
#[derive(Clone, Copy, Debug)]
pub struct NewBooking {
    /// The buyer's trade.
    pub trade: TradeId,
    /// The buyer.
    pub buyer: MemberId,
    /// The spot.
    pub product: ProductId,
    /// The times of the request.
    pub wanted: Wanted,
    /// The place for it.
    pub place: Place,
}

/// A place for these times as of `now`, on a reader's connection, or on that of a transaction that has locked
/// the offer: there the place stays free until [`book_in`].
///
/// # Errors
/// The database's.
pub async fn place(
    connection: &mut AnyConnection,
    product: ProductId,
    wanted: Wanted,
    now: UnixMillis,
) -> Result<Result<Place, NoPlace>, sqlx::Error> {
    let terms = products::spot_terms(connection, product).await?;
    let terms = terms.ok_or_else(|| defect(format!("spot {product} has no hours")))?;
    let slot = match Slot::of(wanted, terms.hours, now) {
        Ok(slot) => slot,
        Err(error) => return Ok(Err(error.into())),
    };
    let present = repo::presence(connection, product, slot).await?;
    if present >= u32::from(terms.capacity) {
        return Ok(Err(NoPlace::Full));
    }
    Ok(Ok(Place {
        slot,
        capacity: terms.capacity,
    }))
}

/// Stores a booking and schedules the announcements of its start and end.
///
/// # Errors
/// The database's.
pub async fn book_in(tx: &mut Tx<'_>, new: &NewBooking) -> Result<(), sqlx::Error> {
    repo::insert(tx, new).await?;
    announce::put_in(tx, new.trade, new.place.slot).await
}
