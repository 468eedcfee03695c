//! Posts of events through the chat server's internal API (`wire.md`, "Events").

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use shared::event::{EventPost, RefusedEvents};

use super::receiver::{EventReceiver, PostError};
use crate::chat_api::{Call, ChatApi};

/// Bound of a response. 256 KiB: the refusals of 200 events, with a kilobyte for each.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// Adapter over the chat server's internal API.
#[derive(Debug)]
pub struct HttpEventReceiver(pub Arc<ChatApi>);

#[async_trait]
impl EventReceiver for HttpEventReceiver {
    async fn post(&self, post: EventPost) -> Result<(), PostError> {
        let call = Call {
            method: &Method::POST,
            path: "events",
            body: Some(&post),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.0.call(call).await;
        let answer = answer.map_err(|error| PostError::Away(error.to_string()))?;
        outcome(answer.status, &answer.body)
    }
}

#[derive(Deserialize)]
struct Envelope<T> {
    code: u64,
    data: T,
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "stored")]
    _count: u64,
}

/// The outcome of a response. Only the chat server's own envelopes count: a proxy, or another program at that
/// address, may also respond with 200 or 422.
fn outcome(status: StatusCode, body: &[u8]) -> Result<(), PostError> {
    let away = |why: &str| Err(PostError::Away(format!("it answers {status}{why}")));
    match status {
        StatusCode::OK => match serde_json::from_slice::<Envelope<Stored>>(body) {
            Ok(answer) if answer.code == 0 => Ok(()),
            Ok(_) | Err(_) => away(", but not as a chat server does"),
        },
        StatusCode::UNPROCESSABLE_ENTITY => {
            match serde_json::from_slice::<Envelope<RefusedEvents>>(body) {
                Ok(answer) if !answer.data.refused.is_empty() => {
                    Err(PostError::Refused(answer.data.refused))
                }
                Ok(_) | Err(_) => away(", which names no event"),
            }
        }
        StatusCode::PAYLOAD_TOO_LARGE => Err(PostError::TooLarge),
        _ => away(""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_chat_servers_own_answers_count() {
        let check = |status: u16, body: &Value, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let found = match outcome(status, body.to_string().as_bytes()) {
                Ok(()) => "stored",
                Err(PostError::Refused(_)) => "refused",
                Err(PostError::TooLarge) => "too large",
                Err(PostError::Away(_)) => "away",
            };
            assert_eq!(found, expected, "{status} {body}");
        };
        let refused = json!({"refused": [{"eventId": "e", "reason": "r"}]});
        check(200, &json!({"code": 0, "data": {"stored": 1}}), "stored");
        check(200, &json!({"code": 0, "data": {}}), "away");
        check(200, &json!({"code": 1, "data": {"stored": 1}}), "away");
        check(200, &json!("welcome"), "away");
        check(422, &json!({"code": 1006, "data": refused}), "refused");
        check(422, &json!({"code": 1006, "data": {"refused": []}}), "away");
        check(422, &json!({"code": 1006}), "away");
        check(413, &json!(null), "too large");
        for status in [201, 202, 302, 400, 401, 403, 404, 408, 409, 429, 500, 503] {
            check(status, &json!({"code": 0, "data": {"stored": 1}}), "away");
        }
    }
}
