//! DaPanDa in one process: the chat server on its embedded store, demo members, and a page.
//!
//! `dapanda` serves; `dapanda token` and `dapanda room` help to try it by hand. It runs the code of
//! both servers; only the adapters differ.

mod chats;
mod commands;
mod demo;
mod events;
mod keys;
mod login;
mod market;
mod offers;
mod page;
mod payments;
mod push;
mod serve;
mod settings;
mod trades;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use settings::Command;
use shared::{drain, files, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    files::keep_to_owner();
    let command = settings::read_or_exit();
    let (format, filter) = command.logs();
    let logs = match telemetry::init(format, &filter) {
        Ok(logs) => logs,
        Err(error) => {
            // If standard error is closed, the exit code still shows the failure.
            drop(writeln!(std::io::stderr(), "dapanda: {error}"));
            return ExitCode::FAILURE;
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            logs.fail("dapanda", &*error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Box<dyn Error>> {
    match command {
        Command::Serve(settings) => Ok(drain::run(serve::run(&settings))??),
        Command::Token(settings) => Ok(commands::token(&settings)?),
        Command::Room(settings) => Ok(drain::run(commands::room(&settings))??),
    }
}
