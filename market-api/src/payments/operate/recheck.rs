//! Changes by operators. A query at once: the next one of a row becomes due now, and the reconciler of a running
//! server takes it. An acknowledgement: the row needs no attention any more.

use std::collections::BTreeSet;
use std::fmt;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::{Item, OperateError, Target};
use crate::db::row::column;
use crate::db::{Abort, Db, DbError, Lock, LockMode, Tx};

/// A query of ids, and what they are the ids of.
type Source = (&'static str, fn(u64) -> Item);

/// An item of a command, and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rechecked {
    /// The row.
    pub item: Item,
    /// Its state; a payment in suspense has none.
    pub state: String,
    /// False: it is settled, so the gateway has nothing to say and nothing was changed.
    pub is_due: bool,
}

/// An item whose mark was taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The row.
    pub item: Item,
    /// False: it had none, and nothing was changed.
    pub was_marked: bool,
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.was_marked {
            "is acknowledged"
        } else {
            "needs no attention; nothing was changed"
        };
        write!(f, "{} {result}", self.item)
    }
}

impl fmt::Display for Rechecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.is_due {
            "is checked now"
        } else {
            "is settled; nothing was changed"
        };
        write!(f, "{} {} {result}", self.item, self.state)
    }
}

/// The rows that a target names, in the order of the locks; none if it is unknown.
pub(super) async fn resolve(
    connection: &mut AnyConnection,
    target: &Target,
) -> Result<BTreeSet<Item>, sqlx::Error> {
    let order = match target {
        Target::Order(order) => order,
        Target::Item(item) => {
            let text = match item {
                Item::Charge(_) => "select id from charge where id = $1",
                Item::Refund(_) => "select id from refund where id = $1",
                Item::Suspense(_) => "select id from suspense_payment where id = $1",
            };
            let row = query(text).bind(item.bound()).fetch_optional(connection);
            return Ok(row.await?.map(|_row| *item).into_iter().collect());
        }
    };
    let tables: [Source; 2] = [
        ("select id from charge where order_id = $1", Item::Charge),
        (
            "select id from suspense_payment where order_id = $1",
            Item::Suspense,
        ),
    ];
    let mut found = BTreeSet::new();
    for (text, item) in tables {
        let rows = query(text).bind(order.as_str());
        for row in &rows.fetch_all(&mut *connection).await? {
            found.insert(item(column(row, "id")?));
        }
    }
    Ok(found)
}

/// Makes all of these due now, or none if one is unknown.
///
/// # Errors
/// See [`OperateError`].
pub async fn recheck_in(
    tx: &mut Tx<'_>,
    targets: &[Target],
) -> Result<Vec<Rechecked>, Abort<OperateError>> {
    let items = resolve_all(tx, targets).await?;
    let mut done = Vec::with_capacity(items.len());
    for item in items {
        note_lock(tx, item);
        done.push(make_due(tx, item).await?);
    }
    Ok(done)
}

/// Takes the marks off these, or off none if one is unknown. What still has no outcome is marked again later.
///
/// # Errors
/// See [`OperateError`].
pub async fn acknowledge_in(
    tx: &mut Tx<'_>,
    targets: &[Target],
) -> Result<Vec<Acknowledged>, Abort<OperateError>> {
    let items = resolve_all(tx, targets).await?;
    let mut done = Vec::with_capacity(items.len());
    for item in items {
        note_lock(tx, item);
        let text = match item {
            Item::Charge(_) => {
                "update charge set needs_attention = 0 where id = $1 and needs_attention = 1"
            }
            Item::Refund(_) => {
                "update refund set needs_attention = 0 where id = $1 and needs_attention = 1"
            }
            Item::Suspense(_) => {
                "update suspense_payment set needs_attention = 0 where id = $1 and needs_attention = 1"
            }
        };
        let updated = query(text).bind(item.bound()).execute(tx.connection());
        done.push(Acknowledged {
            item,
            was_marked: updated.await?.rows_affected() == 1,
        });
    }
    Ok(done)
}

/// The rows of all targets, in the order of the locks.
async fn resolve_all(
    tx: &mut Tx<'_>,
    targets: &[Target],
) -> Result<BTreeSet<Item>, Abort<OperateError>> {
    let mut items = BTreeSet::new();
    for target in targets {
        let mut found = resolve(tx.connection(), target).await?;
        if found.is_empty() {
            return Err(Abort::Refused(OperateError::Unknown(target.clone())));
        }
        items.append(&mut found);
    }
    Ok(items)
}

fn note_lock(tx: &mut Tx<'_>, item: Item) {
    match item {
        Item::Charge(id) => tx.note_locks([Lock::Charge(id)], LockMode::Exclusive),
        Item::Refund(id) => tx.note_locks([Lock::Refund(id)], LockMode::Exclusive),
        // The last rows of the transaction, in ascending order as everywhere.
        Item::Suspense(_) => {}
    }
}

/// A settled refund or payment in suspense stays so. A charge can change in any state: a late capture, or a cancel
/// at the gateway.
async fn make_due(tx: &mut Tx<'_>, item: Item) -> Result<Rechecked, sqlx::Error> {
    let text = match item {
        Item::Charge(_) => {
            "update charge set next_check_at = case when next_check_at < $2 then next_check_at else $2 end \
             where id = $1 returning state"
        }
        Item::Refund(_) => {
            "update refund set next_check_at = case when state <> 'OPEN' or next_check_at < $2 \
             then next_check_at else $2 end where id = $1 returning state"
        }
        Item::Suspense(_) => {
            "update suspense_payment set next_check_at = case when canceled = captured or next_check_at < $2 \
             then next_check_at else $2 end where id = $1 \
             returning case when canceled = captured then 'DONE' else 'OPEN' end as state"
        }
    };
    let now = tx.now().get();
    let row: AnyRow = query(text)
        .bind(item.bound())
        .bind(now)
        .fetch_one(tx.connection())
        .await?;
    let state: String = row.try_get("state")?;
    Ok(Rechecked {
        item,
        is_due: matches!(item, Item::Charge(_)) || state != "DONE",
        state,
    })
}

/// Everything that waits for its next query, in the order of the locks: at most `limit` of each kind, those that
/// wait longest for it.
///
/// # Errors
/// The database's.
pub async fn open_items(db: &Db, limit: u32) -> Result<BTreeSet<Item>, DbError> {
    let queues: [Source; 3] = [
        (
            "select id from charge where next_check_at > $1 order by next_check_at desc limit $2",
            Item::Charge,
        ),
        (
            "select id from refund where next_check_at > $1 order by next_check_at desc limit $2",
            Item::Refund,
        ),
        (
            "select id from suspense_payment where next_check_at > $1 order by next_check_at desc limit $2",
            Item::Suspense,
        ),
    ];
    let mut items = BTreeSet::new();
    let mut connection = db.read().await?;
    for (text, item) in queues {
        let rows = query(text).bind(db.now().get()).bind(i64::from(limit));
        for row in &rows.fetch_all(&mut *connection).await? {
            items.insert(item(column(row, "id")?));
        }
    }
    Ok(items)
}
