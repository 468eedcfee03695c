//! What a database says no with, and what a caller may do about it.

use std::error::Error as _;

/// PostgreSQL: a lock was not had within `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// PostgreSQL: the statement took longer than `statement_timeout`.
const QUERY_CANCELED: &str = "57014";

/// PostgreSQL: two transactions stood in each other's way, and one may work when it is run again (its
/// manual, 13.5). With the names for metrics.
const COLLISIONS: [(&str, &str); 2] = [("40001", "serialization"), ("40P01", "deadlock")];

/// The database did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DbError {
    /// Too much at once: nothing was written. The same again may work a moment later.
    #[error("the database is busy")]
    Busy,
    /// It cannot be reached, or what became of a write is unknown.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// It refused something it should never have been asked; nothing was written. A defect of ours.
    #[error("the database refused: {0}")]
    Defect(String),
}

/// Why a closure ended without a result.
#[derive(Debug)]
pub enum Abort<E> {
    /// Its own decision: nothing it did is kept.
    Refused(E),
    /// The database's.
    Sql(sqlx::Error),
}

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure decided so. Nothing was written.
    #[error("refused")]
    Refused(E),
    /// See [`DbError`].
    #[error(transparent)]
    Db(DbError),
}

impl<E> From<sqlx::Error> for Abort<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<sqlx::Error> for DbError {
    fn from(error: sqlx::Error) -> Self {
        let code = code_of(&error).unwrap_or_default();
        let is_busy = [LOCK_NOT_AVAILABLE, QUERY_CANCELED].contains(&code.as_str())
            || collision(&error).is_some()
            || matches!(error, sqlx::Error::PoolTimedOut);
        let is_away = matches!(
            error,
            sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::Protocol(_)
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed
                | sqlx::Error::Configuration(_)
        );
        if is_busy {
            Self::Busy
        } else if is_away || error.as_database_error().is_some() && !is_about_the_statement(&error)
        {
            Self::Unavailable(told(&error))
        } else {
            Self::Defect(told(&error))
        }
    }
}

/// Whether somebody else held a lock for longer than one waits for it.
#[must_use]
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// How a transaction collided that may be run again as a whole; `None` if it did not.
pub(super) fn collision(error: &sqlx::Error) -> Option<&'static str> {
    let code = code_of(error)?;
    let found = COLLISIONS.into_iter().find(|(known, _)| *known == code);
    found.map(|(_, reason)| reason)
}

/// Whether only this statement was wrong, and the connection is as good as before.
pub(super) fn is_about_the_statement(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return false;
    };
    // PostgreSQL: classes 22 and 23, data and constraints; 42, a wrong text. SQLite: 1 a wrong text,
    // 19 a constraint in the low byte of its extended codes.
    let code = database.code().unwrap_or_default();
    let of_postgres = code.len() == 5
        && ["22", "23", "42"]
            .iter()
            .any(|class| code.starts_with(class));
    let of_sqlite = code
        .parse::<u32>()
        .is_ok_and(|code| [1, 19].contains(&(code & 0xff)));
    of_postgres || (code.len() != 5 && of_sqlite)
}

fn code_of(error: &sqlx::Error) -> Option<String> {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .map(std::borrow::Cow::into_owned)
}

fn told(error: &sqlx::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
