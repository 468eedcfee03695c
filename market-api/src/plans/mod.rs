//! Members' mobile plans and their monthly use. Owns `plan` and `member_month`.
//!
//! Plans are random, as on the first site: no carrier is contacted. The rest of a plan is derived from the
//! month's offers and purchases; nothing is reset and nothing carried over.

mod repo;

use rand::Rng;
use rand::seq::IndexedRandom as _;
use shared::money::{Units, Won};

pub use repo::{add_bought_in, insert_in, lock_month_in};

/// Data that a member may buy, and may sell, in a Seoul month: two gigabytes.
pub const MONTH_UNITS_MAX: Units = Units::new(20);

/// Data volumes of plans, in gigabytes a month (`domain.md` 5).
const GIGABYTES: [u16; 8] = [3, 5, 10, 15, 20, 30, 50, 100];

/// Prices of plans, in won a month.
const PRICES: [i64; 7] = [9_000, 12_000, 18_000, 25_000, 32_000, 45_000, 59_000];

const CATEGORIES: [&str; 3] = ["5G", "LTE", "NUGET"];

const AGE_GROUPS: [&str; 3] = ["ALL", "YOUTH", "SENIOR"];

/// A mobile plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The display name.
    pub name: String,
    /// 5G, LTE or NUGET.
    pub category: &'static str,
    /// ALL, YOUTH or SENIOR.
    pub age_group: &'static str,
    /// Data included per month.
    pub providing: Units,
    /// The price in won a month.
    pub monthly_price: Won,
}

impl Plan {
    /// Draws a plan.
    pub fn random(rng: &mut impl Rng) -> Self {
        let gigabytes = *GIGABYTES.choose(rng).unwrap_or(&GIGABYTES[0]);
        let category = CATEGORIES.choose(rng).unwrap_or(&CATEGORIES[0]);
        Self {
            name: format!("{category} {gigabytes}GB"),
            category,
            age_group: AGE_GROUPS.choose(rng).unwrap_or(&AGE_GROUPS[0]),
            providing: Units::new(gigabytes * 10),
            monthly_price: Won::new(*PRICES.choose(rng).unwrap_or(&PRICES[0])),
        }
    }
}

/// A member's plan and purchases in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthOfPlan {
    /// Data included in the plan.
    pub providing: Units,
    /// Data bought in the month.
    pub bought: Units,
}

/// Why data is not added to a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuyError {
    /// The buyer has no mobile plan.
    #[error("the buyer has no plan")]
    NoPlan,
    /// The month's purchases would exceed [`MONTH_UNITS_MAX`].
    #[error("more than may be bought in a month")]
    Limit,
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn every_plan_is_one_of_the_first_sites() {
        let mut rng = StdRng::seed_from_u64(7);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let plan = Plan::random(&mut rng);
            assert!(GIGABYTES.contains(&(plan.providing.get() / 10)), "{plan:?}");
            assert!(PRICES.contains(&plan.monthly_price.get()), "{plan:?}");
            seen.insert(plan.providing.get());
        }
        assert_eq!(seen.len(), GIGABYTES.len());
    }
}
