//! Extractors for path, query and body, whose errors come in the envelope.

use std::str::FromStr;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::codes::ErrorCode;
use crate::json::from_object;

/// Whether a request comes from a page of an allowed origin, or of the server's own.
///
/// A browser sends cookies along with a form of any page, so a request that changes something by
/// cookie must come from a page of ours. Browsers send `Origin` with every such request.
#[must_use]
pub fn is_own_page(headers: &HeaderMap, allowed: &[String]) -> bool {
    let mut origins = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return false;
    };
    let Some((scheme, authority)) = origin.to_str().ok().and_then(parts_of_origin) else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = host.is_some_and(|host| bare_authority(scheme, host) == authority);
    let is = |allowed: &String| parts_of_origin(allowed) == Some((scheme, authority.clone()));
    is_own || allowed.iter().any(is)
}

/// The scheme and the authority of an origin, normalised for comparison.
fn parts_of_origin(origin: &str) -> Option<(&'static str, String)> {
    let (scheme, authority) = origin.split_once("://")?;
    let schemes = ["http", "https"];
    let known = schemes
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(scheme))?;
    let authority = bare_authority(known, authority.trim_end_matches('/'));
    (!authority.is_empty()).then_some((known, authority))
}

/// A host in lower case, without the scheme's default port.
fn bare_authority(scheme: &str, authority: &str) -> String {
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let bare = authority.strip_suffix(usual).unwrap_or(authority);
    bare.to_ascii_lowercase()
}

/// The one parameter of the path.
#[derive(Clone, Copy, Debug)]
pub struct InPath<T>(pub T);

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for InPath<T> {
    type Rejection = ErrorCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorCode> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_rejection| ErrorCode::InvalidParameter)?;
        parsed(&text).map(Self)
    }
}

/// The parameters of the query. Unknown ones are ignored, repeated ones refused.
#[derive(Clone, Copy, Debug)]
pub struct InQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for InQuery<T> {
    type Rejection = ErrorCode;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ErrorCode> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(parameters) = query.map_err(|_rejection| ErrorCode::InvalidParameter)?;
        Ok(Self(parameters))
    }
}

/// The body as one JSON object in exactly the shapes of `T` ([`from_object`]), whatever its content
/// type.
#[derive(Clone, Copy, Debug)]
pub struct InBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBody<T> {
    type Rejection = ErrorCode;

    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorCode> {
        let InBodyWithBytes { value, .. } = InBodyWithBytes::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// As [`InBody`], with the bytes: requests with an idempotency key are compared by them.
#[derive(Clone, Debug)]
pub struct InBodyWithBytes<T> {
    /// The object.
    pub value: T,
    /// The body as it came.
    pub bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for InBodyWithBytes<T> {
    type Rejection = ErrorCode;

    async fn from_request(request: Request, state: &S) -> Result<Self, ErrorCode> {
        let body = Bytes::from_request(request, state).await;
        let bytes = body.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ErrorCode::BodyTooLarge,
            _ => ErrorCode::InvalidParameter,
        })?;
        let value = from_object(&bytes).map_err(|error| {
            // Position and kind only: the error's text may quote the body.
            tracing::debug!(line = error.line(), kind = ?error.classify(), "a body was refused");
            ErrorCode::InvalidParameter
        })?;
        Ok(Self { value, bytes })
    }
}

/// A parameter of the query, if it is present and not empty.
///
/// A number has digits only: `+5`, which Rust's parsers accept, is refused (in a query it is
/// `%2B5`; `+5` itself is a space and a 5).
///
/// # Errors
/// [`ErrorCode::InvalidParameter`]: it is something else.
pub fn parameter<T: FromStr>(text: Option<&str>) -> Result<Option<T>, ErrorCode> {
    let text = text.filter(|text| !text.is_empty());
    text.map(parsed).transpose()
}

/// Parses the text; a leading plus is refused.
fn parsed<T: FromStr>(text: &str) -> Result<T, ErrorCode> {
    let text = Some(text).filter(|text| !text.starts_with('+'));
    let value = text.and_then(|text| text.parse().ok());
    value.ok_or(ErrorCode::InvalidParameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, origins: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host.parse().unwrap());
        for origin in origins {
            headers.append(ORIGIN, origin.parse().unwrap());
        }
        let allowed = [
            "https://page.example".to_owned(),
            "http://A.example:80/".to_owned(),
        ];
        let is_own = is_own_page(&headers, &allowed);
        assert_eq!(is_own, expected, "{host} {origins:?}");
    }

    #[test]
    fn pages_are_compared_as_origins_are() {
        check("own.example", &["http://own.example"], true);
        check("Own.example:80", &["HTTP://own.example"], true);
        check("own.example", &["https://own.example:443"], true);
        check("own.example:443", &["http://own.example"], false);
        check("own.example:8080", &["http://own.example:8080"], true);
        check("own.example:8080", &["http://own.example"], false);
        check("x", &["https://page.example"], true);
        check("x", &["https://PAGE.example:443"], true);
        check("x", &["http://page.example"], false);
        check("x", &["http://a.example"], true);
        check(
            "x",
            &["https://page.example", "https://page.example"],
            false,
        );
        check("x", &["null"], false);
        check("x", &[""], false);
        check("x", &["://x"], false);
        check("x", &["ftp://x"], false);
    }

    #[test]
    fn a_number_is_written_in_digits() {
        let check = |text: &str, expected: Result<Option<u64>, ErrorCode>| {
            assert_eq!(parameter(Some(text)), expected, "{text}");
        };
        check("5", Ok(Some(5)));
        check("", Ok(None));
        check("+5", Err(ErrorCode::InvalidParameter));
        check(" 5", Err(ErrorCode::InvalidParameter));
        check("-5", Err(ErrorCode::InvalidParameter));
    }
}
