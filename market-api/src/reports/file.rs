//! Making a report, and the block that may follow from it.

use std::time::Duration;

use shared::event::Event;
use shared::ids::MemberId;
use tokio::time::{sleep, timeout};

use super::messages::{ChatMessage, MessageError};
use super::{
    Category, NewReport, REPORTERS_THAT_BLOCK, REPORTS_MAX, ReportError, Reports, Subject,
    TxResult, repo, subject,
};
use crate::audit::{self, Actor, Entry};
use crate::db::{Abort, Tx, WriteError};
use crate::members::{self, AccountStatus, StatusChange};
use crate::outbox::{self, NewEvent};

/// Back-off before the one retry of a failed call, as `chats` has it.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A report that was made.
#[derive(Clone, Copy, Debug)]
struct Filed {
    subject: Category,
    /// Whether it has blocked the member.
    status: StatusChange,
}

impl Reports {
    /// Makes a report. One of the fifth reporter who knows the member blocks the member.
    ///
    /// # Errors
    /// See [`ReportError`].
    pub async fn file(&self, new: NewReport) -> Result<(), ReportError> {
        let message = match new.category {
            Category::Chat => Some(self.message(&new).await?),
            Category::Member | Category::Product | Category::Review => None,
        };
        let db = self.parts.db.clone();
        let write = async move {
            let write = db.write((new, message), |(new, message), tx| {
                Box::pin(file_in(new, message.as_ref(), tx))
            });
            let filed = write.await?;
            Ok((filed.status, filed))
        };
        let filed = self.parts.members.change_status(write).await;
        let filed = filed.map_err(WriteError::into_domain)?;
        let metrics = &self.parts.metrics.reports;
        let subject = filed.subject.name();
        metrics.made.with_label_values(&[subject]).inc();
        if filed.status == StatusChange::Changed {
            metrics.blocks.inc();
        }
        Ok(())
    }

    /// The message of a report; tried twice while the chat server is away.
    async fn message(&self, new: &NewReport) -> Result<ChatMessage, ReportError> {
        let first = self.message_once(new).await;
        let found = match first {
            Err(MessageError::Away(why)) => {
                tracing::debug!("retrying a reported message: {why}");
                sleep(RETRY_AFTER).await;
                self.message_once(new).await
            }
            other => other,
        };
        found.map_err(|error| match error {
            MessageError::Unknown => ReportError::MessageUnknown,
            MessageError::NotParticipant => ReportError::NotParticipant,
            MessageError::Away(why) => {
                tracing::warn!("no report of a message, the chat server is unavailable: {why}");
                ReportError::ChatUnavailable
            }
            MessageError::Refused(why) => {
                tracing::error!("no report of a message: {why}");
                ReportError::ChatUnavailable
            }
        })
    }

    async fn message_once(&self, new: &NewReport) -> Result<ChatMessage, MessageError> {
        let id = new.target.message().ok_or(MessageError::Unknown)?;
        let answer_max = self.parts.answer_max;
        let found = timeout(answer_max, self.parts.messages.message(id, new.reporter)).await;
        found.unwrap_or_else(|_elapsed| {
            let why = format!("no answer within {answer_max:?}");
            Err(MessageError::Away(why))
        })
    }
}

async fn file_in(
    new: &NewReport,
    message: Option<&ChatMessage>,
    tx: &mut Tx<'_>,
) -> TxResult<Filed> {
    let subject = subject::resolve_in(tx, new, message).await?;
    // The reporter's row serializes the member's reports, so that their number is exact; the other one the reports of
    // that member.
    let mut both = [new.reporter, subject.member];
    both.sort_unstable();
    for member in both {
        members::lock_in(tx, member).await?;
    }
    if repo::is_repeated_in(tx, new.reporter, &subject).await? {
        return Err(Abort::Refused(ReportError::Repeated));
    }
    if repo::recent_in(tx, new.reporter).await? >= REPORTS_MAX {
        return Err(Abort::Refused(ReportError::TooMany));
    }
    if !repo::insert(tx, new, &subject).await? {
        return Err(Abort::Refused(ReportError::Repeated));
    }
    let status = block_in(tx, &subject, new.request.as_deref()).await?;
    Ok(Filed {
        subject: subject.category,
        status,
    })
}

/// Blocks the member of a report if enough others who know the member have reported them.
async fn block_in(
    tx: &mut Tx<'_>,
    subject: &Subject,
    request: Option<&str>,
) -> Result<StatusChange, sqlx::Error> {
    let member: MemberId = subject.member;
    if !subject.is_known || repo::reporters_in(tx, member).await? < REPORTERS_THAT_BLOCK {
        return Ok(StatusChange::Unchanged);
    }
    if !members::set_status_in(tx, member, AccountStatus::Blocked).await? {
        return Ok(StatusChange::Unchanged);
    }
    let entry = Entry {
        actor: Actor::System,
        action: "member.block.reports",
        target: &format!("member:{member}"),
        request,
    };
    audit::append_in(tx, entry).await?;
    outbox::append(tx, &NewEvent::of_member(member, Event::MemberBlocked)).await?;
    Ok(StatusChange::Changed)
}
