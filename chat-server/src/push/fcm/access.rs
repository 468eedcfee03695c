//! OAuth access tokens of a service account: a grant by a signed JWT (RFC 7523), cached until shortly before
//! the token expires.
//!
//! One request at a time, which concurrent callers share. After a failure there is a pause, so that a queue
//! of messages does not become a queue of requests for tokens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::{Algorithm, Header};
use reqwest::Client;
use serde::Deserialize;
use serde_json::json;
use shared::clock::Clock;
use shared::config::Secret;
use tokio::sync::Mutex as Gate;

use super::super::http::{Answer, NoAnswer, causes};
use super::account::Account;

/// The right that sending needs.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The type of the grant.
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Lifetime of the signed grant, the longest that Google accepts.
const GRANT_LIFETIME: Duration = Duration::from_secs(3_600);

/// A token is renewed so long before it expires.
const EARLY: Duration = Duration::from_secs(60);

/// Pause after a failed request.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// A token's lifetime at most, whatever the server names.
const LIFETIME_MAX: Duration = Duration::from_secs(3_600);

/// The access tokens of one account.
pub(super) struct AccessTokens {
    http: Client,
    account: Account,
    clock: Arc<dyn Clock>,
    /// Held over a request.
    state: Gate<State>,
}

#[derive(Default)]
struct State {
    token: Option<(Secret<String>, Instant)>,
    failed_at: Option<Instant>,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum NoToken {
    #[error("the grant could not be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    #[error("no answer")]
    Http(#[from] NoAnswer),
    #[error("refused with {status}: {error}")]
    Refused {
        status: ::http::StatusCode,
        error: String,
    },
    #[error("an answer without a token")]
    Empty,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    expires_in: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ErrorAnswer {
    error: String,
}

impl AccessTokens {
    pub(super) fn new(http: Client, account: Account, clock: Arc<dyn Clock>) -> Self {
        Self {
            http,
            account,
            clock,
            state: Gate::default(),
        }
    }

    /// A token that does not expire soon; `None` if there is none now.
    pub(super) async fn get(&self) -> Option<Secret<String>> {
        let mut state = self.state.lock().await;
        let now = self.clock.now();
        if let Some((token, until)) = &state.token
            && now < *until
        {
            return Some(token.clone());
        }
        let since = |at: Instant| now.saturating_duration_since(at);
        if state.failed_at.is_some_and(|at| since(at) < FAILURE_PAUSE) {
            return None;
        }
        match self.fetch().await {
            Ok((token, lifetime)) => {
                let until = now + lifetime.saturating_sub(EARLY);
                *state = State {
                    token: Some((token.clone(), until)),
                    failed_at: None,
                };
                Some(token)
            }
            Err(error) => {
                tracing::warn!("no access token for FCM: {}", causes(&error));
                state.failed_at = Some(self.clock.now());
                None
            }
        }
    }

    /// The service refused this token.
    pub(super) async fn invalidate(&self, refused: &Secret<String>) {
        let mut state = self.state.lock().await;
        if state
            .token
            .as_ref()
            .is_some_and(|(token, _)| token == refused)
        {
            state.token = None;
        }
    }

    async fn fetch(&self) -> Result<(Secret<String>, Duration), NoToken> {
        let grant = self.grant()?;
        let body = [("grant_type", GRANT), ("assertion", grant.expose())];
        let mut form = self.account.token_url.clone();
        form.query_pairs_mut().clear().extend_pairs(body);
        let form = form.query().unwrap_or_default().to_owned();
        let request = self.http.post(self.account.token_url.clone());
        let request = request
            .header(
                ::http::header::CONTENT_TYPE,
                "application/x-www-form-urlencoded",
            )
            .body(form);
        let response = request.send().await.map_err(NoAnswer::from)?;
        let answer = Answer::read(response).await?;
        if !answer.status.is_success() {
            let error: ErrorAnswer = serde_json::from_slice(&answer.body).unwrap_or_default();
            return Err(NoToken::Refused {
                status: answer.status,
                error: error.error.chars().take(64).collect(),
            });
        }
        // Not the parser's own error: it may show the token.
        let answer: TokenAnswer =
            serde_json::from_slice(&answer.body).map_err(|_json| NoToken::Empty)?;
        let lifetime = Duration::from_secs(answer.expires_in).min(LIFETIME_MAX);
        Ok((Secret::new(answer.access_token), lifetime))
    }

    /// The signed grant.
    fn grant(&self) -> Result<Secret<String>, NoToken> {
        let now = self.clock.unix_millis();
        let claims = json!({
            "iss": self.account.email,
            "scope": SCOPE,
            "aud": self.account.token_url.as_str(),
            "iat": now.seconds(),
            "exp": now.saturating_add(GRANT_LIFETIME).seconds(),
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.account.key_id.clone());
        let grant = jsonwebtoken::encode(&header, &claims, &self.account.key)?;
        Ok(Secret::new(grant))
    }
}
