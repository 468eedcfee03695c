//! Database errors, grouped by what the caller may do: retry, give up, report a defect.

use std::convert::Infallible;
use std::error::Error as _;

/// PostgreSQL: a lock was not acquired within `lock_timeout`.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// PostgreSQL: the statement took longer than `statement_timeout`.
const QUERY_CANCELED: &str = "57014";

/// PostgreSQL: conflicts between transactions that a rerun of the whole transaction may resolve (its
/// manual, 13.5), with their labels for metrics.
const COLLISIONS: [(&str, &str); 2] = [("40001", "serialization"), ("40P01", "deadlock")];

/// Why a read or write failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// Overload: nothing was written. A retry a moment later may succeed.
    #[error("the database is busy")]
    Busy,
    /// The database is unreachable, or the outcome of a write is unknown.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database rejected a statement; nothing was written. A defect of ours.
    #[error("the database refused: {0}")]
    Defect(String),
}

/// Why a closure ended without a result.
#[derive(Debug)]
pub enum Abort<E> {
    /// The closure decided to abort: its changes are rolled back.
    Refused(E),
    /// A statement failed.
    Sql(sqlx::Error),
}

/// Why a write was not committed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E> {
    /// The closure aborted. Nothing was written.
    #[error("refused")]
    Refused(E),
    /// See [`DbError`].
    #[error(transparent)]
    Db(DbError),
}

impl<E> Abort<E> {
    /// The same with the error of the domain that called: for a step of one domain in another's
    /// transaction.
    #[must_use]
    pub fn widen<F: From<E>>(self) -> Abort<F> {
        match self {
            Self::Refused(error) => Abort::Refused(error.into()),
            Self::Sql(error) => Abort::Sql(error),
        }
    }
}

impl<E: From<DbError>> WriteError<E> {
    /// The domain's error, which has a variant for the database's.
    #[must_use]
    pub fn into_domain(self) -> E {
        match self {
            Self::Refused(error) => error,
            Self::Db(error) => error.into(),
        }
    }
}

/// Of a write that refuses nothing.
impl From<WriteError<Infallible>> for DbError {
    fn from(error: WriteError<Infallible>) -> Self {
        match error {
            WriteError::Refused(never) => match never {},
            WriteError::Db(error) => error,
        }
    }
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

/// A defect of ours that a step of a transaction finds: rolled back, and reported as [`DbError::Defect`].
#[must_use]
pub fn defect(why: String) -> sqlx::Error {
    sqlx::Error::Encode(DbError::Defect(why).into())
}

/// The defect of an amount beyond its type's range, which the caps on all amounts exclude.
#[must_use]
pub fn overflow() -> sqlx::Error {
    defect("an amount beyond its range".to_owned())
}

/// True if another transaction held a lock beyond the lock time-out.
#[must_use]
pub fn is_lock_timeout(error: &sqlx::Error) -> bool {
    code_of(error).is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// The label of a conflict after which the whole transaction may be rerun; `None` for other errors.
pub(super) fn collision(error: &sqlx::Error) -> Option<&'static str> {
    let code = code_of(error)?;
    let found = COLLISIONS.into_iter().find(|(known, _)| *known == code);
    found.map(|(_, reason)| reason)
}

/// True if only this statement failed and the connection is still usable.
pub(super) fn is_about_the_statement(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(database) = error else {
        return is_about_a_value(error);
    };
    // PostgreSQL: classes 22 (data) and 23 (constraints), and 42, invalid SQL. SQLite: 1, invalid SQL; 19, a
    // constraint, in the low byte of the extended codes.
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

/// True if a value could not be sent or read: the server has refused nothing.
const fn is_about_a_value(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::RowNotFound
            | sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
    )
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
