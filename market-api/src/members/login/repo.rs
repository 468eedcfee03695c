//! Logins under way, in the database: whichever server a browser comes back to finds them.

use shared::clock::UnixMillis;
use sqlx::{Row as _, query};

use super::{ATTEMPT_TIME, Provider, is_past};
use crate::db::Tx;

/// A login under way.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    /// Comes back with the browser.
    pub(super) state: String,
    /// Whom it was sent to.
    pub(super) provider: Provider,
    /// Which browser: the value of its cookie.
    pub(super) browser: String,
    /// Comes back in an ID token.
    pub(super) nonce: String,
    /// Proves that whoever has the code began the attempt.
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

/// Takes an attempt out: of two that come back with one state, one gets it.
pub(super) async fn take(tx: &mut Tx<'_>, state: &str) -> Result<Option<Attempt>, sqlx::Error> {
    let now = tx.now();
    let row = query(
        "delete from login_attempt where state = $1 \
         returning provider, browser, nonce, verifier, expires_at",
    )
    .bind(state)
    .fetch_optional(tx.connection())
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (provider, expires_at): (String, i64) = (row.try_get(0)?, row.try_get(4)?);
    let expires_at = UnixMillis::try_from(expires_at).unwrap_or_default();
    let known = Provider::ALL
        .into_iter()
        .find(|known| known.as_str() == provider);
    let Some(provider) = known.filter(|_| !is_past(expires_at, now)) else {
        return Ok(None);
    };
    Ok(Some(Attempt {
        state: state.to_owned(),
        provider,
        browser: row.try_get(1)?,
        nonce: row.try_get(2)?,
        verifier: row.try_get(3)?,
    }))
}

pub(super) async fn forget(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let now = tx.now().get();
    query("delete from login_attempt where expires_at <= $1")
        .bind(now)
        .execute(tx.connection())
        .await?;
    Ok(())
}
