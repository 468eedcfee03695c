//! The market API as a program: reads settings, starts logging, builds the market, serves, drains.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use market_api::app::{self, Market};
use market_api::config::{Command, Config};
use market_api::db::{Db, DbUrl};
use market_api::ledger;
use market_api::metrics::Metrics;
use shared::clock::SystemClock;
use shared::config::parse_or_exit;
use shared::drain::{self, Drain};
use shared::limits::OpenFiles;
use shared::trace::export;
use shared::{files, telemetry};
use tracing::{error, info};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    files::keep_to_owner();
    let config: Config = parse_or_exit();
    let logs = match telemetry::init(config.log_format, &config.log) {
        Ok(logs) => logs,
        Err(error) => {
            // If standard error is closed, the exit code still reports the failure.
            drop(writeln!(std::io::stderr(), "market-api: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = match config.command {
        None => serve(&config),
        Some(Command::VerifyLedger) => verify_ledger(&config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs.fail("market-api", &*error);
            ExitCode::FAILURE
        }
    }
}

fn serve(config: &Config) -> Result<(), Box<dyn Error>> {
    let build = shared::build_info!();
    telemetry::log_build_info(&build);
    OpenFiles::raise()?;
    drain::run(async {
        let traces = export::start(&config.traces, &build)?;
        let drain = Drain::new();
        let market = Market::build(config, Arc::new(SystemClock), &drain).await?;
        market.stop_on_signals(&drain, config.lame_duck)?;
        let (public, admin) = (
            app::listen(config.listen)?,
            app::listen(config.admin_listen)?,
        );
        info!(
            "clients at http://{}, admin at http://{}",
            public.local_addr()?,
            admin.local_addr()?
        );
        market.set_started();
        let head_time = config.limits.head_time;
        let served = tokio::try_join!(
            app::serve(
                public,
                market.public_router(),
                &drain,
                config.limits.serving(&config.allowed_origins)
            ),
            app::serve(admin, market.admin_router(), &drain, head_time),
        );
        drain.begin();
        served?;
        // The database writer ends when the last handle is dropped.
        drop(market);
        if let Err(still) = drain.wait(config.stop_grace).await {
            error!("{still}");
        }
        traces.end().await;
        drain.outcome()?;
        info!("stopped");
        Ok(())
    })?
}

/// Rows that violate an invariant, printed one per line.
#[derive(Debug, thiserror::Error)]
#[error("{0} rows violate an invariant of the ledger")]
struct Violated(usize);

/// No ledger to verify. Opening a missing file would create it, and an empty ledger holds.
#[derive(Debug, thiserror::Error)]
#[error("no such database: {}", .0.display())]
struct NoDatabase(PathBuf);

fn verify_ledger(config: &Config) -> Result<(), Box<dyn Error>> {
    if let DbUrl::Sqlite(path) = &config.db
        && !path.exists()
    {
        return Err(NoDatabase(path.clone()).into());
    }
    drain::run(async {
        let (drain, metrics) = (Drain::new(), Arc::new(Metrics::new()));
        let db = Db::open(&config.db, Arc::new(SystemClock), metrics, &drain).await?;
        let violations = ledger::verify(&db).await?;
        db.close().await;
        drain.begin();
        let mut out = std::io::stdout().lock();
        for violation in &violations {
            writeln!(out, "{violation}")?;
        }
        if !violations.is_empty() {
            return Err(Violated(violations.len()).into());
        }
        writeln!(out, "the ledger holds: {} invariants", ledger::invariants())?;
        Ok(())
    })?
}
