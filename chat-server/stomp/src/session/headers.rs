//! Headers that a client's frame must have.

use crate::error::ProtocolError;
use crate::frame::Frame;

/// The value of a header; an empty one names nothing, so it is as good as none.
pub(super) fn present<'a>(frame: &'a Frame, header: &str) -> Option<&'a str> {
    frame.header(header).filter(|value| !value.is_empty())
}

/// The value of a header that the frame must have.
pub(super) fn needed<'a>(frame: &'a Frame, header: &'static str) -> Result<&'a str, ProtocolError> {
    present(frame, header).ok_or_else(|| missing(frame, header))
}

/// The error of a frame without it.
pub(super) fn missing(frame: &Frame, header: &'static str) -> ProtocolError {
    ProtocolError::MissingHeader {
        command: frame.command(),
        header,
    }
}
