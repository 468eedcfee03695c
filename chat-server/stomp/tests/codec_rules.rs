//! The rules of frame syntax, by their rows F1 to F18 of the conformance list.
//!
//! | row | rule |
//! |---|---|
//! | F1 | command, headers, empty line, body, NUL; EOLs after it |
//! | F2 | EOL is LF; in 1.2 also CR LF |
//! | F3 | commands and header names are case sensitive |
//! | F4 | header encoding is UTF-8 |
//! | F5 | escapes decode |
//! | F6 | undefined escapes are fatal |
//! | F7 | no escaping in CONNECT, STOMP and CONNECTED |
//! | F8 | header values are not trimmed or padded (1.0 trims) |
//! | F9 | only the first of repeated headers counts |
//! | F10 | values may be empty and hold raw colons |
//! | F11 | only SEND, MESSAGE and ERROR may have a body (1.0 ignores it) |
//! | F12 | content-length octets are read whatever they are; a NUL follows |
//! | F13 | a body with NUL carries content-length |
//! | F14 | without content-length the first NUL ends the frame |
//! | F15 | content-type is a MIME type (1.2); without it the body is a binary blob |
//! | F16 | UTF-8 is supported |
//! | F17 | beyond a limit: ERROR, then close |
//! | F18 | user headers of SEND are passed on in MESSAGE |

mod codec;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use codec::{decoder, read, splits};
use stomp::{
    Command, FrameWriter, Limits, MessageTail, Output, Session, SessionConfig, Version,
    message_head,
};

use Version::{V1_0, V1_1, V1_2};

/// However `input` is split, `expected` comes out, in the form of [`codec`].
fn check(version: impl Into<Option<Version>>, input: impl AsRef<[u8]>, expected: &[&str]) {
    let (version, input) = (version.into(), input.as_ref());
    for parts in splits(input) {
        let mut decoder = decoder(version, Limits::after_login());
        let lines = read(&mut decoder, parts.iter().copied());
        let name = version.map_or("no version", Version::as_str);
        assert_eq!(
            lines,
            expected,
            "{name}: {:?} in {} parts",
            input.escape_ascii().to_string(),
            parts.len()
        );
    }
}

fn check_all(input: impl AsRef<[u8]>, expected: &[&str]) {
    for version in Version::ALL {
        check(version, input.as_ref(), expected);
    }
}

#[test]
fn f1_a_frame_is_command_headers_empty_line_body_nul() {
    check_all(
        "SEND\ndestination:/a\nx:1\n\nhello\0",
        &[r#"SEND destination="/a" x="1" | "hello""#],
    );
    check_all("BEGIN\n\n\0", &["BEGIN"]);
    check_all("BEGIN\n\n\0COMMIT\n\n\0", &["BEGIN", "COMMIT"]);
    for command in Command::ALL {
        check_all(format!("{command}\n\n\0"), &[command.as_str()]);
    }
}

#[test]
fn f1_line_ends_after_a_frame_and_before_the_first_are_skipped() {
    check_all("\n\n\nBEGIN\n\n\0\n\n\nABORT\n\n\0\n", &["BEGIN", "ABORT"]);
    check_all("\n", &[]);
    check_all("\n\n\n\n", &[]);
    check(None, "\n\r\n\nCONNECT\n\n\0", &["CONNECT"]);
    check(None, "\r\n\r\nCONNECT\r\n\r\n\0", &["CONNECT"]);
    check(V1_2, "\r\n\n\r\nBEGIN\n\n\0\r\n\r\n", &["BEGIN"]);
}

#[test]
fn f1_a_frame_without_its_nul_waits() {
    check_all("BEG", &["... 3 bytes"]);
    check_all("BEGIN\ntransaction:1\n", &["... 20 bytes"]);
    check_all("SEND\n\nbody", &["... 10 bytes"]);
    check_all("\n\nBEGIN\n\n", &["... 7 bytes"]);
    check(None, "\r", &["... 1 bytes"]);
}

#[test]
fn f2_lines_end_in_cr_lf_in_1_2_and_before_the_version_is_known() {
    let input = "STOMP\r\na:1\r\nb:2\n\r\n\0";
    check(None, input, &[r#"STOMP a="1" b="2""#]);
    check(V1_2, input, &[r#"STOMP a="1" b="2""#]);
    check(V1_2, "SEND\r\nx:a\r\r\n\r\n\0", &[r#"SEND x="a\r""#]);
    check(V1_2, "SEND\n\n\r\n\0", &[r#"SEND | "\r\n""#]);
}

#[test]
fn f2_a_cr_is_an_octet_of_the_line_in_1_0_and_1_1() {
    for version in [V1_0, V1_1] {
        check(version, "SEND\nx:a\r\n\n\0", &[r#"SEND x="a\r""#]);
        check(version, "SEND\r\n\n\0", &["! UnknownCommand"]);
        check(version, "SEND\n\r\n\0", &["! MalformedHeader"]);
        check(version, "\r\n", &["! UnknownCommand"]);
    }
}

#[test]
fn f3_commands_and_header_names_are_case_sensitive() {
    for line in [
        "send", "Send", "SENd", "SENDS", "SEN", " SEND", "SEND ", "HELLO", "é", "\u{0}",
    ] {
        let error = if line == "\0" {
            "! NulInHead"
        } else {
            "! UnknownCommand"
        };
        check_all(format!("{line}\n\n\0"), &[error]);
    }
    check_all(
        "SEND\nDestination:/b\ndestination:/a\n\n\0",
        &[r#"SEND Destination="/b" destination="/a""#],
    );
    check_all(
        "SEND\nContent-Length:9\n\nab\0",
        &[r#"SEND Content-Length="9" | "ab""#],
    );
}

#[test]
fn f4_headers_are_utf_8() {
    check_all("SEND\nné:ö€😀\n\n\0", &[r#"SEND né="ö€😀""#]);
    for invalid in [
        b"\xff".as_slice(),
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let value = [b"SEND\nx:".as_slice(), invalid, b"\n\n\0"].concat();
        check_all(value, &["! NotUtf8"]);
        let name = [b"SEND\n".as_slice(), invalid, b":x\n\n\0"].concat();
        check_all(name, &["! NotUtf8"]);
    }
    // Two halves of one character in two headers are no character.
    check_all(b"SEND\nx:\xc3\n\xa9:y\n\n\0", &["! NotUtf8"]);
}

#[test]
fn f5_defined_escapes_decode() {
    let input = "SEND\na\\cb:c\\nd\\\\e\\c\n\n\0";
    check(V1_0, input, &[r#"SEND a\\cb="c\\nd\\\\e\\c""#]);
    check(V1_1, input, &[r#"SEND a:b="c\nd\\e:""#]);
    check(V1_2, input, &[r#"SEND a:b="c\nd\\e:""#]);
    check(V1_2, "SEND\nx:\\r\\n\n\n\0", &[r#"SEND x="\r\n""#]);
    check(V1_2, "SEND\nx:\\\\n\\\\\\n\n\n\0", &[r#"SEND x="\\n\\\n""#]);
    check(
        V1_2,
        "SEND\na:1\nb:x\\cy\nc:2\nd\\c:3\n\nbo\\cdy\0",
        &[r#"SEND a="1" b="x:y" c="2" d:="3" | "bo\\cdy""#],
    );
}

#[test]
fn f6_undefined_escapes_are_fatal() {
    for escape in [
        "\\t", "\\", "\\a", "\\C", "\\N", "\\0", "\\ ", "\\\\\\", "\\é", "a\\",
    ] {
        for line in [
            format!("x:{escape}"),
            format!("{escape}x:1"),
            format!("x:{escape}\ny:1"),
        ] {
            let input = format!("SEND\n{line}\n\n\0");
            check(V1_0, &input, &[&raw(&line)]);
            check(V1_1, &input, &["! UndefinedEscape"]);
            check(V1_2, &input, &["! UndefinedEscape"]);
        }
    }
    check(V1_1, "SEND\nx:a\\r\n\n\0", &["! UndefinedEscape"]);
    check(V1_2, "SEND\nx:a\\r\n\n\0", &[r#"SEND x="a\r""#]);
}

/// The header lines as they stand, as 1.0 takes them.
fn raw(lines: &str) -> String {
    let headers = lines.lines().map(|line| {
        let (name, value) = line.split_once(':').expect("the test's own line");
        format!(" {}={:?}", name.escape_debug(), value.trim_matches(' '))
    });
    format!("SEND{}", headers.collect::<String>())
}

#[test]
fn f7_the_frames_that_open_a_session_are_not_escaped() {
    for command in ["CONNECT", "STOMP", "CONNECTED"] {
        let input = format!("{command}\nlogin:a\\cb\\t\\\naccept-version:1.2\n\n\0");
        let expected = format!(r#"{command} login="a\\cb\\t\\" accept-version="1.2""#);
        check(None, &input, &[&expected]);
        check_all(&input, &[&expected]);
    }
    for version in Version::ALL {
        let connected = FrameWriter::new(Command::Connected, version)
            .header("user-name", "a:b\\c")
            .end();
        assert_eq!(connected, "CONNECTED\nuser-name:a:b\\c\n\n\0");
    }
}

#[test]
fn f8_values_keep_their_spaces_from_1_1_on() {
    let input = "SEND\n a : b  c \nx:\ty\t\n\n\0";
    for version in [V1_1, V1_2] {
        check(version, input, &[r#"SEND  a =" b  c " x="\ty\t""#]);
    }
    check(V1_0, input, &[r#"SEND  a ="b  c" x="\ty\t""#]);
    check(V1_0, "SEND\nx:   \ny: \n\n\0", &[r#"SEND x="" y="""#]);
    check(
        V1_0,
        "SEND\ncontent-length: 2 \n\nab\0",
        &[r#"SEND content-length="2" | "ab""#],
    );
}

#[test]
fn f8_a_connect_without_accept_version_is_of_1_0_and_trimmed() {
    check(
        None,
        "CONNECT\nlogin: me \n\n\0",
        &[r#"CONNECT login="me""#],
    );
    check(
        None,
        "CONNECT\nlogin: me \naccept-version:1.2\n\n\0",
        &[r#"CONNECT login=" me " accept-version="1.2""#],
    );
}

#[test]
fn f9_the_first_of_repeated_headers_counts() {
    check_all(
        "MESSAGE\nfoo:World\nbar:1\nfoo:Hello\nbar:2\nfoo:World\n\n\0",
        &[r#"MESSAGE foo="World" bar="1""#],
    );
    let escaped = "SEND\na\\cb:1\na\\cb:2\na:3\n\n\0";
    check(V1_2, escaped, &[r#"SEND a:b="1" a="3""#]);
    check_all(
        "SEND\ncontent-length:2\ncontent-length:999999\n\nab\0",
        &[r#"SEND content-length="2" | "ab""#],
    );
    check_all(
        "SEND\ncontent-length:3\ncontent-length:2\n\nab\0",
        &["... 43 bytes"],
    );
    check_all(
        "SEND\ncontent-length:x\ncontent-length:2\n\nab\0",
        &["! MalformedContentLength"],
    );
}

#[test]
fn f10_values_may_be_empty_and_hold_raw_colons() {
    check_all("SEND\nx:\n\n\0", &[r#"SEND x="""#]);
    check_all("SEND\nx::\ny:a:b::c\n\n\0", &[r#"SEND x=":" y="a:b::c""#]);
    check_all("SEND\nx:http://h:1/\n\n\0", &[r#"SEND x="http://h:1/""#]);
}

#[test]
fn f10_a_header_line_needs_a_name_and_a_colon() {
    for line in ["x", ":", ":x", " ", "no colon here", "\\c"] {
        check_all(format!("SEND\n{line}\n\n\0"), &["! MalformedHeader"]);
        check_all(
            format!("SEND\na:1\n{line}\nb:2\n\n\0"),
            &["! MalformedHeader"],
        );
    }
}

#[test]
fn f11_only_send_message_and_error_have_a_body() {
    for command in Command::ALL {
        let with_body = matches!(command, Command::Send | Command::Message | Command::Error);
        let plain = format!("{command}\n\nab\0");
        let counted = format!("{command}\ncontent-length:2\n\nab\0");
        let empty = format!("{command}\ncontent-length:0\n\n\0");
        let refused = format!("! BodyNotAllowed {{ command: {command:?} }}");
        check_all(&empty, &[&format!(r#"{command} content-length="0""#)]);
        for version in [None, Some(V1_0), Some(V1_1), Some(V1_2)] {
            let (plain_out, counted_out) = if with_body {
                (
                    format!(r#"{command} | "ab""#),
                    format!(r#"{command} content-length="2" | "ab""#),
                )
            } else if version == Some(V1_0) {
                (
                    command.to_string(),
                    format!(r#"{command} content-length="2""#),
                )
            } else {
                (refused.clone(), refused.clone())
            };
            check(version, &plain, &[&plain_out]);
            check(version, &counted, &[&counted_out]);
        }
    }
}

#[test]
fn f11_a_body_that_is_not_allowed_is_refused_before_it_has_arrived() {
    let refused = "! BodyNotAllowed { command: Subscribe }";
    check(V1_1, "SUBSCRIBE\ncontent-length:50000\n\n", &[refused]);
    check(V1_1, "SUBSCRIBE\nid:1\n\n{", &[refused]);
    check(V1_0, "SUBSCRIBE\nid:1\n\n{", &["... 17 bytes"]);
}

#[test]
fn f12_content_length_octets_are_read_whatever_they_are() {
    check_all(
        "SEND\ncontent-length:9\n\na\0b\n\0\0\n\nc\0",
        &[r#"SEND content-length="9" | "a\0b\n\0\0\n\nc""#],
    );
    check_all(
        "SEND\ncontent-length:1\n\n\0\0",
        &[r#"SEND content-length="1" | "\0""#],
    );
    check_all(
        "SEND\ncontent-length:0\n\n\0",
        &[r#"SEND content-length="0""#],
    );
    check_all(
        "SEND\ncontent-length:007\n\n1234567\0",
        &[r#"SEND content-length="007" | "1234567""#],
    );
    check_all(
        b"SEND\ncontent-length:3\n\n\xff\x00\xfe\0",
        &[r#"SEND content-length="3" | b"\xff\x00\xfe""#],
    );
}

#[test]
fn f12_a_nul_follows_the_content_length_octets() {
    check_all("SEND\ncontent-length:1\n\nab\0", &["! WrongContentLength"]);
    check_all("SEND\ncontent-length:0\n\na\0", &["! WrongContentLength"]);
    check_all("SEND\ncontent-length:3\n\nab\0", &["... 26 bytes"]);
    check_all("SEND\ncontent-length:2\n\nab", &["... 25 bytes"]);
    check_all(
        "SEND\ncontent-length:3\n\nab\0\0",
        &[r#"SEND content-length="3" | "ab\0""#],
    );
    check_all(
        "SEND\ncontent-length:3\n\nab\0\n",
        &["! WrongContentLength"],
    );
}

#[test]
fn f12_content_length_is_a_plain_decimal_number() {
    for value in [
        "", "x", "-1", "+5", "5x", "0x5", "5.0", "5,0", "1e3", "٥", "5\t",
    ] {
        check_all(
            format!("SEND\ncontent-length:{value}\n\n12345\0"),
            &["! MalformedContentLength"],
        );
    }
    for version in [V1_1, V1_2] {
        for value in [" 5", "5 "] {
            check(
                version,
                format!("SEND\ncontent-length:{value}\n\n12345\0"),
                &["! MalformedContentLength"],
            );
        }
    }
    for value in [
        "65536",
        "4294967296",
        "18446744073709551615",
        "99999999999999999999999999",
    ] {
        check_all(
            format!("SEND\ncontent-length:{value}\n\n"),
            &["! FrameTooLarge { max: 65536 }"],
        );
    }
}

#[test]
fn f13_every_written_body_carries_its_content_length() {
    for version in Version::ALL {
        let written = FrameWriter::new(Command::Send, version).body(b"a\0b");
        assert_eq!(written, "SEND\ncontent-length:3\n\na\0b\0");
        check(version, &written, &[r#"SEND content-length="3" | "a\0b""#]);
        let tail = MessageTail::encode(version, [("destination", "/a")], b"\0");
        assert_eq!(tail.bytes(), "destination:/a\ncontent-length:1\n\n\0\0");
    }
}

#[test]
fn f14_without_content_length_the_first_nul_ends_the_frame() {
    check_all(
        "SEND\n\na\0SEND\n\nb\0",
        &[r#"SEND | "a""#, r#"SEND | "b""#],
    );
    check_all("SEND\n\n\nx\n\0", &[r#"SEND | "\nx\n""#]);
    check_all("SEND\n\na\0b\0", &[r#"SEND | "a""#, "! NulInHead"]);
}

#[test]
fn f14_a_nul_within_the_head_is_no_frame() {
    for input in [
        "\0",
        "SEND\0",
        "SEND\n\0",
        "SEND\nx:1\0",
        "SEND\nx:1\n\0",
        "SEND\nx\0y:1\n\n\0",
    ] {
        check(None, input, &["! NulInHead"]);
        check_all(input, &["! NulInHead"]);
    }
}

#[test]
fn f15_content_type_is_passed_on_and_its_absence_means_nothing() {
    check_all(
        "SEND\ncontent-type:text/plain;charset=utf-8\n\nx\0",
        &[r#"SEND content-type="text/plain;charset=utf-8" | "x""#],
    );
    check_all(b"SEND\n\n\xff\xfe\0", &[r#"SEND | b"\xff\xfe""#]);
}

#[test]
fn f15_a_content_type_that_is_no_mime_type_is_refused_in_1_2() {
    for (accepted, refused) in [("1.0", false), ("1.1", false), ("1.2", true)] {
        let connect = format!("CONNECT\naccept-version:{accepted}\n\n\0");
        let input = format!("{connect}SEND\ndestination:/a\ncontent-type:nonsense\n\nx\0");
        let outputs = session_outputs(&[&input]);
        let last = outputs.last().map(String::as_str);
        let expected = if refused { "close 1002" } else { "send" };
        assert_eq!(last, Some(expected), "{accepted}");
    }
}

#[test]
fn f16_text_of_any_language_arrives_as_it_was_sent() {
    let text = "ж 中 🦀 \u{202e}\u{0}\u{feff}";
    for version in Version::ALL {
        let frame = FrameWriter::new(Command::Send, version)
            .header("destination", "/комната/中")
            .body(text.as_bytes());
        let mut decoder = decoder(Some(version), Limits::after_login());
        decoder.feed(frame);
        let frame = decoder.next_frame().expect("valid").expect("whole");
        assert_eq!(frame.header("destination"), Some("/комната/中"));
        assert_eq!(frame.body(), text);
    }
}

#[test]
fn f17_beyond_a_limit_an_error_goes_out_before_the_close() {
    let connect = "CONNECT\naccept-version:1.2\n\n\0";
    let send = format!("SEND\nreceipt:r7\n\n{}", "x".repeat(64 << 10));
    let outputs = session_outputs(&[connect, &send]);
    let [.., error, close] = outputs.as_slice() else {
        panic!("{outputs:?}");
    };
    assert!(
        error.starts_with("ERROR message=\"frame larger than 65536 bytes\""),
        "{error}"
    );
    assert!(error.contains("receipt-id=\"r7\""), "{error}");
    assert_eq!(close, "close 1009");
}

#[test]
fn f18_user_headers_of_send_are_passed_on_in_message() {
    for version in Version::ALL {
        let mut decoder = decoder(Some(version), Limits::after_login());
        let send = "SEND\ndestination:/a\nfoo:1\nreceipt:7\ntransaction:t\ncontent-type:text/x\n\
                    content-length:2\nbar\\\\:b\\\\\n\nhi\0";
        decoder.feed(Bytes::from_static(send.as_bytes()));
        let frame = decoder.next_frame().expect("valid").expect("whole");
        let headers = [("destination", "/b"), ("message-id", "9")];
        let tail = MessageTail::encode(
            version,
            headers.into_iter().chain(frame.user_headers()),
            frame.body(),
        );
        let head = message_head(version, Some("s1"), None);
        let message = [head.as_ref(), tail.bytes()].concat();
        let backslashes = if version == V1_0 { r"\\\\" } else { r"\\" };
        check(
            version,
            message,
            &[&format!(
                r#"MESSAGE subscription="s1" destination="/b" message-id="9" foo="1" bar{backslashes}="b{backslashes}" content-length="2" | "hi""#
            )],
        );
    }
}

/// What a session that accepts every login wants done, in short.
fn session_outputs(parts: &[&str]) -> Vec<String> {
    let now = epoch();
    let mut session = Session::new(Arc::new(SessionConfig::default()), now);
    let mut outputs = Vec::new();
    for part in parts {
        session.handle_input(Bytes::copy_from_slice(part.as_bytes()), now);
        while let Some(output) = session.poll_output() {
            if let Output::Login(_) = output {
                session.accept_login("s", "me", now);
            }
            outputs.push(output_line(&output));
        }
    }
    outputs
}

fn output_line(output: &Output) -> String {
    if let Output::Transmit(bytes) = output {
        read(&mut decoder(None, Limits::after_login()), [bytes.as_ref()]).join("\n")
    } else if let Output::Close { code, .. } = output {
        format!("close {}", code.0)
    } else if let Output::Send(_) = output {
        "send".to_owned()
    } else {
        format!("{output:?}")
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a session counts from an instant, and any will do"
)]
fn epoch() -> Instant {
    Instant::now()
}
