//! What a charge has left to give back, and the leg in flight that holds a part of it. The SQL of these columns of
//! `charge`, and of `gateway_cancel`.
//!
//! Of two cancels of a payment within a second the gateway does one, so a charge has one leg in flight, and a
//! pause after each cancel.

use std::collections::BTreeSet;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::{Leg, RefundId};
use crate::db::row::{column, optional};
use crate::db::{Tx, defect, overflow};
use crate::gateway::{Cancel, OrderId, PaymentKey};
use crate::payments::charge::ChargeId;

type Sql<T> = Result<T, sqlx::Error>;

/// Pause between two cancels of a charge: the gateway's second, and some of the network's time.
const PAUSE: Duration = Duration::from_millis(1_100);

/// The gateway's code for a cancel within a second of another. Nothing else is wrong with the charge.
const TOO_SOON: &str = "FORBIDDEN_CONSECUTIVE_REQUEST";

/// Legs of one refund that a charge may refuse so.
const TOO_SOON_MAX: i64 = 5;

/// Charges of a member that are looked through for one leg.
const CANDIDATES_MAX: i64 = 100;

/// A captured charge.
#[derive(Clone, Debug)]
pub(super) struct Balance {
    pub(super) id: ChargeId,
    pub(super) order: OrderId,
    pub(super) key: PaymentKey,
    captured: Won,
    refunded: Won,
    reserved: Won,
    reversed: Won,
    busy_leg: Option<i64>,
    last_cancel_at: UnixMillis,
}

/// Whether a charge can be cancelled now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    /// So much of it.
    Free(Won),
    /// Later.
    Pausing(UnixMillis),
    /// A leg is in flight.
    Busy,
    /// Nothing is left of it.
    Empty,
}

impl Balance {
    fn read(row: &AnyRow) -> Sql<Self> {
        let stored = |error: &dyn std::fmt::Display| defect(format!("a stored id: {error}"));
        let (order, key): (String, String) =
            (row.try_get("order_id")?, row.try_get("payment_key")?);
        Ok(Self {
            id: column(row, "id")?,
            order: OrderId::try_from(order).map_err(|error| stored(&error))?,
            key: PaymentKey::try_from(key).map_err(|error| stored(&error))?,
            captured: column(row, "captured")?,
            refunded: column(row, "refunded")?,
            reserved: column(row, "reserved")?,
            reversed: column(row, "reversed")?,
            busy_leg: optional(row, "busy_leg")?,
            last_cancel_at: column(row, "last_cancel_at")?,
        })
    }

    /// What is neither given back nor held for a leg.
    pub(super) fn left(&self) -> Sql<Won> {
        let gone = Won::checked_sum([self.refunded, self.reserved, self.reversed]);
        let left = gone.and_then(|gone| self.captured.checked_sub(gone));
        left.ok_or_else(overflow)
    }

    pub(super) fn availability(&self, now: UnixMillis) -> Sql<Availability> {
        let until = self.last_cancel_at.saturating_add(PAUSE);
        Ok(match self.left()? {
            _ if self.busy_leg.is_some() => Availability::Busy,
            Won::ZERO => Availability::Empty,
            _ if until > now => Availability::Pausing(until),
            left => Availability::Free(left),
        })
    }
}

/// What every query of a charge's balance reads.
macro_rules! balance {
    ($rest:literal) => {
        concat!(
            "select id, order_id, payment_key, captured, refunded, reserved, reversed, busy_leg, \
             last_cancel_at from charge ",
            $rest
        )
    };
}

/// A captured charge.
pub(super) async fn by_id(connection: &mut AnyConnection, id: ChargeId) -> Sql<Balance> {
    let row = query(balance!("where id = $1 and state = 'CAPTURED'")).bind(i64::from(id));
    Balance::read(&row.fetch_one(connection).await?)
}

/// A member's charges with something left, or held for a leg, newest first, without those that refused a leg of
/// this refund.
pub(super) async fn candidates(
    tx: &mut Tx<'_>,
    member: MemberId,
    refund: RefundId,
) -> Sql<Vec<Balance>> {
    let rows = query(balance!(
        "where member_id = $1 and state = 'CAPTURED' and captured > refunded + reversed \
         and not exists (select 1 from refund_leg l where l.charge_id = charge.id \
         and l.refund_id = $2 and l.state = 'REFUSED' and coalesce(l.last_code, '') <> $3) \
         and (select count(*) from refund_leg l where l.charge_id = charge.id \
         and l.refund_id = $2 and l.state = 'REFUSED') < $4 order by id desc limit $5"
    ))
    .bind(i64::from(member))
    .bind(i64::from(refund))
    .bind(TOO_SOON)
    .bind(TOO_SOON_MAX)
    .bind(CANDIDATES_MAX)
    .fetch_all(tx.connection())
    .await?;
    rows.iter().map(Balance::read).collect()
}

/// Holds a part of a charge for a leg. The charge is locked.
pub(super) async fn reserve(tx: &mut Tx<'_>, id: ChargeId, leg: &Leg) -> Sql<()> {
    let reserved = query(
        "update charge set reserved = reserved + $2, busy_leg = $3 where id = $1 \
         and busy_leg is null and captured - refunded - reserved - reversed >= $2",
    )
    .bind(i64::from(id))
    .bind(leg.amount.get())
    .bind(leg.id)
    .execute(tx.connection())
    .await?;
    one(reserved.rows_affected(), id)
}

/// Ends the hold of a leg: given back, or not. The charge is locked.
pub(super) async fn release(tx: &mut Tx<'_>, id: ChargeId, leg: &Leg, is_done: bool) -> Sql<()> {
    let now = tx.now().get();
    let released = query(
        "update charge set reserved = reserved - $2, refunded = refunded + $3, busy_leg = null, \
         last_cancel_at = $4 where id = $1 and busy_leg = $5",
    )
    .bind(i64::from(id))
    .bind(leg.amount.get())
    .bind(if is_done { leg.amount.get() } else { 0 })
    .bind(now)
    .bind(leg.id)
    .execute(tx.connection())
    .await?;
    one(released.rows_affected(), id)
}

/// Adds to what others gave back, which fits again if it did not before. The charge is locked.
pub(super) async fn reverse(tx: &mut Tx<'_>, id: ChargeId, amount: Won) -> Sql<()> {
    let now = tx.now().get();
    let reversed = query(
        "update charge set reversed = reversed + $2, last_cancel_at = $3, needs_attention = 0 \
         where id = $1",
    )
    .bind(i64::from(id))
    .bind(amount.get())
    .bind(now)
    .execute(tx.connection())
    .await?;
    one(reversed.rows_affected(), id)
}

/// Marks a charge for operators. The charge is locked.
pub(super) async fn flag(tx: &mut Tx<'_>, id: ChargeId) -> Sql<()> {
    query("update charge set needs_attention = 1 where id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn one(rows: u64, id: ChargeId) -> Sql<()> {
    match rows {
        1 => Ok(()),
        _ => Err(defect(format!("charge {} holds no such leg", id.get()))),
    }
}

/// The keys of the cancels of a charge that are in the books.
pub(super) async fn booked(tx: &mut Tx<'_>, id: ChargeId) -> Sql<BTreeSet<String>> {
    let rows = query("select transaction_key from gateway_cancel where charge_id = $1")
        .bind(i64::from(id))
        .fetch_all(tx.connection())
        .await?;
    rows.iter()
        .map(|row| row.try_get("transaction_key"))
        .collect()
}

/// Records a cancel; `None` if its key is in the books.
pub(super) async fn book(
    tx: &mut Tx<'_>,
    id: ChargeId,
    leg: Option<&Leg>,
    cancel: &Cancel,
) -> Sql<Option<i64>> {
    let now = tx.now();
    let row = query(
        "insert into gateway_cancel (transaction_key, charge_id, leg_id, amount, canceled_at, \
         created_at) values ($1, $2, $3, $4, $5, $6) on conflict (transaction_key) do nothing \
         returning id",
    )
    .bind(cancel.transaction_key.as_str())
    .bind(i64::from(id))
    .bind(leg.map(|leg| leg.id))
    .bind(cancel.amount.get())
    .bind(cancel.canceled_at.unwrap_or(now).get())
    .bind(now.get())
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| column(&row, "id")).transpose()
}
