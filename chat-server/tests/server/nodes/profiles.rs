//! Names and pictures of members: reported to one node, shown by all.

use std::time::Duration;

use chat_server::members::Profile;
use serde_json::{Value, json};
use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::text::Language;

use crate::nodes::{MINUTE, answer};
use crate::support::{PATIENCE, Site, TestNode};

/// What the market reports of member 2 to this node.
async fn report(node: &TestNode, name: &str, image_url: Option<&str>, at: UnixMillis) {
    let profile = Profile {
        name: name.to_owned(),
        image_url: image_url.map(str::to_owned),
        language: Language::English,
    };
    let members = &node.node.services.members;
    members.set_profile(two(), profile, at).await.unwrap();
}

fn two() -> MemberId {
    2_u64.try_into().unwrap()
}

/// Member 2 in the list of member 1, and among the members of their room.
async fn shown(node: &TestNode) -> Value {
    let (_, list) = answer(node, 1, "/api/chat-room").await;
    let row = &list["data"]["data"][0];
    let (name, image) = (&row["senderName"], &row["senderProfileImageUrl"]);
    let (_, members) = answer(node, 1, "/api/chat-room/1/members").await;
    let member = &members["data"][1];
    assert_eq!((&member["name"], &member["profileImageUrl"]), (name, image));
    json!([name, image])
}

async fn until_shown(node: &TestNode, expected: Value) {
    let seen = async { while shown(node).await != expected {} };
    let seen = tokio::time::timeout(PATIENCE, seen).await;
    seen.unwrap_or_else(|_| panic!("in vain: {expected}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn new_name_and_picture_show_on_all_nodes_and_an_older_report_changes_nothing() {
    let site = Site::new();
    let (a, b) = (site.node(&[]).await, site.node(&[]).await);
    let deaf = site.deaf_node(&[]).await;
    a.room(1, &[1, 2]).await;
    let all = [&a, &b, &deaf];
    for node in all {
        assert_eq!(shown(node).await, json!(["member 2", null]));
    }

    let start = a.clock.unix_millis();
    let after = |seconds| start.saturating_add(Duration::from_secs(seconds));
    report(&a, "바다", Some("https://pictures.example/1.png"), after(2)).await;
    let new = json!(["바다", "https://pictures.example/1.png"]);
    assert_eq!(shown(&a).await, new);
    until_shown(&b, new.clone()).await;
    let before = json!(["member 2", null]);
    assert_eq!(shown(&deaf).await, before, "young enough");
    site.clock.advance(MINUTE);
    assert_eq!(shown(&deaf).await, new);

    report(&b, "older", None, after(1)).await;
    site.clock.advance(MINUTE);
    for node in all {
        assert_eq!(shown(node).await, new);
    }
    // A picture that is gone is not replaced by the room's.
    report(&b, "하늘", None, after(3)).await;
    until_shown(&a, json!(["하늘", null])).await;

    let members = &a.node.services.members;
    let profile = members.profile(two()).await.unwrap().unwrap();
    assert_eq!(profile.language, Language::English);
    let one = 1_u64.try_into().unwrap();
    assert_eq!(members.profile(one).await, Ok(None));
    for node in [a, b, deaf] {
        node.stop().await;
    }
}
