//! The journal: double entries, append-only. Debits are positive, credits negative; the postings of one
//! journal sum to zero (`money.md`, "Books").

use shared::ids::MemberId;
use shared::money::Won;
use sqlx::{AssertSqlSafe, query};

use crate::db::row::{column, places};
use crate::db::{Tx, defect, overflow};

/// An account of the books, with its owner where it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// Liability: what the member charged.
    WalletCharged(MemberId),
    /// Liability: what the member earned by sales.
    WalletEarned(MemberId),
    /// Asset: captured by the payment gateway, less what it gave back.
    PgReceivable,
    /// Asset: money at the bank; payouts take from it.
    Bank,
    /// Liability: cash of a refund that has left the wallet, by the refund's id.
    InTransit(i64),
    /// Asset: what a member owes after a reversal.
    Receivable(MemberId),
    /// Liability: captured money that matches nothing.
    Suspense,
    /// Income: fees of sales.
    FeeIncome,
    /// Equity: cash that members had before these books.
    Opening,
}

impl Account {
    const fn name(self) -> &'static str {
        match self {
            Self::WalletCharged(_) => "wallet_charged",
            Self::WalletEarned(_) => "wallet_earned",
            Self::PgReceivable => "pg_receivable",
            Self::Bank => "bank",
            Self::InTransit(_) => "in_transit",
            Self::Receivable(_) => "receivable",
            Self::Suspense => "suspense",
            Self::FeeIncome => "fee_income",
            Self::Opening => "opening",
        }
    }

    fn owner(self) -> Option<i64> {
        match self {
            Self::WalletCharged(member) | Self::WalletEarned(member) | Self::Receivable(member) => {
                Some(member.into())
            }
            Self::InTransit(refund) => Some(refund),
            Self::PgReceivable | Self::Bank | Self::Suspense | Self::FeeIncome | Self::Opening => {
                None
            }
        }
    }
}

/// A line of a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    account: Account,
    /// Debits are positive.
    amount: Won,
}

impl Posting {
    /// Adds to an asset, or takes from a liability: a wallet gets less.
    #[must_use]
    pub const fn debit(account: Account, amount: Won) -> Self {
        Self { account, amount }
    }

    /// Adds to a liability or an income: a wallet gets more.
    ///
    /// # Errors
    /// The amount has no negative (a defect).
    pub fn credit(account: Account, amount: Won) -> Result<Self, sqlx::Error> {
        let amount = amount.checked_neg().ok_or_else(overflow)?;
        Ok(Self { account, amount })
    }
}

/// The event that a journal records. With its reference, unique: each event is posted once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalKind {
    /// The opening balance of a member, by the member's id.
    Opening,
    /// A purchase, by the buyer's trade.
    Trade,
    /// A charge was captured, by the charge.
    Charge,
    /// Somebody else cancelled at the gateway, by the gateway's cancel.
    Reversal,
    /// Income repaid what a member owed, by the repayment.
    Repayment,
    /// A refund was accepted, by the refund.
    Refund,
    /// A leg of a refund is paid, by the leg.
    RefundLeg,
    /// A leg of a refund was refused and its money went back to the wallet, by the leg.
    RefundReturn,
    /// The gateway has captured money that matches nothing, by the payment in suspense.
    Suspense,
    /// Money in suspense was given back, by the gateway's cancel.
    SuspenseCancel,
}

impl JournalKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Trade => "trade",
            Self::Charge => "charge",
            Self::Reversal => "reversal",
            Self::Repayment => "repayment",
            Self::Refund => "refund",
            Self::RefundLeg => "refund_leg",
            Self::RefundReturn => "refund_return",
            Self::Suspense => "suspense",
            Self::SuspenseCancel => "suspense_cancel",
        }
    }
}

/// A journal in the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalId(i64);

/// Posts a journal; `None` if this event was posted before. Postings of zero are left out.
///
/// # Errors
/// The database's; also postings that do not sum to zero, a defect.
pub async fn post_in(
    tx: &mut Tx<'_>,
    kind: JournalKind,
    reference: i64,
    postings: &[Posting],
) -> Result<Option<JournalId>, sqlx::Error> {
    let sum = Won::checked_sum(postings.iter().map(|posting| posting.amount));
    if sum != Some(Won::ZERO) {
        let why = format!("the postings of {} {reference} sum to {sum:?}", kind.name());
        return Err(defect(why));
    }
    let now = tx.now().get();
    let journal = query(
        "insert into journal (kind, ref_id, created_at) values ($1, $2, $3) \
         on conflict (kind, ref_id) do nothing returning id",
    )
    .bind(kind.name())
    .bind(reference)
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    let Some(journal) = journal else {
        return Ok(None);
    };
    let journal: i64 = column(&journal, "id")?;
    insert_postings(tx, journal, postings).await?;
    Ok(Some(JournalId(journal)))
}

/// All lines in one statement: a composite purchase has some two dozen.
async fn insert_postings(
    tx: &mut Tx<'_>,
    journal: i64,
    postings: &[Posting],
) -> Result<(), sqlx::Error> {
    let lines: Vec<_> = (0_i64..)
        .zip(
            postings
                .iter()
                .filter(|posting| posting.amount != Won::ZERO),
        )
        .collect();
    if lines.is_empty() {
        return Ok(());
    }
    let text = format!(
        "insert into posting (journal_id, line, account, owner, amount) values {}",
        places(lines.len(), 5)
    );
    let mut insert = query(AssertSqlSafe(text));
    for (line, posting) in lines {
        insert = insert
            .bind(journal)
            .bind(line)
            .bind(posting.account.name())
            .bind(posting.account.owner())
            .bind(posting.amount.get());
    }
    insert.execute(tx.connection()).await?;
    Ok(())
}

/// Inserts a sale's income, to be folded into the seller's wallet later. It touches no other row of the
/// seller, so a popular seller's sales do not wait for each other.
///
/// # Errors
/// The database's.
pub async fn credit_in(
    tx: &mut Tx<'_>,
    journal: JournalId,
    member: MemberId,
    amount: Won,
) -> Result<(), sqlx::Error> {
    query("insert into credit (journal_id, member_id, amount) values ($1, $2, $3)")
        .bind(journal.0)
        .bind(i64::from(member))
        .bind(amount.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Gives a member an opening balance, once: cash from before these books. It counts as earned, because no
/// charge stands behind it that a refund could cancel.
///
/// # Errors
/// The database's.
pub async fn open_balance_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    amount: Won,
) -> Result<(), sqlx::Error> {
    let postings = [
        Posting::debit(Account::Opening, amount),
        Posting::credit(Account::WalletEarned(member), amount)?,
    ];
    let journal = post_in(tx, JournalKind::Opening, member.into(), &postings).await?;
    match journal {
        Some(journal) => credit_in(tx, journal, member, amount).await,
        None => Ok(()),
    }
}
