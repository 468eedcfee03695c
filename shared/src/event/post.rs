//! The request by which the market hands events to the chat server (`POST /internal/events`).
//!
//! The sender takes the events from its outbox as text and does not read them again; the receiver
//! parses each by itself, so that one it cannot take is named by its id and holds up no other.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Envelope, EventId};
use crate::clock::LocalDateTime;

/// The body of the request.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventPost {
    /// When it was sent. A receiver refuses an old one: the sender may have given it up and posted
    /// the same events elsewhere since.
    pub posted_at: LocalDateTime,
    /// [`Envelope`]s in the order to apply them, at most [`EVENTS_MAX`](super::EVENTS_MAX).
    pub events: Vec<Box<RawValue>>,
}

/// An event that the receiver does not take. The request that had it changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedEvent {
    /// Which event.
    pub event_id: EventId,
    /// What is wrong with it, for operators.
    pub reason: String,
}

/// The `data` of the response 422.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedEvents {
    /// All that the receiver does not take.
    pub refused: Vec<RefusedEvent>,
}

/// An event that cannot be read, and whose id cannot be either: the request is malformed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event without an eventId")]
pub struct NoEventId;

/// The field by which an event is refused.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Id {
    event_id: EventId,
}

impl EventPost {
    /// Parses the events; those that the contract does not allow are returned apart.
    ///
    /// # Errors
    /// [`NoEventId`].
    pub fn parse(&self) -> Result<(Vec<Envelope>, Vec<RefusedEvent>), NoEventId> {
        let (mut events, mut refused) = (Vec::with_capacity(self.events.len()), Vec::new());
        for raw in &self.events {
            match serde_json::from_str(raw.get()) {
                Ok(event) => events.push(event),
                Err(error) => {
                    let id: Id = serde_json::from_str(raw.get()).map_err(|_no_id| NoEventId)?;
                    refused.push(RefusedEvent {
                        event_id: id.event_id,
                        reason: error.to_string(),
                    });
                }
            }
        }
        Ok((events, refused))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn post(events: &serde_json::Value) -> EventPost {
        let body = json!({ "postedAt": "2025-08-07T12:34:56.789", "events": events });
        serde_json::from_str(&body.to_string()).unwrap()
    }

    fn event(kind: &str, data: &serde_json::Value) -> serde_json::Value {
        json!({
            "v": 1, "eventId": format!("id-of-{kind}"), "kind": kind, "aggregate": "member:7",
            "aggregateSeq": 1, "occurredAt": "2025-08-07T12:34:56.789", "members": [7], "data": data,
        })
    }

    #[test]
    fn an_event_that_is_not_allowed_is_named_and_the_others_are_read() {
        let (good, bad) = (
            event("member.blocked", &json!({})),
            event("session.revoked", &json!({})),
        );
        let (events, refused) = post(&json!([good, bad])).parse().unwrap();
        assert_eq!(events.len(), 1);
        let [refused] = &refused[..] else {
            panic!("{refused:?}")
        };
        assert_eq!(refused.event_id.as_str(), "id-of-session.revoked");
        assert!(refused.reason.contains("sid"), "{refused:?}");
        assert_eq!(post(&json!([{ "kind": "x" }])).parse(), Err(NoEventId));
        assert_eq!(post(&json!(["x"])).parse(), Err(NoEventId));
    }

    #[test]
    fn events_are_passed_on_as_they_are() {
        let later = json!([{ "v": 9, "eventId": "e", "b": 1, "a": [2.50, null] }]);
        let text = serde_json::to_string(&post(&later)).unwrap();
        assert!(text.ends_with(&format!("\"events\":{later}}}")), "{text}");
    }
}
