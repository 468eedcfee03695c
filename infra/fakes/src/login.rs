//! A login provider with the shapes of Kakao, Google and Naver, for a few demo people: its login
//! page offers a choice of identities, without a password.
//!
//! It is as strict as the real ones where it matters: one registered address to send browsers back
//! to, client secret, PKCE, a code once.

mod books;
mod shapes;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Json, Router};
use http::header::{AUTHORIZATION, CONTENT_SECURITY_POLICY, LOCATION};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use shared::clock::Clock;

use books::{Books, Ticket};

/// Our name there.
pub const CLIENT_ID: &str = "dapanda";

/// Our secret there. It protects nothing: every visitor of this provider can log in as any demo
/// person.
pub const CLIENT_SECRET: &str = "not-a-secret";

/// An identity that the login page offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The provider's user id.
    pub id: u64,
    /// The display name.
    pub name: String,
    /// The contact address, if the person shares one.
    pub email: Option<Email>,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    /// The address.
    pub address: String,
    /// Whether the provider vouches for it.
    pub verified: bool,
}

/// The provider.
#[derive(Debug)]
pub struct FakeLogin {
    people: Vec<Person>,
    /// Before `/login/oauth2/code/…`.
    site: String,
    /// Its own URL, for browsers.
    base: String,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
}

impl FakeLogin {
    /// A provider of these people, for the site at this URL; browsers reach it at `base`, below
    /// which every kind of provider has its name.
    #[must_use]
    pub fn new(people: Vec<Person>, site: &str, base: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            people,
            site: site.trim_end_matches('/').to_owned(),
            base: base.trim_end_matches('/').to_owned(),
            clock,
            books: Mutex::default(),
        }
    }

    /// Its routes, below `/{kind}` with kind `kakao`, `google`, `naver`.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/kakao/oauth/authorize", choosing(Kind::Kakao))
            .route("/google/o/oauth2/v2/auth", choosing(Kind::Google))
            .route("/naver/oauth2.0/authorize", choosing(Kind::Naver))
            .route("/{kind}/choose", get(choose))
            .route("/kakao/oauth/token", exchanging(Kind::Kakao))
            .route("/google/token", exchanging(Kind::Google))
            .route("/naver/oauth2.0/token", exchanging(Kind::Naver))
            .route("/kakao/v2/user/me", telling(Kind::Kakao))
            .route("/google/v1/userinfo", telling(Kind::Google))
            .route("/naver/v1/nid/me", telling(Kind::Naver))
            .with_state(self)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn person(&self, id: u64) -> Option<&Person> {
        self.people.iter().find(|person| person.id == id)
    }

    /// Whether this is where the site takes logins, under any name of this computer: a site has
    /// registered all of them.
    fn is_registered(&self, kind: Kind, redirect_uri: &str) -> bool {
        let own = format!("{}/login/oauth2/code/{}", self.site, kind.as_str());
        let named = |text: &str| {
            let mut url = reqwest::Url::parse(text).ok()?;
            if matches!(url.host_str(), Some("127.0.0.1" | "[::1]")) {
                url.set_host(Some("localhost")).ok()?;
            }
            Some(url)
        };
        redirect_uri == own || named(redirect_uri).is_some_and(|url| Some(url) == named(&own))
    }

    fn issuer(&self, kind: Kind) -> String {
        format!("{}/{}", self.base, kind.as_str())
    }

    /// What is wrong with a request for a login.
    fn complaint(&self, kind: Kind, asked: &Asked) -> Option<&'static str> {
        if asked.client_id != CLIENT_ID {
            Some("unknown client_id")
        } else if !self.is_registered(kind, &asked.redirect_uri) {
            Some("redirect_uri is not the registered one")
        } else if asked.response_type != "code" {
            Some("response_type is not code")
        } else if asked.code_challenge_method != "S256" || asked.code_challenge.len() != 43 {
            Some("no S256 code_challenge")
        } else if asked.state.is_empty() {
            Some("no state")
        } else {
            None
        }
    }
}

/// Which provider it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Kakao,
    Google,
    Naver,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Kakao => "kakao",
            Self::Google => "google",
            Self::Naver => "naver",
        }
    }

    fn from_path(path: &str) -> Option<Self> {
        [Self::Kakao, Self::Google, Self::Naver]
            .into_iter()
            .find(|kind| kind.as_str() == path)
    }
}

/// What a browser is sent with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    client_id: String,
    redirect_uri: String,
    response_type: String,
    state: String,
    nonce: String,
    code_challenge: String,
    code_challenge_method: String,
    /// Who to be; of the second step only.
    person: Option<u64>,
}

type Fake = State<Arc<FakeLogin>>;

fn choosing(kind: Kind) -> MethodRouter<Arc<FakeLogin>> {
    get(async move |State(fake): Fake, Query(asked): Query<Asked>| authorize(kind, &fake, &asked))
}

fn exchanging(kind: Kind) -> MethodRouter<Arc<FakeLogin>> {
    post(async move |State(fake): Fake, body: String| token(kind, &fake, &parse_form(&body)))
}

fn telling(kind: Kind) -> MethodRouter<Arc<FakeLogin>> {
    get(async move |State(fake): Fake, headers: HeaderMap| profile(kind, &fake, &headers))
}

/// The login page: a choice of identities.
fn authorize(kind: Kind, fake: &FakeLogin, asked: &Asked) -> Response {
    if let Some(complaint) = fake.complaint(kind, asked) {
        return (StatusCode::BAD_REQUEST, complaint).into_response();
    }
    let link = |person: &Person| {
        let query = form(&[
            ("client_id", &asked.client_id),
            ("redirect_uri", &asked.redirect_uri),
            ("response_type", &asked.response_type),
            ("state", &asked.state),
            ("nonce", &asked.nonce),
            ("code_challenge", &asked.code_challenge),
            ("code_challenge_method", &asked.code_challenge_method),
            ("person", &person.id.to_string()),
        ]);
        let to = format!("{}/choose?{query}", fake.issuer(kind));
        (to, person.name.clone())
    };
    let links: Vec<_> = fake.people.iter().map(link).collect();
    let page = shapes::page(kind, &links);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

/// Somebody has chosen: back to the site, with a code.
async fn choose(
    State(fake): State<Arc<FakeLogin>>,
    Path(kind): Path<String>,
    Query(asked): Query<Asked>,
) -> Response {
    let Some(kind) = Kind::from_path(&kind) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let person = asked.person.and_then(|id| fake.person(id));
    let (Some(person), None) = (person, fake.complaint(kind, &asked)) else {
        return (StatusCode::BAD_REQUEST, "nobody was chosen").into_response();
    };
    let ticket = Ticket {
        kind,
        person: person.id,
        challenge: asked.code_challenge,
        nonce: asked.nonce,
    };
    let code = fake.books().give_code(ticket, fake.clock.unix_millis());
    let issuer = fake.issuer(kind);
    let mut back = vec![("code", code.as_str()), ("state", asked.state.as_str())];
    if kind == Kind::Google {
        back.push(("iss", issuer.as_str()));
    }
    let to = format!("{}?{}", asked.redirect_uri, form(&back));
    (StatusCode::FOUND, [(LOCATION, to)]).into_response()
}

/// What a code is exchanged with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Exchange {
    grant_type: String,
    client_id: String,
    client_secret: String,
    redirect_uri: String,
    code: String,
    code_verifier: String,
}

fn token(kind: Kind, fake: &FakeLogin, exchange: &Exchange) -> Response {
    let is_ours = exchange.client_id == CLIENT_ID && exchange.client_secret == CLIENT_SECRET;
    if !is_ours {
        return shapes::refuse(kind, StatusCode::UNAUTHORIZED, "invalid_client");
    }
    if exchange.grant_type != "authorization_code" {
        return shapes::refuse(kind, StatusCode::BAD_REQUEST, "unsupported_grant_type");
    }
    let now = fake.clock.unix_millis();
    let taken = fake.books().take_code(&exchange.code, now);
    let good = taken.filter(|ticket| {
        ticket.kind == kind
            && fake.is_registered(kind, &exchange.redirect_uri)
            && ticket.is_met_by(&exchange.code_verifier)
    });
    let Some(ticket) = good else {
        return shapes::refuse(kind, StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let token = fake.books().give_token(kind, ticket.person);
    let id_token = (kind == Kind::Google).then(|| {
        let issuer = fake.issuer(kind);
        shapes::id_token(&issuer, &ticket, now)
    });
    Json(shapes::token(kind, &token, id_token)).into_response()
}

fn profile(kind: Kind, fake: &FakeLogin, headers: &HeaderMap) -> Response {
    let bearer = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|bearer| bearer.strip_prefix("Bearer "));
    let whose = token.and_then(|token| fake.books().whose_token(kind, token));
    match whose.and_then(|id| fake.person(id)) {
        Some(person) => Json(shapes::profile(kind, person)).into_response(),
        None => (StatusCode::UNAUTHORIZED, Json(Value::Null)).into_response(),
    }
}

/// A form is encoded as a query is.
fn parse_form(body: &str) -> Exchange {
    let uri = format!("/?{body}").parse::<http::Uri>();
    let read = uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok());
    read.map_or_else(Exchange::default, |Query(exchange)| exchange)
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("form:").expect("a scheme alone is a URL");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
