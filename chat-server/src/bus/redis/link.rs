//! Connection to Redis, or set of connections to a cluster, which ends at its first failure.
//!
//! It does not reconnect: `session` opens another one.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, WithOptions};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{
    ClientLike as _, ClusterInterface as _, EventInterface as _, KeysInterface,
    PubsubInterface as _,
};
use fred::types::config::{Config, ConnectionConfig, Options, PerformanceConfig};
use fred::types::{ClusterStateChange, ConnectHandle, Expiration, RespVersion};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use shared::ids::Seq;
use shared::redis::{RedisKind, RedisUrl, connection_config};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RedisTuning;
use crate::bus::BusError;
use crate::tls;

/// Commands waiting for a connection at most. One batch or plan is on its way at a time, so this is
/// never reached; without it there would be no bound at all.
const COMMANDS_MAX: usize = 4_096;

/// Nodes of a cluster that a command about channels is sent on to at most, while slots move.
const REDIRECTIONS_MAX: u32 = 5;

/// Commands under way to a cluster at a time; each is sent by itself.
pub(super) const COMMANDS_AT_ONCE: usize = 64;

/// Messages buffered by a connection for commands, which subscribes nothing.
const COMMAND_BACKLOG: usize = 32;

/// Expiry of a noted head: a day. A topic idle for longer is read from the store as quickly.
const HEAD_KEPT: Expiration = Expiration::EX(86_400);

/// Leaving politely is worth no more than this.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Redis or the client library refused a command, or did not answer in time.
    #[error("{0}")]
    Client(#[from] Error),
    /// The connection was closed.
    #[error("the connection ended")]
    Ended,
    /// No server accepted a connection in time.
    #[error("no connection in {0:?}")]
    NoConnection(Duration),
    /// A probe was not received in time.
    #[error("silent for {0:?}")]
    Silent(Duration),
    /// Answers belong to other commands.
    #[error("its answers are out of step")]
    Muddled,
    /// The sender met an answer that a new connection may cure.
    #[error("given up after a failed publish")]
    GivenUp,
}

impl LinkError {
    /// Whether another connection may do better: no answer, or a demoted primary, which refuses
    /// every key and delivers no message.
    pub(super) fn needs_another_connection(&self) -> bool {
        match self {
            Self::Client(error) => {
                error.details().starts_with("READONLY")
                    || matches!(
                        error.kind(),
                        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Auth
                    )
            }
            Self::Ended
            | Self::NoConnection(_)
            | Self::Silent(_)
            | Self::Muddled
            | Self::GivenUp => true,
        }
    }
}

/// Configuration of connections.
#[derive(Clone)]
pub(super) struct Settings {
    config: Config,
    tuning: RedisTuning,
    /// Whether channels are those of a cluster's shards.
    pub(super) sharded: bool,
}

impl fmt::Debug for Settings {
    /// Without the configuration, which has the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("tuning", &self.tuning)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// Servers of an encrypted connection are those that the authorities of the file `ca` know, or
    /// else the system's.
    ///
    /// # Errors
    /// There are no certificates that can be read.
    pub(super) fn new(
        url: &RedisUrl,
        ca: Option<&Path>,
        tuning: RedisTuning,
    ) -> Result<Self, BusError> {
        let trusted = ca.map(tls::trusting).transpose();
        let trusted = trusted.map_err(|error| BusError(error.to_string()))?;
        let config = url.client_config(trusted);
        let config = Config {
            // RESP3 allows commands besides those about channels on a subscribed connection.
            version: RespVersion::RESP3,
            ..config.map_err(|error| BusError(error.to_string()))?
        };
        Ok(Self {
            config,
            tuning,
            sharded: url.kind == RedisKind::Cluster,
        })
    }

    /// A client that reports its first failure and does not reconnect.
    fn client(&self, backlog: usize) -> Client {
        let performance = PerformanceConfig {
            default_command_timeout: self.tuning.command_max,
            broadcast_channel_capacity: backlog,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: self.tuning.connect_max,
            internal_command_timeout: self.tuning.connect_max,
            max_command_buffer_len: COMMANDS_MAX,
            ..connection_config()
        };
        Client::new(
            self.config.clone(),
            Some(performance),
            Some(connection),
            None,
        )
    }
}

/// A connected client. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) client: Client,
    router: ConnectHandle,
}

impl Link {
    pub(super) async fn connection(settings: &Settings) -> Result<Self, LinkError> {
        Self::open(settings, COMMAND_BACKLOG).await
    }

    pub(super) async fn hear(settings: &Settings) -> Result<Self, LinkError> {
        Self::open(settings, settings.tuning.backlog_max).await
    }

    async fn open(settings: &Settings, backlog: usize) -> Result<Self, LinkError> {
        let client = settings.client(backlog);
        let router = client.connect();
        let mut link = Self { client, router };
        let client = link.client.clone();
        tokio::select! {
            // Queued until there is a connection; its answer is the proof.
            pong = client.ping::<()>(None) => pong?,
            ended = link.ended() => return Err(ended),
            () = sleep(settings.tuning.connect_max) => {
                return Err(LinkError::NoConnection(settings.tuning.connect_max));
            }
        }
        Ok(link)
    }

    /// The client for commands about a cluster's channels. They are sent on to where a slot has
    /// moved, and a slot under migration does not keep a server from answering them.
    ///
    /// The options are set here for SSUBSCRIBE, which the client otherwise attempts once whatever
    /// its configuration; and a command that is sent on counts as another attempt.
    pub(super) fn channels(&self) -> WithOptions<Client> {
        self.client.with_options(&Options {
            max_attempts: Some(REDIRECTIONS_MAX + 1),
            max_redirections: Some(REDIRECTIONS_MAX),
            ..Options::default()
        })
    }

    /// Ends when the connection has.
    pub(super) async fn ended(&mut self) -> LinkError {
        match (&mut self.router).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => LinkError::Ended,
        }
    }

    /// Sends QUIT, for a bounded time.
    pub(super) async fn quit(&self) {
        // Without an answer the connection is closed all the same.
        tokio::time::timeout(QUIT_MAX, self.client.quit())
            .await
            .ok();
    }

    /// Closes the connection; when this returns, nothing of it runs.
    pub(super) async fn close(mut self) {
        if !self.router.is_finished() {
            self.router.abort();
            // Aborted or ended by itself: both are what was wanted.
            (&mut self.router).await.ok();
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.router.abort();
    }
}

/// A session's connection for commands.
#[derive(Clone, Debug)]
pub(super) struct CommandConnection {
    client: Client,
    channels: WithOptions<Client>,
    pub(super) sharded: bool,
    /// Cancelled to end the session by the task that finds it broken, and when it has ended.
    pub(super) over: CancellationToken,
}

/// A command whose answer is success or an error.
#[derive(Debug)]
pub(super) enum Command {
    Publish { channel: String, message: Bytes },
    Note { key: String, head: Seq },
}

impl CommandConnection {
    pub(super) fn new(link: &Link, sharded: bool, over: CancellationToken) -> Self {
        Self {
            client: link.client.clone(),
            channels: link.channels(),
            sharded,
            over,
        }
    }

    pub(super) async fn publish(&self, channel: String, message: Bytes) -> Result<(), LinkError> {
        let published: Result<(), Error> = if self.sharded {
            self.channels.spublish(channel, message).await
        } else {
            self.client.publish(channel, message).await
        };
        Ok(published?)
    }

    /// `CLUSTER NODES` of each node that it is connected to, in the order of their addresses.
    pub(super) async fn cluster_nodes(&self) -> Result<Vec<String>, LinkError> {
        let mut servers = self.client.active_connections();
        servers.sort();
        let mut texts = Vec::with_capacity(servers.len());
        for server in servers {
            let node = self.client.with_cluster_node(server);
            texts.push(node.cluster_nodes().await?);
        }
        Ok(texts)
    }

    /// Redirections of commands from now on.
    pub(super) fn redirections(&self) -> Redirections {
        Redirections(self.client.cluster_change_rx())
    }

    /// The values of these keys, in order; none of those that are on their way to another node.
    pub(super) async fn values(&self, keys: Vec<String>) -> Result<Vec<Option<String>>, LinkError> {
        if !self.sharded {
            return Ok(self.client.mget(keys).await?);
        }
        let ask = |key| async {
            match self.of_key(self.client.get(key)).await {
                Err(error) if is_refusal(&error) => Ok(None),
                answer => answer,
            }
        };
        let answers = iter(keys).map(ask).buffered(COMMANDS_AT_ONCE);
        Ok(answers.try_collect::<Vec<_>>().await?)
    }

    /// The answer to a command about a key of a cluster.
    ///
    /// What the client wrote just before it learns of a refusal it does not send off before it
    /// writes something else.
    async fn of_key<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let answer = answer.await;
        if answer.as_ref().is_err_and(is_refusal) {
            self.client.ping::<()>(None).await?;
        }
        answer
    }

    /// Carries out all of these; the answers, in order, or one error for all.
    ///
    /// On a cluster each is sent by itself: of a pipeline, the client library gives no answer but
    /// the refusal if one command is refused.
    pub(super) async fn carry_out(&self, commands: Vec<Command>) -> Vec<Result<(), LinkError>> {
        if self.sharded {
            let say = |command| async {
                match command {
                    Command::Publish { channel, message } => self.publish(channel, message).await,
                    Command::Note { key, head } => {
                        Ok(self.of_key(note(&self.client, key, head)).await?)
                    }
                }
            };
            let answers = iter(commands).map(say).buffered(COMMANDS_AT_ONCE);
            return answers.collect().await;
        }
        let pipeline = self.client.pipeline();
        for command in commands {
            let queued: Result<(), Error> = match command {
                Command::Publish { channel, message } => pipeline.publish(channel, message).await,
                Command::Note { key, head } => note(&pipeline, key, head).await,
            };
            // It cannot fail; if it did, there would be an answer less.
            queued.ok();
        }
        let answers = pipeline.try_all().await;
        answers
            .into_iter()
            .map(|answer: Result<(), Error>| Ok(answer?))
            .collect()
    }
}

/// Redirections of a cluster's commands to other nodes.
pub(super) struct Redirections(Receiver<Vec<ClusterStateChange>>);

impl Redirections {
    /// Returns when commands were redirected. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<(), LinkError> {
        match self.0.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
            Err(RecvError::Closed) => Err(LinkError::Ended),
        }
    }
}

/// Whether another node of the cluster is responsible.
pub(super) fn is_refusal(error: &Error) -> bool {
    *error.kind() == ErrorKind::Routing
}

async fn note(client: &impl KeysInterface, key: String, head: Seq) -> Result<(), Error> {
    let value = head.get().to_string();
    client.set(key, value, Some(HEAD_KEPT), None, false).await
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use futures_util::FutureExt as _;
    use tokio::task::unconstrained;

    use super::*;

    /// Without the bound it would queue any number of them for a server that does not answer.
    #[tokio::test]
    async fn more_commands_than_may_wait_are_refused_at_once() {
        // The system accepts connections for it; they are not read.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", silent.local_addr().unwrap());
        let url = url.parse().unwrap();
        let settings = Settings::new(&url, None, RedisTuning::default()).unwrap();
        let client = settings.client(COMMAND_BACKLOG);
        let router = client.connect();
        let ask = || unconstrained(client.ping::<()>(None)).now_or_never();
        for _ in 0..COMMANDS_MAX {
            assert_eq!(ask(), None, "it waits");
        }
        for _ in 0..COMMANDS_MAX {
            let refused = ask().expect("no wait").unwrap_err();
            assert_eq!(*refused.kind(), ErrorKind::Backpressure);
        }
        router.abort();
    }
}
