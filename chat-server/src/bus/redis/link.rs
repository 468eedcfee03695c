//! Commands of the bus on a connection to Redis, and the settings of its connections.
//!
//! A connection ends at its first failure; `session` opens another one.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use fred::clients::{Client, WithOptions};
use fred::error::{Error, ErrorKind};
use fred::interfaces::{
    ClientLike as _, ClusterInterface as _, EventInterface as _, KeysInterface,
    PubsubInterface as _,
};
use fred::types::config::Options;
use fred::types::{ClusterHash, ClusterStateChange, CustomCommand, Expiration, SetOptions, Value};
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use shared::ids::Seq;
use shared::redis::RedisUrl;
use shared::redis::link::{Link, LinkBounds, LinkError, LinkSettings};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
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

/// Expiry of a noted head: a day. A topic idle for longer is read from the store as quickly.
const HEAD_KEPT: Expiration = Expiration::EX(86_400);

/// Removes a key that still has this node's value. A script, so that another node's stays.
const END_TURN: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then \
     return redis.call('del', KEYS[1]) end return 0";

/// Configuration of connections. Servers of an encrypted one are those that the authorities of the
/// file `ca` accept, or else the system's.
///
/// # Errors
/// There are no certificates that can be read.
pub(super) fn settings(
    url: &RedisUrl,
    ca: Option<&Path>,
    tuning: RedisTuning,
) -> Result<LinkSettings, BusError> {
    let trusted = ca.map(tls::trusting).transpose();
    let trusted = trusted.map_err(|error| BusError(error.to_string()))?;
    let bounds = LinkBounds {
        connect_max: tuning.connect_max,
        command_max: tuning.command_max,
        commands_max: COMMANDS_MAX,
    };
    let settings = LinkSettings::new(url, trusted, bounds);
    settings.map_err(|error| BusError(error.to_string()))
}

/// The client for commands about a cluster's channels. They are sent on to where a slot has moved,
/// and a slot under migration does not keep a server from answering them.
///
/// The options are set here for SSUBSCRIBE, which the client otherwise attempts once whatever its
/// configuration; and a command that is sent on counts as another attempt.
pub(super) fn channels(link: &Link) -> WithOptions<Client> {
    link.client().with_options(&Options {
        max_attempts: Some(REDIRECTIONS_MAX + 1),
        max_redirections: Some(REDIRECTIONS_MAX),
        ..Options::default()
    })
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
            client: link.client().clone(),
            channels: channels(link),
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

    /// Whether the key was free and has this value now, for `time` at most.
    pub(super) async fn take_turn(
        &self,
        key: String,
        node: String,
        time: Duration,
    ) -> Result<bool, LinkError> {
        let time = Expiration::PX(i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
        let set = self
            .client
            .set(key, node, Some(time), Some(SetOptions::NX), false);
        let set: Option<String> = self.of_key(set).await?;
        Ok(set.is_some())
    }

    /// Frees the key if it has this value.
    pub(super) async fn end_turn(&self, key: String, node: String) -> Result<(), LinkError> {
        let slot = ClusterHash::from(key.as_str());
        let command = CustomCommand::new_static("EVAL", slot, false);
        let values = [END_TURN.into(), Value::Integer(1), key.into(), node.into()];
        let ended = self.client.custom(command, values.to_vec());
        Ok(self.of_key::<()>(ended).await?)
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
    use shared::redis::link::COMMAND_BACKLOG;
    use tokio::task::unconstrained;

    use super::*;

    /// Without the bound it would queue any number of them for a server that does not answer.
    #[tokio::test]
    async fn more_commands_than_may_wait_are_refused_at_once() {
        // The system accepts connections for it; they are not read.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("redis://{}", silent.local_addr().unwrap());
        let url = url.parse().unwrap();
        let settings = settings(&url, None, RedisTuning::default()).unwrap();
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
