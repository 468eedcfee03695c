//! A client's TCP stream during HTTP, with a time limit for each phase: request head, and reading
//! the response.
//!
//! hyper's own limit counts from when its task first runs and closes without an answer. This one
//! counts a head from its first byte, and an idle connection from the accept or the last byte of
//! the last response, and reads what has arrived before it gives up, so that a slow server never
//! times out a client. An incomplete head is answered with 408; an idle connection is closed, during
//! a drain at once. Writing ends when the client reads nothing for a while. hyper's own responses (to
//! a head that is not HTTP) are replaced by the envelope.
//!
//! What this module does not do: limit the time of a request's body (`body`), or anything after an
//! upgrade: then the stream is passed on without these limits.

use std::io::{self, IoSlice};
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::codes::ErrorCode;
use super::deadline::now;
use super::raw::{self, RawAnswer};
use super::seat::{Ended, Seat, Stage};

/// An additional wait while the socket has bytes that the runtime has not reported yet.
const READY_GRACE: Duration = Duration::from_secs(1);

/// Bound of these waits per head: the bytes are reported within one turn of the runtime.
const READY_GRACES_MAX: u8 = 8;

/// Time limits for the client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// From the accept to a head's first byte, and from that to the head's end.
    pub(super) head: Duration,
    /// From the last byte of a response to the first of the next head.
    pub(super) idle: Duration,
    /// Between two bytes that the client reads.
    pub(super) write: Duration,
}

/// A client's stream as hyper uses it.
#[derive(Debug)]
pub struct HttpStream {
    /// `None` once it is passed on.
    tcp: Option<TcpStream>,
    seat: Arc<Seat>,
    patience: Patience,
    timer: Pin<Box<Sleep>>,
    /// Deadline of the awaited head.
    head_until: Instant,
    /// Number of the awaited head.
    head: u32,
    has_head_begun: bool,
    /// Whether a drain has ended the idle time.
    is_drained: bool,
    graces: u8,
    is_write_waiting: bool,
    /// The last head before which every answer was written out.
    flushed: u32,
    /// Replacement for a response of hyper's own.
    own: RawAnswer,
    ended: Ended,
}

impl HttpStream {
    /// A stream that has just been accepted.
    pub(super) fn new(tcp: TcpStream, seat: Arc<Seat>, patience: Patience) -> Self {
        let timer = Box::pin(sleep(patience.head));
        Self {
            tcp: Some(tcp),
            head_until: timer.deadline(),
            timer,
            head: seat.head(),
            flushed: seat.head(),
            seat,
            patience,
            has_head_begun: false,
            is_drained: false,
            graces: 0,
            is_write_waiting: false,
            own: RawAnswer::default(),
            ended: Ended::ByUs,
        }
    }

    /// The stream for another protocol, after the upgrade.
    #[must_use]
    pub fn into_tcp(mut self) -> Option<TcpStream> {
        self.tcp.take()
    }

    fn tcp(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        let tcp = self.tcp.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(tcp))
    }

    /// Follows the end of a request, after which another head is awaited.
    fn follow_seat(&mut self) {
        let head = self.seat.head();
        if head != self.head {
            self.head = head;
            self.has_head_begun = false;
            self.graces = 0;
            self.allow_idling();
        }
    }

    /// Starts the idle time before the next head.
    fn allow_idling(&mut self) {
        let patience = if self.has_head_begun {
            self.patience.head
        } else if self.seat.is_draining() {
            Duration::ZERO
        } else {
            self.patience.idle
        };
        self.head_until = now() + patience;
    }

    /// Starts the time of a head, at its first byte.
    fn begin_head(&mut self) {
        if !self.has_head_begun {
            self.has_head_begun = true;
            self.head_until = now() + self.patience.head;
        }
    }

    /// Ends an idle connection during a drain.
    fn follow_drain(&mut self) {
        if self.seat.is_draining() && !self.has_head_begun && !self.is_drained {
            self.is_drained = true;
            self.head_until = now();
        }
    }

    /// Checks the deadline of the head; called when nothing can be read.
    fn poll_head_time(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_write_waiting {
            // The client has not read the last response yet, which has its own limit.
            return Poll::Pending;
        }
        self.follow_drain();
        let is_given_up = self.seat.is_given_up();
        if !is_given_up {
            ready!(self.poll_timer(cx));
        }
        if self.graces < READY_GRACES_MAX && self.lies_ready() {
            self.graces += 1;
            self.seat.take_back_giving_up();
            self.head_until = now() + READY_GRACE;
            self.timer.as_mut().reset(self.head_until);
            // The runtime has not reported these bytes yet; its wake-up follows.
            let _pending: Poll<()> = self.timer.as_mut().poll(cx);
            return Poll::Pending;
        }
        self.ended = Ended::Quietly;
        if self.has_head_begun
            && let Some(tcp) = &self.tcp
        {
            self.ended = Ended::ByUs;
            let answer = raw::answer(&ErrorCode::RequestTimeout.into(), &self.seat.name(), None);
            // One small response on an idle connection; a client whose buffer is full gets none.
            if let Err(error) = tcp.try_write(&answer) {
                tracing::debug!("408 not written: {error}");
            }
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.timer.deadline() != self.head_until {
            self.timer.as_mut().reset(self.head_until);
        }
        self.timer.as_mut().poll(cx)
    }

    /// True if the socket has bytes or the client's end of stream: read past the runtime, which reports them later
    /// on a busy machine.
    fn lies_ready(&self) -> bool {
        let Some(tcp) = &self.tcp else { return false };
        let Ok(same) = tcp.as_fd().try_clone_to_owned() else {
            return false;
        };
        matches!(std::net::TcpStream::from(same).peek(&mut [0]), Ok(1..))
    }

    /// Applies the limit of writes: a write that is blocked for too long ends the stream.
    fn watch_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(result) => {
                self.is_write_waiting = false;
                // The idle time begins with the last byte of this response.
                self.allow_idling();
                Poll::Ready(result)
            }
            Poll::Pending => {
                if !self.is_write_waiting {
                    self.is_write_waiting = true;
                    self.timer.as_mut().reset(now() + self.patience.write);
                }
                ready!(self.timer.as_mut().poll(cx));
                self.ended = Ended::Stalled;
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Whether hyper writes its own response: no request has come since all responses were written.
    fn is_answer_of_hyper(&self) -> bool {
        self.seat.stage() == Stage::Head && self.flushed == self.seat.head()
    }

    fn poll_own(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.own.rest().is_empty() {
            let Some(tcp) = &mut self.tcp else {
                return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
            };
            let written = Pin::new(tcp).poll_write(cx, self.own.rest());
            let written = ready!(self.watch_write(cx, written))?;
            self.own.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// Returns the socket, so that every end of HTTP can be followed by a lingering close.
impl Drop for HttpStream {
    fn drop(&mut self) {
        if let Some(tcp) = self.tcp.take() {
            self.seat.give_back(tcp, self.ended);
        }
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = this.tcp()?.poll_read(cx, buf);
        this.follow_seat();
        match read {
            Poll::Ready(Ok(())) => {
                if buf.filled().len() == before {
                    this.ended = Ended::Quietly;
                } else if this.seat.stage() == Stage::Head {
                    this.begin_head();
                    this.seat.take_back_giving_up();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                this.ended = Ended::Quietly;
                Poll::Ready(Err(error))
            }
            Poll::Pending if this.seat.stage() == Stage::Head => this.poll_head_time(cx),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_answer_of_hyper() {
            let name = this.seat.name();
            this.own = raw::instead_of(bytes, &name);
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = this.tcp()?.poll_write(cx, bytes);
        this.watch_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.is_answer_of_hyper() {
            let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
            return Pin::new(this).poll_write(cx, &bytes);
        }
        let written = this.tcp()?.poll_write_vectored(cx, slices);
        this.watch_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        if this.seat.stage() == Stage::Head {
            this.flushed = this.seat.head();
            this.follow_seat();
            this.follow_drain();
            // hyper does not read again now if its last read before this response found nothing.
            if this.poll_timer(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        this.tcp()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_own(cx))?;
        this.tcp()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::net::{Ipv4Addr, TcpListener, TcpStream as StdStream};

    use super::super::request_id::RequestIds;
    use super::super::seat::Seats;
    use super::*;

    /// The first read after a head's deadline returns `expected`, with these bytes in the socket and not yet
    /// reported by the runtime.
    async fn check(sent: &[u8], expected: Result<&[u8], io::ErrorKind>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(sent).unwrap();
        let (tcp, peer) = listener.accept().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let tcp = TcpStream::from_std(tcp).unwrap();
        let seats = Arc::new(Seats::new(1, None, Arc::new(RequestIds::new(7))));
        let place = seats.take(peer.ip()).unwrap();
        let patience = Patience {
            head: Duration::ZERO,
            idle: Duration::ZERO,
            write: Duration::ZERO,
        };
        let mut stream = HttpStream::new(tcp, Arc::clone(&place.seat), patience);
        seats.make_room(Duration::ZERO);
        let mut bytes = [0; 16];
        let mut buf = ReadBuf::new(&mut bytes);
        let read = poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buf)).await;
        let read = read.map(|()| buf.filled()).map_err(|error| error.kind());
        assert_eq!(read, expected);
    }

    #[tokio::test]
    async fn what_lies_in_the_socket_is_read_before_a_client_is_given_up() {
        check(b"GET /", Ok(b"GET /")).await;
        check(b"", Err(io::ErrorKind::TimedOut)).await;
    }
}
