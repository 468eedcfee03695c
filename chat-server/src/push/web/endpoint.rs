//! Which endpoints are allowed: https URLs with a public host name, resolved to public addresses.
//!
//! Endpoints come from clients. Without these rules a member could make this server send requests into its own
//! network. The addresses are checked where the connection is made, so a name that changes its address between
//! two look-ups gains nothing.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::net::lookup_host;

/// Bytes of a URL. Browsers' own have up to about 1,000.
const URL_BYTES_MAX: usize = 2_048;

/// Suffixes of names that are never public.
const LOCAL_SUFFIXES: [&str; 4] = ["localhost", "local", "internal", "arpa"];

/// A URL to which push messages may be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// It is no URL to which push messages may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an https URL on port 443 with a public host name, of at most {URL_BYTES_MAX} bytes"
)]
pub struct InvalidEndpoint;

impl Endpoint {
    /// Reads a URL. What is below `test_url` is allowed as it is.
    ///
    /// # Errors
    /// [`InvalidEndpoint`].
    pub fn parse(text: &str, test_url: Option<&Url>) -> Result<Self, InvalidEndpoint> {
        if text.len() > URL_BYTES_MAX {
            return Err(InvalidEndpoint);
        }
        let endpoint = Self(Url::parse(text).map_err(|_invalid| InvalidEndpoint)?);
        let is_test = test_url.is_some_and(|test| endpoint.is_below(test));
        match is_test || is_public(&endpoint.0) {
            true => Ok(endpoint),
            false => Err(InvalidEndpoint),
        }
    }

    /// The URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.0
    }

    /// The text of the URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether it has the origin of this URL, and a path below its path.
    pub(super) fn is_below(&self, url: &Url) -> bool {
        let path = format!("{}/", url.path().trim_end_matches('/'));
        let has_login = !self.0.username().is_empty() || self.0.password().is_some();
        !has_login && self.0.origin() == url.origin() && self.0.path().starts_with(&path)
    }
}

/// The path of an endpoint is a secret of the subscription.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({}/…)", self.0.origin().ascii_serialization())
    }
}

/// By its form alone.
fn is_public(url: &Url) -> bool {
    // `None` for every spelling of an IP address.
    let Some(host) = url.domain() else {
        return false;
    };
    let host = host.trim_end_matches('.');
    let last = host.rsplit('.').next().unwrap_or_default();
    url.scheme() == "https"
        && url.port().is_none()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
        && host.contains('.')
        && !LOCAL_SUFFIXES.contains(&last)
}

/// A resolver that returns public addresses only.
#[derive(Debug)]
pub(super) struct PublicAddresses;

/// A name has no public address.
#[derive(Debug, thiserror::Error)]
#[error("its name has no public address")]
struct NotPublic;

impl Resolve for PublicAddresses {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found
                .filter(|address| is_public_address(address.ip()))
                .collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is reachable over the internet (the registries of RFC 6890).
fn is_public_address(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let special = matches!(
        ip.octets(),
        [0 | 240..=255, ..]
            | [100, 64..=127, ..]
            | [192, 0, 0, _]
            | [192, 88, 99, _]
            | [198, 18..=19, ..]
    );
    !(special
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation())
}

/// Global unicast, without documentation and without addresses that lead to another one (Teredo, 6to4;
/// mapped and translated IPv4 addresses lie outside).
fn is_public_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        [0x2001, 0..=0x01ff, ..]
        | [0x2001, 0x0db8, ..]
        | [0x2002, ..]
        | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_https_endpoints_are_allowed() {
        let test_url = Url::parse("http://127.0.0.1:8080/fake/push").unwrap();
        let check = |text: &str, expected: bool| {
            let endpoint = Endpoint::parse(text, Some(&test_url));
            assert_eq!(endpoint.is_ok(), expected, "{text}");
        };
        check(
            "https://updates.push.services.mozilla.com/wpush/v2/gAAA",
            true,
        );
        check("https://fcm.googleapis.com:443/fcm/send/c1:APA", true);
        check("http://fcm.googleapis.com/fcm/send/c1", false);
        check("https://fcm.googleapis.com:8443/fcm/send/c1", false);
        check("https://me:pw@fcm.googleapis.com/", false);
        check("https://push.example/a#b", false);
        check("https://localhost/", false);
        check("https://intranet/", false);
        check("https://a.localhost/", false);
        check("https://a.local./", false);
        check("https://vault.internal/", false);
        for host in [
            "127.0.0.1",
            "2130706433",
            "0x7f.1",
            "8.8.8.8",
            "[::1]",
            "[::ffff:10.0.0.1]",
        ] {
            check(&format!("https://{host}/"), false);
        }
        check("file:///etc/passwd", false);
        check("push", false);
        check(
            &format!("https://push.example/{}", "a".repeat(2_048)),
            false,
        );
        // Only what is below the test URL.
        check("http://127.0.0.1:8080/fake/push/p/1", true);
        check("http://127.0.0.1:8080/fake/push/../../admin", false);
        check("http://127.0.0.1:8080/fake/pushed", false);
        check("http://me@127.0.0.1:8080/fake/push/p/1", false);
        check("http://127.0.0.1:8081/fake/push/p/1", false);
        check("http://localhost:8080/fake/push/p/1", false);
    }

    #[test]
    fn only_public_addresses_are_connected_to() {
        let check = |ip: &str, expected: bool| {
            assert_eq!(is_public_address(ip.parse().unwrap()), expected, "{ip}");
        };
        for ip in [
            "8.8.8.8",
            "172.32.0.1",
            "100.128.0.1",
            "2a00:1450::1",
            "2606:4700::1",
        ] {
            check(ip, true);
        }
        for ip in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "fec0::1",
        ] {
            check(ip, false);
        }
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_not_resolved() {
        let name = "localhost".parse().unwrap();
        assert!(PublicAddresses.resolve(name).await.is_err());
    }
}
