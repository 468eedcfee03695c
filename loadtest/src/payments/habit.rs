//! Habits: what kinds of customers there are, and how many of each, drawn from a seed.

use fakes::toss::How;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::ids::MemberId;

/// What a customer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Pays by card.
    Card,
    /// The success page is open in two tabs.
    TwoTabs,
    /// The card is declined.
    Declined,
    /// Transfers the money a few minutes later.
    DepositInTime,
    /// The transfer comes after the account's time, and is taken.
    DepositLate,
    /// Never transfers.
    NoDeposit,
    /// Leaves before paying.
    Abandoned,
    /// Leaves after paying, before the market is called.
    Unconfirmed,
    /// Comes back eleven minutes after paying.
    Late,
    /// Changes the amount in the request first.
    LowerAmount,
    /// Another member sends the request first.
    Stranger,
    /// Uses the payment for a second order, too.
    BorrowedKey,
    /// Has changed the amount on the gateway's page.
    OtherAmount,
    /// The same, and the gateway captures it.
    OtherCaptured,
    /// The gateway's operator cancels it later, in part or in full.
    Cancelled,
}

impl Habit {
    /// How the customer pays.
    pub(crate) fn how(self) -> How {
        let by_transfer = [Self::DepositInTime, Self::DepositLate, Self::NoDeposit];
        if by_transfer.contains(&self) {
            How::VirtualAccount
        } else if self == Self::Declined {
            How::Declined("REJECT_CARD_PAYMENT".to_owned())
        } else {
            How::Card
        }
    }

    /// Whether the customer pays another amount than the order's.
    pub(crate) const fn pays_other(self) -> bool {
        matches!(self, Self::OtherAmount | Self::OtherCaptured)
    }
}

/// Shares of all customers, per mille.
const SHARES: [(u32, Habit); 15] = [
    (590, Habit::Card),
    (120, Habit::TwoTabs),
    (60, Habit::Declined),
    (50, Habit::DepositInTime),
    (15, Habit::DepositLate),
    (15, Habit::NoDeposit),
    (30, Habit::Abandoned),
    (20, Habit::Unconfirmed),
    (10, Habit::Late),
    (30, Habit::LowerAmount),
    (10, Habit::Stranger),
    (10, Habit::BorrowedKey),
    (5, Habit::OtherAmount),
    (5, Habit::OtherCaptured),
    (30, Habit::Cancelled),
];

/// A customer with an order.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) number: usize,
    pub(crate) member: MemberId,
    pub(crate) stranger: MemberId,
    pub(crate) amount: i64,
    pub(crate) habit: Habit,
    /// Further chance.
    pub(crate) lot: i64,
}

impl Visit {
    /// The same ones for the same seed.
    pub(crate) fn draw(seed: u64, count: usize, members: &[MemberId]) -> Vec<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let draw = |number| {
            let place = rng.random_range(0..1_000);
            let mut end = 0;
            let habit = SHARES.iter().find(|(share, _)| {
                end += share;
                place < end
            });
            Self {
                number,
                member: members[number % members.len()],
                stranger: members[(number + 1) % members.len()],
                amount: rng.random_range(10..=500) * 100,
                habit: habit.map_or(Habit::Card, |(_, habit)| *habit),
                lot: rng.random_range(0..1_000),
            }
        };
        (0..count).map(draw).collect()
    }

    /// A customer who pays by card.
    pub(crate) fn by_card(number: usize, member: MemberId, amount: i64) -> Self {
        Self {
            number,
            member,
            stranger: member,
            amount,
            habit: Habit::Card,
            lot: 0,
        }
    }

    pub(crate) fn order(&self) -> String {
        format!("order-{:06}", self.number)
    }
}
