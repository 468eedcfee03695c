//! The SQL of members.

use shared::claims::Role;
use shared::event::MemberUpdated;
use shared::ids::MemberId;
use shared::text::Language;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::{AccountStatus, Profile, Rating};
use crate::db::row::{TextColumn, column, named};
use crate::db::{Db, DbError, Dialect, Lock, LockMode, Tx, defect, locking};

/// A member found by a login.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) member: MemberId,
    pub(super) role: Role,
    pub(super) is_blocked: bool,
}

/// Inserts the member, unless the profile's key exists.
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
    row.as_ref().map(|row| column(row, "id")).transpose()
}

/// Finds the member by provider and id there; also returns the stored e-mail address.
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

/// Updates the e-mail address from the profile; name and picture are the member's own after the first login. `None`
/// if no member has the profile's key.
pub(super) async fn update_from_profile(
    tx: &mut Tx<'_>,
    profile: &Profile,
) -> Result<Option<Known>, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "update member set email = $3, updated_at = $4 \
         where provider = $1 and provider_id = $2 returning id, role, blocked",
    )
    .bind(profile.provider.as_str())
    .bind(profile.provider_id.as_str())
    .bind(profile.email.as_deref())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    let known = row.as_ref().map(read_known).transpose()?;
    if let Some(known) = &known {
        note_update(tx, known.member);
    }
    Ok(known)
}

/// An update locks its row, too.
fn note_update(tx: &mut Tx<'_>, member: MemberId) {
    tx.note_locks([Lock::Member(member)], LockMode::Exclusive);
}

pub(super) async fn known(db: &Db, member: MemberId) -> Result<Option<Known>, DbError> {
    let mut connection = db.read().await?;
    let row = query("select id, role, blocked from member where id = $1")
        .bind(i64::from(member))
        .fetch_optional(&mut *connection)
        .await?;
    Ok(row.as_ref().map(read_known).transpose()?)
}

fn read_known(row: &AnyRow) -> Result<Known, sqlx::Error> {
    Ok(Known {
        member: column(row, "id")?,
        role: named(row, "role")?,
        is_blocked: column(row, "blocked")?,
    })
}

impl TextColumn for Role {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Sets whether a member may log in; false if the status is unchanged, the account is closed, or the member does not
/// exist. Runs inside [`super::Members::change_status`], since the lists depend on it. Reports before an unblocking
/// no longer count: else the next one would block again.
///
/// # Errors
/// The database's.
pub async fn set_status_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    status: AccountStatus,
) -> Result<bool, sqlx::Error> {
    note_update(tx, member);
    let now = tx.now().get();
    let done = query(
        "update member set blocked = $2, updated_at = $3, \
             reports_from = case when $2 = 0 then $3 else reports_from end \
             where id = $1 and blocked <> $2 and closed_at is null",
    )
    .bind(i64::from(member))
    .bind(i64::from(status == AccountStatus::Blocked))
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// True if the member exists, also as a closed account.
///
/// # Errors
/// The database's.
pub async fn exists(connection: &mut AnyConnection, member: MemberId) -> Result<bool, sqlx::Error> {
    let row = query("select 1 from member where id = $1")
        .bind(i64::from(member))
        .fetch_optional(connection)
        .await?;
    Ok(row.is_some())
}

/// Locks a member's row until the transaction ends, which serializes the member's transactions.
///
/// # Errors
/// The database's.
pub async fn lock_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    query(locking!(
        tx,
        [Lock::Member(member)],
        "select id from member where id = $1"
    ))
    .bind(i64::from(member))
    .fetch_optional(tx.connection())
    .await?;
    Ok(())
}

/// Takes shared locks on these members' rows until the transaction ends: they block changes, but no other
/// shared lock.
///
/// # Errors
/// The database's.
pub async fn lock_shared_in(tx: &mut Tx<'_>, members: [MemberId; 2]) -> Result<(), sqlx::Error> {
    let [one, other] = members.map(i64::from);
    let text = locking!(
        tx,
        shared members.map(Lock::Member),
        "select id from member where id in ($1, $2) order by id"
    );
    let rows = query(text).bind(one).bind(other);
    rows.fetch_all(tx.connection()).await?;
    Ok(())
}

/// Class of the advisory locks of ratings.
const RATING_LOCKS: i32 = 1;

/// Locks a member's rating until the transaction ends, and reads it. Nobody changes it meanwhile, nor makes an
/// offer that shows it.
///
/// A lock of its own, no row's: it comes before the offers, which a change of the rating locks, too, and the row
/// comes after them.
///
/// # Errors
/// The database's; no such member.
pub async fn lock_rating_in(tx: &mut Tx<'_>, member: MemberId) -> Result<Rating, sqlx::Error> {
    tx.note_locks([Lock::Rating(member)], LockMode::Exclusive);
    match tx.dialect() {
        Dialect::Postgres => {
            let key = i32::try_from(member.get()).map_err(|error| defect(error.to_string()))?;
            // As text, since sqlx's `Any` has no type for what the function returns.
            query("select cast(pg_advisory_xact_lock($1, $2) as text)")
                .bind(RATING_LOCKS)
                .bind(key)
                .fetch_one(tx.connection())
                .await?;
        }
        Dialect::Sqlite => {}
    }
    let row = query("select rating_sum, rating_count from member where id = $1")
        .bind(i64::from(member))
        .fetch_one(tx.connection())
        .await?;
    Ok(Rating {
        sum: row.try_get("rating_sum")?,
        count: row.try_get("rating_count")?,
    })
}

/// Stores a changed rating; `was` is what [`lock_rating_in`] has read. Locks the member's row.
///
/// # Errors
/// The database's; the rating is not `was`, a defect.
pub async fn set_rating_in(
    tx: &mut Tx<'_>,
    member: MemberId,
    was: Rating,
    rating: Rating,
) -> Result<(), sqlx::Error> {
    note_update(tx, member);
    let done = query(
        "update member set rating_sum = $4, rating_count = $5 \
         where id = $1 and rating_sum = $2 and rating_count = $3",
    )
    .bind(i64::from(member))
    .bind(was.sum)
    .bind(was.count)
    .bind(rating.sum)
    .bind(rating.count)
    .execute(tx.connection())
    .await?;
    if done.rows_affected() == 1 {
        return Ok(());
    }
    Err(defect(format!(
        "the rating of member {member} has changed without its lock"
    )))
}

pub(super) async fn become_member(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    note_update(tx, member);
    let now = tx.now().get();
    query("update member set role = $2, updated_at = $4 where id = $1 and role = $3")
        .bind(i64::from(member))
        .bind(Role::Member.as_str())
        .bind(Role::NewMember.as_str())
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

pub(super) async fn become_admin(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    note_update(tx, member);
    let now = tx.now().get();
    query("update member set role = $2, updated_at = $3 where id = $1 and role <> $2")
        .bind(i64::from(member))
        .bind(Role::Admin.as_str())
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Sets the language; returns what the domain event carries, `None` for a closed account.
pub(super) async fn set_language(
    tx: &mut Tx<'_>,
    member: MemberId,
    language: Language,
) -> Result<Option<MemberUpdated>, sqlx::Error> {
    note_update(tx, member);
    let now = tx.now().get();
    let row = query(
        "update member set language = $2, updated_at = $3 where id = $1 \
         and closed_at is null returning name, image_url, language",
    )
    .bind(i64::from(member))
    .bind(language.as_str())
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(read_updated).transpose()
}

/// Sets the picture; returns what the domain event carries, `None` for a closed account.
pub(super) async fn set_image(
    tx: &mut Tx<'_>,
    member: MemberId,
    image_url: &str,
) -> Result<Option<MemberUpdated>, sqlx::Error> {
    note_update(tx, member);
    let now = tx.now().get();
    let row = query(
        "update member set image_url = $2, updated_at = $3 where id = $1 \
         and closed_at is null returning name, image_url, language",
    )
    .bind(i64::from(member))
    .bind(image_url)
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    row.as_ref().map(read_updated).transpose()
}

fn read_updated(row: &AnyRow) -> Result<MemberUpdated, sqlx::Error> {
    Ok(MemberUpdated {
        name: row.try_get("name")?,
        image_url: row.try_get("image_url")?,
        language: Some(named(row, "language")?),
    })
}
