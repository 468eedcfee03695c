//! Queries that join the tables of several domains. Each is one statement, so that its sums come from one
//! snapshot.

use shared::clock::Month;
use shared::ids::MemberId;
use shared::money::Units;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Info, MonthOfData, PlanBalance};
use crate::db::row::{Column as _, column};
use crate::db::{Db, DbError};

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
