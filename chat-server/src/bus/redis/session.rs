//! Sessions with Redis: connect, subscribe, probe, and after a failure back off and reconnect.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use shared::redis::link::{COMMAND_BACKLOG, Link, LinkError, LinkSettings};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::link::CommandConnection;
use super::pubsub::PubSubConnection;
use super::subscriptions::Plan;
use super::topology::Topology;
use super::{Shared, receive_loop};

/// Channels in one command: enough that their number does not matter, and short for Redis, which
/// does nothing else meanwhile.
const CHANNELS_MAX: usize = 512;

/// Keeps a session until the bus is closed.
pub(super) async fn run(shared: Arc<Shared>, settings: LinkSettings, mut random: StdRng) {
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
    pubsub: PubSubConnection,
    talk_link: Link,
    hear_link: Link,
    over: CancellationToken,
    /// Ends what was started for this session, however it ends.
    _over: DropGuard,
}

impl Session {
    async fn open(shared: &Arc<Shared>, settings: &LinkSettings) -> Result<Self, LinkError> {
        let over = shared.drain.hard().child_token();
        let guard = over.clone().drop_guard();
        let talk_link = Link::open(settings, COMMAND_BACKLOG).await?;
        let connection = CommandConnection::new(&talk_link, settings.is_cluster(), over.clone());
        let hear_link = Link::open(settings, shared.tuning.backlog_max).await?;
        let pubsub = PubSubConnection::new(&hear_link, settings.is_cluster());
        // Before anything is subscribed: it brings what comes after this.
        let receive_loop = receive_loop::run(Arc::clone(shared), pubsub.messages());
        let receive_loop = over.clone().run_until_cancelled_owned(receive_loop);
        drop(shared.drain.spawn("redis-hear", receive_loop));
        shared.status.connect(connection.clone());
        Ok(Self {
            shared: Arc::clone(shared),
            connection,
            pubsub,
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
            pubsub,
            talk_link,
            hear_link,
            over,
            ..
        } = self;
        loop {
            let (topology, probes) = match begin(pubsub, shared, connection).await {
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
                Err(error) = follow(pubsub, shared) => Err(error),
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

/// Subscribes everything that is wanted, until all of it is confirmed.
async fn begin(
    pubsub: &PubSubConnection,
    shared: &Shared,
    connection: &CommandConnection,
) -> Result<(Option<Topology>, Vec<String>), LinkError> {
    let topology = if connection.sharded {
        // Read first: a later change is seen as one.
        Some(Topology::look(connection).await?)
    } else {
        None
    };
    let probes = shared.names.probes(pubsub.slots().await?.as_ref());
    shared.probes.reset(probes.len());
    let own = probes.iter().cloned().chain([shared.names.control()]);
    pubsub.subscribe(own.collect()).await?;
    shared.subscriptions.begin_anew();
    loop {
        carry_out(pubsub, shared).await?;
        if shared.subscriptions.go_up() {
            return Ok((topology, probes));
        }
    }
}

/// Subscribes and unsubscribes as requested, until the session ends.
async fn follow(pubsub: &PubSubConnection, shared: &Shared) -> Result<Infallible, LinkError> {
    loop {
        shared.subscriptions.changed().await;
        carry_out(pubsub, shared).await?;
    }
}

/// Carries out one plan after the other, until there is none.
async fn carry_out(pubsub: &PubSubConnection, shared: &Shared) -> Result<(), LinkError> {
    while let Some(plan) = shared.subscriptions.take(CHANNELS_MAX) {
        let Plan { subscribe, leave } = &plan;
        let names = |topics: &[_]| topics.iter().map(|t| shared.names.channel(*t)).collect();
        if !leave.is_empty() {
            pubsub.unsubscribe(names(leave)).await?;
        }
        if !subscribe.is_empty() {
            pubsub.subscribe(names(subscribe)).await?;
        }
        shared.subscriptions.done(plan);
    }
    Ok(())
}
