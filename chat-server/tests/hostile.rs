//! Ten thousand clients that mean harm, or are broken: the server survives each of them.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

#[path = "hostile/mutate.rs"]
mod mutate;
#[path = "hostile/streams.rs"]
mod streams;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chat_server::log::Topic;
use chat_server::store::ReadConsistency;
use futures_util::StreamExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use stomp::Command;
use streams::{Site, stream};
use support::client::{Client, json};
use support::{PATIENCE, TestNode, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Every stream follows from it and the stream's number.
const SEED: u64 = 0xda9a_2da5;

/// Clients in all.
const STREAMS: u64 = 10_000;

/// Clients at a time.
const AT_ONCE: usize = 256;

/// Clients after which the server has what it keeps anyway: threads, caches, buffers of the store.
const WARM_UP: u64 = 1_000;

/// What all later clients together may leave behind, messages in the store's memory included:
/// 16 MiB is 1.8 KiB each.
const GROWTH_MAX_KIB: u64 = 16 << 10;

/// Who stays silent is soon given up, so that clients may wait for that; and all of them may be of one
/// member.
const SETTINGS: [&str; 8] = [
    "--sync",
    "50ms",
    "--login-timeout",
    "1s",
    "--ping-interval",
    "1s",
    "--member-connections-max",
    "256",
];

/// Panics of this process, in any thread, caught or not.
static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_clients_leave_nothing_behind() {
    println!("seed {SEED:#x}");
    let shown = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        shown(info);
    }));
    let node = TestNode::start(&SETTINGS).await;
    for room in 1..=4 {
        node.put_room(room, &[1, 2, 3, 4, 5, 6, 7], room == 4).await;
    }
    let site = Arc::new(Site {
        address: node.address,
        tokens: (1..=8).map(|member| node.token(member)).collect(),
    });

    attack(&site, 0..WARM_UP).await;
    quiet(&node).await;
    let before = resident_kib();
    attack(&site, WARM_UP..STREAMS).await;
    quiet(&node).await;
    let growth = resident_kib().saturating_sub(before);
    println!("{before} KiB resident, then {growth} KiB more");

    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB left behind");
    check_depth(&node).await;
    check_chat(&node).await;
}

/// All these clients come and go.
async fn attack(site: &Arc<Site>, numbers: std::ops::Range<u64>) {
    let clients = futures_util::stream::iter(numbers).map(|number| client(site, number));
    clients
        .buffer_unordered(AT_ONCE)
        .for_each(async |()| {})
        .await;
}

/// One client says what it has to say, and reads until the server has closed.
async fn client(site: &Site, number: u64) {
    let mut rng = StdRng::seed_from_u64(SEED.wrapping_add(number));
    let stream = stream(&mut rng, site);
    let mut tcp = TcpStream::connect(site.address).await.unwrap();
    let talk = async {
        if !stream.greeting.is_empty() {
            greet(&mut tcp, &stream.greeting).await;
        }
        let (mut read, mut write) = tcp.into_split();
        let saying = async {
            // The server may be rid of it before it has said all.
            if write.write_all(&stream.rest).await.is_ok() && !stream.waits {
                drop(write.shutdown().await);
            }
        };
        let hearing = async {
            let mut heard = vec![0; 4_096];
            while read.read(&mut heard).await.is_ok_and(|count| count > 0) {}
        };
        tokio::join!(saying, hearing);
    };
    let over = timeout(PATIENCE, talk).await;
    assert!(over.is_ok(), "client {number} of seed {SEED:#x} hangs");
}

/// Says a greeting and reads the answer to it.
async fn greet(tcp: &mut TcpStream, greeting: &[u8]) {
    tcp.write_all(greeting).await.unwrap();
    let mut heard = Vec::new();
    while !heard.windows(10).any(|text| text == b"user-name:") {
        assert!(tcp.read_buf(&mut heard).await.unwrap() > 0, "a good login");
    }
}

/// All connections are gone.
async fn quiet(node: &TestNode) {
    let connections = &node.node.services.connections;
    eventually("no connection is left", || connections.count() == 0).await;
}

/// The clients were no strangers: many came as far as to log in, to be refused, to speak.
async fn check_depth(node: &TestNode) {
    let services = &node.node.services;
    let logins = services.metrics.logins.get();
    let errors = services.metrics.stomp_errors.get();
    let mut messages = 0;
    for room in 1..=4_i64 {
        let topic = Topic::Room(room.try_into().unwrap());
        let head = services
            .store
            .head(topic, ReadConsistency::Serial)
            .await
            .unwrap();
        messages += u64::from(head.get());
    }
    let counts = [logins, errors, messages];
    for count in counts {
        assert!(count > STREAMS / 10, "{counts:?}");
    }
}

/// Two members chat as if nothing had been.
async fn check_chat(node: &TestNode) {
    let mut alice = Client::login(node.address, &node.token(1)).await;
    let mut bob = Client::login(node.address, &node.token(2)).await;
    bob.subscribe("s", "/sub/1", &[]).await;
    alice.say(1, "still there?", "r").await;
    alice
        .until(|frame| frame.header("receipt-id") == Some("r"))
        .await;
    let message = bob.until(|frame| frame.command() == Command::Message).await;
    assert_eq!(json(&message)["message"], "still there?");
}

/// The memory that this process has, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
