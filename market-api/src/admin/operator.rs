//! Operators' commands about payments, from the command line: recorded in the transaction that carries them out.

use std::collections::BTreeSet;
use std::fmt;

use crate::audit::{self, Actor, Entry};
use crate::db::{Abort, Db, Tx, WriteError};
use crate::payments::operate::{self, Acknowledged, Item, OperateError, Rechecked, Target};

/// Rows that one transaction makes due: it locks them all.
const AT_ONCE: usize = 100;

/// Bound of the rows of each kind that one command makes due.
const OPEN_MAX: u32 = 10_000;

/// The numbers of rows that became due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due {
    /// Charges.
    pub charges: usize,
    /// Refunds.
    pub refunds: usize,
    /// Payments in suspense.
    pub suspense: usize,
}

impl Due {
    fn add(&mut self, done: &Rechecked) {
        let count = match done.item {
            Item::Charge(_) => &mut self.charges,
            Item::Refund(_) => &mut self.refunds,
            Item::Suspense(_) => &mut self.suspense,
        };
        *count += usize::from(done.is_due);
    }
}

impl fmt::Display for Due {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            charges,
            refunds,
            suspense,
        } = self;
        write!(
            f,
            "checked now: charges: {charges}, refunds: {refunds}, payments in suspense: {suspense}"
        )
    }
}

/// Has the reconciler query the gateway for these at once, all or none.
///
/// # Errors
/// See [`OperateError`].
pub async fn recheck(db: &Db, targets: Vec<Target>) -> Result<Vec<Rechecked>, OperateError> {
    let done = db.write(targets, |targets, tx| Box::pin(recheck_in(targets, tx)));
    let done = done.await.map_err(WriteError::into_domain)?;
    for one in &done {
        tracing::info!(item = %one.item, state = one.state, due = one.is_due, "an operator's payments recheck");
    }
    Ok(done)
}

/// As [`recheck`], for everything that waits for its next query; at most 10,000 of each kind, those first that would
/// wait longest.
///
/// # Errors
/// See [`OperateError`]. What was made due by then stays so.
pub async fn recheck_open(db: &Db) -> Result<Due, OperateError> {
    let open: BTreeSet<Item> = operate::open_items(db, OPEN_MAX).await?;
    let open: Vec<_> = open.into_iter().map(Target::Item).collect();
    let mut due = Due::default();
    for some in open.chunks(AT_ONCE) {
        for done in recheck(db, some.to_vec()).await? {
            due.add(&done);
        }
    }
    Ok(due)
}

async fn recheck_in(
    targets: &[Target],
    tx: &mut Tx<'_>,
) -> Result<Vec<Rechecked>, Abort<OperateError>> {
    let done = operate::recheck_in(tx, targets).await?;
    for one in done.iter().filter(|one| one.is_due) {
        note(tx, "payments.recheck", one.item).await?;
    }
    Ok(done)
}

/// Takes the marks off these, all or none: an operator has dealt with them.
///
/// # Errors
/// See [`OperateError`].
pub async fn acknowledge(db: &Db, targets: Vec<Target>) -> Result<Vec<Acknowledged>, OperateError> {
    let done = db.write(targets, |targets, tx| Box::pin(acknowledge_in(targets, tx)));
    let done = done.await.map_err(WriteError::into_domain)?;
    for one in &done {
        tracing::info!(item = %one.item, was_marked = one.was_marked, "an operator's payments acknowledge");
    }
    Ok(done)
}

async fn acknowledge_in(
    targets: &[Target],
    tx: &mut Tx<'_>,
) -> Result<Vec<Acknowledged>, Abort<OperateError>> {
    let done = operate::acknowledge_in(tx, targets).await?;
    for one in done.iter().filter(|one| one.was_marked) {
        note(tx, "payments.acknowledge", one.item).await?;
    }
    Ok(done)
}

async fn note(tx: &mut Tx<'_>, action: &str, item: Item) -> Result<(), sqlx::Error> {
    let entry = Entry {
        actor: Actor::System,
        action,
        target: &item.to_string(),
        request: None,
    };
    audit::append_in(tx, entry).await
}
