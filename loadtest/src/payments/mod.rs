//! `loadtest payments`: charges and refunds while the gateway fails in every way, and whether the market's books equal
//! the gateway's own afterwards, to the won.
//!
//! | file | contents |
//! |---|---|
//! | `charges`, `customer`, `habit` | charges under faults, on a clock that the run moves; what customers do |
//! | `refunds` | refunds under faults |
//! | `kill`, `traffic` | charges and refunds over REST while the market's processes are killed |
//! | `stage`, `database` | the market's payments in this process, with stand-ins on loopback |
//! | `records` | what a run leaves for its judge |
//! | `books` | the market's books, read from its database |
//! | `judge`, `refund_judge` | the comparison |
//! | `sabotage` | altered records that the judge must find |
//! | `report` | figures and violations as text |
//!
//! What this module does not do: measure speed.

mod books;
mod charges;
mod customer;
mod database;
mod habit;
mod judge;
mod kill;
mod records;
mod refund_judge;
mod refunds;
mod report;
mod sabotage;
mod stage;
#[cfg(test)]
mod tests;
mod traffic;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use market_api::config::parse_db;
use market_api::db::{DbError, DbUrl};
use market_api::gateway::toss::NoTossClient;
use market_api::payouts::http::NoPayoutClient;
use shared::clock::{Clock as _, SystemClock};
use tokio::time::timeout;

use crate::fault::{FaultError, until_interrupted};
use crate::market::MarketError;
use crate::prepare::PrepareError;
use database::Database;
use report::print_progress;
use sabotage::Sabotage;
use stage::folder_of;

/// Deadline of a run.
const RUN_MAX: Duration = Duration::from_secs(30 * 60);

/// `loadtest payments`
#[derive(Clone, Debug, Args)]
pub(crate) struct Payments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Charges while calls are lost, fail and are repeated, and webhooks are lost, doubled, reordered and wrong
    Charges(charges::Charges),
    /// Refunds over several charges and earned cash, while cancels and payouts are lost, refused and doubled
    Refunds(refunds::Refunds),
    /// Kills the market's processes while members charge and get cash back over REST
    Kill(kill::Kill),
}

/// Of every run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// A database of a PostgreSQL server, whose user may create another one; that is removed at the end. Without it,
    /// the run has a SQLite file in its folder
    #[arg(long, hide_env_values = true, value_parser = parse_db, value_name = "URL")]
    db: Option<DbUrl>,

    /// For the database and logs
    #[arg(long, default_value = "target/payments", value_name = "DIR")]
    folder: PathBuf,

    /// Decides what customers do, and what fails; printed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,

    /// Alters one record before judging, to test the judge: the run must fail; may be given several times
    #[arg(long, value_enum)]
    sabotage: Vec<Sabotage>,
}

/// A run that has begun: its name, seed, folder and database.
struct Begun {
    at: Instant,
    run: String,
    seed: u64,
    folder: PathBuf,
    database: Database,
}

impl Common {
    /// Begins a run of `what`, such as "300 charges".
    ///
    /// # Errors
    /// Its folder or its database cannot be made.
    async fn begin(&self, what: &str) -> Result<Begun, PaymentsError> {
        let at = SystemClock.now();
        let run = format!("{:08x}", rand::random::<u32>());
        let seed = self.seed.unwrap_or_else(rand::random);
        let folder = folder_of(&self.folder, &run)?;
        let database = Database::create(self.db.as_ref(), &folder, &run).await?;
        let on = database.name();
        print_progress(at, &format!("run {run} on {on}, --seed {seed}, {what}"))?;
        Ok(Begun {
            at,
            run,
            seed,
            folder,
            database,
        })
    }
}

/// Why a run cannot be completed, or what it found.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PaymentsError {
    #[error(transparent)]
    Fault(#[from] FaultError),
    #[error(transparent)]
    Market(#[from] MarketError),
    #[error("the database of the run cannot be used")]
    Database(#[from] sqlx::Error),
    #[error("the market's database fails")]
    Db(#[from] DbError),
    #[error("the gateway's client cannot be made")]
    Toss(#[from] NoTossClient),
    #[error("the payout provider's client cannot be made")]
    Payouts(#[from] NoPayoutClient),
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[error("the clock cannot be set")]
    Clock,
    #[error("the reconciler always has something to do")]
    NeverIdle,
    #[error("the run took longer than {RUN_MAX:?}")]
    TooLong,
    #[error("{0} promises were broken")]
    Broken(usize),
}

impl Payments {
    /// Runs one form.
    ///
    /// # Errors
    /// The run could not be completed, or a promise was broken.
    pub(crate) async fn run(self) -> Result<(), PaymentsError> {
        let run = async {
            let run = async {
                match &self.command {
                    Command::Charges(charges) => Box::pin(charges.run()).await,
                    Command::Refunds(refunds) => Box::pin(refunds.run()).await,
                    Command::Kill(kill) => Box::pin(kill.run()).await,
                }
            };
            timeout(RUN_MAX, run)
                .await
                .unwrap_or(Err(PaymentsError::TooLong))
        };
        until_interrupted(run).await
    }
}
