//! Load tests: prepares a chat server for a load generator, injects faults into a whole cluster to check its
//! promises, compares inboxes with trades under faults, and buys and reads on a market.

mod events;
mod fault;
mod market;
mod payments;
mod prepare;

use std::error::Error;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use shared::config::{Mistakes, Settings, parse_or_exit};

/// Load runs against running servers
#[derive(Debug, Parser)]
#[command(version)]
enum CommandLine {
    /// Creates a development key and its public half
    Key(prepare::Key),
    /// Creates rooms in a running chat server, and the CONNECT headers of their members
    Prepare(prepare::Prepare),
    /// Injects every fault that is promised to be harmless into a cluster, and judges what members
    /// saw
    Fault(Box<fault::Fault>),
    /// Restarts all nodes one after the other and prints how long real clients were without a
    /// connection
    Offline(Box<fault::Offline>),
    /// Kills relay, chat nodes and Redis while members buy, and compares every inbox with the
    /// committed trades
    Events(Box<events::Events>),
    /// Prints how fast the embedded programs relay a prepared outbox
    Relay(events::Relay),
    /// Buys and reads lists on a running market, and checks its answers and its ledger
    Market(Box<market::MarketRun>),
    /// Charges and refunds while the gateway fails and the market is killed, and compares the books with
    /// the gateway's own
    Payments(Box<payments::Payments>),
}

impl Settings for CommandLine {
    fn check(&self, _: &mut Mistakes) {}
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let done: Result<(), Box<dyn Error>> = match parse_or_exit() {
        CommandLine::Key(key) => key.run().map_err(Into::into),
        CommandLine::Prepare(prepare) => prepare.run().await.map_err(Into::into),
        CommandLine::Offline(offline) => offline.run().await.map_err(Into::into),
        CommandLine::Fault(fault) => fault.run().await.map_err(Into::into),
        CommandLine::Events(events) => events.run().await.map_err(Into::into),
        CommandLine::Relay(relay) => relay.run().await.map_err(Into::into),
        CommandLine::Market(market) => market.run().await.map_err(Into::into),
        CommandLine::Payments(payments) => payments.run().await.map_err(Into::into),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes = std::iter::successors(error.source(), |cause| (*cause).source());
            let causes: String = causes.map(|cause| format!(": {cause}")).collect();
            // If the error cannot be written, the exit code still shows the failure.
            drop(writeln!(std::io::stderr(), "{error}{causes}"));
            ExitCode::FAILURE
        }
    }
}
