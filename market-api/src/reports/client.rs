//! Messages through the chat server's internal API (`wire.md`, "Admin port").

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Deserialize;
use shared::ids::{MemberId, MessageId, RoomId};
use shared::web::ErrorCode;

use super::messages::{ChatMessage, ChatMessages, MessageError};
use crate::chat_api::{Call, CallError, ChatApi};

/// Bound of a response. 64 KiB: the longest message, each of whose bytes may be escaped.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Adapter over the chat server's internal API.
#[derive(Debug)]
pub struct HttpChatMessages(pub Arc<ChatApi>);

#[async_trait]
impl ChatMessages for HttpChatMessages {
    async fn message(&self, id: MessageId, reader: MemberId) -> Result<ChatMessage, MessageError> {
        let call = Call::<()> {
            method: &Method::GET,
            path: &format!("chat-messages/{}?memberId={reader}", id.get()),
            body: None,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.0.call(call).await.map_err(|error| match error {
            CallError::Away(why) => MessageError::Away(why),
            CallError::Unsent(why) => MessageError::Refused(why),
        })?;
        outcome(answer.status, &answer.body, id)
    }
}

/// The chat server's envelope; refusals have no data.
#[derive(Deserialize)]
struct Envelope {
    code: u16,
    data: Option<Body>,
}

/// A message on the wire. Fields that the market does not need are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    chat_message_id: MessageId,
    chat_room_id: RoomId,
    sender_id: Option<MemberId>,
    message: Option<String>,
}

/// The outcome of a response. Only the chat server's own envelope counts: a proxy, or another program at
/// that address, may also respond with 200.
fn outcome(status: StatusCode, body: &[u8], id: MessageId) -> Result<ChatMessage, MessageError> {
    let answer: Option<Envelope> = serde_json::from_slice(body).ok();
    let code = answer.as_ref().map(|answer| answer.code);
    let is = |known: ErrorCode| code == Some(known.number());
    let data = answer.and_then(|answer| answer.data);
    let found = data.filter(|data| data.chat_message_id == id);
    match (status, found) {
        (StatusCode::OK, Some(found)) => Ok(ChatMessage {
            room: found.chat_room_id,
            sender: found.sender_id,
            text: found.message,
        }),
        (status, _) if status.is_client_error() && is(ErrorCode::MessageUnknown) => {
            Err(MessageError::Unknown)
        }
        (status, _) if status.is_client_error() && is(ErrorCode::NotParticipant) => {
            Err(MessageError::NotParticipant)
        }
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => {
            Err(MessageError::Away(format!("it answers {status}")))
        }
        (status, _) if status.is_server_error() => {
            Err(MessageError::Away(format!("it answers {status}")))
        }
        (status, _) => Err(MessageError::Refused(format!(
            "{status}, which is no answer of a chat server's"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn only_the_chat_servers_own_answers_count() {
        let id = MessageId::try_from((7_u64 << 22) | 1).unwrap();
        let check = |status: u16, body: &Value, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let body = body.to_string();
            let found = match outcome(status, body.as_bytes(), id) {
                Ok(message) => format!("{:?}", (message.sender.map(MemberId::get), message.text)),
                Err(MessageError::Unknown) => "unknown".to_owned(),
                Err(MessageError::NotParticipant) => "not participant".to_owned(),
                Err(MessageError::Away(_)) => "away".to_owned(),
                Err(MessageError::Refused(_)) => "refused".to_owned(),
            };
            assert_eq!(found, expected, "{status} {body}");
        };
        let message = |id: u64, sender: Value, text: Value| {
            json!({"code": 0, "message": "m", "data": {"chatMessageId": id, "chatRoomId": 7,
                "senderId": sender, "message": text, "createdAt": "2025-08-07T12:34:56.789",
                "deleted": false}})
        };
        let own = id.get();
        let text = r#"(Some(3), Some("hi"))"#;
        check(200, &message(own, json!(3), json!("hi")), text);
        check(200, &message(own, json!(null), json!(null)), "(None, None)");
        check(200, &message(own + 1, json!(3), json!("hi")), "refused");
        check(200, &json!("welcome"), "refused");
        check(302, &json!(null), "refused");
        check(400, &json!({"code": 8004, "message": "m"}), "unknown");
        check(
            400,
            &json!({"code": 8002, "message": "m"}),
            "not participant",
        );
        check(400, &json!({"code": 1006}), "refused");
        check(401, &json!({"code": 2007}), "refused");
        check(404, &json!(null), "refused");
        check(429, &json!({"code": 1009}), "away");
        check(500, &json!(null), "away");
        check(503, &json!({"code": 8007}), "away");
    }
}
