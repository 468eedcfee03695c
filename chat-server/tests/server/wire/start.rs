//! What most of these tests begin with, and how they end.

use std::path::Path;

use chat_server::log::Topic;
use chat_server::store::ReadConsistency;
use shared::ids::RoomId;
use stomp::{Command, Frame};

use crate::support::TestNode;
use crate::support::raw::{Ending, Raw};

/// A node where members 1 and 2 share room 1, and room 2 that takes any body; room 3 is of members
/// 3 and 4.
pub(crate) async fn node(settings: &[&str]) -> TestNode {
    let node = TestNode::start(settings).await;
    rooms(&node).await;
    node
}

/// The rooms of [`node`].
pub(crate) async fn rooms(node: &TestNode) {
    node.room(1, &[1, 2]).await;
    node.opaque_room(2, &[1, 2]).await;
    node.room(3, &[3, 4]).await;
}

/// A session of a member, with these headers of CONNECT besides; and CONNECTED.
pub(crate) async fn connect(node: &TestNode, member: i64, more: &str) -> (Raw, Frame) {
    let mut raw = Raw::open(node.address).await;
    let token = node.token(member);
    raw.text(&format!(
        "CONNECT\nAuthorization:Bearer {token}\n{more}\n\0"
    ))
    .await;
    let connected = raw.expect(Command::Connected).await;
    node.presence_shown().await;
    (raw, connected)
}

/// A 1.2 session of a member.
pub(crate) async fn session(node: &TestNode, member: i64) -> Raw {
    connect(node, member, "accept-version:1.2\n").await.0
}

/// Subscribes, with these headers besides; the receipt.
pub(crate) async fn subscribe(raw: &mut Raw, id: &str, to: &str, more: &str) -> Frame {
    raw.text(&format!(
        "SUBSCRIBE\nid:{id}\ndestination:{to}\nreceipt:sub {id}\n{more}\n\0"
    ))
    .await;
    let receipt = raw.expect(Command::Receipt).await;
    assert_eq!(receipt.header("receipt-id"), Some(&*format!("sub {id}")));
    receipt
}

/// Sends a chat message to room 1 and waits for its receipt.
pub(crate) async fn say(raw: &mut Raw, text: &str) {
    raw.text(&format!(
        "SEND\ndestination:/pub/1\nreceipt:say\n\n{{\"message\":\"{text}\"}}\0"
    ))
    .await;
    receipt(raw, "say").await;
}

/// A chat message to room 1 with this receipt.
pub(crate) fn hello(receipt: usize) -> String {
    format!("SEND\ndestination:/pub/1\nreceipt:{receipt}\n\n{{\"message\":\"x\"}}\0")
}

/// How many messages room 1 has.
pub(crate) async fn stored(node: &TestNode) -> usize {
    let topic = Topic::Room(RoomId::try_from(1_i64).unwrap());
    let head = node
        .node
        .services
        .store
        .head(topic, ReadConsistency::Serial)
        .await;
    head.unwrap().get() as usize
}

/// The next frame is this receipt.
pub(crate) async fn receipt(raw: &mut Raw, id: &str) {
    let frame = raw.expect(Command::Receipt).await;
    assert_eq!(frame.header("receipt-id"), Some(id));
}

/// A frame's body as text.
pub(crate) fn body(frame: &Frame) -> &str {
    std::str::from_utf8(frame.body()).unwrap()
}

/// The session ends with one ERROR, which tells this, and then with this close code.
pub(crate) async fn refused(raw: &mut Raw, code: &str, says: &str, close: u16) -> Frame {
    let Ending { frames, code: end } = raw.ending().await;
    let [error] = &frames[..] else {
        panic!("one frame, an ERROR, not {frames:?}, closed with {end:?}");
    };
    assert_eq!(error.command(), Command::Error, "{error:?}");
    assert_eq!(error.header("code"), Some(code), "{error:?}");
    let message = error.header("message").unwrap();
    assert!(message.contains(says), "{says:?} is not in {error:?}");
    assert_eq!(body(error), message);
    assert_eq!(end, Some(close), "{error:?}");
    error.clone()
}

/// The session ends as one does whose client is to come again and does not listen for notices.
pub(crate) async fn sent_away(raw: &mut Raw) {
    refused(raw, "8007", "Server restarting, reconnect", 1012).await;
}

/// The text is the golden file, white space between its values aside.
pub(crate) fn check_golden(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire");
    let golden = std::fs::read_to_string(path.join(file)).unwrap_or_default();
    // No value in these files holds two spaces, or a line end.
    let lines = golden.lines().map(str::trim_start);
    let compact = lines.collect::<String>().replace("\": ", "\":");
    assert_eq!(text, compact, "{file}");
}
