//! One WebSocket: reading by tungstenite, writing by one buffer of our own.
//!
//! tungstenite would copy every message into a buffer that never shrinks, and its control frames
//! and our messages must not cut into each other. So it writes into [`Wire`], which accepts
//! everything into one list of bytes; ready-made frames are added to the same list; and one call
//! writes what has gathered. Control frames and messages meet at frame boundaries only.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, Stream};
use stomp::CloseCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::meter::Meter;
use crate::websocket_frame::{HEADER_BYTES_MAX, Payload, put_header};

/// Bytes of one read at most, and so of an idle connection's buffer: a chat message is smaller.
const READ_BYTES: usize = 4 << 10;

/// A close frame's reason (RFC 6455 §5.5: 125 bytes less the code).
const REASON_BYTES_MAX: usize = 123;

/// A close frame with code 1000.
const NORMAL_CLOSE: [u8; 4] = [0x88, 2, 0x03, 0xe8];

/// An event of the socket.
#[derive(Debug)]
pub(super) enum SocketEvent {
    /// Bytes of STOMP.
    Data(Bytes),
    /// Bytes of a message that is not whole yet.
    Progress,
    /// Only a sign of life: a ping, a pong.
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

/// The TCP connection with the bytes that wait to be written to it.
#[derive(Debug)]
struct Wire {
    tcp: TcpStream,
    out: BytesMut,
    /// Bytes read so far.
    received: u64,
    meter: Meter,
    /// The peer's close is answered already; what tungstenite would answer is dropped.
    answered: bool,
}

/// A server's WebSocket.
#[derive(Debug)]
pub(super) struct Socket {
    ws: WebSocketStream<Wire>,
    closing: bool,
    /// STOMP waits to be written.
    stomp_waits: bool,
    /// The session is over in good order: a close that names no code is answered with 1000.
    is_finished: bool,
    /// tungstenite has given up reading. What comes is thrown away until the peer closes: a socket
    /// that is closed with bytes unread is reset, and the peer would lose our last frames.
    discarding: bool,
    /// Nothing more is written.
    shut: bool,
}

impl Socket {
    /// Takes an upgraded connection over; `early` is what came behind the upgrade request.
    pub(super) async fn new(tcp: TcpStream, early: Vec<u8>, message_bytes_max: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(message_bytes_max))
            .max_frame_size(Some(message_bytes_max));
        let mut wire = Wire {
            tcp,
            out: BytesMut::new(),
            received: 0,
            meter: Meter::default(),
            answered: false,
        };
        wire.meter.feed(&early);
        let ws =
            WebSocketStream::from_partially_read(wire, early, Role::Server, Some(config)).await;
        Self {
            ws,
            closing: false,
            stomp_waits: false,
            is_finished: false,
            discarding: false,
            shut: false,
        }
    }

    /// Adds a whole WebSocket frame of STOMP to what is to be written.
    pub(super) fn push(&mut self, frame: &[u8]) {
        if !self.closing {
            self.stomp_waits = true;
            self.ws.get_mut().out.extend_from_slice(frame);
        }
    }

    /// Adds a text message.
    pub(super) fn push_text(&mut self, text: &[u8]) {
        if !self.closing {
            self.stomp_waits = true;
            let out = &mut self.ws.get_mut().out;
            out.reserve(text.len().saturating_add(HEADER_BYTES_MAX));
            put_header(out, text.len(), Payload::Text);
            out.extend_from_slice(text);
        }
    }

    /// Adds a ping, to which the peer has to answer.
    pub(super) fn push_ping(&mut self) {
        if !self.closing {
            self.ws.get_mut().out.extend_from_slice(&[0x89, 0]);
        }
    }

    /// Frames received since the last call that carried nothing: empty ones, pings, pongs.
    pub(super) fn take_idle_frames(&mut self) -> u64 {
        self.ws.get_mut().meter.take()
    }

    /// Adds the close frame; after it nothing can be added.
    pub(super) async fn start_close(&mut self, code: CloseCode, reason: &str) {
        if self.closing {
            return;
        }
        let mut end = reason.len().min(REASON_BYTES_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        let reason = reason.get(..end).unwrap_or_default().into();
        let frame = CloseFrame {
            code: code.0.into(),
            reason,
        };
        // Fails only when the peer has closed already.
        drop(self.ws.send(Message::Close(Some(frame))).await);
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
        self.ws.get_ref().out.len()
    }

    /// Reads and writes as far as the peer allows; reads only with [`Read::Yes`].
    ///
    /// Cancel-safe: what was read or written is either returned or still in here.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, read: Read) -> Poll<SocketEvent> {
        if let Poll::Ready(event) = self.poll_write(cx) {
            return Poll::Ready(event);
        }
        if read == Read::Yes {
            if let Poll::Ready(event) = self.poll_read(cx) {
                return Poll::Ready(event);
            }
            // Reading may have left an answer to a ping.
            return self.poll_write(cx);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        if self.discarding {
            return self.poll_discard(cx);
        }
        let before = self.ws.get_ref().received;
        let Poll::Ready(message) = Pin::new(&mut self.ws).poll_next(cx) else {
            let has_more = self.ws.get_ref().received != before;
            return if has_more {
                Poll::Ready(SocketEvent::Progress)
            } else {
                Poll::Pending
            };
        };
        let event = match message {
            Some(Ok(Message::Text(text))) => SocketEvent::Data(text.into()),
            Some(Ok(Message::Binary(bytes))) => SocketEvent::Data(bytes),
            Some(Ok(Message::Close(None))) if self.is_finished && !self.closing => {
                let wire = self.ws.get_mut();
                wire.out.extend_from_slice(&NORMAL_CLOSE);
                wire.answered = true;
                SocketEvent::Alive
            }
            // The next read answers a close and returns the end.
            Some(Ok(
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_),
            )) => SocketEvent::Alive,
            Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                SocketEvent::TooLarge
            }
            Some(Err(Error::Utf8(_))) => SocketEvent::Malformed(CloseCode(1007)),
            // An end without a close frame is reported as a fault of the protocol, too.
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) => {
                SocketEvent::Gone
            }
            Some(Err(Error::Protocol(_))) => SocketEvent::Malformed(CloseCode::PROTOCOL),
            Some(Err(_)) | None => SocketEvent::Gone,
        };
        if matches!(event, SocketEvent::Gone) {
            self.write_last_bytes();
        }
        self.discarding = matches!(event, SocketEvent::TooLarge | SocketEvent::Malformed(_));
        Poll::Ready(event)
    }

    /// Writes what the kernel takes at once: tungstenite answers the peer's close in the same call
    /// that returns the end, and there is no further poll.
    fn write_last_bytes(&mut self) {
        let wire = self.ws.get_mut();
        if !wire.out.is_empty() {
            drop(wire.tcp.try_write(&wire.out));
        }
    }

    /// Reads and forgets, a bounded amount at a time so that other tasks have their turn.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        let wire = self.ws.get_mut();
        if self.closing && wire.out.is_empty() && !self.shut {
            // The peer's close will not be understood, so it need not be waited for: this is the
            // end for the peer to see.
            drop(ready!(Pin::new(&mut wire.tcp).poll_shutdown(cx)));
            self.shut = true;
        }
        let mut scratch = [0; READ_BYTES];
        let mut buf = ReadBuf::new(&mut scratch);
        match ready!(Pin::new(&mut wire.tcp).poll_read(cx, &mut buf)) {
            Ok(()) if !buf.filled().is_empty() => Poll::Ready(SocketEvent::Alive),
            Ok(()) | Err(_) => Poll::Ready(SocketEvent::Gone),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<SocketEvent> {
        let wire = self.ws.get_mut();
        if wire.out.is_empty() {
            return Poll::Pending;
        }
        match ready!(Pin::new(&mut wire.tcp).poll_write(cx, &wire.out)) {
            Ok(0) | Err(_) => Poll::Ready(SocketEvent::Gone),
            Ok(written) => {
                let wrote = if self.stomp_waits {
                    Wrote::Stomp
                } else {
                    Wrote::ControlFrames
                };
                if written == wire.out.len() {
                    wire.out = BytesMut::new(); // an idle connection holds no buffer
                    self.stomp_waits = false;
                } else {
                    drop(wire.out.split_to(written));
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

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.tcp).poll_read(cx, buf);
        let fresh = buf.filled().get(before..).unwrap_or_default();
        self.received = self.received.saturating_add(fresh.len() as u64);
        self.meter.feed(fresh);
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.answered {
            self.out.extend_from_slice(bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    /// The socket's owner writes, not tungstenite.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
