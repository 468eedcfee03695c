//! Connection for subscriptions: subscribes channels until Redis has confirmed them, and receives
//! their messages.
//!
//! `session` chooses the subscriptions; `receive_loop` decodes the messages.

use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::{
    ClientLike as _, ClusterInterface as _, EventInterface as _, PubsubInterface as _,
};
use fred::types::Message as ClientMessage;
use fred::types::cluster::ClusterRouting;
use fred::types::config::Server;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use super::link::{COMMANDS_AT_ONCE, channels, is_refusal};
use shared::redis::link::{Link, LinkError};

/// PINGs until a node's answers are in step: one, or two, and a few where an answer came late. With
/// the pauses between them, a second.
const SETTLE_ROUNDS_MAX: u32 = 10;

/// For a late answer to arrive, on the same network. Each further pause is twice as long, as an
/// answer that always comes too late keeps the next one too late.
const SETTLE_PAUSE: Duration = Duration::from_millis(1);

/// A session's connection for subscriptions.
pub(super) struct PubSubConnection {
    client: Client,
    channels: WithOptions<Client>,
    sharded: bool,
}

impl PubSubConnection {
    pub(super) fn new(link: &Link, sharded: bool) -> Self {
        Self {
            client: link.client().clone(),
            channels: channels(link),
            sharded,
        }
    }

    /// The messages that arrive from now on.
    pub(super) fn messages(&self) -> Messages {
        Messages(self.client.message_rx())
    }

    /// Reads the owners of a cluster's slots; without a cluster there are none.
    pub(super) async fn slots(&self) -> Result<Option<Slots>, LinkError> {
        if self.sharded {
            self.client.sync_cluster().await?;
        }
        Ok(self.client.cached_cluster_state().map(Slots))
    }

    /// Returns when Redis has confirmed all of them.
    ///
    /// The client returns from SUBSCRIBE when it has sent it, and drops the confirmations. But
    /// Redis carries out the commands of one connection in order, and this connection has no way to
    /// be replaced by another: when it answers PING, it has carried out what was sent before.
    ///
    /// On a cluster the client does wait for SSUBSCRIBE: it takes the first message that confirms a
    /// channel for the answer, and others for answers to later commands. So each channel has a
    /// command of its own: then there is one answer each, and each command gets its own.
    pub(super) async fn subscribe(&self, channels: Vec<String>) -> Result<(), LinkError> {
        if !self.sharded {
            self.client.subscribe(channels).await?;
            self.client.ping::<()>(None).await?;
            return Ok(());
        }
        let commands = iter(channels).map(|channel| self.channels.ssubscribe(channel));
        let answers = commands.buffer_unordered(COMMANDS_AT_ONCE);
        Ok(answers.try_collect().await?)
    }

    /// On a cluster, Redis refuses to unsubscribe a channel whose slot has moved, and the client
    /// takes that for the answer to the next command: [`settle`](Self::settle) is there to take it.
    pub(super) async fn unsubscribe(&self, channels: Vec<String>) -> Result<(), LinkError> {
        if !self.sharded {
            self.client.unsubscribe(channels).await?;
            self.client.ping::<()>(None).await?;
            return Ok(());
        }
        for channel in channels {
            self.client.sunsubscribe(channel).await?;
        }
        for server in self.client.active_connections() {
            self.settle(server).await?;
        }
        Ok(())
    }

    /// Returns when this node's answers belong to the commands sent to it.
    ///
    /// A PING that took a refusal for its answer fails, and its own answer is taken for that to the
    /// next one. The client drops answers that arrive while no command waits, so pausing mends it.
    async fn settle(&self, server: Server) -> Result<(), LinkError> {
        let node = self.client.with_cluster_node(server);
        for round in 0..SETTLE_ROUNDS_MAX {
            let words = round.to_string();
            match node.ping::<String>(Some(words.clone())).await {
                Ok(answer) if answer == words => return Ok(()),
                Err(error) if !is_refusal(&error) => return Err(error.into()),
                Ok(_) | Err(_) => sleep(SETTLE_PAUSE * (1 << round)).await,
            }
        }
        Err(LinkError::Muddled)
    }
}

/// Messages of the subscribed channels. The client library buffers a bounded number of them.
pub(super) struct Messages(Receiver<ClientMessage>);

/// What the buffer has next.
pub(super) enum Received {
    Message(Message),
    /// The buffer was full, and so many messages were dropped.
    Dropped(u64),
}

impl Messages {
    /// Waits for the next message; `None` once the connection is closed. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Received> {
        match self.0.recv().await {
            Ok(message) => Some(Received::Message(Message(message))),
            // The channel continues with the oldest message that it still has.
            Err(RecvError::Lagged(count)) => Some(Received::Dropped(count)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// A published message.
pub(super) struct Message(ClientMessage);

impl Message {
    pub(super) fn channel(&self) -> &str {
        &self.0.channel
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.value.as_bytes().unwrap_or_default()
    }
}

/// Owners of a cluster's slots.
pub(super) struct Slots(ClusterRouting);

impl Slots {
    /// Of these names, the first that lies on each primary; none for a primary on which none lies.
    pub(super) fn one_per_primary(&self, names: impl Iterator<Item = String>) -> Vec<String> {
        let mut open = self.0.unique_primary_nodes();
        let mut chosen = Vec::with_capacity(open.len());
        for name in names {
            if open.is_empty() {
                break;
            }
            let owner = self.0.get_server(ClusterRouting::hash_key(name.as_bytes()));
            let place = open.iter().position(|server| Some(server) == owner);
            if let Some(place) = place {
                open.swap_remove(place);
                chosen.push(name);
            }
        }
        chosen
    }
}
