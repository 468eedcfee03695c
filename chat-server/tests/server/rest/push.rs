//! Push targets, preferences and mutes: bodies that are refused.

use http::Method;
use serde_json::{Value, json};

use crate::rest::site::Site;

/// A browser's subscription (the keys are those of RFC 8291 §5).
pub(crate) fn subscription() -> Value {
    json!({
        "endpoint": "https://push.example/p/1",
        "expirationTime": null,
        "keys": {
            "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "auth": "BTBZMqHH6r4Tts7J_aSIgg",
        },
    })
}

/// Bodies of push targets and preferences that are refused.
pub(crate) async fn bad_bodies(site: &Site) {
    let (save, browsers) = ("/api/fcm/save", "/api/push/subscriptions");
    let (preferences, mute) = ("/api/notifications/preferences", "/api/chat-room/1/mute");
    let with = |key: &str, value: Value| {
        let mut body = subscription();
        body[key] = value;
        body
    };
    let keys = json!({"p256dh": "BCVx", "auth": "BTBZMqHH6r4Tts7J_aSIgg"});
    for (method, path, body, code) in [
        (Method::POST, save, json!({"token": ""}), 1006),
        (Method::POST, save, json!({"token": "a b"}), 1006),
        (
            Method::POST,
            save,
            json!({"token": "a".repeat(1_025)}),
            1006,
        ),
        (Method::POST, save, json!({}), 1006),
        (Method::DELETE, "/api/fcm", json!({"token": 7}), 1006),
        (Method::POST, browsers, with("keys", keys), 1006),
        (
            Method::POST,
            browsers,
            with("endpoint", json!("https://127.0.0.1/")),
            1006,
        ),
        (
            Method::POST,
            browsers,
            with("endpoint", json!("http://push.example/")),
            1006,
        ),
        (
            Method::POST,
            browsers,
            with("endpoint", json!("https://localhost/")),
            1006,
        ),
        (
            Method::DELETE,
            browsers,
            with("endpoint", json!("file:///etc")),
            1006,
        ),
        (Method::PUT, preferences, json!({"chat": "loud"}), 1006),
        (Method::POST, mute, json!({"minutes": 0}), 1006),
        (Method::POST, mute, json!({"minutes": 525_601}), 1006),
        (
            Method::POST,
            "/api/chat-room/5/mute",
            json!({"minutes": 1}),
            8001,
        ),
        (
            Method::POST,
            "/api/chat-room/9/mute",
            json!({"minutes": 1}),
            8002,
        ),
        (Method::DELETE, "/api/chat-room/9/mute", json!({}), 8002),
    ] {
        let ask = site.ask(method, path).by(1).body(body.to_string());
        let answer = ask.send().await;
        assert_eq!((answer.status, answer.code()), (400, code), "{path} {body}");
    }
}
