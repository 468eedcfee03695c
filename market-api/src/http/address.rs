//! The client's address, behind trusted proxies, for rate limits.

use std::net::{IpAddr, Ipv6Addr};

use http::Extensions;
use http::{HeaderMap, HeaderName};
use shared::web::Peer;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Bound of the entries of `X-Forwarded-For` that are read.
const ENTRIES_MAX: usize = 64;

/// The key of a client for rate limits: an IPv4 address, or the /64 of an IPv6 address, which one household
/// shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// The client of a request that passed `trusted_hops` of our proxies.
    ///
    /// Each proxy appends its peer's address, so the client's is that many entries from the end of
    /// `X-Forwarded-For`; entries before it are the client's own claims. With fewer entries the request did not
    /// pass the proxies, and the TCP peer is the client.
    #[must_use]
    pub fn of(extensions: &Extensions, headers: &HeaderMap, trusted_hops: usize) -> Self {
        let unknown = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let peer = extensions.get::<Peer>().map_or(unknown, |peer| peer.0.ip());
        Self(network(forwarded(headers, trusted_hops).unwrap_or(peer)))
    }
}

fn forwarded(headers: &HeaderMap, trusted_hops: usize) -> Option<IpAddr> {
    let place = trusted_hops.checked_sub(1)?;
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let entry = entries.take(ENTRIES_MAX).nth(place)?;
    let entry = str::from_utf8(entry).ok()?.trim();
    let bare = entry
        .strip_prefix('[')
        .and_then(|rest| rest.split(']').next());
    let is_v4_with_port = bare.is_none() && entry.matches(':').count() == 1;
    let v4 = entry.split(':').next().filter(|_| is_v4_with_port);
    bare.or(v4).unwrap_or(entry).parse().ok()
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::HeaderValue;

    use super::*;

    /// With `hops` proxies and these header lines, the client is `expected`.
    fn check(hops: usize, lines: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(
                FORWARDED_FOR,
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            );
        }
        let mut extensions = Extensions::new();
        let peer: SocketAddr = "10.0.0.9:1".parse().unwrap();
        extensions.insert(Peer(peer));
        let found = ClientAddress::of(&extensions, &headers, hops);
        assert_eq!(found.0.to_string(), expected, "{hops} {lines:?}");
    }

    #[test]
    fn entries_written_by_the_client_are_ignored() {
        check(0, &["1.1.1.1"], "10.0.0.9");
        check(1, &["6.6.6.6, 1.1.1.1"], "1.1.1.1");
        check(1, &["6.6.6.6", "1.1.1.1"], "1.1.1.1");
        check(2, &["6.6.6.6, 1.1.1.1, 10.0.0.1"], "1.1.1.1");
        check(2, &["6.6.6.6, 1.1.1.1", "10.0.0.1"], "1.1.1.1");
    }

    #[test]
    fn one_odd_entry_hides_no_other() {
        check(1, &["김", "1.1.1.1"], "1.1.1.1");
        check(1, &["김, 1.1.1.1"], "1.1.1.1");
        check(2, &["김, 1.1.1.1, 10.0.0.1"], "1.1.1.1");
        check(2, &["1.1.1.1:5, 10.0.0.1:6"], "1.1.1.1");
        check(1, &["1.1.1.1", "김"], "10.0.0.9");
    }

    #[test]
    fn request_without_proxy_entries_belongs_to_its_peer() {
        check(1, &[], "10.0.0.9");
        check(2, &["1.1.1.1"], "10.0.0.9");
        check(1, &["somebody"], "10.0.0.9");
    }

    #[test]
    fn a_household_is_one_client() {
        check(1, &["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::");
        check(1, &["[2001:db8:1:2::7]:443"], "2001:db8:1:2::");
        check(1, &["::ffff:1.1.1.1"], "1.1.1.1");
    }
}
