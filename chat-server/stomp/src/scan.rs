//! Finding one frame at the front of received bytes, and going on where the search stopped.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::Command;
use crate::head::Head;
use crate::limits::Limits;
use crate::version::Version;

/// What frames are measured by.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) limits: Limits,
    /// `None` until CONNECT is answered: no escapes, CR LF accepted.
    pub(crate) version: Option<Version>,
}

/// What a step found at the front of the data.
#[derive(Debug)]
pub(crate) enum Step {
    /// Not decidable without more bytes.
    Incomplete,
    /// Progress was made; go on.
    Again,
    /// So many bytes do not belong to a frame; drop them and go on.
    Skip(usize),
    /// A frame. Its NUL stands at `body.1`.
    Complete(Found),
}

/// Where the parts of a whole frame lie.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) head: Head,
    /// What the head's spans point into, if not the frame itself.
    pub(crate) text: Option<Bytes>,
    /// Start and end of the body.
    pub(crate) body: (usize, usize),
}

/// What is known of the frame at the front; all positions count from its first byte.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    phase: Phase,
    /// Up to here nothing more is to be found.
    scanned: usize,
    /// Where the line now being read starts.
    line_start: usize,
    examined: u64,
}

#[derive(Debug, Default)]
enum Phase {
    #[default]
    Command,
    Headers(Head),
    Body {
        head: Head,
        text: Option<Bytes>,
        start: usize,
        length: Option<usize>,
    },
}

impl Scan {
    pub(crate) fn examined_bytes(&self) -> u64 {
        self.examined
    }

    /// The value of a header that has arrived, while its frame still is arriving.
    pub(crate) fn header_so_far<'a>(&'a self, data: &'a [u8], name: &str) -> Option<&'a [u8]> {
        match &self.phase {
            Phase::Command => None,
            Phase::Headers(head) => head.value(data, name),
            Phase::Body { head, text, .. } => head.value(text.as_deref().unwrap_or(data), name),
        }
    }

    pub(crate) fn step(&mut self, data: &[u8], rules: &Rules) -> Result<Step, DecodeError> {
        match std::mem::take(&mut self.phase) {
            Phase::Command => self.step_command(data, rules),
            Phase::Headers(head) => self.step_header(head, data, rules),
            Phase::Body {
                head,
                text,
                start,
                length,
            } => {
                let found = Found {
                    head,
                    text,
                    body: (start, start),
                };
                self.step_body(found, length, data, rules)
            }
        }
    }

    fn step_command(&mut self, data: &[u8], rules: &Rules) -> Result<Step, DecodeError> {
        let start = self.line_start;
        let max = rules.limits.command_bytes_max;
        let Some(end) = self.next_line(data, rules)? else {
            check_line(data.len(), start, max)
                .map_err(|max| DecodeError::CommandTooLong { max })?;
            self.rebase(start);
            return Ok(if start == 0 {
                Step::Incomplete
            } else {
                Step::Skip(start)
            });
        };
        let line = data.get(start..end).unwrap_or_default();
        if line.is_empty() {
            return Ok(Step::Again); // an EOL between frames: a heart-beat
        }
        if line.len() > max {
            return Err(DecodeError::CommandTooLong { max });
        }
        let command = Command::parse(line).ok_or(DecodeError::UnknownCommand)?;
        self.rebase(start);
        self.phase = Phase::Headers(Head::new(command));
        Ok(if start == 0 {
            Step::Again
        } else {
            Step::Skip(start)
        })
    }

    fn step_header(
        &mut self,
        mut head: Head,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Step, DecodeError> {
        let start = self.line_start;
        let line = self.next_line(data, rules);
        let result = match line {
            Ok(Some(end)) if start == end => return self.begin_body(head, data, rules),
            Ok(Some(end)) => {
                // Two more looks at the line: for its colon and for a backslash.
                self.examine(end.saturating_sub(start).saturating_mul(2));
                let pushed =
                    check_size(end, rules).and_then(|()| head.push_line(data, (start, end), rules));
                pushed.map(|()| Step::Again)
            }
            Ok(None) => check_line(data.len(), start, rules.limits.header_line_bytes_max)
                .map_err(|max| DecodeError::HeaderTooLong { max })
                .and_then(|()| check_size(data.len(), rules))
                .map(|()| Step::Incomplete),
            Err(error) => Err(error),
        };
        self.phase = Phase::Headers(head);
        result
    }

    /// The head is whole; the body starts where the next line would.
    fn begin_body(
        &mut self,
        mut head: Head,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Step, DecodeError> {
        let start = self.line_start;
        self.examine(start);
        let result = declared_length(&head, data, start, rules).and_then(|length| {
            let text = head.finish(data, start, rules.version)?;
            Ok((length, text))
        });
        match result {
            Ok((length, text)) => {
                self.phase = Phase::Body {
                    head,
                    text,
                    start,
                    length,
                };
                Ok(Step::Again)
            }
            Err(error) => {
                self.phase = Phase::Headers(head);
                Err(error)
            }
        }
    }

    fn step_body(
        &mut self,
        mut found: Found,
        length: Option<usize>,
        data: &[u8],
        rules: &Rules,
    ) -> Result<Step, DecodeError> {
        let start = found.body.0;
        let end = match length {
            Some(length) => end_of_declared(data, start.saturating_add(length)),
            None => self.end_by_nul(data, rules),
        };
        let end = end.and_then(|end| match end {
            Some(end) if end > start => check_body(&found.head, rules).map(|()| Some(end)),
            end => Ok(end),
        });
        if let Ok(Some(end)) = end {
            found.body.1 = end;
            *self = Self {
                examined: self.examined,
                ..Self::default()
            };
            return Ok(Step::Complete(found));
        }
        let Found { head, text, .. } = found;
        self.phase = Phase::Body {
            head,
            text,
            start,
            length,
        };
        end.map(|_| Step::Incomplete)
    }

    /// The end of the line being read, its line end left out; the next one then is the line.
    fn next_line(&mut self, data: &[u8], rules: &Rules) -> Result<Option<usize>, DecodeError> {
        let fresh = data.get(self.scanned..).unwrap_or_default();
        let Some(found) = memchr::memchr2(b'\n', 0, fresh) else {
            self.examine(fresh.len());
            self.scanned = data.len();
            return Ok(None);
        };
        self.examine(found.saturating_add(1));
        if fresh.get(found) == Some(&0) {
            return Err(DecodeError::NulInHead);
        }
        let end = self.scanned.saturating_add(found);
        let line = data.get(self.line_start..end).unwrap_or_default();
        self.scanned = end.saturating_add(1);
        self.line_start = self.scanned;
        let carriage_return = matches!(rules.version, None | Some(Version::V1_2));
        let ends_in_one = carriage_return && line.last() == Some(&b'\r');
        Ok(Some(end.saturating_sub(usize::from(ends_in_one))))
    }

    /// The end of a body whose length was not told: the first NUL.
    fn end_by_nul(&mut self, data: &[u8], rules: &Rules) -> Result<Option<usize>, DecodeError> {
        let fresh = data.get(self.scanned..).unwrap_or_default();
        let found = memchr::memchr(0, fresh);
        self.examine(found.unwrap_or(fresh.len()));
        self.scanned = self.scanned.saturating_add(found.unwrap_or(fresh.len()));
        check_size(
            self.scanned.saturating_add(usize::from(found.is_some())),
            rules,
        )?;
        Ok(found.map(|_| self.scanned))
    }

    /// Counts positions from `start` on, which becomes the first byte.
    fn rebase(&mut self, start: usize) {
        self.scanned = self.scanned.saturating_sub(start);
        self.line_start = self.line_start.saturating_sub(start);
    }

    fn examine(&mut self, bytes: usize) {
        self.examined = self.examined.saturating_add(bytes as u64);
    }
}

/// A line of which the end is not there yet; one byte more than the limit may be its CR.
fn check_line(length: usize, start: usize, max: usize) -> Result<(), usize> {
    let so_far = length.saturating_sub(start);
    if so_far > max.saturating_add(1) {
        Err(max)
    } else {
        Ok(())
    }
}

fn check_size(bytes: usize, rules: &Rules) -> Result<(), DecodeError> {
    let max = rules.limits.frame_bytes_max;
    if bytes > max {
        Err(DecodeError::FrameTooLarge { max })
    } else {
        Ok(())
    }
}

/// 1.0 lets any frame have a body and ignores it.
fn check_body(head: &Head, rules: &Rules) -> Result<(), DecodeError> {
    if head.command.may_have_body() || rules.version == Some(Version::V1_0) {
        return Ok(());
    }
    Err(DecodeError::BodyNotAllowed {
        command: head.command,
    })
}

/// The body's length by its header, refused before the body arrives if it would not be taken.
fn declared_length(
    head: &Head,
    data: &[u8],
    start: usize,
    rules: &Rules,
) -> Result<Option<usize>, DecodeError> {
    let Some(value) = head.value(data, "content-length") else {
        return Ok(None);
    };
    let length = parse_length(value)?;
    if length > 0 {
        check_body(head, rules)?;
    }
    check_size(start.saturating_add(length).saturating_add(1), rules)?;
    Ok(Some(length))
}

/// Strictly decimal: no sign, no space. Too many digits for a `usize` are as good as too large.
fn parse_length(value: &[u8]) -> Result<usize, DecodeError> {
    let digits = std::str::from_utf8(value).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecodeError::MalformedContentLength);
    }
    Ok(digits.parse().unwrap_or(usize::MAX))
}

/// The body's octets are read whatever they are, but a NUL has to follow them.
fn end_of_declared(data: &[u8], end: usize) -> Result<Option<usize>, DecodeError> {
    match data.get(end) {
        None => Ok(None),
        Some(0) => Ok(Some(end)),
        Some(_) => Err(DecodeError::WrongContentLength),
    }
}
