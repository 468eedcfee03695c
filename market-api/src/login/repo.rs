//! The SQL of login attempts, which are in the database so that any server can finish them.

use shared::clock::UnixMillis;
use shared::ids::MemberId;
use sqlx::{AnyConnection, Row as _, query};

use super::ATTEMPT_TIME;
use crate::db::Tx;
use crate::db::row::{column, optional};
use crate::members::Provider;

/// A login in progress.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// The OAuth state: identifies the attempt in the callback.
    pub(super) state: String,
    /// The provider that the browser was redirected to.
    pub(super) provider: Provider,
    /// The browser that began the attempt: the value of its cookie.
    pub(super) browser: String,
    /// The nonce expected in the ID token.
    pub(super) nonce: String,
    /// The PKCE verifier: proves that the exchanging client began the attempt.
    pub(super) verifier: String,
}

pub(super) async fn insert(tx: &mut Tx<'_>, attempt: &Attempt) -> Result<(), sqlx::Error> {
    let expires_at = tx.now().saturating_add(ATTEMPT_TIME).get();
    query(
        "insert into login_attempt (state, provider, browser, nonce, verifier, expires_at) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(attempt.state.as_str())
    .bind(attempt.provider.as_str())
    .bind(attempt.browser.as_str())
    .bind(attempt.nonce.as_str())
    .bind(attempt.verifier.as_str())
    .bind(expires_at)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The state of the attempt of a callback.
#[derive(Debug)]
pub(super) enum Back {
    /// In progress; this caller must finish it.
    Taken(Attempt),
    /// Taken before by another callback.
    Before,
    /// Missing or expired.
    Unknown,
}

/// An attempt that was taken before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Past {
    pub(super) taken_at: UnixMillis,
    /// The result; `None` while the first callback is still running.
    pub(super) outcome: Option<Outcome>,
}

/// The result of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// This member was logged in.
    LoggedIn(MemberId),
    /// The login failed with this code.
    Refused(u16),
}

/// Selects an attempt: by state, provider and browser, so that a browser cannot use the attempt of
/// another one.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) state: String,
    pub(super) provider: Provider,
    /// The candidate values of the browser's cookie.
    pub(super) browsers: Vec<String>,
}

/// Takes an attempt; of two concurrent callbacks with one state only one succeeds.
pub(super) async fn take(tx: &mut Tx<'_>, wanted: &Wanted) -> Result<Back, sqlx::Error> {
    for browser in &wanted.browsers {
        if let Some(attempt) = take_of(tx, wanted, browser).await? {
            return Ok(Back::Taken(attempt));
        }
    }
    let now = tx.now().get();
    let past = past(tx.connection(), wanted, now).await?;
    Ok(past.map_or(Back::Unknown, |_| Back::Before))
}

async fn take_of(
    tx: &mut Tx<'_>,
    wanted: &Wanted,
    browser: &str,
) -> Result<Option<Attempt>, sqlx::Error> {
    let now = tx.now().get();
    let row = query(
        "update login_attempt set taken_at = $4 where state = $1 and provider = $2 \
         and browser = $3 and expires_at > $4 and taken_at is null returning nonce, verifier",
    )
    .bind(wanted.state.as_str())
    .bind(wanted.provider.as_str())
    .bind(browser)
    .bind(now)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Attempt {
        state: wanted.state.clone(),
        provider: wanted.provider,
        browser: browser.to_owned(),
        nonce: row.try_get(0)?,
        verifier: row.try_get(1)?,
    }))
}

/// An attempt that was taken before and has not expired.
pub(super) async fn past(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    now: i64,
) -> Result<Option<Past>, sqlx::Error> {
    for browser in &wanted.browsers {
        if let Some(past) = past_of(&mut *connection, wanted, browser, now).await? {
            return Ok(Some(past));
        }
    }
    Ok(None)
}

async fn past_of(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    browser: &str,
    now: i64,
) -> Result<Option<Past>, sqlx::Error> {
    let row = query(
        "select taken_at, outcome, member_id from login_attempt where state = $1 \
         and provider = $2 and browser = $3 and expires_at > $4 and taken_at is not null",
    )
    .bind(wanted.state.as_str())
    .bind(wanted.provider.as_str())
    .bind(browser)
    .bind(now)
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let outcome: Option<u16> = optional(&row, "outcome")?;
    let outcome = match (outcome, optional(&row, "member_id")?) {
        (None, _) => None,
        (Some(0), Some(member)) => Some(Outcome::LoggedIn(member)),
        (Some(code), _) => Some(Outcome::Refused(code)),
    };
    Ok(Some(Past {
        taken_at: column(&row, "taken_at")?,
        outcome,
    }))
}

/// Records the result of an attempt.
pub(super) async fn settle(
    tx: &mut Tx<'_>,
    state: &str,
    outcome: Outcome,
) -> Result<(), sqlx::Error> {
    let (code, member) = match outcome {
        Outcome::LoggedIn(member) => (0, Some(i64::from(member.get()))),
        Outcome::Refused(code) => (i64::from(code), None),
    };
    query("update login_attempt set outcome = $2, member_id = $3 where state = $1")
        .bind(state)
        .bind(code)
        .bind(member)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// True if a session of this member was revoked since then.
pub(super) async fn has_left(
    connection: &mut AnyConnection,
    member: MemberId,
    since: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let row = query("select count(*) from token_family where member_id = $1 and revoked_at >= $2")
        .bind(i64::from(member.get()))
        .bind(since.get())
        .fetch_one(connection)
        .await?;
    Ok(row.try_get::<i64, _>(0)? > 0)
}

pub(super) async fn forget(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query("delete from login_attempt where expires_at <= $1")
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}
