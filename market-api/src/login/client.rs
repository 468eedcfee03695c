//! HTTP client of a login provider: exchanges a code for a token, and a token for a profile.

use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::Value;
use shared::config::Secret;

use super::repo::Attempt;
use super::{Endpoints, ProviderSettings, printable};
use crate::members::Provider;
use crate::outgoing;

/// Deadline of a request. Providers respond within a few hundred milliseconds, and a browser waits.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Bound of a response. 64 KiB: the longest one, with an ID token, has 3.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// The HTTP client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub struct NoClient(#[source] reqwest::Error);

/// Why a request to a provider failed.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The provider rejected it: the code is used, revoked, or issued to another client.
    Refused(String),
    /// The provider is unreachable, or its response has an unexpected format.
    Away(String),
}

/// The tokens granted for a code.
#[derive(Debug, Deserialize)]
#[serde(from = "Answer")]
pub(super) struct Granted {
    /// Authorizes the profile request.
    pub(super) access_token: Secret<String>,
    /// The identity as an OpenID Connect ID token (Google only).
    pub(super) id_token: Option<Secret<String>>,
}

/// The token response; other fields, such as the lifetime, are not needed.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    id_token: Option<String>,
}

impl From<Answer> for Granted {
    fn from(answer: Answer) -> Self {
        Self {
            access_token: Secret::new(answer.access_token),
            id_token: answer.id_token.map(Secret::new),
        }
    }
}

/// Sends requests to the providers.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new<'a>(
        endpoints: impl Iterator<Item = &'a Endpoints>,
    ) -> Result<Self, NoClient> {
        let urls = endpoints.flat_map(|at| [&at.token, &at.profile]);
        let builder = outgoing::client(urls).timeout(ANSWER_MAX);
        let http = builder.build().map_err(NoClient)?;
        Ok(Self { http })
    }

    /// Exchanges a code for tokens (RFC 6749, 4.1.3, with the PKCE verifier of RFC 7636, 4.5).
    pub(super) async fn exchange(
        &self,
        at: &ProviderSettings,
        code: &str,
        attempt: &Attempt,
        redirect_uri: &str,
    ) -> Result<Granted, ClientError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &at.client_id),
            ("client_secret", at.client_secret.expose()),
            ("redirect_uri", redirect_uri),
            ("code", code),
            ("code_verifier", &attempt.verifier),
        ];
        if at.provider == Provider::Naver {
            form.push(("state", &attempt.state));
        }
        let request = self.http.post(at.endpoints.token.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(encode(&form));
        let answer = ask(request).await?;
        // Naver reports errors with status 200.
        if let Some(error) = answer.get("error") {
            let reason = error.as_str().unwrap_or_default();
            return Err(ClientError::Refused(printable(reason)));
        }
        serde_json::from_value(answer)
            .map_err(|_other_shape| ClientError::Away("its token has another shape".to_owned()))
    }

    /// Fetches the profile that the access token belongs to.
    pub(super) async fn profile(
        &self,
        at: &ProviderSettings,
        token: &Secret<String>,
    ) -> Result<Value, ClientError> {
        let request = self.http.get(at.endpoints.profile.clone());
        ask(request.bearer_auth(token.expose())).await
    }
}

/// Sends a request and parses the JSON response.
async fn ask(request: RequestBuilder) -> Result<Value, ClientError> {
    let request = request.header(ACCEPT, "application/json");
    let answer = outgoing::send(request, ANSWER_BYTES_MAX).await;
    let answer = answer.map_err(|no_answer| ClientError::Away(no_answer.to_string()))?;
    let (status, body) = (answer.status, answer.body);
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    match (status, answer) {
        (StatusCode::OK, Some(answer)) => Ok(answer),
        (status, answer) if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
            let reason = answer
                .as_ref()
                .and_then(|answer| answer.get("error")?.as_str());
            let reason = reason.map_or_else(|| status.to_string(), printable);
            Err(ClientError::Refused(reason))
        }
        (status, _) => Err(ClientError::Away(format!("it answers {status}"))),
    }
}

/// Encodes a form body.
fn encode(form: &[(&str, &str)]) -> String {
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded() {
        let form = [("code", "a/b+c d&e"), ("state", "가")];
        assert_eq!(encode(&form), "code=a%2Fb%2Bc+d%26e&state=%EA%B0%80");
    }
}
