//! Plans in the database.

use shared::ids::MemberId;
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Balance, Plan};
use crate::db::{Db, DbError, Tx};

/// Gives a member a plan, in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn insert_in(tx: &mut Tx<'_>, member: MemberId, plan: &Plan) -> Result<(), sqlx::Error> {
    query(
        "insert into plan (member_id, name, category, age_group, providing, monthly_price) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(i64::from(member.get()))
    .bind(plan.name.as_str())
    .bind(plan.category)
    .bind(plan.age_group)
    .bind(i64::from(plan.providing.get()))
    .bind(plan.monthly_price.get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// One statement, so that what it adds up is of one moment.
pub(super) async fn balance(
    db: &Db,
    member: MemberId,
    month: i64,
) -> Result<Option<Balance>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select p.name, p.monthly_price, coalesce(m.providing, p.providing) as providing, \
         coalesce(m.bought, 0) as bought, \
         (select cast(coalesce(sum(o.units_left + o.units_sold), 0) as bigint) from product o \
          where o.member_id = p.member_id and o.month = $2 and o.kind = 'MOBILE_DATA') as gone \
         from plan p left join member_month m on m.member_id = p.member_id and m.month = $2 \
         where p.member_id = $1",
    )
    .bind(i64::from(member.get()))
    .bind(month)
    .fetch_optional(&mut *connection)
    .await?;
    row.as_ref().map(read).transpose().map_err(Into::into)
}

fn read(row: &AnyRow) -> Result<Balance, sqlx::Error> {
    let units = |value: i64| {
        let value = u16::try_from(value);
        value
            .map(Units::new)
            .map_err(|error| sqlx::Error::Decode(error.into()))
    };
    let providing: i64 = row.try_get("providing")?;
    let (bought, gone): (i64, i64) = (row.try_get("bought")?, row.try_get("gone")?);
    Ok(Balance {
        name: row.try_get("name")?,
        providing: units(providing)?,
        current: units(providing + bought - gone)?,
        monthly_price: Won::new(row.try_get("monthly_price")?),
    })
}
