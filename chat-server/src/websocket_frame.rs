//! WebSocket frames that a server sends (RFC 6455 §5.2): headers of messages, whole control frames.
//!
//! Frames with messages are encoded once for all their receivers, past the WebSocket library, which
//! would frame and copy each of them anew. It does not read frames (`websocket_reader` does), and it
//! masks nothing: only clients mask.

use bytes::BufMut;

/// The longest header: two bytes and eight of length.
pub const HEADER_BYTES_MAX: usize = 10;

/// What a data frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// Writes the header of an unmasked frame that holds a whole message of `length` bytes.
pub fn put_header(out: &mut impl BufMut, length: usize, payload: Payload) {
    out.put_u8(match payload {
        Payload::Text => 0x81,
        Payload::Binary => 0x82,
    });
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.put_u8(short),
        (_, Ok(medium)) => {
            out.put_u8(126);
            out.put_u16(medium);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
}

/// What a control frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The end, or the answer to it.
    Close,
    /// A question whether the peer is there.
    Ping,
    /// The answer.
    Pong,
}

/// The longest payload of a control frame.
const CONTROL_BYTES_MAX: u8 = 125;

/// Writes a control frame; the payload is cut to what one may hold.
pub fn put_control(out: &mut impl BufMut, control: Control, payload: &[u8]) {
    let length = u8::try_from(payload.len()).unwrap_or(u8::MAX);
    let length = length.min(CONTROL_BYTES_MAX);
    out.put_u8(match control {
        Control::Close => 0x88,
        Control::Ping => 0x89,
        Control::Pong => 0x8a,
    });
    out.put_u8(length);
    out.put_slice(payload.get(..usize::from(length)).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(length: usize, payload: Payload, expected: &[u8]) {
        let mut header = Vec::new();
        put_header(&mut header, length, payload);
        assert_eq!(header, expected, "{length} {payload:?}");
        assert!(header.len() <= HEADER_BYTES_MAX);
    }

    #[test]
    fn lengths_have_the_shortest_form() {
        check(0, Payload::Text, &[0x81, 0]);
        check(125, Payload::Binary, &[0x82, 125]);
        check(126, Payload::Text, &[0x81, 126, 0, 126]);
        check(65_535, Payload::Text, &[0x81, 126, 0xff, 0xff]);
        check(
            65_536,
            Payload::Binary,
            &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0],
        );
    }

    #[test]
    fn control_frames_are_never_too_long() {
        let written = |control, payload: &[u8]| {
            let mut frame = Vec::new();
            put_control(&mut frame, control, payload);
            frame
        };
        assert_eq!(written(Control::Ping, b""), [0x89, 0]);
        assert_eq!(written(Control::Pong, b"x"), [0x8a, 1, b'x']);
        assert_eq!(
            written(Control::Close, &[0x03, 0xe8]),
            [0x88, 2, 0x03, 0xe8]
        );
        for length in [125, 126, 300] {
            let frame = written(Control::Pong, &vec![b'x'; length]);
            assert_eq!((frame[1], frame.len()), (125, 127));
        }
    }
}
