//! The documents say what happens, all of it.

use std::time::Duration;

use chat_server::health::Phase;
use http::Method;
use serde_json::json;

use crate::rest::notifications::{id as notification, post, trade};
use crate::rest::push::{bad_bodies, subscription};
use crate::rest::site::{PAGE, Site, documented, group, message, pair};
use crate::support::faulty_store::{EVERY, Fault};

/// Longer than any body may be.
fn too_long() -> String {
    "x".repeat((4 << 20) + 1)
}

/// The routes of a member, as they work for member 1.
fn member_routes() -> Vec<(Method, String)> {
    let read = format!("/api/chat-messages/{}/read-status", message(1, 1));
    let delete = format!("/api/chat-messages/{}", message(1, 1));
    vec![
        (Method::GET, "/api/chat-room".to_owned()),
        (Method::GET, "/api/chat-room/1/members".to_owned()),
        (Method::GET, "/api/chat-room/1/history".to_owned()),
        (Method::POST, read),
        (Method::DELETE, delete),
        (Method::GET, "/api/notifications".to_owned()),
        (Method::GET, "/api/notifications/unread-count".to_owned()),
        (Method::POST, "/api/notifications/read".to_owned()),
        (
            Method::DELETE,
            format!("/api/notifications/{}", notification(1, 2)),
        ),
        (Method::POST, "/api/fcm/save".to_owned()),
        (Method::DELETE, "/api/fcm".to_owned()),
        (Method::POST, "/api/push/subscriptions".to_owned()),
        (Method::DELETE, "/api/push/subscriptions".to_owned()),
        (Method::GET, "/api/push/vapid-key".to_owned()),
        (Method::GET, "/api/notifications/preferences".to_owned()),
        (Method::PUT, "/api/notifications/preferences".to_owned()),
        (Method::POST, "/api/chat-room/1/mute".to_owned()),
        (Method::DELETE, "/api/chat-room/1/mute".to_owned()),
    ]
}

/// The body with which a route works.
fn body_of(path: &str) -> String {
    match path {
        "/api/notifications/read" => json!({ "upTo": notification(1, 1) }).to_string(),
        "/api/fcm/save" | "/api/fcm" => json!({"token": "t"}).to_string(),
        "/api/push/subscriptions" => subscription().to_string(),
        "/api/notifications/preferences" => json!({"chat": "live"}).to_string(),
        "/api/chat-room/1/mute" => json!({"minutes": 1}).to_string(),
        _ => String::new(),
    }
}

/// The routes of a service.
fn service_routes() -> Vec<(Method, String)> {
    vec![
        (Method::PUT, "/internal/rooms/1".to_owned()),
        (Method::POST, "/internal/rooms".to_owned()),
    ]
}

/// What an operator changes.
fn operator_routes() -> Vec<String> {
    ["disconnect", "block", "unblock"]
        .map(|what| format!("/admin/members/5/{what}"))
        .into()
}

#[tokio::test]
async fn every_documented_answer_is_given_and_no_other() {
    let site = Site::start().await;
    for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
        site.ask(Method::GET, path).send().await;
        site.health.set_started();
        site.ask(Method::GET, path).send().await;
    }
    site.health.enter(Phase::LameDuck);
    assert_eq!(site.ask(Method::GET, "/readyz").send().await.status, 503);
    let fresh = Site::start().await;
    assert_eq!(fresh.ask(Method::GET, "/startupz").send().await.status, 503);
    let stop = || fresh.ask(Method::POST, "/admin/drain");
    let refused = stop()
        .header("origin", "http://localhost:9081")
        .send()
        .await;
    assert_eq!((refused.status, refused.code()), (403, 1003));
    assert_eq!(stop().send().await.status, 202);
    site.seen
        .lock()
        .unwrap()
        .extend(fresh.seen.lock().unwrap().clone());

    site.pair(1, 1, 2).await;
    site.say(1, 1, "안녕하세요").await;
    let stored = post(&site, &[trade("a"), trade("b")]).await;
    assert_eq!(stored.status, 200, "{stored:?}");
    as_member(&site).await;
    as_service(&site).await;
    as_relay(&site).await;
    as_operator(&site).await;
    blocked(&site).await;
    nothing_works_now(&site).await;
    let seen = site.seen.lock().unwrap().clone();
    let missing: Vec<_> = documented().difference(&seen).cloned().collect();
    assert!(
        missing.is_empty(),
        "documented, but never seen: {missing:?}"
    );
}

async fn as_member(site: &Site) {
    for (method, path) in member_routes() {
        let ask = || site.ask(method.clone(), &path).body(body_of(&path));
        let answer = ask().send().await;
        assert_eq!((answer.status, answer.code()), (401, 2014), "{path}");
        let answer = ask().header("cookie", "accessToken=a.b.c").send().await;
        assert_eq!((answer.status, answer.code()), (401, 2007), "{path}");
        let answer = ask().by_service().send().await;
        assert_eq!((answer.status, answer.code()), (401, 2007), "{path}");
        let answer = ask().by(1).send().await;
        assert_eq!((answer.status, answer.code()), (200, 0), "{path}");
        if method == Method::GET {
            continue;
        }
        let answer = ask().by_cookie(1).send().await;
        assert_eq!((answer.status, answer.code()), (403, 1003), "{path}");
        let answer = ask().by(1).body(too_long()).send().await;
        assert_eq!((answer.status, answer.code()), (413, 1008), "{path}");
    }
    wrong_parameters(site).await;
}

async fn wrong_parameters(site: &Site) {
    let (known, unknown, foreign) = (message(1, 1), message(1, 2), message(9, 1));
    site.group(9, &[8]).await;
    site.say(9, 8, "남의 방").await;
    for (method, path, code) in [
        (Method::GET, "/api/chat-room?size=0".to_owned(), 1006),
        (Method::GET, "/api/chat-room/x/members".to_owned(), 1006),
        (Method::GET, "/api/chat-room/5/members".to_owned(), 8001),
        (Method::GET, "/api/chat-room/9/members".to_owned(), 8002),
        (Method::GET, "/api/chat-room/0/history".to_owned(), 1006),
        (Method::GET, "/api/chat-room/5/history".to_owned(), 8001),
        (Method::GET, "/api/chat-room/9/history".to_owned(), 8002),
        (
            Method::POST,
            "/api/chat-messages/7/read-status".to_owned(),
            1006,
        ),
        (
            Method::POST,
            format!("/api/chat-messages/{unknown}/read-status"),
            8004,
        ),
        (
            Method::POST,
            format!("/api/chat-messages/{foreign}/read-status"),
            8002,
        ),
        (Method::DELETE, "/api/chat-messages/a".to_owned(), 1006),
        (
            Method::DELETE,
            format!("/api/chat-messages/{unknown}"),
            8004,
        ),
        (
            Method::DELETE,
            format!("/api/chat-messages/{foreign}"),
            8002,
        ),
        (Method::GET, "/api/notifications?size=0".to_owned(), 1006),
        (Method::POST, "/api/notifications/read".to_owned(), 1006),
        (Method::DELETE, "/api/notifications/x".to_owned(), 1006),
        (
            Method::DELETE,
            format!("/api/notifications/{}", notification(1, 9)),
            9001,
        ),
    ] {
        let answer = site.ask(method, &path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (400, code), "{path}");
    }
    bad_bodies(site).await;
    let path = format!("/api/chat-messages/{known}");
    let answer = site.ask(Method::DELETE, &path).by(2).send().await;
    assert_eq!((answer.status, answer.code()), (403, 1003));
}

async fn as_relay(site: &Site) {
    let ask = || site.ask(Method::POST, "/internal/events");
    let good = json!({ "postedAt": "2025-08-07T12:34:56.789", "events": [] }).to_string();
    let answer = ask().body(good.clone()).send().await;
    assert_eq!((answer.status, answer.code()), (401, 2014));
    let answer = ask().by(1).body(good.clone()).send().await;
    assert_eq!((answer.status, answer.code()), (401, 2007));
    let answer = ask().by_service().body(good).send().await;
    assert_eq!((answer.status, answer.code()), (200, 0));
    let refused = post(site, &[json!({ "eventId": "a" })]).await;
    assert_eq!((refused.status, refused.code()), (422, 1006));
    for bad in ["", "{}", "[]", r#"{"postedAt":"x","events":[]}"#] {
        let answer = ask().by_service().body(bad).send().await;
        assert_eq!((answer.status, answer.code()), (400, 1006), "{bad}");
    }
    let answer = ask().by_service().body(too_long()).send().await;
    assert_eq!((answer.status, answer.code()), (413, 1008));
}

/// The path of a message as the market reads it for member 1.
fn reported(message: u64) -> String {
    format!("/internal/chat-messages/{message}?memberId=1")
}

async fn reads_of_messages(site: &Site) {
    let path = reported(message(1, 1));
    let ask = |path: &str| site.ask(Method::GET, path);
    let answer = ask(&path).send().await;
    assert_eq!((answer.status, answer.code()), (401, 2014));
    let answer = ask(&path).by(1).send().await;
    assert_eq!((answer.status, answer.code()), (401, 2007));
    let answer = ask(&path).by_service().send().await;
    assert_eq!((answer.status, answer.code()), (200, 0));
    let opaque = site.store_opaque(1, 1).await;
    for (path, code) in [
        (reported(message(1, 4_000)), 8004),
        (reported(opaque), 8004),
        (reported(message(5, 1)), 8004),
        (reported(message(9, 1)), 8002),
        (reported(message(9, 4_000)), 8002),
        ("/internal/chat-messages/x?memberId=1".to_owned(), 1006),
        (reported(7), 1006),
        (path.replace("memberId=1", ""), 1006),
        (path.replace('1', "0"), 1006),
        (format!("{path}x"), 1006),
        (format!("{path}&memberId=2"), 1006),
    ] {
        let answer = ask(&path).by_service().send().await;
        assert_eq!((answer.status, answer.code()), (400, code), "{path}");
    }
}

async fn as_service(site: &Site) {
    reads_of_messages(site).await;
    let good = pair(7, 1, 2).to_string();
    for (method, path) in service_routes() {
        let ask = || site.ask(method.clone(), &path).body(good.clone());
        let answer = ask().send().await;
        assert_eq!((answer.status, answer.code()), (401, 2014), "{path}");
        let answer = ask().by(1).send().await;
        assert_eq!((answer.status, answer.code()), (401, 2007), "{path}");
        let answer = ask().by_service().send().await;
        assert_eq!((answer.status, answer.code()), (200, 0), "{path}");
        let rows = r#"{"members":[[1,"MEMBER","x",null]]}"#;
        let named = r#"{"members":[{"memberId":1,"role":{"MEMBER":null},"name":"x"}]}"#;
        let none = json!({"members": []}).to_string();
        for bad in ["", "{}", "[]", rows, named, &none] {
            let ask = site.ask(method.clone(), &path).by_service();
            let answer = ask.body(bad.to_owned()).send().await;
            assert_eq!((answer.status, answer.code()), (400, 1006), "{path} {bad}");
        }
        let ask = site.ask(method.clone(), &path).by_service();
        let answer = ask.body(too_long()).send().await;
        assert_eq!((answer.status, answer.code()), (413, 1008), "{path}");
    }
    let answer = site.put(1, pair(8, 1, 2)).await;
    assert_eq!((answer.status, answer.code()), (409, 8010));
}

async fn as_operator(site: &Site) {
    for path in ["/admin/connections", "/admin/topics"] {
        for good in ["", "?limit=", "?limit=1", "?limit=100"] {
            let answer = site.ask(Method::GET, &format!("{path}{good}")).send().await;
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        for bad in ["?limit=0", "?limit=101", "?limit=x", "?limit=1&limit=1"] {
            let answer = site.ask(Method::GET, &format!("{path}{bad}")).send().await;
            assert_eq!((answer.status, answer.code()), (400, 1006), "{path}{bad}");
        }
    }
    for path in operator_routes() {
        let ask = |path: &str| site.ask(Method::POST, path);
        let answer = ask(&path).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let bad = ask(&path.replace('5', "0")).send().await;
        assert_eq!((bad.status, bad.code()), (400, 1006), "{path}");
        let foreign = ask(&path).header("origin", "https://evil.example");
        let foreign = foreign.send().await;
        assert_eq!((foreign.status, foreign.code()), (403, 1003), "{path}");
        let own = ask(&path).header("origin", PAGE).send().await;
        assert_eq!(own.status, 200, "{own:?}");
        let long = ask(&path).body(too_long()).send().await;
        assert_eq!((long.status, long.code()), (413, 1008), "{path}");
    }
}

/// REST refuses a blocked member, at once on the node that got the command.
async fn blocked(site: &Site) {
    let block = async |what: &str| {
        let path = format!("/admin/members/1/{what}");
        site.wait(Duration::from_millis(1)); // of the same moment either would count
        let answer = site.ask(Method::POST, &path).send().await;
        answer.json()
    };
    let expected = json!({"memberId": 1, "blocked": true, "closed": 0});
    assert_eq!(block("block").await, expected);
    for (method, path) in member_routes() {
        let answer = site.ask(method, &path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (403, 2012), "{path}");
    }
    let expected = json!({"memberId": 1, "blocked": false, "closed": 0});
    assert_eq!(block("unblock").await, expected);
    let answer = site.get(1, "/api/chat-room").await;
    assert_eq!(answer.status, 200);
}

/// First the node has no keys to check tokens, then the store is unavailable.
async fn nothing_works_now(site: &Site) {
    let stranded = site.without_keys().await;
    site.store.set(&EVERY, Fault::Fail);
    let other = site.second().await;
    for (method, path) in member_routes() {
        let answer = stranded.ask(method.clone(), &path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (503, 1010), "{path}");
        assert_eq!(answer.headers["retry-after"], "1");
        let answer = other.ask(method, &path).by(1).send().await;
        assert_eq!((answer.status, answer.code()), (503, 8007), "{path}");
    }
    for path in operator_routes().split_off(1) {
        let answer = other.ask(Method::POST, &path).send().await;
        assert_eq!((answer.status, answer.code()), (503, 8007), "{path}");
    }
    let answer = post(&other, &[trade("c")]).await;
    assert_eq!((answer.status, answer.code()), (503, 8007));
    let path = reported(message(1, 1));
    let answer = stranded.ask(Method::GET, &path).by_service().send().await;
    assert_eq!((answer.status, answer.code()), (503, 1010));
    let answer = other.ask(Method::GET, &path).by_service().send().await;
    assert_eq!((answer.status, answer.code()), (503, 8007));
    let body = group(&[1]).to_string();
    for (method, path) in service_routes() {
        let ask = stranded.ask(method.clone(), &path).by_service();
        let answer = ask.body(body.clone()).send().await;
        assert_eq!((answer.status, answer.code()), (503, 1010), "{path}");
        let ask = other.ask(method, &path).by_service();
        let answer = ask.body(body.clone()).send().await;
        assert_eq!((answer.status, answer.code()), (503, 8007), "{path}");
    }
}

/// `OpenApiRouter::route` would route without a document.
#[test]
fn nothing_is_routed_without_a_document() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let (text, _) = text.split_once("#[cfg(test)]").unwrap_or((&text, ""));
        for word in [".route(", ".nest(", ".route_service(", "axum::routing"] {
            assert!(!text.contains(word), "{} has {word}", path.display());
        }
        files += 1;
    }
    assert!(files > 5);
}

#[tokio::test]
async fn the_document_and_its_page_come_from_the_binary() {
    let site = Site::start().await;
    let served = site
        .ask(Method::GET, "/docs/chat/openapi.json")
        .send()
        .await;
    let expected = serde_json::to_value(chat_server::http::public_document()).unwrap();
    assert_eq!(served.json(), expected);
    assert!(expected["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(expected["paths"].get("/internal/rooms").is_none());

    let page = site.ask(Method::GET, "/docs/chat").send().await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui-bundle.js"), "{page:?}");
    let script = "/docs/chat/swagger-ui-bundle.js";
    let script = site.ask(Method::GET, script).send().await;
    assert_eq!(script.status, 200);
    assert!(script.text.len() > 100_000);
}
