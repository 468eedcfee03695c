//! Validation of Google's ID token.
//!
//! The token came over TLS from the token endpoint, so its signature need not be verified (OpenID Connect
//! Core, 3.1.3.7, 6). Its claims must name that provider, this client and this attempt.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use shared::clock::UnixMillis;

use super::client::Granted;
use super::{ProviderSettings, is_past};
use crate::members::Provider;

/// Why an ID token is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Wrong {
    /// The response holds no ID token.
    #[error("no ID token")]
    Missing,
    /// The token is malformed.
    #[error("an ID token that cannot be read")]
    Unreadable,
    /// The issuer or the audience is another one.
    #[error("an ID token of another issuer or for another client")]
    Elsewhere,
    /// The token has expired.
    #[error("an ID token that has expired")]
    Expired,
    /// The nonce is that of another attempt.
    #[error("an ID token of another login")]
    Nonce,
    /// The subject differs from the profile's id.
    #[error("an ID token of somebody else")]
    Subject,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    sub: String,
    exp: i64,
    nonce: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    fn holds(&self, client: &str) -> bool {
        match self {
            Self::One(one) => one == client,
            Self::Many(many) => many.iter().any(|one| one == client),
        }
    }
}

/// Validates the ID token of a grant. Only Google issues one.
pub(super) fn check(
    at: &ProviderSettings,
    granted: &Granted,
    nonce: &str,
    subject: &str,
    now: UnixMillis,
) -> Result<(), Wrong> {
    let Some(token) = &granted.id_token else {
        return match at.provider {
            Provider::Google => Err(Wrong::Missing),
            Provider::Kakao | Provider::Naver => Ok(()),
        };
    };
    let claims = read(token.expose()).ok_or(Wrong::Unreadable)?;
    let bare = at.endpoints.issuer.trim_start_matches("https://");
    let is_theirs = claims.iss == at.endpoints.issuer || claims.iss == bare;
    if !is_theirs || !claims.aud.holds(&at.client_id) {
        return Err(Wrong::Elsewhere);
    }
    let expires_at = UnixMillis::from_seconds(claims.exp).unwrap_or_default();
    if is_past(expires_at, now) {
        return Err(Wrong::Expired);
    }
    if claims.nonce.as_deref() != Some(nonce) {
        return Err(Wrong::Nonce);
    }
    if claims.sub != subject {
        return Err(Wrong::Subject);
    }
    Ok(())
}

fn read(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    serde_json::from_slice(&payload).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use shared::config::Secret;

    use super::*;
    use crate::login::Endpoints;

    fn google(provider: Provider) -> ProviderSettings {
        let url: reqwest::Url = "https://accounts.google.com/".parse().unwrap();
        ProviderSettings {
            provider,
            client_id: "us".to_owned(),
            client_secret: Secret::new("s".to_owned()),
            endpoints: Endpoints {
                authorize: url.clone(),
                token: url.clone(),
                profile: url,
                issuer: "https://accounts.google.com".to_owned(),
            },
        }
    }

    fn granted(claims: Option<&Value>) -> Granted {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = |claims| format!("{}.{}.x", encode(&json!({})), encode(claims));
        Granted {
            access_token: Secret::new("t".to_owned()),
            id_token: claims.map(|claims| Secret::new(token(claims))),
        }
    }

    /// A valid token with this one claim changed gives `expected`.
    fn with(claim: &str, value: Value, expected: Result<(), Wrong>) {
        let mut claims = json!({"iss": "https://accounts.google.com", "aud": "us", "sub": "s",
            "exp": 100, "nonce": "n"});
        claims[claim] = value;
        let granted = granted(Some(&claims));
        let now = UnixMillis::from_seconds(99).unwrap();
        let found = check(&google(Provider::Google), &granted, "n", "s", now);
        assert_eq!(found, expected, "{claims}");
    }

    #[test]
    fn each_claim_is_checked() {
        with("more", json!(1), Ok(()));
        with("iss", json!("accounts.google.com"), Ok(()));
        with("aud", json!(["x", "us"]), Ok(()));
        with("iss", json!("https://evil.example"), Err(Wrong::Elsewhere));
        with("aud", json!("them"), Err(Wrong::Elsewhere));
        with("exp", json!(99), Err(Wrong::Expired));
        with("nonce", json!("another"), Err(Wrong::Nonce));
        with("nonce", json!(null), Err(Wrong::Nonce));
        with("sub", json!("t"), Err(Wrong::Subject));
        with("aud", json!(7), Err(Wrong::Unreadable));
    }

    #[test]
    fn only_google_needs_an_id_token() {
        let missing = |provider| {
            let now = UnixMillis::EPOCH;
            check(&google(provider), &granted(None), "n", "s", now)
        };
        assert_eq!(missing(Provider::Google), Err(Wrong::Missing));
        assert_eq!(missing(Provider::Kakao), Ok(()));
        assert_eq!(missing(Provider::Naver), Ok(()));
    }
}
