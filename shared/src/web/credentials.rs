//! Credentials of a request: bearer token and cookies. Parsed strictly, not verified.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::claims::TOKEN_BYTES_MAX;
use crate::config::Secret;

/// The cookie with the access token.
pub const ACCESS_COOKIE: &str = "accessToken";

/// The cookie with the refresh token.
pub const REFRESH_COOKIE: &str = "refreshToken";

/// Cookies of one request that are parsed at most: a browser keeps about 180 per site, ours sets
/// two and the front end a handful.
const COOKIES_MAX: usize = 256;

/// Cookies of one name that are parsed at most. A browser sends one of each path and domain.
const SAME_NAME_MAX: usize = 8;

/// The tokens that came with a request or a CONNECT frame; unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `Authorization: Bearer`. A malformed one becomes an empty token, so that the request is
    /// refused instead of treated as anonymous.
    pub bearer: Option<Secret<String>>,
    /// Cookies `accessToken`, in the order in which they came.
    pub access_cookies: Vec<Secret<String>>,
    /// Cookies `refreshToken`.
    pub refresh_cookies: Vec<Secret<String>>,
}

impl Credentials {
    /// Reads the headers of a request.
    ///
    /// Of several cookies of one name any may be the valid one: their order has no meaning for a
    /// server (RFC 6265, 5.4). Several `Authorization` headers count as a malformed token.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        Self {
            bearer: bearer(headers),
            access_cookies: cookies(headers, ACCESS_COOKIE),
            refresh_cookies: cookies(headers, REFRESH_COOKIE),
        }
    }

    /// Whether the request has a token cookie, which a browser adds by itself.
    #[must_use]
    pub fn has_cookies(&self) -> bool {
        !self.access_cookies.is_empty() || !self.refresh_cookies.is_empty()
    }
}

/// The cookies of this name whose values have the alphabet of a token, without duplicates.
#[must_use]
pub fn cookies(headers: &HeaderMap, name: &str) -> Vec<Secret<String>> {
    let all = headers.get_all(COOKIE).iter().flat_map(pairs);
    let named = all.take(COOKIES_MAX);
    let named = named.filter(|(found, _)| *found == name.as_bytes());
    let mut tokens = Vec::new();
    for token in named.filter_map(|(_, value)| token(value)) {
        if tokens.len() < SAME_NAME_MAX && !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens
}

/// The bearer token; an empty one for a malformed header.
fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next()?;
    let only = if values.next().is_none() {
        first.as_bytes()
    } else {
        b""
    };
    let end = only.iter().position(|byte| *byte == b' ');
    let (scheme, value) = only.split_at(end.unwrap_or(only.len()));
    let is_other_scheme = !scheme.is_empty() && !scheme.eq_ignore_ascii_case(b"bearer");
    if is_other_scheme {
        return None;
    }
    let no_token = || Secret::new(String::new());
    Some(token(value.trim_ascii_start()).unwrap_or_else(no_token))
}

/// The `name=value` pairs of a Cookie header (RFC 6265, 5.4), as bytes; anything else is skipped.
fn pairs(header: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8])> {
    let pairs = header.as_bytes().split(|byte| *byte == b';');
    pairs.filter_map(|pair| {
        let pair = pair.trim_ascii();
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = pair.split_at(end);
        Some((name, value.get(1..)?))
    })
}

/// The text, if it has the form of a token: base64url and dots, of bounded length.
fn token(text: &[u8]) -> Option<Secret<String>> {
    let unquoted = text
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(text);
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_' || *byte == b'.';
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&unquoted.len()) && unquoted.iter().all(plain);
    let text = str::from_utf8(unquoted).ok().filter(|_| is_token)?;
    Some(Secret::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These headers show (bearer, access cookies, refresh cookies).
    fn check(headers: &[(&str, &str)], expected: (Option<&str>, &[&str], &[&str])) {
        let map = headers.iter().map(|(name, value)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut all = HeaderMap::new();
        for (name, value) in map {
            all.append(name, value);
        }
        let shown = Credentials::from_headers(&all);
        let texts = |secrets: Vec<Secret<String>>| -> Vec<String> {
            secrets.into_iter().map(Secret::into_exposed).collect()
        };
        let bearer = shown.bearer.map(Secret::into_exposed);
        assert_eq!(bearer.as_deref(), expected.0, "{headers:?}");
        assert_eq!(texts(shown.access_cookies), expected.1, "{headers:?}");
        assert_eq!(texts(shown.refresh_cookies), expected.2, "{headers:?}");
    }

    #[test]
    fn cookies_are_found_by_their_exact_name() {
        check(&[], (None, &[], &[]));
        check(
            &[("cookie", "a=b; accessToken=x.y.z; refreshToken=r")],
            (None, &["x.y.z"], &["r"]),
        );
        check(
            &[("cookie", "refreshToken=r"), ("cookie", "accessToken=a")],
            (None, &["a"], &["r"]),
        );
        check(&[("cookie", "accessToken=\"a\"")], (None, &["a"], &[]));
        check(
            &[("cookie", "AccessToken=a; xaccessToken=b; accessToken =c")],
            (None, &[], &[]),
        );
    }

    #[test]
    fn what_cannot_be_a_token_is_passed_over() {
        check(
            &[("cookie", "accessToken=; accessToken=a b; accessToken=good")],
            (None, &["good"], &[]),
        );
        check(
            &[(
                "cookie",
                "accessToken=first; accessToken=second;accessToken=first",
            )],
            (None, &["first", "second"], &[]),
        );
        check(
            &[("cookie", "name=김; accessToken=good; x=\u{fe}\u{ff}")],
            (None, &["good"], &[]),
        );
        check(
            &[("cookie", "accessToken=김;\taccessToken=good\t;")],
            (None, &["good"], &[]),
        );
        check(&[("cookie", "accessToken; =; ;;")], (None, &[], &[]));
        check(&[("cookie", "accessToken=가")], (None, &[], &[]));
        let long = format!("accessToken={}", "a".repeat(TOKEN_BYTES_MAX + 1));
        check(&[("cookie", &long)], (None, &[], &[]));
    }

    #[test]
    fn of_one_name_a_few_are_looked_at() {
        let many: String = (0..20).map(|n| format!("accessToken=t{n}; ")).collect();
        let few: Vec<_> = (0..SAME_NAME_MAX).map(|n| format!("t{n}")).collect();
        let few: Vec<_> = few.iter().map(String::as_str).collect();
        check(&[("cookie", &many)], (None, &few, &[]));
    }

    #[test]
    fn cookies_past_the_bound_are_not_looked_at() {
        let many = format!("{}accessToken=a", "x=y; ".repeat(COOKIES_MAX));
        check(&[("cookie", &many)], (None, &[], &[]));
    }

    #[test]
    fn a_broken_bearer_is_shown_and_not_overlooked() {
        check(
            &[("authorization", "Bearer a.b.c")],
            (Some("a.b.c"), &[], &[]),
        );
        check(&[("authorization", "bearer  a")], (Some("a"), &[], &[]));
        check(&[("authorization", "Bearer")], (Some(""), &[], &[]));
        check(&[("authorization", "Bearer a b")], (Some(""), &[], &[]));
        check(&[("authorization", "")], (Some(""), &[], &[]));
        check(&[("authorization", "Basic eA==")], (None, &[], &[]));
        check(&[("authorization", "Basic 김")], (None, &[], &[]));
        check(&[("authorization", "BEARER 김")], (Some(""), &[], &[]));
        check(
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            (Some(""), &[], &[]),
        );
    }

    #[test]
    fn debug_shows_no_token() {
        let shown = Credentials {
            bearer: Some(Secret::new("e.y.J".to_owned())),
            ..Credentials::default()
        };
        assert!(!format!("{shown:?}").contains("e.y.J"));
    }
}
