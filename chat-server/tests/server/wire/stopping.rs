//! A node that stops closes its connections, each after what is under way.

use std::sync::Arc;
use std::time::Duration;

use chat_server::app::Stores;
use chat_server::bus::local::LocalBus;
use chat_server::presence::local::LocalPresence;
use chat_server::store::SyncMode;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::wake_queue::CloseReason;
use shared::clock::Clock;
use stomp::{CloseCode, Command};

use crate::support::clock::MovableClock;
use crate::support::faulty_store::{EVERY, Fault, FaultyStore};
use crate::support::raw::{CLOSE, PING, PONG, Raw, WsFrame, upgrade_request};
use crate::support::{PATIENCE, TestNode, eventually};
use crate::wire::start::{connect, hello, node, rooms, say, sent_away, session, stored, subscribe};

/// Longer than a connection waits for what is under way.
const LATE: Duration = Duration::from_secs(6);

#[tokio::test(flavor = "multi_thread")]
async fn sends_under_way_get_their_receipts_before_the_close() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let mut idle = session(&node, 2).await;
    subscribe(&mut idle, "s", "/sub/1", "").await;
    let mut not_logged_in = Raw::open(node.address).await;
    raw.text(&(0..50).map(hello).collect::<String>()).await;
    raw.expect(Command::Receipt).await;
    node.drain.begin();
    let mut ending = raw.ending().await;
    assert_eq!(ending.code, Some(1012));
    assert_eq!(ending.frames.pop().unwrap().command(), Command::Error);
    let receipts = ending.frames.iter().map(stomp::Frame::command);
    assert!(receipts.clone().all(|command| command == Command::Receipt));
    // What was not under way is not stored in secret: its sender knows to send it again.
    assert_eq!(receipts.count() + 1, stored(&node).await);
    sent_away(&mut not_logged_in).await;
    let ending = idle.ending().await;
    assert_eq!(ending.error().header("code"), Some("8007"));
    assert_eq!(ending.code, Some(1012));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_on_sending_does_not_keep_its_node_from_stopping() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let frames = (0..20).map(hello).collect::<String>();
    // So much that it lasts for seconds, whatever the store takes.
    for _ in 0..100 {
        raw.text(&frames).await;
    }
    raw.expect(Command::Receipt).await;
    node.drain.begin();
    let ending = raw.ending().await;
    assert_eq!(ending.code, Some(1012));
    let (first, error) = (1, 1);
    assert_eq!(ending.frames.len() + first - error, stored(&node).await);
    assert!(stored(&node).await < 2_000, "it was not waited for");
    node.stop().await;
}

/// A node on a store that can be made to stand still, and its clock.
pub(crate) async fn freezable() -> (TestNode, Arc<FaultyStore>, Arc<MovableClock>) {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let sync = SyncMode::Every(Duration::from_secs(1));
    let store = EmbeddedStore::open(folder.path().join("chat"), sync).unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(store)));
    let clock = Arc::new(MovableClock::new());
    let (stores, bus) = (Stores::of(&store), LocalBus::new());
    let shared = (stores, &bus, &LocalPresence::new());
    let by = Arc::clone(&clock) as Arc<dyn Clock>;
    let node = TestNode::start_on(&folder, shared, by, &["--heart-beat", "100,25000"]).await;
    rooms(&node).await;
    (node, store, clock)
}

/// The next WebSocket frame that is no heart-beat.
async fn beyond_beats(raw: &mut Raw) -> WsFrame {
    loop {
        let frame = raw.ws_frame().await.expect("a frame, not the end");
        if frame.payload != b"\n" {
            return frame;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_does_not_wait_for_a_store_that_stands_still() {
    let (node, store, clock) = freezable().await;
    let mut raws = Vec::new();
    for member in [1, 2, 3] {
        // Its heart-beats are what makes a connection look at the clock.
        let beats = "accept-version:1.2\nheart-beat:0,100\n";
        raws.push(connect(&node, member, beats).await.0);
    }
    say(&mut raws[0], "all that a send has to know is cached").await;
    store.set(&EVERY, Fault::Freeze);
    let ask = |room| format!("SUBSCRIBE\nid:s\ndestination:/sub/{room}\nreceipt:s\n\n\0");
    for (raw, frame) in raws.iter_mut().zip([hello(1), ask(2), ask(3)]) {
        raw.text(&frame).await;
        raw.ws(PING, b"").await;
        assert_eq!(beyond_beats(raw).await.first, PONG, "it is under way");
    }
    let services = &node.node.services;
    let close_blocked = CloseReason {
        code: CloseCode(4403),
        text: "blocked",
    };
    let blocked = 3_i64.try_into().unwrap();
    assert_eq!(services.connections.close_member(blocked, close_blocked), 1);
    services.close_all(CloseReason::RESTART);
    for raw in &mut raws {
        raw.ws(PING, b"").await;
        assert_eq!(beyond_beats(raw).await.first, PONG, "it waits");
    }
    clock.advance(LATE);
    node.drain.begin();
    for (raw, code) in raws.iter_mut().zip([1012, 1012, 4403]) {
        if code == 1012 {
            let error = beyond_beats(raw).await.stomp();
            assert_eq!(error.command(), Command::Error);
        }
        let close = beyond_beats(raw).await;
        assert_eq!((close.first, close.close_code()), (CLOSE, Some(code)));
        raw.ws(CLOSE, &close.payload).await;
    }
    eventually("nobody is left", || services.connections.count() == 0).await;
    store.heal();
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_outlives_a_drain_that_begins_while_it_opens() {
    for _ in 0..20 {
        let node = node(&[]).await;
        let mut opening = Vec::new();
        for _ in 0..20 {
            opening.push(Raw::connect(node.address).await);
        }
        let first = opening.pop().unwrap();
        let rest = opening
            .into_iter()
            .map(|raw| open_and_end(&node, raw, || {}));
        let begin = open_and_end(&node, first, || node.drain.begin());
        let (code, codes) = tokio::join!(begin, futures_util::future::join_all(rest));
        assert_eq!(code, Some(1012));
        let known = codes.iter().flatten().all(|code| *code == 1012);
        assert!(known, "{codes:?}");
        assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    }
}

/// Opens a WebSocket, does something as soon as it is open, and waits for the close; its code, or
/// `None` where there was no WebSocket any more.
async fn open_and_end(node: &TestNode, mut raw: Raw, once_open: impl FnOnce()) -> Option<u16> {
    raw.bytes(upgrade_request(node.address, "").as_bytes())
        .await;
    let answer = raw.answer().await.filter(|answer| answer.status == 101);
    answer?;
    once_open();
    raw.ending().await.code
}
