//! Incremental decoder: bytes to frames.
//!
//! ```text
//! stream  = *( EOL / frame )                        EOL between frames is a heart-beat
//! frame   = command EOL *( header EOL ) EOL *OCTET NUL
//! header  = 1*name-octet ":" *value-octet           values may be empty and hold raw colons
//! EOL     = LF, or CR LF in 1.2 and before the version is agreed on
//! ```
//! (The grammar of STOMP 1.2, "Augmented BNF"; lenient where real clients are: an empty value, a
//! colon in a value.)
//!
//! A frame that is complete in one chunk is sliced out of it without a copy. Otherwise the received
//! bytes are moved to a buffer, once, and the search continues where it stopped: each byte is
//! examined a fixed number of times however the input is split.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::frame::{Frame, Receipt};
use crate::input::Input;
use crate::limits::Limits;
use crate::scan::{Found, Rules, Scan, Step};
use crate::version::Version;

/// Why decoding ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeFailure {
    /// The broken rule.
    pub error: DecodeError,
    /// The offending frame's receipt, if that header had arrived before the fault.
    pub receipt: Option<Receipt>,
}

/// An incremental decoder of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    rules: Rules,
    input: Input,
    scan: Scan,
    total_bytes: u64,
    /// `total_bytes_max` was exceeded: bytes within the limit are still decoded, then decoding ends
    /// with this error.
    overrun: Option<DecodeError>,
    failure: Option<Box<DecodeFailure>>,
    idle_eols: u64,
    /// Line ends that may follow the last frame without being counted.
    free_eols: u8,
}

/// Line ends that clients write after a frame's NUL.
const EOLS_BEHIND_FRAME: u8 = 2;

impl Decoder {
    /// A decoder for a connection whose version is not agreed on yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            rules: Rules {
                limits,
                version: None,
            },
            input: Input::default(),
            scan: Scan::default(),
            total_bytes: 0,
            overrun: None,
            failure: None,
            idle_eols: 0,
            free_eols: 0,
        }
    }

    /// From here on, headers are read as this version writes them. To be called between frames.
    pub fn set_version(&mut self, version: Version) {
        self.rules.version = Some(version);
    }

    /// From here on, these limits hold; bytes fed so far no longer count. Bytes beyond the former
    /// total are lost all the same, and remain an error.
    pub fn set_limits(&mut self, limits: Limits) {
        self.rules.limits = limits;
        self.total_bytes = 0;
    }

    /// Takes received bytes, split in any way. Their frames come out of [`Self::next_frame`].
    pub fn feed(&mut self, mut bytes: Bytes) {
        if self.failure.is_some() || self.overrun.is_some() {
            return;
        }
        self.total_bytes = self.total_bytes.saturating_add(bytes.len() as u64);
        if let Some(max) = self.rules.limits.total_bytes_max
            && self.total_bytes > max
        {
            let excess = usize::try_from(self.total_bytes.saturating_sub(max));
            let excess = excess.unwrap_or(usize::MAX);
            bytes.truncate(bytes.len().saturating_sub(excess));
            self.overrun = Some(DecodeError::TotalTooLarge { max });
        }
        self.input.push(bytes);
    }

    /// Bytes that were fed and not yet returned as frames.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.input.len()
    }

    /// Line ends between frames since the last call, except those right after a frame.
    pub(crate) fn take_idle_eols(&mut self) -> u64 {
        std::mem::take(&mut self.idle_eols)
    }

    /// How many bytes all searches and checks have examined so far: the decoder's work, for tests
    /// and measurements. At most four times what was fed: header bytes for the line's end, for the
    /// colon, as UTF-8, and for escapes; body bytes once. Comparing names is not counted.
    #[must_use]
    pub fn examined_bytes(&self) -> u64 {
        self.scan.examined_bytes()
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// The input breaks the grammar or a limit. The decoder is then finished and returns the same
    /// failure from then on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeFailure> {
        if let Some(failure) = &self.failure {
            return Err(DecodeFailure::clone(failure));
        }
        loop {
            match self.scan.step(self.input.data(), &self.rules) {
                Ok(Step::Again) => {}
                Ok(Step::Skip(count)) => {
                    self.input.drop_front(count);
                    match self.free_eols.checked_sub(1) {
                        Some(left) => self.free_eols = left,
                        None => self.idle_eols = self.idle_eols.saturating_add(1),
                    }
                }
                Ok(Step::Incomplete) => break,
                Ok(Step::Complete(found)) => return Ok(Some(self.cut(found))),
                Err(error) => return Err(self.fail(error)),
            }
        }
        match self.overrun.take() {
            Some(error) => Err(self.fail(error)),
            None => {
                self.input.unite();
                Ok(None)
            }
        }
    }

    /// Records the failure and frees everything else.
    fn fail(&mut self, error: DecodeError) -> DecodeFailure {
        let receipt = self.scan.receipt_so_far(self.input.data(), &self.rules);
        let receipt = receipt.map(Receipt);
        let failure = DecodeFailure { error, receipt };
        self.failure = Some(Box::new(failure.clone()));
        self.input = Input::default();
        drop(self.scan.restart());
        failure
    }

    fn cut(&mut self, found: Found) -> Frame {
        self.free_eols = EOLS_BEHIND_FRAME;
        let (start, end) = found.body;
        let frame = self.input.cut_front(end.saturating_add(1));
        let body = if found.command.may_have_body() {
            frame.slice(start..end)
        } else {
            Bytes::new()
        };
        Frame {
            command: found.command,
            text: found.text.unwrap_or(frame),
            headers: found.headers,
            body,
        }
    }
}
