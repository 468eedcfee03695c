//! Properties of the codec over random input: splits, round trips, linear work, hostile bytes.
//!
//! Each test prints its seed when it fails; `PROPTEST_RNG_SEED=… cargo test -p stomp` repeats it.

mod codec;

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use codec::{decoder, read, splits};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use stomp::{Command, FrameWriter, Limits, MessageTail, Version, message_head};

#[path = "../fuzz/bodies/decode.rs"]
mod decode_body;

/// No file of past failures is written or read: a failure becomes a test with its own name.
#[expect(clippy::print_stdout, reason = "shown only if the test fails")]
fn config(cases: u32) -> ProptestConfig {
    let seed = match ProptestConfig::default().rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => RandomState::new().hash_one(cases),
    };
    println!("PROPTEST_RNG_SEED={seed}");
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn version() -> impl Strategy<Value = Version> {
    select(Version::ALL.to_vec())
}

/// Text in which everything that needs care is frequent.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => select(vec!["\\", "\n", "\r", ":", "\0", " ", "\\n", "\\c", "\\r", "\\\\", "\\t", "\r\n"])
            .prop_map(str::to_owned),
        3 => "[a-z]{1,4}",
        1 => any::<char>().prop_map(String::from),
        1 => select(vec!["content-length", "receipt", "é", "🦀"]).prop_map(str::to_owned),
    ];
    vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..80),
        vec(select(b"\0\n\r\\:{}\"a".to_vec()), 0..40),
        text().prop_map(String::into_bytes),
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((text(), text()), 0..8)
}

/// What a peer reads of headers given to the writer: the documented losses, no more.
fn as_read(
    headers: &[(String, String)],
    (command, version): (Command, Version),
    content_length: Option<usize>,
) -> Vec<(String, String)> {
    let opens = matches!(
        command,
        Command::Connect | Command::Stomp | Command::Connected
    );
    let raw = opens || version == Version::V1_0;
    let clean = |text: &str| {
        let text = text.replace('\0', " ");
        if raw {
            text.replace(['\r', '\n'], " ")
        } else {
            text
        }
    };
    let mut read: Vec<(String, String)> = Vec::new();
    let theirs = headers.iter().filter(|(name, _)| {
        !name.is_empty() && name != "content-length" && !(raw && name.contains(':'))
    });
    let theirs = theirs.map(|(name, value)| (clean(name), clean(value)));
    let ours = content_length.map(|length| ("content-length".to_owned(), length.to_string()));
    for (name, value) in theirs.chain(ours) {
        let value = if version == Version::V1_0 {
            value.trim_matches(' ').to_owned()
        } else {
            value
        };
        if read.iter().all(|(earlier, _)| *earlier != name) {
            read.push((name, value));
        }
    }
    read
}

/// The one frame in `bytes`.
fn read_frame(version: Version, bytes: Bytes) -> (Command, Vec<(String, String)>, Bytes) {
    let limits = Limits {
        frame_bytes_max: 1 << 20,
        ..Limits::after_login()
    };
    let mut decoder = decoder(Some(version), limits);
    decoder.feed(bytes);
    let frame = decoder.next_frame().expect("what is written is valid");
    let frame = frame.expect("what is written is whole");
    assert_eq!(
        decoder.buffered_bytes(),
        0,
        "more than one frame was written"
    );
    let headers = frame
        .headers()
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    (frame.command(), headers.collect(), frame.body().clone())
}

fn write(
    command: Command,
    version: Version,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> Bytes {
    let writer = headers.iter().fold(
        FrameWriter::new(command, version),
        |writer, (name, value)| writer.header(name, value),
    );
    match body {
        Some(body) => writer.body(body),
        None => writer.end(),
    }
}

/// A stream of valid frames with EOLs between them, as `version` writes them.
fn stream(version: Version) -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        (headers(), body()).prop_map(move |(headers, body)| {
            write(Command::Send, version, &headers, Some(&body)).to_vec()
        }),
        (headers(), "[a-z\n\r]{0,20}").prop_map(move |(headers, body)| {
            let mut frame = write(Command::Send, version, &headers, None).to_vec();
            frame.truncate(frame.len() - 1);
            frame.extend_from_slice(body.as_bytes());
            frame.push(0);
            frame
        }),
        headers().prop_map(move |headers| write(Command::Begin, version, &headers, None).to_vec()),
        select(vec![1_usize, 2, 9]).prop_map(|count| vec![b'\n'; count]),
    ];
    vec(frame, 1..5).prop_map(|frames| frames.concat())
}

fn version_and_stream() -> impl Strategy<Value = (Version, Vec<u8>)> {
    version().prop_flat_map(|version| stream(version).prop_map(move |stream| (version, stream)))
}

/// `input` cut at `cuts`.
fn cut_at<'a>(input: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    let pairs = places.windows(2).map(|pair| (pair.first(), pair.last()));
    pairs
        .filter_map(|pair| match pair {
            (Some(start), Some(end)) => input.get(*start..*end),
            _ => None,
        })
        .collect()
}

/// Bytes that are nearly frames.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => select(vec![
            "SEND\n", "SUBSCRIBE\n", "CONNECT\n", "BEGIN\r\n", "\n", "\r\n", "\n\n", "\0", ":", "\\",
            "receipt:1\n", "receipt:\\c\\t\n", "content-length:", "content-length:5\n", "12", "+1",
            "a:1\n", "b:\\n\\c\\\\\n", " ", "destination:/a\n", "\n\0", "xxxxxxxxxxxxxxxx",
        ]).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 1..12),
    ];
    vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// A choice for [`decode_body::decode`], then bytes.
fn chosen(bytes: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (any::<u8>(), bytes).prop_map(|(choice, bytes)| [vec![choice], bytes].concat())
}

/// A valid stream in which some bytes were changed, inserted, removed or repeated.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let change = (
        any::<Index>(),
        0..4_u8,
        select(b"\0\n\r:\\0a\xff\xc3".to_vec()),
    );
    (version_and_stream(), vec(change, 1..6)).prop_map(|((_, mut bytes), changes)| {
        for (place, kind, byte) in changes {
            let at = place.index(bytes.len() + 1);
            let end = bytes.len().min(at + 1 + usize::from(byte & 7));
            match kind {
                0 => bytes.insert(at, byte),
                1 => drop(bytes.drain(at..end)),
                2 => drop(bytes.splice(at..end, [byte])),
                _ => {
                    let repeated = bytes.get(at..end).unwrap_or_default().to_vec();
                    drop(bytes.splice(at..at, repeated));
                }
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(config(96))]

    #[test]
    fn every_split_gives_the_same_frames((version, stream) in version_and_stream()) {
        let whole = read(&mut decoder(Some(version), Limits::after_login()), [stream.as_slice()]);
        for parts in splits(&stream) {
            let lines = read(&mut decoder(Some(version), Limits::after_login()), parts);
            prop_assert_eq!(&lines, &whole);
        }
    }
}

proptest! {
    #![proptest_config(config(512))]

    #[test]
    fn any_number_of_parts_gives_the_same_frames(
        (version, stream) in version_and_stream(),
        cuts in vec(any::<Index>(), 0..12),
    ) {
        let whole = read(&mut decoder(Some(version), Limits::after_login()), [stream.as_slice()]);
        prop_assert!(whole.iter().all(|line| !line.starts_with(['!', '.'])), "{:?}", whole);
        let lines = read(
            &mut decoder(Some(version), Limits::after_login()),
            cut_at(&stream, &cuts),
        );
        prop_assert_eq!(lines, whole);
    }

    #[test]
    fn parts_may_wait_before_they_are_read(
        (version, stream) in version_and_stream(),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let whole = read(&mut decoder(Some(version), Limits::after_login()), [stream.as_slice()]);
        let mut decoder = decoder(Some(version), Limits::after_login());
        let mut fed = 0;
        for part in cut_at(&stream, &cuts) {
            decoder.feed(Bytes::copy_from_slice(part));
            fed += part.len();
            prop_assert_eq!(decoder.buffered_bytes(), fed);
        }
        prop_assert_eq!(read(&mut decoder, [b"".as_slice()]), whole);
    }

    #[test]
    fn what_is_written_is_read(version in version(), headers in headers(), body in body()) {
        let bytes = write(Command::Send, version, &headers, Some(&body));
        let (command, read, read_body) = read_frame(version, bytes);
        prop_assert_eq!(command, Command::Send);
        prop_assert_eq!(read, as_read(&headers, (command, version), Some(body.len())));
        prop_assert_eq!(read_body, body);
    }

    #[test]
    fn what_is_written_without_a_body_is_read(
        version in version(),
        command in select(Command::ALL.to_vec()),
        headers in headers(),
    ) {
        let bytes = write(command, version, &headers, None);
        let (read_command, read, body) = read_frame(version, bytes);
        prop_assert_eq!(read_command, command);
        prop_assert_eq!(read, as_read(&headers, (command, version), None));
        prop_assert!(body.is_empty());
    }

    #[test]
    fn a_shared_message_equals_one_written_for_its_receiver(
        version in version(),
        subscription in proptest::option::of(text()),
        ack in proptest::option::of(text()),
        headers in headers(),
        body in body(),
    ) {
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let tail = MessageTail::encode(version, pairs.clone(), &body);
        let head = message_head(version, subscription.as_deref(), ack.as_deref());
        let writer = FrameWriter::new(Command::Message, version)
            .optional("subscription", subscription.as_deref())
            .optional("ack", ack.as_deref());
        let whole = pairs.fold(writer, |writer, (name, value)| writer.header(name, value)).body(&body);
        prop_assert_eq!([head.as_ref(), tail.bytes()].concat(), whole);
        prop_assert_eq!(tail.is_text(), std::str::from_utf8(tail.bytes()).is_ok());
    }

    #[test]
    fn hostile_bytes_are_read_the_same_however_split(data in chosen(hostile_bytes())) {
        decode_body::decode(&data);
    }

    #[test]
    fn arbitrary_bytes_are_read_the_same_however_split(data in vec(any::<u8>(), 0..300)) {
        decode_body::decode(&data);
    }

    #[test]
    fn damaged_frames_are_read_the_same_however_split(data in chosen(mutated())) {
        decode_body::decode(&data);
    }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn hostile_bytes_end_alike_at_every_split(
        version in proptest::option::of(version()),
        input in prop_oneof![hostile_bytes(), mutated()],
    ) {
        let limits = Limits {
            command_bytes_max: 12,
            headers_max: 3,
            header_line_bytes_max: 20,
            frame_bytes_max: 60,
            total_bytes_max: Some(150),
        };
        let whole = read(&mut decoder(version, limits), [input.as_slice()]);
        for parts in splits(&input) {
            prop_assert_eq!(&read(&mut decoder(version, limits), parts), &whole);
        }
    }
}
