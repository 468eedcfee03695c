//! The main path, end to end: members chat over real WebSockets.

use crate::support::TestNode;
use crate::support::client::{Client, json};
use stomp::{Command, FrameWriter, Version};

#[tokio::test(flavor = "multi_thread")]
async fn two_members_chat_and_both_see_it_in_order() {
    let server = TestNode::start(&[]).await;
    let room = server.room(1, &[1, 2]).await;
    let mut alice = Client::login(server.address, &server.token(1)).await;
    let mut bob = Client::login(server.address, &server.token(2)).await;
    for client in [&mut alice, &mut bob] {
        let receipt = client.subscribe("s", "/sub/1", &[]).await;
        assert_eq!(receipt.header("head"), Some("0"));
        assert_eq!(receipt.header("recovered"), Some("true"));
    }
    for number in 0..20 {
        let sender = if number % 2 == 0 {
            &mut alice
        } else {
            &mut bob
        };
        sender
            .say(room, &format!("안녕 {number}"), &format!("r{number}"))
            .await;
        sender
            .until(|frame| frame.header("receipt-id") == Some(&format!("r{number}")))
            .await;
    }
    let mut late = Client::login(server.address, &server.token(2)).await;
    late.subscribe("all", "/sub/1", &[("resume-after", "0")])
        .await;
    for number in 0..20_u64 {
        let message = late.frame().await;
        assert_eq!(message.command(), Command::Message);
        let body = json(&message);
        assert_eq!(body["message"], format!("안녕 {number}"));
        assert_eq!(body["chatMessageId"], (1 << 22) + number + 1);
        assert_eq!(body["chatRoomId"], 1);
        assert_eq!(body["senderId"], number % 2 + 1);
        assert_eq!(message.header("seq"), Some(&*(number + 1).to_string()));
        assert_eq!(message.header("destination"), Some("/sub/1"));
        assert_eq!(message.header("subscription"), Some("all"));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_out_of_a_room_hears_no_more_of_it() {
    let server = TestNode::start(&[]).await;
    let room = server.group(1, &[1, 2, 3]).await;
    let mut gone = Client::login(server.address, &server.token(3)).await;
    gone.subscribe("e", "/user/queue/errors", &[]).await;
    gone.subscribe("s", "/sub/1", &[]).await;
    let mut stays = Client::login(server.address, &server.token(1)).await;
    stays.subscribe("s", "/sub/1", &[]).await;
    server.group(1, &[1, 2]).await;
    let error = gone
        .until(|frame| frame.header("subscription") == Some("e"))
        .await;
    assert_eq!(json(&error)["code"], 8002);
    stays.say(room, "among us", "r").await;
    stays
        .until(|frame| frame.command() == Command::Message)
        .await;
    // A later frame on the same connection shows that the message did not come before it.
    let unsubscribe = FrameWriter::new(Command::Unsubscribe, Version::V1_2)
        .header("id", "s")
        .header("receipt", "bye");
    gone.send(unsubscribe.end()).await;
    assert_eq!(gone.frame().await.header("receipt-id"), Some("bye"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_that_never_asks_gets_what_it_has_not_read() {
    let server = TestNode::start(&["--replay-unread"]).await;
    let room = server.room(1, &[1, 2]).await;
    let mut alice = Client::login(server.address, &server.token(1)).await;
    for text in ["read", "unread 1", "unread 2"] {
        alice.say(room, text, text).await;
        alice
            .until(|frame| frame.header("receipt-id") == Some(text))
            .await;
    }
    let (bob_id, read) = (2_i64.try_into().unwrap(), 1_u64.try_into().unwrap());
    server
        .node
        .rooms_store()
        .mark_read(bob_id, room, read)
        .await
        .unwrap();
    let mut bob = Client::login(server.address, &server.token(2)).await;
    bob.subscribe("s", "/sub/1", &[]).await;
    assert_eq!(json(&bob.frame().await)["message"], "unread 1");
    assert_eq!(json(&bob.frame().await)["message"], "unread 2");
    server.stop().await;
}
