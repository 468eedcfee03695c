//! Limits on received frames, and on everything before login.

/// Bounds on received frames; checked while bytes arrive, so nothing larger is ever buffered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a command; the longest real one, `UNSUBSCRIBE`, has 11.
    pub command_bytes_max: usize,
    /// Header lines of a frame, repeated ones included.
    pub headers_max: usize,
    /// Bytes of one header line without its end.
    pub header_line_bytes_max: usize,
    /// Bytes of a whole frame, from its command to its NUL.
    pub frame_bytes_max: usize,
    /// Bytes received in total, over all frames and what lies between them, while these limits are
    /// in force. A frame may span many small WebSocket messages; only their sum shows how much an
    /// unauthenticated peer makes the server buffer. `None`: no such bound.
    pub total_bytes_max: Option<u64>,
}

impl Limits {
    /// For a peer that has not logged in: 64 KiB in total. A CONNECT with its token is under 4 KiB.
    #[must_use]
    pub const fn before_login() -> Self {
        Self {
            command_bytes_max: 32,
            headers_max: 100,
            header_line_bytes_max: 16 << 10,
            frame_bytes_max: 64 << 10,
            total_bytes_max: Some(64 << 10),
        }
    }

    /// For a peer that has logged in: frames of 64 KiB, without a total.
    #[must_use]
    pub const fn after_login() -> Self {
        Self {
            total_bytes_max: None,
            ..Self::before_login()
        }
    }
}
