//! Reports of members, their offers, reviews and chat messages; the block that follows from several; the queue of
//! administrators. Owns the table `report`.
//!
//! ```text
//! file   ─► CHAT: the chat server names the sender ─► transaction: find the subject, lock reporter and member,
//!           insert once ─► the 5th reporter who knows the member blocks: status, event, audit
//! decide ─► transaction: lock the report, remove the subject, set the state, block, audit, event to the reporter
//! ```
//!
//! The first front end sends some ids under another category, so what a report is about is found out (`subject`). A
//! reporter knows a member with whom they share a room or a trade; only such reports count, so that strangers with
//! many accounts block nobody.
//!
//! What this module does not do: show reports to members. Nobody but administrators sees who reported whom.

mod client;
mod decide;
mod file;
mod http;
mod messages;
mod queue;
mod repo;
mod subject;

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use shared::ids::{MemberId, MessageId};
use shared::text::is_blank;
use shared::web::Rows;

use crate::cache::ListCache;
use crate::db::row::TextColumn;
use crate::db::{Abort, Db, DbError};
use crate::members::Members;
use crate::metrics::Metrics;

pub use client::HttpChatMessages;
pub use decide::{Decision, DecisionError, Verdict};
pub use http::routes;
pub use messages::{ChatMessage, ChatMessages, MessageError};
pub use queue::{QueueQuery, QueueRow};
pub use repo::{forget_in, open};

/// Reporters who know the member, and block by being this many.
pub const REPORTERS_THAT_BLOCK: i64 = 5;

/// Reports that a member may make in [`REPORTS_WITHIN`].
pub const REPORTS_MAX: i64 = 20;

/// The time in which [`REPORTS_MAX`] counts.
pub const REPORTS_WITHIN: Duration = Duration::from_secs(24 * 3_600);

/// Bound of a reason, in characters.
const REASON_CHARS_MAX: usize = 100;

/// The result of a step inside a report's transaction.
type TxResult<T> = Result<T, Abort<ReportError>>;

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// A member.
    Member,
    /// An offer.
    Product,
    /// A review.
    Review,
    /// A chat message.
    Chat,
}

impl Category {
    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Member => "MEMBER",
            Self::Product => "PRODUCT",
            Self::Review => "REVIEW",
            Self::Chat => "CHAT",
        }
    }
}

impl TextColumn for Category {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Member, Self::Product, Self::Review, Self::Chat];
        all.into_iter().find(|one| one.name() == text)
    }
}

/// The state of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportState {
    /// Nobody has decided yet. It counts towards a block.
    Open,
    /// An administrator agreed. It counts towards a block.
    Upheld,
    /// An administrator disagreed. It does not count.
    Dismissed,
}

impl ReportState {
    /// The name in the database and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Upheld => "UPHELD",
            Self::Dismissed => "DISMISSED",
        }
    }
}

impl TextColumn for ReportState {
    fn from_text(text: &str) -> Option<Self> {
        let all = [Self::Open, Self::Upheld, Self::Dismissed];
        all.into_iter().find(|one| one.name() == text)
    }
}

/// The id that a report names. Its kind depends on the category; the largest are those of chat messages, below 2^53.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetId(i64);

/// The text is not such an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no id")]
pub struct InvalidTarget;

impl TargetId {
    /// As the id of a chat message, if it can be one.
    fn message(self) -> Option<MessageId> {
        let number = u64::try_from(self.0).ok()?;
        MessageId::try_from(number).ok()
    }
}

impl FromStr for TargetId {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        let number = text.parse().ok().filter(|number| *number < 1_i64 << 53);
        number.filter(|_| is_plain).map(Self).ok_or(InvalidTarget)
    }
}

/// Why a report was made: 1 to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(String);

impl Reason {
    /// The trimmed text; `None` if it is blank or too long, or has a NUL, which PostgreSQL cannot store.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = text.chars().count() <= REASON_CHARS_MAX && !text.contains('\0');
        (fits && !is_blank(text)).then(|| Self(text.to_owned()))
    }
}

/// A report to make.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// The member who reports.
    pub reporter: MemberId,
    /// What the id is said to be.
    pub category: Category,
    /// The id.
    pub target: TargetId,
    /// Why.
    pub reason: Reason,
    /// The request id, for the audit log.
    pub request: Option<String>,
}

/// What a report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subject {
    category: Category,
    id: i64,
    /// The member who is reported.
    member: MemberId,
    /// Whether the reporter shares a room or a trade with them.
    is_known: bool,
    /// The text that is reported, as it is now.
    excerpt: Option<String>,
}

/// Why a report was not made.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// The same member reported the same before.
    #[error("reported before")]
    Repeated,
    /// The member's own profile, offer, review or message.
    #[error("a report of oneself")]
    Oneself,
    /// The member made too many reports within a day.
    #[error("too many reports")]
    TooMany,
    /// No such member.
    #[error("no such member")]
    MemberUnknown,
    /// No such product, and no such review.
    #[error("no such product")]
    ProductUnknown,
    /// No such review.
    #[error("no such review")]
    ReviewUnknown,
    /// No such chat message.
    #[error("no such message")]
    MessageUnknown,
    /// A message of a room that the reporter is not in.
    #[error("the reporter is not in the room of the message")]
    NotParticipant,
    /// The chat server did not name the sender.
    #[error("the chat server is unavailable")]
    ChatUnavailable,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The services that reports need.
#[derive(Clone, Debug)]
pub struct ReportParts {
    /// The database.
    pub db: Db,
    /// The members, whose status may change.
    pub members: Members,
    /// The lists that removed offers leave.
    pub cache: ListCache,
    /// The chat server's messages.
    pub messages: Arc<dyn ChatMessages>,
    /// The deadline of a call to the chat server.
    pub answer_max: Duration,
    /// The metrics.
    pub metrics: Arc<Metrics>,
}

/// The reports. Clones share one state.
#[derive(Clone, Debug)]
pub struct Reports {
    parts: ReportParts,
}

impl Reports {
    /// The reports in `parts.db`.
    #[must_use]
    pub const fn new(parts: ReportParts) -> Self {
        Self { parts }
    }

    /// A page of reports: open ones oldest first, others newest first.
    ///
    /// # Errors
    /// The database's.
    pub async fn queue(&self, asked: &QueueQuery) -> Result<Rows<QueueRow>, DbError> {
        queue::page(&self.parts.db, asked).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_whole_numbers_below_2_to_the_53rd() {
        let last = (1_i64 << 53) - 1;
        let check = |text: &str, expected: Option<i64>| {
            let id: Result<TargetId, InvalidTarget> = text.parse();
            assert_eq!(id.ok().map(|id| id.0), expected, "{text}");
        };
        check("1", Some(1));
        check(&last.to_string(), Some(last));
        check(&(last + 1).to_string(), None);
        for text in [
            "",
            "0",
            "01",
            "-1",
            "+1",
            "1.0",
            " 1",
            "x",
            "99999999999999999999",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn reasons_are_trimmed_and_of_1_to_100_characters() {
        let check = |text: &str, expected: Option<&str>| {
            let reason = Reason::parse(text).map(|reason| reason.0);
            assert_eq!(reason.as_deref(), expected, "{text:?}");
        };
        let longest = "가".repeat(100);
        check(" 욕설 ", Some("욕설"));
        check(&longest, Some(&longest));
        check("two\nlines", Some("two\nlines"));
        check(&"가".repeat(101), None);
        for text in ["", " ", "\n\t", "\u{200b}", "a\0b"] {
            check(text, None);
        }
    }
}
