//! HTTP client of the chat server's internal API for rooms (`wire.md`, "Ids, rooms"). Authenticates with a
//! service token.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::StatusCode;
use reqwest::Url;
use reqwest::redirect::Policy;
use serde::Serialize;
use serde_json::Value;
use shared::claims::{ServiceGrant, TokenId};
use shared::clock::{Clock, LocalDateTime};
use shared::ids::{MemberId, ProductId};
use shared::trace::{TRACEPARENT, TraceParent};

use super::rooms::{ChatRoom, ChatRooms, Participant, PutRoomError};
use crate::auth::KeyRing;

/// The service name in the token.
const SERVICE: &str = "market-api";

/// Bound of a response. 16 KiB: it is an envelope with an id or a text.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub struct NoClient(#[source] reqwest::Error);

/// A chat server, or a load balancer in front of several.
pub struct HttpChatRooms {
    http: reqwest::Client,
    rooms: Url,
    keys: Arc<KeyRing>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for HttpChatRooms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpChatRooms")
            .field("rooms", &self.rooms.as_str())
            .finish_non_exhaustive()
    }
}

impl HttpChatRooms {
    /// A client of the chat server at this admin address. The newest of `keys` signs the tokens.
    ///
    /// # Errors
    /// See [`NoClient`].
    pub fn new(base: &Url, keys: Arc<KeyRing>, clock: Arc<dyn Clock>) -> Result<Self, NoClient> {
        // A server in our own network: no proxy, and no redirects to follow.
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy();
        if base.scheme() == "http" {
            builder = builder.tls_certs_only([]);
        }
        let mut rooms = base.clone();
        let path = format!("{}/internal/rooms/", base.path().trim_end_matches('/'));
        rooms.set_path(&path);
        Ok(Self {
            http: builder.build().map_err(NoClient)?,
            rooms,
            keys,
            clock,
        })
    }

    fn request(&self, room: &ChatRoom) -> Result<reqwest::RequestBuilder, PutRoomError> {
        let refused = |why: String| PutRoomError::Refused(why);
        let grant = ServiceGrant {
            service: SERVICE.parse().expect("the constant is a service's name"),
            token_id: TokenId::random(&mut rand::rng()),
        };
        let token = self.keys.sign_service(grant, self.clock.unix_millis());
        let token = token.map_err(|error| refused(error.to_string()))?;
        let url = self.rooms.join(&room.id.to_string());
        let url = url.map_err(|error| refused(error.to_string()))?;
        let mut request = self.http.put(url).bearer_auth(token.expose());
        if let Some(trace) = TraceParent::current() {
            request = request.header(TRACEPARENT, trace.to_string());
        }
        Ok(request.json(&RoomBody::of(room)))
    }
}

#[async_trait]
impl ChatRooms for HttpChatRooms {
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let away = |error: reqwest::Error| PutRoomError::Away(error.without_url().to_string());
        let mut response = self.request(room)?.send().await.map_err(away)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(PutRoomError::Away("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        outcome(status, &body, room)
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
