//! What operators see of a node.

use http::Method;
use serde_json::json;

use crate::nodes::admin;
use crate::support::client::Client;
use crate::support::raw::Raw;
use crate::support::{Site, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_by_what_they_are() {
    let site = Site::new();
    let node = site.node(&[]).await;
    node.room(1, &[1, 2]).await;
    let nobody = Raw::open(node.address).await;
    let mut first = Client::login(node.address, &node.token(1)).await;
    first.subscribe("s", "/sub/1", &[]).await;
    first.subscribe("e", "/user/queue/errors", &[]).await;
    let cookie = format!("accessToken={}", node.token(2));
    let (mut old, _) = Raw::upgrade(node.address, &[("Cookie", &*cookie)]).await;
    old.text("CONNECT\naccept-version:1.1\n\n\0").await;
    old.frame().await;
    site.clock.advance(crate::nodes::MINUTE / 6);
    let report = admin(&node, Method::GET, "/admin/connections").await;
    assert!(
        report["oldestAgeMs"].as_u64().unwrap() >= 10_000,
        "{report}"
    );
    for (field, expected) in [
        ("connections", json!(3)),
        ("byVersion", json!({"1.0": 0, "1.1": 1, "1.2": 1})),
        ("byTransport", json!({"websocket": 3})),
        ("byLogin", json!({"bearer": 1, "cookie": 1})),
        ("subscriptions", json!(2)),
        ("slowest", json!([])),
    ] {
        assert_eq!(report[field], expected, "{field}");
    }
    drop((nobody, old));
    let connections = &node.node.services.connections;
    eventually("two are gone", || connections.count() == 1).await;
    let report = admin(&node, Method::GET, "/admin/connections").await;
    assert_eq!(report["byVersion"], json!({"1.0": 0, "1.1": 0, "1.2": 1}));
    drop(first);
    node.stop().await;
}

/// A subscriber to room 2 that does not read from its socket.
async fn reads_nothing(node: &crate::support::TestNode, member: i64) -> Raw {
    let mut raw = Raw::connect_narrow(node.address).await;
    let answer = raw.ask_upgrade(node.address, &[]).await;
    assert_eq!(answer.status, 101);
    let token = node.token(member);
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
    ))
    .await;
    raw.frame().await;
    raw.text("SUBSCRIBE\nid:s\ndestination:/sub/2\nreceipt:r\n\n\0")
        .await;
    raw.frame().await;
    raw
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_named_with_what_waits_for_it() {
    let site = Site::new();
    let node = site.node(&[]).await;
    node.opaque_room(2, &[1, 2, 3]).await;
    let slow = [reads_nothing(&node, 2).await, reads_nothing(&node, 3).await];
    let mut writer = Client::login(node.address, &node.token(1)).await;
    writer.subscribe("s", "/sub/2", &[]).await;
    let large = "x".repeat(60_000);
    // More than the sockets of this computer take in.
    for _ in 0..400 {
        let frame = stomp::FrameWriter::new(stomp::Command::Send, stomp::Version::V1_2)
            .header("destination", "/pub/2")
            .body(large.as_bytes());
        writer.send(frame).await;
        writer.frame().await;
    }
    let report = admin(&node, Method::GET, "/admin/connections?limit=1").await;
    let [slowest] = &report["slowest"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    assert!(
        slowest["memberId"] == 2 || slowest["memberId"] == 3,
        "{report}"
    );
    assert!(slowest["waitingBytes"].as_u64().unwrap() > 0, "{report}");
    assert!(slowest["lag"].as_u64().unwrap() > 0, "{report}");
    let report = admin(&node, Method::GET, "/admin/topics").await;
    let [topic] = &report["slowest"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    assert_eq!(
        (&topic["topic"], &topic["followers"], &topic["behind"]),
        (&json!("room:2"), &json!(3), &json!(2))
    );
    assert!(topic["lagMax"].as_u64().unwrap() > 0, "{report}");
    assert!(topic["ring"]["bytes"].as_u64().unwrap() <= 512 << 10);
    assert_eq!(
        (&report["topics"], &report["behind"]),
        (&json!(1), &json!(2))
    );
    drop((slow, writer));
    node.stop().await;
}
