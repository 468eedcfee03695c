//! Header lines of a frame while they arrive.
//!
//! Lines are recorded as spans; nothing is copied unless a header has an escape.

use std::ops::Range;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::escape::{Escaping, unescape};
use crate::frame::{Command, HeaderSpans, Span};
use crate::limits::Limits;
use crate::version::Version;

/// Most frames have at most this many headers; avoids growing the list twice.
const USUAL_HEADERS: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Head {
    pub(crate) headers: Vec<HeaderSpans>,
    /// The text that the spans refer to once headers are unescaped; `None`: the received data.
    pub(crate) text: Option<Bytes>,
}

impl Head {
    /// Records the header line of `data`, its line end left out.
    pub(crate) fn push_line(
        &mut self,
        data: &[u8],
        line: Range<usize>,
        limits: &Limits,
    ) -> Result<(), DecodeError> {
        if self.headers.len() >= limits.headers_max {
            return Err(DecodeError::TooManyHeaders {
                max: limits.headers_max,
            });
        }
        let Range { start, end } = line;
        let text = data.get(start..end).unwrap_or_default();
        let colon = match memchr::memchr(b':', text) {
            Some(0) | None => return Err(DecodeError::MalformedHeader),
            Some(colon) => start.saturating_add(colon),
        };
        if self.headers.capacity() == 0 {
            self.headers.reserve_exact(USUAL_HEADERS);
        }
        self.headers.push(HeaderSpans {
            name: span(start, colon)?,
            value: span(colon.saturating_add(1), end)?,
        });
        Ok(())
    }

    /// The first value of a header.
    pub(crate) fn value<'a>(&'a self, data: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let text = self.text.as_deref().unwrap_or(data);
        Some(self.find(text, name)?.value.of(text))
    }

    /// The `receipt` header, also of an incomplete head; `None` if it cannot be read.
    pub(crate) fn receipt(
        &self,
        data: &[u8],
        command: Command,
        version: Option<Version>,
    ) -> Option<Bytes> {
        let receipt = if self.text.is_some() {
            self.value(data, "receipt")?.to_vec()
        } else {
            let mut value = self.find(data, "receipt")?.value;
            if version == Some(Version::V1_0) {
                value = trim(data, value);
            }
            let mut receipt = Vec::new();
            unescape(value.of(data), Escaping::of(command, version), &mut receipt).ok()?;
            receipt
        };
        String::from_utf8(receipt).ok().map(Bytes::from)
    }

    /// Checks the complete `head` and finishes the headers.
    pub(crate) fn finish(
        &mut self,
        head: &[u8],
        command: Command,
        version: Option<Version>,
    ) -> Result<(), DecodeError> {
        if std::str::from_utf8(head).is_err() {
            return Err(DecodeError::NotUtf8);
        }
        if self.is_of_1_0(head, version) {
            for spans in &mut self.headers {
                spans.value = trim(head, spans.value);
            }
        }
        let escaping = Escaping::of(command, version);
        if escaping != Escaping::Raw
            && let Some(first) = memchr::memchr(b'\\', head)
        {
            self.unescape(head, first, escaping)?;
        }
        self.drop_repeated(head);
        Ok(())
    }

    fn find(&self, text: &[u8], name: &str) -> Option<&HeaderSpans> {
        self.headers
            .iter()
            .find(|spans| spans.name.of(text) == name.as_bytes())
    }

    /// A CONNECT that does not name versions comes from a client of 1.0.
    fn is_of_1_0(&self, head: &[u8], version: Option<Version>) -> bool {
        match version {
            Some(version) => version == Version::V1_0,
            None => self.value(head, "accept-version").is_none(),
        }
    }

    /// Makes a copy without escapes. Up to the `first` backslash of `head` it is the same, so
    /// earlier spans stay valid. On an error nothing has changed.
    fn unescape(
        &mut self,
        head: &[u8],
        first: usize,
        escaping: Escaping,
    ) -> Result<(), DecodeError> {
        let mut text = Vec::with_capacity(head.len());
        text.extend_from_slice(head.get(..first).unwrap_or_default());
        let mut headers = self.headers.clone();
        let parts = headers
            .iter_mut()
            .flat_map(|spans| [&mut spans.name, &mut spans.value]);
        for part in parts.filter(|part| part.end as usize > first) {
            let (start, end) = (part.start as usize, part.end as usize);
            let unread = head.get(start.max(first)..end).unwrap_or_default();
            let start = if start <= first { start } else { text.len() };
            unescape(unread, escaping, &mut text)
                .map_err(|_undefined| DecodeError::UndefinedEscape)?;
            *part = span(start, text.len())?;
        }
        self.headers = headers;
        self.text = Some(text.into());
        Ok(())
    }

    /// Only the first of repeated headers counts (1.2, "Repeated Header Entries").
    ///
    /// Quadratic in the number of headers, which `headers_max` bounds; nearly all pairs differ in
    /// length or first byte.
    fn drop_repeated(&mut self, head: &[u8]) {
        let text = self.text.as_deref().unwrap_or(head);
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

/// Fails only for a frame beyond 4 GiB, which every sensible limit refuses.
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
    let is_space = |byte: &&u8| **byte == b' ';
    let front = value.iter().take_while(is_space).count();
    let rest = value.get(front..).unwrap_or_default();
    let back = rest.iter().rev().take_while(is_space).count();
    // Both are lengths within a span, which counts in 32 bits.
    let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Span {
        start: span.start.saturating_add(bytes(front)),
        end: span.end.saturating_sub(bytes(back)),
    }
}
