//! One WebSocket: frames read through a buffer that connections share, written from one of its own.
//!
//! An idle connection holds no read buffer: bytes are read into a buffer of the thread and parsed there,
//! and only incomplete frames are copied. Control frames and messages are added to one list
//! of bytes, so that they meet at frame boundaries, and one call writes what has gathered.

use std::cell::RefCell;
use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use stomp::CloseCode;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::readiness::Readiness;
use crate::websocket_frame::{Control, HEADER_BYTES_MAX, Payload, put_control, put_header};
use crate::websocket_reader::{FrameEvent, FrameReader};

/// Bytes of one read at most. A chat message is smaller; a large one takes several reads.
const READ_BYTES: usize = 16 << 10;

thread_local! {
    /// What is read from any socket. Nothing stays in it: a thread polls one connection at a time.
    static RECEIVED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

/// A close frame's reason (RFC 6455 §5.5: 125 bytes less the code).
const REASON_BYTES_MAX: usize = 123;

/// An event of the socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// Bytes of STOMP: the messages of one read.
    Data(Bytes),
    /// Only a sign of life: a ping, a pong, bytes of a message that is not whole yet.
    Alive,
    /// A message over the limit; nothing more is read from this peer.
    TooLarge,
    /// Bytes that are no WebSocket frames, or no UTF-8 where it must be (RFC 6455 §7.4.1); nothing
    /// more is read from this peer.
    Malformed(CloseCode),
    /// The peer closed, or the connection is lost; nothing more comes.
    Gone,
    /// Bytes were written; how many are left is in [`Socket::pending_bytes`]. Whether STOMP was
    /// among them: no heart-beat but STOMP's own reaches the peer's STOMP.
    Wrote(Wrote),
}

/// Whether STOMP was among the bytes written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    Stomp,
    ControlFrames,
}

/// How the reading ends.
#[derive(Debug)]
enum End {
    /// The peer closed; the payload of the answer.
    Close(Bytes),
    TooLarge,
    Malformed(CloseCode),
}

/// A server's WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    tcp: TcpStream,
    /// Whether the TCP connection is worth reading.
    readiness: Readiness,
    reader: FrameReader,
    /// What came behind the upgrade request, until the first read.
    early: Box<[u8]>,
    /// What is returned once the messages before it are carried out.
    end: Option<Box<End>>,
    out: BytesMut,
    /// STOMP waits to be written.
    stomp_waits: bool,
    closing: bool,
    /// The session is over in good order: a close that names no code is answered with 1000.
    is_finished: bool,
    /// Reading has ended. What comes is thrown away until the peer closes: a socket that is closed
    /// with bytes unread is reset, and the peer would lose our last frames.
    discarding: bool,
    /// Nothing more is written.
    shut: bool,
}

impl Socket {
    /// Takes an upgraded connection over; `early` is what came behind the upgrade request.
    pub(super) fn new(tcp: TcpStream, early: Box<[u8]>, message_bytes_max: usize) -> Self {
        Self {
            tcp,
            readiness: Readiness::default(),
            reader: FrameReader::new(message_bytes_max),
            early,
            end: None,
            out: BytesMut::new(),
            stomp_waits: false,
            closing: false,
            is_finished: false,
            discarding: false,
            shut: false,
        }
    }

    /// Adds a whole WebSocket frame of STOMP to what is to be written.
    pub(super) fn push(&mut self, frame: &[u8]) {
        if !self.closing {
            self.stomp_waits = true;
            self.out.extend_from_slice(frame);
        }
    }

    /// Adds a text message.
    pub(super) fn push_text(&mut self, text: &[u8]) {
        if !self.closing {
            self.stomp_waits = true;
            let out = &mut self.out;
            out.reserve(text.len().saturating_add(HEADER_BYTES_MAX));
            put_header(out, text.len(), Payload::Text);
            out.extend_from_slice(text);
        }
    }

    /// Adds a ping, to which the peer has to answer.
    pub(super) fn push_ping(&mut self) {
        if !self.closing {
            put_control(&mut self.out, Control::Ping, b"");
        }
    }

    /// Frames received since the last call that carried nothing: empty ones, pings, pongs.
    pub(super) fn take_idle_frames(&mut self) -> u64 {
        self.reader.take_idle_frames()
    }

    /// Adds the close frame; after it nothing can be added.
    pub(super) fn start_close(&mut self, code: CloseCode, reason: &str) {
        if self.closing {
            return;
        }
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).unwrap_or_default();
        let mut payload = BytesMut::with_capacity(2 + reason.len());
        payload.put_u16(code.0);
        payload.extend_from_slice(reason.as_bytes());
        put_control(&mut self.out, Control::Close, &payload);
        self.closing = true;
    }

    /// From now on the peer may close, in good order. Clients that close without a code (stompjs) then
    /// see 1000, as when they are closed, not 1005.
    pub(super) fn note_finished(&mut self) {
        self.is_finished = true;
    }

    /// Whether any of what waits to be written is STOMP.
    pub(super) fn has_stomp_waiting(&self) -> bool {
        self.stomp_waits
    }

    /// Bytes that wait to be written.
    pub(super) fn pending_bytes(&self) -> usize {
        self.out.len()
    }

    /// Reads and writes as far as the peer allows; reads only with [`Read::Yes`].
    ///
    /// Cancel-safe: what was read or written is either returned or still in here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, read: Read) -> Poll<SocketEvent> {
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }
        if read == Read::Yes {
            return self.poll_read(cx);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if self.discarding {
            return self.poll_discard(cx);
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(self.finish_reading(*end));
        }
        if !self.early.is_empty() {
            let mut early = take(&mut self.early);
            return Poll::Ready(self.take_in(&mut early));
        }
        RECEIVED.with_borrow_mut(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            ready!(self.poll_tcp(cx, &mut buf));
            let received = buf.filled_mut();
            if received.is_empty() {
                self.write_last_bytes();
                return Poll::Ready(SocketEvent::Gone);
            }
            Poll::Ready(self.take_in(received))
        })
    }

    /// Reads; nothing at the end, or when the connection is lost.
    fn poll_tcp(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        let tcp = Pin::new(&mut self.tcp);
        let read = self.readiness.poll(cx, |cx| tcp.poll_read(cx, buf));
        read.map(|done| {
            if done.is_err() {
                buf.clear();
            }
        })
    }

    /// Reads frames. What is behind them is kept.
    fn take_in(&mut self, mut received: &mut [u8]) -> SocketEvent {
        let mut messages = Vec::new();
        while let Some(event) = self.reader.next(&mut received, &mut messages) {
            let end = match event {
                FrameEvent::Message | FrameEvent::Pong => continue,
                FrameEvent::Ping(payload) => {
                    if !self.closing {
                        put_control(&mut self.out, Control::Pong, &payload);
                    }
                    continue;
                }
                FrameEvent::Close(answer) => End::Close(answer),
                FrameEvent::TooLarge => End::TooLarge,
                FrameEvent::Malformed(code) => End::Malformed(code),
            };
            if messages.is_empty() {
                return self.finish_reading(end);
            }
            // The answers to the messages go before the answer to a close.
            self.end = Some(Box::new(end));
            break;
        }
        if messages.is_empty() {
            SocketEvent::Alive
        } else {
            SocketEvent::Data(messages.into())
        }
    }

    fn finish_reading(&mut self, end: End) -> SocketEvent {
        match end {
            End::Close(answer) => {
                self.answer_close(&answer);
                self.write_last_bytes();
                SocketEvent::Gone
            }
            End::TooLarge => {
                self.discarding = true;
                SocketEvent::TooLarge
            }
            End::Malformed(code) => {
                self.discarding = true;
                SocketEvent::Malformed(code)
            }
        }
    }

    /// Answers the peer's close, unless it is itself the answer to ours.
    fn answer_close(&mut self, answer: &[u8]) {
        if self.closing {
            return;
        }
        let normal = CloseCode::NORMAL.0.to_be_bytes();
        let answer = if answer.is_empty() && self.is_finished {
            &normal
        } else {
            answer
        };
        put_control(&mut self.out, Control::Close, answer);
        self.closing = true;
    }

    /// Writes what the kernel takes at once: there is no further poll.
    fn write_last_bytes(&mut self) {
        if !self.out.is_empty() {
            drop(self.tcp.try_write(&self.out));
        }
    }

    /// Reads and forgets, a bounded amount at a time so that other tasks have their turn.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if self.closing && self.out.is_empty() && !self.shut {
            // The peer's close will not be understood, so it need not be waited for: this is the
            // end for the peer to see.
            drop(ready!(Pin::new(&mut self.tcp).poll_shutdown(cx)));
            self.shut = true;
        }
        RECEIVED.with_borrow_mut(|buffer| {
            let mut buf = ReadBuf::new(buffer);
            ready!(self.poll_tcp(cx, &mut buf));
            Poll::Ready(if buf.filled().is_empty() {
                SocketEvent::Gone
            } else {
                SocketEvent::Alive
            })
        })
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if self.out.is_empty() {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut self.tcp).poll_write(cx, &self.out)) {
            Ok(0) | Err(_) => Poll::Ready(SocketEvent::Gone),
            Ok(written) => {
                let wrote = if self.stomp_waits {
                    Wrote::Stomp
                } else {
                    Wrote::ControlFrames
                };
                if written == self.out.len() {
                    self.out = BytesMut::new(); // an idle connection holds no buffer
                    self.stomp_waits = false;
                } else {
                    drop(self.out.split_to(written));
                }
                Poll::Ready(SocketEvent::Wrote(wrote))
            }
        }
    }
}

/// Whether a poll may take something in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Yes,
    No,
}
