//! A node that others take over from sends its clients away, each at its time; and so it does with
//! clients that have been here for long.

use std::net::SocketAddr;

use chat_server::health::Phase;
use chat_server::stopping::Stop;
use chat_server::wire::DrainNotice;
use serde_json::Value;
use stomp::Command;

use crate::support::raw::{CLOSE, Raw};
use crate::support::{PATIENCE, TestNode, eventually};
use crate::wire::start::{
    body, check_golden, hello, node, receipt, say, sent_away, session, stored, subscribe,
};

const SYSTEM: &str = "/user/queue/system";

/// Longer than any test, so that what happens has another reason.
const SLOW: [&str; 8] = [
    "--lame-duck",
    "0s",
    "--notice-min",
    "1h",
    "--notice-max",
    "1h",
    "--stop-budget",
    "2h",
];

/// As short as it gets.
const QUICK: [&str; 10] = [
    "--lame-duck",
    "0s",
    "--notice-min",
    "200ms",
    "--notice-max",
    "200ms",
    "--notice-margin",
    "100ms",
    "--closes-max",
    "100ms",
];

/// A page of the admin port: its status and its text.
async fn page(node: &TestNode, method: reqwest::Method, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{path}", node.admin_address);
    let asked = client.request(method, url).timeout(PATIENCE).send();
    let answer = asked.await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn get(node: &TestNode, path: &str) -> (u16, String) {
    page(node, reqwest::Method::GET, path).await
}

/// The node is not ready, and says that its stop has come to here; and it is alive.
async fn check_state(node: &TestNode, phase: Phase) {
    let (status, text) = get(node, "/readyz").await;
    let ready: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, ready["state"].as_str()), (503, Some(phase.name())));
    assert_eq!(get(node, "/livez").await.0, 200);
    let state = format!("chat_drain_state {}\n", phase.number());
    let metrics = get(node, "/metrics").await.1;
    assert!(metrics.contains(&state), "{metrics}");
}

/// The node's stop comes to here.
async fn comes_to(node: &TestNode, phase: Phase) {
    let state = &node.node.services.metrics.drain_state;
    let number = i64::from(phase.number());
    eventually(phase.name(), || state.get() == number).await;
}

/// The next frame is a notice for this reason: when to go and when the end is, in milliseconds.
async fn notice(raw: &mut Raw, reason: &str) -> (u64, u64) {
    let message = raw.expect(Command::Message).await;
    let header = |name| message.header(name);
    assert_eq!(header("destination"), Some(SYSTEM));
    assert_eq!(
        (header("type"), header("reason")),
        (Some("drain"), Some(reason))
    );
    assert!(header("message-id").unwrap().starts_with("drain-"));
    let notice: Value = serde_json::from_str(body(&message)).unwrap();
    assert_eq!(
        (&notice["type"], &notice["reason"]),
        (&"drain".into(), &reason.into())
    );
    let after = notice["reconnectAfterMs"].as_u64().unwrap();
    assert_eq!(header("reconnect-after-ms"), Some(&*after.to_string()));
    (after, notice["deadlineMs"].as_u64().unwrap())
}

/// Leaves as a client does after a migration notice.
async fn leave(raw: &mut Raw) {
    raw.text("DISCONNECT\nreceipt:bye\n\n\0").await;
    receipt(raw, "bye").await;
    assert_eq!(raw.ending().await.code, Some(1000));
}

#[test]
fn the_notice_has_its_shape() {
    let notice = DrainNotice {
        kind: "drain",
        reason: "restart",
        reconnect_after_ms: 1_834,
        deadline_ms: 96_016,
    };
    check_golden("drain.json", &serde_json::to_string(&notice).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lame_duck_goes_on_until_a_second_signal() {
    let node = node(&["--lame-duck", "1h", "--stop-budget", "2h"]).await;
    let mut before = session(&node, 1).await;
    subscribe(&mut before, "system", SYSTEM, "").await;
    for _ in 0..2 {
        let (status, _) = page(&node, reqwest::Method::POST, "/admin/drain").await;
        assert_eq!(status, 202);
        comes_to(&node, Phase::LameDuck).await;
    }
    // The first signal, after an operator's request.
    node.stop.signal();
    check_state(&node, Phase::LameDuck).await;
    let mut after = session(&node, 2).await;
    for raw in [&mut before, &mut after] {
        say(raw, "still here").await;
    }
    node.stop.signal();
    let ending = before.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1012)));
    sent_away(&mut after).await;
    comes_to(&node, Phase::Flush).await;
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    assert!(!node.drain.hard().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_when_to_go_and_nobody_is_taken_in() {
    let node = node(&SLOW).await;
    let (mut notified, mut late) = (session(&node, 1).await, session(&node, 2).await);
    subscribe(&mut notified, "system", SYSTEM, "").await;
    node.stop.begin();
    let (after, deadline) = notice(&mut notified, "restart").await;
    assert!(
        after < 3_600_000 && deadline > 3_600_000 - 1_000,
        "{after} {deadline}"
    );
    check_state(&node, Phase::Notice).await;
    let metrics = get(&node, "/metrics").await.1;
    for line in [
        "chat_drain_remaining_connections 2\n",
        "chat_drain_notices_total{reason=\"restart\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
    let refused = Raw::upgrade(node.address, &[]).await.1;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("connection"), Some("close"));
    // Until then all works as before; a connection that subscribes now gets its notice now.
    say(&mut notified, "still here").await;
    late.text(&format!("SUBSCRIBE\nid:s\ndestination:{SYSTEM}\n\n\0"))
        .await;
    let (later, its_deadline) = notice(&mut late, "restart").await;
    assert!(
        later != after && its_deadline > later,
        "each has its own time"
    );
    leave(&mut notified).await;
    check_state(&node, Phase::Notice).await;
    leave(&mut late).await;
    // Nobody is left to wait for.
    comes_to(&node, Phase::Flush).await;
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_node_stops_at_once() {
    let node = node(&SLOW).await;
    node.stop.begin();
    comes_to(&node, Phase::Flush).await;
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_told_or_stays_is_closed() {
    let node = node(&QUICK).await;
    let mut closed = Vec::new();
    for member in [1, 2].repeat(10) {
        closed.push(session(&node, member).await);
    }
    closed.push(Raw::open(node.address).await);
    let mut stays = session(&node, 1).await;
    subscribe(&mut stays, "system", SYSTEM, "").await;
    node.stop.begin();
    for mut raw in closed {
        sent_away(&mut raw).await;
    }
    notice(&mut stays, "restart").await;
    let ending = stays.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1012)));
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    assert!(!node.drain.hard().is_cancelled());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_an_error_where_the_setting_says_so() {
    let settings = [&QUICK[..], &["--close-with-error=false"]].concat();
    let node = node(&settings).await;
    let mut raw = session(&node, 1).await;
    node.stop.begin();
    let ending = raw.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1012)));
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_connection_outlives_a_stop_that_begins_while_it_opens() {
    for _ in 0..10 {
        let node = node(&QUICK).await;
        let mut opening = tokio::task::JoinSet::new();
        for at in 0..20 {
            let stop = (at == 0).then(|| node.stop.clone());
            opening.spawn(open_and_end(node.address, stop));
        }
        let codes = opening.join_all().await;
        let known = codes
            .iter()
            .flatten()
            .all(|code| [1012, 503, GONE].contains(code));
        assert!(known && codes.iter().all(Option::is_some), "{codes:?}");
        assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    }
}

/// The port was closed before the node took the connection.
const GONE: u16 = 0;

/// Opens a WebSocket, stops the node if `stop` is given, and waits for the end: how it was closed,
/// or why it was not opened.
async fn open_and_end(address: SocketAddr, stop: Option<Stop>) -> Option<u16> {
    let Some((mut raw, answer)) = Raw::try_upgrade(address).await else {
        return Some(GONE);
    };
    if let Some(stop) = stop {
        stop.begin();
    }
    match answer.status {
        101 => raw.ending().await.code,
        status => Some(status),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sends_under_way_get_their_receipts_before_their_client_is_sent_away() {
    let node = node(&QUICK).await;
    let mut raw = session(&node, 1).await;
    raw.text(&(0..50).map(hello).collect::<String>()).await;
    node.stop.begin();
    let mut ending = raw.ending().await;
    assert_eq!(ending.code, Some(1012));
    assert_eq!(ending.frames.pop().unwrap().command(), Command::Error);
    let receipts = ending.frames.iter().map(|frame| frame.header("receipt-id"));
    let all = (0..50).map(|receipt| Some(receipt.to_string()));
    assert!(receipts.map(|id| id.map(str::to_owned)).eq(all));
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_client_is_listened_to_until_it_closes_too() {
    let node = node(&QUICK).await;
    let mut raw = session(&node, 1).await;
    node.stop.begin();
    let close = loop {
        let frame = raw.ws_frame().await.unwrap();
        if frame.first == CLOSE {
            break frame;
        }
    };
    assert_eq!(close.close_code(), Some(1012));
    // It was writing when the close came. Were this not read, its socket would be reset.
    for receipt in 0..2_000 {
        raw.text(&hello(receipt)).await;
    }
    assert_eq!(node.node.services.connections.count(), 1);
    raw.ws(CLOSE, &close.payload).await;
    assert_eq!(raw.rest().await.as_deref(), Some(&b""[..]), "no receipt");
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
    assert_eq!(stored(&node).await, 0, "its client sends it again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_is_asked_to_come_again_and_closed_if_it_does_not() {
    let node = node(&["--rebalance-age", "1s", "--rebalance-margin", "2s"]).await;
    let (mut notified, mut other) = (session(&node, 1).await, session(&node, 2).await);
    subscribe(&mut notified, "system", SYSTEM, "").await;
    let (after, deadline) = notice(&mut notified, "max-age").await;
    assert!(after == 0 && deadline > 0, "now, but there is time to move");
    say(&mut notified, "not gone yet").await;
    let ending = notified.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(1001)));
    // A connection without a subscription for the notice stays until it subscribes.
    say(&mut other, "still here").await;
    other
        .text(&format!("SUBSCRIBE\nid:s\ndestination:{SYSTEM}\n\n\0"))
        .await;
    let (after, _) = notice(&mut other, "max-age").await;
    assert_eq!(after, 0);
    assert_eq!(get(&node, "/readyz").await.0, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_asked_to_come_again_is_told_when_its_node_stops_too() {
    let node = node(&["--rebalance-age", "1s", "--lame-duck", "0s"]).await;
    let mut raw = session(&node, 1).await;
    subscribe(&mut raw, "system", SYSTEM, "").await;
    notice(&mut raw, "max-age").await;
    node.stop.begin();
    notice(&mut raw, "restart").await;
    leave(&mut raw).await;
    assert_eq!(node.drain.wait(PATIENCE).await, Ok(()));
}
