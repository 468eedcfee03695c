//! What a decoder takes at most: each field of [`Limits`] to the byte, and what it holds meanwhile.

mod codec;

use bytes::Bytes;
use codec::{decoder, read, splits};
use stomp::{Decoder, Limits, Version};

/// Wide in everything, so that a test narrows just what it is about.
const WIDE: Limits = Limits {
    command_bytes_max: 1_000,
    headers_max: 1_000,
    header_line_bytes_max: 1_000,
    frame_bytes_max: 10_000,
    total_bytes_max: None,
};

/// However `input` is split, it ends like this.
fn check(limits: Limits, version: Version, input: impl AsRef<[u8]>, expected: &[&str]) {
    let input = input.as_ref();
    for parts in splits(input) {
        let lines = read(&mut decoder(Some(version), limits), parts.iter().copied());
        assert_eq!(
            lines,
            expected,
            "{version}: {:?} in {} parts, {limits:?}",
            input.escape_ascii().to_string(),
            parts.len()
        );
    }
}

/// `filler` after `start`, over and over in pieces of `step` bytes, fails with `error` once
/// `bytes_max` bytes were fed, and the decoder never holds more.
fn check_endless(limits: Limits, start: &str, filler: &str, bytes_max: usize, error: &str) {
    let stream: Vec<u8> = start
        .bytes()
        .chain(filler.bytes().cycle())
        .take(bytes_max + 100)
        .collect();
    for step in [1, 2, 3, 7, 64, stream.len()] {
        let mut decoder = decoder(Some(Version::V1_2), limits);
        let mut fed = 0;
        let mut lines = Vec::new();
        for part in stream.chunks(step) {
            lines = read(&mut decoder, [part]);
            fed += part.len();
            assert!(
                decoder.buffered_bytes() <= bytes_max,
                "holds too much after {fed} bytes"
            );
            if lines.last().is_some_and(|line| line.starts_with('!')) {
                break;
            }
        }
        assert_eq!(lines, [error], "{start:?} {filler:?} by {step}");
        assert!(
            fed < bytes_max + step,
            "{start:?} {filler:?} by {step}: found after {fed} bytes"
        );
        assert_eq!(
            decoder.buffered_bytes(),
            0,
            "a failed decoder holds nothing"
        );
    }
}

#[test]
fn command_bytes_max_holds_to_the_byte() {
    let limits = Limits {
        command_bytes_max: 11,
        ..WIDE
    };
    let too_long = "! CommandTooLong { max: 11 }";
    for version in Version::ALL {
        check(limits, version, "UNSUBSCRIBE\n\n\0", &["UNSUBSCRIBE"]);
        check(limits, version, "\n\nUNSUBSCRIBE\n\n\0", &["UNSUBSCRIBE"]);
        check(limits, version, "UNSUBSCRIBED\n\n\0", &[too_long]);
        check(
            limits,
            version,
            "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nABORT\n\n\0",
            &["ABORT"],
        );
        // The byte beyond may be the CR of an end that has not come.
        check(limits, version, "UNSUBSCRIBED", &["... 12 bytes"]);
        check(limits, version, "UNSUBSCRIBEDX", &[too_long]);
        // Too long is certain before the NUL.
        check(limits, version, "UNSUBSCRIBED!!!\0", &[too_long]);
    }
    check(
        limits,
        Version::V1_2,
        "UNSUBSCRIBE\r\n\r\n\0",
        &["UNSUBSCRIBE"],
    );
    check(limits, Version::V1_1, "UNSUBSCRIBE\r\n\n\0", &[too_long]);
    check_endless(limits, "", "x", 13, too_long);
    check_endless(limits, "\n\n\n", "SENDSEND", 16, too_long);
}

#[test]
fn headers_max_holds_to_the_line() {
    let limits = Limits {
        headers_max: 3,
        ..WIDE
    };
    let too_many = "! TooManyHeaders { max: 3 }";
    for version in Version::ALL {
        check(
            limits,
            version,
            "SEND\na:1\nb:2\nc:3\n\n\0",
            &[r#"SEND a="1" b="2" c="3""#],
        );
        check(
            limits,
            version,
            "SEND\na:1\nb:2\nc:3\nd:4\n\n\0",
            &[too_many],
        );
        // Repeated lines count, though they are dropped.
        check(
            limits,
            version,
            "SEND\na:1\na:2\na:3\n\n\0",
            &[r#"SEND a="1""#],
        );
        check(
            limits,
            version,
            "SEND\na:1\na:2\na:3\na:4\n\n\0",
            &[too_many],
        );
        // The next frame counts anew.
        check(
            limits,
            version,
            "SEND\na:1\nb:2\n\n\0SEND\na:1\nb:2\n\n\0",
            &[r#"SEND a="1" b="2""#; 2],
        );
    }
    check_endless(limits, "SEND\n", "a:1\n", 5 + 4 * 4, too_many);
    let none = Limits {
        headers_max: 0,
        ..WIDE
    };
    check(none, Version::V1_2, "SEND\n\nx\0", &[r#"SEND | "x""#]);
    check(
        none,
        Version::V1_2,
        "SEND\na:1\n\nx\0",
        &["! TooManyHeaders { max: 0 }"],
    );
}

#[test]
fn header_line_bytes_max_holds_to_the_byte() {
    let limits = Limits {
        header_line_bytes_max: 6,
        ..WIDE
    };
    let too_long = "! HeaderTooLong { max: 6 }";
    for version in Version::ALL {
        check(
            limits,
            version,
            "SEND\nab:123\nx:9876\n\n\0",
            &[r#"SEND ab="123" x="9876""#],
        );
        check(limits, version, "SEND\nab:1234\n\n\0", &[too_long]);
        check(limits, version, "SEND\na:1\nb:12345\n\n\0", &[too_long]);
        check(limits, version, "SEND\nabcdefg\n\n\0", &[too_long]);
        check(limits, version, "SEND\nab:1234", &["... 12 bytes"]);
        check(limits, version, "SEND\nab:12345", &[too_long]);
        check(limits, version, "SEND\nab:12345678\0", &[too_long]);
        check(
            limits,
            version,
            "SEND\n\nab:1234567890\0",
            &[r#"SEND | "ab:1234567890""#],
        );
    }
    check(
        limits,
        Version::V1_2,
        "SEND\r\nab:123\r\n\r\n\0",
        &[r#"SEND ab="123""#],
    );
    check(limits, Version::V1_1, "SEND\nab:123\r\n\n\0", &[too_long]);
    // Escapes count as they arrive.
    check(
        limits,
        Version::V1_2,
        "SEND\nx:\\n\\n\n\n\0",
        &[r#"SEND x="\n\n""#],
    );
    check(
        limits,
        Version::V1_2,
        "SEND\nx:\\n\\n\\n\n\n\0",
        &[too_long],
    );
    check_endless(limits, "SEND\n", "x", 13, too_long);
    check_endless(limits, "SEND\nx:", "\\", 13, too_long);
    check_endless(limits, "SEND\na:1\n", "y:", 17, too_long);
}

#[test]
fn frame_bytes_max_holds_to_the_byte() {
    let limits = Limits {
        frame_bytes_max: 30,
        ..WIDE
    };
    let too_large = "! FrameTooLarge { max: 30 }";
    for version in Version::ALL {
        // By its NUL.
        let frame = |body: usize| format!("SEND\na:1\n\n{}\0", "x".repeat(body));
        assert_eq!(frame(19).len(), 30);
        let whole = format!(r#"SEND a="1" | "{}""#, "x".repeat(19));
        check(limits, version, frame(19), &[&whole]);
        check(
            limits,
            version,
            frame(19) + "\n" + &frame(19),
            &[&whole, &whole],
        );
        check(
            limits,
            version,
            "\n\n\n\n\n\n".to_owned() + &frame(19),
            &[&whole],
        );
        check(limits, version, frame(20), &[too_large]);
        check(
            limits,
            version,
            frame(20).trim_end_matches('\0'),
            &[too_large],
        );
        // By content-length.
        let counted =
            |body: usize| format!("SEND\ncontent-length:{body:02}\n\n{}\0", "x".repeat(body));
        assert_eq!(counted(4).len(), 29);
        check(
            limits,
            version,
            counted(5),
            &[r#"SEND content-length="05" | "xxxxx""#],
        );
        check(limits, version, counted(6), &[too_large]);
        check(limits, version, "SEND\ncontent-length:06\n\n", &[too_large]);
        // By its head.
        check(
            limits,
            version,
            "ABORT\naaaaaaaa:1\nbbbbbbbb:2\n\n\0",
            &[r#"ABORT aaaaaaaa="1" bbbbbbbb="2""#],
        );
        check(
            limits,
            version,
            "ABORT\naaaaaaaa:1\nbbbbbbbbb:2\n\n\0",
            &[too_large],
        );
        check(
            limits,
            version,
            "ABORT\naaaaaaaa:1\nbbbbbbbbbb:2\n\n\0",
            &[too_large],
        );
        check(
            limits,
            version,
            "ABORT\naaaaaaaa:1\nbbbbbbbbbbbbbbb:",
            &[too_large],
        );
    }
    check_endless(limits, "SEND\n\n", "x", 30, too_large);
    check_endless(limits, "SEND\n", "a:1\n", 30, too_large);
    check_endless(limits, "SEND\n", "a", 30, too_large);
    check_endless(limits, "", "x", 30, too_large);
}

#[test]
fn total_bytes_max_holds_to_the_byte_over_all_frames() {
    let limits = Limits {
        total_bytes_max: Some(30),
        ..WIDE
    };
    let too_large = "! TotalTooLarge { max: 30 }";
    for version in Version::ALL {
        // Three frames of ten bytes.
        let frame = "SEND\n\n123\0";
        let send = r#"SEND | "123""#;
        check(limits, version, frame.repeat(3), &[send; 3]);
        check(
            limits,
            version,
            frame.repeat(3) + "\n",
            &[send, send, send, too_large],
        );
        check(
            limits,
            version,
            frame.repeat(4),
            &[send, send, send, too_large],
        );
        check(limits, version, "\n".repeat(30), &[]);
        check(limits, version, "\n".repeat(31), &[too_large]);
        check(
            limits,
            version,
            "\n".repeat(10) + &frame.repeat(2),
            &[send; 2],
        );
        check(
            limits,
            version,
            "\n".repeat(11) + &frame.repeat(2),
            &[send, too_large],
        );
        // A fault within the total comes first.
        check(
            limits,
            version,
            frame.to_owned() + "x\n" + &frame.repeat(3),
            &[send, "! UnknownCommand"],
        );
    }
    check_endless(limits, "", "\n", 31, too_large);
    check_endless(limits, "SEND\n\n", "x", 31, too_large);
}

#[test]
fn new_limits_begin_a_new_total() {
    let limits = Limits {
        total_bytes_max: Some(20),
        ..WIDE
    };
    let frame = "SEND\n\n123\0".as_bytes();
    let send = r#"SEND | "123""#;
    let mut decoder = Decoder::new(limits);
    assert_eq!(read(&mut decoder, [frame, frame]), [send; 2]);
    decoder.set_limits(limits);
    assert_eq!(read(&mut decoder, [frame, frame]), [send; 2]);
    decoder.set_limits(WIDE);
    for _ in 0..100 {
        assert_eq!(read(&mut decoder, [frame]), [send]);
    }
    decoder.set_limits(limits);
    assert_eq!(
        read(&mut decoder, [frame, frame, b"\n"]),
        [send, send, "! TotalTooLarge { max: 20 }"]
    );
}

#[test]
fn what_exceeded_the_former_total_stays_a_fault() {
    let mut decoder = Decoder::new(Limits {
        total_bytes_max: Some(20),
        ..WIDE
    });
    decoder.feed(Bytes::from_static(
        b"SEND\n\n123\0SEND\n\n123\0SEND\n\n123\0",
    ));
    assert_eq!(decoder.buffered_bytes(), 20);
    decoder.set_limits(WIDE);
    let send = r#"SEND | "123""#;
    assert_eq!(
        read(&mut decoder, [b"SEND\n\n456\0".as_slice()]),
        [send, send, "! TotalTooLarge { max: 20 }"]
    );
}

#[test]
fn an_idle_decoder_holds_no_bytes() {
    for version in Version::ALL {
        let mut decoder = decoder(Some(version), Limits::after_login());
        assert_eq!(decoder.buffered_bytes(), 0);
        for part in [
            "\n",
            "SEND\n\n123\0",
            "\n\n",
            "SEND\n",
            "\n12",
            "3\0",
            "SEND\n\n1\0\n",
        ] {
            read(&mut decoder, [part.as_bytes()]);
            let waiting = match part {
                "SEND\n" => 5,
                "\n12" => 8,
                _ => 0,
            };
            assert_eq!(decoder.buffered_bytes(), waiting, "after {part:?}");
        }
    }
}

#[test]
fn bytes_that_wait_are_counted_before_they_are_read() {
    let mut decoder = Decoder::new(WIDE);
    for fed in 1..=3 {
        decoder.feed(Bytes::from_static(b"SEND\n\n123\0"));
        assert_eq!(decoder.buffered_bytes(), fed * 10);
    }
    for left in [20, 10, 0] {
        assert!(decoder.next_frame().expect("valid").is_some());
        assert_eq!(decoder.buffered_bytes(), left);
    }
    assert!(decoder.next_frame().expect("valid").is_none());
}

#[test]
fn the_ready_made_limits_are_64_kib() {
    let limits = Limits::before_login();
    assert_eq!(limits.total_bytes_max, Some(65_536));
    assert_eq!(limits.frame_bytes_max, 65_536);
    assert_eq!(
        Limits::after_login(),
        Limits {
            total_bytes_max: None,
            ..limits
        }
    );
    let body = "x".repeat(65_536 - 7);
    let send = format!("SEND\n\n{body}\0");
    let mut decoder = Decoder::new(limits);
    assert_eq!(
        read(&mut decoder, [send.as_bytes()]),
        [format!("SEND | {body:?}")]
    );
    let header = format!("SEND\nx:{}\n\n\0", "y".repeat((16 << 10) - 2));
    let mut decoder = Decoder::new(limits);
    assert_eq!(read(&mut decoder, [header.as_bytes()]).len(), 1);
}

#[test]
fn a_chunk_is_let_go_once_its_frames_are_out() {
    for text in [
        "\n",
        "SEND\n\n123\0",
        "SEND\n\n123\0\n\n",
        "SEND\n\n12",
        "SEND\n\n123\0SEND\n\n12",
    ] {
        let mut decoder = Decoder::new(WIDE);
        let chunk = Bytes::copy_from_slice(text.as_bytes());
        decoder.feed(chunk.clone());
        assert!(!chunk.is_unique());
        while decoder.next_frame().expect("valid").is_some() {}
        assert!(chunk.is_unique(), "{text:?} is held");
    }
}

#[test]
fn a_frame_in_one_chunk_is_not_copied() {
    let chunk = Bytes::copy_from_slice(b"\nSEND\ndestination:/a\n\n123\0SEND\n\n");
    let mut decoder = Decoder::new(WIDE);
    decoder.feed(chunk.clone());
    let frame = decoder.next_frame().expect("valid").expect("whole");
    let chunk = chunk.as_ptr_range();
    assert!(chunk.contains(&frame.body().as_ptr()));
    let destination = frame.header("destination").expect("it was sent");
    assert!(chunk.contains(&destination.as_ptr()));
}
