//! Errors of a market run. An unexpected answer of the server is not an error but a finding; findings fail the
//! run at its end.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use market_api::auth::{IssueError, KeysError};
use market_api::db::DbError;
use shared::limits::TooFewFiles;

/// Why a market run fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MarketError {
    #[error("{path} cannot be read or written", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{path} holds no key file (*.pem): it must be the server's --signing-keys", path = .0.display())]
    NoKey(PathBuf),
    #[error("there is no database {path}: it must be the server's --db", path = .0.display())]
    NoDatabase(PathBuf),
    #[error("the database cannot be used")]
    Db(#[from] DbError),
    #[error("the signing keys cannot be used")]
    Keys(#[from] KeysError),
    #[error("a session cannot be started")]
    Session(#[from] IssueError),
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    #[error("the HTTP client cannot be built")]
    Client(#[source] reqwest::Error),
    #[error("the server does not answer: {what}")]
    Server {
        what: &'static str,
        #[source]
        source: reqwest::Error,
    },
    #[error("the server refuses the preparation, {what}, with {status}: {body}")]
    Refused {
        what: &'static str,
        status: u16,
        body: String,
    },
    #[error(
        "each member buys and sells at most 20 times in a month: --purchases is over 40 times --pairs"
    )]
    TooManyPurchases,
    #[error("the run took longer than {0:?}")]
    TooLong(Duration),
    #[error("{0} findings")]
    Findings(usize),
}
