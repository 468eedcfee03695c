//! Commands of the program beside serving.

use clap::Subcommand;
use shared::event::{EventId, InvalidEvent};
use shared::ids::MemberId;

use super::NotAccepted;
use crate::db::row::TextColumn as _;
use crate::payments::ChargeState;
use crate::payments::operate::{LISTED_MAX, Target};

/// What the program does instead of serving.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Verify the books, trades and stock; print the rows that violate an invariant. Exit code 0: none does
    VerifyLedger,
    /// List or resend domain events that the chat server refused
    Outbox {
        /// What to do with them
        #[command(subcommand)]
        command: OutboxCommand,
    },
    /// Show charges, refunds and payments in suspense, or have them checked at the gateway at once
    Payments {
        /// What to do
        #[command(subcommand)]
        command: PaymentsCommand,
    },
}

/// What an operator does with dead events.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum OutboxCommand {
    /// Print the dead events, one per line: id, kind, aggregate and number there, times, reason
    ListDead,
    /// Have dead events sent again, all of those named or none. Exit code 0: they are sent within a second by the
    /// servers that run, or after their start
    Resend {
        /// Ids of the events
        #[arg(value_name = "EVENT_ID", required_unless_present = "all", conflicts_with = "all",
            value_parser = parse_event_id)]
        ids: Vec<EventId>,

        /// All dead events
        #[arg(long)]
        all: bool,
    },
}

/// What an operator does with payments.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PaymentsCommand {
    /// Print what is open or needs attention, one per line: charges, refunds and their unfinished legs, payments in
    /// suspense, differences to the gateway
    List {
        /// Charges in this state instead, newest first: CREATED, CONFIRMING, UNKNOWN, WAITING, CAPTURED, FAILED,
        /// EXPIRED or MISMATCH
        #[arg(long, value_name = "STATE", value_parser = parse_state)]
        state: Option<ChargeState>,

        /// Of this member only
        #[arg(long, value_name = "MEMBER_ID", value_parser = parse_member)]
        member: Option<MemberId>,

        /// Maximum of lines of each kind
        #[arg(long, default_value_t = 100, value_name = "COUNT",
            value_parser = clap::value_parser!(u32).range(1..=i64::from(LISTED_MAX)))]
        limit: u32,
    },
    /// Print all that is stored about an order, charge, refund or payment in suspense: its row, trade, legs, cancels,
    /// postings and notifications
    Show {
        /// An order id, charge:ID, refund:ID or suspense:ID
        #[arg(value_name = "ITEM")]
        item: Target,
    },
    /// Have a running server query the gateway for these at once, all of those named or none
    Recheck {
        /// Order ids, charge:ID, refund:ID or suspense:ID
        #[arg(
            value_name = "ITEM",
            required_unless_present = "all_open",
            conflicts_with = "all_open"
        )]
        items: Vec<Target>,

        /// All that wait for their next query
        #[arg(long)]
        all_open: bool,
    },
    /// Note that these were dealt with, all of those named or none: they need no attention any more
    Acknowledge {
        /// Order ids, charge:ID, refund:ID or suspense:ID
        #[arg(value_name = "ITEM", required = true)]
        items: Vec<Target>,
    },
}

fn parse_event_id(text: &str) -> Result<EventId, InvalidEvent> {
    EventId::try_from(text.to_owned())
}

fn parse_state(text: &str) -> Result<ChargeState, NotAccepted> {
    let state = ChargeState::from_text(&text.to_ascii_uppercase());
    state.ok_or(NotAccepted("not a state of charges"))
}

fn parse_member(text: &str) -> Result<MemberId, NotAccepted> {
    let number: Option<i64> = text.parse().ok();
    let member = number.and_then(|number| MemberId::try_from(number).ok());
    member.ok_or(NotAccepted("not a member id"))
}
