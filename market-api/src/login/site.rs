//! URLs of this site with the host name that the browser uses.
//!
//! A developer's computer has several names: `localhost`, `127.0.0.1`, `[::1]`. Cookies belong to the name under
//! which they were set, so a login must return to the name at which it began. Everywhere else the site has
//! the one name of its settings, whatever the request's `Host`.
//!
//! What this module does not do: decide which host names are served.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HOST;
use http::uri::Authority;
use reqwest::Url;

/// The configured URL, with the request's host name if both are loopback names.
pub(super) fn seen_by(url: &Url, headers: &HeaderMap) -> Url {
    let mut seen = url.clone();
    if let Some(authority) = loopback_authority(headers)
        && url.host_str().is_some_and(is_loopback)
        && url.port_or_known_default() == authority.port_u16().or(default_port(url))
        && seen.set_host(Some(authority.host())).is_err()
    {
        return url.clone();
    }
    seen
}

/// The default port of a `Host` without one.
fn default_port(url: &Url) -> Option<u16> {
    match url.scheme() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn loopback_authority(headers: &HeaderMap) -> Option<Authority> {
    let authority: Authority = headers.get(HOST)?.as_bytes().try_into().ok()?;
    let is_plain = !authority.as_str().contains('@');
    (is_plain && is_loopback(authority.host())).then_some(authority)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    host.eq_ignore_ascii_case("localhost") || is_address()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// A request with this `Host` gets the URL in this form.
    fn check(url: &str, host: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_str(host).unwrap());
        let seen = seen_by(&Url::parse(url).unwrap(), &headers);
        assert_eq!(seen.as_str(), expected, "{url} {host}");
    }

    #[test]
    fn a_name_of_this_computer_is_kept() {
        let url = "http://localhost:8080/";
        check(url, "127.0.0.1:8080", "http://127.0.0.1:8080/");
        check(url, "[::1]:8080", "http://[::1]:8080/");
        check(url, "localhost:8080", url);
        check(
            "http://[::1]:8080/x",
            "LOCALHOST:8080",
            "http://localhost:8080/x",
        );
        check("http://localhost/", "127.0.0.1", "http://127.0.0.1/");
    }

    #[test]
    fn every_other_name_is_that_of_the_settings() {
        let url = "http://localhost:8080/";
        let others = [
            "evil.example:8080",
            "127.0.0.1:8081",
            "127.0.0.1",
            "",
            "a@127.0.0.1:8080",
        ];
        for host in others {
            check(url, host, url);
        }
        check(
            "https://dapanda.example/",
            "127.0.0.1",
            "https://dapanda.example/",
        );
    }
}
