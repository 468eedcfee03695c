//! The administrators' queue of reports.

use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ReportId};
use shared::web::{PageSize, Rows};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Category, ReportState};
use crate::db::row::{column, named, optional};
use crate::db::{Db, DbError};

/// A page of the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueQuery {
    /// Only reports in this state.
    pub state: Option<ReportState>,
    /// The number of rows.
    pub size: PageSize,
    /// The last report of the previous page.
    pub after: Option<ReportId>,
}

/// A report in the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// Its id.
    pub report: ReportId,
    /// The category that the reporter named.
    pub category: Category,
    /// The id that the reporter named.
    pub target: u64,
    /// What it is about.
    pub subject: Category,
    /// The id of that.
    pub subject_id: u64,
    /// The reporter's reason.
    pub reason: String,
    /// The text reported, as it was then.
    pub excerpt: Option<String>,
    /// Its state.
    pub state: ReportState,
    /// When it was made.
    pub created_at: LocalDateTime,
    /// The reporter.
    pub reporter: MemberId,
    /// The reporter's name now.
    pub reporter_name: String,
    /// The member reported.
    pub member: MemberId,
    /// The member's name now.
    pub member_name: String,
    /// Whether the member is blocked.
    pub is_member_blocked: bool,
    /// How many members' reports of the member count towards a block.
    pub member_reports: u32,
    /// Whether the reporter knew the member.
    pub is_known: bool,
    /// When it was decided.
    pub decided_at: Option<LocalDateTime>,
    /// The administrator who decided it.
    pub decided_by: Option<MemberId>,
    /// That administrator's remark.
    pub note: Option<String>,
}

/// The rows of the queue, with a condition and an order.
macro_rules! rows {
    ($rest:literal) => {
        concat!(
            "select r.id, r.category, r.target_id, r.subject, r.subject_id, r.reason, \
             case when r.subject = 'MEMBER' and m.closed_at is not null then null \
             else r.excerpt end as excerpt, r.state, r.created_at, r.reporter_id, r.member_id, r.known, r.decided_at, \
             r.decided_by, r.note, o.name as reporter_name, m.name as member_name, m.blocked, \
             (select count(distinct c.reporter_id) from report c where c.member_id = m.id \
              and c.known = 1 and c.state in ('OPEN', 'UPHELD') \
              and c.created_at >= m.reports_from) as member_reports \
             from report r join member o on o.id = r.reporter_id join member m on m.id = r.member_id ",
            $rest
        )
    };
}

/// Oldest first: nobody waits for ever.
const OPEN: &str = rows!("where r.state = $1 and r.id > $2 order by r.id limit $3");
/// Newest first.
const DECIDED: &str = rows!("where r.state = $1 and r.id < $2 order by r.id desc limit $3");
/// Newest first; `$1` is not used, but typed.
const ALL: &str = rows!("where r.state <> $1 and r.id < $2 order by r.id desc limit $3");

/// A page of reports: open ones oldest first, others newest first.
pub(super) async fn page(db: &Db, asked: &QueueQuery) -> Result<Rows<QueueRow>, DbError> {
    let (text, state, first) = match asked.state {
        Some(state @ ReportState::Open) => (OPEN, state.name(), 0),
        Some(state) => (DECIDED, state.name(), i64::MAX),
        None => (ALL, "", i64::MAX),
    };
    let rows = query(text)
        .bind(state)
        .bind(asked.after.map_or(first, i64::from))
        .bind(i64::from(asked.size.get()) + 1)
        .fetch_all(&mut *db.read().await?)
        .await?;
    let rows: Result<Vec<_>, sqlx::Error> = rows.iter().map(QueueRow::read).collect();
    Ok(Rows::cut(rows?, asked.size))
}

impl QueueRow {
    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            report: column(row, "id")?,
            category: named(row, "category")?,
            target: column(row, "target_id")?,
            subject: named(row, "subject")?,
            subject_id: column(row, "subject_id")?,
            reason: row.try_get("reason")?,
            excerpt: row.try_get("excerpt")?,
            state: named(row, "state")?,
            created_at: column(row, "created_at")?,
            reporter: column(row, "reporter_id")?,
            reporter_name: row.try_get("reporter_name")?,
            member: column(row, "member_id")?,
            member_name: row.try_get("member_name")?,
            is_member_blocked: column(row, "blocked")?,
            member_reports: column(row, "member_reports")?,
            is_known: column(row, "known")?,
            decided_at: optional(row, "decided_at")?,
            decided_by: optional(row, "decided_by")?,
            note: row.try_get("note")?,
        })
    }
}
