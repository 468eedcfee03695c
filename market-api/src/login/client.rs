//! The two requests to a provider: a code for a token, a token for a profile.

use std::time::Duration;

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde_json::Value;
use shared::config::Secret;

use super::repo::Attempt;
use super::{Endpoints, ProviderSettings, printable};
use crate::members::Provider;

/// A provider answers in a few hundred milliseconds; a browser waits.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// 64 KiB: the longest answer, with an ID token, has 3.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// No HTTP client could be made.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP client could be made")]
pub struct NoClient(#[source] reqwest::Error);

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The provider says no: a code that is used up, another's, or withdrawn.
    Refused(String),
    /// It does not answer, or not in its own shape.
    Away(String),
}

/// What a code is worth.
#[derive(Debug, Deserialize)]
#[serde(from = "Answer")]
pub(super) struct Granted {
    /// For the profile.
    pub(super) access_token: Secret<String>,
    /// Who it is, in the provider's own words (OpenID Connect).
    pub(super) id_token: Option<Secret<String>>,
}

/// The same as it comes; the rest, such as a lifetime, is of no use here.
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

/// Asks providers.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub(super) fn new<'a>(
        endpoints: impl Iterator<Item = &'a Endpoints>,
    ) -> Result<Self, NoClient> {
        let mut builder = reqwest::Client::builder()
            .timeout(ANSWER_MAX)
            .redirect(Policy::none());
        let mut urls = endpoints.flat_map(|at| [&at.token, &at.profile]);
        if urls.all(|url| url.scheme() == "http") {
            // A provider of our own on this computer: no certificates, no proxy.
            builder = builder.tls_certs_only([]).no_proxy();
        }
        let http = builder.build().map_err(NoClient)?;
        Ok(Self { http })
    }

    /// Exchanges a code (RFC 6749, 4.1.3, with the verifier of RFC 7636, 4.5).
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
        // Naver tells errors with status 200.
        if let Some(error) = answer.get("error") {
            let reason = error.as_str().unwrap_or_default();
            return Err(ClientError::Refused(printable(reason)));
        }
        serde_json::from_value(answer)
            .map_err(|_other_shape| ClientError::Away("its token has another shape".to_owned()))
    }

    /// Asks whose token it is.
    pub(super) async fn profile(
        &self,
        at: &ProviderSettings,
        token: &Secret<String>,
    ) -> Result<Value, ClientError> {
        let request = self.http.get(at.endpoints.profile.clone());
        ask(request.bearer_auth(token.expose())).await
    }
}

/// The JSON that comes back.
async fn ask(request: RequestBuilder) -> Result<Value, ClientError> {
    // Its URL holds nothing secret, but the log needs no more than the reason.
    let away = |error: reqwest::Error| ClientError::Away(error.without_url().to_string());
    let sent = request.header(ACCEPT, "application/json").send().await;
    let mut response = sent.map_err(away)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(away)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(ClientError::Away("its answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
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

/// A form's body.
fn encode(form: &[(&str, &str)]) -> String {
    // A URL's query is encoded in the same way, and only there is it public.
    let mut url = Url::parse("form:").expect("a scheme alone is a URL");
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
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
