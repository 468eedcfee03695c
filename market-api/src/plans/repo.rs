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

/// Adds purchased data to a member's plan, for the month of the transaction.
///
/// # Errors
/// [`BuyError`], or the database's.
pub async fn add_bought_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    units: Units,
) -> Result<(), Abort<BuyError>> {
    let month = tx.month();
    let Some(had) = lock_month_in(tx, member, month).await? else {
        return Err(Abort::Refused(BuyError::NoPlan));
    };
    let bought = had.bought.checked_add(units);
    let Some(bought) = bought.filter(|bought| *bought <= MONTH_UNITS_MAX) else {
        return Err(Abort::Refused(BuyError::Limit));
    };
    query("update member_month set bought = $3 where member_id = $1 and month = $2")
        .bind(i64::from(member))
        .bind(month.get())
        .bind(i64::from(bought.get()))
        .execute(tx.connection())
        .await?;
    Ok(())
}
