//! The command line of the chat server: serving, or something else instead.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use shared::ids::MemberId;

use super::{Config, ScyllaFlags, StoreUrl};

/// The program's command line.
#[derive(Clone, Debug, Parser)]
#[command(name = "chat-server", version, args_conflicts_with_subcommands = true)]
pub struct CommandLine {
    /// How to serve.
    #[command(flatten)]
    pub config: Config,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Says that the store was put back from a backup: before the first node starts on it, so that no
    /// message gets an id of one that the backup lacks. For a file: store only after a snapshot of a
    /// whole disk was put back; otherwise the start finds out
    NewEpoch {
        /// Where messages are kept, as for serving
        #[arg(
            long,
            env = "CHAT_STORE",
            hide_env_values = true,
            default_value = "file:./data/chat",
            value_name = "URL"
        )]
        store: StoreUrl,

        /// How a store of several servers is used
        #[command(flatten)]
        scylla: ScyllaFlags,
    },

    /// Prints an access token of a member, signed with a development key
    Token {
        /// Whose
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
