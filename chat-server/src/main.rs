//! The chat server as a program: settings, logs, serve, stop.

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chat_server::app::{self, Node};
use chat_server::config::{Command, CommandLine, Config};
use chat_server::dev_token;
use shared::claims::TokenScope;
use shared::clock::{Clock as _, SystemClock};
use shared::config::parse_or_exit;
use shared::drain::Drain;
use shared::telemetry;
use tracing::{error, info};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2 s: the other nodes find in the store what they are not told.
const LEAVE_MAX: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let CommandLine { config, command } = parse_or_exit();
    if let Err(error) = telemetry::init(config.log_format, &config.log) {
        error!("{error}");
    }
    let done = match command {
        Some(command) => run_command(command),
        None => serve(config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| (*cause).source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            error!("{error}{causes}");
            ExitCode::FAILURE
        }
    }
}

fn run_command(command: Command) -> Result<(), Box<dyn Error>> {
    let Command::Token {
        member,
        dev_key,
        token_issuer,
        token_audience,
    } = command;
    let scope = TokenScope {
        issuer: token_issuer,
        audience: token_audience,
    };
    let token = dev_token::sign(&dev_key, member, scope, SystemClock.unix_millis())?;
    writeln!(std::io::stdout(), "{}", token.expose())?;
    Ok(())
}

fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    telemetry::log_build_info(&shared::build_info!());
    tokio::runtime::Runtime::new()?.block_on(async {
        let drain = Drain::new();
        drain.stop_on_signals()?;
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
        node.set_started();
        let served = tokio::try_join!(
            app::serve(
                public,
                node.public_router(),
                &drain,
                config.limits.login_timeout
            ),
            app::serve(
                admin,
                node.admin_router(),
                &drain,
                config.limits.login_timeout
            ),
        );
        drain.begin();
        served?;
        if let Err(still) = drain.wait(config.stop_grace).await {
            error!("{still}");
        }
        node.leave_bus(LEAVE_MAX).await;
        node.close()?;
        info!("stopped");
        Ok(())
    })
}
