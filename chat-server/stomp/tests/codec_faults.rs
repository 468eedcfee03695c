//! What a failed decoder says: the receipt of the frame at fault, the same for ever, nothing more.

mod codec;

use bytes::Bytes;
use codec::{decoder, read, splits};
use stomp::{DecodeError, Decoder, FrameWriter, Limits, Version};

use Version::{V1_0, V1_1, V1_2};

const SMALL: Limits = Limits {
    command_bytes_max: 12,
    headers_max: 4,
    header_line_bytes_max: 40,
    frame_bytes_max: 120,
    total_bytes_max: Some(1_000),
};

/// However `input` is split, it fails like this.
fn check(version: impl Into<Option<Version>>, input: impl AsRef<[u8]>, expected: &str) {
    let (version, input) = (version.into(), input.as_ref());
    for parts in splits(input) {
        let lines = read(&mut decoder(version, SMALL), parts.iter().copied());
        assert_eq!(
            lines,
            [expected],
            "{version:?}: {:?} in {} parts",
            input.escape_ascii().to_string(),
            parts.len()
        );
    }
}

#[test]
fn every_fault_carries_the_receipt_that_had_arrived() {
    let long = "x".repeat(150);
    let faults = [
        ("\0".to_owned(), "NulInHead"),
        ("nocolon\n\n\0".to_owned(), "MalformedHeader"),
        (":x\n\n\0".to_owned(), "MalformedHeader"),
        (
            "a:1\nb:2\nc:3\nd:4\n\n\0".to_owned(),
            "TooManyHeaders { max: 4 }",
        ),
        (format!("a:{long}"), "HeaderTooLong { max: 40 }"),
        (
            "content-length:x\n\n\0".to_owned(),
            "MalformedContentLength",
        ),
        ("content-length:2\n\nabc\0".to_owned(), "WrongContentLength"),
        (
            "content-length:100\n\n".to_owned(),
            "FrameTooLarge { max: 120 }",
        ),
        (format!("\n{long}"), "FrameTooLarge { max: 120 }"),
    ];
    for version in [None, Some(V1_0), Some(V1_1), Some(V1_2)] {
        for (fault, error) in &faults {
            let expected = format!(r#"! {error} receipt="r-1""#);
            check(version, format!("SEND\nreceipt:r-1\n{fault}"), &expected);
            let second = format!("SEND\nreceipt:r-1\nreceipt:r-2\n{fault}");
            if !error.starts_with("TooMany") {
                check(version, second, &expected);
            }
        }
    }
    for version in [V1_1, V1_2] {
        for fault in ["x:\\t\n\n\0", "\\:1\n\n\0"] {
            check(
                version,
                format!("SEND\ndestination:/a\nreceipt:r-1\n{fault}"),
                r#"! UndefinedEscape receipt="r-1""#,
            );
        }
        check(
            version,
            "ACK\nreceipt:r-1\n\nbody\0",
            r#"! BodyNotAllowed { command: Ack } receipt="r-1""#,
        );
    }
    check(
        V1_2,
        b"SEND\nreceipt:r-1\nx:\xff\n\n\0",
        r#"! NotUtf8 receipt="r-1""#,
    );
}

#[test]
fn a_fault_before_the_receipt_carries_none() {
    check(
        V1_2,
        "SEND\nnocolon\nreceipt:r-1\n\n\0",
        "! MalformedHeader",
    );
    check(V1_2, "HELLO\nreceipt:r-1\n\n\0", "! UnknownCommand");
    check(V1_2, "SEND\nreceipt:r-1\0\n\n\0", "! NulInHead");
    check(V1_2, "SEND\nreceipt", "... 12 bytes");
    check(V1_2, "SEND\nReceipt:r-1\n\0", "! NulInHead");
    // The receipt of an earlier frame is not the one at fault.
    let mut decoder = decoder(Some(V1_2), SMALL);
    let lines = read(&mut decoder, ["BEGIN\nreceipt:r-1\n\n\0\0".as_bytes()]);
    assert_eq!(lines, [r#"BEGIN receipt="r-1""#, "! NulInHead"]);
}

#[test]
fn the_receipt_of_a_fault_is_read_as_its_version_writes_it() {
    let input = "SEND\nreceipt: a\\cb\\\\ \nnocolon\n";
    check(None, input, r#"! MalformedHeader receipt=" a\\cb\\\\ ""#);
    check(V1_0, input, r#"! MalformedHeader receipt="a\\cb\\\\""#);
    check(V1_1, input, r#"! MalformedHeader receipt=" a:b\\ ""#);
    check(V1_2, input, r#"! MalformedHeader receipt=" a:b\\ ""#);
    let in_body = "SEND\nreceipt: a\\cb\ncontent-length:1\n\nxx";
    check(V1_0, in_body, r#"! WrongContentLength receipt="a\\cb""#);
    check(V1_2, in_body, r#"! WrongContentLength receipt=" a:b""#);
    let empty = "SEND\nreceipt:\nnocolon\n";
    check(V1_2, empty, r#"! MalformedHeader receipt="""#);
}

#[test]
fn a_receipt_that_cannot_be_read_is_none() {
    check(V1_2, "SEND\nreceipt:\\t\n\n\0", "! UndefinedEscape");
    check(V1_1, "SEND\nreceipt:\\r\nnocolon\n", "! MalformedHeader");
    check(V1_2, b"SEND\nreceipt:\xff\n\n\0", "! NotUtf8");
    check(V1_2, b"SEND\nreceipt:\xc3\nnocolon\n", "! MalformedHeader");
}

#[test]
fn a_total_too_large_carries_the_receipt_of_the_frame_it_cut_off() {
    let limits = Limits {
        total_bytes_max: Some(24),
        ..SMALL
    };
    let mut decoder = decoder(Some(V1_2), limits);
    let lines = read(
        &mut decoder,
        ["SEND\nreceipt:r-1\n\n1234567890\0".as_bytes()],
    );
    assert_eq!(lines, [r#"! TotalTooLarge { max: 24 } receipt="r-1""#]);
}

#[test]
fn a_failure_is_permanent() {
    for fault in [
        "x\n",
        "\0",
        "SEND\nreceipt:r\nx\n",
        "SEND\ncontent-length:1\n\nab",
    ] {
        let mut decoder = Decoder::new(SMALL);
        decoder.feed(Bytes::from_static(fault.as_bytes()));
        let first = decoder.next_frame().expect_err("the input is at fault");
        let examined = decoder.examined_bytes();
        for _ in 0..3 {
            decoder.feed(Bytes::from_static(b"BEGIN\ntransaction:1\n\n\0"));
            decoder.set_version(V1_2);
            decoder.set_limits(Limits::after_login());
            assert_eq!(decoder.next_frame().expect_err("it stays so"), first);
            assert_eq!(decoder.buffered_bytes(), 0);
        }
        assert_eq!(
            decoder.examined_bytes(),
            examined,
            "nothing more is looked at"
        );
    }
}

#[test]
fn frames_before_the_fault_come_out() {
    let good = FrameWriter::new(stomp::Command::Begin, V1_2)
        .header("transaction", "1")
        .end();
    let input = [
        good.as_ref(),
        b"\n",
        good.as_ref(),
        b"nonsense\n",
        good.as_ref(),
    ]
    .concat();
    for parts in splits(&input) {
        let lines = read(&mut decoder(Some(V1_2), SMALL), parts);
        let begin = r#"BEGIN transaction="1""#;
        assert_eq!(lines, [begin, begin, "! UnknownCommand"]);
    }
}

#[test]
fn what_a_fault_says_names_no_content() {
    let mut decoder = Decoder::new(SMALL);
    decoder.feed(Bytes::from_static(b"SEND\npasscode:secret\nsecret\n"));
    let failure = decoder.next_frame().expect_err("the input is at fault");
    assert_eq!(failure.error, DecodeError::MalformedHeader);
    assert_eq!(failure.error.to_string(), "malformed header line");
}

#[test]
fn neither_values_nor_bodies_of_a_frame_reach_a_log() {
    let mut decoder = Decoder::new(SMALL);
    decoder.feed(Bytes::from_static(b"SEND\npasscode:secret\n\nsecret\0"));
    let frame = decoder.next_frame().expect("valid").expect("whole");
    let text = format!("{frame:?}");
    assert!(
        text.contains("passcode") && !text.contains("secret"),
        "{text}"
    );
}
