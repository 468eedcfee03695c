//! Notifications of the gateway: unsigned, so only pointers to a charge. Each is stored and makes its charge due
//! for a query; nothing else in it is believed (`money.md`, "Charge").

use std::time::Duration;

use serde::Deserialize;
use shared::clock::UnixMillis;
use sqlx::query;

use super::Payments;
use super::charge::{QUERY_EVERY, repo};
use super::suspense::check_stray;
use crate::db::{Abort, DbError, Tx};
use crate::gateway::{OrderId, PaymentKey};
use crate::schedule::{self, Due, HandlerError, Outcome};

/// Scheduled job: whether the gateway has money for an order that is not in the books. Its key is the order.
pub(super) const STRAY: &str = "stray-payment";

/// Bound of a stored notification in bytes; a longer one is cut.
const STORED_MAX: usize = 8 << 10;

/// Time that notifications are kept.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The pointers of a notification, in the two forms that Toss Payments sends.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Notification {
    event_type: Option<String>,
    order_id: Option<String>,
    payment_key: Option<String>,
    data: Pointers,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Pointers {
    order_id: Option<String>,
    payment_key: Option<String>,
}

/// A notification to store.
#[derive(Debug)]
struct Stored {
    kind: String,
    order: Option<OrderId>,
    key: Option<PaymentKey>,
    body: String,
}

/// See [`Payments::notify`].
pub(super) async fn notify(payments: &Payments, body: &[u8]) -> Result<(), DbError> {
    let stored = read(body);
    let db = &payments.parts.db;
    let known = db.write(stored, |stored, tx| Box::pin(store_in(stored, tx)));
    let known = known.await?;
    let label = if known { "known" } else { "unknown" };
    let webhooks = &payments.parts.metrics.payments.webhooks;
    webhooks.with_label_values(&[label]).inc();
    Ok(())
}

/// Looks an unknown order up at the gateway.
pub(super) async fn run_stray(payments: &Payments, due: &Due) -> Result<Outcome, HandlerError> {
    if let Ok(order) = OrderId::try_from(due.key.clone()) {
        let checked = check_stray(payments, order).await;
        checked.map_err(|error| HandlerError(error.to_string()))?;
    }
    Ok(Outcome::Done)
}

fn read(body: &[u8]) -> Stored {
    let seen: Notification = serde_json::from_slice(body).unwrap_or_default();
    let order = seen.data.order_id.or(seen.order_id);
    let key = seen.data.payment_key.or(seen.payment_key);
    let kind = seen.event_type.unwrap_or_else(|| "UNREADABLE".to_owned());
    let cut = body.get(..STORED_MAX).unwrap_or(body);
    Stored {
        kind: kind.chars().take(64).collect(),
        order: order.and_then(|order| OrderId::try_from(order).ok()),
        key: key.and_then(|key| PaymentKey::try_from(key).ok()),
        // PostgreSQL stores no NUL.
        body: String::from_utf8_lossy(cut).replace('\0', "\u{fffd}"),
    }
}

/// True if the order is in the books.
async fn store_in(
    stored: &Stored,
    tx: &mut Tx<'_>,
) -> Result<bool, Abort<std::convert::Infallible>> {
    let now = tx.now();
    query(
        "insert into webhook (received_at, kind, order_id, payment_key, body) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(now.get())
    .bind(stored.kind.replace('\0', "\u{fffd}"))
    .bind(stored.order.as_ref().map(OrderId::as_str))
    .bind(stored.key.as_ref().map(PaymentKey::as_str))
    .bind(stored.body.as_str())
    .execute(tx.connection())
    .await?;
    let order = match (&stored.order, &stored.key) {
        (Some(order), _) => Some(order.clone()),
        (None, Some(key)) => repo::order_of_key(tx, key).await?,
        (None, None) => None,
    };
    let Some(order) = order else {
        return Ok(false);
    };
    if repo::poke(tx, &order, QUERY_EVERY).await? {
        return Ok(true);
    }
    schedule::put(tx, STRAY, order.as_str(), now, "").await?;
    Ok(false)
}

/// Deletes old notifications.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let before: UnixMillis = tx.now().saturating_sub(KEEP);
    query("delete from webhook where received_at < $1")
        .bind(before.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}
