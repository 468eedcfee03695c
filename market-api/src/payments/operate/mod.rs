//! Payments for operators: what is open, everything about one item, and a query of the gateway at once.
//!
//! Output is one line for each item, of stable fields. Texts that came from outside are quoted as soon as one of
//! their characters is not plain, so that none can forge a line or steer a terminal.
//!
//! What this module does not do: call the gateway, or record who gave the command (`admin`).

mod line;
mod list;
mod recheck;
mod show;

use std::fmt;
use std::str::FromStr;

use crate::db::DbError;
use crate::gateway::OrderId;

pub use list::{Filter, LISTED_MAX, list};
pub use recheck::{Acknowledged, Rechecked, acknowledge_in, open_items, recheck_in};
pub use show::show;

/// What an operator names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// An order: its charge, and payments in suspense that name it.
    Order(OrderId),
    /// One row.
    Item(Item),
}

/// A row of payments. The order of the variants, and of the ids in one, is the order of the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Item {
    /// A charge.
    Charge(u64),
    /// A refund.
    Refund(u64),
    /// A payment in suspense.
    Suspense(u64),
}

impl Item {
    pub(super) const fn id(self) -> u64 {
        match self {
            Self::Charge(id) | Self::Refund(id) | Self::Suspense(id) => id,
        }
    }

    /// The id as it is bound to a statement; one that no row can have is -1.
    fn bound(self) -> i64 {
        i64::try_from(self.id()).unwrap_or(-1)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Charge(id) => write!(f, "charge:{id}"),
            Self::Refund(id) => write!(f, "refund:{id}"),
            Self::Suspense(id) => write!(f, "suspense:{id}"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(order) => write!(f, "order {order}"),
            Self::Item(item) => item.fmt(f),
        }
    }
}

/// A text that names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an order id, charge:ID, refund:ID or suspense:ID")]
pub struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    /// An order id has no colon, so the forms exclude each other.
    fn from_str(text: &str) -> Result<Self, NoTarget> {
        let Some((kind, id)) = text.split_once(':') else {
            let order = OrderId::try_from(text.to_owned());
            return order.map(Self::Order).map_err(|_invalid| NoTarget);
        };
        let id = id.parse().map_err(|_invalid| NoTarget)?;
        Ok(Self::Item(match kind {
            "charge" => Item::Charge(id),
            "refund" => Item::Refund(id),
            "suspense" => Item::Suspense(id),
            _ => return Err(NoTarget),
        }))
    }
}

/// Why an operator's command fails.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperateError {
    /// Nothing is stored under this name. Nothing was changed.
    #[error("unknown: {0}; nothing was changed")]
    Unknown(Target),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_an_order_or_a_row() {
        let read = |text: &str| text.parse::<Target>();
        assert_eq!(read("charge:7"), Ok(Target::Item(Item::Charge(7))));
        assert_eq!(read("refund:7"), Ok(Target::Item(Item::Refund(7))));
        assert_eq!(read("suspense:7"), Ok(Target::Item(Item::Suspense(7))));
        assert!(matches!(read("charge-7"), Ok(Target::Order(_))));
        for wrong in [
            "",
            "a",
            "charge:",
            "charge:x",
            "charge:-1",
            "trade:7",
            "order 1\n",
        ] {
            assert_eq!(read(wrong), Err(NoTarget), "{wrong:?}");
        }
    }
}
