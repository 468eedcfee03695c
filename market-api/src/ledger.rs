//! Verification of the books, trades, stock, reviews and payments: every invariant of `money.md` as SQL, read in one snapshot.
//!
//! `market-api verify-ledger` runs it for operators; tests run it after every scenario. It changes nothing.
//!
//! What this module does not do: repair. A violation is a defect; the rows say where.

mod payments;
mod reviews;
mod trades;

use std::fmt;

use sqlx::{AnyConnection, Executor as _, Row as _, query};

use crate::db::{Db, DbError, Dialect};

/// Bound of the violations printed for one invariant.
const ROWS_MAX: usize = 100;

/// A rule that always holds, and the query of the rows that violate it: one text column that describes the
/// row.
struct Invariant {
    name: &'static str,
    violations: &'static str,
}

const fn rule(name: &'static str, violations: &'static str) -> Invariant {
    Invariant { name, violations }
}

/// The invariants of trades, those of reviews, then those of payments.
const INVARIANTS: [&[Invariant]; 3] = [
    trades::INVARIANTS,
    reviews::INVARIANTS,
    payments::INVARIANTS,
];

/// A row that violates an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The name of the invariant.
    pub invariant: &'static str,
    /// The row.
    pub row: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.invariant, self.row)
    }
}

/// The number of invariants.
#[must_use]
pub const fn invariants() -> usize {
    trades::INVARIANTS.len() + reviews::INVARIANTS.len() + payments::INVARIANTS.len()
}

/// The number of invariants of payments among them.
#[must_use]
pub const fn payment_invariants() -> usize {
    payments::INVARIANTS.len()
}

/// Finds the rows that violate an invariant, in one snapshot: at most a hundred for each, with a last line
/// if there are more.
///
/// # Errors
/// The database's.
pub async fn verify(db: &Db) -> Result<Vec<Violation>, DbError> {
    // Detached: a session in the middle of a transaction does not go back to the pool.
    let mut connection = db.read().await?.detach();
    let found = read(&mut connection, db.dialect()).await;
    drop(connection);
    Ok(found?)
}

async fn read(
    connection: &mut AnyConnection,
    dialect: Dialect,
) -> Result<Vec<Violation>, sqlx::Error> {
    let begin: &[&str] = match dialect {
        Dialect::Postgres => &[
            "begin isolation level repeatable read read only",
            // The books of years take longer than a request may.
            "set local statement_timeout = 0",
        ],
        Dialect::Sqlite => &["begin"],
    };
    for text in begin {
        connection.execute(*text).await?;
    }
    let mut found = Vec::new();
    for invariant in INVARIANTS.into_iter().flatten() {
        let rows = query(invariant.violations)
            .fetch_all(&mut *connection)
            .await?;
        let name = invariant.name;
        for row in rows.iter().take(ROWS_MAX) {
            found.push(Violation {
                invariant: name,
                row: row.try_get(0)?,
            });
        }
        if rows.len() > ROWS_MAX {
            found.push(Violation {
                invariant: name,
                row: "and more".to_owned(),
            });
        }
    }
    connection.execute("rollback").await?;
    Ok(found)
}
