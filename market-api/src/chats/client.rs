//! Rooms through the chat server's internal API (`wire.md`, "Ids, rooms").

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};

use super::rooms::{ChatRoom, ChatRooms, Participant, PutRoomError};
use crate::chat_api::{Call, CallError, ChatApi};

/// Bound of a response. 16 KiB: it is an envelope with an id or a text.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Adapter over the chat server's internal API.
#[derive(Debug)]
pub struct HttpChatRooms(pub Arc<ChatApi>);

#[async_trait]
impl ChatRooms for HttpChatRooms {
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let call = Call {
            method: &Method::PUT,
            path: &format!("rooms/{}", room.id),
            body: Some(&RoomBody::of(room)),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.0.call(call).await.map_err(|error| match error {
            CallError::Away(why) => PutRoomError::Away(why),
            CallError::Unsent(why) => PutRoomError::Refused(why),
        })?;
        outcome(answer.status, &answer.body, room)
    }
}

/// The outcome of a response. Only the chat server's own envelope counts: a proxy, or another program at
/// that address, may also respond with 200.
fn outcome(status: StatusCode, body: &[u8], room: &ChatRoom) -> Result<(), PutRoomError> {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let code = answer["code"].as_u64();
    match status {
        StatusCode::OK if answer["data"]["chatRoomId"] == room.id.get() => Ok(()),
        StatusCode::CONFLICT => Err(PutRoomError::Taken),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
            Err(PutRoomError::Away(format!("it answers {status}")))
        }
        status if status.is_client_error() && code.is_some() => {
            let code = code.unwrap_or_default();
            Err(PutRoomError::Refused(format!("{status}, code {code}")))
        }
        status if status.is_server_error() => {
            Err(PutRoomError::Away(format!("it answers {status}")))
        }
        status => Err(PutRoomError::Refused(format!(
            "{status}, which is no answer of a chat server's"
        ))),
    }
}

/// The request body: `shared/tests/golden/put_room.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RoomBody<'a> {
    members: [MemberBody<'a>; 2],
    product: ProductBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberBody<'a> {
    member_id: MemberId,
    role: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProductBody {
    product_id: ProductId,
    item_id: ProductId,
    item_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<LocalDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<LocalDateTime>,
}

impl<'a> RoomBody<'a> {
    fn of(room: &'a ChatRoom) -> Self {
        let member = |one: &'a Participant, role| MemberBody {
            member_id: one.member,
            role,
            name: &one.name,
            image_url: one.image_url.as_deref(),
        };
        let (start_time, end_time) = room.hours.unzip();
        Self {
            members: [member(&room.buyer, "BUYER"), member(&room.seller, "SELLER")],
            product: ProductBody {
                product_id: room.product,
                item_id: room.product,
                item_type: room.kind.name(),
                start_time,
                end_time,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::products::Kind;

    fn room() -> ChatRoom {
        let person = |id: u64, name: &str, image: Option<&str>| Participant {
            member: id.try_into().unwrap(),
            name: name.to_owned(),
            image_url: image.map(str::to_owned),
        };
        let at = |text: &str| text.parse().unwrap();
        ChatRoom {
            id: 7_u64.try_into().unwrap(),
            product: 12_u64.try_into().unwrap(),
            kind: Kind::Wifi,
            hours: Some((at("2025-08-07T10:00:00"), at("2025-08-07T22:00:00"))),
            buyer: person(1, "김바다", Some("https://pictures.example/1.png")),
            seller: person(2, "이하늘", None),
        }
    }

    #[test]
    fn a_room_is_sent_as_both_servers_agreed() {
        let golden = include_str!("../../../shared/tests/golden/put_room.json");
        let golden: Value = serde_json::from_str(golden).unwrap();
        assert_eq!(serde_json::to_value(RoomBody::of(&room())).unwrap(), golden);
    }

    #[test]
    fn only_the_chat_servers_own_answers_count() {
        let check = |status: u16, body: &Value, expected: &str| {
            let status = StatusCode::from_u16(status).unwrap();
            let body = body.to_string();
            let found = match outcome(status, body.as_bytes(), &room()) {
                Ok(()) => "made",
                Err(PutRoomError::Away(_)) => "away",
                Err(PutRoomError::Taken) => "taken",
                Err(PutRoomError::Refused(_)) => "refused",
            };
            assert_eq!(found, expected, "{status} {body}");
        };
        check(200, &json!({"code": 0, "data": {"chatRoomId": 7}}), "made");
        check(
            200,
            &json!({"code": 0, "data": {"chatRoomId": 8}}),
            "refused",
        );
        check(200, &json!("welcome"), "refused");
        check(302, &json!(null), "refused");
        check(400, &json!({"code": 1006}), "refused");
        check(401, &json!({"code": 2007}), "refused");
        check(404, &json!(null), "refused");
        check(409, &json!({"code": 8010}), "taken");
        check(429, &json!({"code": 1009}), "away");
        check(500, &json!(null), "away");
        check(503, &json!({"code": 1010}), "away");
    }
}
