//! Errors of a fault run itself. A fault of the system under test is not an error but a result.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::prepare::PrepareError;

/// Why a fault run cannot continue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FaultError {
    #[error("{path} cannot be read or written", path = .0.display())]
    File(PathBuf, #[source] io::Error),
    #[error("{0} cannot be run")]
    Program(String, #[source] io::Error),
    #[error("{program} ended with {status}; its log: {log}", log = .log.display())]
    Ended {
        program: String,
        status: String,
        log: PathBuf,
    },
    #[error("no free port")]
    NoPort,
    #[error("in vain for {waited:?}: {what}")]
    InVain { what: String, waited: Duration },
    #[error("keys, tokens, rooms")]
    Prepare(#[from] PrepareError),
    #[error("the store cannot be read: {0}")]
    Store(String),
    #[error("no answer over HTTP: {0}")]
    Rest(String),
    #[error("{0} is in the results already with other settings")]
    OtherSettings(PathBuf),
    #[error("no case is called {0}; --list shows them")]
    NoSuchCase(String),
    #[error("{0}")]
    Unfit(&'static str),
    #[error("signals cannot be heard")]
    NoSignals(#[source] io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("{failed} of {run} runs broke a promise")]
    Broken { failed: u32, run: u32 },
}
