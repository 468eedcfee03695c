//! ACK and NACK: the message that they name, and their effect on it.

use std::collections::VecDeque;

use super::headers::needed;
use super::output::{AckRequest, Output, Verdict};
use super::subscriptions::{Name, Refused, Subscriptions};
use crate::error::ProtocolError;
use crate::frame::{Command, Frame};
use crate::version::Version;

/// Finds the message that an ACK or NACK names; each version names it in another way.
pub(super) fn ack_request(
    frame: &Frame,
    version: Version,
    subscriptions: &Subscriptions,
) -> Result<AckRequest, ProtocolError> {
    let command = frame.command();
    let verdict = if command == Command::Nack {
        Verdict::Nack
    } else {
        Verdict::Ack
    };
    if command == Command::Nack && version == Version::V1_0 {
        return Err(ProtocolError::NackUnknown);
    }
    let (message_id, subscription) = match version {
        Version::V1_0 => (needed(frame, "message-id")?, frame.header("subscription")),
        Version::V1_1 => (
            needed(frame, "message-id")?,
            Some(needed(frame, "subscription")?),
        ),
        Version::V1_2 => {
            let (message_id, id) = needed(frame, "id")?
                .split_once('@')
                .ok_or(ProtocolError::UnknownAck)?;
            (message_id, Some(id))
        }
    };
    let message_id = message_id.parse().ok().ok_or(ProtocolError::UnknownAck)?;
    let subscription = match subscription {
        Some(id) => subscriptions.find(Name::Id(id)),
        None => subscriptions.find_waiting(message_id),
    };
    let waiting = subscription.filter(|subscription| subscription.awaits(message_id));
    let key = waiting.ok_or(ProtocolError::UnknownAck)?.key;
    Ok(AckRequest {
        key,
        message_id,
        verdict,
    })
}

/// Carries an ACK or NACK out. Within a transaction the subscription or the wait may have ended since;
/// then there is nothing left to do.
pub(super) fn settle(
    request: &AckRequest,
    subscriptions: &mut Subscriptions,
    outputs: &mut VecDeque<Output>,
) {
    let AckRequest {
        key,
        message_id,
        verdict,
    } = *request;
    let Some(subscription) = subscriptions.get_mut(key) else {
        return;
    };
    match verdict {
        Verdict::Ack => {
            if subscription.acknowledge(message_id).is_ok() {
                outputs.push_back(Output::Acknowledged { key, message_id });
            }
        }
        Verdict::Nack => {
            for refused in subscription.refuse(message_id).unwrap_or_default() {
                outputs.push_back(match refused {
                    Refused::Redeliver(message_id) => Output::Redeliver { key, message_id },
                    Refused::Rejected(message_id) => Output::Rejected { key, message_id },
                });
            }
        }
    }
}
