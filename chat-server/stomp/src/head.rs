//! The head of a frame while it arrives: its command and header lines.
//!
//! Lines are noted as spans; nothing is copied unless a header has an escape in it.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::escape::{Escaping, unescape};
use crate::frame::{Command, HeaderSpans, Span};
use crate::scan::Rules;
use crate::version::Version;

/// Most frames have at most this many headers; saves growing the list twice.
const USUAL_HEADERS: usize = 8;

#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) command: Command,
    headers: Vec<HeaderSpans>,
    /// At least one line has a backslash.
    escaped: bool,
}

impl Head {
    pub(crate) fn new(command: Command) -> Self {
        Self {
            command,
            headers: Vec::new(),
            escaped: false,
        }
    }

    /// Notes the header line `start..end` of `data`, its line end left out.
    pub(crate) fn push_line(
        &mut self,
        data: &[u8],
        (start, end): (usize, usize),
        rules: &Rules,
    ) -> Result<(), DecodeError> {
        let limits = &rules.limits;
        if end.saturating_sub(start) > limits.header_line_bytes_max {
            return Err(DecodeError::HeaderTooLong {
                max: limits.header_line_bytes_max,
            });
        }
        if self.headers.len() >= limits.headers_max {
            return Err(DecodeError::TooManyHeaders {
                max: limits.headers_max,
            });
        }
        let line = data.get(start..end).unwrap_or_default();
        let colon = match memchr::memchr(b':', line) {
            Some(0) | None => return Err(DecodeError::MalformedHeader),
            Some(colon) => start.saturating_add(colon),
        };
        self.escaped = self.escaped || memchr::memchr(b'\\', line).is_some();
        let mut value = span(colon.saturating_add(1), end)?;
        if rules.version == Some(Version::V1_0) {
            value = trim(data, value);
        }
        if self.headers.capacity() == 0 {
            self.headers.reserve_exact(USUAL_HEADERS);
        }
        self.headers.push(HeaderSpans {
            name: span(start, colon)?,
            value,
        });
        Ok(())
    }

    /// The first value of a header; `text` is what the spans point into.
    pub(crate) fn value<'a>(&self, text: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let spans = self
            .headers
            .iter()
            .find(|spans| spans.name.of(text) == name.as_bytes())?;
        Some(spans.value.of(text))
    }

    /// Checks the head at `data[..end]`, all of it there, and makes the header list final.
    ///
    /// Returns the unescaped text the spans then point into, or `None` if they still point into
    /// `data`.
    pub(crate) fn finish(
        &mut self,
        data: &[u8],
        end: usize,
        version: Option<Version>,
    ) -> Result<Option<Bytes>, DecodeError> {
        let head = data.get(..end).unwrap_or_default();
        if std::str::from_utf8(head).is_err() {
            return Err(DecodeError::NotUtf8);
        }
        let escaping = match version {
            Some(version) if !self.command.opens_session() => Escaping::from(version),
            _ => Escaping::Raw,
        };
        let text = if self.escaped && escaping != Escaping::Raw {
            Some(Bytes::from(self.unescape(data, escaping)?))
        } else {
            None
        };
        self.drop_repeated(text.as_deref().unwrap_or(data));
        Ok(text)
    }

    pub(crate) fn into_headers(self) -> Vec<HeaderSpans> {
        self.headers
    }

    fn unescape(&mut self, data: &[u8], escaping: Escaping) -> Result<Vec<u8>, DecodeError> {
        let mut text = Vec::new();
        for spans in &mut self.headers {
            for part in [&mut spans.name, &mut spans.value] {
                let start = text.len();
                unescape(part.of(data), escaping, &mut text)
                    .map_err(|_undefined| DecodeError::UndefinedEscape)?;
                *part = span(start, text.len())?;
            }
        }
        Ok(text)
    }

    /// Only the first of repeated headers counts (1.2, "Repeated Header Entries").
    ///
    /// Quadratic in the number of headers, which `headers_max` bounds; nearly all pairs differ in
    /// length or first byte.
    fn drop_repeated(&mut self, text: &[u8]) {
        let mut kept = 0_usize;
        for at in 0..self.headers.len() {
            let Some(candidate) = self.headers.get(at).copied() else {
                break;
            };
            let name = candidate.name.of(text);
            let earlier = self.headers.get(..kept).unwrap_or_default();
            if earlier.iter().any(|spans| spans.name.of(text) == name) {
                continue;
            }
            if let Some(place) = self.headers.get_mut(kept) {
                *place = candidate;
            }
            kept = kept.saturating_add(1);
        }
        self.headers.truncate(kept);
    }
}

/// Fails only for a frame beyond 4 GiB, which no sensible limit lets pass.
fn span(start: usize, end: usize) -> Result<Span, DecodeError> {
    match (u32::try_from(start), u32::try_from(end)) {
        (Ok(start), Ok(end)) => Ok(Span { start, end }),
        _ => Err(DecodeError::FrameTooLarge {
            max: u32::MAX as usize,
        }),
    }
}

/// 1.0's own examples pad values with spaces, and its clients do; later versions forbid it.
fn trim(data: &[u8], span: Span) -> Span {
    let value = span.of(data);
    let front = value.iter().take_while(|byte| **byte == b' ').count();
    let back = value
        .iter()
        .skip(front)
        .rev()
        .take_while(|byte| **byte == b' ')
        .count();
    Span {
        start: span
            .start
            .saturating_add(u32::try_from(front).unwrap_or(u32::MAX)),
        end: span
            .end
            .saturating_sub(u32::try_from(back).unwrap_or(u32::MAX)),
    }
}
