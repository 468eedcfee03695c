//! Events of members: ended sessions, blocks, profiles, separations, ends of accounts; posted to one node, in effect on another that
//! hears nothing of the first once what it has cached is too old.

use std::time::Duration;

use chat_server::log::Topic;
use chat_server::members::CACHE_AGE_MAX;
use chat_server::store::{MessageStore as _, ReadConsistency, RecordStore as _, RoomStore as _};
use http::Method;
use serde_json::{Value, json};
use shared::claims::MemberToken;
use shared::ids::Seq;

use crate::rest::notifications::{post, trade};
use crate::rest::push::subscription;
use crate::rest::site::{Site, member_id, room_id};
use crate::support::faulty_store::{EVERY, Fault, Operation};

const ROOMS: &str = "/api/chat-room";

/// An event of a member, so many seconds after the site's start.
fn event(id: &str, kind: &str, member: u64, second: u64, data: &Value) -> Value {
    json!({
        "v": 1, "eventId": id, "kind": kind, "aggregate": format!("member:{member}"),
        "aggregateSeq": second + 1, "occurredAt": format!("2025-08-07T12:34:{second:02}.000"),
        "members": [member], "data": data,
    })
}

async fn take(site: &Site, event: Value) {
    let answer = post(site, &[event]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn status(site: &Site, member: u64) -> (u16, u64) {
    let answer = site.get(member, ROOMS).await;
    (answer.status, answer.code())
}

#[tokio::test]
async fn revoked_session_is_refused_whatever_token_of_it_is_shown() {
    let site = Site::start().await;
    let other = site.second().await;
    for node in [&site, &other] {
        assert_eq!(status(node, 1).await, (200, 0));
    }
    // The tokens of these tests all have this family; it counts for its member alone.
    let sid = json!({ "sid": "family" });
    for _repeated in 0..2 {
        take(&site, event("a", "session.revoked", 1, 1, &sid)).await;
    }
    assert_eq!(status(&site, 1).await, (401, 2007));
    site.wait(CACHE_AGE_MAX);
    assert_eq!(status(&other, 1).await, (401, 2007));
    assert_eq!(status(&site, 2).await, (200, 0));
    let refresh = site.token(1, MemberToken::Refresh);
    let by_refresh = |value: String| site.ask(Method::GET, ROOMS).header("cookie", &value);
    let answer = by_refresh(format!("refreshToken={}", refresh.expose()));
    let answer = answer.send().await;
    assert_eq!((answer.status, answer.code()), (401, 2007));

    // Nothing is let in that the store cannot vouch for.
    site.wait(CACHE_AGE_MAX);
    site.store.set(&EVERY, Fault::Fail);
    assert_eq!(status(&site, 1).await, (503, 8007));
    site.store.heal();
    assert_eq!(status(&site, 1).await, (401, 2007));
}

#[tokio::test]
async fn blocks_count_in_the_order_in_which_they_happened() {
    let site = Site::start().await;
    let other = site.second().await;
    assert_eq!(status(&other, 1).await, (200, 0));
    take(&site, event("a", "member.blocked", 1, 1, &json!({}))).await;
    assert_eq!(status(&site, 1).await, (403, 2012));
    site.wait(CACHE_AGE_MAX);
    assert_eq!(status(&other, 1).await, (403, 2012));
    take(&other, event("b", "member.unblocked", 1, 3, &json!({}))).await;
    assert_eq!(status(&other, 1).await, (200, 0));
    site.wait(CACHE_AGE_MAX);
    assert_eq!(status(&site, 1).await, (200, 0));
    take(&site, event("c", "member.blocked", 1, 2, &json!({}))).await;
    assert_eq!(status(&site, 1).await, (200, 0));
}

#[tokio::test]
async fn newest_profile_is_shown_whatever_came_last() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    let name = async || site.data(1, ROOMS).await["data"][0]["senderName"].clone();
    assert_ne!(name().await, "바다");
    let named = |id: &str, second: u64, name: &str| {
        let data = json!({ "name": name, "language": "en" });
        event(id, "member.updated", 2, second, &data)
    };
    take(&site, named("a", 2, "바다")).await;
    assert_eq!(name().await, "바다");
    take(&site, named("b", 1, "older")).await;
    assert_eq!(name().await, "바다");
}

/// Whether member 1 is shown if member 2 is online: not while one has blocked the other.
async fn are_together(site: &Site) -> bool {
    let members = site.data(1, "/api/chat-room/1/members").await;
    assert_eq!(members[1]["memberId"], 2);
    members[1].get("online").is_some()
}

/// One member blocks another, or undoes that.
fn pair_event(id: &str, kind: &str, [blocker, blocked]: [u64; 2], second: u64, seq: u64) -> Value {
    let data = json!({ "blockerId": blocker, "blockedId": blocked });
    let mut event = event(id, kind, blocker, second, &data);
    event["aggregateSeq"] = seq.into();
    event
}

#[tokio::test]
async fn separations_count_in_the_order_in_which_they_happened() {
    let site = Site::start().await;
    let other = site.second().await;
    site.pair(1, 1, 2).await;
    for node in [&site, &other] {
        assert!(are_together(node).await);
    }
    let separated =
        |id: &str, second, seq| pair_event(id, "members.separated", [1, 2], second, seq);
    let reunited = |id: &str, second, seq| pair_event(id, "members.reunited", [1, 2], second, seq);
    for _repeated in 0..2 {
        take(&site, separated("a", 1, 1)).await;
    }
    assert!(!are_together(&site).await);
    site.wait(CACHE_AGE_MAX);
    assert!(!are_together(&other).await);
    // The later one comes first, then the earlier one, which changes nothing.
    take(&site, reunited("b", 4, 4)).await;
    take(&site, separated("c", 3, 3)).await;
    take(&site, separated("a", 1, 1)).await;
    assert!(are_together(&site).await);
    // Of one millisecond the number decides, in one post and in two.
    let both = [reunited("e", 5, 6), separated("d", 5, 5)];
    assert_eq!(post(&site, &both).await.status, 200);
    assert!(are_together(&site).await);
    take(&site, separated("f", 5, 7)).await;
    take(&site, reunited("e", 5, 6)).await;
    assert!(!are_together(&site).await);
    // Each side's block ends on its own.
    let of_two = |id, kind, second| pair_event(id, kind, [2, 1], second, second);
    take(&site, of_two("g", "members.separated", 8)).await;
    take(&site, reunited("h", 9, 8)).await;
    assert!(!are_together(&site).await);
    take(&site, of_two("i", "members.reunited", 10)).await;
    assert!(are_together(&site).await);
    // Oneself is nobody's pair.
    take(&site, pair_event("j", "members.separated", [1, 1], 11, 11)).await;
    assert!(are_together(&site).await);
    site.wait(CACHE_AGE_MAX);
    assert!(are_together(&other).await);
    site.store.set(&EVERY, Fault::Fail);
    let answer = post(&site, &[separated("k", 12, 12)]).await;
    assert_eq!((answer.status, answer.code()), (503, 8007));
}

/// What member 1 is shown of member 2, in the list and among the members.
async fn shown(site: &Site) -> Value {
    let row = site.data(1, ROOMS).await["data"][0].clone();
    let members = site.data(1, "/api/chat-room/1/members").await;
    let (name, picture) = (&row["senderName"], &row["senderProfileImageUrl"]);
    assert_eq!(
        (&members[1]["name"], &members[1]["profileImageUrl"]),
        (name, picture)
    );
    json!([name, picture])
}

#[tokio::test]
async fn closed_account_keeps_its_messages_under_a_neutral_name_whatever_comes_later() {
    let site = Site::start().await;
    let other = site.second().await;
    site.pair(1, 1, 2).await;
    site.say(1, 2, "안녕하세요").await;
    let updated = |id: &str, second: u64| {
        let picture = "https://pictures.example/2.png";
        let data = json!({ "name": "바다", "imageUrl": picture, "language": "en" });
        event(id, "member.updated", 2, second, &data)
    };
    take(&site, updated("a", 1)).await;
    assert_eq!(shown(&other).await[0], "바다");
    let closed = event("b", "member.closed", 2, 5, &json!({}));
    let neutral = json!(["탈퇴한 회원", null]);
    for _repeated in 0..2 {
        take(&site, closed.clone()).await;
        assert_eq!(shown(&site).await, neutral);
    }
    // Also changes with a later time, as clocks differ; and in the post of the end itself.
    let late = [
        updated("c", 6),
        closed.clone(),
        updated("d", 4),
        updated("e", 7),
    ];
    assert_eq!(post(&site, &late).await.status, 200);
    for (id, second) in [("f", 3), ("g", 5), ("h", 30)] {
        take(&site, updated(id, second)).await;
    }
    take(&site, event("i", "member.unblocked", 2, 31, &json!({}))).await;
    site.wait(CACHE_AGE_MAX);
    for node in [&site, &other] {
        assert_eq!(shown(node).await, neutral);
        assert_eq!(status(node, 2).await, (403, 2012));
        let history = node.data(1, "/api/chat-room/1/history").await;
        let message = &history["data"][0];
        assert_eq!(
            (&message["message"], &message["senderId"]),
            (&json!("안녕하세요"), &json!(2))
        );
    }
    // The room itself has the name, too, for when profiles cannot be read.
    let room = site.store.room(room_id(1)).await.unwrap().unwrap();
    let stored = room.member(member_id(2)).unwrap();
    assert_eq!(
        (stored.name.as_str(), &stored.image_url),
        ("탈퇴한 회원", &None)
    );
    assert_eq!(room.member(member_id(1)).unwrap().name, "구매자 1");
}

#[tokio::test]
async fn end_of_an_account_removes_what_only_its_member_had() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    let booked = json!({
        "tradeId": 9, "buyerId": 1, "productId": 8, "sellerId": 2,
        "startTime": "2025-08-07T12:30:00.000", "endTime": "2025-08-07T13:00:00.000",
    });
    let mut start = event("a", "wifi.started", 1, 1, &booked);
    start["members"] = json!([1, 2]);
    assert_eq!(post(&site, &[start, trade("b")]).await.status, 200);
    for (method, path, body) in [
        (Method::POST, "/api/fcm/save", json!({ "token": "t" })),
        (Method::POST, "/api/push/subscriptions", subscription()),
        (
            Method::PUT,
            "/api/notifications/preferences",
            json!({ "chat": "live" }),
        ),
        (
            Method::POST,
            "/api/chat-room/1/mute",
            json!({ "minutes": 5 }),
        ),
    ] {
        let ask = site.ask(method, path).by(1).body(body.to_string());
        assert_eq!(ask.send().await.status, 200, "{path}");
    }
    let closed = event("c", "member.closed", 1, 5, &json!({}));
    // What fails half-way is done by the repetition.
    site.wait(Duration::from_millis(1));
    site.store.script(Operation::Delete, [Fault::Fail]);
    assert_eq!(
        post(&site, std::slice::from_ref(&closed)).await.code(),
        8007
    );
    take(&site, closed).await;
    let left = site.store.records(member_id(1), "").await.unwrap();
    let left: Vec<&str> = left.iter().map(|record| &*record.key).collect();
    assert_eq!(left, ["profile:closed", "session:*"]);
    let inbox = Topic::Inbox(member_id(1));
    let (first, last) = (Seq::FIRST, 9_u64.try_into().unwrap());
    let entries = site.store.read(inbox, first, last, ReadConsistency::Serial);
    let entries = entries.await.unwrap();
    assert_eq!(entries.len(), 3, "an alarm and two notifications");
    for entry in entries {
        assert!(entry.deleted && entry.draft.body.is_empty(), "{entry:?}");
    }
    // The other side keeps its own.
    let listed = site.data(2, "/api/notifications").await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
}
