//! Ports: accepting connections and speaking HTTP on them, with bounds on strangers.
//!
//! Before an upgrade a connection is HTTP, and nothing is known of the peer: it gets a time for its
//! request and a place among a bounded number. After the upgrade the WebSocket's own bounds hold; the
//! upgraded connection is a `TokioIo<TcpStream>`, to which hyper's own `Upgraded::downcast` leads.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use tracing::{debug, error};

use super::crowded::Crowded;
use crate::drain::Drain;
use crate::limits::OpenFiles;

/// Connections that wait to be accepted: all clients of a node may come back at once.
const BACKLOG: u32 = 4_096;

/// How long connections wait to be accepted when all places are taken: many clients that come back
/// at once are done within milliseconds each. After that the others are refused until one is free.
const PLACE_WAIT: Duration = Duration::from_secs(1);

/// Out of file handles, or the like: others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Who is at the other end of the connection that a request came by, among its extensions: a
/// client, or the last proxy before us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

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
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves a router until the drain's soft token; requests under way are answered.
///
/// `head_time` is how long a peer may take from its connection's start, or the last answer, to the
/// end of its next request's head.
///
/// # Errors
/// None so far: whatever goes wrong with a connection ends that connection.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    drain: &Drain,
    head_time: Duration,
) -> io::Result<()> {
    let soft = drain.soft();
    let connections_max = OpenFiles::now().http_connections();
    let places = Arc::new(Semaphore::new(connections_max));
    let crowded = Crowded::new(connections_max);
    soft.run_until_cancelled(async {
        let mut is_full = false;
        loop {
            let place = place(&places, is_full).await;
            is_full = place.is_none();
            match listener.accept().await {
                Ok((tcp, peer)) => {
                    // One may have become free while nobody came.
                    let place = place.or_else(|| Arc::clone(&places).try_acquire_owned().ok());
                    let Some(place) = place else {
                        crowded.refuse(tcp, drain);
                        continue;
                    };
                    let http =
                        speak_http(tcp, Peer(peer), router.clone(), drain.clone(), head_time);
                    drop(drain.spawn("http", async move {
                        http.await;
                        drop(place);
                    }));
                }
                Err(error) => {
                    if is_about_us(&error) {
                        error!("cannot accept: {error}");
                    }
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
    .await;
    Ok(())
}

/// A place for a connection; none if none becomes free in time, or, once it was so, at once.
async fn place(places: &Arc<Semaphore>, is_full: bool) -> Option<OwnedSemaphorePermit> {
    let wait = if is_full { Duration::ZERO } else { PLACE_WAIT };
    let place = timeout(wait, Arc::clone(places).acquire_owned()).await;
    place.ok()?.ok()
}

async fn speak_http(tcp: TcpStream, peer: Peer, router: Router, drain: Drain, head_time: Duration) {
    // Small frames must not wait for each other's acknowledgements.
    if let Err(error) = tcp.set_nodelay(true) {
        debug!("a connection keeps Nagle's algorithm: {error}");
    }
    // HTTP/1 and nothing to guess: what waits for bytes to tell it from HTTP/2 waits without end.
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(head_time);
    let named = router.map_request(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(peer);
        request
    });
    let service = TowerToHyperService::new(named);
    let serving = builder
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let ended = match drain.soft().run_until_cancelled(serving.as_mut()).await {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        debug!("a connection ended: {error}");
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
