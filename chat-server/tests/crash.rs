//! The real program, killed or stopped in mid-traffic and started again on the same folder.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

mod support;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stomp::{Command as Stomp, Frame, FrameWriter, Version};
use support::client::{Client, json};
use support::{PATIENCE, TestNode};
use tempfile::TempDir;
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

    /// Sends, what is open first, until the connection ends; all receipts before that are read.
    async fn write(
        mut self,
        mut client: Client,
        receipts: Arc<AtomicUsize>,
        enough: Arc<Notify>,
    ) -> Self {
        let mut open = self.send_open(&mut client).await;
        loop {
            while open && self.open.len() < WINDOW {
                self.made += 1;
                let id = format!("{}-{}", self.name, self.made);
                self.open.push_back(id.clone());
                open = client.send_binary(self.send(&id)).await;
            }
            let Some(frame) = client.next().await else {
                return self;
            };
            self.on_receipt(&frame);
            if receipts.fetch_add(1, Ordering::Relaxed) + 1 >= RECEIPTS {
                enough.notify_one();
            }
        }
    }

    /// Sends again what had no receipt, and waits for all of them.
    async fn finish(&mut self, address: SocketAddr) {
        let mut client = Client::login(address, &self.token).await;
        assert!(self.send_open(&mut client).await);
        while !self.open.is_empty() {
            self.on_receipt(&client.frame().await);
        }
    }

    /// False: the connection has ended.
    async fn send_open(&self, client: &mut Client) -> bool {
        for id in &self.open {
            if !client.send_binary(self.send(id)).await {
                return false;
            }
        }
        true
    }

    fn on_receipt(&mut self, frame: &Frame) {
        assert_eq!(frame.command(), Stomp::Receipt, "{frame:?}");
        let id = frame.header("receipt-id").unwrap().to_owned();
        let place = self.open.iter().position(|open| *open == id);
        self.open.remove(place.expect("one receipt for each send"));
        self.settled.push(id);
    }
}

/// Two rooms on a folder, two writers in each, and a token of one who may read both.
async fn rooms_and_writers() -> (Arc<TempDir>, Vec<Writer>, String) {
    let node = TestNode::start(&[]).await;
    let mut writers = Vec::new();
    for room in ROOMS {
        node.room(room, &[1, 2]).await;
        for member in [1, 2] {
            writers.push(Writer {
                name: format!("{room}m{member}"),
                room,
                token: node.token(member),
                made: 0,
                open: VecDeque::new(),
                settled: Vec::new(),
            });
        }
    }
    let token = node.token(1);
    (node.stop().await, writers, token)
}

/// What ends the program in mid-traffic.
#[derive(Clone, Copy)]
enum End {
    Kill,
    Terminate,
}

/// All write until the program ends, which is after so many receipts.
async fn write_until(
    end: End,
    folder: &Path,
    writers: Vec<Writer>,
    settings: &[&str],
) -> Vec<Writer> {
    let mut running = start(folder, settings).await;
    let (receipts, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    // All are there before the first writes, or the end could come while others still log in.
    let mut logged_in = Vec::new();
    for writer in writers {
        let client = Client::login(running.address, &writer.token).await;
        logged_in.push((writer, client));
    }
    let mut writing = JoinSet::new();
    for (writer, client) in logged_in {
        writing.spawn(writer.write(client, Arc::clone(&receipts), Arc::clone(&enough)));
    }
    timeout(PATIENCE, enough.notified())
        .await
        .expect("receipts come");
    match end {
        End::Kill => running.server.kill().await.unwrap(), // SIGKILL, and waits for its end
        End::Terminate => {
            let pid = running.server.id().unwrap().to_string();
            let told = Command::new("kill").args(["-s", "TERM", &pid]).status();
            assert!(told.await.unwrap().success());
            let ended = timeout(PATIENCE, running.server.wait()).await;
            assert_eq!(ended.expect("it stops").unwrap().code(), Some(0));
        }
    }
    writing.join_all().await
}

async fn check_all_receipts_hold(sync: &str) {
    let (folder, mut writers, token) = rooms_and_writers().await;
    for _ in 0..ROUNDS {
        writers = write_until(End::Kill, folder.path(), writers, &["--sync", sync]).await;
    }
    let running = start(folder.path(), &["--sync", sync]).await;
    for writer in &mut writers {
        assert!(writer.settled.len() > ROUNDS, "{}", writer.name);
        writer.finish(running.address).await;
    }
    check_logs(running.address, &token, &writers).await;
}

/// The rooms hold what had a receipt, once, in its writer's order, and nothing else.
async fn check_logs(address: SocketAddr, token: &str, writers: &[Writer]) {
    for room in ROOMS {
        let log = read_log(address, token, room).await;
        let here = writers.iter().filter(|writer| writer.room == room);
        check_log(&log, &here.collect::<Vec<_>>());
    }
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

fn check_log(log: &[String], writers: &[&Writer]) {
    let mut settled = 0;
    for writer in writers {
        let receipts: BTreeSet<&String> = writer.settled.iter().collect();
        settled += receipts.len();
        let prefix = format!("{}-", writer.name);
        let numbers = log.iter().filter_map(|text| text.strip_prefix(&prefix));
        let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
        let all: Vec<usize> = (1..=receipts.len()).collect();
        assert_eq!(numbers, all, "what is in the log of {}", writer.name);
        for number in all {
            let id = format!("{prefix}{number}");
            assert!(receipts.contains(&id), "{id} is there without a receipt");
        }
    }
    assert_eq!(log.len(), settled, "there is more than was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_each_write_is_synced() {
    check_all_receipts_hold("always").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_writes_are_synced_later() {
    check_all_receipts_hold("50ms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_program_well_and_what_had_no_receipt_is_not_stored() {
    let (folder, writers, token) = rooms_and_writers().await;
    let writers = write_until(End::Terminate, folder.path(), writers, &[]).await;
    let running = start(folder.path(), &[]).await;
    check_logs(running.address, &token, &writers).await;
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
