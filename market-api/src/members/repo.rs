//! Members in the database.

use shared::claims::Role;
use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::money::{Units, Won};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::{Info, MonthOfData, Profile};
use crate::db::{Db, DbError, Tx};
use crate::http::Language;

/// A member as a login finds them.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) member: MemberId,
    pub(super) role: Role,
    pub(super) is_blocked: bool,
}

/// Makes the member, unless the provider's person is one already.
pub(super) async fn insert_member(
    tx: &mut Tx<'_>,
    profile: &Profile,
) -> Result<Option<MemberId>, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "insert into member (provider, provider_id, email, name, image_url, role, created_at, \
         updated_at) values ($1, $2, $3, $4, $5, $6, $7, $7) \
         on conflict (provider, provider_id) do nothing returning id",
    )
    .bind(profile.provider.as_str())
    .bind(profile.provider_id.as_str())
    .bind(profile.email.as_deref())
    .bind(profile.name.as_str())
    .bind(profile.image_url.as_deref())
    .bind(Role::NewMember.as_str())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(|row| id(row, "id")).transpose()
}

/// The member that a provider knows by this id, with the address that is kept of them.
pub(super) async fn known_as(
    db: &Db,
    profile: &Profile,
) -> Result<Option<(Known, Option<String>)>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select id, role, blocked, email from member where provider = $1 and provider_id = $2",
    )
    .bind(profile.provider.as_str())
    .bind(profile.provider_id.as_str())
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((read_known(&row)?, row.try_get("email")?)))
}

/// The address may change at the provider; name and picture are the member's own by now.
pub(super) async fn update_from_profile(
    tx: &mut Tx<'_>,
    profile: &Profile,
) -> Result<Known, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "update member set email = $3, updated_at = $4 \
         where provider = $1 and provider_id = $2 returning id, role, blocked",
    )
    .bind(profile.provider.as_str())
    .bind(profile.provider_id.as_str())
    .bind(profile.email.as_deref())
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    read_known(&row)
}

pub(super) async fn known(db: &Db, member: MemberId) -> Result<Option<Known>, DbError> {
    let mut connection = db.read().await?;
    let row = query("select id, role, blocked from member where id = $1")
        .bind(i64::from(member.get()))
        .fetch_optional(&mut *connection)
        .await?;
    Ok(row.as_ref().map(read_known).transpose()?)
}

fn read_known(row: &AnyRow) -> Result<Known, sqlx::Error> {
    let role: String = row.try_get("role")?;
    Ok(Known {
        member: id(row, "id")?,
        role: role.parse().map_err(|_unknown| decode("role"))?,
        is_blocked: row.try_get::<i64, _>("blocked")? != 0,
    })
}

/// An empty wallet: who pays locks it, so it must be there.
pub(super) async fn insert_wallet(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    query("insert into wallet (member_id) values ($1)")
        .bind(i64::from(member.get()))
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub(super) async fn info(db: &Db, member: MemberId) -> Result<Option<Info>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select m.name, m.image_url, m.created_at, m.rating_sum, m.rating_count, \
         (select count(*) from trade t where t.member_id = m.id and t.kind in \
          ('PURCHASE_MOBILE_SINGLE', 'PURCHASE_MOBILE_COMPOSITE', 'PURCHASE_WIFI', \
           'PURCHASE_HOTSPOT')) as purchases \
         from member m where m.id = $1",
    )
    .bind(i64::from(member.get()))
    .fetch_optional(&mut *connection)
    .await?;
    let info = row.as_ref().map(|row| read_info(member, row)).transpose();
    Ok(info?)
}

fn read_info(member: MemberId, row: &AnyRow) -> Result<Info, sqlx::Error> {
    let created_at: i64 = row.try_get("created_at")?;
    let count = |column: &str| {
        let value: i64 = row.try_get(column)?;
        u64::try_from(value).map_err(|_negative| decode("count"))
    };
    Ok(Info {
        member,
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        joined_at: UnixMillis::try_from(created_at).map_err(|_out_of_range| decode("time"))?,
        rating_sum: row.try_get("rating_sum")?,
        rating_count: count("rating_count")?,
        purchases: count("purchases")?,
    })
}

pub(super) async fn become_member(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query("update member set role = $2, updated_at = $4 where id = $1 and role = $3")
        .bind(i64::from(member.get()))
        .bind(Role::Member.as_str())
        .bind(Role::NewMember.as_str())
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Both buckets and the sales that are not folded into them yet, in one statement: between two of
/// them a sale could be folded and counted twice, or not at all.
pub(super) async fn cash(db: &Db, member: MemberId) -> Result<Won, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select cast(coalesce((select charged + earned from wallet where member_id = $1), 0) + \
         coalesce((select sum(amount) from credit where member_id = $1 and folded = 0), 0) \
         as bigint)",
    )
    .bind(i64::from(member.get()))
    .fetch_one(&mut *connection)
    .await?;
    Ok(Won::new(row.try_get(0)?))
}

pub(super) async fn month_of_data(
    db: &Db,
    member: MemberId,
    month: i64,
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
    .bind(i64::from(member.get()))
    .bind(month)
    .fetch_one(&mut *connection)
    .await?;
    let units = |column: &str| {
        let value: i64 = row.try_get(column)?;
        let value = u16::try_from(value).map_err(|_out_of_range| decode("amount"))?;
        Ok::<_, sqlx::Error>(Units::new(value))
    };
    Ok(MonthOfData {
        bought: units("bought")?,
        listed: units("listed")?,
        sold: units("sold")?,
    })
}

pub(super) async fn set_language(
    tx: &mut Tx<'_>,
    member: MemberId,
    language: Language,
) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query("update member set language = $2, updated_at = $3 where id = $1")
        .bind(i64::from(member.get()))
        .bind(language.as_str())
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// The member's name comes back: others are told both.
pub(super) async fn set_image(
    tx: &mut Tx<'_>,
    member: MemberId,
    image_url: &str,
) -> Result<String, sqlx::Error> {
    let now = tx.now().get();
    let row =
        query("update member set image_url = $2, updated_at = $3 where id = $1 returning name")
            .bind(i64::from(member.get()))
            .bind(image_url)
            .bind(now)
            .fetch_one(tx.connection())
            .await?;
    row.try_get(0)
}

fn id(row: &AnyRow, column: &str) -> Result<MemberId, sqlx::Error> {
    let id: i64 = row.try_get(column)?;
    let id = u64::try_from(id).map_err(|_negative| decode("id"))?;
    MemberId::try_from(id).map_err(|_out_of_range| decode("id"))
}

fn decode(what: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("a member's {what}").into())
}
