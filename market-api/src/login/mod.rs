//! Login through Kakao, Google or Naver: OAuth 2.0, code flow, with PKCE, state and nonce.
//!
//! ```text
//! browser ─► /oauth2/authorization/{provider} ─► attempt in the database, cookie ─► provider
//! provider ─► /login/oauth2/code/{provider}?code&state ─► attempt of this browser taken, once
//!          ─► code for a token ─► token for a profile ─► member ─► session ─► front end
//! repeated ─► recorded result of the attempt ─► the same: a session, or the same error
//! ```
//!
//! Three checks make a callback trustworthy: the state belongs to an attempt that this browser began with
//! this provider (no login CSRF), the code works once and only with the attempt's verifier (PKCE), and the
//! profile comes over TLS from the provider.
//!
//! An own client of two requests, not the crate `oauth2`: its typed responses reject Naver's, whose
//! `expires_in` is a text and whose errors come with status 200, so most of it would be replaced.

mod client;
mod endpoints;
mod finish;
mod http;
mod id_token;
mod repo;
mod shape;
mod site;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::drain::Drain;
use shared::web::ErrorCode;

use crate::auth::{Auth, IssueError};
use crate::db::{Abort, Db, DbError, Tx};
use crate::http::{db_code, log_db_error};
use crate::members::{MemberError, Members, Provider};
use crate::metrics::Metrics;
use client::{Client, ClientError};
use finish::LoggedIn;
use repo::Attempt;

pub use client::NoClient;
pub use endpoints::{Endpoints, StandIn};
pub use http::routes;

/// Lifetime of an attempt: long enough to look for a password.
pub const ATTEMPT_TIME: Duration = Duration::from_secs(10 * 60);

/// Bound of a callback parameter in bytes; codes and states are shorter.
const PARAMETER_BYTES_MAX: usize = 2_048;

/// This site's registration at a provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The provider.
    pub provider: Provider,
    /// The client id.
    pub client_id: String,
    /// The client secret.
    pub client_secret: Secret<String>,
    /// The provider's endpoints.
    pub endpoints: Endpoints,
}

/// Settings of logins.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// URL of this server for browsers; the redirect URIs begin with it.
    pub public_url: Url,
    /// URL of the front end.
    pub front_url: Url,
    /// The enabled providers.
    pub providers: Vec<ProviderSettings>,
    /// Whether cookies have the `Secure` attribute.
    pub secure_cookies: bool,
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
enum LoginError {
    /// No current attempt of this browser with this provider has this state.
    #[error("no such login is under way")]
    Unknown,
    /// The user declined, or the provider rejected the code.
    #[error("the provider refuses: {0}")]
    Refused(String),
    /// The provider is unreachable, or its response is invalid.
    #[error("the provider does not answer: {0}")]
    Away(String),
    /// A repeated callback, whose first one failed with this code.
    #[error("refused before with {0}")]
    Before(u16),
    /// The member is blocked or gone, or cannot be read.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// No session was begun.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The task of the login ended without an answer: a defect.
    #[error("the login was lost")]
    Lost,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl LoginError {
    /// The number for the front end.
    fn number(&self) -> u16 {
        let code = match self {
            Self::Before(number) => return *number,
            Self::Unknown => ErrorCode::LoginUnknown,
            Self::Refused(_) => ErrorCode::LoginRefused,
            Self::Away(_) => ErrorCode::Unavailable,
            Self::Member(MemberError::Unknown) => ErrorCode::MemberUnknown,
            Self::Member(MemberError::Blocked) => ErrorCode::MemberBlocked,
            Self::Lost | Self::Issue(IssueError::Sign(_)) => ErrorCode::Internal,
            Self::Member(MemberError::Db(error))
            | Self::Issue(IssueError::Db(error))
            | Self::Db(error) => db_code(error),
        };
        code.number()
    }

    /// Logs what went wrong at `provider`: as an error where a person must look.
    fn log(&self, provider: &str) {
        match self {
            Self::Lost | Self::Issue(IssueError::Sign(_)) => {
                tracing::error!(provider, "a login failed: {self}");
            }
            Self::Member(MemberError::Db(error))
            | Self::Issue(IssueError::Db(error))
            | Self::Db(error) => log_db_error(error),
            Self::Unknown
            | Self::Refused(_)
            | Self::Away(_)
            | Self::Before(_)
            | Self::Member(MemberError::Unknown | MemberError::Blocked) => {}
        }
        tracing::info!(provider, "nobody was logged in: {self}");
    }

    /// The label of the metric.
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Refused(_) => "refused",
            Self::Away(_) => "away",
            Self::Before(_) => "again",
            Self::Member(MemberError::Blocked) => "blocked",
            Self::Member(MemberError::Unknown | MemberError::Db(_))
            | Self::Issue(_)
            | Self::Lost
            | Self::Db(_) => "failed",
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

impl From<sqlx::Error> for LoginError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// The parameters of a provider's redirect.
#[derive(Debug, Default)]
struct Returned {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

/// Logins through providers. Clones share one state.
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

/// The services that logins use.
#[derive(Debug)]
pub struct LoginParts {
    /// The database, which holds the attempts.
    pub db: Db,
    /// Finds or creates the member of a profile.
    pub members: Members,
    /// Begins the session.
    pub auth: Auth,
    /// The clock by which attempts expire.
    pub clock: Arc<dyn Clock>,
    /// The counters of logins.
    pub metrics: Arc<Metrics>,
    /// The site's URLs and providers.
    pub settings: LoginSettings,
    /// Runs callbacks in tasks of their own, which continue when the browser disconnects.
    pub drain: Drain,
}

impl Logins {
    /// Logins through the providers of the settings.
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

    /// The redirect URI. The provider accepts only the registered one.
    fn redirect_uri(&self, provider: Provider, headers: &HeaderMap) -> String {
        let base = site::seen_by(&self.settings.public_url, headers);
        let base = base.as_str().trim_end_matches('/');
        format!("{base}/login/oauth2/code/{}", provider.path())
    }

    /// The front end's URL; on this computer with the host name that the browser uses.
    fn front_url(&self, headers: &HeaderMap) -> Url {
        let (front, own) = (&self.settings.front_url, &self.settings.public_url);
        match front.origin() == own.origin() {
            true => site::seen_by(front, headers),
            false => front.clone(),
        }
    }

    /// Stores an attempt of this browser; returns the URL to redirect it to.
    async fn begin(
        &self,
        at: &ProviderSettings,
        browser: &str,
        headers: &HeaderMap,
    ) -> Result<Url, DbError> {
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
                Ok::<_, Abort<Infallible>>(())
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

/// Deletes expired attempts.
///
/// # Errors
/// The database's.
pub async fn forget_in(tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    repo::forget(tx).await
}

/// The requested scope: name and e-mail (`domain.md` 9.1), from Google an ID token, too.
const fn scope(provider: Provider) -> &'static str {
    match provider {
        Provider::Kakao => "profile_nickname account_email",
        Provider::Google => "openid email profile",
        Provider::Naver => "name email",
    }
}

/// 256 random bits, 43 characters: the minimum of a PKCE verifier (RFC 7636, 4.1).
fn secret_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

/// Replaces control characters and bounds the length of untrusted text, for the log.
fn printable(text: &str) -> String {
    let plain = |c: &char| c.is_ascii_alphanumeric() || "_-. ".contains(*c);
    text.chars().filter(plain).take(100).collect()
}

/// True once `moment` has passed.
fn is_past(moment: UnixMillis, now: UnixMillis) -> bool {
    moment <= now
}
