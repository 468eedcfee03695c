//! Decisions of administrators about reports.

use shared::event::{Event, ReportDecided};
use shared::ids::{MemberId, ProductId, ReportId, ReviewId};

use super::{Category, ReportState, Reports, repo};
use crate::audit::{self, Actor, Entry};
use crate::cache::Namespace;
use crate::db::{Abort, DbError, Tx, WriteError};
use crate::members::{self, AccountStatus, StatusChange};
use crate::outbox::{self, NewEvent};
use crate::{products, reviews};

/// What an administrator decides about a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Uphold {
        /// Whether the member is blocked.
        block: bool,
        /// Whether the offer or review is removed.
        remove: bool,
    },
    /// It is not. It no longer counts towards a block; one that has happened stays.
    Dismiss,
}

/// A decision about a report.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The administrator.
    pub by: MemberId,
    /// The report.
    pub report: ReportId,
    /// What is decided.
    pub verdict: Verdict,
    /// A remark, for other administrators; at most 200 characters.
    pub note: Option<String>,
    /// The request id, for the audit log.
    pub request: Option<String>,
}

/// Why a decision was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// No such report.
    #[error("no such report")]
    Unknown,
    /// Decided before, perhaps by another administrator at the same moment.
    #[error("the report is decided")]
    Closed,
    /// Administrators cannot block themselves: they could not undo it.
    #[error("a block of oneself")]
    Oneself,
    /// Members and chat messages cannot be removed.
    #[error("the subject cannot be removed")]
    NotRemovable,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

type DecisionResult<T> = Result<T, Abort<DecisionError>>;

impl Reports {
    /// Decides a report and carries the decision out, all or nothing. Of several decisions at once one counts.
    ///
    /// # Errors
    /// See [`DecisionError`].
    pub async fn decide(&self, decision: Decision) -> Result<(), DecisionError> {
        let (db, members) = (self.parts.db.clone(), self.parts.members.clone());
        let write = async move {
            let decided = members.change_status(async move {
                let write = db.write(decision, |decision, tx| Box::pin(decide_in(decision, tx)));
                write.await
            });
            Ok((decided.await?, ()))
        };
        let decided = self.parts.cache.change(write).await;
        decided.map_err(WriteError::into_domain)
    }
}

/// Returns whether it has blocked the member, and the lists that a removal changes.
async fn decide_in(
    decision: &Decision,
    tx: &mut Tx<'_>,
) -> DecisionResult<(StatusChange, Vec<Namespace>)> {
    let report = repo::lock(tx, decision.report).await?;
    let report = report.ok_or(Abort::Refused(DecisionError::Unknown))?;
    if report.state != ReportState::Open {
        return Err(Abort::Refused(DecisionError::Closed));
    }
    let (state, block, remove) = match decision.verdict {
        Verdict::Uphold { block, remove } => (ReportState::Upheld, block, remove),
        Verdict::Dismiss => (ReportState::Dismissed, false, false),
    };
    if block && report.member == decision.by {
        return Err(Abort::Refused(DecisionError::Oneself));
    }
    let verdict = (decision.by, decision.note.as_deref());
    repo::set_state(tx, decision.report, state, verdict).await?;
    let action = match state {
        ReportState::Upheld => "report.uphold",
        ReportState::Dismissed | ReportState::Open => "report.dismiss",
    };
    let target = format!("report:{}", decision.report);
    record_in(tx, decision, action, &target).await?;
    let changed = match remove {
        true => remove_in(tx, decision, &report).await?,
        false => Vec::new(),
    };
    let upheld = ReportDecided {
        report_id: decision.report,
        upheld: Some(state == ReportState::Upheld),
    };
    let upheld = Event::ReportDecided(upheld);
    let mut events = vec![NewEvent::of_member(report.reporter, upheld)];
    let mut status = StatusChange::Unchanged;
    if block && members::set_status_in(tx, report.member, AccountStatus::Blocked).await? {
        let target = format!("member:{}", report.member);
        record_in(tx, decision, "member.block", &target).await?;
        events.push(NewEvent::of_member(report.member, Event::MemberBlocked));
        status = StatusChange::Changed;
    }
    outbox::append_all(tx, &events).await?;
    Ok((status, changed))
}

/// Removes the subject of a report; returns the lists that change. One that is gone already is no error.
async fn remove_in(
    tx: &mut Tx<'_>,
    decision: &Decision,
    report: &repo::Decided,
) -> DecisionResult<Vec<Namespace>> {
    match report.subject {
        Category::Member | Category::Chat => Err(Abort::Refused(DecisionError::NotRemovable)),
        Category::Product => {
            let product = ProductId::try_from(report.subject_id);
            let product = product.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            let removed = products::remove_in(tx, report.member, product).await?;
            if removed.is_some() {
                let target = format!("product:{product}");
                record_in(tx, decision, "product.remove", &target).await?;
            }
            Ok(removed.map(|kind| kind.namespace()).into_iter().collect())
        }
        Category::Review => {
            let review = ReviewId::try_from(report.subject_id);
            let review = review.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            // The author may be blocked afterwards.
            let removed = reviews::remove_in(tx, review, Some(report.member)).await?;
            let Some(removed) = removed else {
                return Ok(Vec::new());
            };
            record_in(tx, decision, "review.remove", &format!("review:{review}")).await?;
            Ok(removed.changed)
        }
    }
}

async fn record_in(
    tx: &mut Tx<'_>,
    decision: &Decision,
    action: &str,
    target: &str,
) -> Result<(), sqlx::Error> {
    let entry = Entry {
        actor: Actor::Member(decision.by),
        action,
        target,
        request: decision.request.as_deref(),
    };
    audit::append_in(tx, entry).await
}
