//! Ports: accepting connections and speaking HTTP on them, with bounds on strangers.
//!
//! Before an upgrade a connection is HTTP, and nothing is known of the peer: it gets a time for its
//! request (`stream`) and a place among a bounded number (`seat`). Who finds no place is refused at
//! once (503) instead of waiting unseen. After the upgrade the WebSocket's own bounds hold; the
//! upgraded connection is a `TokioIo<HttpStream>`, to which hyper's own `Upgraded::downcast` leads.
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
use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::conform::{Rules, conform};
use super::envelope::CommonError;
use super::guard::RequestIds;
use super::hosts::Hosts;
use super::linger::{close_with, linger};
use super::raw;
use super::seat::{Full, Place, Seat, Seats};
use super::stream::{Ended, HttpStream, Patience, now};
use crate::drain::Drain;
use crate::limits::OpenFiles;

/// Connections that wait to be accepted: all clients of a node may come back at once.
const BACKLOG: u32 = 4_096;

/// How long a client may take nothing in. With `SEND_BUFFER_BYTES` that is about 1.5 kB/s: who
/// is faster makes progress that the kernel tells.
pub const WRITE_TIME: Duration = Duration::from_secs(30);

/// What the kernel keeps of answers that a client has not taken in (it doubles the number for its
/// own needs). A client 100 ms away gets 1.3 MB/s out of it.
const SEND_BUFFER_BYTES: u32 = 128 << 10;

/// What the kernel keeps of requests that are not read yet; by itself it goes up to megabytes each.
/// An upload from 100 ms away gets 2.6 MB/s out of it.
const RECEIVE_BUFFER_BYTES: u32 = 256 << 10;

/// The head of a request, and what of a body or of pipelined requests is read ahead. Tokens and
/// cookies of a site are under 16 KiB.
const READ_BUFFER_BYTES_MAX: usize = 64 << 10;

/// Out of file handles, or the like: others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that waits for its first request is not sent away sooner than this when others want
/// its place: its request may be on the way.
const IDLE_MIN: Duration = Duration::from_millis(250);

/// How long a newcomer waits when all places are taken: many clients that come back at once are done
/// within milliseconds each. After that the others are refused at once until one is free.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Connections that have their last answer and are ended gently; more are closed at once.
const LINGERING_MAX: usize = 32;

/// Who is at the other end of the connection that a request came by, among its extensions: a
/// client, or the last proxy before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// How a port is served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// How long a peer may take from its connection's start, or the last answer, to the end of its
    /// next request's head.
    pub head_time: Duration,
    /// How long a client may take nothing in of its answer.
    pub write_time: Duration,
    /// HTTP connections at a time. An upgraded one is none any more.
    pub connections_max: usize,
    /// Of them, from one address. `None` where a proxy stands between.
    pub connections_per_address_max: Option<NonZeroUsize>,
    /// The names that this server answers to; `None` is any.
    pub hosts: Option<Hosts>,
}

/// The bounds of a public server on this machine, with this time for heads.
impl From<Duration> for Serving {
    fn from(head_time: Duration) -> Self {
        Self {
            head_time,
            write_time: WRITE_TIME,
            connections_max: OpenFiles::now().http_connections(),
            connections_per_address_max: None,
            hosts: None,
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

/// Bounds what the kernel keeps for each connection that this socket will accept.
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
/// None so far: whatever goes wrong with a connection ends that connection.
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

/// What all connections of a port have.
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
                write: serving.write_time,
            },
            seats: Arc::new(seats),
            lingering: Arc::new(Semaphore::new(LINGERING_MAX.min(serving.connections_max))),
            rules: Rules {
                ids,
                hosts: serving.hosts,
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

    /// A place for a newcomer, perhaps one of those that wait for nothing but a request. Where there
    /// was none for the last newcomer, this one does not wait.
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
            // Somebody may leave by themselves before that.
            drop(timeout(next, self.seats.freed()).await);
        }
    }

    /// Tells a newcomer that there is no place.
    fn refuse(&self, tcp: TcpStream) {
        let name = self.rules.ids.next();
        let name = name.to_str().unwrap_or("-");
        let answer = raw::answer(CommonError::Unavailable.row(), name, None);
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
                let response = conform(front.router.clone(), request, &front.rules).await;
                Ok::<_, Infallible>(response.map(|body| Watched {
                    body,
                    _watch: watched,
                }))
            }
        });
        // HTTP/1 and nothing to guess: what waits for bytes to tell it from HTTP/2 waits without end.
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
                    // Its stream finds out by itself; it only has to be polled.
                    () = seat.wanted() => {}
                    () = soft.cancelled(), if !is_draining => {
                        is_draining = true;
                        serving.as_mut().graceful_shutdown();
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
                // Else the kernel would keep what nobody reads for minutes.
                if let Err(error) = tcp.set_zero_linger() {
                    debug!("a stalled connection is not reset: {error}");
                }
            }
            Some((_, Ended::Quietly)) | None => {}
        }
    }
}

/// A request, until its answer is written as far as hyper, or given up.
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
