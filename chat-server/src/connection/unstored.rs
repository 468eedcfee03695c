//! MESSAGE frames with what is in no log: events, errors, notices of a drain.

use stomp::{MessageTail, message_head};

use super::socket::Socket;
use crate::hub::{FrameVariant, whole_frame};

/// Writes a MESSAGE with a JSON body.
pub(super) fn push_unstored(
    socket: &mut Socket,
    variant: &FrameVariant,
    destination: &str,
    message_id: &str,
    body: &[u8],
) {
    let headers = [
        ("destination", destination),
        ("message-id", message_id),
        ("content-type", "application/json"),
    ];
    push_message(socket, variant, &headers, body);
}

/// Writes a MESSAGE with these headers, besides those that the subscription requires.
pub(super) fn push_message(
    socket: &mut Socket,
    variant: &FrameVariant,
    headers: &[(&str, &str)],
    body: &[u8],
) {
    let headers = headers.iter().copied();
    let tail = MessageTail::encode(variant.version, headers, body);
    let head = message_head(variant.version, variant.subscription.as_deref(), None);
    socket.push(&whole_frame(&head, &tail));
}
