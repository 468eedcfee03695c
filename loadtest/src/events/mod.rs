//! `loadtest events`: purchases while the relay, chat nodes and Redis are killed and frozen, and whether
//! every member's inbox equals the committed trades afterwards.
//!
//! Each run has a database, a keyspace, a Redis, two market nodes, three chat nodes and a balancer of
//! its own; PostgreSQL and the CQL server are those of `infra/services`. A run ends by itself: every wait
//! has a bound, and so has the run.
//!
//! | file | contents |
//! |---|---|
//! | `site` | the servers |
//! | `purchases` | who buys what, over REST |
//! | `member` | members' sockets, which reconnect and resume |
//! | `schedule` | faults, drawn from a seed |
//! | `books` | what the database says about each inbox |
//! | `inbox`, `frame` | inboxes over REST and STOMP |
//! | `judge`, `sabotage` | the comparison, and altered records that it must find |
//! | `report` | figures and violations as text |
//! | `throughput` | `loadtest relay`: how fast a prepared outbox is relayed into the embedded store |
//!
//! What this module does not do: kill PostgreSQL or the CQL server; `loadtest fault` does the latter.

mod books;
mod frame;
mod inbox;
mod judge;
mod member;
mod purchases;
mod report;
mod run;
mod sabotage;
mod schedule;
pub(crate) mod site;
mod throughput;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use market_api::db::DbError;
use shared::limits::{OpenFiles, TooFewFiles};
use tokio::time::timeout;

use crate::fault::{FaultError, until_interrupted};
use crate::market::MarketError;
use purchases::Volume;
use sabotage::Sabotage;
use schedule::Rhythm;
pub(crate) use throughput::Relay;

/// Deadline of a run.
const RUN_MAX: Duration = Duration::from_secs(20 * 60);

/// `loadtest events`
#[derive(Clone, Debug, Args)]
pub(crate) struct Events {
    /// The chat server
    #[arg(long, default_value = "target/debug/chat-server", value_name = "FILE")]
    chat_server: PathBuf,

    /// The market
    #[arg(long, default_value = "target/debug/market-api", value_name = "FILE")]
    market_api: PathBuf,

    /// The project's `infra`, for the balancer
    #[arg(long, default_value = "infra", value_name = "DIR")]
    infra: PathBuf,

    /// For logs and keys
    #[arg(long, default_value = "target/events", value_name = "DIR")]
    folder: PathBuf,

    /// CQL servers; the run creates a keyspace, which stays. Fewer than three: one copy of each row
    #[arg(
        long,
        env = "TEST_CQL",
        value_delimiter = ',',
        required = true,
        value_name = "ADDRESS:PORT"
    )]
    cql: Vec<SocketAddr>,

    /// A database of a PostgreSQL server, whose user may create another one; that is removed at the end
    #[arg(
        long,
        env = "TEST_POSTGRES_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    postgres: String,

    /// About 100 purchases and 6 kills, instead of 1,000 and 30
    #[arg(long)]
    short: bool,

    /// Decides the order and times of faults; printed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Alters one record before judging, to test the judge: the run must fail; may be given several
    /// times
    #[arg(long, value_enum)]
    sabotage: Vec<Sabotage>,
}

/// Why a run cannot be completed, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EventsError {
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Market(#[from] MarketError),
    #[error("the database of the run cannot be used")]
    Database(#[from] sqlx::Error),
    #[error("the database of the run cannot be read")]
    Db(#[from] DbError),
    #[error(transparent)]
    Files(#[from] TooFewFiles),
    #[error("the run took longer than {RUN_MAX:?}")]
    TooLong,
    #[error("{0} promises were broken")]
    Broken(usize),
}

impl Events {
    /// Runs one form.
    ///
    /// # Errors
    /// The run could not be completed, or a promise was broken.
    pub(crate) async fn run(self) -> Result<(), EventsError> {
        OpenFiles::raise()?;
        let run = async {
            let done = timeout(RUN_MAX, Box::pin(run::run(&self))).await;
            done.unwrap_or(Err(EventsError::TooLong))
        };
        until_interrupted(run).await
    }

    fn volume(&self) -> Volume {
        if self.short {
            Volume::SHORT
        } else {
            Volume::FULL
        }
    }

    fn rhythm(&self) -> Rhythm {
        if self.short {
            Rhythm::SHORT
        } else {
            Rhythm::FULL
        }
    }
}
