//! Payments from a wallet. At most one wallet is locked in a transaction: that of the member who pays.

use shared::ids::MemberId;
use shared::money::Won;
use sqlx::query;

use crate::db::row::column;
use crate::db::{Abort, Lock, Tx, locking, overflow};

/// The buckets that a payment came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// From what the member charged; spent first.
    pub charged: Won,
    /// From what the member earned.
    pub earned: Won,
}

/// The member has less cash than the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the member has less cash")]
pub struct CashShort;

/// A wallet's buckets.
#[derive(Clone, Copy, Debug)]
struct Buckets {
    charged: Won,
    earned: Won,
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
    let charged = had.charged.min(amount);
    let earned = amount.checked_sub(charged).ok_or_else(overflow)?;
    if earned > had.earned {
        return Err(Abort::Refused(CashShort));
    }
    let left = Buckets {
        charged: had.charged.checked_sub(charged).ok_or_else(overflow)?,
        earned: had.earned.checked_sub(earned).ok_or_else(overflow)?,
    };
    store(tx, member, left).await?;
    Ok(Payment { charged, earned })
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
        "select charged, earned from wallet where member_id = $1"
    );
    let row = query(text).bind(i64::from(member));
    let row = row.fetch_one(tx.connection()).await?;
    let (charged, earned): (Won, Won) = (column(&row, "charged")?, column(&row, "earned")?);
    // In a statement of its own: one that waited for the lock would not see credits committed meanwhile.
    let folded =
        query("update credit set folded = 1 where member_id = $1 and folded = 0 returning amount")
            .bind(i64::from(member))
            .fetch_all(tx.connection())
            .await?;
    let mut earned = earned;
    for row in folded {
        earned = earned
            .checked_add(column(&row, "amount")?)
            .ok_or_else(overflow)?;
    }
    Ok(Buckets { charged, earned })
}

async fn store(tx: &mut Tx<'_>, member: MemberId, buckets: Buckets) -> Result<(), sqlx::Error> {
    query("update wallet set charged = $2, earned = $3 where member_id = $1")
        .bind(i64::from(member))
        .bind(buckets.charged.get())
        .bind(buckets.earned.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}
