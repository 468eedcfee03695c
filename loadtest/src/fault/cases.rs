//! Fault cases: each is a fault of a cluster or its crowd while messages flow.
//!
//! A case ends when its fault ends; the time to recover counts from there. The promises are the
//! same for all of them (`judge`); a case may demand more.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::sleep;

use super::board::State;
use super::cluster::Bus;
use super::error::FaultError;
use super::last_message::{answer_late, kill_before_list_row};
use super::member::Order;
use super::process::Signal;
use super::replicas::Deed;
use super::slow_store::{overload_replicas, slow_replicas};
use super::stage::{Stage, VICTIM};

type Doing<'a> = Pin<Box<dyn Future<Output = Result<(), FaultError>> + 'a>>;

/// A fault case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) act: for<'a> fn(&'a mut Stage) -> Doing<'a>,
    pub(crate) needs: Needs,
    pub(crate) demands: Demands,
}

/// Requirements of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    /// One chat node.
    Node,
    /// Several chat nodes.
    Nodes,
    Redis,
    Failover,
    Replicas,
    TwoBuilds,
}

/// Demands of a case beyond the promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demands {
    /// No further demand.
    Promises,
    /// No attempt to connect fails.
    EveryConnect,
    /// No connection is closed, none fails.
    EveryConnection,
}

macro_rules! cases {
    ($($name:literal $act:ident $needs:ident $demands:ident,)*) => {
        /// All cases, in the order they are run in.
        pub(crate) const CASES: &[Case] = &[$(Case {
            name: $name,
            act: |stage| Box::pin($act(stage)),
            needs: Needs::$needs,
            demands: Demands::$demands,
        },)*];
    };
}

cases! {
    "node-kill" kill_node Node Promises,
    "node-rolling-restart" restart_nodes Nodes EveryConnect,
    "node-freeze-late-writer" freeze_node Nodes Promises,
    "node-two-builds" replace_nodes TwoBuilds EveryConnect,
    "frozen-subscriber" freeze_subscriber Node Promises,
    "redis-kill" kill_redis Redis EveryConnection,
    "redis-freeze" freeze_redis Redis EveryConnection,
    "redis-flushall" flush_redis Redis EveryConnection,
    "redis-older-dump" age_redis Redis EveryConnection,
    "redis-pubsub-cut" cut_pubsub Redis EveryConnection,
    "store-one-freeze" freeze_replica Replicas EveryConnection,
    "store-one-kill" kill_replica Replicas EveryConnection,
    "store-all-freeze" freeze_replicas Replicas EveryConnection,
    "store-all-kill" kill_replicas Replicas EveryConnection,
    "store-all-slow" slow_replicas Replicas EveryConnection,
    "store-overload" overload_replicas Replicas EveryConnection,
    "socketio-26-fast-reconnect" reconnect_fast Node EveryConnect,
    "socketio-27-node-crash" crash_node Nodes Promises,
    "socketio-39-replayed-position" cut_replay Node EveryConnect,
    "socketio-48-idle-then-reconnect" idle_then_reconnect Node EveryConnect,
    "socketio-5282-old-position" keep_old_position Node Promises,
    "centrifugo-1189-failover" fail_over Failover EveryConnection,
    "centrifugo-1120-insufficient-state" lie_in_redis Redis EveryConnection,
    "last-message-answered-late" answer_late Replicas EveryConnection,
    "last-message-of-killed-node" kill_before_list_row Replicas Promises,
}

/// Cases whose outcome depends on how busy the machine is.
pub(crate) const NOT_SHORT: [&str; 2] = ["store-all-slow", "store-overload"];

async fn kill_node(stage: &mut Stage) -> Result<(), FaultError> {
    stage.cluster.nodes[VICTIM].kill().await?;
    stage.cluster.start_node(VICTIM).await
}

async fn restart_nodes(stage: &mut Stage) -> Result<(), FaultError> {
    for node in 0..stage.cluster.nodes.len() {
        stage.cluster.roll_node(node).await?;
    }
    Ok(())
}

/// Freezes during an append, as with traffic one is always in flight. The node resumes when its
/// members are on other nodes and have repeated the sends that it was about to store.
async fn freeze_node(stage: &mut Stage) -> Result<(), FaultError> {
    stage.cluster.nodes[VICTIM].signal(Signal::Stop).await?;
    sleep(stage.pace.node_freeze).await;
    stage.cluster.nodes[VICTIM].signal(Signal::Continue).await?;
    stage.crowd.until_connected().await
}

/// Replaces one node after the other by the other build; messages flow while both run.
async fn replace_nodes(stage: &mut Stage) -> Result<(), FaultError> {
    let next = stage.next_binary.clone();
    let next = next.ok_or(FaultError::Unfit("the case needs a second --binary"))?;
    for node in 0..stage.cluster.nodes.len() {
        stage.cluster.nodes[node].binary.clone_from(&next);
        stage.cluster.roll_node(node).await?;
        sleep(stage.pace.around).await;
    }
    Ok(())
}

/// Its neighbours write as fast as they can; when the subscriber reads again it must miss nothing.
async fn freeze_subscriber(stage: &mut Stage) -> Result<(), FaultError> {
    const READER: u32 = 1;
    let crowd = &stage.crowd;
    crowd.order(Order::Freeze, |member| member == READER).await;
    let neighbours = crowd.board.with(|s| s.neighbours_of(READER));
    crowd
        .burst(stage.pace.burst, |member| neighbours.contains(&member))
        .await?;
    crowd.order(Order::Thaw, |member| member == READER).await;
    Ok(())
}

async fn kill_redis(stage: &mut Stage) -> Result<(), FaultError> {
    let outage = stage.pace.outage / 2;
    let redis = stage.cluster.redis()?;
    redis.kill().await?;
    sleep(outage).await;
    redis.restart().await
}

async fn freeze_redis(stage: &mut Stage) -> Result<(), FaultError> {
    let outage = stage.pace.outage;
    let redis = stage.cluster.redis()?;
    redis.signal(Signal::Stop).await?;
    sleep(outage).await;
    redis.signal(Signal::Continue).await
}

async fn flush_redis(stage: &mut Stage) -> Result<(), FaultError> {
    stage.cluster.redis()?.say(&["FLUSHALL"]).await.map(drop)
}

/// The dump agrees with an earlier state of the nodes: a check against Redis alone would find no
/// fault.
async fn age_redis(stage: &mut Stage) -> Result<(), FaultError> {
    let around = stage.pace.around;
    let redis = stage.cluster.redis()?;
    redis.say(&["SAVE"]).await?;
    sleep(around * 2).await;
    redis.kill().await?;
    redis.restart().await
}

async fn cut_pubsub(stage: &mut Stage) -> Result<(), FaultError> {
    let redis = stage.cluster.redis()?;
    redis
        .say(&["CLIENT", "KILL", "TYPE", "pubsub"])
        .await
        .map(drop)
}

async fn freeze_replica(stage: &mut Stage) -> Result<(), FaultError> {
    let replicas = stage.cluster.replicas()?;
    replicas.hurt(VICTIM, Deed::Freeze).await?;
    sleep(stage.pace.outage).await;
    replicas.hurt(VICTIM, Deed::Thaw).await
}

async fn kill_replica(stage: &mut Stage) -> Result<(), FaultError> {
    let replicas = stage.cluster.replicas()?;
    replicas.hurt(VICTIM, Deed::Kill).await?;
    replicas.hurt(VICTIM, Deed::Start).await
}

async fn freeze_replicas(stage: &mut Stage) -> Result<(), FaultError> {
    let replicas = stage.cluster.replicas()?;
    replicas.hurt_all(Deed::Freeze).await?;
    sleep(stage.pace.outage).await;
    replicas.hurt_all(Deed::Thaw).await
}

async fn kill_replicas(stage: &mut Stage) -> Result<(), FaultError> {
    let replicas = stage.cluster.replicas()?;
    replicas.hurt_all(Deed::Kill).await?;
    replicas.hurt_all(Deed::Start).await
}

/// Streams-adapter #26: a client that reconnected before the session was written did not recover.
/// Here each connection is cut as soon as it is open, three times in a row, for all members.
async fn reconnect_fast(stage: &mut Stage) -> Result<(), FaultError> {
    for _ in 0..3 {
        for _ in 0..3 {
            stage.crowd.order(Order::Cut, |_| true).await;
        }
        stage.crowd.until_connected().await?;
    }
    Ok(())
}

/// Streams-adapter #27: the session was only written at a clean end. The node stays away.
async fn crash_node(stage: &mut Stage) -> Result<(), FaultError> {
    stage.cluster.nodes[VICTIM].kill().await?;
    stage.crowd.until_connected().await
}

/// Streams-adapter #39: replayed messages did not advance the position, and the next reconnect
/// brought them again. Here the connection is cut in the middle of a replay, and after it.
async fn cut_replay(stage: &mut Stage) -> Result<(), FaultError> {
    let crowd = &stage.crowd;
    let chosen = |member: u32| member.is_multiple_of(3);
    crowd.board.with(|s| s.traffic = false);
    for cut_after in [1, 2, 5] {
        crowd.until_level().await?;
        crowd.leave(chosen).await?;
        crowd.burst(5, |member| !chosen(member)).await?;
        crowd.order(Order::CutAfter(cut_after), chosen).await;
        crowd.order(Order::Return, chosen).await;
        crowd.until_level().await?;
        crowd.order(Order::Cut, chosen).await;
        crowd.until_connected().await?;
    }
    crowd.board.with(|s| s.traffic = true);
    Ok(())
}

/// Streams-adapter #48: recovery failed after 10 s of idleness, which is also how long our hub
/// lingers on a topic without local subscribers.
async fn idle_then_reconnect(stage: &mut Stage) -> Result<(), FaultError> {
    const IDLE: Duration = Duration::from_secs(12);
    let crowd = &stage.crowd;
    let chosen = |member: u32| member.is_multiple_of(2);
    crowd.board.with(|s| s.traffic = false);
    crowd.until_level().await?;
    sleep(IDLE).await;
    crowd.leave(chosen).await?;
    crowd.burst(3, |member| !chosen(member)).await?;
    crowd.order(Order::Return, chosen).await;
    crowd.until_level().await?;
    crowd.board.with(|s| s.traffic = true);
    Ok(())
}

/// socket.io #5282: a position fell out of the log of everything, although its own room had nothing
/// new. Here one room is quiet while all others are busy and its node is replaced.
async fn keep_old_position(stage: &mut Stage) -> Result<(), FaultError> {
    let crowd = &stage.crowd;
    let first = |s: &State| s.members_of.keys().next().copied();
    let Some(room) = crowd.board.with(|s| first(s)) else {
        return Err(FaultError::Unfit("the case needs a room"));
    };
    let inside: Vec<u32> = crowd.board.with(|s| s.members_of[&room].clone());
    crowd.board.with(|s| s.quiet.insert(room));
    // Bursts go to a member's first room, which for these is the quiet one.
    crowd
        .burst(stage.pace.burst / 4, |member| !inside.contains(&member))
        .await?;
    stage.cluster.nodes[VICTIM].kill().await?;
    stage.cluster.start_node(VICTIM).await?;
    let crowd = &stage.crowd;
    crowd
        .order(Order::Cut, |member| inside.contains(&member))
        .await;
    crowd.until_connected().await?;
    crowd.board.with(|s| s.quiet.remove(&room));
    Ok(())
}

/// centrifugo #1189: after a failover no node subscribed again, publishing still succeeded, and
/// health was green. The old primary keeps running, so no connection breaks.
async fn fail_over(stage: &mut Stage) -> Result<(), FaultError> {
    match &mut stage.cluster.bus {
        Bus::Failover(failover) => failover.demote().await,
        Bus::Local | Bus::Redis(_) => Err(FaultError::Unfit("the case needs a failover")),
    }
}

/// centrifugo #1120: clients were disconnected for insufficient state, reconnected and were
/// disconnected again. Here Redis contradicts the store repeatedly: wrong heads, none at all, and
/// lost connections. No client may be disconnected for it.
async fn lie_in_redis(stage: &mut Stage) -> Result<(), FaultError> {
    const LIE: &str = "local k = redis.call('keys', '*head*') \
        for i = 2, #k do redis.call('copy', k[1], k[i], 'replace') end return #k";
    let around = stage.pace.around;
    let redis = stage.cluster.redis()?;
    for _ in 0..3 {
        redis.say(&["EVAL", LIE, "0"]).await?;
        sleep(around).await;
        redis.say(&["CLIENT", "KILL", "TYPE", "pubsub"]).await?;
        sleep(around).await;
        redis.say(&["FLUSHALL"]).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_cases_have_one_name() {
        let names: BTreeSet<&str> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
        assert!(NOT_SHORT.iter().all(|name| names.contains(name)));
    }
}
