//! Members that act at random. At the end the messages of each of their subscriptions are compared
//! with the log: every position from the subscription's start on, once, in order.

#![expect(clippy::print_stderr, reason = "a test that fails says by which seed")]

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::client::{Client, json};
use crate::support::{PATIENCE, TestNode, eventually};
use chat_server::log::Topic;
use chat_server::store::ReadConsistency as StoreView;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use shared::ids::{RoomId, Seq};
use stomp::{Command, Frame, FrameWriter, Version};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Rooms and their members: two of two, and a group.
const ROOMS: [(i64, &[i64]); 3] = [(1, &[1, 2]), (2, &[3, 4]), (3, &[1, 2, 3, 4, 5, 6])];
/// Members of those rooms.
const MEMBERS: usize = 6;
/// Connections of each member.
const TABS: usize = 2;
const STEPS: usize = 70;
/// Tabs that read nothing at a time.
const SLOW_MAX: usize = 4;

/// What one subscription saw.
struct Seen {
    room: i64,
    /// The position before the first one it must see.
    after: u64,
    texts: Vec<(u64, String)>,
    acks: bool,
}

/// One tab of one member.
struct Tab {
    address: SocketAddr,
    token: String,
    name: String,
    rooms: Vec<i64>,
    random: StdRng,
    client: Option<Client>,
    open: HashMap<String, Seen>,
    ended: Vec<Seen>,
    made: u64,
    /// Has a receipt: must be in the log once.
    settled: HashSet<(i64, String)>,
    /// The connection was dropped before its receipt came: may be in the log.
    unsure: HashSet<(i64, String)>,
    /// Named sends, to be repeated.
    named: Vec<(i64, String)>,
    progress: Arc<AtomicUsize>,
    slow: Arc<AtomicUsize>,
}

impl Tab {
    async fn run(mut self, all_wrote: Arc<Barrier>, heads: Heads) -> Self {
        for _ in 0..STEPS {
            self.step().await;
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        self.progress.fetch_add(STEPS, Ordering::Relaxed); // nobody waits for who is done
        all_wrote.wait().await;
        let heads = heads.read().await;
        while self
            .open
            .values()
            .any(|seen| seen.last() < heads[&seen.room])
        {
            self.read_one().await;
        }
        let open = std::mem::take(&mut self.open);
        self.ended.extend(open.into_values());
        self
    }

    async fn step(&mut self) {
        if self.client.is_none() {
            self.client = Some(Client::login(self.address, &self.token).await);
        }
        match self.random.random_range(0..100) {
            0..35 => self.say(1).await,
            35..45 => {
                let count = self.random.random_range(2..12);
                self.say(count).await;
            }
            45..70 => self.subscribe().await,
            70..78 => self.unsubscribe().await,
            78..84 => self.be_slow().await,
            84..90 => self.leave().await,
            90..94 => self.drop_connection().await,
            _ => self.repeat().await,
        }
    }

    fn room(&mut self) -> i64 {
        *self.rooms.choose(&mut self.random).unwrap()
    }

    /// Sends that follow each other without waiting; their receipts come in their order.
    async fn say(&mut self, count: usize) {
        let room = self.room();
        let mut texts = Vec::new();
        for _ in 0..count {
            self.made += 1;
            let text = format!("{}-{}", self.name, self.made);
            if self.random.random_bool(0.5) {
                self.named.push((room, text.clone()));
            }
            self.send(room, &text).await;
            texts.push(text);
        }
        for text in texts {
            self.until_receipt(&text).await;
            self.settled.insert((room, text));
        }
    }

    async fn repeat(&mut self) {
        let Some((room, text)) = self.named.choose(&mut self.random).cloned() else {
            return;
        };
        self.send(room, &text).await;
        self.until_receipt(&text).await;
        self.settled.insert((room, text));
    }

    async fn send(&mut self, room: i64, text: &str) {
        let named = self.named.iter().any(|(_, named)| named == text);
        let frame = FrameWriter::new(Command::Send, Version::V1_2)
            .header("destination", &format!("/pub/{room}"))
            .header("receipt", text)
            .optional("client-message-id", named.then_some(text))
            .body(format!(r#"{{"message":"{text}"}}"#).as_bytes());
        self.client.as_mut().unwrap().send(frame).await;
    }

    async fn subscribe(&mut self) {
        let room = self.room();
        self.made += 1;
        let id = format!("s{}", self.made);
        let acks = self.random.random_bool(0.3);
        let kind = self.random.random_range(0..3);
        let count = u64::from(self.random.next_u32() % 20);
        let id_before = (u64::try_from(room).unwrap() << 22) + count;
        let mut frame = FrameWriter::new(Command::Subscribe, Version::V1_2)
            .header("destination", &format!("/sub/{room}"))
            .header("id", &id)
            .header("receipt", &id)
            .optional("ack", acks.then_some("client"));
        frame = match kind {
            0 => frame,
            1 if count == 0 => frame.header("resume-after", "0"),
            1 => frame.header("resume-after", &id_before.to_string()),
            _ => frame.header("history", &count.to_string()),
        };
        self.client.as_mut().unwrap().send(frame.end()).await;
        let receipt = self.until_receipt(&id).await;
        let head: u64 = receipt.header("head").unwrap().parse().unwrap();
        let head = head & ((1 << 22) - 1);
        let recovered = receipt.header("recovered") == Some("true");
        // Recovery failed only where the wanted position is beyond the log's end, which may grow
        // between the answer and this line, but not shrink.
        assert!(
            recovered || kind == 1,
            "nothing was asked for that could be missing"
        );
        let after = match kind {
            1 if recovered => count,
            0 | 1 => head,
            _ => head.saturating_sub(count),
        };
        self.open.insert(
            id,
            Seen {
                room,
                after,
                texts: Vec::new(),
                acks,
            },
        );
    }

    async fn unsubscribe(&mut self) {
        let Some(id) = self.open.keys().next().cloned() else {
            return;
        };
        // What is acknowledged after its subscription has ended is not known any more.
        self.open.get_mut(&id).unwrap().acks = false;
        let frame = FrameWriter::new(Command::Unsubscribe, Version::V1_2)
            .header("id", &id)
            .header("receipt", "u")
            .end();
        self.client.as_mut().unwrap().send(frame).await;
        self.until_receipt("u").await;
        self.ended.extend(self.open.remove(&id));
    }

    /// Reads nothing while the others go on.
    async fn be_slow(&mut self) {
        // If all waited for the others, none would make progress.
        if self.slow.fetch_add(1, Ordering::Relaxed) < SLOW_MAX {
            let all_but_the_slow = (TABS * MEMBERS - SLOW_MAX) * 2 * STEPS;
            let until = (self.progress.load(Ordering::Relaxed) + 40).min(all_but_the_slow);
            let progress = Arc::clone(&self.progress);
            eventually("the others go on", || {
                progress.load(Ordering::Relaxed) >= until
            })
            .await;
        }
        self.slow.fetch_sub(1, Ordering::Relaxed);
    }

    async fn leave(&mut self) {
        let frame = FrameWriter::new(Command::Disconnect, Version::V1_2).header("receipt", "bye");
        self.client.as_mut().unwrap().send(frame.end()).await;
        self.until_receipt("bye").await;
        self.end_all();
    }

    /// Goes away without a word, with a send under way.
    async fn drop_connection(&mut self) {
        let room = self.room();
        self.made += 1;
        let text = format!("{}-{}", self.name, self.made);
        self.named.push((room, text.clone()));
        self.send(room, &text).await;
        self.unsure.insert((room, text));
        self.end_all();
    }

    fn end_all(&mut self) {
        self.client = None;
        self.ended.extend(self.open.drain().map(|(_, seen)| seen));
    }

    async fn until_receipt(&mut self, id: &str) -> Frame {
        loop {
            let frame = self.read_one().await;
            if frame.command() == Command::Receipt {
                assert_eq!(frame.header("receipt-id"), Some(id));
                return frame;
            }
        }
    }

    async fn read_one(&mut self) -> Frame {
        let client = self.client.as_mut().unwrap();
        let frame = client.frame().await;
        assert_ne!(
            frame.command(),
            Command::Error,
            "{:?}",
            frame.header("message")
        );
        if frame.command() == Command::Message {
            let id = frame.header("subscription").unwrap();
            let seen = self
                .open
                .get_mut(id)
                .expect("a message of a subscription that is open");
            let seq = frame.header("seq").unwrap().parse().unwrap();
            let text = json(&frame)["message"].as_str().unwrap().to_owned();
            seen.texts.push((seq, text));
            if seen.acks && self.random.random_bool(0.2) {
                let ack = FrameWriter::new(Command::Ack, Version::V1_2)
                    .header("id", frame.header("ack").unwrap())
                    .end();
                client.send(ack).await;
            }
        }
        frame
    }
}

impl Seen {
    fn last(&self) -> u64 {
        self.texts.last().map_or(self.after, |(seq, _)| *seq)
    }

    /// Every position after the start, once, in order, with the log's text.
    fn check(&self, log: &[String]) {
        for ((seq, text), expected) in self.texts.iter().zip(self.after + 1..) {
            assert_eq!(
                *seq, expected,
                "in room {} from {} on",
                self.room, self.after
            );
            assert_eq!(*text, log[usize::try_from(expected).unwrap() - 1]);
        }
    }
}

/// Reads the heads of all rooms, once everybody has written.
#[derive(Clone)]
struct Heads(Arc<dyn chat_server::store::MessageStore>);

impl Heads {
    async fn read(&self) -> BTreeMap<i64, u64> {
        let mut heads = BTreeMap::new();
        for (room, _) in ROOMS {
            let topic = Topic::Room(RoomId::try_from(room).unwrap());
            let head = self.0.head(topic, StoreView::Serial).await.unwrap();
            heads.insert(room, u64::from(head.get()));
        }
        heads
    }
}

async fn read_log(node: &TestNode, room: i64) -> Vec<String> {
    let topic = Topic::Room(RoomId::try_from(room).unwrap());
    let store = &node.node.services.store;
    let mut log = Vec::new();
    let head = store.head(topic, StoreView::Serial).await.unwrap();
    while log.len() < head.get() as usize {
        let first = Seq::try_from(log.len() as u64 + 1).unwrap();
        let page = store
            .read(topic, first, head, StoreView::Serial)
            .await
            .unwrap();
        let text = |body: &[u8]| String::from_utf8(body.to_vec()).unwrap();
        log.extend(page.iter().map(|entry| text(&entry.draft.body)));
    }
    log
}

async fn play(seed: u64) {
    eprintln!("seed {seed}");
    let node = TestNode::start(&["--sync", "1s"]).await;
    for (room, members) in ROOMS {
        node.group(room, members).await;
    }
    let members: HashSet<i64> = ROOMS
        .iter()
        .flat_map(|(_, members)| members.iter().copied())
        .collect();
    let all_wrote = Arc::new(Barrier::new(MEMBERS * TABS));
    let progress = Arc::new(AtomicUsize::new(0));
    let slow = Arc::new(AtomicUsize::new(0));
    let heads = Heads(Arc::clone(&node.node.services.store));
    let mut playing = JoinSet::new();
    for member in members {
        for tab in 0..TABS {
            let rooms = ROOMS
                .iter()
                .filter(|(_, members)| members.contains(&member));
            let own = seed ^ (u64::try_from(member).unwrap() << 32) ^ (tab as u64) << 48;
            let tab = Tab {
                address: node.address,
                token: node.token(member),
                name: format!("m{member}t{tab}"),
                rooms: rooms.map(|(room, _)| *room).collect(),
                random: StdRng::seed_from_u64(own),
                client: None,
                open: HashMap::new(),
                ended: Vec::new(),
                made: 0,
                settled: HashSet::new(),
                unsure: HashSet::new(),
                named: Vec::new(),
                progress: Arc::clone(&progress),
                slow: Arc::clone(&slow),
            };
            playing.spawn(tab.run(Arc::clone(&all_wrote), heads.clone()));
        }
    }
    let tabs = timeout(PATIENCE * 2, playing.join_all())
        .await
        .expect("all come to an end");
    check(&node, &tabs).await;
}

/// What a tab sent to a room is there in the order it was sent; not counted what it sent just before
/// it dropped its connection, for that may be taken in later or sent again.
fn check_order(log: &[String], dropped: &HashSet<String>) {
    let mut newest: HashMap<&str, u64> = HashMap::new();
    for text in log.iter().filter(|text| !dropped.contains(*text)) {
        let (tab, number) = text.split_once('-').unwrap();
        let number = number.parse().unwrap();
        let before = newest.insert(tab, number);
        assert!(before < Some(number), "{text} after {before:?}");
    }
}

async fn check(node: &TestNode, tabs: &[Tab]) {
    let mut seen = 0;
    for (room, _) in ROOMS {
        let log = read_log(node, room).await;
        let once: HashSet<&String> = log.iter().collect();
        assert_eq!(once.len(), log.len(), "nothing is there twice");
        let of_room = |sends: &HashSet<(i64, String)>| -> HashSet<String> {
            sends
                .iter()
                .filter(|(of, _)| *of == room)
                .map(|(_, text)| text.clone())
                .collect()
        };
        let settled: HashSet<String> = tabs.iter().flat_map(|tab| of_room(&tab.settled)).collect();
        let unsure: HashSet<String> = tabs.iter().flat_map(|tab| of_room(&tab.unsure)).collect();
        assert!(
            settled.iter().all(|text| once.contains(text)),
            "receipts are in the log"
        );
        assert!(
            log.iter()
                .all(|text| settled.contains(text) || unsure.contains(text))
        );
        check_order(&log, &unsure);
        for view in tabs
            .iter()
            .flat_map(|tab| &tab.ended)
            .filter(|view| view.room == room)
        {
            view.check(&log);
            seen += view.texts.len();
        }
    }
    assert!(
        seen > 1_000,
        "only {seen} messages were seen: the play is too thin"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscription_sees_its_log_whole_and_in_order() {
    for seed in [1, 20_260, 77_777_777] {
        play(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_subscription_sees_its_log_whole_at_random() {
    play(rand::random()).await;
}
