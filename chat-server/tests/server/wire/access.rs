//! Authorization matrix of STOMP destinations: every destination × every kind of member.

use chat_server::destination::{SendTo, SubscribeTo};
use stomp::Command;

use crate::support::client::json;
use crate::support::raw::Raw;
use crate::wire::start::{node, receipt, refused, session, stored, subscribe};

/// Members 1 and 2 share room 1; 5 shares nothing with them.
const MEMBERS: [i64; 3] = [1, 2, 5];

/// Access to a destination: for the members of a room, for one member, or for each member to an own one; for all others
/// the refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Room,
    OneAlone,
    OwnAlone,
}

impl Access {
    /// The code of the refusal, if there is one.
    fn refusal(self, member: i64) -> Option<&'static str> {
        match self {
            Self::Room => (member == 5).then_some("8002"),
            Self::OneAlone => (member != 1).then_some("1003"),
            Self::OwnAlone => None,
        }
    }
}

/// A new destination needs a decision here to be compiled.
fn access_to_subscribe(to: &str) -> Access {
    match SubscribeTo::parse(to).unwrap() {
        SubscribeTo::Room(_) | SubscribeTo::Events(_) => Access::Room,
        SubscribeTo::Alarms(_) => Access::OneAlone,
        SubscribeTo::Notices | SubscribeTo::Errors | SubscribeTo::System => Access::OwnAlone,
    }
}

/// The same for SEND; a token is of the connection that sends it.
fn access_to_send(to: &str) -> Access {
    match SendTo::parse(to).unwrap() {
        SendTo::Room(_) | SendTo::Typing(_) => Access::Room,
        SendTo::Token => Access::OwnAlone,
    }
}

/// A frame with a receipt `r` is refused with this code, or gets the receipt.
async fn check(raw: &mut Raw, what: &str, refusal: Option<&str>) {
    match refusal {
        Some(code) => {
            let error = refused(raw, code, "", 1008).await;
            assert_eq!(error.header("receipt-id"), Some("r"), "{what}");
        }
        None => receipt(raw, "r").await,
    }
}

/// The first server let every member subscribe to every room and every alarm channel.
#[tokio::test]
async fn defect_20_rooms_events_and_alarms_are_open_to_their_members_alone() {
    let node = node(&[]).await;
    for to in [
        "/sub/1",
        "/sub/1/events",
        "/sub/alarm/1",
        "/user/queue/notifications",
        "/user/queue/errors",
        "/user/queue/system",
    ] {
        for more in ["", "resume-after:0\n", "history:9\n"] {
            for member in MEMBERS {
                let mut raw = session(&node, member).await;
                let frame = format!("SUBSCRIBE\nid:s\ndestination:{to}\nreceipt:r\n{more}\n\0");
                raw.text(&frame).await;
                let refusal = access_to_subscribe(to).refusal(member);
                check(&mut raw, &format!("{to} {member}"), refusal).await;
            }
        }
    }
}

#[tokio::test]
async fn defect_20_strangers_send_nothing_into_a_room() {
    let node = node(&[]).await;
    let mut listener = session(&node, 2).await;
    subscribe(&mut listener, "e", "/sub/1/events", "").await;
    for to in ["/pub/1", "/pub/1/typing"] {
        for member in [5, 1] {
            let mut raw = session(&node, member).await;
            let body = r#"{"message":"x"}"#;
            raw.text(&format!("SEND\ndestination:{to}\nreceipt:r\n\n{body}\0"))
                .await;
            check(&mut raw, to, access_to_send(to).refusal(member)).await;
        }
    }
    let mut raw = session(&node, 5).await;
    let bound = "SEND\ndestination:/pub/1\ntransaction:t\n\n{\"message\":\"x\"}\0";
    let commit = "COMMIT\ntransaction:t\nreceipt:r\n\n\0";
    raw.text(&["BEGIN\ntransaction:t\n\n\0", bound, commit].concat())
        .await;
    check(&mut raw, "COMMIT", Some("8002")).await;
    assert_eq!(stored(&node).await, 1, "the one of the member");
    let typing = listener.expect(Command::Message).await;
    assert_eq!(json(&typing)["memberId"], 1);
}

/// Another's queue cannot even be named, and nothing is open before the login.
#[tokio::test]
async fn queues_of_others_have_no_name() {
    let node = node(&[]).await;
    for to in [
        "/user/1/queue/notifications",
        "/user/queue/notifications/1",
        "/queue/1",
    ] {
        let mut raw = session(&node, 5).await;
        raw.text(&format!("SUBSCRIBE\nid:s\ndestination:{to}\n\n\0"))
            .await;
        refused(&mut raw, "1006", "no such destination", 1008).await;
    }
    for frame in [
        "SUBSCRIBE\nid:s\ndestination:/sub/1\n\n\0",
        "SEND\ndestination:/pub/1\n\n{\"message\":\"x\"}\0",
    ] {
        let mut raw = Raw::open(node.address).await;
        raw.text(frame).await;
        let ending = raw.ending().await;
        assert_eq!(ending.error().command(), Command::Error);
    }
    assert_eq!(stored(&node).await, 0);
}
