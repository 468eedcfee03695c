//! The nightly comparison of the gateway's transactions with the books.
//!
//! ```text
//! compared ─► a window of the gateway's list, the same window of the books ─► differences, compared moves ahead
//! … until midnight ─► open differences once more ─► 4 o'clock of the next night, or an hour later while some are open
//! ```
//!
//! Each run of the job takes one window, of about a page, so that a run is short and a failure repeats little; the
//! place reached is in the job's row, so that missed nights are caught up. What the books lack is looked up at the
//! gateway by those who do that always: the reconciler, and the job for unknown orders.
//!
//! What this module does not do: credit, or change a charge. A difference is a row for operators.

mod books;
mod difference;
mod heal;
mod progress;

use std::collections::HashMap;
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::money::Won;

use self::books::{Booked, Subject};
use self::difference::{Difference, Kind};
use self::progress::Progress;
use super::PaymentsParts;
use super::status::GatewayStatus;
use crate::db::{Abort, DbError, WriteError};
use crate::gateway::{Gateway, GatewayResult, PaymentStatus, Transaction, TransactionPage};
use crate::schedule::{self, Due, HandlerError, Lost, Outcome};

pub use difference::{Differences, differences};
pub use progress::next_night;

/// The name of the job.
pub const COMPARISON: &str = "gateway-comparison";

/// Pages of a window. One has at least a page, more only if no money moved on its rows.
const PAGES_MAX: usize = 20;

/// Rows of the books in a window. The window ends earlier where there are more.
const BOOKED_MAX: i64 = 1_000;

/// Differences that a run looks at again, each with at most one call of the gateway.
const REVIEWED_MAX: i64 = 10;

/// The times of a payment and of its row in the list may lie on two sides of a window's end.
const SKEW: Duration = Duration::from_secs(10 * 60);

/// Rows that the list of a window lacks and that are looked for beyond it, by one call each.
const SECOND_LOOKS_MAX: usize = 10;

/// Time between two looks at open differences.
const REVIEW_EVERY: Duration = Duration::from_secs(60 * 60);

/// Runs the job.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) parts: PaymentsParts,
    pub(super) status: GatewayStatus,
}

/// A part of the list: the captures and cancels from a moment until before another.
#[derive(Debug)]
struct Window {
    rows: Vec<Transaction>,
    until: UnixMillis,
}

impl Comparison {
    /// One step: a window, or some open differences.
    pub(super) async fn run(&self, due: Due) -> Result<Outcome, HandlerError> {
        let now = self.parts.db.now();
        let Some(gateway) = self.parts.gateway.clone() else {
            return Ok(Outcome::Again(next_night(now)));
        };
        let mut progress = Progress::read(&due.body, now);
        let horizon = progress::horizon(now);
        let (found, resolved) = if progress.compared < horizon {
            let until = progress::next_midnight(progress.compared).min(horizon);
            let (found, until) = self.compare(&*gateway, progress.compared, until).await?;
            progress.compared = until;
            // The review begins when the window is the last one.
            progress.reviewed = (until >= horizon).then_some(0);
            (found, Vec::new())
        } else {
            self.review(&*gateway, &mut progress).await?
        };
        self.record(due, progress, found, resolved).await?;
        Ok(Outcome::Done)
    }

    /// Compares a window that begins at `from` and ends at `until` or earlier.
    async fn compare(
        &self,
        gateway: &dyn Gateway,
        from: UnixMillis,
        until: UnixMillis,
    ) -> Result<(Vec<Difference>, UnixMillis), HandlerError> {
        let mut window = self.window(gateway, from, until).await?;
        let (booked, end) = self.booked_in(from, window.until).await?;
        window.rows.retain(|row| row.at < end);
        let mut booked: HashMap<Subject, Booked> = booked
            .into_iter()
            .map(|booked| (booked.subject.clone(), booked))
            .collect();
        let mut found = Vec::new();
        for row in &window.rows {
            let subject = subject_of(row);
            let ours = match booked.remove(&subject) {
                Some(booked) => Some(booked),
                None => self.booked(&subject, row.order.as_str()).await?,
            };
            found.extend(match ours {
                Some(ours) => Difference::between(&ours, Some(row.amount)),
                None => self.missing(row).await?,
            });
        }
        let lacking = booked.into_values().enumerate();
        for (n, ours) in lacking {
            let theirs = match n < SECOND_LOOKS_MAX {
                true => self.listed(gateway, &ours).await?,
                false => None,
            };
            found.extend(Difference::between(&ours, theirs));
        }
        found.iter().for_each(Difference::log);
        Ok((found, end))
    }

    /// The first rows of the list from `from`, at least a page of them if there are so many.
    async fn window(
        &self,
        gateway: &dyn Gateway,
        from: UnixMillis,
        until: UnixMillis,
    ) -> Result<Window, HandlerError> {
        let mut rows: Vec<Transaction> = Vec::new();
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(gateway.transactions(from, until, after.as_deref()).await)?;
            rows.extend(page.transactions);
            after = page.next;
            if after.is_none() {
                return Ok(Window { rows, until });
            }
            // Further rows of the last moment are on the next page.
            let last = rows.last().map(|row| row.at).filter(|last| *last > from);
            if let Some(last) = last {
                rows.retain(|row| row.at < last);
                return Ok(Window { rows, until: last });
            }
        }
        let reason = format!("the gateway's list has more than {PAGES_MAX} pages at {from:?}");
        Err(HandlerError(reason))
    }

    fn page(&self, page: GatewayResult<TransactionPage>) -> Result<TransactionPage, HandlerError> {
        self.status.note(&page);
        page.map_err(|error| HandlerError(format!("the gateway's list: {error}")))
    }

    /// The amount of a row of the books in the gateway's list around its time.
    async fn listed(
        &self,
        gateway: &dyn Gateway,
        ours: &Booked,
    ) -> Result<Option<Won>, HandlerError> {
        let Some(at) = ours.at else {
            return Ok(None);
        };
        let (from, until) = (at.saturating_sub(SKEW), at.saturating_add(SKEW));
        let mut after: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = self.page(gateway.transactions(from, until, after.as_deref()).await)?;
            let rows = &page.transactions;
            if let Some(row) = rows.iter().find(|row| subject_of(row) == ours.subject) {
                return Ok(Some(row.amount));
            }
            after = page.next;
            if after.is_none() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Captures and cancels in the books, until `until` or, where there are many, until an earlier moment.
    async fn booked_in(
        &self,
        from: UnixMillis,
        until: UnixMillis,
    ) -> Result<(Vec<Booked>, UnixMillis), DbError> {
        let mut connection = self.parts.db.read().await?;
        let (mut booked, until) = books::captures(&mut connection, from, until, BOOKED_MAX).await?;
        let (cancels, until) = books::cancels(&mut connection, from, until, BOOKED_MAX).await?;
        booked.extend(cancels);
        booked.retain(|booked| booked.at.is_some_and(|at| at < until));
        Ok((booked, until))
    }

    async fn booked(&self, subject: &Subject, order: &str) -> Result<Option<Booked>, DbError> {
        let mut connection = self.parts.db.read().await?;
        Ok(books::find(&mut connection, subject, order).await?)
    }

    /// A row of the gateway that the books lack. A cancel counts only if the books have its payment: without, the
    /// capture is what is missing.
    async fn missing(&self, row: &Transaction) -> Result<Option<Difference>, HandlerError> {
        let (db, subject) = (&self.parts.db, subject_of(row));
        if let Subject::Cancel(_) = subject {
            let capture = Subject::Capture(row.payment_key.as_str().to_owned());
            match self.booked(&capture, row.order.as_str()).await? {
                None => return Ok(None),
                Some(held) if held.at.is_none() => heal::take_cancel(db, row, held.amount).await?,
                Some(_charge) => {}
            }
        }
        let difference = Difference {
            kind: Kind::MissingInBooks,
            subject,
            order: row.order.as_str().to_owned(),
            ours: Won::ZERO,
            theirs: row.amount,
        };
        heal::heal(db, &difference).await?;
        Ok(Some(difference))
    }

    /// Looks at open differences again: the new ones, and the ids of those that are gone.
    async fn review(
        &self,
        gateway: &dyn Gateway,
        progress: &mut Progress,
    ) -> Result<(Vec<Difference>, Vec<i64>), HandlerError> {
        let after = progress.reviewed.unwrap_or_default();
        let open = difference::open(&self.parts.db, after, REVIEWED_MAX).await?;
        let (mut found, mut resolved) = (Vec::new(), Vec::new());
        for (id, before) in &open {
            let ours = self.booked(&before.subject, &before.order).await?;
            let now = match &ours {
                None => Some(before.clone()),
                Some(ours) => {
                    let theirs = match before.kind {
                        Kind::MissingInBooks => Some(before.theirs),
                        // A payment in suspense has no time to look for.
                        Kind::Amount if ours.at.is_none() => Some(before.theirs),
                        Kind::Amount | Kind::MissingAtGateway => self.listed(gateway, ours).await?,
                    };
                    Difference::between(ours, theirs)
                }
            };
            match now {
                Some(now) if now.kind == Kind::MissingInBooks => {
                    heal::heal(&self.parts.db, &now).await?
                }
                Some(now) if now.kind == before.kind => {}
                changed => {
                    resolved.push(*id);
                    found.extend(changed);
                    tracing::info!(difference = id, "a difference to the gateway is gone");
                }
            }
        }
        progress.reviewed = match i64::try_from(open.len()) {
            Ok(count) if count >= REVIEWED_MAX => open.last().map(|(id, _)| *id),
            _ => None,
        };
        Ok((found, resolved))
    }

    /// Stores the result of a step with the place reached, and when to go on.
    async fn record(
        &self,
        due: Due,
        progress: Progress,
        found: Vec<Difference>,
        resolved: Vec<i64>,
    ) -> Result<(), HandlerError> {
        let context = (due, progress, found, resolved);
        let recorded = self.parts.db.write(context, |context, tx| {
            Box::pin(async move {
                let (due, progress, found, resolved) = context;
                // Fails if another instance has taken the job over.
                due.finish_in(tx).await?;
                for difference in found {
                    difference::upsert(tx, difference).await?;
                }
                for id in resolved {
                    difference::resolve(tx, *id).await?;
                }
                let now = tx.now();
                let next =
                    if progress.compared < progress::horizon(now) || progress.reviewed.is_some() {
                        now
                    } else if difference::is_any_open(tx).await? {
                        next_night(now).min(now.saturating_add(REVIEW_EVERY))
                    } else {
                        next_night(now)
                    };
                schedule::put(tx, COMPARISON, "", next, &progress.to_string()).await?;
                Ok::<_, Abort<Lost>>(())
            })
        });
        match recorded.await {
            Ok(()) | Err(WriteError::Refused(Lost)) => Ok(()),
            Err(error @ WriteError::Db(_)) => Err(error.into()),
        }
    }
}

/// What a row of the gateway's list is about.
fn subject_of(row: &Transaction) -> Subject {
    match row.status {
        PaymentStatus::Canceled | PaymentStatus::PartialCanceled => {
            Subject::Cancel(row.key.clone())
        }
        PaymentStatus::Ready
        | PaymentStatus::InProgress
        | PaymentStatus::WaitingForDeposit
        | PaymentStatus::Done
        | PaymentStatus::Aborted
        | PaymentStatus::Expired
        | PaymentStatus::Other => Subject::Capture(row.payment_key.as_str().to_owned()),
    }
}
