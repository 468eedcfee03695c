//! Events of the market in, notifications out.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::rest::site::{Answer, Site};
use crate::support::faulty_store::{Fault, Operation};

/// The id of the entry at `seq` of a member's inbox.
pub(crate) fn id(member: u64, seq: u64) -> u64 {
    (member << 22) + seq
}

fn event(event_id: &str, kind: &str, members: &[u64], data: &Value) -> Value {
    json!({
        "v": 1, "eventId": event_id, "kind": kind, "aggregate": "trade:9", "aggregateSeq": 1,
        "occurredAt": "2025-08-07T12:34:56.789", "members": members, "data": data,
    })
}

/// Member 1 buys 1.3 GB of member 2 for 1,300 won.
pub(crate) fn trade(event_id: &str) -> Value {
    let data = json!({
        "tradeId": 9, "tradeType": "PURCHASE_MOBILE_SINGLE", "buyerId": 1, "price": 1_300, "dataAmount": 1.3,
        "sales": [{
            "tradeId": 10, "sellerId": 2, "productId": 7, "price": 1_300, "fee": 30, "dataAmount": 1.3,
        }],
    });
    event(event_id, "trade.completed", &[1, 2], &data)
}

pub(crate) async fn post(site: &Site, events: &[Value]) -> Answer {
    post_at(site, "2025-08-07T12:34:56.789", events).await
}

async fn post_at(site: &Site, posted_at: &str, events: &[Value]) -> Answer {
    let body = json!({ "postedAt": posted_at, "events": events }).to_string();
    let ask = site.ask(Method::POST, "/internal/events").by_service();
    ask.body(body).send().await
}

#[track_caller]
fn assert_taken(answer: &Answer, count: usize) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["data"], json!({ "stored": count }));
}

async fn listed(site: &Site, member: u64) -> Vec<Value> {
    let data = site.data(member, "/api/notifications").await;
    data.as_array().unwrap().clone()
}

async fn unread(site: &Site, member: u64) -> u64 {
    let data = site.data(member, "/api/notifications/unread-count").await;
    data["unreadCount"].as_u64().unwrap()
}

async fn read_up_to(site: &Site, member: u64, id: u64) -> Answer {
    let ask = site.ask(Method::POST, "/api/notifications/read").by(member);
    ask.body(json!({ "upTo": id }).to_string()).send().await
}

async fn delete(site: &Site, member: u64, id: u64) -> Answer {
    let path = format!("/api/notifications/{id}");
    site.ask(Method::DELETE, &path).by(member).send().await
}

#[tokio::test]
async fn a_trade_notifies_buyer_and_seller_of_their_own_side() {
    let site = Site::start().await;
    assert_taken(&post(&site, &[trade("a")]).await, 1);
    let at = "2025-08-07T12:34:56.789";
    let bought = json!({
        "id": id(1, 1), "title": "구매 완료", "body": "데이터 1.3GB를 1,300원에 구매했습니다.",
        "createdAt": at, "kind": "trade.completed", "read": false,
        "data": {
            "role": "BUYER", "tradeId": 9, "tradeType": "PURCHASE_MOBILE_SINGLE", "price": 1_300,
            "productIds": [7], "dataAmount": 1.3,
        },
    });
    assert_eq!(listed(&site, 1).await, [bought]);
    let sold = json!({
        "id": id(2, 1), "title": "판매 완료", "body": "데이터 1.3GB를 판매해 1,270원을 받았습니다.",
        "createdAt": at, "kind": "trade.completed", "read": false,
        "data": {
            "role": "SELLER", "tradeId": 10, "tradeType": "PURCHASE_MOBILE_SINGLE", "buyerId": 1,
            "sales": [{ "tradeId": 10, "productId": 7, "price": 1_300, "fee": 30 }],
        },
    });
    assert_eq!(listed(&site, 2).await, [sold]);
    assert_eq!(listed(&site, 3).await, [json!(null); 0]);
}

#[tokio::test]
async fn a_post_that_is_repeated_changes_nothing_on_any_node() {
    let site = Site::start().await;
    let other = site.second().await;
    let batch = [trade("a"), trade("b")];
    assert_taken(&post(&site, &batch).await, 2);
    assert_taken(&post(&other, &batch).await, 2);
    assert_taken(&post(&site, &[trade("b"), trade("c")]).await, 2);
    for member in [1, 2] {
        let ids: Vec<u64> = listed(&site, member)
            .await
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [id(member, 3), id(member, 2), id(member, 1)]);
    }
}

#[tokio::test]
async fn a_repetition_in_another_language_is_the_same_event() {
    let site = Site::start().await;
    let update = |event_id: &str, language: &str, at: &str| {
        let mut event = event(
            event_id,
            "member.updated",
            &[1],
            &json!({ "name": "Kim", "language": language }),
        );
        event["occurredAt"] = at.into();
        event
    };
    assert_taken(&post(&site, &[trade("a")]).await, 1);
    let english = update("u1", "en", "2025-08-07T12:34:57.000");
    assert_taken(&post(&site, &[english, trade("a"), trade("b")]).await, 3);
    let titles = listed(&site, 1).await;
    let titles: Vec<&str> = titles
        .iter()
        .map(|row| row["title"].as_str().unwrap())
        .collect();
    assert_eq!(titles, ["Purchase complete", "구매 완료"]);
    let late = update("u0", "ko", "2025-08-07T12:34:56.000");
    assert_taken(&post(&site, &[late, trade("c")]).await, 2);
    assert_eq!(
        listed(&site, 1).await[0]["title"],
        "Purchase complete",
        "an older update changes nothing"
    );
}

#[tokio::test]
async fn unknown_kinds_and_later_versions_are_shown_in_neutral_words() {
    let site = Site::start().await;
    let unknown = event("a", "moon.landed", &[1, 2], &json!({ "crater": [1, null] }));
    let mut later = trade("b");
    later["v"] = 2.into();
    later["data"] = json!({ "parties": { "buyer": 1 } });
    assert_taken(&post(&site, &[unknown, later]).await, 2);
    for member in [1, 2] {
        let rows = listed(&site, member).await;
        let shown = |row: &Value| {
            (
                row["kind"].clone(),
                row["title"].clone(),
                row["data"].clone(),
            )
        };
        let expected = [
            (
                json!("trade.completed"),
                json!("새 알림"),
                json!({ "parties": { "buyer": 1 } }),
            ),
            (
                json!("moon.landed"),
                json!("새 알림"),
                json!({ "crater": [1, null] }),
            ),
        ];
        assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), expected);
    }
}

#[tokio::test]
async fn every_kind_of_the_golden_file_is_taken() {
    let site = Site::start().await;
    let golden = include_str!("../../../../shared/tests/golden/events.json");
    let golden: Value = serde_json::from_str(golden).unwrap();
    let events = golden["events"].as_array().unwrap();
    // After its end no member reads an inbox.
    let is_end = |event: &&Value| event["kind"] == "member.closed";
    let (ends, others): (Vec<_>, Vec<_>) = events.iter().partition(is_end);
    let [ends, others] = [ends, others].map(|all| all.into_iter().cloned().collect::<Vec<_>>());
    assert_taken(&post(&site, &others).await, others.len());
    let kinds = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|row| row["kind"].as_str().unwrap().to_owned())
            .collect()
    };
    let buyer = kinds(&listed(&site, 42).await);
    let silent = ["member.", "session.", "members."];
    let is_silent = |kind: &str| silent.iter().any(|start| kind.starts_with(start));
    let expected: Vec<String> = events
        .iter()
        .rev()
        .filter(|event| event["members"].as_array().unwrap().contains(&json!(42)))
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .filter(|kind| !is_silent(kind))
        .collect();
    assert_eq!(buyer, expected);
    assert_taken(&post(&site, &ends).await, ends.len());
}

#[tokio::test]
async fn events_that_can_never_be_stored_are_named_and_nothing_changes() {
    let site = Site::start().await;
    let bad = event("bad", "session.revoked", &[1], &json!({}));
    let mut later = event("later", "member.blocked", &[1], &json!({}));
    later["v"] = 2.into();
    let answer = post(&site, &[trade("a"), bad, later]).await;
    assert_eq!((answer.status, answer.code()), (422, 1006), "{answer:?}");
    let refused = answer.json()["data"]["refused"].clone();
    let ids: Vec<&str> = refused
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["eventId"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["bad", "later"]);
    assert!(
        refused[0]["reason"].as_str().unwrap().contains("sid"),
        "{refused}"
    );
    assert_eq!(listed(&site, 1).await, [json!(null); 0]);
    assert_taken(&post(&site, &[trade("a")]).await, 1);
}

#[tokio::test]
async fn a_post_that_is_too_old_or_malformed_is_refused() {
    let site = Site::start().await;
    let stale = post_at(&site, "2025-08-07T12:29:56.788", &[trade("a")]).await;
    assert_eq!((stale.status, stale.code()), (503, 1010));
    assert_taken(
        &post_at(&site, "2025-08-07T12:29:56.789", &[trade("a")]).await,
        1,
    );
    let many: Vec<Value> = (0..201).map(|nth| trade(&format!("n{nth}"))).collect();
    for events in [&many[..], &[json!({ "kind": "x" })], &[json!(7)]] {
        let answer = post(&site, events).await;
        assert_eq!((answer.status, answer.code()), (400, 1006), "{answer:?}");
    }
    assert_taken(&post(&site, &many[..200]).await, 200);
    assert_eq!(unread(&site, 1).await, 100, "a hundred or more");
}

#[tokio::test]
async fn a_post_during_an_outage_is_stored_once_when_it_is_repeated() {
    let site = Site::start().await;
    let batch = [trade("a"), trade("b")];
    site.store.script(Operation::Append, [Fault::ApplyThenFail]);
    site.store.set(&[Operation::Append], Fault::Fail);
    let time_passes = async {
        site.store.wait_for_calls(Operation::Append, 1).await;
        site.wait(Duration::from_secs(6));
    };
    let (answer, ()) = tokio::join!(post(&site, &batch), time_passes);
    assert_eq!((answer.status, answer.code()), (503, 8007));
    site.store.heal();
    assert_taken(&post(&site, &batch).await, 2);
    for member in [1, 2] {
        assert_eq!(listed(&site, member).await.len(), 2);
    }
}

#[tokio::test]
async fn pages_unread_count_and_read_mark_agree() {
    let site = Site::start().await;
    assert_eq!(unread(&site, 1).await, 0);
    let batch: Vec<Value> = (0..7).map(|nth| trade(&format!("n{nth}"))).collect();
    assert_taken(&post(&site, &batch).await, 7);
    assert_eq!(unread(&site, 1).await, 7);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = site
            .data(1, &format!("/api/notifications?size=3{cursor}"))
            .await;
        let ids: Vec<u64> = page
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["id"].as_u64().unwrap())
            .collect();
        let Some(last) = ids.last() else { break };
        cursor = format!("&cursorId={last}");
        seen.push(ids);
    }
    let all: Vec<u64> = (1..=7).rev().map(|seq| id(1, seq)).collect();
    assert_eq!(seen, [&all[..3], &all[3..6], &all[6..]]);

    assert_eq!(read_up_to(&site, 1, id(1, 4)).await.status, 200);
    assert_eq!(
        read_up_to(&site, 1, id(1, 2)).await.status,
        200,
        "marks never go back"
    );
    assert_eq!(unread(&site, 1).await, 3);
    let read = listed(&site, 1).await;
    let read: Vec<bool> = read
        .iter()
        .map(|row| row["read"].as_bool().unwrap())
        .collect();
    assert_eq!(read, [false, false, false, true, true, true, true]);
    assert_eq!(unread(&site, 2).await, 7, "another member's is as before");
    for (member, up_to, expected) in [(1, id(1, 8), (400, 9001)), (1, id(2, 1), (403, 1003))] {
        let answer = read_up_to(&site, member, up_to).await;
        assert_eq!((answer.status, answer.code()), expected);
    }
}

#[tokio::test]
async fn a_deleted_notification_is_gone_and_the_others_stay() {
    let site = Site::start().await;
    assert_taken(&post(&site, &[trade("a"), trade("b"), trade("c")]).await, 3);
    for (member, of, expected) in [
        (2, id(1, 2), (403, 1003)),
        (1, id(1, 9), (400, 9001)),
        (1, id(1, 2), (200, 0)),
        (1, id(1, 2), (400, 9001)),
    ] {
        let answer = delete(&site, member, of).await;
        assert_eq!((answer.status, answer.code()), expected);
    }
    let ids = listed(&site, 1).await;
    let ids: Vec<u64> = ids.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [id(1, 3), id(1, 1)]);
    assert_eq!(unread(&site, 1).await, 2);
    // The relay posts the same again: what was deleted does not come back.
    assert_taken(&post(&site, &[trade("b")]).await, 1);
    assert_eq!(listed(&site, 1).await.len(), 2);
}

#[tokio::test]
async fn a_block_by_an_event_is_applied_and_undone_in_any_order_of_posts() {
    let site = Site::start().await;
    let status = |event_id: &str, kind: &str, at: &str| {
        let mut event = event(event_id, kind, &[1], &json!({}));
        event["occurredAt"] = at.into();
        event
    };
    let blocked = status("b", "member.blocked", "2025-08-07T12:34:57.000");
    assert_taken(&post(&site, std::slice::from_ref(&blocked)).await, 1);
    let answer = site.get(1, "/api/notifications").await;
    assert_eq!((answer.status, answer.code()), (403, 2012));
    let unblocked = status("u", "member.unblocked", "2025-08-07T12:34:58.000");
    assert_taken(&post(&site, &[unblocked, blocked]).await, 2);
    assert_eq!(
        listed(&site, 1).await,
        [json!(null); 0],
        "neither is a notification"
    );
}
