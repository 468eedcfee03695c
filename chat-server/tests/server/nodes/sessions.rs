//! Sessions that have ended: a logout, or a refresh token that was stolen.

use std::time::Duration;

use shared::claims::{FamilyId, MemberToken};
use shared::ids::MemberId;
use stomp::{Command, FrameWriter, Version};

use crate::nodes::{MINUTE, get_by, look_for_a_minute};
use crate::support::client::Client;
use crate::support::raw::Raw;
use crate::support::{Site, TestNode};

const ROOMS: &str = "/api/chat-room";

/// A login of member 1.
struct Login {
    family: FamilyId,
    access: String,
    refresh: String,
}

impl Login {
    fn new(node: &TestNode, family: &str) -> Self {
        let family = family.parse().unwrap();
        let token = |kind| node.token_of(&family, 1, kind, Duration::ZERO);
        Self {
            access: token(MemberToken::Access),
            refresh: token(MemberToken::Refresh),
            family,
        }
    }

    fn bearer(&self) -> (&'static str, String) {
        ("authorization", format!("Bearer {}", self.access))
    }

    fn refresh_cookie(&self) -> (&'static str, String) {
        ("cookie", format!("refreshToken={}", self.refresh))
    }

    /// Ends it as the market reports it to this node.
    async fn revoke(&self, node: &TestNode) {
        let (member, at) = (MemberId::try_from(1_i64).unwrap(), node.clock.unix_millis());
        let members = &node.node.services.members;
        let sid = self.family.clone();
        members.revoke_session(member, sid, at).await.unwrap();
    }
}

/// Logs in by what the upgrade request carries.
async fn connect_by(node: &TestNode, (name, value): (&'static str, String)) -> Raw {
    let (mut raw, answer) = Raw::upgrade(node.address, &[(name, &*value)]).await;
    assert_eq!(answer.status, 101);
    let bearer = (name == "authorization").then(|| format!("Authorization:{value}\n"));
    let bearer = bearer.unwrap_or_default();
    raw.text(&format!("CONNECT\naccept-version:1.2\n{bearer}\n\0"))
        .await;
    raw
}

/// The connection ends with this code, and no frame comes before.
async fn ends_with(raw: &mut Raw, code: u16) {
    let ending = raw.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(code)));
}

/// The connection is open.
async fn is_open(raw: &mut Raw) {
    raw.text("SUBSCRIBE\nid:s\ndestination:/user/queue/errors\nreceipt:s\n\n\0")
        .await;
    raw.expect(Command::Receipt).await;
    raw.text("UNSUBSCRIBE\nid:s\n\n\0").await;
}

/// Neither the socket nor REST takes a token of this login.
async fn is_refused(node: &TestNode, login: &Login) {
    for credentials in [login.bearer(), login.refresh_cookie()] {
        assert_eq!(get_by(node, &credentials, ROOMS).await, (401, 2007));
        let ending = connect_by(node, credentials).await.ending().await;
        let error = ending.error();
        assert_eq!(error.header("code"), Some("2007"));
        let says = error.header("message");
        assert_eq!(says, Some(stomp::AUTHENTICATION_FAILED));
        assert_eq!(ending.code, Some(1008));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_an_ended_session_alone_close_on_all_nodes() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    let (lost, kept) = (Login::new(&a, "lost"), Login::new(&a, "kept"));
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    for node in [&a, &b] {
        for (login, raws) in [(&lost, &mut closed), (&kept, &mut open)] {
            for credentials in [login.bearer(), login.refresh_cookie()] {
                assert_eq!(get_by(node, &credentials, ROOMS).await, (200, 0));
                let mut raw = connect_by(node, credentials).await;
                raw.expect(Command::Connected).await;
                raws.push(raw);
            }
        }
    }

    lost.revoke(&a).await;
    // Here at once, elsewhere with the event of the bus that also closes the connections.
    assert_eq!(get_by(&a, &lost.bearer(), ROOMS).await, (401, 2007));
    for raw in &mut closed {
        ends_with(raw, 4401).await;
    }
    for node in [&a, &b] {
        is_refused(node, &lost).await;
        assert_eq!(get_by(node, &kept.bearer(), ROOMS).await, (200, 0));
    }
    for raw in &mut open {
        is_open(raw).await;
    }
    // A cookie of the ended login beside one of another does no harm.
    let both = format!("accessToken={}; refreshToken={}", lost.access, kept.refresh);
    assert_eq!(get_by(&b, &("cookie", both.clone()), ROOMS).await, (200, 0));
    let mut raw = connect_by(&b, ("cookie", both)).await;
    raw.expect(Command::Connected).await;
    drop((closed, open, raw));
    for node in [a, b] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connection_of_an_ended_session_closes_also_when_the_event_is_lost() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    let (lost, kept) = (Login::new(&a, "lost"), Login::new(&a, "kept"));
    let mut closed = connect_by(&deaf, lost.bearer()).await;
    closed.expect(Command::Connected).await;
    let mut open = connect_by(&deaf, kept.bearer()).await;
    open.expect(Command::Connected).await;
    lost.revoke(&a).await;
    look_for_a_minute(&deaf).await;
    ends_with(&mut closed, 4401).await;
    is_open(&mut open).await;
    is_refused(&deaf, &lost).await;
    drop((closed, open));
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_does_nothing_more_once_a_minute_has_passed() {
    let site = Site::new();
    let (a, deaf) = (site.node(&[]).await, site.deaf_node(&[]).await);
    a.room(1, &[1, 2]).await;
    let frame = |command| FrameWriter::new(command, Version::V1_2);
    let text = br#"{"message":"x"}"#;
    let send = frame(Command::Send)
        .header("destination", "/pub/1")
        .body(text);
    let subscribe = frame(Command::Subscribe)
        .header("id", "s")
        .header("destination", "/sub/1")
        .end();
    let begin = frame(Command::Begin).header("transaction", "t").end();
    let bound = frame(Command::Send)
        .header("destination", "/pub/1")
        .header("transaction", "t")
        .body(text);
    let commit = frame(Command::Commit).header("transaction", "t").end();
    let all = [vec![send], vec![subscribe], vec![begin, bound, commit]];
    for (number, frames) in all.into_iter().enumerate() {
        let login = Login::new(&a, &format!("login{number}"));
        let mut client = Client::login(deaf.address, &login.access).await;
        login.revoke(&a).await;
        // What the node has cached is young enough.
        client.say(1, "still", "r").await;
        client
            .until(|frame| frame.header("receipt-id") == Some("r"))
            .await;
        assert_eq!(get_by(&deaf, &login.bearer(), ROOMS).await, (200, 0));
        site.clock.advance(MINUTE);
        for frame in frames {
            client.send(frame).await;
        }
        assert_eq!(client.end().await.len(), 0);
        assert_eq!(client.close_code, Some(4401));
        assert_eq!(get_by(&deaf, &login.bearer(), ROOMS).await, (401, 2007));
    }
    deaf.stop().await;
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_belongs_to_the_session_of_its_newest_token() {
    let site = Site::new();
    let a = site.node(&[]).await;
    let [first, second, ended] = ["first", "second", "ended"].map(|name| Login::new(&a, name));
    ended.revoke(&a).await;
    let mut moved = connect_by(&a, first.bearer()).await;
    moved.expect(Command::Connected).await;
    let mut refused = connect_by(&a, first.bearer()).await;
    refused.expect(Command::Connected).await;
    let fresh = |login: &Login| {
        let token = &login.access;
        format!("SEND\ndestination:/app/token\nreceipt:t\n\n{token}\0")
    };
    moved.text(&fresh(&second)).await;
    moved.expect(Command::Receipt).await;
    refused.text(&fresh(&ended)).await;
    let ending = refused.ending().await;
    assert_eq!(ending.error().header("code"), Some("2007"));
    first.revoke(&a).await;
    is_open(&mut moved).await;
    second.revoke(&a).await;
    ends_with(&mut moved, 4401).await;
    drop((moved, refused));
    a.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_session_stays_ended_after_a_restart() {
    let node = TestNode::start(&[]).await;
    let (lost, kept) = (Login::new(&node, "lost"), Login::new(&node, "kept"));
    lost.revoke(&node).await;
    let node = TestNode::start_in(node.stop().await, &[]).await;
    is_refused(&node, &lost).await;
    assert_eq!(get_by(&node, &kept.bearer(), ROOMS).await, (200, 0));
    node.stop().await;
}
