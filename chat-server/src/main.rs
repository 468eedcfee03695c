//! The chat server as a program: settings, logs, serve, stop.

use std::process::ExitCode;
use std::sync::Arc;

use chat_server::app::{self, Node};
use chat_server::config::Config;
use shared::clock::SystemClock;
use shared::config::parse_or_exit;
use shared::drain::Drain;
use shared::telemetry;
use tracing::{error, info};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config: Config = parse_or_exit();
    if let Err(error) = telemetry::init(config.log_format, &config.log) {
        error!("{error}");
    }
    telemetry::log_build_info(&shared::build_info!());
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> Result<(), Box<dyn std::error::Error>> {
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
    let served = tokio::try_join!(
        app::serve(public, node.public_router(), &drain),
        app::serve(admin, node.admin_router(), &drain),
    );
    drain.stop();
    served?;
    if let Err(still) = drain.wait(config.stop_grace).await {
        error!("{still}");
    }
    node.close()?;
    info!("stopped");
    Ok(())
}
