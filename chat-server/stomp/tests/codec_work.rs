//! The decoder's work is linear in what it was fed, for the input that is meant to make it not so.
//!
//! Work is counted ([`Decoder::examined_bytes`]), not timed, so these tests say the same on every
//! machine.

use bytes::Bytes;
use stomp::{DecodeError, Decoder, FrameWriter, Limits, Version};

/// So wide that a shape ends by itself and not at a limit.
const WIDE: Limits = Limits {
    command_bytes_max: 1 << 20,
    headers_max: 1 << 20,
    header_line_bytes_max: 1 << 20,
    frame_bytes_max: 1 << 20,
    total_bytes_max: None,
};

const PORTIONS: [usize; 6] = [1, 2, 3, 7, 1_000, usize::MAX];

/// Feeds `input` in `portion`s; gives the bytes examined, which never exceed four times those fed.
fn examined(
    limits: Limits,
    version: Version,
    input: &[u8],
    portion: usize,
) -> (u64, Option<DecodeError>) {
    let mut decoder = Decoder::new(limits);
    decoder.set_version(version);
    let mut fed = 0;
    for part in input.chunks(portion) {
        decoder.feed(Bytes::copy_from_slice(part));
        fed += part.len() as u64;
        let error = loop {
            match decoder.next_frame() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(failure) => break Some(failure.error),
            }
        };
        let examined = decoder.examined_bytes();
        assert!(
            examined <= 4 * fed,
            "{examined} examined of {fed} fed by {portion}"
        );
        if error.is_some() {
            return (examined, error);
        }
    }
    (decoder.examined_bytes(), None)
}

/// Whatever the portions, the work is the same to the byte: nothing is looked at again because the
/// input came in more parts.
fn check(name: &str, limits: Limits, input: &[u8], error: Option<&DecodeError>) {
    for version in Version::ALL {
        let whole = examined(limits, version, input, usize::MAX);
        assert_eq!(whole.1.as_ref(), error, "{name} in {version}");
        assert!(whole.0 > 0, "{name} in {version}");
        for portion in PORTIONS {
            assert_eq!(
                examined(limits, version, input, portion),
                whole,
                "{name} in {version} by {portion}"
            );
        }
    }
}

#[test]
fn endless_header_lines() {
    let lines = "SEND\n".to_owned() + &"a:b\n".repeat(8_000);
    check("unlimited", WIDE, lines.as_bytes(), None);
    let max = Limits::after_login().headers_max;
    let error = DecodeError::TooManyHeaders { max };
    check(
        "limited",
        Limits::after_login(),
        lines.as_bytes(),
        Some(&error),
    );
    let line = "SEND\na:".to_owned() + &"b".repeat(32_000);
    check("one unlimited", WIDE, line.as_bytes(), None);
    let colons = "SEND\na".to_owned() + &":".repeat(32_000) + "\n\n\0";
    check("of colons", WIDE, colons.as_bytes(), None);
    let name = "SEND\n".to_owned() + &"a".repeat(32_000) + ":\n\n\0";
    check("of a name", WIDE, name.as_bytes(), None);
}

#[test]
fn endless_commands() {
    check("unlimited", WIDE, "x".repeat(32_000).as_bytes(), None);
    let max = Limits::after_login().command_bytes_max;
    let error = DecodeError::CommandTooLong { max };
    check(
        "limited",
        Limits::after_login(),
        "x".repeat(32_000).as_bytes(),
        Some(&error),
    );
}

#[test]
fn many_line_ends() {
    check("LF", WIDE, "\n".repeat(32_000).as_bytes(), None);
    let mixed = "\n".repeat(500) + "BEGIN\n\n\0";
    check("before frames", WIDE, mixed.repeat(50).as_bytes(), None);
}

#[test]
fn many_tiny_frames() {
    check("tiny", WIDE, "ACK\n\n\0".repeat(5_000).as_bytes(), None);
    check(
        "with bodies",
        WIDE,
        "SEND\n\nx\0\n".repeat(4_000).as_bytes(),
        None,
    );
}

#[test]
fn bodies_without_their_end() {
    let body = "SEND\n\n".to_owned() + &"x".repeat(32_000);
    check("no NUL", WIDE, body.as_bytes(), None);
    let counted = "SEND\ncontent-length:900000\n\n".to_owned() + &"\0".repeat(32_000);
    check("counted", WIDE, counted.as_bytes(), None);
    let endless = "SEND\n\n".to_owned() + &"x".repeat(70_000);
    let max = Limits::after_login().frame_bytes_max;
    check(
        "limited",
        Limits::after_login(),
        endless.as_bytes(),
        Some(&DecodeError::FrameTooLarge { max }),
    );
}

#[test]
fn backslashes() {
    let run = "SEND\nx:".to_owned() + &"\\\\".repeat(8_000) + "\n\n\0";
    check("in one value", WIDE, run.as_bytes(), None);
    let names = "SEND\n".to_owned() + &"\\\\:\\\\\n".repeat(90) + "\n\0";
    check(
        "everywhere",
        Limits::after_login(),
        names.repeat(20).as_bytes(),
        None,
    );
    // The worst there is: a long name, so looked at for its colon, with an escape at its end.
    let last = "SEND\n".to_owned() + &"a".repeat(16_000) + "\\\\:\n\n\0";
    check(
        "at the end of a name",
        Limits::after_login(),
        last.as_bytes(),
        None,
    );
}

#[test]
fn header_bombs() {
    let lines: String = (0..100).map(|at| format!("{at:0>500}:{at}\n")).collect();
    let bomb = format!("SEND\n{lines}\n\0");
    check("alike", Limits::after_login(), bomb.as_bytes(), None);
    let same = format!("SEND\n{}\n\0", "receipt:1\n".repeat(100));
    check(
        "the same",
        Limits::after_login(),
        same.repeat(20).as_bytes(),
        None,
    );
}

#[test]
fn one_long_frame() {
    let frame = FrameWriter::new(stomp::Command::Send, Version::V1_2)
        .header("destination", "/pub/42")
        .body(&[b'x'; 60_000]);
    check("counted", Limits::after_login(), &frame, None);
}

/// What a decoder would count that began anew with each byte: the bound is one that it breaks.
#[test]
fn a_search_from_the_start_would_show() {
    let input = "SEND\ndestination:/pub/42\n\n".to_owned() + &"x".repeat(300) + "\0";
    let input = input.as_bytes();
    let again: u64 = (1..=input.len())
        .map(|end| examined(WIDE, Version::V1_2, &input[..end], usize::MAX).0)
        .sum();
    assert!(again > 4 * input.len() as u64 * 10, "{again}");
}
