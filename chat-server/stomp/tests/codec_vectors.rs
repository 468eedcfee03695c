//! Golden files: what each version reads and writes, byte for byte.
//!
//! `tests/vectors/{version}/{name}.stomp` holds raw bytes as they cross the wire,
//! `{name}.txt` beside it what they are read as, in the form of [`codec`]: a frame, a failure or
//! the rest that waits, one a line. The files named `written-…` are also what the encoder has to
//! write. A vector that is missing from a folder, from the lists here, or from either side of such
//! a pair fails.

mod codec;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use codec::{decoder, read, splits};
use stomp::{Command, FrameWriter, Limits, MessageTail, Version, message_head};

/// What every version has a vector of, besides what it writes.
const READ: &[&str] = &[
    "all-client-commands",
    "body-not-allowed",
    "colons",
    "connect",
    "content-length-long",
    "content-length-malformed",
    "content-length-repeated",
    "content-length-short",
    "content-length-space",
    "cr-in-value",
    "cr-lf",
    "escape-cr",
    "escape-undefined",
    "escapes",
    "heart-beats",
    "lower-case-command",
    "no-colon",
    "no-name",
    "not-utf-8",
    "nul-in-head",
    "repeated-headers",
    "send-binary",
    "send-empty",
    "send-json",
    "send-text",
    "spaces",
    "unfinished",
    "unknown-command",
    "utf-8",
];

/// A value with everything that has to be written with care.
const HOSTILE: &str = " a:b\\c\nd\re\r\nf\0g\\n ";

fn written(version: Version) -> Vec<(&'static str, Bytes)> {
    let frame = |command| FrameWriter::new(command, version);
    let json = "{\"message\":\"здраво\"}".as_bytes();
    let headers = [
        ("destination", "/sub/42"),
        ("message-id", "7212345678901234567"),
        ("content-type", "application/json"),
        ("x:y", HOSTILE),
    ];
    let tail = MessageTail::encode(version, headers, json);
    let shared = |subscription, ack| {
        let head = message_head(version, subscription, ack);
        Bytes::from([head.as_ref(), tail.bytes()].concat())
    };
    vec![
        (
            "written-connected",
            frame(Command::Connected)
                .header("version", version.as_str())
                .header("heart-beat", "1000,25000")
                .header("user-name", HOSTILE)
                .end(),
        ),
        (
            "written-receipt",
            frame(Command::Receipt)
                .header("receipt-id", "close-1")
                .end(),
        ),
        (
            "written-error",
            frame(Command::Error)
                .header("message", "malformed header line")
                .optional("receipt-id", None)
                .optional("code", Some("1006"))
                .body(b"malformed header line"),
        ),
        (
            "written-hostile",
            frame(Command::Send)
                .header("destination", HOSTILE)
                .header(HOSTILE, "by name")
                .header("c:d", "1")
                .header("", "no name")
                .header("content-length", "999")
                .header("empty", "")
                .end(),
        ),
        (
            "written-binary",
            frame(Command::Send)
                .header("destination", "/a")
                .body(b"\0\x01\xff\xfe\n\r\n\0\\n"),
        ),
        ("written-empty-body", frame(Command::Send).body(b"")),
        ("written-message", shared(Some("sub-0"), None)),
        ("written-message-ack", shared(Some("a:b"), Some("7@a:b"))),
        ("written-message-unnamed", shared(None, None)),
    ]
}

/// The vector `name` of `version` is read as its text says, however it is split.
fn check_read(version: Version, name: &str) {
    let path = folder(version).join(name);
    let bytes = load(&path.with_extension("stomp"));
    let text = load(&path.with_extension("txt"));
    let text = String::from_utf8(text).expect("an expectation is text");
    let expected: Vec<_> = text.lines().collect();
    let agreed_on = (name != "connect").then_some(version);
    for parts in splits(&bytes) {
        let mut decoder = decoder(agreed_on, Limits::after_login());
        let count = parts.len();
        let lines = read(&mut decoder, parts);
        assert_eq!(
            lines,
            expected,
            "{version} {name} in {count} parts is read as\n{}\n",
            lines.join("\n")
        );
    }
}

#[test]
fn every_version_reads_its_vectors() {
    for version in Version::ALL {
        for name in READ {
            check_read(version, name);
        }
    }
}

#[test]
fn every_version_writes_its_vectors() {
    for version in Version::ALL {
        for (name, bytes) in written(version) {
            let golden = load(&folder(version).join(name).with_extension("stomp"));
            assert_eq!(
                bytes.escape_ascii().to_string(),
                golden.escape_ascii().to_string(),
                "{version} {name}"
            );
            check_read(version, name);
        }
    }
}

#[test]
fn no_vector_is_missing_and_none_is_left_over() {
    for version in Version::ALL {
        let names = READ.iter().copied();
        let written = written(version);
        let names = names.chain(written.iter().map(|(name, _)| *name));
        let expected: BTreeSet<String> = names
            .flat_map(|name| [format!("{name}.stomp"), format!("{name}.txt")])
            .collect();
        assert_eq!(names_in(&folder(version)), expected, "{version}");
    }
    let versions = Version::ALL.map(|version| version.as_str().to_owned());
    assert_eq!(names_in(&vectors()), BTreeSet::from(versions));
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn folder(version: Version) -> PathBuf {
    vectors().join(version.as_str())
}

fn load(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path);
    assert!(bytes.is_ok(), "{}: {bytes:?}", path.display());
    bytes.unwrap_or_default()
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("the folder is committed");
    let names = entries.map(|entry| entry.expect("the folder can be listed").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}
