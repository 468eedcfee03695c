//! The market's books, read from its database for the judge.

use std::collections::BTreeMap;

use market_api::db::row::{column, optional};
use market_api::db::{Db, DbError};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row as _, query};

/// A charge's row.
#[derive(Clone, Debug)]
pub(crate) struct ChargeRow {
    pub(crate) id: i64,
    pub(crate) member: u32,
    pub(crate) amount: i64,
    pub(crate) state: String,
    pub(crate) refunded: i64,
    pub(crate) reversed: i64,
    pub(crate) trade: Option<u32>,
    pub(crate) code: Option<String>,
    pub(crate) checks: i64,
    pub(crate) is_due: bool,
}

/// Captured money that matches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) captured: i64,
    pub(crate) canceled: i64,
}

/// A refund's row.
#[derive(Clone, Debug)]
pub(crate) struct RefundRow {
    pub(crate) id: i64,
    pub(crate) member: u32,
    pub(crate) request: String,
    pub(crate) amount: i64,
    pub(crate) returned: i64,
    pub(crate) remain: i64,
    pub(crate) state: String,
    pub(crate) trade: u32,
    pub(crate) is_due: bool,
}

/// A leg's row.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "two fields are only printed")]
pub(crate) struct LegRow {
    pub(crate) refund: i64,
    pub(crate) n: i64,
    pub(crate) kind: String,
    pub(crate) state: String,
    pub(crate) amount: i64,
    pub(crate) sends: i64,
    /// The last send.
    pub(crate) sent_at: i64,
    pub(crate) code: Option<String>,
}

impl LegRow {
    /// Its name at the gateway and the provider.
    pub(crate) fn name(&self) -> String {
        format!("refund-{}-{}", self.refund, self.n)
    }
}

/// What the database says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// By order.
    pub(crate) charges: BTreeMap<String, ChargeRow>,
    /// Postings to wallets, by charge.
    pub(crate) credits: BTreeMap<i64, Vec<i64>>,
    /// By order.
    pub(crate) suspense: BTreeMap<String, Held>,
    pub(crate) refunds: Vec<RefundRow>,
    pub(crate) legs: Vec<LegRow>,
    /// `cash.charged` events to the chat server, by trade.
    pub(crate) events: BTreeMap<u32, i64>,
    /// `cash.refunded` events, by trade.
    pub(crate) refund_events: BTreeMap<u32, i64>,
    pub(crate) opening: i64,
    pub(crate) wallets: i64,
    pub(crate) credits_open: i64,
    pub(crate) owed: i64,
    pub(crate) in_transit: i64,
}

/// The sums, for a message.
#[derive(Debug)]
#[expect(dead_code, reason = "its fields are printed")]
pub(crate) struct Sums {
    wallets: i64,
    credits_open: i64,
    owed: i64,
    in_transit: i64,
}

impl Books {
    pub(crate) async fn read(db: &Db) -> Result<Self, DbError> {
        let mut books = Self::default();
        books.add_charges(db).await?;
        books.add_refunds(db).await?;
        let events = "select kind, aggregate, count(*) as events from outbox \
            where kind in ('cash.charged', 'cash.refunded') group by kind, aggregate";
        for row in &rows(db, events).await? {
            let (kind, aggregate): (String, String) =
                (row.try_get("kind")?, row.try_get("aggregate")?);
            let trade = aggregate.rsplit(':').next().and_then(|id| id.parse().ok());
            let of = match kind == "cash.charged" {
                true => &mut books.events,
                false => &mut books.refund_events,
            };
            of.insert(trade.unwrap_or_default(), column(row, "events")?);
        }
        let sums = "select cast((select coalesce(-sum(amount), 0) from posting join journal on journal.id = journal_id \
            where kind = 'opening' and account = 'wallet_earned') as bigint) as opening, \
            cast((select coalesce(sum(charged + earned), 0) from wallet) as bigint) as wallets, \
            cast((select coalesce(sum(owed), 0) from wallet) as bigint) as owed, \
            cast((select coalesce(sum(amount), 0) from credit where folded = 0) as bigint) as credits_open, \
            cast((select coalesce(-sum(amount), 0) from posting where account = 'in_transit') as bigint) \
            as in_transit";
        for row in &rows(db, sums).await? {
            books.opening = column(row, "opening")?;
            books.wallets = column(row, "wallets")?;
            books.owed = column(row, "owed")?;
            books.credits_open = column(row, "credits_open")?;
            books.in_transit = column(row, "in_transit")?;
        }
        Ok(books)
    }

    async fn add_charges(&mut self, db: &Db) -> Result<(), DbError> {
        let charges = "select id, order_id, member_id, amount, state, refunded, reversed, trade_id, last_code, \
            checks, next_check_at from charge";
        for row in &rows(db, charges).await? {
            let charge = ChargeRow {
                id: column(row, "id")?,
                member: column(row, "member_id")?,
                amount: column(row, "amount")?,
                state: row.try_get("state")?,
                refunded: column(row, "refunded")?,
                reversed: column(row, "reversed")?,
                trade: optional(row, "trade_id")?,
                code: row.try_get("last_code")?,
                checks: column(row, "checks")?,
                is_due: optional::<i64>(row, "next_check_at")?.is_some(),
            };
            self.charges.insert(row.try_get("order_id")?, charge);
        }
        let credits = "select ref_id, -amount as amount from journal join posting on journal_id = journal.id \
            where kind = 'charge' and account = 'wallet_charged'";
        for row in &rows(db, credits).await? {
            let of = self.credits.entry(column(row, "ref_id")?).or_default();
            of.push(column(row, "amount")?);
        }
        let suspense = "select order_id, captured, canceled from suspense_payment";
        for row in &rows(db, suspense).await? {
            let held: &mut Held = self.suspense.entry(row.try_get("order_id")?).or_default();
            held.captured += column::<i64>(row, "captured")?;
            held.canceled += column::<i64>(row, "canceled")?;
        }
        Ok(())
    }

    async fn add_refunds(&mut self, db: &Db) -> Result<(), DbError> {
        let refunds = "select id, member_id, request_id, amount, returned_charged + returned_earned as returned, \
            remain_cash, state, trade_id, next_check_at from refund";
        for row in &rows(db, refunds).await? {
            self.refunds.push(RefundRow {
                id: column(row, "id")?,
                member: column(row, "member_id")?,
                request: row.try_get("request_id")?,
                amount: column(row, "amount")?,
                returned: column(row, "returned")?,
                remain: column(row, "remain_cash")?,
                state: row.try_get("state")?,
                trade: column(row, "trade_id")?,
                is_due: optional::<i64>(row, "next_check_at")?.is_some(),
            });
        }
        let legs = "select refund_id, n, kind, state, amount, sends, coalesce(sent_at, created_at) as sent_at, last_code from refund_leg order by id";
        for row in &rows(db, legs).await? {
            self.legs.push(LegRow {
                refund: column(row, "refund_id")?,
                n: column(row, "n")?,
                kind: row.try_get("kind")?,
                state: row.try_get("state")?,
                amount: column(row, "amount")?,
                sends: column(row, "sends")?,
                sent_at: column(row, "sent_at")?,
                code: row.try_get("last_code")?,
            });
        }
        Ok(())
    }

    pub(crate) const fn sums(&self) -> Sums {
        Sums {
            wallets: self.wallets,
            credits_open: self.credits_open,
            owed: self.owed,
            in_transit: self.in_transit,
        }
    }

    /// Charges by state.
    pub(crate) fn states(&self) -> BTreeMap<&str, usize> {
        let mut states = BTreeMap::new();
        for charge in self.charges.values() {
            *states.entry(charge.state.as_str()).or_default() += 1;
        }
        states
    }

    /// Legs by kind and state.
    pub(crate) fn leg_states(&self) -> BTreeMap<(&str, &str), usize> {
        let mut states = BTreeMap::new();
        for leg in &self.legs {
            *states
                .entry((leg.kind.as_str(), leg.state.as_str()))
                .or_default() += 1;
        }
        states
    }
}

async fn rows(db: &Db, text: &'static str) -> Result<Vec<AnyRow>, DbError> {
    let rows = query(AssertSqlSafe(text));
    Ok(rows.fetch_all(&mut *db.read().await?).await?)
}
