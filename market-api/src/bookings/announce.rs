//! Start and end of bookings as events. Each is a scheduled job, put in the purchase's transaction: it
//! survives restarts, and one instance runs it.
//!
//! The event is appended in the transaction that finishes the job, so it is appended once. A start that is
//! overdue together with its end is announced before it, by the end's job.

use shared::event::{BookedTime, Event};
use shared::ids::TradeId;

use super::{Slot, repo};
use crate::db::{Abort, Db, Tx, WriteError, defect};
use crate::outbox::{self, NewEvent};
use crate::schedule::{self, Due, HandlerError, Lost, Outcome, Worker};

const START: &str = "booking-start";
const END: &str = "booking-end";

/// Jobs of each name that one instance runs concurrently: one short transaction each.
const AT_ONCE: usize = 4;

/// The workers that announce starts and ends.
#[must_use]
pub fn workers(db: &Db) -> Vec<Worker> {
    let worker = |name| {
        let db = db.clone();
        Worker {
            name,
            at_once: AT_ONCE,
            handler: Box::new(move |due| Box::pin(announce(db.clone(), due))),
        }
    };
    vec![worker(START), worker(END)]
}

/// Schedules both announcements of a booking.
pub(super) async fn put_in(tx: &mut Tx<'_>, trade: TradeId, slot: Slot) -> Result<(), sqlx::Error> {
    let key = trade.to_string();
    schedule::put(tx, START, &key, slot.starts_at, "").await?;
    schedule::put(tx, END, &key, slot.ends_at, "").await
}

async fn announce(db: Db, due: Due) -> Result<Outcome, HandlerError> {
    let done = db
        .write(due, |due, tx| Box::pin(announce_in(due, tx)))
        .await;
    match done {
        // Lost: another instance has announced it.
        Ok(()) | Err(WriteError::Refused(Lost)) => Ok(Outcome::Done),
        Err(WriteError::Db(error)) => Err(error.into()),
    }
}

async fn announce_in(due: &Due, tx: &mut Tx<'_>) -> Result<(), Abort<Lost>> {
    let trade = trade_of(&due.key)?;
    // The start's job before the own one: a concurrent handler of it holds only that row.
    let is_start_open = due.name == END && schedule::remove(tx, START, &due.key).await?;
    due.finish_in(tx).await?;
    let time = repo::booked_time(tx, trade).await?;
    let time = time.ok_or_else(|| defect(format!("trade {trade} has no booking")))?;
    if due.name == START || is_start_open {
        append(tx, Event::WifiStarted(time.clone()), &time).await?;
    }
    if due.name == END {
        append(tx, Event::WifiEnded(time.clone()), &time).await?;
    }
    Ok(())
}

async fn append(tx: &mut Tx<'_>, event: Event, time: &BookedTime) -> Result<(), sqlx::Error> {
    let new = NewEvent {
        event,
        aggregate: time.trade_id.into(),
        members: vec![time.buyer_id, time.seller_id],
    };
    outbox::append(tx, &new).await
}

fn trade_of(key: &str) -> Result<TradeId, sqlx::Error> {
    key.parse()
        .map_err(|_invalid| defect(format!("job of a booking: {key:?} is no trade")))
}
