//! Arbitrary bytes through the decoder, split in several ways.
//!
//! The first byte says how: its low two bits choose the version, the third the limits, the rest
//! the size of the portions. Run by the fuzz target and, over the committed seeds, by a test.

use bytes::Bytes;
use stomp::{Command, DecodeFailure, Decoder, Frame, FrameWriter, Limits, Version};

/// So narrow that short inputs reach every one of them.
const NARROW: Limits = Limits {
    command_bytes_max: 12,
    headers_max: 5,
    header_line_bytes_max: 40,
    frame_bytes_max: 160,
    total_bytes_max: Some(1_000),
};

#[derive(Clone, Copy)]
struct Setting {
    version: Option<Version>,
    limits: Limits,
}

/// What came out, with all there is in a frame.
#[derive(Debug, PartialEq)]
enum Event {
    Frame {
        command: Command,
        headers: Vec<(String, String)>,
        body: Bytes,
    },
    Failure(DecodeFailure),
    Waiting(usize),
}

/// Every split gives the same frames and the same failure, in linear time and bounded memory, and
/// what was read can be written and read again.
pub(crate) fn decode(data: &[u8]) {
    let Some((&choice, stream)) = data.split_first() else {
        return;
    };
    let version = match choice & 3 {
        0 => None,
        1 => Some(Version::V1_0),
        2 => Some(Version::V1_1),
        _ => Some(Version::V1_2),
    };
    let limits = if choice & 4 == 0 {
        Limits::after_login()
    } else {
        NARROW
    };
    let setting = Setting { version, limits };
    let portion = usize::from(choice >> 3) + 2;
    let (whole, examined) = run(setting, stream, stream.len().max(1));
    for size in [1, portion] {
        let (split, examined_split) = run(setting, stream, size);
        assert_eq!(split, whole, "in portions of {size}");
        assert_eq!(examined_split, examined, "a byte was searched twice");
    }
    if let Some(version) = version {
        for event in whole {
            check_round_trip(event, version);
        }
    }
}

fn run(setting: Setting, stream: &[u8], portion: usize) -> (Vec<Event>, u64) {
    let mut decoder = Decoder::new(setting.limits);
    if let Some(version) = setting.version {
        decoder.set_version(version);
    }
    let mut events = Vec::new();
    let mut fed = 0;
    for part in stream.chunks(portion) {
        decoder.feed(Bytes::copy_from_slice(part));
        fed += part.len();
        let held = decoder.buffered_bytes();
        assert!(held <= setting.limits.frame_bytes_max + part.len());
        let failure = drain(&mut decoder, &mut events);
        assert!(decoder.examined_bytes() <= 4 * fed as u64);
        assert!(decoder.buffered_bytes() < setting.limits.frame_bytes_max);
        if let Some(failure) = failure {
            check_failed(&mut decoder, &failure);
            events.push(Event::Failure(failure));
            return (events, decoder.examined_bytes());
        }
    }
    events.push(Event::Waiting(decoder.buffered_bytes()));
    (events, decoder.examined_bytes())
}

fn drain(decoder: &mut Decoder, events: &mut Vec<Event>) -> Option<DecodeFailure> {
    loop {
        match decoder.next_frame() {
            Ok(Some(frame)) => events.push(event(&frame)),
            Ok(None) => return None,
            Err(failure) => return Some(failure),
        }
    }
}

fn event(frame: &Frame) -> Event {
    let mut names: Vec<_> = frame.headers().map(|(name, _)| name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a repeated header was kept");
    let headers = frame.headers();
    Event::Frame {
        command: frame.command(),
        headers: headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        body: frame.body().clone(),
    }
}

fn check_failed(decoder: &mut Decoder, failure: &DecodeFailure) {
    decoder.feed(Bytes::from_static(b"BEGIN\n\n\0"));
    assert_eq!(decoder.next_frame().as_ref().err(), Some(failure));
    assert_eq!(decoder.buffered_bytes(), 0);
}

fn check_round_trip(event: Event, version: Version) {
    let Event::Frame {
        command,
        headers,
        body,
    } = event
    else {
        return;
    };
    let mut writer = FrameWriter::new(command, version);
    for (name, value) in &headers {
        writer = writer.header(name, value);
    }
    let bytes = if body.is_empty() {
        writer.end()
    } else {
        writer.body(&body)
    };
    let setting = Setting {
        version: Some(version),
        limits: Limits {
            header_line_bytes_max: 1 << 20,
            frame_bytes_max: 1 << 20,
            ..Limits::after_login()
        },
    };
    let (events, _) = run(setting, &bytes, bytes.len());
    let [Event::Frame { .. }, Event::Waiting(0)] = events.as_slice() else {
        unreachable!("{bytes:?} came back as {events:?}");
    };
    let expected = Event::Frame {
        command,
        headers: as_written(headers, command, version, body.len()),
        body,
    };
    assert_eq!(events.first(), Some(&expected));
}

/// What becomes of headers that were read, once they are written and read again.
fn as_written(
    headers: Vec<(String, String)>,
    command: Command,
    version: Version,
    body_bytes: usize,
) -> Vec<(String, String)> {
    let opens = matches!(
        command,
        Command::Connect | Command::Stomp | Command::Connected
    );
    let raw = opens || version == Version::V1_0;
    let mut kept: Vec<(String, String)> = Vec::new();
    let own = (body_bytes > 0).then(|| ("content-length".to_owned(), body_bytes.to_string()));
    let theirs = headers
        .into_iter()
        .filter(|(name, _)| name != "content-length");
    for (name, value) in theirs.chain(own) {
        // Without escapes a CR would end the line for some peers: it is written as a space.
        let clean = |text: String| if raw { text.replace('\r', " ") } else { text };
        let (name, mut value) = (clean(name), clean(value));
        if version == Version::V1_0 {
            value = value.trim_matches(' ').to_owned();
        }
        if kept.iter().all(|(earlier, _)| *earlier != name) {
            kept.push((name, value));
        }
    }
    kept
}
