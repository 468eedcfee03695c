//! Members that write and read while the server is stopped and restarted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use stomp::{Command, Frame, FrameWriter, Version};
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::program::{End, Running};
use crate::support::client::{Client, json};
use crate::support::{PATIENCE, TestNode};

const ROOMS: [i64; 4] = [1, 2, 3, 4];
const MEMBERS: [i64; 3] = [1, 2, 3];
/// Receipts of a round, after which the program is ended.
pub(crate) const RECEIPTS: usize = 240;
/// Sends of one writer under way.
const WINDOW: usize = 8;

/// Rooms on a folder, all their members writing in each, and a reader of each.
pub(crate) struct Traffic {
    pub(crate) folder: Arc<TempDir>,
    pub(crate) writers: Vec<Writer>,
    pub(crate) readers: Vec<Reader>,
}

/// One member's sends to one room, over all rounds.
pub(crate) struct Writer {
    name: String,
    room: i64,
    token: String,
    made: u64,
    /// Sent, and no receipt yet.
    open: VecDeque<String>,
    pub(crate) settled: Vec<String>,
    /// How the server closed the connection, if it did.
    pub(crate) close_code: Option<u16>,
}

/// What one member saw of one room, over all rounds.
pub(crate) struct Reader {
    pub(crate) room: i64,
    pub(crate) token: String,
    /// Texts, which are client message ids, too. The index is the seq minus one.
    pub(crate) seen: Vec<String>,
}

impl Traffic {
    pub(crate) async fn new() -> Self {
        let node = TestNode::start(&[]).await;
        let (mut writers, mut readers) = (Vec::new(), Vec::new());
        for room in ROOMS {
            node.room(room, &MEMBERS).await;
            for member in MEMBERS {
                writers.push(Writer::new(room, member, node.token(member)));
            }
            readers.push(Reader::new(room, node.token(MEMBERS[0])));
        }
        Self {
            folder: node.stop().await,
            writers,
            readers,
        }
    }

    /// All write and read until the program ends, which is after so many receipts.
    pub(crate) async fn run(&mut self, mut running: Running, end: End) {
        // All are there before the first writes, or the end could come while others still log in.
        let mut following = Vec::new();
        for mut reader in self.readers.drain(..) {
            let client = reader.catch_up(running.address).await;
            following.push((reader, client));
        }
        let mut logged_in = Vec::new();
        for writer in self.writers.drain(..) {
            let client = Client::login(running.address, &writer.token).await;
            logged_in.push((writer, client));
        }
        let (receipts, enough) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (mut writing, mut reading) = (JoinSet::new(), JoinSet::new());
        for (reader, client) in following {
            reading.spawn(reader.follow(client));
        }
        for (writer, client) in logged_in {
            writing.spawn(writer.write(client, Arc::clone(&receipts), Arc::clone(&enough)));
        }
        let counted = timeout(PATIENCE, enough.notified()).await;
        counted.expect("receipts come");
        running.end(end).await;
        self.writers = writing.join_all().await;
        self.readers = reading.join_all().await;
    }

    /// The names and receipts of a room's writers.
    pub(crate) fn writers_of(&self, room: i64) -> impl Iterator<Item = (&str, &[String])> {
        let here = self
            .writers
            .iter()
            .filter(move |writer| writer.room == room);
        here.map(|writer| (&*writer.name, &*writer.settled))
    }
}

impl Writer {
    fn new(room: i64, member: i64, token: String) -> Self {
        Self {
            name: format!("{room}m{member}"),
            room,
            token,
            made: 0,
            open: VecDeque::new(),
            settled: Vec::new(),
            close_code: None,
        }
    }

    fn send(&self, id: &str) -> Bytes {
        FrameWriter::new(Command::Send, Version::V1_2)
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
                self.close_code = client.close_code;
                return self;
            };
            self.on_receipt(&frame);
            if receipts.fetch_add(1, Ordering::Relaxed) + 1 >= RECEIPTS {
                enough.notify_one();
            }
        }
    }

    /// Sends again what had no receipt, and waits for all of them.
    pub(crate) async fn settle(&mut self, address: SocketAddr) {
        let mut client = Client::login(address, &self.token).await;
        assert!(self.send_open(&mut client).await);
        while !self.open.is_empty() {
            self.on_receipt(&client.frame().await);
        }
    }

    /// Sends its newest messages again as if it had no receipt for them, and gets one for each.
    pub(crate) async fn repeat(&mut self, address: SocketAddr) {
        let newest = self.settled.len() - WINDOW..;
        self.open.extend(self.settled.drain(newest));
        self.settle(address).await;
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
        if is_sent_away(frame) {
            return;
        }
        assert_eq!(frame.command(), Command::Receipt, "{frame:?}");
        let id = frame.header("receipt-id").unwrap().to_owned();
        let place = self.open.iter().position(|open| *open == id);
        self.open.remove(place.expect("one receipt for each send"));
        self.settled.push(id);
    }
}

impl Reader {
    pub(crate) fn new(room: i64, token: String) -> Self {
        Self {
            room,
            token,
            seen: Vec::new(),
        }
    }

    /// Subscribes after what it has seen, and reads up to the head.
    pub(crate) async fn catch_up(&mut self, address: SocketAddr) -> Client {
        let mut client = Client::login(address, &self.token).await;
        let last = match self.seen.len() {
            0 => 0,
            seq => message_id(self.room, seq),
        };
        let (destination, last) = (format!("/sub/{}", self.room), last.to_string());
        let begun = client
            .subscribe("all", &destination, &[("resume-after", &last)])
            .await;
        assert_eq!(begun.header("recovered"), Some("true"), "after {last}");
        let head: i64 = begun.header("head").unwrap().parse().unwrap();
        while message_id(self.room, self.seen.len()) < head {
            self.on_message(&client.frame().await);
        }
        client
    }

    /// Reads until the connection ends.
    async fn follow(mut self, mut client: Client) -> Self {
        while let Some(frame) = client.next().await {
            self.on_message(&frame);
        }
        self
    }

    fn on_message(&mut self, frame: &Frame) {
        if is_sent_away(frame) {
            return;
        }
        assert_eq!(frame.command(), Command::Message, "{frame:?}");
        let seq = self.seen.len() + 1;
        assert_eq!(frame.header("seq"), Some(&*seq.to_string()));
        let id = message_id(self.room, seq).to_string();
        assert_eq!(frame.header("message-id"), Some(&*id));
        let text = json(frame)["message"].as_str().unwrap().to_owned();
        assert_eq!(frame.header("client-message-id"), Some(&*text));
        self.seen.push(text);
    }
}

/// The id of the message at this position of a room.
pub(crate) fn message_id(room: i64, seq: usize) -> i64 {
    room << 22 | i64::try_from(seq).unwrap()
}

/// The ERROR before the close of a node that stops.
fn is_sent_away(frame: &Frame) -> bool {
    frame.command() == Command::Error && frame.header("code") == Some("8007")
}
