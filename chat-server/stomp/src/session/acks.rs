//! ACK and NACK: finding the message and settling it.

use super::Session;
use super::client_frames::needed;
use super::output::Output;
use super::subscriptions::{Name, Refused, SubscriptionKey};
use crate::error::ProtocolError;
use crate::frame::{Command, Frame};
use crate::version::Version;

/// An ACK or NACK of a message that waits for one.
#[derive(Debug)]
pub(super) struct AckRequest {
    key: SubscriptionKey,
    message_id: u64,
    verdict: Verdict,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Ack,
    Nack,
}

impl Session {
    /// Finds the message of an ACK or NACK; each version names it in another way.
    pub(super) fn ack_request(
        &self,
        frame: &Frame,
        version: Version,
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
            Some(id) => self.subscriptions.find(Name::Id(id)),
            None => self.subscriptions.find_waiting(message_id),
        };
        let waiting = subscription.filter(|subscription| subscription.awaits(message_id));
        let key = waiting.ok_or(ProtocolError::UnknownAck)?.key;
        Ok(AckRequest {
            key,
            message_id,
            verdict,
        })
    }

    /// Settles the message. In a transaction the subscription or the wait may have ended since;
    /// then it does nothing.
    pub(super) fn settle(&mut self, request: &AckRequest) {
        let AckRequest {
            key,
            message_id,
            verdict,
        } = *request;
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        match verdict {
            Verdict::Ack => {
                if subscription.acknowledge(message_id).is_ok() {
                    self.outputs
                        .push_back(Output::Acknowledged { key, message_id });
                }
            }
            Verdict::Nack => {
                for refused in subscription.refuse(message_id).unwrap_or_default() {
                    self.outputs.push_back(match refused {
                        Refused::Redeliver(message_id) => Output::Redeliver { key, message_id },
                        Refused::Rejected(message_id) => Output::Rejected { key, message_id },
                    });
                }
            }
        }
    }
}
