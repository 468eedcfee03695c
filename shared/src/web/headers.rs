//! Header values by their grammar (RFC 9110, 5.6): lists, weights, entity tags.
//!
//! Values are bytes, and a header may come on several lines, which are one list. Elements outside
//! the grammar are skipped.

use axum::response::Response;
use http::header::{CONNECTION, CONTENT_TYPE, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Elements of one list that are read at most: no client needs more.
const ELEMENTS_MAX: usize = 256;

/// The elements of a list, on however many lines; without the space around them, and without those
/// that are empty. Commas within quotes divide nothing.
pub fn all<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let elements = lines.flat_map(|line| Elements { rest: line });
    elements
        .filter(|element| !element.is_empty())
        .take(ELEMENTS_MAX)
}

/// True if a list contains this token, in any case.
#[must_use]
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    all(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The elements of a list with their weights, the most preferred first, in the order written where weights are
/// equal; weights are thousandths. Elements of weight 0 (not accepted) are included.
#[must_use]
pub fn weighted<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<(&'a str, u16)> {
    let elements = all(headers, name).filter_map(|element| str::from_utf8(element).ok());
    let mut weighted: Vec<_> = elements.filter_map(weigh).collect();
    weighted.sort_by_key(|(_, weight)| std::cmp::Reverse(*weight));
    weighted
}

/// `text;q=0.5`: an element and its weight. An element with an invalid weight is skipped.
fn weigh(element: &str) -> Option<(&str, u16)> {
    let mut parts = element
        .split(';')
        .map(|part| part.trim_matches([' ', '\t']));
    let value = parts.next().filter(|value| !value.is_empty())?;
    let mut weights = parts.filter_map(|part| {
        let (name, weight) = part.split_once('=')?;
        name.eq_ignore_ascii_case("q").then_some(weight)
    });
    let weight = weights.next().map_or(Some(1_000), thousandths)?;
    Some((value, weight))
}

/// `0.5` is 500 (RFC 9110, 12.4.2).
fn thousandths(text: &str) -> Option<u16> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_part = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| is_part)?;
    match whole {
        "0" => Some(part),
        "1" if part == 0 => Some(1_000),
        _ => None,
    }
}

/// The media type without its parameters.
#[must_use]
pub fn media_type(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = text.split(';').next().unwrap_or(text);
    Some(kind.trim_matches([' ', '\t']))
}

/// Whether the client has this version already (RFC 9110, 13.1.2): `*`, or its tag in a list,
/// weakly compared.
#[must_use]
pub fn is_known(request: &HeaderMap, tag: &HeaderValue) -> bool {
    let opaque = |tag: &[u8]| {
        let tag = tag.strip_prefix(b"W/").unwrap_or(tag);
        let is_quoted = tag.len() >= 2 && tag.starts_with(b"\"") && tag.ends_with(b"\"");
        is_quoted.then(|| tag.to_vec())
    };
    let own = opaque(tag.as_bytes());
    all(request, &IF_NONE_MATCH)
        .any(|known| known == b"*" || (own.is_some() && opaque(known) == own))
}

/// Divides at commas that are not within quotes.
struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        // A backslash is a plain letter of a tag (RFC 9110, 8.8.3).
        let mut is_quoted = false;
        let end = self.rest.iter().position(|&byte| {
            is_quoted ^= byte == b'"';
            byte == b',' && !is_quoted
        });
        let (element, rest) = match end {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, &self.rest[self.rest.len()..]),
        };
        self.rest = rest;
        Some(element.trim_ascii())
    }
}

/// A response that ends the connection: the request's body is not read.
pub(super) fn last(mut response: Response) -> Response {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_LANGUAGE, UPGRADE};

    use super::*;

    fn map(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let line = |line: &&str| {
            (
                name.clone(),
                HeaderValue::from_bytes(line.as_bytes()).unwrap(),
            )
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.iter().map(line) {
            headers.append(name, value);
        }
        headers
    }

    fn check_known(lines: &[&str], tag: &'static str, expected: bool) {
        let known = is_known(&map(&IF_NONE_MATCH, lines), &HeaderValue::from_static(tag));
        assert_eq!(known, expected, "{lines:?} {tag}");
    }

    #[test]
    fn a_tag_is_found_in_a_list_and_compared_weakly() {
        for lines in [
            &["\"x\""] as &[&str],
            &["W/\"x\""],
            &["*"],
            &["\"a\", W/\"x\""],
            &["\"a\",\"x\",\"b\""],
            &["\"a\"", "\"x\""],
            &["\"a,b\" , \"x\""],
            &["김, \"x\""],
            &[" ,, \"x\" ,"],
        ] {
            check_known(lines, "\"x\"", true);
            check_known(lines, "W/\"x\"", true);
        }
        for lines in [
            &[] as &[&str],
            &["\"y\""],
            &["x"],
            &["w/\"x\""],
            &["\"X\""],
            &["\"a, \"x\""],
            &["\"*\""],
        ] {
            check_known(lines, "\"x\"", false);
        }
    }

    #[test]
    fn weights_order_a_list() {
        let check = |lines: &[&str], expected: &[(&str, u16)]| {
            let headers = map(&ACCEPT_LANGUAGE, lines);
            assert_eq!(weighted(&headers, &ACCEPT_LANGUAGE), expected, "{lines:?}");
        };
        check(&["en;q=0.5, ko"], &[("ko", 1_000), ("en", 500)]);
        check(&["en", "ko"], &[("en", 1_000), ("ko", 1_000)]);
        check(&["ko ; Q=0.001,*;q=0"], &[("ko", 1), ("*", 0)]);
        check(&["ko;q=1.000, en;q=0."], &[("ko", 1_000), ("en", 0)]);
        check(&["ko;q=2, en;q=x, fr;q=0.1234, de;q=1.1"], &[]);
        check(&[";q=1, ,"], &[]);
    }

    #[test]
    fn tokens_are_found_however_they_are_written() {
        for lines in [
            &["websocket"] as &[&str],
            &["h2c, WebSocket"],
            &["h2c", "websocket "],
        ] {
            assert!(has_token(&map(&UPGRADE, lines), &UPGRADE, "websocket"));
        }
        for lines in [&["websocket2"] as &[&str], &["web socket"], &[]] {
            assert!(!has_token(&map(&UPGRADE, lines), &UPGRADE, "websocket"));
        }
    }
}
