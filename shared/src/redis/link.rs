//! A connection to Redis, or a set of connections to a cluster, that ends at its first failure.
//!
//! Redis behind pub/sub and registries must be watched end to end, so the client library's own
//! reconnecting is off: the owner of a link opens another one.

use std::fmt;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::ClientLike as _;
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig};
use fred::types::{ConnectHandle, RespVersion};
use rustls::ClientConfig;
use tokio::time::{sleep, timeout};

use super::{RedisKind, RedisUrl, connection_config};

/// Messages buffered by a connection for commands, which subscribes nothing.
pub const COMMAND_BACKLOG: usize = 32;

/// Leaving politely is worth no more than this.
const QUIT_MAX: Duration = Duration::from_secs(1);

/// Why a link, or work on it, failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
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
    /// The pipeline of the command failed as a whole, with another error.
    #[error("not answered")]
    Unanswered,
    /// A caller met an answer that a new connection may cure.
    #[error("given up after a failed request")]
    GivenUp,
}

impl LinkError {
    /// Whether another connection may do better: no answer, or a demoted primary, which refuses
    /// every key and delivers no message.
    #[must_use]
    pub fn needs_another_connection(&self) -> bool {
        match self {
            Self::Client(error) => {
                error.details().starts_with("READONLY")
                    || matches!(
                        error.kind(),
                        ErrorKind::IO | ErrorKind::Timeout | ErrorKind::Canceled | ErrorKind::Auth
                    )
            }
            Self::Unanswered => false,
            Self::Ended
            | Self::NoConnection(_)
            | Self::Silent(_)
            | Self::Muddled
            | Self::GivenUp => true,
        }
    }
}

/// Bounds of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkBounds {
    /// Time-out of a connection, with its login.
    pub connect_max: Duration,
    /// Time-out of the answer to any command.
    pub command_max: Duration,
    /// Commands waiting for a connection at most; beyond that they fail at once.
    pub commands_max: usize,
}

/// Configuration of links.
#[derive(Clone)]
pub struct LinkSettings {
    config: Config,
    bounds: LinkBounds,
    is_cluster: bool,
}

impl fmt::Debug for LinkSettings {
    /// Without the configuration, which has the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkSettings")
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}

impl LinkSettings {
    /// Links to this address. Servers of an encrypted connection are those that `trusted` accepts,
    /// or else the system's authorities.
    ///
    /// # Errors
    /// There are no authorities to check an encrypted connection with.
    pub fn new(
        url: &RedisUrl,
        trusted: Option<ClientConfig>,
        bounds: LinkBounds,
    ) -> Result<Self, Error> {
        let config = Config {
            // RESP3 allows commands besides those about channels on a subscribed connection.
            version: RespVersion::RESP3,
            ..url.client_config(trusted)?
        };
        Ok(Self {
            config,
            bounds,
            is_cluster: url.kind == RedisKind::Cluster,
        })
    }

    /// Whether the servers are a cluster.
    #[must_use]
    pub const fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// A client, not connected yet, that reports its first failure and does not reconnect. It
    /// buffers `backlog` messages of channels.
    #[must_use]
    pub fn client(&self, backlog: usize) -> Client {
        let performance = PerformanceConfig {
            default_command_timeout: self.bounds.command_max,
            broadcast_channel_capacity: backlog,
            ..PerformanceConfig::default()
        };
        let connection = ConnectionConfig {
            connection_timeout: self.bounds.connect_max,
            internal_command_timeout: self.bounds.connect_max,
            max_command_buffer_len: self.bounds.commands_max,
            ..connection_config()
        };
        let config = self.config.clone();
        Client::new(config, Some(performance), Some(connection), None)
    }
}

/// A connected client. Dropping it closes the connection.
#[derive(Debug)]
pub struct Link {
    client: Client,
    router: ConnectHandle,
}

impl Link {
    /// Connects; `backlog` as for [`LinkSettings::client`].
    ///
    /// # Errors
    /// See [`LinkError`].
    pub async fn open(settings: &LinkSettings, backlog: usize) -> Result<Self, LinkError> {
        let client = settings.client(backlog);
        let router = client.connect();
        let mut link = Self { client, router };
        let client = link.client.clone();
        let connect_max = settings.bounds.connect_max;
        tokio::select! {
            // Queued until there is a connection; its answer is the proof.
            pong = client.ping::<()>(None) => pong?,
            ended = link.ended() => return Err(ended),
            () = sleep(connect_max) => return Err(LinkError::NoConnection(connect_max)),
        }
        Ok(link)
    }

    /// The client, for commands.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Ends when the connection has. Cancel-safe.
    pub async fn ended(&mut self) -> LinkError {
        match (&mut self.router).await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) | Err(_) => LinkError::Ended,
        }
    }

    /// Sends QUIT, for a bounded time.
    pub async fn quit(&self) {
        // Without an answer the connection is closed all the same.
        timeout(QUIT_MAX, self.client.quit()).await.ok();
    }

    /// Closes the connection; when this returns, nothing of it runs.
    pub async fn close(mut self) {
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
