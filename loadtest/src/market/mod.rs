//! `loadtest market`: purchases and lists over HTTP against a running market, and whether its answers and its
//! ledger are right.
//!
//! The run writes its members, their cash and their sessions into the server's database and signs their tokens
//! with the server's keys (`ground`); it offers, buys and reads over HTTP (`client`). It ends by itself: counts
//! are bounded, each request has a time-out, and so has the run.
//!
//! What this module does not do: start a server, and remove what it wrote.

pub(crate) mod client;
mod cpu;
pub(crate) mod error;
pub(crate) mod ground;
mod report;
pub(crate) mod sample;
mod scenario;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use market_api::config::parse_db;
use market_api::db::{DbUrl, Dialect};
use shared::claims::TokenScope;
use shared::config::parse_duration;
use shared::limits::OpenFiles;
use shared::money::Won;
use tokio::time::timeout;

use client::Client;
pub(crate) use error::MarketError;
use ground::Ground;
use report::Report;
use scenario::{Scenario, Stage};

/// Price of each offer.
pub(crate) const PRICE: Won = Won::new(1_000);

/// Offers of 0.1 GB that a member may list, and buy, in a month: two gigabytes.
const MONTH_OFFERS_MAX: usize = 20;

/// `loadtest market`
#[derive(Clone, Debug, Args)]
pub(crate) struct MarketRun {
    /// URL of the market's public listener. Start it with `--address-rate 0 --member-rate 0`
    #[arg(long, default_value = "http://127.0.0.1:8082", value_name = "URL")]
    server: String,

    /// Its database, as its own --db: members, cash and sessions of the run are written to it and stay there
    #[arg(
        long,
        env = "MARKET_DB",
        hide_env_values = true,
        value_name = "URL",
        value_parser = parse_db
    )]
    db: DbUrl,

    /// Its folder of signing keys, as its own --signing-keys
    #[arg(long, env = "MARKET_SIGNING_KEYS", value_name = "DIR")]
    signing_keys: PathBuf,

    /// Its --token-issuer
    #[arg(long, default_value = "dapanda")]
    token_issuer: String,

    /// Its --token-audience
    #[arg(long, default_value = "dapanda")]
    token_audience: String,

    /// Process id of the server, if it runs on this machine: `cached` then shows its processor time
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,

    /// Only this scenario; may be given several times
    #[arg(long = "scenario", value_enum, value_name = "NAME")]
    scenarios: Vec<Scenario>,

    /// Numbers of members and requests
    #[command(flatten)]
    sizes: Sizes,

    /// File for the results as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Deadline of the whole run
    #[arg(long, default_value = "5m", value_parser = parse_duration, value_name = "TIME")]
    time_max: Duration,
}

/// Numbers of members and requests.
#[derive(Clone, Debug, Args)]
pub(crate) struct Sizes {
    /// hot: buyers of one whole offer, all at once
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = count::<2, 2_000>)]
    buyers: usize,

    /// hot: offers, one after the other
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = count::<1, 20>)]
    rounds: usize,

    /// seller, lists: offers, each bought once. Beyond 20 of one seller they count for earlier months
    #[arg(long, default_value_t = 100, value_name = "COUNT", value_parser = count::<1, 400>)]
    offers: usize,

    /// opposite: pairs of members
    #[arg(long, default_value_t = 40, value_name = "COUNT", value_parser = count::<1, 200>)]
    pairs: usize,

    /// opposite: purchases of all pairs together, at most 20 by each member
    #[arg(long, default_value_t = 400, value_name = "COUNT", value_parser = count::<1, 8_000>)]
    purchases: usize,

    /// lists, cached: readers at once
    #[arg(long, default_value_t = 20, value_name = "COUNT", value_parser = count::<1, 500>)]
    readers: usize,

    /// lists, cached: pages read by each of them
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = count::<1, 1_000>)]
    reads: usize,
}

fn count<const MIN: usize, const MAX: usize>(text: &str) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| format!("not a number from {MIN} to {MAX}"))
}

impl MarketRun {
    /// Runs the scenarios, prints the results, and writes them as JSON if wanted.
    ///
    /// # Errors
    /// The run could not be completed, or an answer or the ledger was not as expected.
    pub(crate) async fn run(self) -> Result<(), MarketError> {
        if self.sizes.purchases > self.sizes.pairs * 2 * MONTH_OFFERS_MAX {
            return Err(MarketError::TooManyPurchases);
        }
        OpenFiles::raise()?;
        let done = timeout(self.time_max, self.report()).await;
        let report = done.unwrap_or(Err(MarketError::TooLong(self.time_max)))?;
        report.print()?;
        if let Some(path) = &self.json {
            report.write_json(path)?;
        }
        match report.findings().len() {
            0 => Ok(()),
            count => Err(MarketError::Findings(count)),
        }
    }

    async fn report(&self) -> Result<Report, MarketError> {
        let run = format!("{:08x}", rand::random::<u32>());
        let scope = TokenScope {
            issuer: self.token_issuer.clone(),
            audience: self.token_audience.clone(),
        };
        let ground = Ground::open(&self.db, &self.signing_keys, scope, run.clone()).await?;
        let client = Client::new(&self.server)?;
        let stage = Stage {
            ground: &ground,
            client: &client,
            sizes: &self.sizes,
            run: &run,
            server_pid: self.server_pid,
        };
        let chosen = match self.scenarios.as_slice() {
            [] => &Scenario::ALL,
            some => some,
        };
        let before = ground.deadlocks().await?;
        let mut scenarios = Vec::new();
        for scenario in chosen {
            scenarios.extend(stage.run(*scenario).await?);
        }
        let violations = ground.violations().await?;
        let after = ground.deadlocks().await?;
        let deadlocks = before.zip(after).map(|(before, after)| after - before);
        let mut report = Report {
            server: self.server.clone(),
            database: match ground.db.dialect() {
                Dialect::Postgres => "postgres",
                Dialect::Sqlite => "sqlite",
            },
            scenarios,
            deadlocks,
            violations,
            ok: false,
        };
        report.ok = report.findings().is_empty();
        ground.close().await;
        Ok(report)
    }
}
