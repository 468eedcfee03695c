//! Logging in through Kakao, Google or Naver: OAuth 2.0, code flow, with PKCE, state and nonce.
//!
//! ```text
//! browser ─► /oauth2/authorization/{provider} ─► attempt in the database, cookie ─► provider
//! provider ─► /login/oauth2/code/{provider}?code&state ─► attempt of this browser taken, once
//!          ─► code for a token ─► token for a profile ─► member ─► session ─► front end
//! again    ─► what became of the attempt ─► the same: a session, or the same error
//! ```
//!
//! What comes back is believed because of three things: the state is one of an attempt that this
//! browser began with this provider (no login of somebody else's can be slipped in), the code works
//! once and only with the attempt's verifier, and the profile comes over TLS from the provider.
//!
//! An own client of two requests, not the crate `oauth2`: its typed answers refuse Naver's, whose
//! `expires_in` is a text and whose errors come with status 200, so most of it would be replaced.

mod client;
mod endpoints;
mod finish;
mod http;
mod id_token;
mod repo;
mod shape;
mod site;

use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;

use crate::auth::Auth;
use crate::db::{Abort, Db, Tx};
use crate::http::ApiError;
use crate::members::{Members, Provider};
use crate::metrics::Metrics;
use client::{Client, ClientError};
use finish::LoggedIn;
use repo::Attempt;

pub use client::NoClient;
pub use endpoints::{Endpoints, StandIn};
pub use http::routes;

/// From the beginning of a login to its end: somebody may have to look for a password.
pub const ATTEMPT_TIME: Duration = Duration::from_secs(10 * 60);

/// Longer than any provider's code or state.
const PARAMETER_BYTES_MAX: usize = 2_048;

/// How this site is known to a provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// Which.
    pub provider: Provider,
    /// Our name there.
    pub client_id: String,
    /// Our secret there.
    pub client_secret: Secret<String>,
    /// Where it is.
    pub endpoints: Endpoints,
}

/// What logins need to know of the site.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Under which URL browsers reach this server: providers send them back there.
    pub public_url: Url,
    /// Where the front end is.
    pub front_url: Url,
    /// Who may vouch.
    pub providers: Vec<ProviderSettings>,
    /// Whether cookies go over TLS only.
    pub secure_cookies: bool,
}

/// Why somebody was not logged in.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    /// No login of this browser with this provider is under way, or not any more.
    #[error("no such login is under way")]
    Unknown,
    /// They did not agree, or the provider does not take the code.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// It does not answer, or not as it should.
    #[error("the provider does not answer: {0}")]
    Away(String),
    /// The attempt came back before, and was refused with this.
    #[error("refused before with {0}")]
    Before(u16),
    /// The member may not come in, or we cannot look.
    #[error("failure {}", .0.row().code)]
    ApiError(ApiError),
}

impl LoginError {
    /// What the front end is told.
    fn code(&self) -> u16 {
        match self {
            Self::Unknown => 2006,
            Self::Refused(_) => 2009,
            Self::Away(_) => 1010,
            Self::Before(code) => *code,
            Self::ApiError(failure) => failure.row().code,
        }
    }

    /// A label for the metric.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Refused(_) => "refused",
            Self::Away(_) => "away",
            Self::Before(_) => "again",
            Self::ApiError(ApiError::MemberBlocked) => "blocked",
            Self::ApiError(_) => "failed",
        }
    }
}

impl From<ClientError> for LoginError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(reason) => Self::Refused(reason),
            ClientError::Away(reason) => Self::Away(reason),
        }
    }
}

impl<E: Into<ApiError>> From<E> for LoginError {
    fn from(failure: E) -> Self {
        Self::ApiError(failure.into())
    }
}

/// What a provider sends a browser back with.
#[derive(Debug, Default)]
struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

/// Logs people in.
#[derive(Clone, Debug)]
pub struct Logins {
    db: Db,
    members: Members,
    auth: Auth,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    settings: Arc<LoginSettings>,
    client: Client,
    drain: Drain,
}

/// What logins are made of.
#[derive(Debug)]
pub struct LoginParts {
    /// Where attempts are kept.
    pub db: Db,
    /// Whom they find.
    pub members: Members,
    /// What begins their sessions.
    pub auth: Auth,
    /// When attempts end.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What they need to know of the site.
    pub settings: LoginSettings,
    /// Where a login goes on whose browser has left.
    pub drain: Drain,
}

impl Logins {
    /// Logins with these providers.
    ///
    /// # Errors
    /// The system's TLS settings cannot be used.
    pub fn new(parts: LoginParts) -> Result<Self, NoClient> {
        let endpoints = parts.settings.providers.iter().map(|p| &p.endpoints);
        let client = Client::new(endpoints)?;
        let LoginParts {
            db,
            members,
            auth,
            clock,
            metrics,
            settings,
            drain,
        } = parts;
        Ok(Self {
            db,
            members,
            auth,
            clock,
            metrics,
            settings: Arc::new(settings),
            client,
            drain,
        })
    }

    fn provider(&self, path: &str) -> Option<&ProviderSettings> {
        let wanted = Provider::from_path(path)?;
        let mut offered = self.settings.providers.iter();
        offered.find(|settings| settings.provider == wanted)
    }

    /// Where the provider sends the browser back to. It takes no other address for us.
    fn redirect_uri(&self, provider: Provider, headers: &HeaderMap) -> String {
        let base = site::seen_by(&self.settings.public_url, headers);
        let base = base.as_str().trim_end_matches('/');
        format!("{base}/login/oauth2/code/{}", provider.path())
    }

    /// Where the front end is: one that is this site has the name that the browser has for it.
    fn front_url(&self, headers: &HeaderMap) -> Url {
        let (front, own) = (&self.settings.front_url, &self.settings.public_url);
        match front.origin() == own.origin() {
            true => site::seen_by(front, headers),
            false => front.clone(),
        }
    }

    /// Notes an attempt of this browser and says where to send it.
    async fn begin(
        &self,
        at: &ProviderSettings,
        browser: &str,
        headers: &HeaderMap,
    ) -> Result<Url, ApiError> {
        let attempt = Attempt {
            state: secret_text(),
            provider: at.provider,
            browser: browser.to_owned(),
            nonce: secret_text(),
            verifier: secret_text(),
        };
        let redirect_uri = self.redirect_uri(at.provider, headers);
        let url = authorize_url(at, &attempt, &redirect_uri);
        let noted = self.db.write(attempt, |attempt, tx| {
            Box::pin(async move {
                repo::insert(tx, attempt).await?;
                Ok::<_, Abort<ApiError>>(())
            })
        });
        noted.await?;
        Ok(url)
    }
}

fn authorize_url(at: &ProviderSettings, attempt: &Attempt, redirect_uri: &str) -> Url {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, attempt.verifier.as_bytes());
    let mut url = at.endpoints.authorize.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &at.client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", scope(at.provider))
        .append_pair("state", &attempt.state)
        .append_pair("nonce", &attempt.nonce)
        .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(digest))
        .append_pair("code_challenge_method", "S256");
    match at.provider {
        Provider::Kakao => drop(url.query_pairs_mut().append_pair("prompt", "login")),
        Provider::Google => drop(url.query_pairs_mut().append_pair("prompt", "consent")),
        Provider::Naver => {}
    }
    url
}

/// Removes attempts that nobody came back from.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    repo::forget(tx).await
}

/// What is asked of a provider: a name and an address (`domain.md` 9.1), from Google an ID token.
const fn scope(provider: Provider) -> &'static str {
    match provider {
        Provider::Kakao => "profile_nickname account_email",
        Provider::Google => "openid email profile",
        Provider::Naver => "name email",
    }
}

/// 256 random bits, 43 characters: also what PKCE wants of a verifier at least (RFC 7636, 4.1).
fn secret_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// What a stranger wrote, fit for a line in the log.
fn printable(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_-. ".contains(*c);
    text.chars().filter(plain).take(100).collect()
}

/// Whether a moment has come.
fn is_past(moment: UnixMillis, now: UnixMillis) -> bool {
    moment <= now
}
