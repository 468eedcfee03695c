//! Authorization matrix: every operation of the documents × every kind of caller.
//!
//! Nobody but the members of a room reads anything of it or changes anything in it, nobody reads or
//! changes another's inbox, and what services and operators call is closed to members.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::rest::notifications::{id as notification, post, trade};
use crate::rest::push::subscription;
use crate::rest::site::{Answer, PATIENCE, Site, documented, message, pair};
use crate::support::TestNode;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// Every member: the operation is on the caller's own data, or on none.
    Member,
    /// The members of the room; all others get 8002.
    Participant,
    /// The sender of the message; other members of the room get 1003, all others 8002.
    Author,
    /// The owner of the inbox; all others get this code.
    Owner(u16, u64),
    /// Services.
    Service,
    /// Whoever reaches the port, which is not the public one.
    Port,
}

use Right::{Author, Member, Owner, Participant, Port, Service};

type Operation = (&'static str, &'static str, Right);

/// Every operation of both documents: one that is missing here fails the test.
#[rustfmt::skip]
const OPERATIONS: [Operation; 31] = [
    ("get", "/api/chat-room", Member),
    ("get", "/api/chat-room/{id}/members", Participant),
    ("get", "/api/chat-room/{id}/history", Participant),
    ("post", "/api/chat-room/{id}/mute", Participant),
    ("delete", "/api/chat-room/{id}/mute", Participant),
    ("post", "/api/chat-messages/{id}/read-status", Participant),
    ("delete", "/api/chat-messages/{id}", Author),
    ("get", "/api/notifications", Member),
    ("get", "/api/notifications/unread-count", Member),
    ("post", "/api/notifications/read", Owner(403, 1003)),
    ("delete", "/api/notifications/{id}", Owner(403, 1003)),
    ("get", "/api/notifications/preferences", Member),
    ("put", "/api/notifications/preferences", Member),
    ("post", "/api/fcm/save", Member),
    ("delete", "/api/fcm", Member),
    ("post", "/api/push/subscriptions", Member),
    ("delete", "/api/push/subscriptions", Member),
    ("get", "/api/push/vapid-key", Member),
    ("put", "/internal/rooms/{id}", Service),
    ("post", "/internal/rooms", Service),
    ("get", "/internal/chat-messages/{id}", Service),
    ("post", "/internal/events", Service),
    ("get", "/metrics", Port),
    ("get", "/livez", Port),
    ("get", "/readyz", Port),
    ("get", "/startupz", Port),
    ("get", "/admin/connections", Port),
    ("get", "/admin/topics", Port),
    ("post", "/admin/members/{id}/disconnect", Port),
    ("post", "/admin/members/{id}/block", Port),
    ("post", "/admin/members/{id}/unblock", Port),
];

/// It has no id, and it would end the node.
const STOPS: (&str, &str) = ("post", "/admin/drain");

/// The caller. Requests go out in this order: those that are refused before those that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Service,
    Blocked,
    Stranger,
    Counterparty,
    Owner,
}

const CALLERS: [Who; 6] = [
    Who::Anonymous,
    Who::Service,
    Who::Blocked,
    Who::Stranger,
    Who::Counterparty,
    Who::Owner,
];

const OWNER: u64 = 1;
const COUNTERPARTY: u64 = 2;
const STRANGER: u64 = 3;
const BLOCKED: u64 = 4;

/// Texts of the room, of its members and of the inboxes: nobody else is shown them.
const SECRETS: [&str; 5] = ["우리끼리", "구매자 1", "판매자 2", "1,300", "1,270"];

const DONE: (u16, u64) = (200, 0);

fn expected(right: Right, who: Who) -> (u16, u64) {
    match (who, right) {
        (_, Port) => DONE,
        (Who::Anonymous, _) => (401, 2014),
        (Who::Service, Service) => DONE,
        (_, Service) | (Who::Service, _) => (401, 2007),
        (Who::Blocked, _) => (403, 2012),
        (Who::Owner, _) | (_, Member) | (Who::Counterparty, Participant) => DONE,
        (Who::Counterparty, Author) => (403, 1003),
        (_, Participant | Author) => (400, 8002),
        (_, Owner(status, code)) => (status, code),
    }
}

/// The path with the ids of the owner's resources.
fn path_of(template: &str) -> String {
    let id = match template {
        "/api/chat-messages/{id}"
        | "/api/chat-messages/{id}/read-status"
        | "/internal/chat-messages/{id}" => message(1, 1),
        "/api/notifications/{id}" => notification(OWNER, 1),
        _ => 1,
    };
    let path = template.replace("{id}", &id.to_string());
    match template {
        "/internal/chat-messages/{id}" => format!("{path}?memberId={OWNER}"),
        _ => path,
    }
}

fn body_of(template: &str) -> String {
    let none = Value::Null;
    let body = match template {
        "/api/notifications/read" => json!({ "upTo": notification(OWNER, 1) }),
        "/api/notifications/preferences" => json!({ "chat": "live" }),
        "/api/chat-room/{id}/mute" => json!({ "minutes": 1 }),
        "/api/fcm/save" | "/api/fcm" => json!({ "token": "t" }),
        "/api/push/subscriptions" => subscription(),
        "/internal/rooms/{id}" => pair(7, OWNER, COUNTERPARTY),
        "/internal/rooms" => json!({ "members": [
            { "memberId": STRANGER, "role": "MEMBER", "name": "s" },
        ]}),
        "/internal/events" => json!({ "postedAt": "2025-08-07T12:34:56.789", "events": [] }),
        _ => none,
    };
    if body.is_null() {
        String::new()
    } else {
        body.to_string()
    }
}

async fn call(site: &Site, who: Who, (method, template, _): Operation) -> Answer {
    let method: Method = method.to_uppercase().parse().unwrap();
    let ask = site.ask(method, &path_of(template)).body(body_of(template));
    let ask = match who {
        Who::Anonymous => ask,
        Who::Service => ask.by_service(),
        Who::Blocked => ask.by(BLOCKED),
        Who::Stranger => ask.by(STRANGER),
        Who::Counterparty => ask.by(COUNTERPARTY),
        Who::Owner => ask.by(OWNER),
    };
    ask.send().await
}

/// Methods and paths of the documents.
fn operations() -> BTreeSet<(String, String)> {
    let all = documented().into_iter();
    all.map(|(method, path, _)| (method, path)).collect()
}

#[test]
fn every_operation_is_in_the_matrix() {
    let rows = OPERATIONS.iter().map(|(method, path, _)| (*method, *path));
    let rows = rows.chain([STOPS]);
    let rows: BTreeSet<_> = rows
        .map(|(method, path)| (method.into(), path.into()))
        .collect();
    assert_eq!(operations(), rows);
}

/// Room 1 of the owner and the counterparty with a message of the owner, and notifications of both.
async fn inhabited() -> Site {
    let site = Site::start().await;
    site.health.set_started();
    site.pair(1, OWNER, COUNTERPARTY).await;
    site.say(1, OWNER, SECRETS[0]).await;
    assert_eq!(post(&site, &[trade("a")]).await.status, 200);
    let block = format!("/admin/members/{BLOCKED}/block");
    assert_eq!(site.ask(Method::POST, &block).send().await.status, 200);
    site
}

#[tokio::test]
async fn membership_decides_about_access() {
    let mut wrong = Vec::new();
    for operation in OPERATIONS {
        let (_, path, right) = operation;
        // A site per operation: what one changes does not decide about the next.
        let site = inhabited().await;
        for who in CALLERS {
            let answer = call(&site, who, operation).await;
            let expected = expected(right, who);
            let is_json = answer.headers["content-type"] == "application/json";
            let has_code = is_json && answer.json().get("code").is_some();
            let code = if has_code { answer.code() } else { 0 };
            if (answer.status, code) != expected {
                wrong.push(format!("{path} {who:?}: {answer:?}, not {expected:?}"));
            }
            let is_outside = !matches!(who, Who::Owner | Who::Counterparty | Who::Service);
            if is_outside && SECRETS.iter().any(|secret| answer.text.contains(secret)) {
                wrong.push(format!("{path} {who:?} leaks: {answer:?}"));
            }
            let foreign = "1,300"; // the owner's side of the trade
            if who == Who::Counterparty && right == Member && answer.text.contains(foreign) {
                wrong.push(format!("{path} {who:?} leaks: {answer:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} leaks: {wrong:#?}", wrong.len());
}

/// What was refused changed nothing: message, notification and read mark are as before.
#[tokio::test]
async fn refused_requests_change_nothing() {
    let site = inhabited().await;
    let state = async || {
        let history = site.data(OWNER, "/api/chat-room/1/history").await;
        let list = site.data(COUNTERPARTY, "/api/chat-room").await;
        let inbox = site.data(OWNER, "/api/notifications").await;
        let unread = site.data(OWNER, "/api/notifications/unread-count").await;
        let preferences = site.data(OWNER, "/api/notifications/preferences").await;
        json!([history, list, inbox, unread, preferences])
    };
    let before = state().await;
    for operation in OPERATIONS
        .into_iter()
        .filter(|(_, _, right)| *right != Port)
    {
        for who in CALLERS {
            if expected(operation.2, who) != DONE {
                call(&site, who, operation).await;
            }
        }
    }
    assert_eq!(state().await, before);
}

/// Services' and operators' operations are not on the public port, whatever the token.
#[tokio::test]
async fn public_port_has_no_internal_operation() {
    let node = TestNode::start(&[]).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let closed = OPERATIONS
        .iter()
        .filter(|(_, _, right)| matches!(right, Service | Port));
    let closed = closed.map(|(method, path, _)| (*method, *path));
    for (method, template) in closed.chain([STOPS]) {
        let method: Method = method.to_uppercase().parse().unwrap();
        let url = format!("http://{}{}", node.address, path_of(template));
        let request = client.request(method, url).bearer_auth(node.token(1));
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!((status, &body["code"]), (404, &json!(1004)), "{template}");
    }
    node.stop().await;
}
