//! Incremental search for one frame at the front of received bytes.
//!
//! An error is found at the first byte that makes it certain, and no later byte is examined. So the
//! error does not depend on how the bytes were split.

use std::ops::Range;

use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::{Command, HeaderSpans};
use crate::head::Head;
use crate::limits::Limits;
use crate::version::Version;

/// Limits and version for the search.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// `None` until CONNECT is answered: no escapes, CR LF accepted.
    pub(crate) version: Option<Version>,
}

/// Result of one step of the search.
#[derive(Debug)]
pub(crate) enum Step {
    /// More bytes are needed.
    Incomplete,
    /// Progress was made; call again.
    Again,
    /// So many bytes do not belong to a frame; drop them and call again.
    Skip(usize),
    /// A frame. Its NUL is at `body.1`.
    Complete(Found),
}

/// Spans of a complete frame.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) command: Command,
    pub(crate) headers: Vec<HeaderSpans>,
    /// The text that the headers' spans refer to, if not the frame itself.
    pub(crate) text: Option<Bytes>,
    /// Start and end of the body.
    pub(crate) body: (usize, usize),
}

/// State of the search in the frame at the front; positions count from its first byte.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    phase: Phase,
    head: Head,
    /// Everything before this position has been searched.
    scanned: usize,
    /// Start of the current line.
    line_start: usize,
    examined: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    #[default]
    Command,
    Headers(Command),
    Body(Body),
}

#[derive(Clone, Copy, Debug)]
struct Body {
    command: Command,
    start: usize,
    /// By `content-length`; without it the first NUL ends the body.
    length: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Command,
    Header,
}

/// Limit of a search, and the error if nothing is found within it.
#[derive(Debug)]
struct Bound {
    end: usize,
    error: DecodeError,
}

impl Scan {
    pub(crate) fn examined_bytes(&self) -> u64 {
        self.examined
    }

    /// The `receipt` of the frame that is arriving, if that header already has.
    pub(crate) fn receipt_so_far(&self, data: &[u8], rules: &Rules) -> Option<Bytes> {
        let (Phase::Headers(command) | Phase::Body(Body { command, .. })) = self.phase else {
            return None;
        };
        self.head.receipt(data, command, rules.version)
    }

    pub(crate) fn step(&mut self, data: &[u8], rules: &Rules) -> Result<Step, DecodeError> {
        match self.phase {
            Phase::Command => self.step_command(data, rules),
            Phase::Headers(command) => self.step_headers(command, data, rules),
            Phase::Body(body) => self.step_body(body, data, rules),
        }
    }

    /// Resets the state for the next frame and returns this one's head; the count of examined bytes
    /// continues.
    pub(crate) fn restart(&mut self) -> Head {
        let examined = self.examined;
        let before = std::mem::replace(
            self,
            Self {
                examined,
                ..Self::default()
            },
        );
        before.head
    }

    fn step_command(&mut self, data: &[u8], rules: &Rules) -> Result<Step, DecodeError> {
        let Some(Range { start, end }) = self.next_line(Line::Command, data, rules)? else {
            return Ok(Step::Incomplete);
        };
        if start == end {
            // An EOL between frames: a heart-beat.
            self.line_start = 0;
            return Ok(Step::Skip(std::mem::take(&mut self.scanned)));
        }
        let line = data.get(start..end).unwrap_or_default();
        self.phase = Phase::Headers(Command::parse(line).ok_or(DecodeError::UnknownCommand)?);
        Ok(Step::Again)
    }

    fn step_headers(
        &mut self,
        command: Command,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Step, DecodeError> {
        while let Some(line) = self.next_line(Line::Header, data, rules)? {
            if line.is_empty() {
                self.phase = Phase::Body(self.begin_body(command, data, rules)?);
                return Ok(Step::Again);
            }
            self.examine(line.len()); // for its colon
            self.head.push_line(data, line, &rules.limits)?;
        }
        Ok(Step::Incomplete)
    }

    /// The head is complete; the body starts where the next line would.
    fn begin_body(
        &mut self,
        command: Command,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Body, DecodeError> {
        let start = self.line_start;
        self.examine(start.saturating_mul(2)); // as UTF-8 and for escapes
        let head = data.get(..start).unwrap_or_default();
        self.head.finish(head, command, rules.version)?;
        let length = match self.head.value(head, "content-length") {
            Some(value) => Some(parse_length(value)?),
            None => None,
        };
        if let Some(length) = length {
            // Refused before the body arrives.
            if length > 0 && !takes_body(command, rules) {
                return Err(DecodeError::BodyNotAllowed { command });
            }
            let Bound { end, error } = whole_frame(rules);
            if start.saturating_add(length) >= end {
                return Err(error);
            }
        }
        Ok(Body {
            command,
            start,
            length,
        })
    }

    fn step_body(&mut self, body: Body, data: &[u8], rules: &Rules) -> Result<Step, DecodeError> {
        let Body {
            command,
            start,
            length,
        } = body;
        let end = match length {
            Some(length) => end_of_declared(data, start.saturating_add(length))?,
            None => self.end_by_nul(body, data, rules)?,
        };
        let Some(end) = end else {
            return Ok(Step::Incomplete);
        };
        let head = self.restart();
        Ok(Step::Complete(Found {
            command,
            headers: head.headers,
            text: head.text,
            body: (start, end),
        }))
    }

    /// Where the current line lies, without its line end; advances to the next line.
    fn next_line(
        &mut self,
        kind: Line,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Option<Range<usize>>, DecodeError> {
        let start = self.line_start;
        let max = kind.bytes_max(&rules.limits);
        let whole_line = Bound {
            end: start.saturating_add(max).saturating_add(2), // CR LF
            error: kind.too_long(max),
        };
        let bound = whole_line.or_nearer(whole_frame(rules));
        let Some(found) = self.search(data, bound, |fresh| memchr::memchr2(b'\n', 0, fresh))?
        else {
            return Ok(None);
        };
        if data.get(found) == Some(&0) {
            return Err(DecodeError::NulInHead);
        }
        self.line_start = self.scanned;
        let line = data.get(start..found).unwrap_or_default();
        let carriage_return = matches!(rules.version, None | Some(Version::V1_2));
        let ends_in_one = carriage_return && line.last() == Some(&b'\r');
        let length = line.len().saturating_sub(usize::from(ends_in_one));
        if length > max {
            return Err(kind.too_long(max));
        }
        Ok(Some(start..start.saturating_add(length)))
    }

    /// The end of a body without `content-length`: the first NUL.
    fn end_by_nul(
        &mut self,
        body: Body,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Option<usize>, DecodeError> {
        let mut bound = whole_frame(rules);
        if !takes_body(body.command, rules) {
            let command = body.command;
            bound = bound.or_nearer(Bound {
                end: body.start.saturating_add(1),
                error: DecodeError::BodyNotAllowed { command },
            });
        }
        self.search(data, bound, |fresh| memchr::memchr(0, fresh))
    }

    /// Runs `find` on the bytes that were not searched yet. The only function that searches, and
    /// therefore counts.
    fn search(
        &mut self,
        data: &[u8],
        bound: Bound,
        find: impl FnOnce(&[u8]) -> Option<usize>,
    ) -> Result<Option<usize>, DecodeError> {
        let fresh = data.get(self.scanned..data.len().min(bound.end));
        let fresh = fresh.unwrap_or_default();
        let found = find(fresh);
        let searched = found.map_or(fresh.len(), |at| at.saturating_add(1));
        self.examine(searched);
        self.scanned = self.scanned.saturating_add(searched);
        match found {
            Some(_) => Ok(Some(self.scanned.saturating_sub(1))),
            None if data.len() < bound.end => Ok(None),
            None => Err(bound.error),
        }
    }

    fn examine(&mut self, bytes: usize) {
        self.examined = self.examined.saturating_add(bytes as u64);
    }
}

impl Line {
    fn bytes_max(self, limits: &Limits) -> usize {
        match self {
            Self::Command => limits.command_bytes_max,
            Self::Header => limits.header_line_bytes_max,
        }
    }

    fn too_long(self, max: usize) -> DecodeError {
        match self {
            Self::Command => DecodeError::CommandTooLong { max },
            Self::Header => DecodeError::HeaderTooLong { max },
        }
    }
}

impl Bound {
    fn or_nearer(self, other: Self) -> Self {
        if other.end < self.end { other } else { self }
    }
}

/// The NUL must be within the first `frame_bytes_max` bytes.
fn whole_frame(rules: &Rules) -> Bound {
    let max = rules.limits.frame_bytes_max;
    Bound {
        end: max,
        error: DecodeError::FrameTooLarge { max },
    }
}

/// 1.0 lets any frame have a body and ignores it.
fn takes_body(command: Command, rules: &Rules) -> bool {
    command.may_have_body() || rules.version == Some(Version::V1_0)
}

/// Strictly decimal: no sign, no space. More digits than a `usize` holds count as too large.
fn parse_length(value: &[u8]) -> Result<usize, DecodeError> {
    let digits = std::str::from_utf8(value).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecodeError::MalformedContentLength);
    }
    Ok(digits.parse().unwrap_or(usize::MAX))
}

/// The body may contain any octets, but a NUL must follow it.
fn end_of_declared(data: &[u8], end: usize) -> Result<Option<usize>, DecodeError> {
    match data.get(end) {
        None => Ok(None),
        Some(0) => Ok(Some(end)),
        Some(_) => Err(DecodeError::WrongContentLength),
    }
}
