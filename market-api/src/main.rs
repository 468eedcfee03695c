//! The market API as a program: reads settings, starts logging, builds the market, serves, drains.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use market_api::app::{self, Market};
use market_api::config::{Command, Config, OutboxCommand, PaymentsCommand};
use market_api::db::{Db, DbError, DbUrl};
use market_api::metrics::Metrics;
use market_api::payments::operate::{self, Filter, OperateError};
use market_api::{admin, ledger, outbox};
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
    let done = match &config.command {
        None => serve(&config),
        Some(Command::VerifyLedger) => verify_ledger(&config),
        Some(Command::Outbox { command }) => change_outbox(&config, command),
        Some(Command::Payments { command }) => operate_payments(&config, command),
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

/// No database to work on. Opening a missing file would create it, and an empty one would hold no fault.
#[derive(Debug, thiserror::Error)]
#[error("no such database: {}", .0.display())]
struct NoDatabase(PathBuf);

/// Opens an existing database beside the servers that run on it.
async fn open_existing(config: &Config, drain: &Drain) -> Result<Db, Box<dyn Error>> {
    if let DbUrl::Sqlite(path) = &config.db
        && !path.exists()
    {
        return Err(NoDatabase(path.clone()).into());
    }
    let metrics = Arc::new(Metrics::new());
    Ok(Db::open(&config.db, Arc::new(SystemClock), metrics, drain).await?)
}

fn verify_ledger(config: &Config) -> Result<(), Box<dyn Error>> {
    drain::run(async {
        let drain = Drain::new();
        let db = open_existing(config, &drain).await?;
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

fn change_outbox(config: &Config, command: &OutboxCommand) -> Result<(), Box<dyn Error>> {
    drain::run(async {
        let drain = Drain::new();
        let db = open_existing(config, &drain).await?;
        let lines = match command {
            OutboxCommand::ListDead => list_dead(&db).await?,
            OutboxCommand::Resend { all: true, .. } => {
                let count = outbox::resend_all(&db).await?;
                vec![format!("{count} events are sent again")]
            }
            OutboxCommand::Resend { ids, all: false } => {
                let mut ids = ids.clone();
                ids.sort_unstable();
                ids.dedup();
                let count = ids.len();
                outbox::resend(&db, ids).await?;
                vec![format!("{count} events are sent again")]
            }
        };
        db.close().await;
        drain.begin();
        print(&lines)
    })?
}

fn print(lines: &[String]) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

async fn list_dead(db: &Db) -> Result<Vec<String>, DbError> {
    let count = outbox::backlog(db).await?.dead;
    let events = outbox::dead_events(db).await?;
    let mut lines: Vec<_> = events.iter().map(ToString::to_string).collect();
    if count > outbox::DEAD_LISTED_MAX {
        lines.push(format!("{count} dead events, of which these are the first"));
    } else {
        lines.push(format!("{} dead events", events.len()));
    }
    Ok(lines)
}

fn operate_payments(config: &Config, command: &PaymentsCommand) -> Result<(), Box<dyn Error>> {
    drain::run(async {
        let drain = Drain::new();
        let db = open_existing(config, &drain).await?;
        let lines = payments_lines(&db, command).await;
        db.close().await;
        drain.begin();
        print(&lines?)
    })?
}

async fn payments_lines(db: &Db, command: &PaymentsCommand) -> Result<Vec<String>, OperateError> {
    match command {
        PaymentsCommand::List {
            state,
            member,
            limit,
        } => {
            let filter = Filter {
                state: *state,
                member: *member,
                limit: *limit,
            };
            Ok(operate::list(db, filter).await?)
        }
        PaymentsCommand::Show { item } => operate::show(db, item).await,
        PaymentsCommand::Recheck { all_open: true, .. } => {
            Ok(vec![admin::recheck_open(db).await?.to_string()])
        }
        PaymentsCommand::Recheck {
            items,
            all_open: false,
        } => {
            let done = admin::recheck(db, items.clone()).await?;
            Ok(done.iter().map(ToString::to_string).collect())
        }
        PaymentsCommand::Acknowledge { items } => {
            let done = admin::acknowledge(db, items.clone()).await?;
            Ok(done.iter().map(ToString::to_string).collect())
        }
    }
}
