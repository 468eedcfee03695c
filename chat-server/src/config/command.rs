//! Command line of the chat server: serving, or a subcommand.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shared::ids::MemberId;

use super::{Config, ScyllaFlags, StoreUrl};

/// The program's command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "chat-server", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// Settings for serving.
    #[command(flatten)]
    pub config: Config,

    /// The subcommand.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The subcommands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Begins a new epoch after the store was restored from a backup: before the first node starts,
    /// so that no message gets the id of one that the backup lacks. For a file: store only after
    /// the restoration of a whole disk's snapshot; otherwise the start detects it
    NewEpoch {
        /// Message store, as for serving
        #[arg(
            long,
            env = "CHAT_STORE",
            hide_env_values = true,
            default_value = "file:./data/chat",
            value_name = "URL"
        )]
        store: StoreUrl,

        /// Options of a distributed store
        #[command(flatten)]
        scylla: ScyllaFlags,
    },

    /// Prints an access token of a member, signed with a development key
    Token {
        /// The member's id
        #[arg(long, value_name = "ID")]
        member: MemberId,

        /// The private key, PKCS #8 in PEM
        #[arg(long, env = "CHAT_DEV_KEY", value_name = "FILE")]
        dev_key: PathBuf,

        /// The token's `iss`
        #[arg(long, env = "CHAT_TOKEN_ISSUER", default_value = "dapanda")]
        token_issuer: String,

        /// The token's `aud`
        #[arg(long, env = "CHAT_TOKEN_AUDIENCE", default_value = "dapanda")]
        token_audience: String,
    },
}
