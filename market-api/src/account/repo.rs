//! Queries that join the tables of several domains. Each is one statement, so that its sums come from one
//! snapshot.

use shared::clock::Month;
use shared::ids::MemberId;
use shared::money::Units;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Info, MonthOfData, PlanBalance};
use crate::db::row::{Column as _, column};
use crate::db::{Db, DbError, Tx};

pub(super) async fn info(db: &Db, member: MemberId) -> Result<Option<Info>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select m.name, m.image_url, m.created_at, m.rating_sum, m.rating_count, \
         (select count(*) from trade t where t.member_id = m.id and t.kind in \
          ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE', 'PURCHASE_WIFI', \
           'PURCHASE_HOTSPOT')) as purchases \
         from member m where m.id = $1",
    )
    .bind(i64::from(member))
    .fetch_optional(&mut *connection)
    .await?;
    let info = row.as_ref().map(|row| read_info(member, row)).transpose();
    Ok(info?)
}

fn read_info(member: MemberId, row: &AnyRow) -> Result<Info, sqlx::Error> {
    Ok(Info {
        member,
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        joined_at: column(row, "created_at")?,
        rating_sum: row.try_get("rating_sum")?,
        rating_count: column(row, "rating_count")?,
        purchases: column(row, "purchases")?,
    })
}

pub(super) async fn month_of_data(
    db: &Db,
    member: MemberId,
    month: Month,
) -> Result<MonthOfData, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select \
         coalesce((select bought from member_month where member_id = $1 and month = $2), 0) \
          as bought, \
         cast(coalesce(sum(case when state in ('ACTIVE', 'SOLD_OUT') then units_listed end), 0) \
          as bigint) as listed, \
         cast(coalesce(sum(units_sold), 0) as bigint) as sold \
         from product where member_id = $1 and month = $2 and kind = 'MOBILE_DATA'",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .fetch_one(&mut *connection)
    .await?;
    Ok(MonthOfData {
        bought: column(&row, "bought")?,
        listed: column(&row, "listed")?,
        sold: column(&row, "sold")?,
    })
}

pub(super) async fn plan(
    db: &Db,
    member: MemberId,
    month: Month,
) -> Result<Option<PlanBalance>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select p.name, p.monthly_price, coalesce(m.providing, p.providing) as providing, \
         coalesce(m.bought, 0) as bought, \
         (select cast(coalesce(sum(o.units_left + o.units_sold), 0) as bigint) from product o \
          where o.member_id = p.member_id and o.month = $2 and o.kind = 'MOBILE_DATA') as gone \
         from plan p left join member_month m on m.member_id = p.member_id and m.month = $2 \
         where p.member_id = $1",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .fetch_optional(&mut *connection)
    .await?;
    row.as_ref().map(read_plan).transpose().map_err(Into::into)
}

fn read_plan(row: &AnyRow) -> Result<PlanBalance, sqlx::Error> {
    let providing: i64 = row.try_get("providing")?;
    let (bought, gone): (i64, i64) = (row.try_get("bought")?, row.try_get("gone")?);
    // A plan never falls below zero (`money.md`, "Invariants"): a negative rest is a defect, not 0.
    let current = Units::from_number(providing + bought - gone).map_err(sqlx::Error::Decode)?;
    Ok(PlanBalance {
        name: row.try_get("name")?,
        providing: column(row, "providing")?,
        current,
        monthly_price: column(row, "monthly_price")?,
    })
}

/// Business of a member that has no end yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenBusiness {
    /// A charge may still be captured, or captured money is in suspense.
    pub(super) charges: bool,
    pub(super) refunds: bool,
    /// Booked time has not ended, as buyer or seller.
    pub(super) bookings: bool,
}

/// What keeps an account open. Orders that were never sent to the gateway do not count.
pub(super) async fn open_business(
    tx: &mut Tx<'_>,
    member: MemberId,
) -> Result<OpenBusiness, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "select \
         (select count(*) from charge where member_id = $1 \
          and state in ('CONFIRMING', 'UNKNOWN', 'WAITING')) \
         + (select count(*) from suspense_payment s join charge c \
          on c.id = s.charge_id or c.order_id = s.order_id \
          where s.canceled < s.captured and c.member_id = $1) as charges, \
         (select count(*) from refund where member_id = $1 and state = 'OPEN') as refunds, \
         (select count(*) from booking where buyer_id = $1 and ends_at > $2) \
         + (select count(*) from booking b join product p on p.id = b.product_id \
          where p.member_id = $1 and b.ends_at > $2) as bookings",
    )
    .bind(i64::from(member))
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    let is_any = |name| Ok::<_, sqlx::Error>(row.try_get::<i64, _>(name)? > 0);
    Ok(OpenBusiness {
        charges: is_any("charges")?,
        refunds: is_any("refunds")?,
        bookings: is_any("bookings")?,
    })
}
