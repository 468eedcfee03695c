//! The real program, killed in mid-traffic and started again on the same folder.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stomp::{Command as Stomp, FrameWriter, Version};
use support::client::{Client, json};
use support::{PATIENCE, TestNode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

const ROUNDS: usize = 20;
/// Receipts of a round, after which the server is killed.
const RECEIPTS: usize = 120;
/// Sends of one writer under way.
const WINDOW: usize = 8;
const ROOMS: [i64; 2] = [1, 2];

/// The program, listening.
struct Running {
    server: Child,
    address: SocketAddr,
    _log: JoinSet<()>,
}

/// The program on a folder that a test node has set up.
async fn start(folder: &Path, more: &[&str]) -> Running {
    let mut server = Command::new(env!("CARGO_BIN_EXE_chat-server"))
        .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
        .args(["--sends-per-second", "0"])
        .arg("--store")
        .arg(format!("file:{}", folder.join("chat").display()))
        .arg("--jwks")
        .arg(format!("file:{}", folder.join("jwks.json").display()))
        .args(more)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let listening = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it listens");
            let address = line.split("clients at http://").nth(1);
            if let Some(address) = address.and_then(|rest| rest.split(',').next()) {
                return address.parse().unwrap();
            }
        }
    };
    let address = timeout(PATIENCE, listening).await.expect("it starts");
    // The pipe must be emptied, or a chatty server would stop at it; the log is of no interest.
    let mut log = JoinSet::new();
    log.spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
    Running {
        server,
        address,
        _log: log,
    }
}

/// One member's sends to one room, over all rounds.
struct Writer {
    name: String,
    room: i64,
    token: String,
    made: u64,
    /// Sent, and no receipt yet.
    open: VecDeque<String>,
    settled: Vec<String>,
}

impl Writer {
    fn send(&self, id: &str) -> bytes::Bytes {
        FrameWriter::new(Stomp::Send, Version::V1_2)
            .header("destination", &format!("/pub/{}", self.room))
            .header("client-message-id", id)
            .header("receipt", id)
            .body(format!(r#"{{"message":"{id}"}}"#).as_bytes())
    }

    /// Sends, what is open first, until the connection ends.
    async fn write(
        mut self,
        address: SocketAddr,
        receipts: Arc<AtomicUsize>,
        enough: Arc<Notify>,
    ) -> Self {
        let mut client = Client::login(address, &self.token).await;
        for id in self.open.clone() {
            if !client.send_binary(self.send(&id)).await {
                return self;
            }
        }
        loop {
            while self.open.len() < WINDOW {
                self.made += 1;
                let id = format!("{}-{}", self.name, self.made);
                self.open.push_back(id.clone());
                if !client.send_binary(self.send(&id)).await {
                    return self;
                }
            }
            let Some(frame) = client.next().await else {
                return self;
            };
            assert_eq!(frame.command(), Stomp::Receipt, "{frame:?}");
            let id = frame.header("receipt-id").unwrap().to_owned();
            self.open.retain(|open| *open != id);
            self.settled.push(id);
            if receipts.fetch_add(1, Ordering::Relaxed) + 1 >= RECEIPTS {
                enough.notify_one();
            }
        }
    }
}

async fn check_all_receipts_hold(sync: &str) {
    let node = TestNode::start(&[]).await;
    let mut writers = Vec::new();
    for room in ROOMS {
        node.room(room, &[1, 2]).await;
        for member in [1, 2] {
            let (name, token) = (format!("{room}m{member}"), node.token(member));
            let (open, settled) = (VecDeque::new(), Vec::new());
            writers.push(Writer {
                name,
                room,
                token,
                made: 0,
                open,
                settled,
            });
        }
    }
    let token = node.token(1);
    let folder = node.stop().await;

    for _ in 0..ROUNDS {
        let mut running = start(folder.path(), &["--sync", sync]).await;
        let address = running.address;
        let (receipts, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let mut writing = JoinSet::new();
        for writer in writers.drain(..) {
            writing.spawn(writer.write(address, Arc::clone(&receipts), Arc::clone(&enough)));
        }
        timeout(PATIENCE, enough.notified())
            .await
            .expect("receipts come");
        running.server.kill().await.unwrap(); // SIGKILL, and waits for its end
        writers = writing.join_all().await;
    }

    let mut running = start(folder.path(), &["--sync", sync]).await;
    let address = running.address;
    for room in ROOMS {
        let log = read_log(address, &token, room).await;
        check_log(&log, writers.iter().filter(|writer| writer.room == room));
    }
    running.server.kill().await.unwrap();
}

/// Everything in a room: texts by position.
async fn read_log(address: SocketAddr, token: &str, room: i64) -> Vec<String> {
    let mut client = Client::login(address, token).await;
    let destination = format!("/sub/{room}");
    let begun = client
        .subscribe("all", &destination, &[("resume-after", "0")])
        .await;
    let head: u64 = begun.header("head").unwrap().parse().unwrap();
    let mut texts = Vec::new();
    for seq in 1..=(head & ((1 << 22) - 1)) {
        let message = client.frame().await;
        assert_eq!(message.header("seq"), Some(&*seq.to_string()));
        let text = json(&message)["message"].as_str().unwrap().to_owned();
        assert_eq!(message.header("client-message-id"), Some(&*text));
        texts.push(text);
    }
    texts
}

fn check_log<'a>(log: &[String], writers: impl Iterator<Item = &'a Writer>) {
    let mut places: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, text) in log.iter().enumerate() {
        places.entry(text).or_default().push(place);
    }
    for (text, places) in &places {
        assert_eq!(places.len(), 1, "{text} is there twice, at {places:?}");
    }
    for writer in writers {
        assert!(
            writer.settled.len() > ROUNDS,
            "{} hardly wrote",
            writer.name
        );
        for id in &writer.settled {
            assert!(places.contains_key(&**id), "{id} has a receipt and is lost");
        }
        let prefix = format!("{}-", writer.name);
        let numbers = log.iter().filter_map(|text| text.strip_prefix(&prefix));
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{}: {numbers:?}", writer.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_each_write_is_synced() {
    check_all_receipts_hold("always").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_writes_are_synced_later() {
    check_all_receipts_hold("50ms").await;
}

#[tokio::test]
async fn two_programs_do_not_share_a_folder() {
    let node = TestNode::start(&[]).await;
    let folder = node.stop().await;
    let first = start(folder.path(), &[]).await;
    let second = Command::new(env!("CARGO_BIN_EXE_chat-server"))
        .args([
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--store",
        ])
        .arg(format!("file:{}", folder.path().join("chat").display()))
        .output();
    let second = timeout(PATIENCE, second).await.expect("it ends").unwrap();
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(log.contains("is in use"), "{log}");
    drop(first);
}

#[tokio::test]
async fn wrong_settings_are_told_at_once_and_nothing_starts() {
    let wrong = ["--listen", "here", "--store", "tape:", "--colour", "red"];
    let ended = Command::new(env!("CARGO_BIN_EXE_chat-server"))
        .args(wrong)
        .output();
    let ended = timeout(PATIENCE, ended).await.expect("it ends").unwrap();
    assert_eq!(ended.status.code(), Some(64));
    let report = String::from_utf8_lossy(&ended.stderr).into_owned();
    for part in ["--listen", "--store", "--colour"] {
        assert!(report.contains(part), "{part} is missing in: {report}");
    }
}

#[tokio::test]
async fn a_development_token_is_accepted() {
    let node = TestNode::start(&[]).await;
    let key = node.folder.path().join("key.pem");
    let signed = Command::new(env!("CARGO_BIN_EXE_chat-server"))
        .args(["token", "--member", "3", "--dev-key"])
        .arg(key)
        .output();
    let signed = timeout(PATIENCE, signed).await.expect("it ends").unwrap();
    let token = String::from_utf8(signed.stdout).unwrap();
    drop(Client::login(node.address, token.trim()).await);
}
