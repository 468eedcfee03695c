//! Changes of a wallet: payments, charges, refunds, reversals. At most one wallet is locked in a transaction: that
//! of the member who pays, charges or refunds.

use shared::ids::MemberId;
use shared::money::Won;
use sqlx::query;

use super::books::{Account, JournalKind, Posting, post_in};
use crate::db::row::column;
use crate::db::{Abort, Lock, LockMode, Tx, defect, locking, overflow};

/// A part of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bucket {
    /// What the member charged.
    Charged,
    /// What the member earned.
    Earned,
}

impl Bucket {
    /// This bucket of a member in the books.
    #[must_use]
    pub const fn account(self, member: MemberId) -> Account {
        match self {
            Self::Charged => Account::WalletCharged(member),
            Self::Earned => Account::WalletEarned(member),
        }
    }
}

/// What a reversal took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// From the wallet's buckets.
    pub paid: Payment,
    /// What was not there: the member owes it.
    pub owed: Won,
}

/// The buckets that a payment came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// From what the member charged; spent first.
    pub charged: Won,
    /// From what the member earned.
    pub earned: Won,
}

impl Payment {
    /// Of both buckets.
    fn sum(self) -> Result<Won, sqlx::Error> {
        self.charged.checked_add(self.earned).ok_or_else(overflow)
    }
}

/// The member has less cash than the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member has less cash")]
pub struct CashShort;

/// A wallet.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    charged: Won,
    earned: Won,
    /// Owed after reversals; sales repay it before they count as earned.
    owed: Won,
}

/// Takes an amount from a member's wallet: charged cash first, then earned. Locks the wallet and folds the
/// member's sales into it first. The caller posts the journal.
///
/// # Errors
/// [`CashShort`], or the database's; a member without a wallet is a defect.
pub async fn pay_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<Payment, Abort<CashShort>> {
    let had = lock_and_fold_in(tx, member).await?;
    let (left, paid) = had.less(amount)?;
    let short = paid.sum()? < amount;
    if short {
        return Err(Abort::Refused(CashShort));
    }
    store(tx, member, left).await?;
    Ok(paid)
}

/// Takes a refund from a member's wallet, as [`pay_in`]; also returns the cash left. A member who owes after a
/// reversal gets no refund. The caller posts the journal.
///
/// # Errors
/// [`CashShort`], or the database's.
pub async fn refund_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<(Payment, Won), Abort<CashShort>> {
    let had = lock_and_fold_in(tx, member).await?;
    let (left, paid) = had.less(amount)?;
    if paid.sum()? < amount || had.owed > Won::ZERO {
        return Err(Abort::Refused(CashShort));
    }
    store(tx, member, left).await?;
    let cash = left.charged.checked_add(left.earned);
    Ok((paid, cash.ok_or_else(overflow)?))
}

/// Takes a reversal from a member's wallet: what is there, and the rest as owed. The caller posts the journal.
///
/// # Errors
/// The database's.
pub async fn reverse_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<Taken, sqlx::Error> {
    let had = lock_and_fold_in(tx, member).await?;
    let (mut left, paid) = had.less(amount)?;
    let owed = amount.checked_sub(paid.sum()?).ok_or_else(overflow)?;
    left.owed = left.owed.checked_add(owed).ok_or_else(overflow)?;
    store(tx, member, left).await?;
    Ok(Taken { paid, owed })
}

/// Adds to a bucket: a charge that was captured, or a refund that came back. The caller posts the journal.
///
/// # Errors
/// The database's.
pub async fn add_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    bucket: Bucket,
    amount: Won,
) -> Result<(), sqlx::Error> {
    tx.note_locks([Lock::Wallet(member)], LockMode::Exclusive);
    let text = match bucket {
        Bucket::Charged => "update wallet set charged = charged + $2 where member_id = $1",
        Bucket::Earned => "update wallet set earned = earned + $2 where member_id = $1",
    };
    let added = query(text).bind(i64::from(member)).bind(amount.get());
    match added.execute(tx.connection()).await?.rows_affected() {
        1 => Ok(()),
        _ => Err(defect(format!("member {member} has no wallet"))),
    }
}

/// Puts back what a refund could not pay: it repays what the member owes first, then goes to the bucket it came
/// from. Returns what it repaid. The caller posts the journal.
///
/// # Errors
/// The database's.
pub async fn return_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    bucket: Bucket,
    amount: Won,
) -> Result<Won, sqlx::Error> {
    let mut had = lock_and_fold_in(tx, member).await?;
    let repaid = had.owed.min(amount);
    let rest = amount.checked_sub(repaid).ok_or_else(overflow)?;
    had.owed = had.owed.checked_sub(repaid).ok_or_else(overflow)?;
    let back = match bucket {
        Bucket::Charged => &mut had.charged,
        Bucket::Earned => &mut had.earned,
    };
    *back = back.checked_add(rest).ok_or_else(overflow)?;
    store(tx, member, had).await?;
    Ok(repaid)
}

impl Buckets {
    /// The wallet after at most this amount is taken from it, charged cash first, and what was taken.
    fn less(self, amount: Won) -> Result<(Self, Payment), sqlx::Error> {
        let charged = self.charged.min(amount);
        let rest = amount.checked_sub(charged).ok_or_else(overflow)?;
        let earned = self.earned.min(rest);
        let left = Self {
            charged: self.charged.checked_sub(charged).ok_or_else(overflow)?,
            earned: self.earned.checked_sub(earned).ok_or_else(overflow)?,
            owed: self.owed,
        };
        Ok((left, Payment { charged, earned }))
    }
}

/// What a member has and owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Won in both buckets.
    pub cash: Won,
    /// Won owed after reversals.
    pub owed: Won,
}

/// Locks a member's wallet, folds the sales into it, and returns what it holds then: nothing can change that until
/// the transaction ends.
///
/// # Errors
/// The database's.
pub async fn settle_in(tx: &mut Tx<'_>, member: MemberId) -> Result<Standing, sqlx::Error> {
    let buckets = lock_and_fold_in(tx, member).await?;
    store(tx, member, buckets).await?;
    let cash = buckets.charged.checked_add(buckets.earned);
    Ok(Standing {
        cash: cash.ok_or_else(overflow)?,
        owed: buckets.owed,
    })
}

/// Folds a member's sales into the wallet.
///
/// # Errors
/// The database's.
pub(super) async fn fold_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let buckets = lock_and_fold_in(tx, member).await?;
    store(tx, member, buckets).await
}

/// Locks the wallet, marks the open credits as folded, and returns the buckets with them. The caller stores
/// the buckets.
async fn lock_and_fold_in(tx: &mut Tx<'_>, member: MemberId) -> Result<Buckets, sqlx::Error> {
    let text = locking!(
        tx,
        [Lock::Wallet(member)],
        "select charged, earned, owed from wallet where member_id = $1"
    );
    let row = query(text).bind(i64::from(member));
    let row = row.fetch_one(tx.connection()).await?;
    let had = Buckets {
        charged: column(&row, "charged")?,
        earned: column(&row, "earned")?,
        owed: column(&row, "owed")?,
    };
    // In a statement of its own: one that waited for the lock would not see credits committed meanwhile.
    let folded =
        query("update credit set folded = 1 where member_id = $1 and folded = 0 returning amount")
            .bind(i64::from(member))
            .fetch_all(tx.connection())
            .await?;
    let mut income = Won::ZERO;
    for row in folded {
        income = income
            .checked_add(column(&row, "amount")?)
            .ok_or_else(overflow)?;
    }
    let repaid = had.owed.min(income);
    if repaid > Won::ZERO {
        repay_in(tx, member, repaid).await?;
    }
    let earned = income.checked_sub(repaid).ok_or_else(overflow)?;
    Ok(Buckets {
        charged: had.charged,
        earned: had.earned.checked_add(earned).ok_or_else(overflow)?,
        owed: had.owed.checked_sub(repaid).ok_or_else(overflow)?,
    })
}

/// Records that sales repay a debt.
async fn repay_in(tx: &mut Tx<'_>, member: MemberId, amount: Won) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "insert into debt_repayment (member_id, amount, created_at) values ($1, $2, $3) returning id",
    )
    .bind(i64::from(member))
    .bind(amount.get())
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    let postings = [
        Posting::debit(Account::WalletEarned(member), amount),
        Posting::credit(Account::Receivable(member), amount)?,
    ];
    let repayment = column(&row, "id")?;
    post_in(tx, JournalKind::Repayment, repayment, &postings).await?;
    Ok(())
}

async fn store(tx: &mut Tx<'_>, member: MemberId, buckets: Buckets) -> Result<(), sqlx::Error> {
    query("update wallet set charged = $2, earned = $3, owed = $4 where member_id = $1")
        .bind(i64::from(member))
        .bind(buckets.charged.get())
        .bind(buckets.earned.get())
        .bind(buckets.owed.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}
