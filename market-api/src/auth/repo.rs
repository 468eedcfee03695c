//! The SQL of sessions (`token_family`).

use std::collections::BTreeMap;

use shared::claims::{FamilyId, MemberClaims, REFRESH_LIFETIME, TokenId};
use shared::clock::UnixMillis;
use shared::event::{Aggregate, Event, SessionRevoked};
use shared::ids::MemberId;
use shared::text::Language;
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use super::session::{FAMILY_LIFETIME, Session};
use crate::db::row::{TextColumn, column, named, optional};
use crate::db::{Db, DbError, Lock, LockMode, Tx, locking};
use crate::outbox::{self, NewEvent};

/// Inserts a session with its first refresh token.
pub(super) async fn insert_family(
    tx: &mut Tx<'_>,
    member: MemberId,
    family: &FamilyId,
    token: &TokenId,
) -> Result<(), sqlx::Error> {
    let now = tx.now();
    query(
        "insert into token_family (id, member_id, current_token, rotated_at, expires_at) \
         values ($1, $2, $3, $4, $5)",
    )
    .bind(family.as_str())
    .bind(i64::from(member.get()))
    .bind(token.as_str())
    .bind(now.get())
    .bind(now.saturating_add(FAMILY_LIFETIME).get())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The session of this member, with the member's status and role now.
pub(super) async fn session(
    db: &Db,
    member: MemberId,
    family: &FamilyId,
) -> Result<Option<Session>, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select m.role, m.blocked, m.language, f.revoked_at, f.current_token, f.previous_token, \
         f.rotated_at, f.expires_at \
         from token_family f join member m on m.id = f.member_id \
         where f.id = $1 and f.member_id = $2",
    )
    .bind(family.as_str())
    .bind(i64::from(member.get()))
    .fetch_optional(&mut *connection)
    .await?;
    row.as_ref()
        .map(read_session)
        .transpose()
        .map_err(Into::into)
}

/// The member's status and role now, as a session that lasts as long as the token.
pub(super) async fn without_session(
    db: &Db,
    claims: &MemberClaims,
) -> Result<Option<Session>, DbError> {
    let mut connection = db.read().await?;
    let row = query("select role, blocked, language from member where id = $1")
        .bind(i64::from(claims.member.get()))
        .fetch_optional(&mut *connection)
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    Ok(Some(Session {
        role: named(&row, "role")?,
        is_blocked: column(&row, "blocked")?,
        language: named(&row, "language")?,
        is_revoked: false,
        current: claims.token_id.clone(),
        previous: None,
        rotated_at: UnixMillis::EPOCH,
        expires_at: UnixMillis::EPOCH,
    }))
}

fn read_session(row: &AnyRow) -> Result<Session, sqlx::Error> {
    let revoked_at: Option<UnixMillis> = optional(row, "revoked_at")?;
    let previous: Option<String> = row.try_get("previous_token")?;
    let previous = previous.map(|_| named(row, "previous_token")).transpose()?;
    Ok(Session {
        role: named(row, "role")?,
        is_blocked: column(row, "blocked")?,
        language: named(row, "language")?,
        is_revoked: revoked_at.is_some(),
        current: named(row, "current_token")?,
        previous,
        rotated_at: column(row, "rotated_at")?,
        expires_at: column(row, "expires_at")?,
    })
}

/// Replaces the refresh token, if `seen` is still the current one.
pub(super) async fn rotate(
    tx: &mut Tx<'_>,
    family: &FamilyId,
    seen: &TokenId,
    next: &TokenId,
) -> Result<bool, sqlx::Error> {
    tx.note_locks([Lock::TokenFamily(family.clone())], LockMode::Exclusive);
    let now = tx.now().get();
    let done = query(
        "update token_family set previous_token = current_token, current_token = $3, \
         rotated_at = $4 where id = $1 and current_token = $2 and revoked_at is null",
    )
    .bind(family.as_str())
    .bind(seen.as_str())
    .bind(next.as_str())
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The current refresh token of a session that is not revoked.
pub(super) async fn current_token(
    tx: &mut Tx<'_>,
    family: &FamilyId,
) -> Result<Option<TokenId>, sqlx::Error> {
    let row = query("select current_token from token_family where id = $1 and revoked_at is null")
        .bind(family.as_str())
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| named(&row, "current_token")).transpose()
}

/// Revokes sessions, each once, and appends their events: after all updates and by member, as the lock
/// order wants it.
pub(super) async fn revoke(
    tx: &mut Tx<'_>,
    sessions: &BTreeMap<FamilyId, MemberId>,
) -> Result<(), sqlx::Error> {
    let mut ended = Vec::new();
    for (family, member) in sessions {
        if revoke_one(tx, *member, family).await? {
            ended.push((*member, family.clone()));
        }
    }
    ended.sort_by_cached_key(|(member, _)| Aggregate::from(*member));
    for (member, family) in ended {
        append_revoked(tx, member, family).await?;
    }
    Ok(())
}

/// Whether it was open.
async fn revoke_one(
    tx: &mut Tx<'_>,
    member: MemberId,
    family: &FamilyId,
) -> Result<bool, sqlx::Error> {
    tx.note_locks([Lock::TokenFamily(family.clone())], LockMode::Exclusive);
    let now = tx.now().get();
    let done = query(
        "update token_family set revoked_at = $3 \
         where id = $1 and member_id = $2 and revoked_at is null",
    )
    .bind(family.as_str())
    .bind(i64::from(member.get()))
    .bind(now)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes every session of a member, in the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn end_all_in(tx: &mut Tx<'_>, member: MemberId) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    // An update alone has no order.
    let text = locking!(
        tx,
        [Lock::FoundTokenFamilies],
        "select id from token_family where member_id = $1 and revoked_at is null \
         and expires_at > $2 order by id"
    );
    let open = query(text).bind(i64::from(member.get())).bind(now);
    let open = open.fetch_all(tx.connection()).await?;
    query(
        "update token_family set revoked_at = $2 \
         where member_id = $1 and revoked_at is null and expires_at > $2",
    )
    .bind(i64::from(member.get()))
    .bind(now)
    .execute(tx.connection())
    .await?;
    for row in open {
        append_revoked(tx, member, named(&row, "id")?).await?;
    }
    Ok(())
}

async fn append_revoked(
    tx: &mut Tx<'_>,
    member: MemberId,
    sid: FamilyId,
) -> Result<(), sqlx::Error> {
    let revoked = Event::SessionRevoked(SessionRevoked { sid });
    outbox::append(tx, &NewEvent::of_member(member, revoked)).await
}

impl TextColumn for Language {
    fn from_text(text: &str) -> Option<Self> {
        Self::parse(text)
    }
}

impl TextColumn for FamilyId {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl TextColumn for TokenId {
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Deletes sessions whose last token has expired.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let now = tx.now();
    query("delete from token_family where expires_at <= $1 or revoked_at <= $2")
        .bind(now.get())
        .bind(now.saturating_sub(REFRESH_LIFETIME).get())
        .execute(tx.connection())
        .await?;
    Ok(())
}
