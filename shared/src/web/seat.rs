//! Limit of HTTP connections, in total and per address, with eviction of idle ones.
//!
//! At the limit the connections that have been idle longest are evicted, as other servers do with
//! keep-alive connections; a new one is refused only when all are busy.
//!
//! What this module does not do: read or write (`stream`), or accept connections (`listener`).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::request_id::RequestIds;
use crate::clock::{Clock as _, SystemClock};

/// Connections evicted at a time, so that the search is not repeated for each new one.
const ROOM_MADE: usize = 64;

/// How HTTP ended on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The server ended it; the client may still send.
    ByUs,
    /// The client ended its side, or idled.
    Quietly,
    /// The client read nothing: unread bytes are dropped.
    Stalled,
}

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The head of a request, or the client to read the last response.
    Head,
    /// The server's response.
    Request,
}

/// State of a connection, shared by its stream, its requests and the listener.
#[derive(Debug)]
pub(super) struct Seat {
    ids: Arc<RequestIds>,
    base: Instant,
    stage: AtomicU8,
    /// Requests that have ended: the number of the head that is awaited.
    head: AtomicU32,
    /// Start of the phase, in milliseconds from `base`.
    since_ms: AtomicU64,
    is_given_up: AtomicBool,
    is_draining: AtomicBool,
    wake: Notify,
    back: Mutex<Option<(TcpStream, Ended)>>,
}

impl Seat {
    fn new(ids: Arc<RequestIds>, base: Instant) -> Self {
        let seat = Self {
            ids,
            base,
            stage: AtomicU8::new(0),
            head: AtomicU32::new(0),
            since_ms: AtomicU64::new(0),
            is_given_up: AtomicBool::new(false),
            is_draining: AtomicBool::new(false),
            wake: Notify::new(),
            back: Mutex::default(),
        };
        seat.since_ms.store(seat.elapsed_ms(), Ordering::Relaxed);
        seat
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = SystemClock.now().saturating_duration_since(self.base);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::Head,
            _ => Stage::Request,
        }
    }

    /// The number of the head that is awaited.
    pub(super) fn head(&self) -> u32 {
        self.head.load(Ordering::Acquire)
    }

    /// A request's head has arrived.
    pub(super) fn begin_request(&self) {
        self.stage.store(1, Ordering::Release);
        self.take_back_giving_up();
    }

    /// The response is complete on the server's side.
    pub(super) fn end_request(&self) {
        self.since_ms.store(self.elapsed_ms(), Ordering::Relaxed);
        self.head.fetch_add(1, Ordering::AcqRel);
        self.stage.store(0, Ordering::Release);
    }

    /// A request id for the response to a malformed request.
    pub(super) fn name(&self) -> String {
        let name = self.ids.next();
        name.to_str().unwrap_or("-").to_owned()
    }

    /// Whether the connection is to be evicted.
    pub(super) fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Acquire)
    }

    /// Cancels the eviction: a request has begun.
    pub(super) fn take_back_giving_up(&self) {
        self.is_given_up.store(false, Ordering::Release);
    }

    /// The server stops: the connection ends unless a request's head has begun.
    pub(super) fn begin_drain(&self) {
        self.is_draining.store(true, Ordering::Release);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Waits until the connection is to be evicted, so that its task polls the stream.
    pub(super) async fn wanted(&self) {
        self.wake.notified().await;
    }

    pub(super) fn give_back(&self, tcp: TcpStream, ended: Ended) {
        *lock(&self.back) = Some((tcp, ended));
    }

    /// The stream, if HTTP has ended on it; not after an upgrade.
    pub(super) fn take_back(&self) -> Option<(TcpStream, Ended)> {
        lock(&self.back).take()
    }

    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// Why a connection got no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// All slots of the port are taken.
    All,
    /// The address has reached its limit.
    Address,
}

/// The connection slots of a port.
#[derive(Debug)]
pub(super) struct Seats {
    seats_max: usize,
    per_address_max: Option<usize>,
    ids: Arc<RequestIds>,
    base: Instant,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Arc<Seat>>,
    by_address: HashMap<IpAddr, usize>,
}

/// Guard of one slot, which is released on drop.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) seat: Arc<Seat>,
    seats: Arc<Seats>,
    id: u64,
    address: Option<IpAddr>,
}

impl Seats {
    pub(super) fn new(
        seats_max: usize,
        per_address_max: Option<usize>,
        ids: Arc<RequestIds>,
    ) -> Self {
        Self {
            seats_max,
            per_address_max,
            ids,
            base: SystemClock.now(),
            taken: Mutex::default(),
            freed: Notify::new(),
        }
    }

    /// Takes a slot for a connection from this address.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let address = self.per_address_max.and(household(peer));
        let mut taken = lock(&self.taken);
        if taken.seats.len() >= self.seats_max {
            return Err(Full::All);
        }
        if let (Some(address), Some(max)) = (address, self.per_address_max) {
            let count = taken.by_address.entry(address).or_default();
            if *count >= max {
                return Err(Full::Address);
            }
            *count += 1;
        }
        let seat = Arc::new(Seat::new(Arc::clone(&self.ids), self.base));
        let id = taken.next;
        taken.next += 1;
        taken.seats.insert(id, Arc::clone(&seat));
        Ok(Place {
            seat,
            seats: Arc::clone(self),
            id,
            address,
        })
    }

    /// Evicts the connections that have been idle longest, and for `idle_min` at least. Returns how
    /// long until the first may be evicted, zero if one was; `None` if none is idle.
    pub(super) fn make_room(&self, idle_min: Duration) -> Option<Duration> {
        let taken = lock(&self.taken);
        let waiting = taken.seats.values().filter(|seat| {
            seat.stage() == Stage::Head && !seat.is_given_up.load(Ordering::Relaxed)
        });
        let mut waiting: Vec<_> = waiting
            .map(|seat| (seat.since_ms.load(Ordering::Relaxed), seat))
            .collect();
        if waiting.len() > ROOM_MADE {
            waiting.select_nth_unstable_by_key(ROOM_MADE, |(since, _)| *since);
            waiting.truncate(ROOM_MADE);
        }
        let now = SystemClock.now().saturating_duration_since(self.base);
        let mut first = None;
        for (since_ms, seat) in waiting {
            let idle = now.saturating_sub(Duration::from_millis(since_ms));
            let left = idle_min.saturating_sub(idle);
            if left.is_zero() {
                seat.give_up();
            }
            first = Some(first.map_or(left, |first: Duration| first.min(left)));
        }
        first
    }

    /// Waits until a slot has been released since the last call.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.seats.taken);
        taken.seats.remove(&self.id);
        if let Some(address) = self.address {
            let left = taken.by_address.get_mut(&address).map(|count| {
                *count = count.saturating_sub(1);
                *count
            });
            if left == Some(0) {
                taken.by_address.remove(&address);
            }
        }
        drop(taken);
        self.seats.freed.notify_one();
    }
}

/// An IPv4 address, or the /64 of an IPv6 address, which one household shares. `None` for this
/// computer, whose connections come from a proxy of ours.
fn household(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    let network = match address {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    };
    (!address.is_loopback()).then_some(network)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(seats_max: usize, per_address_max: Option<usize>) -> Arc<Seats> {
        let ids = Arc::new(RequestIds::new(7));
        Arc::new(Seats::new(seats_max, per_address_max, ids))
    }

    fn full(seats: &Arc<Seats>, peer: &str) -> Option<Full> {
        seats.take(peer.parse().unwrap()).err()
    }

    #[test]
    fn one_address_does_not_take_all_places() {
        let seats = seats(4, Some(2));
        let take = |peer: &str| seats.take(peer.parse().unwrap()).unwrap();
        let one = take("192.0.2.1");
        let _other = take("192.0.2.1");
        assert_eq!(full(&seats, "192.0.2.1"), Some(Full::Address));
        assert_eq!(full(&seats, "::ffff:192.0.2.1"), Some(Full::Address));
        drop(one);
        let _again = take("192.0.2.1");
        let _household = [take("2001:db8::1"), take("2001:db8::2")];
        assert_eq!(full(&seats, "198.51.100.1"), Some(Full::All));
    }

    #[test]
    fn a_proxy_on_this_computer_is_no_address_of_a_client() {
        let seats = seats(9, Some(1));
        let take = |peer: &str| seats.take(peer.parse().unwrap()).unwrap();
        let _all = ["127.0.0.1", "127.0.0.1", "::1", "::1"].map(take);
        let _household = take("2001:db8::1");
        assert_eq!(full(&seats, "2001:db8::ffff"), Some(Full::Address));
        assert_eq!(full(&seats, "2001:db8:0:1::1"), None);
    }

    #[test]
    fn room_is_made_by_those_that_wait_longest() {
        let seats = seats(9, None);
        let take = || seats.take("127.0.0.1".parse().unwrap()).unwrap();
        let (busy, idle) = (take(), take());
        assert_eq!(
            seats.make_room(Duration::MAX).map(|d| d > Duration::ZERO),
            Some(true)
        );
        busy.seat.begin_request();
        assert_eq!(seats.make_room(Duration::ZERO), Some(Duration::ZERO));
        assert!(!busy.seat.is_given_up() && idle.seat.is_given_up());
        assert_eq!(seats.make_room(Duration::ZERO), None, "nobody else waits");
        busy.seat.end_request();
        assert_eq!(busy.seat.head(), 1);
        assert_eq!(seats.make_room(Duration::ZERO), Some(Duration::ZERO));
    }
}
