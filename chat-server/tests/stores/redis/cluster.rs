//! The bus on a cluster whose nodes fail and whose slots move.

use std::time::Duration;

use chat_server::bus::redis::RedisTuning;
use chat_server::bus::{Bus as _, BusState};
use chat_server::log::Topic;
use fred::util::redis_keyslot;
use tokio::time::timeout;

use crate::certificates::Signed;
use crate::contract::make::{fresh_topic, seq};
use crate::redis::line::Line;
use crate::redis::node::{Node, PATIENT, PREFIX, QUICK};
use crate::redis::server::{PATIENCE, Server, free_port};

/// PendingChecks for moved slots only when there is a reason.
const UNWATCHED: RedisTuning = RedisTuning {
    topology_every: Duration::from_secs(600),
    ..PATIENT
};

/// Three primaries.
pub(crate) struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        Self::start_signed(None).await
    }

    /// They speak TLS only, if there is a certificate.
    pub(crate) async fn start_signed(signed: Option<&Signed>) -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            servers.push(Server::start_signed(&args, signed).await);
        }
        let addresses = servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port));
        let mut create = servers[0].client();
        create.args(["--cluster", "create"]).args(addresses);
        create.args(["--cluster-replicas", "0", "--cluster-yes"]);
        let created = timeout(PATIENCE, create.output()).await;
        assert!(created.expect("an end").unwrap().status.success());
        let cluster = Self { servers };
        for server in &cluster.servers {
            cluster
                .until_reported(server, "info", "cluster_state:ok")
                .await;
        }
        cluster
    }

    /// Until a node's idea of the cluster says so: nodes tell each other, in their own time.
    async fn until_reported(&self, server: &Server, about: &str, line: &str) {
        let reported = async { while !server.command(&["cluster", about]).await.contains(line) {} };
        timeout(PATIENCE, reported).await.expect("nodes that agree");
    }

    pub(crate) fn url(&self) -> String {
        let hosts = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        format!("{}-cluster://{hosts}", self.servers[0].family())
    }

    /// Topics in slots of this server.
    pub(crate) async fn topics_of<const N: usize>(&self, place: usize) -> [Topic; N] {
        let nodes = self.servers[0].command(&["cluster", "nodes"]).await;
        let mut topics = Vec::new();
        while topics.len() < N {
            let topic = fresh_topic();
            if self.owner_in(&nodes, topic) == place {
                topics.push(topic);
            }
        }
        topics.try_into().unwrap()
    }

    /// Announces another port of this server to clients.
    async fn announce(&self, place: usize, port: u16) {
        let port = port.to_string();
        let order = ["config", "set", "cluster-announce-port", &port];
        assert_eq!(self.servers[place].command(&order).await, "OK");
        for server in &self.servers {
            self.until_reported(server, "nodes", &format!("127.0.0.1:{port}@"))
                .await;
        }
    }

    /// The index of the server that owns the topic's slot.
    async fn owner(&self, topic: Topic) -> usize {
        let nodes = self.servers[0].command(&["cluster", "nodes"]).await;
        self.owner_in(&nodes, topic)
    }

    fn owner_in(&self, nodes: &str, topic: Topic) -> usize {
        let slot = slot(topic);
        let owns = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().is_ok_and(|first: u16| first <= slot)
                && last.parse().is_ok_and(|last: u16| slot <= last)
        };
        let line = nodes.lines().find(|line| line.split(' ').skip(8).any(owns));
        let line = line.unwrap_or_else(|| panic!("nobody has {slot}: {nodes}"));
        let is_of = |server: &Server| line.contains(&format!("127.0.0.1:{}@", server.port));
        self.servers.iter().position(is_of).unwrap()
    }

    /// Begins to move a slot as an operator's tool does: keys that are not there any more are at the
    /// new owner.
    async fn offer(&self, slot: u16, from: usize, to: usize) {
        let slot = &slot.to_string();
        let id = self.servers[to].command(&["cluster", "myid"]).await;
        let giver = self.servers[from].command(&["cluster", "myid"]).await;
        let order = ["cluster", "setslot", slot, "importing", &giver];
        assert_eq!(self.servers[to].command(&order).await, "OK");
        let order = ["cluster", "setslot", slot, "migrating", &id];
        assert_eq!(self.servers[from].command(&order).await, "OK");
    }

    /// Moves a slot as an operator's tool does, but for the keys in it.
    async fn give(&self, slot: u16, from: usize, to: usize) {
        self.offer(slot, from, to).await;
        self.servers[from].command(&["flushall"]).await;
        let id = self.servers[to].command(&["cluster", "myid"]).await;
        let third = 3 - from - to;
        for place in [to, from, third] {
            let order = ["cluster", "setslot", &slot.to_string(), "node", &id];
            assert_eq!(self.servers[place].command(&order).await, "OK");
        }
    }
}

fn channel(topic: Topic) -> String {
    format!("{PREFIX}:{{{topic}}}")
}

fn slot(topic: Topic) -> u16 {
    redis_keyslot(channel(topic).as_bytes())
}

/// Its old node ends the subscription, and the client library drops the message that says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_that_moved_is_heard_again() {
    let cluster = Cluster::start().await;
    let tuning = RedisTuning {
        topology_every: QUICK.topology_every,
        ..PATIENT
    };
    let here = Node::join(&cluster.url(), tuning).await;
    let mut there = Node::join(&cluster.url(), tuning).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    let (slot, from) = (slot(topic), cluster.owner(topic).await);
    let to = (from + 1) % 3;
    cluster.give(slot, from, to).await;
    there.until_lost().await;
    there.until_heard(&here, topic, 1).await;
    // There and back: the slots are as before, but the move has ended all subscriptions.
    cluster.give(slot, to, from).await;
    cluster.give(slot, from, to).await;
    there.until_heard(&here, topic, 1_000).await;
    // Following and leaving still work, each with the new owner.
    let others: Vec<_> = (0..50).map(|_| fresh_topic()).collect();
    for other in others {
        there.follow(other).await;
        there.until_heard(&here, other, 1).await;
    }
    for node in [&here, &there] {
        assert_eq!(node.metrics.bus_disconnects.get(), 0, "in one session");
    }
}

/// The old node answers with the slot's new owner; the client library follows the redirection only
/// if it is configured to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_is_sent_on_to_where_the_slot_has_moved() {
    let cluster = Cluster::start().await;
    let here = Node::join(&cluster.url(), UNWATCHED).await;
    let mut there = Node::join(&cluster.url(), UNWATCHED).await;
    let [topic] = cluster.topics_of(0).await;
    cluster.give(slot(topic), 0, 1).await;
    there.follow(topic).await;
    there.until_heard(&here, topic, 1).await;
    let disconnects = there.metrics.bus_disconnects.get();
    assert_eq!(disconnects, 0, "in one session");
}

/// A slot's migration may last hours if it is not completed. When the client library redirects a
/// command to the new owner, it takes answers to other commands for the one it waits for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slot_on_its_way_hides_no_head_but_its_own() {
    let cluster = Cluster::start().await;
    let here = Node::join(&cluster.url(), UNWATCHED).await;
    let mut there = Node::join(&cluster.url(), UNWATCHED).await;
    let moving: [_; 10] = cluster.topics_of(0).await;
    let resting: [_; 50] = cluster.topics_of(2).await;
    for topic in moving {
        cluster.offer(slot(topic), 0, 2).await;
    }
    // What is published comes after what was noted.
    for topic in resting {
        here.bus.note_head(topic, seq(1));
    }
    for topic in [moving[0], resting[0]] {
        there.follow(topic).await;
        there.until_heard(&here, topic, 1).await;
    }
    let topics = [&moving[..], &resting].concat();
    let expected = [vec![None; moving.len()], vec![Some(seq(1)); resting.len()]].concat();
    for _ in 0..20 {
        assert_eq!(there.bus.heads(&topics).await.unwrap(), expected);
    }
    for node in [&here, &there] {
        let disconnects = node.metrics.bus_disconnects.get();
        assert_eq!(disconnects, 0, "in one session");
    }
}

/// Redis refuses SUNSUBSCRIBE for a channel whose slot has moved; the client library takes the
/// error for the answer to its next command, and each later answer for that to the command after. A
/// single thread makes sure that SUNSUBSCRIBE and SSUBSCRIBE are sent together.
#[tokio::test]
async fn following_is_confirmed_also_after_leaving_a_slot_that_moved() {
    let cluster = Cluster::start().await;
    let [moved, one, other] = cluster.topics_of(0).await;
    let line = Line::to(cluster.servers[0].port).await;
    cluster.announce(0, line.port).await;
    let there = Node::join(&cluster.url(), UNWATCHED).await;
    there.follow(moved).await;
    cluster.give(slot(moved), 0, 1).await;
    line.let_one_follow();
    there.bus.unsubscribe(moved).await;
    let both = async { tokio::join!(there.bus.subscribe(one), there.bus.subscribe(other)) };
    // What does not wait for Redis takes a thousandth of this.
    let early = timeout(Duration::from_millis(300), both).await;
    assert!(
        early.is_err(),
        "Redis was not asked for both and yet: {early:?}"
    );
    line.open();
    there.follow(one).await;
    there.follow(other).await;
}

/// Long before the next look that is due.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_command_is_a_reason_to_look_for_moved_slots() {
    let cluster = Cluster::start().await;
    let here = Node::join(&cluster.url(), UNWATCHED).await;
    let mut there = Node::join(&cluster.url(), UNWATCHED).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    let (slot, from) = (slot(topic), cluster.owner(topic).await);
    cluster.give(slot, from, (from + 1) % 3).await;
    there.bus.heads(&[topic]).await.unwrap();
    there.until_lost().await;
    there.until_heard(&here, topic, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_primary_is_heard_again() {
    let mut cluster = Cluster::start().await;
    let here = Node::join(&cluster.url(), QUICK).await;
    let mut there = Node::join(&cluster.url(), QUICK).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    let owner = cluster.owner(topic).await;
    cluster.servers[owner].kill().await;
    there.until(BusState::Away).await;
    cluster.servers[owner].resume().await;
    there.until_lost().await;
    there.until_heard(&here, topic, 1).await;
}

/// Each primary is pinged, not only one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_frozen_primary_is_noticed() {
    let cluster = Cluster::start().await;
    let unwatched = RedisTuning {
        topology_every: PATIENCE * 10,
        ..QUICK
    };
    let here = Node::join(&cluster.url(), unwatched).await;
    let mut there = Node::join(&cluster.url(), unwatched).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    for (round, server) in (1..).zip(&cluster.servers) {
        server.freeze().await;
        there.until(BusState::Away).await;
        server.thaw().await;
        there.until_lost().await;
        there.until_heard(&here, topic, round * 1_000).await;
    }
}
