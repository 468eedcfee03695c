//! The SQL of reviews.

use shared::ids::{MemberId, ProductId, ReviewId, TradeId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _, query};

use super::Review;
use super::form::NewReview;
use super::page::{ReviewQuery, ReviewRow, Side, Sort};
use crate::db::row::{column, named, optional};
use crate::db::{Lock, Tx, locking};
use crate::trades::TradeKind;

type Sql<T> = Result<T, sqlx::Error>;

/// Bound of the sides of a trade: a purchase has at most 20 sales.
const SIDES_MAX: i64 = 100;

/// The other party of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) member: MemberId,
    /// That member's side of the trade; of several the first.
    pub(super) trade: TradeId,
    /// The offer traded; of several the first.
    pub(super) product: ProductId,
}

/// A member's own side of a trade.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnSide {
    pub(super) member: MemberId,
    pub(super) kind: TradeKind,
}

pub(super) async fn own_side(
    connection: &mut AnyConnection,
    trade: TradeId,
) -> Sql<Option<OwnSide>> {
    let row = query("select member_id, kind from trade where id = $1")
        .bind(i64::from(trade))
        .fetch_optional(connection)
        .await?;
    let side = |row: &AnyRow| {
        Ok(OwnSide {
            member: column(row, "member_id")?,
            kind: named(row, "kind")?,
        })
    };
    row.as_ref().map(side).transpose()
}

fn party(row: &AnyRow) -> Sql<Party> {
    Ok(Party {
        member: column(row, "member_id")?,
        trade: column(row, "id")?,
        product: column(row, "product_id")?,
    })
}

/// The sales of a purchase, in the order of their trades.
pub(super) async fn sales(connection: &mut AnyConnection, purchase: TradeId) -> Sql<Vec<Party>> {
    let rows = query(
        "select s.id, s.member_id, d.product_id from trade s join trade_detail d on d.trade_id = s.id \
         where s.purchase_id = $1 order by s.id, d.product_id limit $2",
    )
    .bind(i64::from(purchase))
    .bind(SIDES_MAX)
    .fetch_all(connection)
    .await?;
    rows.iter().map(party).collect()
}

/// The purchase of a sale, with the offer that was sold; none of a sale from before purchases had sales.
pub(super) async fn purchase(connection: &mut AnyConnection, sale: TradeId) -> Sql<Vec<Party>> {
    let rows = query(
        "select p.id, p.member_id, d.product_id from trade s join trade p on p.id = s.purchase_id \
         join trade_detail d on d.trade_id = s.id where s.id = $1 order by d.product_id limit $2",
    )
    .bind(i64::from(sale))
    .bind(SIDES_MAX)
    .fetch_all(connection)
    .await?;
    rows.iter().map(party).collect()
}

pub(super) async fn is_reviewed(connection: &mut AnyConnection, trade: TradeId) -> Sql<bool> {
    let row = query("select 1 from review where trade_id = $1")
        .bind(i64::from(trade))
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Inserts the review, unless the trade has one; waits for a concurrent one.
pub(super) async fn insert(
    tx: &mut Tx<'_>,
    reviewer: MemberId,
    trade: TradeId,
    other: &Party,
    form: &NewReview,
) -> Sql<Option<ReviewId>> {
    let now = tx.now().get();
    let row = query(
        "insert into review (trade_id, reviewer_id, reviewee_id, product_id, rating, comment, \
         created_at, updated_at) values ($1, $2, $3, $4, $5, $6, $7, $7) \
         on conflict (trade_id) do nothing returning id",
    )
    .bind(i64::from(trade))
    .bind(i64::from(reviewer))
    .bind(i64::from(other.member))
    .bind(i64::from(other.product))
    .bind(i64::from(form.stars.tenths()))
    .bind(form.comment.as_str())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(|row| column(row, "id")).transpose()
}

fn review_of(row: &AnyRow) -> Sql<Review> {
    Ok(Review {
        id: column(row, "id")?,
        trade: column(row, "trade_id")?,
        reviewer: column(row, "reviewer_id")?,
        reviewee: column(row, "reviewee_id")?,
        product: column(row, "product_id")?,
        stars: column(row, "rating")?,
        comment: row.try_get("comment")?,
        created_at: column(row, "created_at")?,
        updated_at: column(row, "updated_at")?,
    })
}

pub(super) async fn review(connection: &mut AnyConnection, id: ReviewId) -> Sql<Option<Review>> {
    let row = query(
        "select id, trade_id, reviewer_id, reviewee_id, product_id, rating, comment, created_at, \
         updated_at from review where id = $1",
    )
    .bind(i64::from(id))
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(review_of).transpose()
}

pub(super) async fn lock(tx: &mut Tx<'_>, id: ReviewId) -> Sql<Option<Review>> {
    let text = locking!(
        tx,
        [Lock::Review(id)],
        "select id, trade_id, reviewer_id, reviewee_id, product_id, rating, comment, created_at, \
         updated_at from review where id = $1"
    );
    let row = query(text).bind(i64::from(id));
    let row = row.fetch_optional(tx.connection()).await?;
    row.as_ref().map(review_of).transpose()
}

/// Changes a locked review.
pub(super) async fn update(tx: &mut Tx<'_>, id: ReviewId, form: &NewReview) -> Sql<()> {
    let now = tx.now().get();
    query("update review set rating = $2, comment = $3, updated_at = $4 where id = $1")
        .bind(i64::from(id))
        .bind(i64::from(form.stars.tenths()))
        .bind(form.comment.as_str())
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Deletes a locked review.
pub(super) async fn delete(tx: &mut Tx<'_>, id: ReviewId) -> Sql<()> {
    query("delete from review where id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Reads a page, and one row more. Each order is a range of an index, forwards or backwards.
pub(super) async fn page(
    connection: &mut AnyConnection,
    asked: &ReviewQuery,
) -> Sql<Vec<ReviewRow>> {
    let (own, other) = match asked.side {
        Side::Received => ("reviewee_id", "reviewer_id"),
        Side::Written => ("reviewer_id", "reviewee_id"),
    };
    // The parameters appear in every text: the first page begins behind a key that no row has.
    let (begin, order, first) = match asked.sort {
        Sort::Recent => ("r.id < $3 and $2 = 0", "r.id desc", i64::MAX),
        Sort::Oldest => ("r.id > $3 and $2 = 0", "r.id", 0),
        Sort::Best => (
            "(r.rating, r.id) < ($2, $3)",
            "r.rating desc, r.id desc",
            i64::MAX,
        ),
        Sort::Worst => ("(r.rating, r.id) > ($2, $3)", "r.rating, r.id", 0),
    };
    let stars = match (asked.sort, asked.after.and_then(|after| after.stars)) {
        (Sort::Best | Sort::Worst, Some(stars)) => i64::from(stars.tenths()),
        (Sort::Best, None) => i64::MAX,
        (Sort::Worst | Sort::Recent | Sort::Oldest, _) => 0,
    };
    let text = format!(
        "select r.id, r.rating, r.comment, r.created_at, r.updated_at, r.reviewer_id, r.reviewee_id, \
         r.trade_id, r.product_id, o.name, t.units, t.minutes, p.kind \
         from review r join member o on o.id = r.{other} join trade t on t.id = r.trade_id \
         join product p on p.id = r.product_id \
         where r.{own} = $1 and {begin} order by {order} limit $4"
    );
    let rows = query(AssertSqlSafe(text))
        .bind(i64::from(asked.member))
        .bind(stars)
        .bind(asked.after.map_or(first, |after| i64::from(after.id)))
        .bind(i64::from(asked.size.get()) + 1)
        .fetch_all(connection)
        .await?;
    rows.iter().map(listed).collect()
}

fn listed(row: &AnyRow) -> Sql<ReviewRow> {
    Ok(ReviewRow {
        id: column(row, "id")?,
        stars: column(row, "rating")?,
        comment: row.try_get("comment")?,
        created_at: column(row, "created_at")?,
        updated_at: column(row, "updated_at")?,
        reviewer: column(row, "reviewer_id")?,
        reviewee: column(row, "reviewee_id")?,
        other_name: row.try_get("name")?,
        trade: column(row, "trade_id")?,
        units: optional(row, "units")?,
        minutes: optional(row, "minutes")?,
        product: column(row, "product_id")?,
        kind: named(row, "kind")?,
    })
}
