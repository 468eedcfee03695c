//! The SQL of reports.

use shared::ids::{MemberId, ReportId};
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Category, NewReport, REPORTS_WITHIN, ReportState, Subject};
use crate::db::row::{column, named, optional};
use crate::db::{Db, DbError, Lock, Tx, locking};

type Sql<T> = Result<T, sqlx::Error>;

/// A member, and a text of theirs: the name, an offer's title, a review's comment.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) id: MemberId,
    pub(super) text: String,
}

impl Named {
    fn read(row: &AnyRow) -> Sql<Self> {
        Ok(Self {
            id: column(row, "id")?,
            text: row.try_get("text")?,
        })
    }
}

/// The member with this id.
pub(super) async fn member_in(tx: &mut Tx<'_>, id: i64) -> Sql<Option<Named>> {
    let row = query("select id, name as text from member where id = $1")
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(Named::read).transpose()
}

/// The other member of a room of `member`.
pub(super) async fn other_in_room_in(
    tx: &mut Tx<'_>,
    room: i64,
    member: MemberId,
) -> Sql<Option<Named>> {
    let row = query(
        "select m.id, m.name as text from chat_room r \
         join member m on m.id = case when r.buyer_id = $2 then r.seller_id else r.buyer_id end \
         where r.id = $1 and (r.buyer_id = $2 or r.seller_id = $2)",
    )
    .bind(room)
    .bind(i64::from(member))
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(Named::read).transpose()
}

/// The seller of an offer in any state, with its title, or its amount and price.
pub(super) async fn offer_in(tx: &mut Tx<'_>, id: i64) -> Sql<Option<Named>> {
    let row = query(
        "select p.member_id as id, p.price, p.units_listed, s.title from product p \
         left join spot s on s.product_id = p.id where p.id = $1",
    )
    .bind(id)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let title: Option<String> = row.try_get("title")?;
    let text = match title {
        Some(title) => title,
        None => {
            let units: Option<Units> = optional(&row, "units_listed")?;
            let price: Won = column(&row, "price")?;
            format!("데이터 {}GB {price}원", units.unwrap_or(Units::ZERO))
        }
    };
    let id = column(&row, "id")?;
    Ok(Some(Named { id, text }))
}

/// The author of a review, with its comment.
pub(super) async fn review_in(tx: &mut Tx<'_>, id: i64) -> Sql<Option<Named>> {
    let row = query("select reviewer_id as id, comment as text from review where id = $1")
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(Named::read).transpose()
}

/// True if the two share a room or a trade.
pub(super) async fn knows_in(tx: &mut Tx<'_>, one: MemberId, other: MemberId) -> Sql<bool> {
    let row = query(
        "select 1 as known from chat_room where buyer_id = $1 and seller_id = $2 \
         union all select 1 from chat_room where buyer_id = $2 and seller_id = $1 \
         union all select 1 from trade p join trade s on s.purchase_id = p.id \
         where p.member_id = $1 and s.member_id = $2 \
         union all select 1 from trade p join trade s on s.purchase_id = p.id \
         where p.member_id = $2 and s.member_id = $1 limit 1",
    )
    .bind(i64::from(one))
    .bind(i64::from(other))
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.is_some())
}

/// True if the member has reported this before.
pub(super) async fn is_repeated_in(
    tx: &mut Tx<'_>,
    reporter: MemberId,
    subject: &Subject,
) -> Sql<bool> {
    let row =
        query("select 1 from report where reporter_id = $1 and subject = $2 and subject_id = $3")
            .bind(i64::from(reporter))
            .bind(subject.category.name())
            .bind(subject.id)
            .fetch_optional(tx.connection())
            .await?;
    Ok(row.is_some())
}

/// The number of the member's reports within [`REPORTS_WITHIN`].
pub(super) async fn recent_in(tx: &mut Tx<'_>, reporter: MemberId) -> Sql<i64> {
    let since = tx.now().saturating_sub(REPORTS_WITHIN).get();
    let row =
        query("select count(*) as count from report where reporter_id = $1 and created_at > $2")
            .bind(i64::from(reporter))
            .bind(since)
            .fetch_one(tx.connection())
            .await?;
    row.try_get("count")
}

/// Inserts a report; false if the same exists.
pub(super) async fn insert(tx: &mut Tx<'_>, new: &NewReport, subject: &Subject) -> Sql<bool> {
    let now = tx.now().get();
    let done = query(
        "insert into report (reporter_id, category, target_id, subject, subject_id, member_id, \
         reason, excerpt, known, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         on conflict (reporter_id, subject, subject_id) do nothing",
    )
    .bind(i64::from(new.reporter))
    .bind(new.category.name())
    .bind(new.target.0)
    .bind(subject.category.name())
    .bind(subject.id)
    .bind(i64::from(subject.member))
    .bind(new.reason.0.as_str())
    .bind(subject.excerpt.as_deref())
    .bind(i64::from(subject.is_known))
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The number of members whose reports of this one count towards a block; 0 for administrators, who are blocked by
/// others only. The caller has locked the member's row.
pub(super) async fn reporters_in(tx: &mut Tx<'_>, member: MemberId) -> Sql<i64> {
    let row = query(
        "select count(distinct r.reporter_id) as count from report r \
         join member m on m.id = r.member_id \
         where r.member_id = $1 and r.known = 1 and r.state in ('OPEN', 'UPHELD') \
         and r.created_at >= m.reports_from and m.role <> 'ROLE_ADMIN'",
    )
    .bind(i64::from(member))
    .fetch_one(tx.connection())
    .await?;
    row.try_get("count")
}

/// A report that is being decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decided {
    pub(super) reporter: MemberId,
    pub(super) subject: Category,
    pub(super) subject_id: i64,
    pub(super) member: MemberId,
    pub(super) state: ReportState,
}

/// Locks a report.
pub(super) async fn lock(tx: &mut Tx<'_>, report: ReportId) -> Sql<Option<Decided>> {
    let text = locking!(
        tx,
        [Lock::Report(report)],
        "select reporter_id, subject, subject_id, member_id, state from report where id = $1"
    );
    let row = query(text).bind(i64::from(report));
    let row = row.fetch_optional(tx.connection()).await?;
    let read = |row: &AnyRow| {
        Ok(Decided {
            reporter: column(row, "reporter_id")?,
            subject: named(row, "subject")?,
            subject_id: row.try_get("subject_id")?,
            member: column(row, "member_id")?,
            state: named(row, "state")?,
        })
    };
    row.as_ref().map(read).transpose()
}

/// Sets the decision.
pub(super) async fn set_state(
    tx: &mut Tx<'_>,
    report: ReportId,
    state: ReportState,
    (by, note): (MemberId, Option<&str>),
) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update report set state = $2, decided_by = $3, decided_at = $4, note = $5 where id = $1",
    )
    .bind(i64::from(report))
    .bind(state.name())
    .bind(i64::from(by))
    .bind(now)
    .bind(note)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The number of reports that nobody has decided yet.
///
/// # Errors
/// The database's.
pub async fn open(db: &Db) -> Result<i64, DbError> {
    let row = query("select count(*) from report where state = 'OPEN'")
        .fetch_one(&mut *db.read().await?)
        .await?;
    Ok(row.try_get(0)?)
}

/// Deletes the names of closed accounts from reports. The hourly job calls it; until then [`super::Reports::queue`] leaves
/// them out. Not in the transaction that closes an account: a decision locks the report before the member.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    query(
        "update report set excerpt = null where subject = 'MEMBER' and excerpt is not null \
         and member_id in (select id from member where closed_at is not null)",
    )
    .execute(tx.connection())
    .await?;
    Ok(())
}
