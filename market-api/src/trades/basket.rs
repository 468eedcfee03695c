//! What a purchase takes from offers, before it is paid: the same for one offer, several and time on a spot.

use shared::ids::{MemberId, ProductId};
use shared::money::{Units, Won};

use super::kind::TradeKind;
use crate::products::Kind;

/// A purchase whose offers have been taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basket {
    /// The type of the buyer's trade.
    pub(super) kind: TradeKind,
    /// The kind of all its offers.
    pub(super) of: Kind,
    /// One line for each offer, in ascending order of their ids.
    pub(super) lines: Vec<Line>,
}

/// What is taken from one offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) product: ProductId,
    pub(super) seller: MemberId,
    /// What the buyer pays for it, in won.
    pub(super) price: Won,
    pub(super) amount: Amount,
    /// True if nothing is left of the offer.
    pub(super) is_sold_out: bool,
}

/// How much of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Amount {
    /// Mobile data.
    Data(Units),
    /// Minutes on a spot.
    Minutes(u32),
}

impl Amount {
    pub(super) const fn units(self) -> Option<Units> {
        match self {
            Self::Data(units) => Some(units),
            Self::Minutes(_) => None,
        }
    }

    pub(super) const fn minutes(self) -> Option<u32> {
        match self {
            Self::Minutes(minutes) => Some(minutes),
            Self::Data(_) => None,
        }
    }
}

impl Basket {
    /// What the buyer pays; `None` on overflow, which the caps exclude.
    pub(super) fn price(&self) -> Option<Won> {
        Won::checked_sum(self.lines.iter().map(|line| line.price))
    }

    /// The data in it; zero for time.
    pub(super) fn units(&self) -> Option<Units> {
        Units::checked_sum(self.lines.iter().filter_map(|line| line.amount.units()))
    }

    /// The minutes in it; zero for data.
    pub(super) fn minutes(&self) -> Option<u32> {
        let minutes = self.lines.iter().filter_map(|line| line.amount.minutes());
        minutes.into_iter().try_fold(0_u32, u32::checked_add)
    }
}
