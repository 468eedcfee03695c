//! The SQL of charges.

use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;
use shared::web::PageSize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::{Charge, ChargeId, ChargeState};
use crate::db::row::{column, named, optional};
use crate::db::{Lock, LockMode, Tx, defect, locking};
use crate::gateway::{OrderId, Payment, PaymentKey};

type Sql<T> = Result<T, sqlx::Error>;

/// What every query of a charge reads.
macro_rules! charge {
    ($rest:literal) => {
        concat!(
            "select id, order_id, member_id, amount, state, payment_key, confirmed_at, due_at, \
             next_check_at, checks, trade_id, created_at from charge ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> Sql<Charge> {
    let stored = |error: &dyn std::fmt::Display| defect(format!("a stored id: {error}"));
    let order: String = row.try_get("order_id")?;
    let key: Option<String> = row.try_get("payment_key")?;
    Ok(Charge {
        id: column(row, "id")?,
        order: OrderId::try_from(order).map_err(|error| stored(&error))?,
        member: column(row, "member_id")?,
        amount: column(row, "amount")?,
        state: named(row, "state")?,
        key: key
            .map(PaymentKey::try_from)
            .transpose()
            .map_err(|error| stored(&error))?,
        confirmed_at: optional(row, "confirmed_at")?,
        due_at: optional(row, "due_at")?,
        next_check_at: optional(row, "next_check_at")?,
        checks: column(row, "checks")?,
        trade: optional(row, "trade_id")?,
        created_at: column(row, "created_at")?,
    })
}

/// The charge of an order.
pub(in crate::payments) async fn by_order(
    connection: &mut AnyConnection,
    order: &OrderId,
) -> Sql<Option<Charge>> {
    let row = query(charge!("where order_id = $1")).bind(order.as_str());
    row.fetch_optional(connection)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// A charge.
pub(in crate::payments) async fn by_id(
    connection: &mut AnyConnection,
    id: ChargeId,
) -> Sql<Option<Charge>> {
    let row = query(charge!("where id = $1")).bind(i64::from(id));
    row.fetch_optional(connection)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// A page of a member's charges, newest first: one row more than `size`, of ids below `below`.
pub(in crate::payments) async fn page_of(
    connection: &mut AnyConnection,
    member: MemberId,
    below: i64,
    size: PageSize,
) -> Sql<Vec<Charge>> {
    let rows = query(charge!(
        "where member_id = $1 and id < $2 order by id desc limit $3"
    ))
    .bind(i64::from(member))
    .bind(below)
    .bind(i64::from(size.get()) + 1)
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

/// Locks a charge, and reads it in the next statement.
pub(in crate::payments) async fn lock(tx: &mut Tx<'_>, id: ChargeId) -> Sql<Charge> {
    let text = locking!(
        tx,
        [Lock::Charge(id.get().into())],
        "select id from charge where id = $1"
    );
    let row = query(text).bind(i64::from(id));
    row.fetch_one(tx.connection()).await?;
    let charge = by_id(tx.connection(), id).await?;
    charge.ok_or(sqlx::Error::RowNotFound)
}

/// The orders that a member saved after a time, of the newest `limit`.
pub(in crate::payments) async fn count_since(
    tx: &mut Tx<'_>,
    member: MemberId,
    since: UnixMillis,
    limit: i64,
) -> Sql<i64> {
    let row = query(
        "select count(*) as saved from (select created_at from charge where member_id = $1 \
         order by id desc limit $3) as newest where created_at > $2",
    )
    .bind(i64::from(member))
    .bind(since.get())
    .bind(limit)
    .fetch_one(tx.connection())
    .await?;
    column(&row, "saved")
}

/// Saves an order, or replaces its amount; false if it is another member's, or has another amount that cannot be
/// replaced any more.
pub(in crate::payments) async fn save(
    tx: &mut Tx<'_>,
    member: MemberId,
    order: &OrderId,
    amount: Won,
) -> Sql<bool> {
    let now = tx.now().get();
    let row = query(
        "insert into charge (order_id, member_id, amount, created_at) values ($1, $2, $3, $4) \
         on conflict (order_id) do update set amount = excluded.amount \
         where charge.member_id = excluded.member_id \
         and (charge.state = 'CREATED' or charge.amount = excluded.amount) returning id",
    )
    .bind(order.as_str())
    .bind(i64::from(member))
    .bind(amount.get())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Claims a payment for the charge of an order; false if it pays another charge.
pub(in crate::payments) async fn claim_key(
    tx: &mut Tx<'_>,
    key: &PaymentKey,
    id: ChargeId,
) -> Sql<bool> {
    let row = query(
        "insert into payment_key (key, charge_id) values ($1, $2) \
         on conflict (key) do update set charge_id = excluded.charge_id \
         where payment_key.charge_id = excluded.charge_id returning key",
    )
    .bind(key.as_str())
    .bind(i64::from(id))
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// Begins the confirmation of a charge that none has begun; false if the state is another by now.
pub(in crate::payments) async fn begin(
    tx: &mut Tx<'_>,
    id: ChargeId,
    key: &PaymentKey,
    amount: Won,
    check_at: UnixMillis,
) -> Sql<bool> {
    tx.note_locks([Lock::Charge(id.get().into())], LockMode::Exclusive);
    let now = tx.now().get();
    let begun = query(
        "update charge set state = 'CONFIRMING', payment_key = $2, confirmed_at = $3, \
         next_check_at = $4 where id = $1 and amount = $5 and state = 'CREATED'",
    )
    .bind(i64::from(id))
    .bind(key.as_str())
    .bind(now)
    .bind(check_at.get())
    .bind(amount.get())
    .execute(tx.connection())
    .await?;
    Ok(begun.rows_affected() == 1)
}

/// Marks a charge as captured, with its trade.
pub(in crate::payments) async fn capture(
    tx: &mut Tx<'_>,
    id: ChargeId,
    payment: &Payment,
    trade: TradeId,
) -> Sql<()> {
    let now = tx.now();
    let captured_at = payment.approved_at.unwrap_or(now);
    query(
        "update charge set state = 'CAPTURED', captured = amount, trade_id = $2, payment_key = $3, \
         method = $4, receipt_url = $5, captured_at = $6, needs_attention = 0 where id = $1",
    )
    .bind(i64::from(id))
    .bind(i64::from(trade))
    .bind(payment.key.as_str())
    .bind(payment.method.as_deref())
    .bind(payment.receipt_url.as_deref())
    .bind(captured_at.get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The changes of a charge that is not captured.
#[derive(Clone, Copy, Debug)]
pub(in crate::payments) struct Progress<'a> {
    pub(in crate::payments) state: ChargeState,
    pub(in crate::payments) due_at: Option<UnixMillis>,
    pub(in crate::payments) code: Option<&'a str>,
    pub(in crate::payments) needs_attention: bool,
}

pub(in crate::payments) async fn set_state(
    tx: &mut Tx<'_>,
    id: ChargeId,
    to: Progress<'_>,
) -> Sql<()> {
    query(
        "update charge set state = $2, due_at = coalesce($3, due_at), last_code = $4, \
         needs_attention = $5 where id = $1",
    )
    .bind(i64::from(id))
    .bind(to.state.name())
    .bind(to.due_at.map(UnixMillis::get))
    .bind(to.code)
    .bind(i64::from(to.needs_attention))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Sets the next query, unless it was changed since `lease`: a webhook has asked for one meanwhile.
pub(in crate::payments) async fn set_next_check(
    tx: &mut Tx<'_>,
    id: ChargeId,
    lease: Option<UnixMillis>,
    next: Option<UnixMillis>,
) -> Sql<()> {
    query(
        "update charge set next_check_at = case when coalesce(next_check_at, 0) = $2 then $3 \
         else next_check_at end where id = $1",
    )
    .bind(i64::from(id))
    .bind(lease.map_or(0, UnixMillis::get))
    .bind(next.map(UnixMillis::get))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Makes a charge due for a query, at the earliest `pause` after its last one; false for an unknown order. The
/// charge is the only row that the transaction locks.
pub(in crate::payments) async fn poke(
    tx: &mut Tx<'_>,
    order: &OrderId,
    pause: Duration,
) -> Sql<bool> {
    let (now, since) = (tx.now(), tx.now().saturating_sub(pause));
    let later = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    let poked = query(
        "update charge set next_check_at = case when checked_at > $3 \
         then case when next_check_at < checked_at + $4 then next_check_at else checked_at + $4 end \
         else case when next_check_at < $2 then next_check_at else $2 end end where order_id = $1",
    )
    .bind(order.as_str())
    .bind(now.get())
    .bind(since.get())
    .bind(later)
    .execute(tx.connection())
    .await?;
    Ok(poked.rows_affected() == 1)
}

/// The order of a payment that some charge claims.
pub(in crate::payments) async fn order_of_key(
    tx: &mut Tx<'_>,
    key: &PaymentKey,
) -> Sql<Option<OrderId>> {
    let row = query(
        "select c.order_id from payment_key k join charge c on c.id = k.charge_id where k.key = $1",
    )
    .bind(key.as_str())
    .fetch_optional(tx.connection())
    .await?;
    let order: Option<String> = row.map(|row| row.try_get("order_id")).transpose()?;
    order
        .map(OrderId::try_from)
        .transpose()
        .map_err(|error| defect(format!("a stored id: {error}")))
}
