//! Host names that a server accepts: protection against DNS rebinding.
//!
//! A page of any site can let its own name resolve to this computer; its requests then count as
//! same-origin. They carry that name as their host, so a server that accepts only its own names
//! refuses them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::uri::Authority;

/// Names of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    names: Arc<[String]>,
    /// IP addresses are accepted: they cannot be rebound.
    takes_addresses: bool,
}

impl Hosts {
    /// The local names of this computer, these, and the address of the listener.
    #[must_use]
    pub fn of_this_computer(more: &[String], listen: SocketAddr) -> Self {
        let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let at = listen.ip().to_canonical();
        // A setting may have a port or a dot at its end, as addresses in browsers do.
        let more = more.iter().map(|name| {
            let authority = name.parse::<Authority>().ok();
            let host = authority.as_ref().map_or(&**name, Authority::host);
            let host = if name.parse::<IpAddr>().is_ok() {
                name
            } else {
                host
            };
            bare(host).trim_end_matches('.').to_ascii_lowercase()
        });
        let names = own.into_iter().chain([at.to_string()]).chain(more);
        Self {
            names: names.collect(),
            takes_addresses: at.is_unspecified(),
        }
    }

    /// Whether this is one of the names, whatever the port.
    #[must_use]
    pub(super) fn contain(&self, authority: &Authority) -> bool {
        let name = bare(authority.host());
        let name = name.strip_suffix('.').unwrap_or(name);
        let is_named = self.names.iter().any(|own| own.eq_ignore_ascii_case(name));
        let address = name.parse::<IpAddr>().ok();
        let is_loopback = address.is_some_and(|address| address.to_canonical().is_loopback());
        is_named || is_loopback || (self.takes_addresses && address.is_some())
    }
}

/// Without the brackets of an IPv6 address.
fn bare(name: &str) -> &str {
    let inner = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(listen: &str, expected: &[(&str, bool)]) {
        let more = ["My.Box".to_owned()];
        let hosts = Hosts::of_this_computer(&more, listen.parse().unwrap());
        for (host, is_own) in expected {
            let authority = host.parse().unwrap();
            assert_eq!(hosts.contain(&authority), *is_own, "{listen} {host}");
        }
    }

    #[test]
    fn only_names_that_were_given_and_those_of_this_computer_are_own() {
        let common = [
            ("localhost", true),
            ("LOCALHOST:8080", true),
            ("localhost.:1", true),
            ("127.0.0.1:8080", true),
            ("127.0.0.2", true),
            ("[::1]:80", true),
            ("my.box:80", true),
            ("evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("evil.localhost", false),
        ];
        for listen in ["127.0.0.1:1", "0.0.0.0:1", "192.0.2.7:1"] {
            check(listen, &common);
        }
        check("127.0.0.1:1", &[("192.0.2.7", false), ("192.0.2.8", false)]);
        check("192.0.2.7:1", &[("192.0.2.7", true), ("192.0.2.8", false)]);
        check("[::]:1", &[("192.0.2.7", true), ("[2001:db8::1]:5", true)]);
    }
}
