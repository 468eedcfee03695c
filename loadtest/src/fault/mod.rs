//! `loadtest fault`: injects every fault that is promised to be harmless into a running cluster,
//! and compares what members saw with the store.
//!
//! Each repetition of a case has chat nodes, a Redis, a balancer and rooms of its own; the replicas
//! of the store are those of `infra/services`. A run ends by itself: every wait has a bound.
//! Results are appended to a file, and repetitions that are in it are not run again, so an
//! interrupted run continues where it stopped.

pub(crate) mod balancer;
pub(crate) mod board;
mod cases;
pub(crate) mod cluster;
mod crowd;
pub(crate) mod error;
mod judge;
mod last_message;
mod lists;
mod member;
mod offline;
mod outbox;
pub(crate) mod process;
mod record;
pub(crate) mod redis;
mod replicas;
pub(crate) mod report;
mod rest;
mod run;
mod sabotage;
pub(crate) mod session;
mod slow_store;
mod stage;
mod store;
mod verdict;
mod whispers;
pub(crate) mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use shared::config::parse_duration;

use cases::{CASES, Case, NOT_SHORT, Needs};
pub(crate) use error::FaultError;
pub(crate) use offline::Offline;
use sabotage::Sabotage;

/// `loadtest fault`
#[derive(Clone, Debug, Args)]
pub(crate) struct Fault {
    /// The chat server; a second one is the build that replaces the first in `node-two-builds`
    #[arg(long, value_name = "FILE", required_unless_present = "list")]
    binary: Vec<PathBuf>,

    /// The project's `infra`, for the balancer and the script of replicas
    #[arg(long, default_value = "infra", value_name = "DIR")]
    infra: PathBuf,

    /// For logs, keys and dumps of Redis
    #[arg(long, default_value = "target/fault", value_name = "DIR")]
    folder: PathBuf,

    /// One line of JSON per repetition; repetitions that are in it are not run again
    #[arg(
        long,
        default_value = "target/fault/results.jsonl",
        value_name = "FILE"
    )]
    results: PathBuf,

    /// Replicas of the store; infra/services tells them as `TEST_CQL_THREE`
    #[arg(
        long,
        env = "TEST_CQL_THREE",
        value_delimiter = ',',
        value_name = "ADDRESS:PORT"
    )]
    cql: Vec<SocketAddr>,

    /// One chat node on its embedded store, without Redis: fewer cases, nothing else needed
    #[arg(long)]
    embedded: bool,

    /// Chat nodes
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,

    /// Members, each with one connection
    #[arg(long, default_value_t = 200, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(4..=2000))]
    members: u32,

    /// Rooms; each member is in three
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(2..=2000))]
    rooms: u32,

    /// How often each member sends
    #[arg(long, default_value = "1s", value_parser = parse_duration, value_name = "TIME")]
    send_every: Duration,

    /// How often each case is run
    #[arg(long, default_value_t = 10, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,

    /// Each case once, with shorter outages; cases of a slow store only by name
    #[arg(long)]
    short: bool,

    /// Only this case; may be given several times
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,

    /// Prints the names of all cases and ends
    #[arg(long)]
    list: bool,

    /// The most memory a node may hold, in MiB
    #[arg(long, default_value_t = 512, value_name = "MIB")]
    rss_mib_max: u64,

    /// Damages one thing before judging, to test the judge: the run must fail; may be given several
    /// times
    #[arg(long, value_enum)]
    sabotage: Vec<Sabotage>,

    /// One more word for the command line of every chat node; may be given several times
    #[arg(long = "node-arg", value_name = "WORD", allow_hyphen_values = true)]
    node_args: Vec<String>,
}

/// The selected cases.
#[derive(Debug, Default)]
struct Chosen {
    fit: Vec<Case>,
    /// Cases whose requirements are not met, and why.
    unfit: Vec<(&'static str, &'static str)>,
}

impl Fault {
    /// Runs the selected cases.
    ///
    /// # Errors
    /// A run could not be completed, or one broke a promise.
    pub(crate) async fn run(self) -> Result<(), FaultError> {
        if self.list {
            return report::print_names();
        }
        until_interrupted(Box::pin(run::run_all(&self))).await
    }

    fn chosen(&self) -> Result<Chosen, FaultError> {
        for name in &self.cases {
            if !CASES.iter().any(|case| case.name == name) {
                return Err(FaultError::NoSuchCase(name.clone()));
            }
        }
        let mut chosen = Chosen::default();
        for case in CASES.iter().copied() {
            let asked = self.cases.iter().any(|name| name == case.name);
            let is_long = self.short && !asked && NOT_SHORT.contains(&case.name);
            let lack = is_long.then_some("it is not one of the short ones");
            match lack.or_else(|| self.lacks(case.needs)) {
                _ if !asked && !self.cases.is_empty() => {}
                None => chosen.fit.push(case),
                Some(lack) if asked => return Err(FaultError::Unfit(lack)),
                Some(lack) => chosen.unfit.push((case.name, lack)),
            }
        }
        Ok(chosen)
    }

    fn lacks(&self, needs: Needs) -> Option<&'static str> {
        let one = self.embedded.then_some("the embedded store has one node");
        match needs {
            Needs::Node => None,
            Needs::Nodes | Needs::Redis | Needs::Failover | Needs::Replicas => one,
            Needs::TwoBuilds if self.binary.len() < 2 => Some("there is only one --binary"),
            Needs::TwoBuilds => one,
        }
    }
}

/// Processes that a run started are killed when the run is dropped.
pub(crate) async fn until_interrupted<E: From<FaultError>>(
    run: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    use tokio::signal::unix::{SignalKind, signal};

    let signals = signal(SignalKind::terminate());
    let mut terminate = signals.map_err(FaultError::NoSignals)?;
    tokio::select! {
        done = run => done,
        _ = terminate.recv() => Err(FaultError::Interrupted.into()),
        _ = tokio::signal::ctrl_c() => Err(FaultError::Interrupted.into()),
    }
}
