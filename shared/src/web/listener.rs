//! Listener: accepts connections and serves HTTP on them, with limits for unauthenticated peers.
//!
//! Before an upgrade the peer is unauthenticated: it has a time limit for its request (`stream`)
//! and needs one of a bounded number of places (`seat`). A connection without a place is refused at
//! once (503) instead of waiting in the backlog. After the upgrade the WebSocket's own bounds hold;
//! the upgraded connection is a `TokioIo<HttpStream>`, to which hyper's own `Upgraded::downcast`
//! leads.
//!
//! Answers that a client does not read are bounded: hyper makes one at a time, the kernel keeps
//! `SEND_BUFFER_BYTES`, and pipelined requests wait unread behind them, `RECEIVE_BUFFER_BYTES` of them.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::StatusCode;
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::codes::ErrorCode;
use super::conform::{Rules, conform};
use super::cors::CrossOrigin;
use super::deadline::now;
use super::headers::last;
use super::hosts::Hosts;
use super::linger::{close_with, linger};
use super::raw;
use super::request_id::RequestIds;
use super::seat::{Ended, Full, Place, Seat, Seats, Stage};
use super::stream::{HttpStream, Patience};
use crate::drain::Drain;
use crate::limits::OpenFiles;

/// Connections that wait to be accepted: all clients of a node may reconnect at once.
const BACKLOG: u32 = 4_096;

/// How long a client may read nothing. With `SEND_BUFFER_BYTES` that is about 1.5 kB/s: a faster
/// client makes progress that the kernel reports.
pub const WRITE_TIME: Duration = Duration::from_secs(30);

/// How long a connection may idle between requests. Longer than the 60 s of common balancers: they
/// must be the ones that close, else a request that crosses the close is lost.
pub const IDLE_TIME: Duration = Duration::from_secs(75);

/// Send buffer of the kernel for responses that a client has not read (it doubles the number for
/// its own needs). A client 100 ms away gets 1.3 MB/s out of it.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// Receive buffer of the kernel for requests that are not read yet; its default grows to megabytes
/// each. An upload from 100 ms away gets 2.6 MB/s out of it.
const RECEIVE_BUFFER_BYTES: u32 = 256 << 10;

/// The head of a request, and what of a body or of pipelined requests is read ahead. Tokens and
/// cookies of a site are under 16 KiB.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Pause after a failed accept (out of file handles, say): other connections must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that waits for its first request is not evicted sooner than this: its request may
/// be on the way.
const IDLE_MIN: Duration = Duration::from_millis(250);

/// How long a new connection waits for a place: when many clients reconnect at once, each finishes
/// its request within milliseconds. After a time-out further connections are refused at once until
/// a place is free.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Lingering closes at a time; further connections are closed at once.
const LINGERING_MAX: usize = 32;

/// Peer address of a request's connection, among its extensions: a client, or the last proxy before
/// us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Limits of a listener.
#[derive(Clone, Debug)]
pub struct Serving {
    /// How long a peer may take from its connection's start to a request's first byte, and from there
    /// to the end of the request's head.
    pub head_time: Duration,
    /// How long a connection may idle between a response and the next request's first byte.
    pub idle_time: Duration,
    /// How long a client may read nothing of its response.
    pub write_time: Duration,
    /// HTTP connections at a time. An upgraded one no longer counts.
    pub connections_max: usize,
    /// The same for one client address. `None` behind a proxy.
    pub connections_per_address_max: Option<NonZeroUsize>,
    /// The host names that this server accepts; `None`: any.
    pub hosts: Option<Hosts>,
    /// CORS for responses that leave before a route sees the request; routes have their own.
    pub cors: Option<CrossOrigin>,
}

/// The bounds of a public server on this machine, with this time for heads.
impl From<Duration> for Serving {
    fn from(head_time: Duration) -> Self {
        Self {
            head_time,
            idle_time: IDLE_TIME,
            write_time: WRITE_TIME,
            connections_max: OpenFiles::now().http_connections(),
            connections_per_address_max: None,
            hosts: None,
            cors: None,
        }
    }
}

/// Opens a port for [`serve`].
///
/// # Errors
/// The address is taken or not this computer's.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    bound_buffers(&socket)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Bounds the kernel's buffers of each connection that this socket accepts.
///
/// # Errors
/// The operating system refuses.
pub fn bound_buffers(socket: &TcpSocket) -> io::Result<()> {
    // Accepted connections inherit both.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)
}

/// Serves a router until the drain's soft token; requests under way are answered.
///
/// # Errors
/// None so far: a fault of a connection ends that connection only.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    drain: &Drain,
    serving: impl Into<Serving>,
) -> io::Result<()> {
    let front = Arc::new(Front::new(router, drain, serving.into()));
    let soft = drain.soft();
    soft.run_until_cancelled(async {
        let mut is_full = false;
        loop {
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    let place = front.place(peer, is_full).await;
                    let was_full = is_full;
                    is_full = place.as_ref().is_err_and(|full| *full == Full::All);
                    if is_full && !was_full {
                        warn!("all places for HTTP are taken: connections are refused");
                    }
                    match place {
                        Ok(place) => front.receive(tcp, peer, place),
                        Err(_) => front.refuse(tcp),
                    }
                }
                Err(error) => {
                    if is_about_us(&error) {
                        error!("cannot accept: {error}");
                        front.seats.make_room(IDLE_MIN);
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
    .await;
    Ok(())
}

/// State shared by all connections of a port.
#[derive(Debug)]
struct Front {
    router: Router,
    drain: Drain,
    patience: Patience,
    seats: Arc<Seats>,
    lingering: Arc<Semaphore>,
    rules: Rules,
}

impl Front {
    fn new(router: Router, drain: &Drain, serving: Serving) -> Self {
        let ids = Arc::new(RequestIds::new(rand::random()));
        let per_address_max = serving.connections_per_address_max.map(NonZeroUsize::get);
        let seats = Seats::new(serving.connections_max, per_address_max, Arc::clone(&ids));
        Self {
            router,
            drain: drain.clone(),
            patience: Patience {
                head: serving.head_time,
                idle: serving.idle_time,
                write: serving.write_time,
            },
            seats: Arc::new(seats),
            lingering: Arc::new(Semaphore::new(LINGERING_MAX.min(serving.connections_max))),
            rules: Rules {
                ids,
                hosts: serving.hosts,
                cors: serving.cors,
            },
        }
    }

    fn receive(self: &Arc<Self>, tcp: TcpStream, peer: SocketAddr, place: Place) {
        let front = Arc::clone(self);
        drop(self.drain.spawn("http", async move {
            let seat = Arc::clone(&place.seat);
            Arc::clone(&front).speak_http(tcp, Peer(peer), &seat).await;
            drop(place);
            front.end(&seat).await;
        }));
    }

    /// Takes a place for a new connection, evicting idle ones if needed. With `is_full` (the
    /// connection before this one got none) and nothing idle it does not wait.
    async fn place(&self, peer: SocketAddr, is_full: bool) -> Result<Place, Full> {
        let until = now() + PLACE_WAIT;
        loop {
            match self.seats.take(peer.ip()) {
                Err(Full::All) => {}
                other => return other,
            }
            let room = self.seats.make_room(IDLE_MIN);
            let left = until.saturating_duration_since(now());
            if left.is_zero() || (is_full && room.is_none()) {
                return Err(Full::All);
            }
            let next = room.map_or(left, |room| room.max(ACCEPT_PAUSE).min(left));
            // A connection may end by itself before that.
            drop(timeout(next, self.seats.freed()).await);
        }
    }

    /// Refuses a new connection with 503.
    fn refuse(&self, tcp: TcpStream) {
        let name = self.rules.ids.next();
        let name = name.to_str().unwrap_or("-");
        let answer = raw::answer(&ErrorCode::Unavailable.into(), name, None);
        let Ok(permit) = Arc::clone(&self.lingering).try_acquire_owned() else {
            return close_with(tcp, &answer);
        };
        drop(self.drain.spawn("http-refusal", async move {
            linger(tcp, &answer).await;
            drop(permit);
        }));
    }

    async fn speak_http(self: Arc<Self>, tcp: TcpStream, peer: Peer, seat: &Arc<Seat>) {
        // Small frames must not wait for each other's acknowledgements.
        if let Err(error) = tcp.set_nodelay(true) {
            debug!("a connection keeps Nagle's algorithm: {error}");
        }
        let stream = HttpStream::new(tcp, Arc::clone(seat), self.patience);
        let service = service_fn(|request: http::Request<Incoming>| {
            seat.begin_request();
            let watched = Watch(Arc::clone(seat));
            let (front, mut request) = (Arc::clone(&self), request.map(Body::new));
            request.extensions_mut().insert(peer);
            async move {
                let mut response = conform(front.router.clone(), request, &front.rules).await;
                let is_http = response.status() != StatusCode::SWITCHING_PROTOCOLS;
                if front.drain.soft().is_cancelled() && is_http {
                    response = last(response);
                }
                Ok::<_, Infallible>(response.map(|body| Watched {
                    body,
                    _watch: watched,
                }))
            }
        });
        // HTTP/1 only: a builder that detects HTTP/2 waits for the first bytes without a limit.
        // `half_close` stays off: a client that ends its side counts as gone, else an abandoned
        // request would keep its place and run on until its response cannot be written.
        let mut builder = http1::Builder::new();
        builder
            .max_buf_size(READ_BUFFER_BYTES_MAX)
            .max_header_size(READ_BUFFER_BYTES_MAX);
        let serving = builder.serve_connection(TokioIo::new(stream), service);
        {
            let mut serving = pin!(serving.with_upgrades());
            let mut is_draining = false;
            let soft = self.drain.soft();
            let ended = loop {
                tokio::select! {
                    ended = serving.as_mut() => break ended,
                    // Its stream notices by itself once it is polled.
                    () = seat.wanted() => {}
                    () = soft.cancelled(), if !is_draining => {
                        is_draining = true;
                        seat.begin_drain();
                        // The stream of an idle connection ends it, after reading what has arrived.
                        if seat.stage() == Stage::Request {
                            serving.as_mut().graceful_shutdown();
                        }
                    }
                }
            };
            if let Err(error) = ended {
                debug!("a connection ended: {error}");
            }
        }
    }

    /// Ends a connection so that the client gets what was written to it.
    async fn end(&self, seat: &Seat) {
        match seat.take_back() {
            Some((tcp, Ended::ByUs)) => {
                let Ok(_permit) = self.lingering.try_acquire() else {
                    return close_with(tcp, &[]);
                };
                let hard = self.drain.hard();
                hard.run_until_cancelled(linger(tcp, &[])).await;
            }
            Some((tcp, Ended::Stalled)) => {
                // Otherwise the kernel would keep unread bytes for minutes.
                if let Err(error) = tcp.set_zero_linger() {
                    debug!("a stalled connection is not reset: {error}");
                }
            }
            Some((_, Ended::Quietly)) | None => {}
        }
    }
}

/// Guard of a request: dropped once hyper has the whole response, or the request is given up.
#[derive(Debug)]
struct Watch(Arc<Seat>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// The body of an answer.
#[derive(Debug)]
struct Watched {
    body: Body,
    _watch: Watch,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whether accepting fails for a reason of this process, not of the peer that gave up meanwhile.
fn is_about_us(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let of_the_peer = [
        Kind::ConnectionAborted,
        Kind::ConnectionReset,
        Kind::ConnectionRefused,
    ];
    !of_the_peer.contains(&error.kind())
}

#[cfg(test)]
mod tests;
