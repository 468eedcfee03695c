//! Offers as purchases read them. The prices are the offer's, never the request's.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};

use super::{Hours, Kind, Sale, State};

/// For so long after a raise of its price an offer is sold only to a buyer who sends the new price: pages
/// that show the old one are open still.
const RAISE_PROTECTED: Duration = Duration::from_secs(60);

/// What a purchase reads of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stock {
    /// The offer.
    pub product: ProductId,
    /// Its seller.
    pub seller: MemberId,
    /// Its kind.
    pub kind: Kind,
    /// Its state, as stored: see [`Stock::is_for_sale`].
    pub state: State,
    /// Won for all of a whole offer, or for each started ten minutes of a spot.
    pub price: Won,
    /// Won for 0.1 GB; zero for spots.
    pub unit_price: Won,
    /// Whole or in parts; whole for spots.
    pub sale: Sale,
    /// The rest; zero for spots.
    pub units_left: Units,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) raised_at: Option<UnixMillis>,
    /// Whether it is hidden from the buyer: its seller's account is blocked, or one of the two blocks the other.
    pub is_hidden: bool,
}

impl Stock {
    /// True if this buyer can buy it at this time: active, not expired, and not hidden.
    #[must_use]
    pub fn is_for_sale(&self, now: UnixMillis) -> bool {
        let is_expired = self.expires_at.is_some_and(|at| at <= now);
        self.state == State::Active && !is_expired && !self.is_hidden
    }

    /// True if the price rose, or the kind of sale changed, within the last minute.
    #[must_use]
    pub fn is_raised(&self, now: UnixMillis) -> bool {
        let until = self.raised_at.map(|at| at.saturating_add(RAISE_PROTECTED));
        until.is_some_and(|until| now < until)
    }

    /// Won for units of mobile data: a whole offer has its total, a part the unit price times the units.
    /// `None` on overflow, which the caps exclude.
    #[must_use]
    pub fn price_of(&self, units: Units) -> Option<Won> {
        match self.sale {
            Sale::Whole => Some(self.price),
            Sale::Split => self.unit_price.checked_times_units(units),
        }
    }
}

/// Units that were sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// True if nothing is left of the offer.
    pub is_sold_out: bool,
}

/// What a purchase of time reads of a spot, besides its [`Stock`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpotTerms {
    /// When it is open.
    pub hours: Hours,
    /// Concurrent guests at most.
    pub capacity: u16,
}
