//! What goes from a handler to the layers around it: the reader's language, cookies to be set.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::header::{ACCEPT_LANGUAGE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use shared::web::Told;

/// A language of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Korean.
    #[default]
    Korean,
    /// English.
    English,
}

impl Language {
    /// Its name in requests and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Korean => "ko",
            Self::English => "en",
        }
    }

    /// The language of this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Korean, Self::English]
            .into_iter()
            .find(|language| language.as_str() == name)
    }
}

/// One request and its answer: among the request's extensions for whoever has something to add.
#[derive(Clone, Debug, Default)]
pub struct Exchange(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    language: Option<Language>,
    cookies: Vec<HeaderValue>,
}

impl Exchange {
    /// A `Set-Cookie` of the answer, whatever it will be.
    pub fn set_cookie(&self, cookie: HeaderValue) {
        self.lock().cookies.push(cookie);
    }

    /// What the member chose, for requests that do not say.
    pub fn prefer(&self, language: Language) {
        self.lock().language = Some(language);
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the request its [`Exchange`] and does to the answer what was noted there.
pub(super) async fn exchange(mut request: Request, next: Next) -> Response {
    let exchange = Exchange::default();
    request.extensions_mut().insert(exchange.clone());
    let asked = asked_for(request.headers());
    let mut response = next.run(request).await;
    let notes = std::mem::take(&mut *exchange.lock());
    let language = asked.or(notes.language).unwrap_or_default();
    if language == Language::English
        && let Some(told) = response.extensions().get::<Told>()
    {
        let english = (response.status(), Json(told.in_english())).into_response();
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

/// The first of our languages that `Accept-Language` names. Its weights are not weighed: browsers
/// write the favourite first.
fn asked_for(headers: &HeaderMap) -> Option<Language> {
    let wanted = headers.get(ACCEPT_LANGUAGE)?.to_str().ok()?;
    let tags = wanted
        .split(',')
        .filter_map(|tag| tag.split([';', '-']).next());
    tags.map(|tag| tag.trim().to_ascii_lowercase())
        .find_map(|tag| Language::parse(&tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: Option<&str>, expected: Option<Language>) {
        let mut headers = HeaderMap::new();
        if let Some(wanted) = wanted {
            headers.insert(ACCEPT_LANGUAGE, wanted.parse().unwrap());
        }
        assert_eq!(asked_for(&headers), expected, "{wanted:?}");
    }

    #[test]
    fn the_first_known_language_is_taken() {
        check(None, None);
        check(Some("*"), None);
        check(Some("fr, de;q=0.5"), None);
        check(Some("en-US,en;q=0.9,ko;q=0.8"), Some(Language::English));
        check(Some("ko-KR,ko;q=0.9,en;q=0.8"), Some(Language::Korean));
        check(Some("fr;q=1.0, EN;q=0.1"), Some(Language::English));
    }
}
