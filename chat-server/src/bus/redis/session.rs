//! Sessions with Redis: connect, subscribe, probe, and after a failure back off and reconnect.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use fred::clients::{Client, WithOptions};
use fred::interfaces::{
    ClientLike as _, ClusterInterface as _, EventInterface as _, PubsubInterface as _,
};
use fred::types::config::Server;
use futures_util::stream::{StreamExt as _, TryStreamExt as _, iter};
use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::link::{COMMANDS_AT_ONCE, CommandConnection, Link, LinkError, Settings, is_refusal};
use super::subscriptions::Plan;
use super::topology::Topology;
use super::{Shared, receive_loop};

/// Channels in one command: enough that their number does not matter, and short for Redis, which
/// does nothing else meanwhile.
const CHANNELS_MAX: usize = 512;

/// PINGs until a node's answers are in step: one, or two, and a few where an answer came late. With
/// the pauses between them, a second.
const SETTLE_ROUNDS_MAX: u32 = 10;

/// For a late answer to arrive, on the same network. Each further pause is twice as long, as an
/// answer that always comes too late keeps the next one too late.
const SETTLE_PAUSE: Duration = Duration::from_millis(1);

/// Keeps a session until the bus is closed.
pub(super) async fn run(shared: Arc<Shared>, settings: Settings, mut random: StdRng) {
    let stop = shared.drain.soft();
    let pause_min = shared.tuning.retry_max / 40;
    let (mut pause, mut is_logged) = (pause_min, false);
    loop {
        let opened = stop.run_until_cancelled(Session::open(&shared, &settings));
        let error = match opened.await {
            None => return,
            Some(Err(error)) => error,
            Some(Ok(mut session)) => {
                let served = stop.run_until_cancelled(Box::pin(session.serve())).await;
                let was_up = go_away(&shared);
                let Some(error) = session.end(served).await else {
                    return;
                };
                if was_up {
                    (pause, is_logged) = (pause_min, false);
                }
                error
            }
        };
        // Logged once until it is up again: later attempts fail alike.
        if is_logged {
            tracing::debug!("the bus is still away: {error}");
        } else {
            tracing::warn!("the bus is away: {error}");
        }
        is_logged = true;
        // Between half and all of it, so that the nodes do not reconnect all at once.
        let wait = pause.mul_f64(random.random_range(0.5..=1.0));
        if stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(shared.tuning.retry_max);
    }
}

/// A pair of connections.
struct Session {
    shared: Arc<Shared>,
    connection: CommandConnection,
    talk_link: Link,
    hear_link: Link,
    over: CancellationToken,
    /// Ends what was started for this session, however it ends.
    _over: DropGuard,
}

impl Session {
    async fn open(shared: &Arc<Shared>, settings: &Settings) -> Result<Self, LinkError> {
        let over = shared.drain.hard().child_token();
        let guard = over.clone().drop_guard();
        let talk_link = Link::connection(settings).await?;
        let connection = CommandConnection::new(&talk_link, settings.sharded, over.clone());
        let hear_link = Link::hear(settings).await?;
        // Before anything is subscribed: it brings what comes after this.
        let arriving = hear_link.client.message_rx();
        let receive_loop = receive_loop::run(Arc::clone(shared), arriving);
        let receive_loop = over.clone().run_until_cancelled_owned(receive_loop);
        drop(shared.drain.spawn("redis-hear", receive_loop));
        shared.status.connect(connection.clone());
        Ok(Self {
            shared: Arc::clone(shared),
            connection,
            talk_link,
            hear_link,
            over,
            _over: guard,
        })
    }

    /// Subscribes, and serves until an error, which it returns.
    ///
    /// | waits for | cancel-safe | then |
    /// |---|---|---|
    /// | the end of a connection | yes, a task's handle | the session ends |
    /// | the sender giving up | yes, a token | the session ends |
    /// | a probe that is not answered | no, but starts anew | the session ends |
    /// | a plan that cannot be carried out | no, but everything is planned anew | the session ends |
    /// | another topology | no, but read anew | everything is subscribed again |
    async fn serve(&mut self) -> LinkError {
        let Self {
            shared,
            connection,
            talk_link,
            hear_link,
            over,
            ..
        } = self;
        let hear = PubSubConnection {
            client: hear_link.client.clone(),
            channels: hear_link.channels(),
            sharded: connection.sharded,
        };
        loop {
            let (topology, probes) = match hear.begin(shared, connection).await {
                Ok(begun) => begun,
                Err(error) => return error,
            };
            go_up(shared);
            let topology_every = shared.tuning.topology_every;
            let changed = tokio::select! {
                error = talk_link.ended() => Err(error),
                error = hear_link.ended() => Err(error),
                () = over.cancelled() => Err(LinkError::GivenUp),
                error = shared.probes.run(connection, &probes) => Err(error),
                Err(error) = hear.follow(shared) => Err(error),
                changed = watch(topology.as_ref(), connection, topology_every) => changed,
            };
            if let Err(error) = changed {
                return error;
            }
            tracing::info!("slots of the bus have moved: subscribing all topics again");
        }
    }

    /// Closes both connections; `served` is the error, or `None` for an orderly end.
    async fn end(self, served: Option<LinkError>) -> Option<LinkError> {
        if served.is_none() {
            tokio::join!(self.talk_link.quit(), self.hear_link.quit());
        }
        self.over.cancel();
        tokio::join!(self.talk_link.close(), self.hear_link.close());
        served
    }
}

/// Only a cluster has a topology.
async fn watch(
    topology: Option<&Topology>,
    connection: &CommandConnection,
    every: Duration,
) -> Result<(), LinkError> {
    match topology {
        Some(topology) => topology.changes(connection, every).await,
        None => std::future::pending().await,
    }
}

/// Everything wanted is subscribed.
fn go_up(shared: &Shared) {
    let wants_nothing = shared.subscriptions.wants_nothing();
    let is_first = shared.status.go_up();
    // Messages from before the subscriptions were missed; the very first time there was no topic.
    if !(is_first && wants_nothing) {
        shared.events.push_lost();
    }
}

/// Nothing is received, and nothing can be sent. Returns whether that is new.
fn go_away(shared: &Shared) -> bool {
    shared.subscriptions.go_away();
    shared.status.go_away()
}

/// A session's connection for subscriptions.
struct PubSubConnection {
    client: Client,
    channels: WithOptions<Client>,
    sharded: bool,
}

impl PubSubConnection {
    /// Subscribes everything that is wanted, until all of it is confirmed.
    async fn begin(
        &self,
        shared: &Shared,
        connection: &CommandConnection,
    ) -> Result<(Option<Topology>, Vec<String>), LinkError> {
        let topology = if self.sharded {
            // Read first: a later change is seen as one.
            let topology = Topology::look(connection).await?;
            self.client.sync_cluster().await?;
            Some(topology)
        } else {
            None
        };
        let routing = self.client.cached_cluster_state();
        let probes = shared.names.probes(routing.as_ref());
        shared.probes.reset(probes.len());
        let own = probes.iter().cloned().chain([shared.names.control()]);
        self.subscribe(own.collect()).await?;
        shared.subscriptions.begin_anew();
        loop {
            self.carry_out(shared).await?;
            if shared.subscriptions.go_up() {
                return Ok((topology, probes));
            }
        }
    }

    /// Carries out what is wanted, for ever.
    async fn follow(&self, shared: &Shared) -> Result<Infallible, LinkError> {
        loop {
            shared.subscriptions.changed().await;
            self.carry_out(shared).await?;
        }
    }

    /// Carries out one plan after the other, until there is none.
    async fn carry_out(&self, shared: &Shared) -> Result<(), LinkError> {
        while let Some(plan) = shared.subscriptions.take(CHANNELS_MAX) {
            let Plan { subscribe, leave } = &plan;
            let names = |topics: &[_]| topics.iter().map(|t| shared.names.channel(*t)).collect();
            if !leave.is_empty() {
                self.leave(names(leave)).await?;
            }
            if !subscribe.is_empty() {
                self.subscribe(names(subscribe)).await?;
            }
            shared.subscriptions.done(plan);
        }
        Ok(())
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
    async fn subscribe(&self, channels: Vec<String>) -> Result<(), LinkError> {
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
    async fn leave(&self, channels: Vec<String>) -> Result<(), LinkError> {
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
