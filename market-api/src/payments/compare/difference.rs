//! Differences between the gateway's list and the books, and their rows.

use shared::money::Won;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::books::{Booked, Subject};
use crate::db::row::{TextColumn, column, named};
use crate::db::{Db, DbError, Tx, defect};

/// How it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    MissingInBooks,
    MissingAtGateway,
    Amount,
}

impl Kind {
    const ALL: [Self; 3] = [Self::MissingInBooks, Self::MissingAtGateway, Self::Amount];

    const fn name(self) -> &'static str {
        match self {
            Self::MissingInBooks => "MISSING_IN_BOOKS",
            Self::MissingAtGateway => "MISSING_AT_GATEWAY",
            Self::Amount => "AMOUNT",
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::MissingInBooks => "missing_in_books",
            Self::MissingAtGateway => "missing_at_gateway",
            Self::Amount => "amount",
        }
    }
}

impl TextColumn for Kind {
    fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == text)
    }
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    pub(super) subject: Subject,
    pub(super) order: String,
    /// Won in the books; 0 if they lack it.
    pub(super) ours: Won,
    /// Won at the gateway; 0 if it lacks it.
    pub(super) theirs: Won,
}

impl Difference {
    /// The difference between a row of the books and the gateway's amount, if there is one.
    pub(super) fn between(ours: &Booked, theirs: Option<Won>) -> Option<Self> {
        let kind = match theirs {
            Some(theirs) if theirs == ours.amount => return None,
            Some(_) => Kind::Amount,
            None => Kind::MissingAtGateway,
        };
        Some(Self {
            kind,
            subject: ours.subject.clone(),
            order: ours.order.clone(),
            ours: ours.amount,
            theirs: theirs.unwrap_or(Won::ZERO),
        })
    }

    pub(super) fn log(&self) {
        tracing::error!(
            kind = self.kind.name(),
            reference = %self.subject,
            order = self.order,
            ours = self.ours.get(),
            theirs = self.theirs.get(),
            "the books differ from the gateway's transactions"
        );
    }

    fn read(row: &AnyRow) -> Result<Self, sqlx::Error> {
        let reference: String = row.try_get("reference")?;
        let subject = Subject::from_text(&reference);
        Ok(Self {
            kind: named(row, "kind")?,
            subject: subject.ok_or_else(|| defect("a reference of a difference".to_owned()))?,
            order: row.try_get("order_id")?,
            ours: column(row, "ours")?,
            theirs: column(row, "theirs")?,
        })
    }
}

/// Stores a difference. One that was gone and is back is found anew.
pub(super) async fn upsert(tx: &mut Tx<'_>, difference: &Difference) -> Result<(), sqlx::Error> {
    query(
        "insert into gateway_difference (kind, reference, order_id, ours, theirs, found_at) \
         values ($1, $2, $3, $4, $5, $6) on conflict (kind, reference) do update \
         set ours = excluded.ours, theirs = excluded.theirs, resolved_at = null, \
         found_at = case when gateway_difference.resolved_at is null then gateway_difference.found_at \
         else excluded.found_at end",
    )
    .bind(difference.kind.name())
    .bind(difference.subject.to_string())
    .bind(difference.order.as_str())
    .bind(difference.ours.get())
    .bind(difference.theirs.get())
    .bind(tx.now().get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Marks a difference as gone.
pub(super) async fn resolve(tx: &mut Tx<'_>, id: i64) -> Result<(), sqlx::Error> {
    query("update gateway_difference set resolved_at = $2 where id = $1 and resolved_at is null")
        .bind(id)
        .bind(tx.now().get())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Open differences with greater ids than `after`, in their order.
pub(super) async fn open(
    db: &Db,
    after: i64,
    limit: i64,
) -> Result<Vec<(i64, Difference)>, DbError> {
    let rows = query(
        "select id, kind, reference, order_id, ours, theirs from gateway_difference \
         where resolved_at is null and id > $1 order by id limit $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(&mut *db.read().await?)
    .await?;
    let mut open = Vec::with_capacity(rows.len());
    for row in &rows {
        open.push((column(row, "id")?, Difference::read(row)?));
    }
    Ok(open)
}

/// True while a difference is open.
pub(super) async fn is_any_open(tx: &mut Tx<'_>) -> Result<bool, sqlx::Error> {
    let row = query("select 1 from gateway_difference where resolved_at is null limit 1");
    Ok(row.fetch_optional(tx.connection()).await?.is_some())
}

/// Open differences of a kind, by the kind's name in metrics.
pub type Differences = [(&'static str, i64); 3];

/// Counts open differences.
///
/// # Errors
/// The database's.
pub async fn differences(db: &Db) -> Result<Differences, DbError> {
    let rows = query(
        "select kind, count(*) as open_count from gateway_difference where resolved_at is null group by kind",
    )
    .fetch_all(&mut *db.read().await?)
    .await?;
    let mut counts = Kind::ALL.map(|kind| (kind.label(), 0));
    for row in &rows {
        let kind: Kind = named(row, "kind")?;
        for count in &mut counts {
            if count.0 == kind.label() {
                count.1 = column(row, "open_count")?;
            }
        }
    }
    Ok(counts)
}
