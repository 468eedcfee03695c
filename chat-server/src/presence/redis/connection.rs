//! Commands of the registry on a connection to Redis, and the settings of its connections.
//!
//! A connection ends at its first failure; `session` opens another one. The bus has connections of its own, so that
//! neither waits behind the other's commands.

use std::path::Path;
use std::time::Duration;

use fred::clients::Client;
use fred::error::{Error, ErrorKind};
use fred::interfaces::{ClientLike, KeysInterface as _};
use fred::types::{ClusterHash, CustomCommand, Expiration, SetOptions, Value};
use futures_util::stream::{StreamExt as _, iter};
use shared::redis::RedisUrl;
use shared::redis::link::{Link, LinkBounds, LinkError, LinkSettings};
use tokio_util::sync::CancellationToken;

use super::PresenceTuning;
use crate::presence::PresenceError;
use crate::tls;

/// Commands waiting for a connection at most: one batch of the session and a few reads of large
/// rooms; beyond that they fail at once.
const COMMANDS_MAX: usize = 16_384;

/// Commands under way to a cluster at a time, of one caller; each is sent by itself.
const COMMANDS_AT_ONCE: usize = 256;

/// The Redis server's time in milliseconds, at the beginning of each script.
macro_rules! script {
    ($rest:literal) => {
        concat!(
            "local t = redis.call('time') ",
            "local now = t[1] * 1000 + math.floor(t[2] / 1000) ",
            "local text = function(n) return string.format('%.0f', n) end ",
            $rest
        )
    };
}

/// Removes expired entries, writes one. Returns whether the member was not announced as online; of
/// one whose nodes have all died that is over.
const REGISTER: &str = script!(
    "local expired = redis.call('zremrangebyscore', KEYS[1], '(0', '(' .. text(now)) \
     if expired > 0 and redis.call('zcount', KEYS[1], '(0', '+inf') == 0 then \
       redis.call('zrem', KEYS[1], 'online') \
     end \
     local new = redis.call('zadd', KEYS[1], 0, 'online') \
     redis.call('zadd', KEYS[1], text(now + ARGV[2]), ARGV[1]) \
     redis.call('pexpire', KEYS[1], ARGV[2]) \
     return new"
);

/// The number of nodes with an entry that has not expired.
const COUNT: &str = script!("return redis.call('zcount', KEYS[1], text(now), '+inf')");

/// Removes the mark of a member that is on no node. Returns whether there was one. A script, so that
/// no node registers the member in between.
const WITHDRAW: &str = script!(
    "if redis.call('zcount', KEYS[1], text(now), '+inf') > 0 then return 0 end \
     return redis.call('zrem', KEYS[1], 'online')"
);

/// Configuration of connections. Servers of an encrypted one are those that the authorities of the
/// file `ca` accept, or else the system's.
///
/// # Errors
/// There are no certificates that can be read.
pub(super) fn settings(
    url: &RedisUrl,
    ca: Option<&Path>,
    tuning: PresenceTuning,
) -> Result<LinkSettings, PresenceError> {
    let trusted = ca.map(tls::trusting).transpose();
    let trusted = trusted.map_err(|error| PresenceError(error.to_string()))?;
    let bounds = LinkBounds {
        connect_max: tuning.connect_max,
        command_max: tuning.command_max,
        commands_max: COMMANDS_MAX,
    };
    let settings = LinkSettings::new(url, trusted, bounds);
    settings.map_err(|error| PresenceError(error.to_string()))
}

/// A session's connection.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    client: Client,
    sharded: bool,
    /// Cancelled to end the session by the caller that finds it broken, and when it has ended.
    pub(super) over: CancellationToken,
}

/// A command about one key, answered by a number.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// Writes a node's entry.
    Register {
        key: String,
        node: String,
        ttl: Duration,
    },
    /// Removes a node's entry.
    Remove { key: String, node: String },
    /// Counts the entries.
    Count(String),
    /// Removes the mark of a member without entries.
    Withdraw(String),
}

impl Command {
    /// The command with its arguments.
    ///
    /// Of a cluster's slot, the client library reads only this form from a command of our own.
    fn custom(self) -> (CustomCommand, Vec<Value>) {
        let slot = ClusterHash::from(self.key());
        let script = |text: &'static str, key: String, more: [Option<String>; 2]| {
            let key = [Value::from(text), Value::Integer(1), key.into()];
            let more = more.into_iter().flatten().map(Value::from);
            ("EVAL", key.into_iter().chain(more).collect())
        };
        let (name, arguments) = match self {
            Self::Register { key, node, ttl } => {
                let ttl = millis(ttl).to_string();
                script(REGISTER, key, [Some(node), Some(ttl)])
            }
            Self::Remove { key, node } => ("ZREM", vec![key.into(), node.into()]),
            Self::Count(key) => script(COUNT, key, [None, None]),
            Self::Withdraw(key) => script(WITHDRAW, key, [None, None]),
        };
        (CustomCommand::new_static(name, slot, false), arguments)
    }

    fn key(&self) -> &str {
        match self {
            Self::Register { key, .. }
            | Self::Remove { key, .. }
            | Self::Count(key)
            | Self::Withdraw(key) => key,
        }
    }

    async fn send<T: fred::types::FromValue>(self, client: &impl ClientLike) -> Result<T, Error> {
        let (command, arguments) = self.custom();
        client.custom(command, arguments).await
    }
}

impl Connection {
    pub(super) fn new(link: &Link, settings: &LinkSettings, over: CancellationToken) -> Self {
        Self {
            client: link.client().clone(),
            sharded: settings.is_cluster(),
            over,
        }
    }

    pub(super) async fn ping(&self) -> Result<(), LinkError> {
        Ok(self.client.ping::<()>(None).await?)
    }

    /// Whether the key was not there, and is there for `ttl` from now on.
    pub(super) async fn claim(&self, key: String, ttl: Duration) -> Result<bool, LinkError> {
        let expires = Some(Expiration::PX(millis(ttl)));
        let set = || {
            let only_new = Some(SetOptions::NX);
            self.client
                .set(key.clone(), 1, expires.clone(), only_new, false)
        };
        let set: Option<String> = self.of_key(set).await?;
        Ok(set.is_some())
    }

    /// Carries out all of these; the answers, in order.
    ///
    /// On a cluster each is sent by itself: of a pipeline, the client library gives no answer but
    /// the refusal if one command is refused.
    pub(super) async fn carry_out(&self, commands: Vec<Command>) -> Vec<Result<i64, LinkError>> {
        if self.sharded {
            let send = async |command: Command| {
                let answer = self.of_key(|| command.clone().send(&self.client)).await;
                Ok(answer?)
            };
            let answers = iter(commands).map(send).buffered(COMMANDS_AT_ONCE);
            return answers.collect().await;
        }
        let count = commands.len();
        let pipeline = self.client.pipeline();
        for command in commands {
            // It cannot fail; if it did, there would be an answer less.
            command.send::<()>(&pipeline).await.ok();
        }
        let answers: Vec<Result<i64, Error>> = pipeline.try_all().await;
        let mut answers: Vec<_> = answers
            .into_iter()
            .map(|answer| answer.map_err(LinkError::from))
            .collect();
        // One error may stand for all; none may be missing.
        answers.resize_with(count, || Err(LinkError::Unanswered));
        answers
    }

    /// The answer to a command about a key. One that another node of a cluster is responsible for is
    /// sent once more: the refusal has updated the slot map.
    ///
    /// What the client wrote just before it learns of a refusal it does not send off before it
    /// writes something else.
    async fn of_key<T, F>(&self, command: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = command().await;
        let is_refusal = |error: &Error| *error.kind() == ErrorKind::Routing;
        if !answer.as_ref().is_err_and(is_refusal) {
            return answer;
        }
        self.client.ping::<()>(None).await?;
        command().await
    }
}

fn millis(time: Duration) -> i64 {
    // Redis refuses an expiry of zero.
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).max(1)
}
