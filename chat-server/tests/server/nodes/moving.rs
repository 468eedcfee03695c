//! Clients that get a migration notice open the next connection, on another node, before they close
//! the previous one: no message is missing or duplicated.

use serde_json::Value;
use stomp::{Command, Frame, FrameWriter, Version};

use crate::support::client::{Client, json as body};
use crate::support::{PATIENCE, Site, TestNode};

/// Messages that are written while the client is on both nodes.
const OVERLAP: usize = 20;

/// A client's subscriptions on a node: room 1 and the system queue, whose first message may arrive
/// at once.
async fn place(node: &TestNode, member: i64, position: &[(&str, &str)]) -> (Client, Frame) {
    let mut client = Client::login(node.address, &node.token(member)).await;
    let begun = client.subscribe("room", "/sub/1", position).await;
    let news = FrameWriter::new(Command::Subscribe, Version::V1_2).header("id", "system");
    let news = news.header("destination", "/user/queue/system");
    client.send(news.end()).await;
    (client, begun)
}

/// Another member, which writes in room 1.
struct Writer {
    client: Client,
    written: usize,
}

impl Writer {
    async fn write(&mut self, count: usize) {
        for _ in 0..count {
            self.written += 1;
            let text = self.written.to_string();
            self.client.say(1, &text, &text).await;
            let receipt = self.client.frame().await;
            assert_eq!(receipt.header("receipt-id"), Some(&*text), "{receipt:?}");
        }
    }
}

/// What a client has seen of room 1, over all its connections. Of what comes by two it takes what
/// lies beyond the newest.
#[derive(Default)]
struct Seen {
    newest: u64,
    texts: Vec<String>,
}

impl Seen {
    fn take(&mut self, frame: &Frame) {
        if frame.header("subscription") != Some("room") {
            return;
        }
        let id = frame.header("message-id").unwrap().parse().unwrap();
        if id > self.newest {
            self.newest = id;
            let text = body(frame)["message"].as_str().unwrap().to_owned();
            self.texts.push(text);
        }
    }
}

/// Reads until the client gets a migration notice with this reason.
async fn until_asked(client: &mut Client, seen: &mut Seen, reason: &str) {
    loop {
        let frame = client.frame().await;
        seen.take(&frame);
        if frame.header("subscription") == Some("system") {
            let notice: Value = body(&frame);
            assert_eq!(
                (&notice["type"], &notice["reason"]),
                (&"drain".into(), &reason.into())
            );
            return;
        }
    }
}

/// Leaves; what came until then is seen.
async fn leave(mut client: Client, seen: &mut Seen) {
    let goodbye = FrameWriter::new(Command::Disconnect, Version::V1_2).header("receipt", "bye");
    client.send(goodbye.end()).await;
    let frames = client.end().await;
    let last = frames.last().and_then(|frame| frame.header("receipt-id"));
    assert_eq!((last, client.close_code), (Some("bye"), Some(1000)));
    frames.iter().for_each(|frame| seen.take(frame));
}

/// A client of `from` that gets a migration notice moves to `to`, while another member writes
/// there.
async fn moves(from: &TestNode, to: &TestNode, reason: &str, ask: impl FnOnce()) {
    from.room(1, &[1, 2]).await;
    let (client, written) = (Client::login(to.address, &to.token(2)).await, 0);
    let mut writer = Writer { client, written };
    let (mut first, _) = place(from, 1, &[]).await;
    let mut seen = Seen::default();
    ask();
    writer.write(1).await;
    until_asked(&mut first, &mut seen, reason).await;
    writer.write(OVERLAP).await;
    let position = seen.newest.to_string();
    let (mut second, begun) = place(to, 1, &[("resume-after", &position)]).await;
    assert_eq!(begun.header("recovered"), Some("true"));
    writer.write(OVERLAP).await;
    // By both came what was written last, and by each all of it.
    let whole = 1 + 2 * OVERLAP;
    let mut by_second = Seen {
        newest: seen.newest,
        texts: seen.texts.clone(),
    };
    for (client, seen) in [(&mut first, &mut seen), (&mut second, &mut by_second)] {
        while seen.texts.len() < whole {
            seen.take(&client.frame().await);
        }
    }
    leave(first, &mut seen).await;
    writer.write(OVERLAP).await;
    let expected: Vec<String> = (1..=writer.written).map(|text| text.to_string()).collect();
    assert_eq!(seen.texts, expected[..whole]);
    while seen.texts.len() < expected.len() {
        seen.take(&second.frame().await);
    }
    assert_eq!(by_second.texts, expected[..whole]);
    assert_eq!(seen.texts, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_connection_moves_to_another_node_and_misses_nothing() {
    let site = Site::new();
    let (old, other) = (
        site.node(&["--rebalance-age", "100ms"]).await,
        site.node(&[]).await,
    );
    moves(&old, &other, "max-age", || {}).await;
    for node in [old, other] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_a_node_that_stops_moves_to_another_and_misses_nothing() {
    let site = Site::new();
    let (stops, other) = (
        site.node(&["--lame-duck", "0s"]).await,
        site.node(&[]).await,
    );
    moves(&stops, &other, "restart", || stops.stop.begin()).await;
    assert_eq!(stops.drain.wait(PATIENCE).await, Ok(()));
    other.stop().await;
}
