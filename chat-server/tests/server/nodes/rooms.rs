//! Who is taken out of a room through one node hears no more of it on any.

use chat_server::bus::{BusEvent, Control};
use serde_json::{Value, json};
use stomp::{Command, Frame, FrameWriter, Version};

use crate::nodes::{MINUTE, get};
use crate::support::client::{Client, json as body};
use crate::support::{Site, TestNode};

/// A client with an error destination and a subscription to room 1.
async fn in_room(node: &TestNode, member: i64) -> Client {
    let mut client = Client::login(node.address, &node.token(member)).await;
    client.subscribe("e", "/user/queue/errors", &[]).await;
    client.subscribe("s", "/sub/1", &[]).await;
    client
}

/// The client gets the error that its member is not in the room any more.
async fn is_put_out(client: &mut Client) {
    let error = client.until(|frame| of(frame, "e")).await;
    let error: Value = body(&error);
    assert_eq!(
        (&error["code"], &error["destination"]),
        (&json!(8002), &json!("/sub/1"))
    );
}

fn of(frame: &Frame, subscription: &str) -> bool {
    frame.header("subscription") == Some(subscription)
}

/// Everything the server has for the client so far has come; the messages among it.
async fn messages(client: &mut Client, receipt: &str) -> Vec<String> {
    let unsubscribe = FrameWriter::new(Command::Unsubscribe, Version::V1_2)
        .header("id", "s")
        .header("receipt", receipt);
    client.send(unsubscribe.end()).await;
    let mut texts = Vec::new();
    loop {
        let frame = client.frame().await;
        if frame.command() == Command::Receipt {
            return texts;
        }
        assert_eq!(frame.command(), Command::Message, "{frame:?}");
        texts.push(body(&frame)["message"].to_string());
    }
}

/// Says something in room 1 and waits until it was shown.
async fn say(client: &mut Client, text: &str) {
    client.say(1, text, text).await;
    client.until(|frame| of(frame, "s")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_hears_no_more_on_any_node_and_cannot_come_back() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    a.group(1, &[1, 2, 3]).await;
    let (mut gone, mut stays) = (in_room(&b, 3).await, in_room(&b, 2).await);
    a.group(1, &[1, 2]).await;
    is_put_out(&mut gone).await;
    say(&mut stays, "among us").await;
    assert_eq!(messages(&mut gone, "r").await, [""; 0]);
    // The other node's cached copy of the room was invalidated before the member's notice.
    let subscribe = FrameWriter::new(Command::Subscribe, Version::V1_2)
        .header("id", "again")
        .header("destination", "/sub/1");
    gone.send(subscribe.end()).await;
    let refused = gone.frame().await;
    assert_eq!(refused.header("code"), Some("8002"), "{refused:?}");
    assert_eq!(get(&b, 3, "/api/chat-room/1/members").await, (400, 8002));
    drop((gone, stays));
    for node in [a, b] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_hears_no_more_after_a_minute_also_when_no_node_was_told() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.group(1, &[1, 2, 3]).await;
    let (mut gone, mut stays) = (in_room(&deaf, 3).await, in_room(&deaf, 2).await);
    let rooms = &deaf.node.services.rooms;
    rooms.reconciler().compare_due().await;
    a.group(1, &[1, 2]).await;
    // It was looked at just now.
    rooms.reconciler().compare_due().await;
    say(&mut stays, "first").await;
    gone.until(|frame| of(frame, "s")).await;
    site.clock.advance(MINUTE);
    rooms.reconciler().compare_due().await;
    is_put_out(&mut gone).await;
    say(&mut stays, "second").await;
    assert_eq!(messages(&mut gone, "r").await, [""; 0]);
    assert_eq!(deaf.node.services.metrics.evict.get(), 1);
    drop((gone, stays));
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_only_beside_the_log_is_put_out_too() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.group(1, &[1, 3]).await;
    let mut gone = Client::login(deaf.address, &deaf.token(3)).await;
    gone.subscribe("e", "/user/queue/errors", &[]).await;
    gone.subscribe("s", "/sub/1/events", &[]).await;
    a.group(1, &[1]).await;
    deaf.node.services.rooms.reconciler().compare_due().await;
    let error = gone.until(|frame| of(frame, "e")).await;
    assert_eq!(body(&error)["destination"], "/sub/1/events");
    drop(gone);
    deaf.stop().await;
    a.stop().await;
}

/// The event may be lost and the order not.
#[tokio::test(flavor = "multi_thread")]
async fn the_order_alone_puts_out_too() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.group(1, &[1, 2, 3]).await;
    let mut gone = in_room(&deaf, 3).await;
    a.group(1, &[1, 2]).await;
    let room_id = 1_i64.try_into().unwrap();
    deaf.node
        .node_control
        .take(Control::RoomChanged { room_id })
        .await;
    is_put_out(&mut gone).await;
    drop(gone);
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_loss_nothing_cached_is_believed() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.group(1, &[1, 2]).await;
    assert_eq!(get(&deaf, 2, "/api/chat-room/1/members").await, (200, 0));
    a.group(1, &[1]).await;
    assert_eq!(
        get(&deaf, 2, "/api/chat-room/1/members").await,
        (200, 0),
        "cached"
    );
    deaf.node.node_control.take_loss();
    deaf.node.services.hub.take_from_bus(BusEvent::Lost);
    assert_eq!(get(&deaf, 2, "/api/chat-room/1/members").await, (400, 8002));
    deaf.stop().await;
    a.stop().await;
}
