//! The JSON, byte for byte: a golden file changes only together with the clients that read it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_server::health::Phase;
use chat_server::hub::Part;
use chat_server::log::{Draft, Kind, Topic, Uid};
use http::Method;
use shared::clock::Clock as _;

use crate::rest::site::{Answer, Site, group, member_id, message, room_id};

/// The answer is the golden file, white space between values aside.
fn check(file: &str, answer: &Answer) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden/rest")
        .join(file);
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(answer.text, compact(&expected), "{file}");
    let kind = answer.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/json"), "{kind}");
}

/// Without the white space outside strings.
fn compact(text: &str) -> String {
    let (mut in_string, mut escaped) = (false, false);
    let kept = text.chars().filter(|c| {
        match c {
            '"' if !escaped => in_string = !in_string,
            _ => {}
        }
        escaped = in_string && *c == '\\' && !escaped;
        in_string || !c.is_whitespace()
    });
    kept.collect()
}

#[tokio::test]
async fn rooms_look_as_the_front_end_expects() {
    let site = Site::start().await;
    check("list_empty.json", &site.get(1, "/api/chat-room").await);
    site.pair(1, 1, 2).await;
    site.wait(Duration::from_secs(60));
    site.group(1 << 30, &[1, 2, 3]).await;
    site.wait(Duration::from_secs(1));
    site.pair(2, 3, 1).await;
    site.wait(Duration::from_millis(11));
    site.say(1, 2, "\"안녕\" 하세요\n").await;
    site.wait(Duration::from_millis(200));
    let taken_back = site.say(1 << 30, 2, "실수").await;
    let path = format!("/api/chat-messages/{taken_back}");
    let answer = site.ask(Method::DELETE, &path).by(2).send().await;
    check("done.json", &answer);
    check("list.json", &site.get(1, "/api/chat-room?size=3").await);
    check(
        "list_page.json",
        &site.get(1, "/api/chat-room?size=1").await,
    );
    check(
        "members.json",
        &site.get(1, "/api/chat-room/1/members").await,
    );
}

#[tokio::test]
async fn messages_look_as_the_front_end_expects() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    let empty = site.get(1, "/api/chat-room/1/history").await;
    check("history_empty.json", &empty);
    site.say(1, 1, "아직 있나요?").await;
    site.wait(Duration::from_secs(2));
    site.say(1, 2, "네").await;
    let named = Draft {
        uid: Uid(3),
        kind: Kind::Chat,
        sender: Some(member_id(1)),
        client_message_id: Some("c-3".into()),
        headers: vec![("x".into(), "y".into())],
        content_type: Some("application/json".into()),
        body: Bytes::from_static("이름 있음".as_bytes()),
        sent_at: site.clock.unix_millis(),
    };
    site.store_draft(1, named.clone()).await;
    let opaque = Draft {
        uid: Uid(4),
        kind: Kind::Opaque,
        client_message_id: None,
        content_type: Some("application/octet-stream".into()),
        body: Bytes::from_static(&[0xff, 0]),
        ..named.clone()
    };
    site.store_draft(1, opaque).await;
    let from_the_system = Draft {
        uid: Uid(5),
        sender: None,
        client_message_id: None,
        body: Bytes::from_static("거래가 완료되었습니다".as_bytes()),
        ..named
    };
    site.store_draft(1, from_the_system).await;
    let path = format!("/api/chat-messages/{}", message(1, 2));
    site.ask(Method::DELETE, &path).by(2).send().await;
    check(
        "history.json",
        &site.get(1, "/api/chat-room/1/history").await,
    );
    let page = site.get(2, "/api/chat-room/1/history?size=1").await;
    check("history_page.json", &page);
}

#[tokio::test]
async fn message_of_a_report_looks_as_agreed() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    let id = site.say(1, 2, "\"입금\" 먼저\n").await;
    let read = || site.reported(id, 1);
    check("reported.json", &read().await);
    site.wait(Duration::from_secs(60));
    let path = format!("/api/chat-messages/{id}");
    site.ask(Method::DELETE, &path).by(2).send().await;
    check("reported_deleted.json", &read().await);
}

#[tokio::test]
async fn everything_else_looks_as_agreed() {
    let site = Site::start().await;
    check(
        "failure.json",
        &site.get(1, "/api/chat-room/1/members").await,
    );
    check("room_made.json", &site.put(1, group(&[1])).await);
    let get = |path| site.ask(Method::GET, path).send();
    check("startupz_not_yet.json", &get("/startupz").await);
    check("readyz_starting.json", &get("/readyz").await);
    site.health.set_started();
    check("livez.json", &get("/livez").await);
    check("startupz.json", &get("/startupz").await);
    check("readyz.json", &get("/readyz").await);
    site.health.enter(Phase::LameDuck);
    check("readyz_draining.json", &get("/readyz").await);
}

#[tokio::test]
async fn what_operators_see_looks_as_agreed() {
    let site = Site::start().await;
    let get = |path| site.ask(Method::GET, path).send();
    check("connections.json", &get("/admin/connections").await);
    let topic = Topic::Room(room_id(1 << 30));
    let follow = site.hub.follow(topic, Part::Log, Arc::default(), 0);
    let _following = follow.await.unwrap();
    site.group(1 << 30, &[1]).await;
    site.say(1 << 30, 1, "\u{c548}").await;
    check("topics.json", &get("/admin/topics").await);
    let post = |path| site.ask(Method::POST, path).send();
    let blocked = post("/admin/members/7/block").await;
    check("member_blocked.json", &blocked);
    let gone = post("/admin/members/7/disconnect").await;
    check("disconnected.json", &gone);
}
