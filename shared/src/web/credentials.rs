//! What a request shows: a bearer token, cookies. Read strictly, believed not at all.

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderValue};

use crate::claims::TOKEN_BYTES_MAX;
use crate::config::Secret;

/// The cookie with the token for requests.
pub const ACCESS_COOKIE: &str = "accessToken";

/// The cookie with the token for renewing the other one.
pub const REFRESH_COOKIE: &str = "refreshToken";

/// Cookies of one request that are looked at: a browser keeps about 180 per site, ours sets two
/// and the front end a handful.
const COOKIES_MAX: usize = 256;

/// The tokens that came with a request or a CONNECT frame; unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `Authorization: Bearer`. One that is no token at all is kept as it is refused: who shows one
    /// wants to be known by it.
    pub bearer: Option<Secret<String>>,
    /// Cookie `accessToken`.
    pub access_cookie: Option<Secret<String>>,
    /// Cookie `refreshToken`.
    pub refresh_cookie: Option<Secret<String>>,
}

impl Credentials {
    /// Reads the headers of a request.
    ///
    /// Of several cookies of one name the first that could be a token counts, as browsers send the
    /// one of the most specific path first. Of several `Authorization` headers none is good.
    #[must_use]
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let cookies = headers.get_all(COOKIE).iter().flat_map(cookies);
        let (mut access_cookie, mut refresh_cookie) = (None, None);
        for (name, value) in cookies.take(COOKIES_MAX) {
            let place = match name {
                ACCESS_COOKIE => &mut access_cookie,
                REFRESH_COOKIE => &mut refresh_cookie,
                _ => continue,
            };
            if place.is_none() {
                *place = token(value);
            }
        }
        Self {
            bearer: bearer(headers),
            access_cookie,
            refresh_cookie,
        }
    }
}

/// The first cookie of this name, if its value is of the letters of a token.
#[must_use]
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<Secret<String>> {
    let all = headers.get_all(COOKIE).iter().flat_map(cookies);
    let mut named = all.take(COOKIES_MAX).filter(|(found, _)| *found == name);
    named.find_map(|(_, value)| token(value))
}

/// The bearer token; an empty one where there is something that cannot be one.
fn bearer(headers: &HeaderMap) -> Option<Secret<String>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next()?;
    let only = if values.next().is_none() {
        first.to_str().unwrap_or_default()
    } else {
        ""
    };
    let (scheme, value) = only.split_once(' ').unwrap_or((only, ""));
    let is_other_scheme = !scheme.is_empty() && !scheme.eq_ignore_ascii_case("bearer");
    if is_other_scheme {
        return None;
    }
    let no_token = || Secret::new(String::new());
    Some(token(value.trim_start_matches(' ')).unwrap_or_else(no_token))
}

/// The `name=value` pairs of a Cookie header (RFC 6265, 4.2.1); what is none is passed over.
fn cookies(header: &HeaderValue) -> impl Iterator<Item = (&str, &str)> {
    let text = header.to_str().unwrap_or_default();
    text.split(';')
        .filter_map(|pair| pair.trim_matches(' ').split_once('='))
}

/// The text, if a token could look like this: base64url and dots, of bounded length.
fn token(text: &str) -> Option<Secret<String>> {
    let unquoted = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || byte == b'.';
    let is_token = (1..=TOKEN_BYTES_MAX).contains(&unquoted.len()) && unquoted.bytes().all(plain);
    is_token.then(|| Secret::new(unquoted.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These headers show (bearer, access cookie, refresh cookie).
    fn check(headers: &[(&str, &str)], expected: (Option<&str>, Option<&str>, Option<&str>)) {
        let map = headers.iter().map(|(name, value)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        let mut all = HeaderMap::new();
        for (name, value) in map {
            all.append(name, value);
        }
        let shown = Credentials::from_headers(&all);
        let text = |secret: Option<Secret<String>>| secret.map(Secret::into_exposed);
        assert_eq!(
            (
                text(shown.bearer).as_deref(),
                text(shown.access_cookie).as_deref(),
                text(shown.refresh_cookie).as_deref()
            ),
            expected,
            "{headers:?}"
        );
    }

    #[test]
    fn cookies_are_found_by_their_exact_name() {
        check(&[], (None, None, None));
        check(
            &[("cookie", "a=b; accessToken=x.y.z; refreshToken=r")],
            (None, Some("x.y.z"), Some("r")),
        );
        check(
            &[("cookie", "refreshToken=r"), ("cookie", "accessToken=a")],
            (None, Some("a"), Some("r")),
        );
        check(&[("cookie", "accessToken=\"a\"")], (None, Some("a"), None));
        check(
            &[("cookie", "AccessToken=a; xaccessToken=b; accessToken =c")],
            (None, None, None),
        );
    }

    #[test]
    fn what_cannot_be_a_token_is_passed_over() {
        check(
            &[("cookie", "accessToken=; accessToken=a b; accessToken=good")],
            (None, Some("good"), None),
        );
        check(
            &[("cookie", "accessToken=first; accessToken=second")],
            (None, Some("first"), None),
        );
        check(&[("cookie", "accessToken; =; ;;")], (None, None, None));
        check(&[("cookie", "accessToken=가")], (None, None, None));
        let long = format!("accessToken={}", "a".repeat(TOKEN_BYTES_MAX + 1));
        check(&[("cookie", &long)], (None, None, None));
    }

    #[test]
    fn cookies_past_the_bound_are_not_looked_at() {
        let many = format!("{}accessToken=a", "x=y; ".repeat(COOKIES_MAX));
        check(&[("cookie", &many)], (None, None, None));
    }

    #[test]
    fn a_broken_bearer_is_shown_and_not_overlooked() {
        check(
            &[("authorization", "Bearer a.b.c")],
            (Some("a.b.c"), None, None),
        );
        check(&[("authorization", "bearer  a")], (Some("a"), None, None));
        check(&[("authorization", "Bearer")], (Some(""), None, None));
        check(&[("authorization", "Bearer a b")], (Some(""), None, None));
        check(&[("authorization", "")], (Some(""), None, None));
        check(&[("authorization", "Basic eA==")], (None, None, None));
        check(
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            (Some(""), None, None),
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
