//! The SQL of plans.

use shared::clock::Month;
use shared::ids::MemberId;
use shared::money::Units;
use sqlx::query;

use super::{BuyError, MONTH_UNITS_MAX, MonthOfPlan, Plan};
use crate::db::row::column;
use crate::db::{Abort, Lock, LockMode, Tx, locking};

/// Inserts a member's plan, in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn insert_in(tx: &mut Tx<'_>, member: MemberId, plan: &Plan) -> Result<(), sqlx::Error> {
    query(
        "insert into plan (member_id, name, category, age_group, providing, monthly_price) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(i64::from(member))
    .bind(plan.name.as_str())
    .bind(plan.category)
    .bind(plan.age_group)
    .bind(i64::from(plan.providing.get()))
    .bind(plan.monthly_price.get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Locks a member's row of a month until the transaction ends; inserts it from the plan at the first use in
/// that month. `None` for a member without a plan.
///
/// # Errors
/// The database's.
pub async fn lock_month_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    month: Month,
) -> Result<Option<MonthOfPlan>, sqlx::Error> {
    let lock = Lock::Month(member, month);
    tx.note_locks([lock.clone()], LockMode::Exclusive);
    query(
        "insert into member_month (member_id, month, providing) \
         select member_id, cast($2 as bigint), providing from plan where member_id = $1 \
         on conflict (member_id, month) do nothing",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .execute(tx.connection())
    .await?;
    let text = locking!(
        tx,
        [lock],
        "select providing, bought from member_month where member_id = $1 and month = $2"
    );
    let row = query(text).bind(i64::from(member)).bind(month.get());
    let row = row.fetch_optional(tx.connection()).await?;
    let read = |row| {
        Ok(MonthOfPlan {
            providing: column(&row, "providing")?,
            bought: column(&row, "bought")?,
        })
    };
    row.map(read).transpose()
}

/// Adds purchased data to a member's plan, for the month of the transaction. One conditional statement: it
/// waits for concurrent purchases on the month's row, and needs no lock before it.
///
/// # Errors
/// [`BuyError`], or the database's.
pub async fn add_bought_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    units: Units,
) -> Result<(), Abort<BuyError>> {
    // More would break the CHECK of a month's first row.
    if units <= MONTH_UNITS_MAX && try_add_bought(tx, member, units).await? {
        return Ok(());
    }
    let plan = query("select 1 from plan where member_id = $1").bind(i64::from(member));
    let plan = plan.fetch_optional(tx.connection()).await?;
    Err(Abort::Refused(match plan {
        Some(_) => BuyError::Limit,
        None => BuyError::NoPlan,
    }))
}

/// False without a plan, or if the month's purchases would exceed the limit.
async fn try_add_bought(
    tx: &mut Tx<'_>,
    member: MemberId,
    units: Units,
) -> Result<bool, sqlx::Error> {
    let month = tx.month();
    tx.note_locks([Lock::Month(member, month)], LockMode::Exclusive);
    let added = query(
        "insert into member_month (member_id, month, providing, bought) \
         select member_id, cast($2 as bigint), providing, cast($3 as bigint) from plan \
         where member_id = $1 on conflict (member_id, month) do update \
         set bought = member_month.bought + excluded.bought \
         where member_month.bought + excluded.bought <= $4 returning bought",
    )
    .bind(i64::from(member))
    .bind(month.get())
    .bind(i64::from(units.get()))
    .bind(i64::from(MONTH_UNITS_MAX.get()))
    .fetch_optional(tx.connection())
    .await?;
    Ok(added.is_some())
}
