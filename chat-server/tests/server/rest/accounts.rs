//! Events of members: ended sessions, blocks, profiles; posted to one node, in effect on another that
//! hears nothing of the first once what it has cached is too old.

use chat_server::members::CACHE_AGE_MAX;
use http::Method;
use serde_json::{Value, json};
use shared::claims::MemberToken;

use crate::rest::notifications::post;
use crate::rest::site::Site;
use crate::support::faulty_store::{EVERY, Fault};

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
