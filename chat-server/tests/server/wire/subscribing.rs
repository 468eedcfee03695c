//! SUBSCRIBE: permissions and starting positions.

use stomp::Command;

use crate::support::TestNode;
use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{body, hello, node, receipt, refused, say, session, subscribe};

/// The id of a message of room 1.
fn id(seq: u64) -> String {
    ((1 << 22) + seq).to_string()
}

/// This SUBSCRIBE of member 1 ends the session.
async fn check_refused(to: &str, more: &str, code: &str, says: &str) {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.text(&format!(
        "SUBSCRIBE\nid:s\ndestination:{to}\nreceipt:r\n{more}\n\0"
    ))
    .await;
    let error = refused(&mut raw, code, says, 1008).await;
    assert_eq!(error.header("receipt-id"), Some("r"));
}

/// A client that asks for more keeps what it has; were it closed, it would come back and ask again.
#[tokio::test]
async fn a_subscription_too_many_is_refused_and_the_others_stay() {
    let node = node(&["--subscriptions-max", "2"]).await;
    let (mut plain, mut with_errors) = (session(&node, 1).await, session(&node, 2).await);
    subscribe(&mut plain, "a", "/sub/1", "").await;
    subscribe(&mut with_errors, "e", "/user/queue/errors", "").await;
    for (raw, second) in [(&mut plain, "/sub/2"), (&mut with_errors, "/sub/1")] {
        subscribe(raw, "b", second, "").await;
        raw.text("SUBSCRIBE\nid:c\ndestination:/sub/1\n\n\0").await;
        raw.text("SUBSCRIBE\nid:d\ndestination:/sub/1\nreceipt:d\n\n\0")
            .await;
    }
    let refused = plain.expect(Command::Receipt).await;
    let header = |name| refused.header(name);
    assert_eq!(
        (header("receipt-id"), header("refused")),
        (Some("d"), Some("1009"))
    );
    assert_eq!(header("message"), Some("too many subscriptions: 2 at most"));
    for receipt in [None, Some("d")] {
        let error = with_errors.expect(Command::Message).await;
        assert_eq!(error.header("destination"), Some("/user/queue/errors"));
        let error = json(&error);
        assert_eq!(
            (&error["code"], &error["retryable"]),
            (&1009.into(), &false.into())
        );
        assert_eq!(error["message"], "too many subscriptions: 2 at most");
        assert_eq!(error["destination"], "/sub/1");
        assert_eq!(error["receiptId"].as_str(), receipt);
    }
    let limited = &node.node.services.metrics.rate_limited;
    assert_eq!(limited.with_label_values(&["subscriptions"]).get(), 4);
    // One message comes once: to the subscriptions that there are.
    with_errors.text(&hello(1)).await;
    assert_eq!(
        plain.expect(Command::Message).await.header("subscription"),
        Some("a")
    );
    plain.text("UNSUBSCRIBE\nid:a\nreceipt:u\n\n\0").await;
    receipt(&mut plain, "u").await;
    subscribe(&mut plain, "c", "/sub/1", "").await;
}

#[tokio::test]
async fn defect_20_rooms_of_others_are_closed() {
    check_refused("/sub/3", "", "8002", "not a member of this chat room").await;
    check_refused(
        "/sub/3",
        "resume-after:0\n",
        "8002",
        "not a member of this chat room",
    )
    .await;
    check_refused(
        "/sub/3/events",
        "",
        "8002",
        "not a member of this chat room",
    )
    .await;
}

#[tokio::test]
async fn a_room_that_is_not_there_cannot_be_heard() {
    check_refused("/sub/99", "", "8001", "No such chat room.").await;
    check_refused("/sub/99/events", "", "8001", "No such chat room.").await;
}

#[tokio::test]
async fn defect_20_alarms_of_others_are_closed() {
    check_refused("/sub/alarm/2", "", "1003", "Not allowed.").await;
}

#[tokio::test]
async fn unknown_destinations_are_refused() {
    for to in [
        "/sub/x",
        "/pub/1",
        "/topic/1",
        "/user/queue/other",
        "/sub/01",
    ] {
        check_refused(to, "", "1006", "no such destination").await;
    }
}

#[tokio::test]
async fn only_a_log_can_be_acknowledged() {
    for to in ["/user/queue/errors", "/user/queue/system", "/sub/1/events"] {
        for mode in ["ack:client\n", "ack:client-individual\n"] {
            check_refused(to, mode, "1006", "nothing can be acknowledged").await;
        }
    }
}

#[tokio::test]
async fn a_position_that_makes_no_sense_is_refused() {
    for header in ["resume-after:x\n", "resume-after:-1\n", "resume-after:\n"] {
        check_refused("/sub/1", header, "1006", "a header is not valid").await;
    }
    for header in ["history:x\n", "history:-1\n", "history:1\nresume-after:0\n"] {
        check_refused("/sub/1", header, "1006", "a header is not valid").await;
    }
    let of_room_2 = format!("resume-after:{}\n", (2 << 22) + 1);
    check_refused("/sub/1", &of_room_2, "1006", "another destination").await;
}

/// Room 1 with five messages, and a session of member 2.
async fn five_messages() -> (TestNode, Raw) {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    for number in 1..=5 {
        say(&mut raw, &number.to_string()).await;
    }
    let reader = session(&node, 2).await;
    (node, reader)
}

/// Subscribing to room 1 with this header says so in the receipt, and brings the messages of these
/// numbers, then those that are sent later.
async fn check_begin(header: &str, recovered: &str, numbers: std::ops::Range<u64>) {
    let (node, mut raw) = five_messages().await;
    let receipt = subscribe(&mut raw, "s", "/sub/1", header).await;
    assert_eq!(receipt.header("head"), Some(&*id(5)), "{header:?}");
    assert_eq!(receipt.header("recovered"), Some(recovered), "{header:?}");
    let mut writer = session(&node, 1).await;
    say(&mut writer, "6").await;
    for number in numbers.chain([6]) {
        let message = raw.expect(Command::Message).await;
        let seq = number.to_string();
        assert_eq!(message.header("seq"), Some(&*seq), "{header:?}");
        assert_eq!(message.header("message-id"), Some(&*id(number)));
        assert_eq!(json(&message)["message"], seq);
    }
}

#[tokio::test]
async fn a_subscription_begins_now_or_where_it_is_told() {
    let none = 6..6;
    check_begin("", "true", none.clone()).await;
    check_begin("resume-after:0\n", "true", 1..6).await;
    check_begin(&format!("resume-after:{}\n", id(2)), "true", 3..6).await;
    check_begin(&format!("resume-after:{}\n", id(5)), "true", none.clone()).await;
    check_begin("history:2\n", "true", 4..6).await;
    check_begin("history:0\n", "true", none).await;
    check_begin("history:4294967295\n", "true", 1..6).await;
}

#[tokio::test]
async fn a_position_beyond_the_head_is_not_passed_off_as_whole() {
    let after = format!("resume-after:{}\n", id(6));
    check_begin(&after, "false", 6..6).await;
}

#[tokio::test]
async fn what_is_no_log_has_no_head() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    for (name, to) in [
        ("a", "/user/queue/errors"),
        ("b", "/user/queue/system"),
        ("c", "/sub/1/events"),
        ("d", "/sub/1"),
        ("e", "/sub/alarm/1"),
        ("f", "/user/queue/notifications"),
    ] {
        let receipt = subscribe(&mut raw, name, to, "").await;
        assert_eq!(receipt.header("head"), Some("0"), "{to}");
        assert_eq!(receipt.header("recovered"), Some("true"), "{to}");
    }
}

#[tokio::test]
async fn subscriptions_of_one_room_are_served_each_from_its_own_position() {
    let (_node, mut raw) = five_messages().await;
    subscribe(&mut raw, "now", "/sub/1", "").await;
    subscribe(&mut raw, "last", "/sub/1", "history:1\n").await;
    let last = raw.expect(Command::Message).await;
    assert_eq!(last.header("subscription"), Some("last"));
    raw.text("UNSUBSCRIBE\nid:last\n\n\0").await;
    say_and_hear(&mut raw, "now").await;
    // The name is free again.
    subscribe(&mut raw, "last", "/sub/1", "").await;
    raw.text("UNSUBSCRIBE\nid:now\n\n\0").await;
    say_and_hear(&mut raw, "last").await;
}

/// A message comes on this subscription and no other.
async fn say_and_hear(raw: &mut Raw, subscription: &str) {
    raw.text("SEND\ndestination:/pub/1\nreceipt:r\n\n{\"message\":\"x\"}\0")
        .await;
    let frames = [raw.frame().await, raw.frame().await];
    let message = frames
        .iter()
        .find(|frame| frame.command() == Command::Message);
    let message = message.expect("a message beside the receipt");
    assert_eq!(message.header("subscription"), Some(subscription));
}

#[tokio::test]
async fn in_version_1_0_a_subscription_needs_no_id() {
    let node = node(&[]).await;
    let mut raw = crate::wire::start::connect(&node, 1, "").await.0;
    raw.text("SUBSCRIBE\ndestination:/sub/1\nreceipt:r\n\n\0")
        .await;
    raw.expect(Command::Receipt).await;
    raw.text("SEND\ndestination:/pub/1\n\n{\"message\":\"x\"}\0")
        .await;
    let message = raw.expect(Command::Message).await;
    assert_eq!(message.header("subscription"), None);
    assert!(body(&message).contains("\"message\":\"x\""));
    raw.text("UNSUBSCRIBE\ndestination:/sub/1\nreceipt:r\n\n\0")
        .await;
    raw.expect(Command::Receipt).await;
}
