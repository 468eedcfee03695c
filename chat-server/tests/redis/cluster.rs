//! The bus on a cluster whose nodes fail and whose slots move.

use chat_server::bus::BusState;
use chat_server::bus::redis::RedisTuning;
use chat_server::log::Topic;
use tokio::process::Command;
use tokio::time::timeout;

use crate::make::fresh_topic;
use crate::node::{Node, PATIENT, PREFIX, QUICK};
use crate::server::{PATIENCE, Server, free_port};

/// Three primaries.
struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..3 {
            let bus = free_port().to_string();
            let args = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            servers.push(Server::start_with(&args).await);
        }
        let addresses = servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port));
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]).args(addresses);
        create.args(["--cluster-replicas", "0", "--cluster-yes"]);
        let created = timeout(PATIENCE, create.kill_on_drop(true).output()).await;
        assert!(created.expect("an end").unwrap().status.success());
        let cluster = Self { servers };
        for server in &cluster.servers {
            cluster.until_told(server, "cluster_state:ok").await;
        }
        cluster
    }

    /// Until a node's idea of the cluster says so: nodes tell each other, in their own time.
    async fn until_told(&self, server: &Server, line: &str) {
        let told = async { while !server.command(&["cluster", "info"]).await.contains(line) {} };
        timeout(PATIENCE, told).await.expect("nodes that agree");
    }

    fn url(&self) -> String {
        let ports = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port));
        format!("redis-cluster://{}", ports.collect::<Vec<_>>().join(","))
    }

    /// The topic's slot and the place of its owner.
    async fn owner(&self, topic: Topic) -> (String, usize) {
        let channel = format!("{PREFIX}:{{{topic}}}");
        let slot = self.servers[0]
            .command(&["cluster", "keyslot", &channel])
            .await;
        let number: u32 = slot.parse().unwrap();
        let nodes = self.servers[0].command(&["cluster", "nodes"]).await;
        let owns = |range: &str| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().is_ok_and(|first: u32| first <= number)
                && last.parse().is_ok_and(|last: u32| number <= last)
        };
        let line = nodes.lines().find(|line| line.split(' ').skip(8).any(owns));
        let line = line.unwrap_or_else(|| panic!("nobody has {slot}: {nodes}"));
        let is_of = |server: &Server| line.contains(&format!("127.0.0.1:{}@", server.port));
        (slot, self.servers.iter().position(is_of).unwrap())
    }

    /// Moves a slot as an operator's tool does, but for the keys in it.
    async fn give(&self, slot: &str, from: usize, to: usize) {
        let id = self.servers[to].command(&["cluster", "myid"]).await;
        let giver = self.servers[from].command(&["cluster", "myid"]).await;
        let order = ["cluster", "setslot", slot, "importing", &giver];
        assert_eq!(self.servers[to].command(&order).await, "OK");
        let order = ["cluster", "setslot", slot, "migrating", &id];
        assert_eq!(self.servers[from].command(&order).await, "OK");
        self.servers[from].command(&["flushall"]).await;
        let third = 3 - from - to;
        for place in [to, from, third] {
            let order = ["cluster", "setslot", slot, "node", &id];
            assert_eq!(self.servers[place].command(&order).await, "OK");
        }
    }
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
    let (slot, from) = cluster.owner(topic).await;
    let to = (from + 1) % 3;
    cluster.give(&slot, from, to).await;
    there.until_lost().await;
    there.until_heard(&here, topic, 1).await;
    // There and back: the slots are as before, and yet nobody is subscribed any more.
    cluster.give(&slot, to, from).await;
    cluster.give(&slot, from, to).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_primary_is_heard_again() {
    let mut cluster = Cluster::start().await;
    let here = Node::join(&cluster.url(), QUICK).await;
    let mut there = Node::join(&cluster.url(), QUICK).await;
    let topic = fresh_topic();
    there.follow(topic).await;
    let (_, owner) = cluster.owner(topic).await;
    cluster.servers[owner].kill().await;
    there.until(BusState::Away).await;
    cluster.servers[owner].resume().await;
    there.until_lost().await;
    there.until_heard(&here, topic, 1).await;
}

/// Each primary is asked, not the one that happens to be near.
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
