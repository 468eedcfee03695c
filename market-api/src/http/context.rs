//! Per-request context: passes the reader's language and cookies from a handler to the layers around it.

use std::cmp::Reverse;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT_LANGUAGE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use shared::text::Language;
use shared::web::ApiError;
use shared::web::headers::weighted;

use super::HttpStack;

/// Context of one request and its response, shared through the request's extensions.
#[derive(Clone, Debug, Default)]
pub struct ResponseContext(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    language: Option<Language>,
    cookies: Vec<HeaderValue>,
}

impl ResponseContext {
    /// Adds a `Set-Cookie` header to the response, whatever its status.
    pub fn set_cookie(&self, cookie: HeaderValue) {
        self.lock().cookies.push(cookie);
    }

    /// Sets the member's language, for requests without `Accept-Language`.
    pub fn prefer(&self, language: Language) {
        self.lock().language = Some(language);
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the request its [`ResponseContext`], and what the extractors of `auth` need, and applies the context to the
/// response.
pub(super) async fn response_context(
    all: &HttpStack,
    mut request: Request,
    next: Next,
) -> Response {
    let response_context = ResponseContext::default();
    let extensions = request.extensions_mut();
    extensions.insert(response_context.clone());
    extensions.insert(Arc::clone(&all.limits));
    extensions.insert(Arc::clone(&all.allowed_origins));
    let asked = asked_for(request.headers());
    let mut response = next.run(request).await;
    let notes = std::mem::take(&mut *response_context.lock());
    let language = asked.or(notes.language).unwrap_or_default();
    if language == Language::English
        && let Some(error) = response.extensions().get::<ApiError>()
    {
        let english = (response.status(), Json(error.english_body())).into_response();
        let mut headers = std::mem::take(response.headers_mut());
        headers.remove(http::header::CONTENT_LENGTH);
        response = english;
        let of_body = std::mem::replace(response.headers_mut(), headers);
        response.headers_mut().extend(of_body);
    }
    for cookie in notes.cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// The preferred supported language of `Accept-Language` (RFC 9110, 12.5.4). A language that is not listed
/// has the weight of `*`; of equal weights the first wins, as browsers list the preferred language first.
fn asked_for(headers: &HeaderMap) -> Option<Language> {
    let ranges = weighted(headers, &ACCEPT_LANGUAGE);
    let place = |name: &str| ranges.iter().position(|(range, _)| primary(range) == name);
    let any = place("*").and_then(|place| ranges.get(place));
    let any = any.map_or(0, |(_, weight)| *weight);
    let languages = Language::ALL;
    let is_named = |language: &Language| place(language.as_str()).is_some();
    if !languages.iter().any(is_named) {
        return None;
    }
    let wished = languages.map(|language| {
        let place = place(language.as_str());
        let named = place.and_then(|place| ranges.get(place));
        let weight = named.map_or(any, |(_, weight)| *weight);
        (weight, Reverse(place.unwrap_or(usize::MAX)), language)
    });
    let wished = wished.into_iter().filter(|(weight, ..)| *weight > 0);
    let best = wished.max_by_key(|(weight, place, _)| (*weight, *place));
    best.map(|(.., language)| language)
}

/// The primary subtag in lower case: `en` of `en-US`.
fn primary(range: &str) -> String {
    let primary = range.split('-').next().unwrap_or(range);
    primary.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<'a>(wanted: impl IntoIterator<Item = &'a str>, expected: Option<Language>) {
        let mut headers = HeaderMap::new();
        let wanted: Vec<_> = wanted.into_iter().collect();
        for wanted in &wanted {
            let wanted = HeaderValue::from_bytes(wanted.as_bytes()).unwrap();
            headers.append(ACCEPT_LANGUAGE, wanted);
        }
        assert_eq!(asked_for(&headers), expected, "{wanted:?}");
    }

    #[test]
    fn preferred_supported_language_is_chosen() {
        check(None, None);
        check(Some("*"), None);
        check(Some("fr, de;q=0.5"), None);
        check(Some("en-US,en;q=0.9,ko;q=0.8"), Some(Language::English));
        check(Some("ko-KR,ko;q=0.9,en;q=0.8"), Some(Language::Korean));
        check(Some("fr;q=1.0, EN;q=0.1"), Some(Language::English));
        check(Some("ko;q=0.1, en;q=0.9"), Some(Language::English));
        check(Some("ko; q=0.1 ,en-GB; q=0.9"), Some(Language::English));
        check(Some("en;q=0, ko;q=0.1"), Some(Language::Korean));
        check(Some("en;q=0"), None);
        check(Some("en;q=0, *"), Some(Language::Korean));
        check(Some("ko;q=0.2, *;q=0.8"), Some(Language::English));
        check(Some("ko;q=0.2, *;q=0"), Some(Language::Korean));
        check(Some("김, en"), Some(Language::English));
        check(Some("english, ko"), Some(Language::Korean));
        check(["fr", "en;q=0.5"], Some(Language::English));
        check(["ko;q=0.4", "en;q=0.5"], Some(Language::English));
    }
}
