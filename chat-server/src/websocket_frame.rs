//! Header of a WebSocket frame that a server sends (RFC 6455 §5.2).
//!
//! Frames with messages are encoded once for all their receivers, past the WebSocket library, which
//! would frame and copy each of them anew. It does not read frames, and it masks nothing: only
//! clients mask.

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
}
