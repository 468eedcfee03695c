//! Captures and cancels as the books have them.

use std::fmt;

use shared::clock::UnixMillis;
use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use crate::db::Tx;
use crate::db::row::{column, optional};

type Sql<T> = Result<T, sqlx::Error>;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A capture, by the payment's key.
    Capture(String),
    /// A cancel, by its transaction's key.
    Cancel(String),
}

/// In the database: `capture KEY` or `cancel KEY`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Capture(key) => write!(f, "capture {key}"),
            Self::Cancel(key) => write!(f, "cancel {key}"),
        }
    }
}

impl Subject {
    pub(super) fn from_text(text: &str) -> Option<Self> {
        match text.split_once(' ')? {
            ("capture", key) => Some(Self::Capture(key.to_owned())),
            ("cancel", key) => Some(Self::Cancel(key.to_owned())),
            _ => None,
        }
    }
}

/// A capture or a cancel of the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Booked {
    pub(super) subject: Subject,
    pub(super) order: String,
    pub(super) amount: Won,
    /// Its time at the gateway; not kept of a payment in suspense.
    pub(super) at: Option<UnixMillis>,
}

impl Booked {
    fn read(row: &AnyRow, subject: impl Fn(String) -> Subject) -> Sql<Self> {
        Ok(Self {
            subject: subject(row.try_get("subject")?),
            order: row.try_get("order_id")?,
            amount: column(row, "amount")?,
            at: optional(row, "at_ms")?,
        })
    }
}

/// Captured charges from a moment until before another, and the end of what was read: earlier where there are more
/// than `limit`.
pub(super) async fn captures(
    connection: &mut AnyConnection,
    from: UnixMillis,
    until: UnixMillis,
    limit: i64,
) -> Sql<(Vec<Booked>, UnixMillis)> {
    let rows = query(
        "select payment_key as subject, order_id, amount, captured_at as at_ms from charge \
         where captured_at >= $1 and captured_at < $2 and state = 'CAPTURED' \
         order by captured_at limit $3",
    )
    .bind(from.get())
    .bind(until.get())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let rows = rows.iter().map(|row| Booked::read(row, Subject::Capture));
    Ok(cut(rows.collect::<Sql<_>>()?, from, until, limit))
}

/// Cancels, likewise.
pub(super) async fn cancels(
    connection: &mut AnyConnection,
    from: UnixMillis,
    until: UnixMillis,
    limit: i64,
) -> Sql<(Vec<Booked>, UnixMillis)> {
    let rows = query(
        "select g.transaction_key as subject, coalesce(c.order_id, s.order_id) as order_id, g.amount, \
         g.canceled_at as at_ms from gateway_cancel g left join charge c on c.id = g.charge_id \
         left join suspense_payment s on s.id = g.suspense_id \
         where g.canceled_at >= $1 and g.canceled_at < $2 order by g.canceled_at limit $3",
    )
    .bind(from.get())
    .bind(until.get())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let rows = rows.iter().map(|row| Booked::read(row, Subject::Cancel));
    Ok(cut(rows.collect::<Sql<_>>()?, from, until, limit))
}

/// A full answer may lack rows of its last moment: that is left to the next window, unless it is the first one, too.
fn cut(
    booked: Vec<Booked>,
    from: UnixMillis,
    until: UnixMillis,
    limit: i64,
) -> (Vec<Booked>, UnixMillis) {
    let is_full = i64::try_from(booked.len()).is_ok_and(|count| count >= limit);
    let last = booked.last().and_then(|booked| booked.at);
    let end = last.filter(|last| is_full && *last > from).unwrap_or(until);
    (booked, end)
}

/// The capture or cancel with this key, whatever its time.
pub(super) async fn find(
    connection: &mut AnyConnection,
    subject: &Subject,
    order: &str,
) -> Sql<Option<Booked>> {
    let row =
        match subject {
            Subject::Capture(key) => query(
                "select payment_key as subject, order_id, amount, captured_at as at_ms from charge \
                 where order_id = $2 and payment_key = $1 and state = 'CAPTURED' \
                 union all select payment_key, order_id, captured, null from suspense_payment \
                 where payment_key = $1",
            )
            .bind(key.as_str())
            .bind(order)
            .fetch_optional(connection)
            .await?,
            Subject::Cancel(key) => query(
                "select transaction_key as subject, $2 as order_id, amount, canceled_at as at_ms \
                 from gateway_cancel where transaction_key = $1",
            )
            .bind(key.as_str())
            .bind(order)
            .fetch_optional(connection)
            .await?,
        };
    let make = |key| match subject {
        Subject::Capture(_) => Subject::Capture(key),
        Subject::Cancel(_) => Subject::Cancel(key),
    };
    row.map(|row| Booked::read(&row, make)).transpose()
}

/// Has the payments in suspense of this order queried.
pub(super) async fn poke_suspense(tx: &mut Tx<'_>, order: &str) -> Sql<()> {
    let now = tx.now().get();
    query("update suspense_payment set next_check_at = $2 where order_id = $1 and next_check_at is null")
        .bind(order)
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}
