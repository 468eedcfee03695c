//! Idempotent requests by the header `Idempotency-Key`: the effect happens once, a repetition gets the stored
//! response.
//!
//! ```text
//! begin_in(tx): insert the key's row, first statement of the effect's transaction
//!     new ─► the effect ─► finish_in(tx): store the response ─► COMMIT, both or neither
//!     exists ─► the stored response, byte for byte, with `Idempotent-Replayed: true`
//! ```
//!
//! A refusal rolls the row back with the effect, so the client may retry. Of two concurrent requests the
//! second waits for the first one's row lock, at most for the database's `lock_timeout`.
//!
//! Requests without the header are not deduplicated.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use shared::ids::MemberId;
use shared::web::{ApiError, ErrorCode};
use sqlx::any::AnyRow;
use sqlx::{Row as _, query};

use crate::db::{Abort, Db, DbError, Lock, LockMode, Tx, is_lock_timeout};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Bound of a key in characters: ample for a UUID or a hash.
const KEY_CHARS_MAX: usize = 255;

/// Lifetime of a stored response: a day covers clients that retry.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The key of a request, if it has one: 1 to 255 visible characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let mut values = parts.headers.get_all(KEY).iter();
        let Some(first) = values.next() else {
            return Ok(Self(None));
        };
        let visible = |byte: &u8| (b'!'..=b'~').contains(byte);
        let bytes = first.as_bytes();
        let is_key = values.next().is_none()
            && (1..=KEY_CHARS_MAX).contains(&bytes.len())
            && bytes.iter().all(visible);
        let text = first.to_str().ok().filter(|_| is_key);
        let key = text.ok_or(ErrorCode::InvalidParameter)?;
        Ok(Self(Some(key.to_owned())))
    }
}

/// A request to deduplicate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentRequest {
    scope: String,
    key: String,
    fingerprint: String,
}

impl IdempotentRequest {
    /// A member's request to a route under its key; `body` distinguishes a repetition from another request
    /// under the same key.
    #[must_use]
    pub fn new(member: MemberId, route: &str, key: String, body: &[u8]) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
        Self {
            scope: format!("{member} {route}"),
            key,
            fingerprint: URL_SAFE_NO_PAD.encode(digest),
        }
    }
}

/// Why a request with a key is not done.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError {
    /// The key was used with another body.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The request with this key still runs.
    #[error("the request with this idempotency key still runs")]
    KeyRunning,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<sqlx::Error> for IdempotencyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

impl From<IdempotencyError> for ApiError {
    fn from(error: IdempotencyError) -> Self {
        match error {
            IdempotencyError::KeyReused => ErrorCode::KeyReused.into(),
            IdempotencyError::KeyRunning => ErrorCode::KeyRunning.into(),
            IdempotencyError::Db(error) => error.into(),
        }
    }
}

/// A response, stored or to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body: JSON.
    pub body: String,
}

/// The state of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Unused: run the effect, then call [`finish_in`].
    New,
    /// Used: replay this response.
    Replay(Answer),
}

/// The response of a request that may be a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The effect happened now.
    New(Answer),
    /// The effect happened before: the stored response, with the header that marks a replay.
    Replayed(Answer),
}

impl Reply {
    /// The response, new or stored.
    #[must_use]
    pub const fn answer(&self) -> &Answer {
        match self {
            Self::New(answer) | Self::Replayed(answer) => answer,
        }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self {
            Self::New(answer) => (answer.status, [json], answer.body).into_response(),
            Self::Replayed(answer) => {
                let headers = [json, (REPLAYED, HeaderValue::from_static("true"))];
                (answer.status, headers, answer.body).into_response()
            }
        }
    }
}

/// The stored response of this key, if there is one; a read ahead of all other work.
///
/// # Errors
/// [`IdempotencyError::KeyReused`], or the database's.
pub async fn look_up(
    db: &Db,
    once: &IdempotentRequest,
) -> Result<Option<Answer>, IdempotencyError> {
    let mut connection = db.read().await?;
    let row =
        query("select fingerprint, status, body from idempotency where scope = $1 and key = $2")
            .bind(once.scope.as_str())
            .bind(once.key.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    row.map(|row| replay(once, &row)).transpose()
}

/// Inserts the key's row, as the first statement of the effect's transaction.
///
/// # Errors
/// See [`IdempotencyError`]. In a transaction of another domain: `.map_err(Abort::widen)?`.
pub async fn begin_in(
    tx: &mut Tx<'_>,
    once: &IdempotentRequest,
) -> Result<KeyState, Abort<IdempotencyError>> {
    tx.note_locks([Lock::IdempotencyKey], LockMode::Exclusive);
    let now = tx.now().get();
    let written = query(
        "insert into idempotency (scope, key, fingerprint, created_at) values ($1, $2, $3, $4) \
         on conflict (scope, key) do nothing",
    )
    .bind(once.scope.as_str())
    .bind(once.key.as_str())
    .bind(once.fingerprint.as_str())
    .bind(now)
    .execute(tx.connection())
    .await;
    let written = written.map_err(|error| {
        // This statement waits only for a concurrent request with the same key.
        if is_lock_timeout(&error) {
            Abort::Refused(IdempotencyError::KeyRunning)
        } else {
            Abort::Sql(error)
        }
    })?;
    if written.rows_affected() == 1 {
        return Ok(KeyState::New);
    }
    let row =
        query("select fingerprint, status, body from idempotency where scope = $1 and key = $2")
            .bind(once.scope.as_str())
            .bind(once.key.as_str())
            .fetch_one(tx.connection())
            .await?;
    replay(once, &row)
        .map(KeyState::Replay)
        .map_err(Abort::Refused)
}

/// Stores the response in the effect's transaction.
///
/// # Errors
/// The database's.
pub async fn finish_in(
    tx: &mut Tx<'_>,
    once: &IdempotentRequest,
    answer: &Answer,
) -> Result<(), sqlx::Error> {
    query("update idempotency set status = $3, body = $4 where scope = $1 and key = $2")
        .bind(once.scope.as_str())
        .bind(once.key.as_str())
        .bind(i64::from(answer.status.as_u16()))
        .bind(answer.body.as_str())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Deletes expired responses.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    let before = tx.now().saturating_sub(KEEP);
    query("delete from idempotency where created_at < $1")
        .bind(before.get())
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn replay(once: &IdempotentRequest, row: &AnyRow) -> Result<Answer, IdempotencyError> {
    let fingerprint: String = row.try_get(0)?;
    if fingerprint != once.fingerprint {
        return Err(IdempotencyError::KeyReused);
    }
    let (status, body): (Option<i64>, Option<String>) = (row.try_get(1)?, row.try_get(2)?);
    let status = status
        .and_then(|status| u16::try_from(status).ok())
        .and_then(|status| StatusCode::from_u16(status).ok());
    match (status, body) {
        (Some(status), Some(body)) => Ok(Answer { status, body }),
        _ => Err(IdempotencyError::Db(DbError::Defect(
            "idempotency row committed without its response".to_owned(),
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These header values are a key, none, or invalid.
    async fn check(values: &[&str], expected: Result<Option<&str>, ErrorCode>) {
        let mut request = http::Request::builder();
        for value in values {
            request = request.header(KEY, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let found = IdempotencyKey::from_request_parts(&mut parts, &()).await;
        let found = found.map(|key| key.0).map_err(|error| error.code());
        assert_eq!(
            found,
            expected.map(|key| key.map(str::to_owned)),
            "{values:?}"
        );
    }

    #[tokio::test]
    async fn a_key_is_one_visible_text() {
        check(&[], Ok(None)).await;
        check(&["a b"], Err(ErrorCode::InvalidParameter)).await;
        check(&[""], Err(ErrorCode::InvalidParameter)).await;
        check(&["a", "a"], Err(ErrorCode::InvalidParameter)).await;
        let long = "x".repeat(KEY_CHARS_MAX);
        check(&[&long], Ok(Some(&long))).await;
        check(&[&format!("{long}x")], Err(ErrorCode::InvalidParameter)).await;
    }

    #[test]
    fn other_body_is_another_request() {
        let member = MemberId::try_from(1_u64).unwrap();
        let of = |body: &[u8]| IdempotentRequest::new(member, "POST /x", "k".to_owned(), body);
        assert_eq!(of(b"1"), of(b"1"));
        assert_ne!(of(b"1"), of(b"2"));
    }
}
