//! The SQL of refunds and their legs.

use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};
use shared::money::Won;
use shared::web::PageSize;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::order::{RefundOrder, RefundSummary};
use super::{Leg, LegKind, LegName, LegState, Refund, RefundId, RefundInLegs, bucket_name};
use crate::cash::{Bucket, Payment};
use crate::db::row::{column, named, optional};
use crate::db::{Lock, Tx, locking};
use crate::payments::charge::ChargeId;

type Sql<T> = Result<T, sqlx::Error>;

/// A refund to insert.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRefund<'a> {
    pub(super) order: &'a RefundOrder,
    /// The buckets it came from.
    pub(super) paid: Payment,
    /// The cash left.
    pub(super) remain: Won,
    pub(super) trade: TradeId,
}

/// A leg to insert.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewLeg {
    pub(super) name: LegName,
    pub(super) bucket: Bucket,
    /// Of a cancel.
    pub(super) charge: Option<ChargeId>,
    pub(super) amount: Won,
    /// False for a payout that we refuse ourselves.
    pub(super) is_sent: bool,
}

/// What every query of a refund reads.
macro_rules! refund {
    ($rest:literal) => {
        concat!(
            "select id, member_id, amount, charged, earned, returned_charged, returned_earned, \
             remain_cash, state, trade_id, next_check_at from refund ",
            $rest
        )
    };
}

/// What every query of a leg reads.
macro_rules! leg {
    ($rest:literal) => {
        concat!(
            "select l.id, l.refund_id, l.n, l.kind, l.bucket, l.charge_id, l.amount, l.state, \
             coalesce(l.sent_at, l.created_at) as sent_at, l.checks, l.created_at from refund_leg l ",
            $rest
        )
    };
}

fn read(row: &AnyRow) -> Sql<Refund> {
    Ok(Refund {
        id: column(row, "id")?,
        member: column(row, "member_id")?,
        amount: column(row, "amount")?,
        charged: column(row, "charged")?,
        earned: column(row, "earned")?,
        returned_charged: column(row, "returned_charged")?,
        returned_earned: column(row, "returned_earned")?,
        remain_cash: column(row, "remain_cash")?,
        state: named(row, "state")?,
        trade: column(row, "trade_id")?,
        next_check_at: optional(row, "next_check_at")?,
    })
}

fn read_leg(row: &AnyRow) -> Sql<Leg> {
    Ok(Leg {
        id: column(row, "id")?,
        name: LegName {
            refund: column(row, "refund_id")?,
            n: column(row, "n")?,
        },
        kind: named(row, "kind")?,
        bucket: named(row, "bucket")?,
        charge: optional(row, "charge_id")?,
        amount: column(row, "amount")?,
        state: named(row, "state")?,
        sent_at: column(row, "sent_at")?,
        checks: column(row, "checks")?,
        created_at: column(row, "created_at")?,
    })
}

/// The refund of a member's request.
pub(super) async fn by_request(
    tx: &mut Tx<'_>,
    member: MemberId,
    request: &str,
) -> Sql<Option<Refund>> {
    let row = query(refund!("where member_id = $1 and request_id = $2"))
        .bind(i64::from(member))
        .bind(request)
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(read).transpose()
}

/// The refunds that a member had after a time, of the newest `limit`.
pub(super) async fn count_since(
    tx: &mut Tx<'_>,
    member: MemberId,
    since: UnixMillis,
    limit: i64,
) -> Sql<i64> {
    let row = query(
        "select count(*) as accepted from (select created_at from refund where member_id = $1 \
         order by id desc limit $3) as newest where created_at > $2",
    )
    .bind(i64::from(member))
    .bind(since.get())
    .bind(limit)
    .fetch_one(tx.connection())
    .await?;
    column(&row, "accepted")
}

/// Inserts a refund that is due at once.
pub(super) async fn insert(tx: &mut Tx<'_>, new: &NewRefund<'_>) -> Sql<RefundId> {
    let now = tx.now().get();
    let row = query(
        "insert into refund (member_id, request_id, amount, charged, earned, remain_cash, trade_id, \
         next_check_at, created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(i64::from(new.order.member))
    .bind(new.order.request.as_str())
    .bind(new.order.amount.get())
    .bind(new.paid.charged.get())
    .bind(new.paid.earned.get())
    .bind(new.remain.get())
    .bind(i64::from(new.trade))
    .bind(now)
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    column(&row, "id")
}

/// A refund with its legs.
pub(super) async fn by_id(
    connection: &mut AnyConnection,
    id: RefundId,
) -> Sql<Option<RefundInLegs>> {
    let row = query(refund!("where id = $1")).bind(i64::from(id));
    let Some(row) = row.fetch_optional(&mut *connection).await? else {
        return Ok(None);
    };
    let legs = query(leg!("where l.refund_id = $1 order by l.n")).bind(i64::from(id));
    let legs = legs.fetch_all(connection).await?;
    Ok(Some(RefundInLegs {
        refund: read(&row)?,
        legs: legs.iter().map(read_leg).collect::<Sql<_>>()?,
    }))
}

/// Locks a refund, and reads it with its legs in the next statements.
pub(super) async fn lock(tx: &mut Tx<'_>, id: RefundId) -> Sql<RefundInLegs> {
    let text = locking!(
        tx,
        [Lock::Refund(id.get().into())],
        "select id from refund where id = $1"
    );
    let row = query(text).bind(i64::from(id));
    row.fetch_one(tx.connection()).await?;
    let refund = by_id(tx.connection(), id).await?;
    refund.ok_or(sqlx::Error::RowNotFound)
}

/// A leg.
pub(super) async fn leg(connection: &mut AnyConnection, id: i64) -> Sql<Leg> {
    let row = query(leg!("where l.id = $1")).bind(id);
    read_leg(&row.fetch_one(connection).await?)
}

/// The leg in flight that cancels a charge.
pub(super) async fn leg_of_charge(tx: &mut Tx<'_>, id: ChargeId) -> Sql<Option<Leg>> {
    let row = query(leg!("join charge c on c.busy_leg = l.id where c.id = $1"))
        .bind(i64::from(id))
        .fetch_optional(tx.connection())
        .await?;
    row.as_ref().map(read_leg).transpose()
}

/// Inserts a leg.
pub(super) async fn insert_leg(tx: &mut Tx<'_>, new: &NewLeg) -> Sql<Leg> {
    let (now, kind) = (tx.now(), new.kind());
    let row = query(
        "insert into refund_leg (refund_id, n, kind, bucket, charge_id, amount, sends, sent_at, \
         created_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning id",
    )
    .bind(i64::from(new.name.refund))
    .bind(i64::from(new.name.n))
    .bind(kind.name())
    .bind(bucket_name(new.bucket))
    .bind(new.charge.map(i64::from))
    .bind(new.amount.get())
    .bind(i64::from(new.is_sent))
    .bind(new.is_sent.then_some(now.get()))
    .bind(now.get())
    .fetch_one(tx.connection())
    .await?;
    leg(tx.connection(), column(&row, "id")?).await
}

impl NewLeg {
    const fn kind(&self) -> LegKind {
        match self.charge {
            Some(_) => LegKind::Cancel,
            None => LegKind::Payout,
        }
    }
}

/// The end of a leg.
pub(super) async fn end_leg(tx: &mut Tx<'_>, id: i64, state: LegState, code: &str) -> Sql<()> {
    query("update refund_leg set state = $2, last_code = $3 where id = $1")
        .bind(id)
        .bind(state.name())
        .bind(code)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// An answer that leaves a leg's outcome unknown.
pub(super) async fn leg_unknown(tx: &mut Tx<'_>, id: i64, code: &str) -> Sql<()> {
    query(
        "update refund_leg set state = 'UNKNOWN', last_code = $2, checks = checks + 1 where id = $1",
    )
    .bind(id)
    .bind(code)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A leg is about to be sent again.
pub(super) async fn resend_leg(tx: &mut Tx<'_>, id: i64) -> Sql<()> {
    let now = tx.now().get();
    query("update refund_leg set sends = sends + 1, sent_at = $2 where id = $1")
        .bind(id)
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Sets when the worker continues, unless that was changed since `lease`. The refund is locked.
pub(super) async fn set_next_check(
    tx: &mut Tx<'_>,
    id: RefundId,
    lease: UnixMillis,
    next: UnixMillis,
) -> Sql<()> {
    query(
        "update refund set next_check_at = $3 where id = $1 and next_check_at = $2 \
         and state = 'OPEN'",
    )
    .bind(i64::from(id))
    .bind(lease.get())
    .bind(next.get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Marks a refund for operators. The refund is locked.
pub(super) async fn flag(tx: &mut Tx<'_>, id: RefundId) -> Sql<()> {
    query("update refund set needs_attention = 1 where id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Adds to what came back of a bucket. The refund is locked.
pub(super) async fn add_returned(
    tx: &mut Tx<'_>,
    id: RefundId,
    bucket: Bucket,
    amount: Won,
) -> Sql<()> {
    let text = match bucket {
        Bucket::Charged => {
            "update refund set returned_charged = returned_charged + $2 where id = $1"
        }
        Bucket::Earned => "update refund set returned_earned = returned_earned + $2 where id = $1",
    };
    let added = query(text).bind(i64::from(id)).bind(amount.get());
    added.execute(tx.connection()).await?;
    Ok(())
}

/// After the end of a leg: the refund is done when nothing of it is in transit, else due at once. The refund is
/// locked.
pub(super) async fn go_on(tx: &mut Tx<'_>, id: RefundId) -> Sql<()> {
    let now = tx.now().get();
    query(
        "update refund set needs_attention = 0, \
         state = case when amount = gone then 'DONE' else 'OPEN' end, \
         next_check_at = case when amount = gone then null else $2 end \
         from (select r.id as of, r.returned_charged + r.returned_earned + coalesce((select sum(l.amount) \
         from refund_leg l where l.refund_id = r.id and l.state = 'DONE'), 0) as gone \
         from refund r where r.id = $1) as sums where refund.id = sums.of",
    )
    .bind(i64::from(id))
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What a member owes, without a lock.
pub(super) async fn owed(tx: &mut Tx<'_>, member: MemberId) -> Sql<Won> {
    let row = query("select owed from wallet where member_id = $1")
        .bind(i64::from(member))
        .fetch_one(tx.connection())
        .await?;
    column(&row, "owed")
}

/// A page of a member's refunds, newest first: one row more than `size`, of ids below `below`.
pub(super) async fn page_of(
    connection: &mut AnyConnection,
    member: MemberId,
    below: i64,
    size: PageSize,
) -> Sql<Vec<RefundSummary>> {
    let rows = query(
        "select r.id, r.request_id, r.amount, r.state, r.trade_id, r.created_at, \
         r.returned_charged + r.returned_earned as returned, \
         cast(coalesce((select sum(l.amount) from refund_leg l where l.refund_id = r.id \
         and l.kind = 'CANCEL' and l.state = 'DONE'), 0) as bigint) as canceled, \
         cast(coalesce((select sum(l.amount) from refund_leg l where l.refund_id = r.id \
         and l.kind = 'PAYOUT' and l.state = 'DONE'), 0) as bigint) as paid_out, \
         cast(coalesce((select sum(l.amount) from refund_leg l where l.refund_id = r.id and l.state = 'UNKNOWN' \
         and coalesce(l.last_code, '') <> 'ACCEPTED'), 0) as bigint) as verifying \
         from refund r where r.member_id = $1 and r.id < $2 order by r.id desc limit $3",
    )
    .bind(i64::from(member))
    .bind(below)
    .bind(i64::from(size.get()) + 1)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| {
        Ok(RefundSummary {
            id: column(row, "id")?,
            request: row.try_get("request_id")?,
            amount: column(row, "amount")?,
            canceled: column(row, "canceled")?,
            paid_out: column(row, "paid_out")?,
            returned: column(row, "returned")?,
            verifying: column(row, "verifying")?,
            state: named(row, "state")?,
            trade: column(row, "trade_id")?,
            created_at: column(row, "created_at")?,
        })
    };
    rows.iter().map(read).collect()
}
