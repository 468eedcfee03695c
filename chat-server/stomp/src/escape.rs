//! Header escaping by version.
//!
//! 1.0 has none. 1.1 knows `\n`, `\c` and `\\`; 1.2 adds `\r`. CONNECT, STOMP and CONNECTED are
//! never escaped, so that 1.0 peers can read them. An undefined escape is a fatal error.

use crate::frame::Command;
use crate::version::Version;

/// Escaping of a frame's header lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Escaping {
    /// None: 1.0, and the frames that open a session.
    Raw,
    /// `\n`, `\c`, `\\`.
    V1_1,
    /// `\n`, `\c`, `\\`, `\r`.
    V1_2,
}

impl Escaping {
    /// The escaping of a frame; `version` is `None` before one is negotiated.
    pub(crate) fn of(command: Command, version: Option<Version>) -> Self {
        match version {
            Some(version) if !command.opens_session() => Self::from(version),
            _ => Self::Raw,
        }
    }
}

impl From<Version> for Escaping {
    fn from(version: Version) -> Self {
        match version {
            Version::V1_0 => Self::Raw,
            Version::V1_1 => Self::V1_1,
            Version::V1_2 => Self::V1_2,
        }
    }
}

/// The escape sequence is not defined in this version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UndefinedEscape;

/// Appends the bytes that `escaped` stands for.
pub(crate) fn unescape(
    escaped: &[u8],
    escaping: Escaping,
    out: &mut Vec<u8>,
) -> Result<(), UndefinedEscape> {
    if escaping == Escaping::Raw {
        out.extend_from_slice(escaped);
        return Ok(());
    }
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = match (tail.get(1), escaping) {
            (Some(b'n'), _) => b'\n',
            (Some(b'c'), _) => b':',
            (Some(b'\\'), _) => b'\\',
            (Some(b'r'), Escaping::V1_2) => b'\r',
            _ => return Err(UndefinedEscape),
        };
        out.push(byte);
        rest = tail.get(2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// Appends `plain` in the escaped form of a header line.
///
/// Characters that the version cannot express (a line end without escapes, a NUL anywhere) become a
/// space: a foreign value must never end a line or a frame.
pub(crate) fn escape(plain: &[u8], escaping: Escaping, out: &mut Vec<u8>) {
    // Without an early exit the loop is vectorised.
    let careful = plain
        .iter()
        .fold(false, |any, byte| any | needs_care(*byte));
    if !careful {
        out.extend_from_slice(plain);
        return;
    }
    for byte in plain {
        match (byte, escaping) {
            (b'\n', Escaping::V1_1 | Escaping::V1_2) => out.extend_from_slice(b"\\n"),
            (b':', Escaping::V1_1 | Escaping::V1_2) => out.extend_from_slice(b"\\c"),
            (b'\\', Escaping::V1_1 | Escaping::V1_2) => out.extend_from_slice(b"\\\\"),
            (b'\r', Escaping::V1_2) => out.extend_from_slice(b"\\r"),
            (b'\n' | b'\r', Escaping::Raw) | (0, _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
}

fn needs_care(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b':' | b'\\' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(escaping: Escaping, plain: &str, escaped: &str) {
        let mut out = Vec::new();
        escape(plain.as_bytes(), escaping, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), escaped);
    }

    fn check_decoded(escaping: Escaping, escaped: &str, expected: Result<&str, UndefinedEscape>) {
        let mut out = Vec::new();
        let result = unescape(escaped.as_bytes(), escaping, &mut out);
        let result = result.map(|()| std::str::from_utf8(&out).unwrap());
        assert_eq!(result, expected, "{escaped:?}");
    }

    #[test]
    fn each_version_escapes_what_it_defines() {
        check(Escaping::Raw, "a:b\\c", "a:b\\c");
        check(Escaping::V1_1, "a:b\\c\nd\re", "a\\cb\\\\c\\nd\re");
        check(Escaping::V1_2, "a:b\\c\nd\re", "a\\cb\\\\c\\nd\\re");
    }

    #[test]
    fn what_cannot_be_expressed_never_ends_a_line_or_a_frame() {
        check(Escaping::Raw, "a\nb\rc\0d", "a b c d");
        check(Escaping::V1_1, "a\0b", "a b");
        check(Escaping::V1_2, "a\0b", "a b");
    }

    #[test]
    fn undefined_escapes_are_refused() {
        check_decoded(Escaping::V1_2, r"a\cb\nc\\d\re", Ok("a:b\nc\\d\re"));
        check_decoded(Escaping::V1_1, r"a\cb\nc\\d", Ok("a:b\nc\\d"));
        check_decoded(Escaping::V1_1, r"a\r", Err(UndefinedEscape));
        for escaped in [r"\t", r"\C", r"\", r"a\\\", r"\0"] {
            check_decoded(Escaping::V1_2, escaped, Err(UndefinedEscape));
        }
    }
}
