//! DaPanDa in one process: the chat server on its embedded store, demo members, and a page.
//!
//! `dapanda` serves; `dapanda token` and `dapanda room` help those who try it by hand. It runs the
//! code of the servers themselves; only what they are put together from differs.

mod chats;
mod commands;
mod demo;
mod keys;
mod login;
mod market;
mod offers;
mod page;
mod serve;
mod settings;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use settings::Command;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let command = settings::read_or_exit();
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = causes(&*error);
            // If standard error is gone, the exit code still says it.
            drop(writeln!(std::io::stderr(), "dapanda: {text}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(settings) => {
            shared::telemetry::init(settings.log_format, &settings.log)?;
            Ok(Runtime::new()?.block_on(serve::run(&settings))?)
        }
        Command::Token(settings) => Ok(commands::token(&settings)?),
        Command::Room(settings) => Ok(Runtime::new()?.block_on(commands::room(&settings))?),
    }
}

/// The error and what caused it, in one line.
fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
