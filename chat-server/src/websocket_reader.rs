//! Reader of the WebSocket frames of a client (RFC 6455 §5): bytes in, events out.
//!
//! The bytes may lie in a buffer that connections share: a reader keeps what is not whole yet, and
//! nothing for a client between two messages. The WebSocket library keeps a buffer for each
//! connection; here it parses the heads of frames, and judges the codes of closes.
//!
//! It reads no socket and answers nothing.

use std::io::Cursor;
use std::mem::take;

use bytes::Bytes;
use stomp::CloseCode;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{
    CloseCode as Code, Control, Data, OpCode,
};

/// The longest head of a frame: two bytes, eight of length, four of the mask.
const HEAD_BYTES_MAX: usize = 14;

/// The longest payload of a control frame (RFC 6455 §5.5).
const CONTROL_BYTES_MAX: u64 = 125;

/// The answer to a close whose code no endpoint may send (RFC 6455 §7.4.1).
const WRONG_CODE: &[u8] = b"\x03\xeaProtocol violation";

/// What a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameEvent {
    /// A whole message; its payload was added to the caller's.
    Message,
    /// A ping, with the payload of its answer.
    Ping(Bytes),
    /// A pong.
    Pong,
    /// A close, with the payload of its answer: nothing, or a code and a reason. The last event.
    Close(Bytes),
    /// A message over the limit. The last event.
    TooLarge,
    /// Bytes that are no frames of a client, or a text that is no UTF-8, with the code to close with.
    /// The last event.
    Malformed(CloseCode),
}

/// Reads the frames of one client.
#[derive(Debug)]
pub struct FrameReader {
    message_bytes_max: usize,
    idle_frames: u64,
    partial: Option<Box<Partial>>,
}

/// What is not whole yet.
#[derive(Debug, Default)]
struct Partial {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    frame: Option<Frame>,
    /// Payload of the control frame that is being read.
    control: Vec<u8>,
    /// The message that is being read. Control frames may come between its fragments.
    message: Option<Message>,
}

/// A frame whose head has been read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    is_final: bool,
    /// The mask of the next byte first.
    mask: [u8; 4],
    payload_left: usize,
}

#[derive(Debug)]
struct Message {
    kind: Kind,
    bytes: Vec<u8>,
    /// How many of them were found to be UTF-8.
    checked: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Binary,
}

/// The client broke the protocol.
const BROKEN: FrameEvent = FrameEvent::Malformed(CloseCode::PROTOCOL);

/// A text that is no UTF-8 (RFC 6455 §8.1).
const NO_UTF8: FrameEvent = FrameEvent::Malformed(CloseCode(1007));

impl FrameReader {
    /// A reader of messages of at most so many bytes.
    #[must_use]
    pub fn new(message_bytes_max: usize) -> Self {
        Self {
            message_bytes_max,
            idle_frames: 0,
            partial: None,
        }
    }

    /// The next event of the bytes received, of which it takes away what it has read; `None` when
    /// more are needed. The payload of a message is added to `messages`.
    pub fn next(&mut self, input: &mut &mut [u8], messages: &mut Vec<u8>) -> Option<FrameEvent> {
        let event = self.advance(input, messages);
        if self.partial.as_ref().is_some_and(|one| one.is_empty()) {
            self.partial = None;
        }
        event.unwrap_or_else(Some)
    }

    /// Frames that carried nothing since the last call: empty ones, pings, pongs.
    pub fn take_idle_frames(&mut self) -> u64 {
        take(&mut self.idle_frames)
    }

    /// An error is the last event.
    fn advance(
        &mut self,
        input: &mut &mut [u8],
        messages: &mut Vec<u8>,
    ) -> Result<Option<FrameEvent>, FrameEvent> {
        loop {
            let begun = self.partial.as_mut().and_then(|one| one.frame.take());
            let frame = match begun {
                Some(frame) => frame,
                None => match self.begin_frame(input)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let here = frame.payload_left.min(input.len());
            let (payload, rest) = take(input).split_at_mut(here);
            *input = rest;
            unmask(payload, frame.mask);
            if here < frame.payload_left {
                self.keep(frame, payload);
                return Ok(None);
            }
            let event = match frame.opcode {
                OpCode::Control(control) => Some(self.end_control(control, payload)?),
                OpCode::Data(data) => self.end_data(data, frame.is_final, payload, messages)?,
            };
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    /// Reads the head of a frame; `None` if it is not whole.
    fn begin_frame(&mut self, input: &mut &mut [u8]) -> Result<Option<Frame>, FrameEvent> {
        let Some((header, length)) = self.take_head(input)? else {
            return Ok(None);
        };
        let is_control = matches!(header.opcode, OpCode::Control(_));
        if is_control || length == 0 {
            self.idle_frames = self.idle_frames.saturating_add(1);
        }
        let message = self.partial.as_ref().and_then(|one| one.message.as_ref());
        let before = message.filter(|_| !is_control);
        let before = before.map_or(0, |message| message.bytes.len());
        let Some(payload_left) = self.payload_bytes(length, before) else {
            return Err(FrameEvent::TooLarge);
        };
        let has_reserved = header.rsv1 || header.rsv2 || header.rsv3;
        let is_due = match header.opcode {
            OpCode::Control(_) => header.is_final && length <= CONTROL_BYTES_MAX,
            OpCode::Data(Data::Continue) => message.is_some(),
            OpCode::Data(_) => message.is_none(),
        };
        match header.mask {
            Some(mask) if is_due && !has_reserved => Ok(Some(Frame {
                opcode: header.opcode,
                is_final: header.is_final,
                mask,
                payload_left,
            })),
            Some(_) | None => Err(BROKEN),
        }
    }

    /// The length of a payload, if that is within the limit together with the fragments before it.
    fn payload_bytes(&self, length: u64, before: usize) -> Option<usize> {
        let length = usize::try_from(length).ok()?;
        let total = before.checked_add(length)?;
        (total <= self.message_bytes_max).then_some(length)
    }

    fn take_head(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<(FrameHeader, u64)>, FrameEvent> {
        let kept = self.partial.as_ref().map_or(0, |one| one.head_bytes);
        if kept == 0 {
            let mut cursor = Cursor::new(&**input);
            let head = FrameHeader::parse(&mut cursor).map_err(|_no_frame| BROKEN)?;
            let read = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
            if head.is_some() || input.is_empty() {
                drop_front(input, read);
                return Ok(head);
            }
        }
        let partial = self.partial.get_or_insert_default();
        let room = partial.head.get_mut(kept..).unwrap_or_default();
        let more = room.len().min(input.len());
        for (place, byte) in room.iter_mut().zip(input.iter()) {
            *place = *byte;
        }
        let head = partial.head.get(..kept + more).unwrap_or_default();
        let mut cursor = Cursor::new(head);
        let head = FrameHeader::parse(&mut cursor).map_err(|_no_frame| BROKEN)?;
        let read = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
        if head.is_some() {
            partial.head_bytes = 0;
            drop_front(input, read.saturating_sub(kept));
        } else {
            partial.head_bytes = kept + more;
            drop_front(input, more);
        }
        Ok(head)
    }

    /// Keeps a frame of which this is not all.
    fn keep(&mut self, frame: Frame, payload: &[u8]) {
        let partial = self.partial.get_or_insert_default();
        match frame.opcode {
            OpCode::Control(_) => partial.control.extend_from_slice(payload),
            OpCode::Data(data) => partial.message(data).bytes.extend_from_slice(payload),
        }
        let mut mask = frame.mask;
        mask.rotate_left(payload.len() % 4);
        partial.frame = Some(Frame {
            mask,
            payload_left: frame.payload_left.saturating_sub(payload.len()),
            ..frame
        });
    }

    fn end_control(&mut self, control: Control, rest: &[u8]) -> Result<FrameEvent, FrameEvent> {
        let kept = self.partial.as_mut().map(|one| take(&mut one.control));
        let payload = match kept {
            Some(mut kept) if !kept.is_empty() => {
                kept.extend_from_slice(rest);
                Bytes::from(kept)
            }
            Some(_) | None => Bytes::copy_from_slice(rest),
        };
        match control {
            Control::Ping => Ok(FrameEvent::Ping(payload)),
            Control::Pong => Ok(FrameEvent::Pong),
            Control::Close => close_answer(payload).map(FrameEvent::Close),
            Control::Reserved(_) => Err(BROKEN),
        }
    }

    fn end_data(
        &mut self,
        data: Data,
        is_final: bool,
        rest: &[u8],
        messages: &mut Vec<u8>,
    ) -> Result<Option<FrameEvent>, FrameEvent> {
        let kept = self.partial.as_mut().filter(|one| one.message.is_some());
        let partial = match kept {
            // Nearly all messages come whole.
            None if is_final => {
                if data == Data::Text && std::str::from_utf8(rest).is_err() {
                    return Err(NO_UTF8);
                }
                messages.extend_from_slice(rest);
                return Ok(Some(FrameEvent::Message));
            }
            None => self.partial.get_or_insert_default(),
            Some(partial) => partial,
        };
        let message = partial.message(data);
        message.bytes.extend_from_slice(rest);
        message.check(is_final)?;
        if !is_final {
            return Ok(None);
        }
        let bytes = partial.message.take().map(|message| message.bytes);
        let bytes = bytes.unwrap_or_default();
        if messages.is_empty() {
            *messages = bytes;
        } else {
            messages.extend_from_slice(&bytes);
        }
        Ok(Some(FrameEvent::Message))
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.head_bytes == 0
            && self.frame.is_none()
            && self.control.is_empty()
            && self.message.is_none()
    }

    /// The message that a data frame belongs to.
    fn message(&mut self, data: Data) -> &mut Message {
        self.message.get_or_insert_with(|| Message {
            kind: match data {
                Data::Text => Kind::Text,
                Data::Continue | Data::Binary | Data::Reserved(_) => Kind::Binary,
            },
            bytes: Vec::new(),
            checked: 0,
        })
    }
}

impl Message {
    /// Checks at the end of a frame that a text is UTF-8; a character may be cut unless it is the
    /// last frame.
    fn check(&mut self, is_final: bool) -> Result<(), FrameEvent> {
        if self.kind == Kind::Binary {
            return Ok(());
        }
        let fresh = self.bytes.get(self.checked..).unwrap_or_default();
        match std::str::from_utf8(fresh) {
            Ok(_) => self.checked = self.bytes.len(),
            Err(error) if error.error_len().is_some() || is_final => return Err(NO_UTF8),
            Err(cut) => self.checked += cut.valid_up_to(),
        }
        Ok(())
    }
}

/// The payload of the answer to a close (RFC 6455 §5.5.1).
fn close_answer(payload: Bytes) -> Result<Bytes, FrameEvent> {
    let (code, reason) = match &*payload {
        [] => return Ok(payload),
        [_] => return Err(BROKEN),
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
    };
    if std::str::from_utf8(reason).is_err() {
        return Err(NO_UTF8);
    }
    if Code::from(code).is_allowed() {
        Ok(payload)
    } else {
        Ok(Bytes::from_static(WRONG_CODE))
    }
}

fn drop_front(input: &mut &mut [u8], count: usize) {
    let count = count.min(input.len());
    *input = take(input).split_at_mut(count).1;
}

/// Removes the mask, or puts it on (RFC 6455 §5.3).
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read, Write};

    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
    use tokio_tungstenite::tungstenite::{Error, Message as LibraryMessage, WebSocket};

    use super::*;

    const MESSAGE_BYTES_MAX: usize = 300;

    const MASK: [u8; 4] = [0x1b, 0xad, 0xca, 0xfe];

    /// A frame as a client sends it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..126 => bytes.push(0x80 | u8::try_from(short).unwrap()),
            medium @ 126..0x1_0000 => {
                bytes.push(0xfe);
                bytes.extend(u16::try_from(medium).unwrap().to_be_bytes());
            }
            long => {
                bytes.push(0xff);
                bytes.extend((long as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        let start = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[start..], MASK);
        bytes
    }

    /// What was read, to its end.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Seen {
        /// The messages, and what answers pings and the close.
        messages: Vec<Vec<u8>>,
        answers: Vec<u8>,
        end: Option<End>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum End {
        Close,
        TooLarge,
        Malformed(u16),
    }

    fn answer(answers: &mut Vec<u8>, first: u8, payload: &[u8]) {
        answers.extend([first, u8::try_from(payload.len()).unwrap()]);
        answers.extend_from_slice(payload);
    }

    /// What the reader finds in portions of these sizes, in turn.
    fn read(bytes: &[u8], portions: &[usize]) -> (Seen, FrameReader) {
        let mut reader = FrameReader::new(MESSAGE_BYTES_MAX);
        let mut seen = Seen::default();
        let mut rest = bytes;
        let mut portions = portions.iter().cycle();
        while !rest.is_empty() && seen.end.is_none() {
            let size = (*portions.next().unwrap()).min(rest.len());
            let (part, after) = rest.split_at(size);
            rest = after;
            // The buffer is used again for something else.
            let mut buffer = part.to_vec();
            let mut input = &mut buffer[..];
            loop {
                let mut message = Vec::new();
                let Some(event) = reader.next(&mut input, &mut message) else {
                    break;
                };
                match event {
                    FrameEvent::Message => seen.messages.push(message),
                    FrameEvent::Ping(payload) => answer(&mut seen.answers, 0x8a, &payload),
                    FrameEvent::Pong => {}
                    FrameEvent::Close(payload) => {
                        answer(&mut seen.answers, 0x88, &payload);
                        seen.end = Some(End::Close);
                    }
                    FrameEvent::TooLarge => seen.end = Some(End::TooLarge),
                    FrameEvent::Malformed(code) => seen.end = Some(End::Malformed(code.0)),
                }
                if seen.end.is_some() {
                    break;
                }
            }
        }
        (seen, reader)
    }

    /// Bytes that came, and those that are answered.
    struct Stream<'a>(&'a [u8], Vec<u8>);

    impl Read for Stream<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.0.read(buf)
        }
    }

    impl Write for Stream<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the library finds.
    fn read_by_library(bytes: &[u8]) -> Seen {
        let config = WebSocketConfig::default()
            .max_frame_size(Some(MESSAGE_BYTES_MAX))
            .max_message_size(Some(MESSAGE_BYTES_MAX));
        let stream = Stream(bytes, Vec::new());
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, Some(config));
        let mut seen = Seen::default();
        loop {
            match socket.read() {
                Ok(LibraryMessage::Text(text)) => seen.messages.push(text.as_bytes().to_vec()),
                Ok(LibraryMessage::Binary(bytes)) => seen.messages.push(bytes.to_vec()),
                Ok(LibraryMessage::Close(_)) => seen.end = Some(End::Close),
                Ok(_) => {}
                Err(Error::ConnectionClosed) => break,
                Err(Error::Capacity(_)) => {
                    seen.end = Some(End::TooLarge);
                    break;
                }
                Err(Error::Utf8(_)) => {
                    seen.end = Some(End::Malformed(1007));
                    break;
                }
                // So the library also calls the end of the bytes.
                Err(Error::Protocol(_)) if socket.get_ref().0.is_empty() => break,
                Err(Error::Protocol(_)) => {
                    seen.end = Some(End::Malformed(1002));
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        seen.answers = socket.get_ref().1.clone();
        seen
    }

    #[track_caller]
    fn check(frames: &[Vec<u8>], messages: &[&[u8]], answers: &[u8], end: Option<End>) {
        let bytes = frames.concat();
        for portions in [&[1][..], &[2], &[3, 1, 7], &[bytes.len()]] {
            let (seen, reader) = read(&bytes, portions);
            assert_eq!(seen.messages, messages, "in portions of {portions:?}");
            assert_eq!((&*seen.answers, seen.end), (answers, end), "{portions:?}");
            if end.is_none() {
                assert!(reader.partial.is_none(), "nothing is kept: {reader:?}");
            }
        }
    }

    #[test]
    fn whole_messages_are_read_and_nothing_is_kept() {
        check(
            &[frame(0x81, b"one"), frame(0x82, b"\xff")],
            &[b"one", b"\xff"],
            b"",
            None,
        );
        check(
            &[frame(0x81, b""), frame(0x82, b"")],
            &[b"", b""],
            b"",
            None,
        );
        let long = [b'x'; MESSAGE_BYTES_MAX];
        check(&[frame(0x81, &long)], &[&long], b"", None);
    }

    #[test]
    fn fragments_are_joined_with_control_frames_between_them() {
        let frames = [
            frame(0x01, b"\xec\x95"),
            frame(0x89, b"still there?"),
            frame(0x00, b"\x88\xeb\x85"),
            frame(0x8a, b""),
            frame(0x00, b""),
            frame(0x80, b"\x95"),
            frame(0x82, b"next"),
        ];
        let message = "안녕".as_bytes();
        check(&frames, &[message, b"next"], b"\x8a\x0cstill there?", None);
    }

    #[test]
    fn a_close_is_answered_with_its_code() {
        let close = |payload: &[u8]| [frame(0x88, payload), frame(0x81, b"late")];
        let closed = Some(End::Close);
        check(&close(b""), &[], b"\x88\x00", closed);
        check(&close(b"\x03\xe8bye"), &[], b"\x88\x05\x03\xe8bye", closed);
        check(&close(b"\x0f\xa1"), &[], b"\x88\x02\x0f\xa1", closed);
        let wrong = [b"\x88\x14", WRONG_CODE].concat();
        check(&close(b"\x03\xed"), &[], &wrong, closed);
        check(&close(b"\x00\x01"), &[], &wrong, closed);
        check(&close(b"\x03"), &[], b"", Some(End::Malformed(1002)));
        let no_utf8 = Some(End::Malformed(1007));
        check(&close(b"\x03\xe8\xff"), &[], b"", no_utf8);
    }

    #[test]
    fn what_a_client_may_not_send_ends_the_reading() {
        let broken = Some(End::Malformed(1002));
        let mut unmasked = frame(0x81, b"hello");
        unmasked[1] &= 0x7f;
        for wrong in [
            vec![unmasked],
            vec![frame(0xc1, b"x")],
            vec![frame(0xa1, b"x")],
            vec![frame(0x91, b"x")],
            vec![frame(0x83, b"x")],
            vec![frame(0x8b, b"x")],
            vec![frame(0x09, b"x")],
            vec![frame(0x89, &[b'x'; 126])],
            vec![frame(0x80, b"x")],
            vec![frame(0x01, b"x"), frame(0x81, b"y")],
        ] {
            check(&wrong, &[], b"", broken);
        }
        let no_utf8 = Some(End::Malformed(1007));
        check(&[frame(0x81, b"\xff")], &[], b"", no_utf8);
        check(&[frame(0x81, b"\xec\x95")], &[], b"", no_utf8);
        // Before the message is whole.
        check(&[frame(0x01, b"a\xff")], &[], b"", no_utf8);
        let cut = [frame(0x01, b"\xec\x95"), frame(0x80, b"x")];
        check(&cut, &[], b"", no_utf8);
    }

    #[test]
    fn a_message_over_the_limit_ends_the_reading_with_its_head() {
        let too_large = Some(End::TooLarge);
        let long = [b'x'; MESSAGE_BYTES_MAX + 1];
        check(&[frame(0x81, &long)[..8].to_vec()], &[], b"", too_large);
        let endless = [&[0x82, 0xff][..], &[0xff; 8], &MASK].concat();
        check(&[endless], &[], b"", too_large);
        let (first, rest) = long.split_at(200);
        let fragments = [
            frame(0x02, first),
            frame(0x89, &rest[..100]),
            frame(0x80, rest),
        ];
        let pong = [&[0x8a, 100], &rest[..100]].concat();
        check(&fragments, &[], &pong, too_large);
    }

    #[test]
    fn frames_that_carry_nothing_are_counted_however_they_are_cut() {
        let frames = [
            frame(0x81, b""),
            frame(0x81, &[b'x'; 125]),
            frame(0x01, &[b'x'; 126]),
            frame(0x00, b""),
            frame(0x80, b""),
            frame(0x89, b""),
            frame(0x8a, &[b'x'; 125]),
            frame(0x81, b"x"),
        ];
        let bytes = frames.concat();
        for portion in [1, 2, 3, 7, 1_000] {
            let mut reader = read(&bytes, &[portion]).1;
            assert_eq!(reader.take_idle_frames(), 5, "in portions of {portion}");
            assert_eq!(reader.take_idle_frames(), 0);
        }
    }

    /// Frames of a client that mostly keeps to the protocol.
    fn frames() -> impl Strategy<Value = Vec<u8>> {
        let first = prop_oneof![
            6 => Just(0x81_u8),
            6 => Just(0x82),
            3 => Just(0x01),
            2 => Just(0x02),
            6 => Just(0x00),
            6 => Just(0x80),
            2 => Just(0x89),
            1 => Just(0x8a),
            1 => Just(0x88),
            1 => any::<u8>(),
        ];
        let payload = prop_oneof![
            4 => "[a-z안녕]{0,40}".prop_map(String::into_bytes),
            1 => "[a-z안녕]{40,120}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..8),
        ];
        let one = (first, payload).prop_map(|(first, payload)| frame(first, &payload));
        prop::collection::vec(one, 0..12).prop_map(|frames| frames.concat())
    }

    proptest! {
        /// The library that read the frames before is the reference.
        #[test]
        fn the_library_reads_the_same(
            mut bytes in frames(),
            damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..2),
            portions in prop::collection::vec(1_usize..60, 1..6),
        ) {
            for (place, byte) in damages {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            let seen = read(&bytes, &portions).0;
            let expected = read_by_library(&bytes);
            prop_assert_eq!(&seen.messages, &expected.messages);
            prop_assert_eq!(&seen.answers, &expected.answers);
            // The library reads a frame to its end before it judges it.
            if expected.end.is_some() {
                prop_assert_eq!(seen.end, expected.end);
            }
            prop_assert_eq!(seen, read(&bytes, &[bytes.len().max(1)]).0);
        }
    }
}
