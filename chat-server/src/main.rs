//! The chat server as a program: settings, logs, serve, stop.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use chat_server::app::{self, Node};
use chat_server::config::{Command, CommandLine, Config, ScyllaFlags, StoreUrl};
use chat_server::dev_token;
use chat_server::stopping::Stop;
use shared::claims::TokenScope;
use shared::clock::{Clock as _, SystemClock};
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
    let CommandLine { config, command } = parse_or_exit();
    let logs = match telemetry::init(config.log_format, &config.log) {
        Ok(logs) => logs,
        Err(error) => {
            // If standard error is closed, the exit code still reports the failure.
            drop(writeln!(std::io::stderr(), "chat-server: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let done = match command {
        Some(command) => run_command(command),
        None => serve(config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs.fail("chat-server", &*error);
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> Result<(), Box<dyn Error>> {
    let (member, dev_key, token_issuer, token_audience) = match command {
        Command::NewEpoch { store, scylla } => return begin_epoch(&store, &scylla),
        Command::Token {
            member,
            dev_key,
            token_issuer,
            token_audience,
        } => (member, dev_key, token_issuer, token_audience),
    };
    let scope = TokenScope {
        issuer: token_issuer,
        audience: token_audience,
    };
    let token = dev_token::sign(&dev_key, member, scope, SystemClock.unix_millis())?;
    writeln!(std::io::stdout(), "{}", token.expose())?;
    Ok(())
}

fn begin_epoch(store: &StoreUrl, scylla: &ScyllaFlags) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let epoch = runtime.block_on(app::begin_epoch(store, scylla, Arc::new(SystemClock)))?;
    writeln!(std::io::stdout(), "epoch {epoch}")?;
    Ok(())
}

fn serve(mut config: Config) -> Result<(), Box<dyn Error>> {
    let build = shared::build_info!();
    telemetry::log_build_info(&build);
    let files = OpenFiles::raise()?;
    config.limits.fit(files);
    drain::run(async {
        let (longest, budget) = (config.stop.longest(), config.stop.stop_budget);
        info!("stopping takes {longest:?} at most, and may take {budget:?}");
        let traces = export::start(&config.traces, &build)?;
        let drain = Drain::new();
        let stop = Stop::new(drain.clone());
        stop.listen_to_signals()?;
        let node = Node::build(&config, Arc::new(SystemClock), drain.clone()).await?;
        let (public, admin) = (
            app::listen(config.listen)?,
            app::listen(config.admin_listen)?,
        );
        info!(
            "clients at http://{}, admin at http://{}",
            public.local_addr()?,
            admin.local_addr()?
        );
        node.stop_by(&stop);
        node.set_started();
        let served = tokio::try_join!(
            app::serve(public, node.public_router(), &drain, config.serving()),
            app::serve(
                admin,
                node.admin_router().merge(node.stop_router(&stop)),
                &drain,
                config.limits.login_timeout
            ),
        );
        drain.begin();
        served?;
        if let Err(still) = drain.wait(config.stop.stop_grace).await {
            error!("{still}");
        }
        tokio::join!(node.leave_bus(), traces.end());
        node.close()?;
        drain.outcome()?;
        info!("stopped");
        Ok(())
    })?
}
