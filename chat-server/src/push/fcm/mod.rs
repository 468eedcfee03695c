//! Firebase Cloud Messaging, HTTP v1 API.
//!
//! `POST {base}/v1/projects/{project}/messages:send` with an OAuth access token of the service account. The
//! outcome follows Google's table of error codes; an answer that could have another cause than a dead token
//! never removes one.

mod access;
mod account;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use async_trait::async_trait;
use reqwest::{Client, Url};
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::config::Secret;

use self::access::AccessTokens;
use self::account::Account;
use super::http::{self, Answer, NoAnswer, causes};
use super::{Delivery, PushMessage, PushService, PushSetupError, Target};
use crate::config::AccountSource;

/// A token's longest form. FCM's own have about 170 characters.
const TOKEN_BYTES_MAX: usize = 1_024;

/// A registration token of an app.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// The token, if it has the form of one: 1 to 1,024 visible ASCII characters.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        let good = is_visible && (1..=TOKEN_BYTES_MAX).contains(&text.len());
        good.then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

/// The adapter.
pub struct FcmService {
    http: Client,
    send: Url,
    access: AccessTokens,
}

impl fmt::Debug for FcmService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fcm")
            .field("send", &self.send.as_str())
            .finish_non_exhaustive()
    }
}

impl FcmService {
    /// The service at this base URL, with this service account.
    ///
    /// # Errors
    /// See [`PushSetupError`].
    pub fn open(
        account: &AccountSource,
        base: &Url,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PushSetupError> {
        let account = Account::open(account)?;
        let path = format!(
            "{}/v1/projects/{}/messages:send",
            base.path().trim_end_matches('/'),
            account.project
        );
        let mut send = base.clone();
        send.set_path(&path);
        let mut client = http::builder();
        if send.scheme() == "http" && account.token_url.scheme() == "http" {
            client = client.tls_certs_only([]);
        }
        let http = client.build().map_err(PushSetupError::Client)?;
        Ok(Self {
            access: AccessTokens::new(http.clone(), account, clock),
            http,
            send,
        })
    }

    /// Sends with a new access token once more if the first one is refused.
    async fn send(&self, body: &Value) -> Result<Delivery, NoAnswer> {
        let (first, access) = self.send_once(body).await?;
        let (Verdict::AccessRefused(_), Some(access)) = (&first, access) else {
            return Ok(first.into());
        };
        self.access.invalidate(&access).await;
        let (second, _) = self.send_once(body).await?;
        Ok(second.into())
    }

    async fn send_once(&self, body: &Value) -> Result<(Verdict, Option<Secret<String>>), NoAnswer> {
        let Some(access) = self.access.get().await else {
            return Ok((Verdict::Delivery(Delivery::RetryAfter(None)), None));
        };
        let request = self.http.post(self.send.clone());
        let request = request.bearer_auth(access.expose()).json(body);
        let answer = Answer::read(request.send().await?).await?;
        Ok((outcome(&answer), Some(access)))
    }
}

#[async_trait]
impl PushService for FcmService {
    async fn deliver(&self, message: &PushMessage, target: &Target) -> Delivery {
        let Target::Fcm(token) = target else {
            return Delivery::Refused("no target of this service".to_owned());
        };
        let body = request_body(message, token);
        self.send(&body).await.unwrap_or_else(|error| {
            tracing::debug!("FCM: {}", causes(&error));
            Delivery::RetryAfter(None)
        })
    }
}

/// The request. Values of `data` must be strings.
fn request_body(message: &PushMessage, token: &Token) -> Value {
    let ttl = message.ttl.as_secs().to_string();
    let mut data = json!({"id": message.id, "kind": message.kind});
    if !message.data().is_null() {
        data["data"] = json!(message.data().to_string());
    }
    let mut body = json!({
        "token": token.as_str(),
        "notification": {"title": message.text.title(), "body": message.text.body()},
        "data": data,
        "android": {"priority": "HIGH", "ttl": format!("{ttl}s")},
        "webpush": {"headers": {"TTL": ttl, "Urgency": "high"}},
    });
    if let Some(key) = &message.collapse_key {
        let key = key.as_str();
        body["android"]["collapse_key"] = json!(key);
        body["android"]["notification"] = json!({"tag": key});
        body["apns"] = json!({"headers": {"apns-collapse-id": key}});
        body["webpush"]["headers"]["Topic"] = json!(key);
        body["webpush"]["notification"] = json!({"tag": key});
    }
    json!({ "message": body })
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Delivery(Delivery),
    /// The access token, not the request, was refused; retry after this time.
    AccessRefused(Option<Duration>),
}

impl From<Verdict> for Delivery {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Delivery(delivery) => delivery,
            Verdict::AccessRefused(after) => Self::RetryAfter(after),
        }
    }
}

/// The outcome of an answer, by the code in its details (`FcmError`), then by its status.
fn outcome(answer: &Answer) -> Verdict {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = fcm_code(&body["error"]);
    let status = answer.status;
    if answer.status == StatusCode::UNAUTHORIZED && code != Some("THIRD_PARTY_AUTH_ERROR") {
        return Verdict::AccessRefused(answer.retry_after);
    }
    let delivery = match code {
        Some("UNREGISTERED") => Delivery::Gone,
        Some("INVALID_ARGUMENT") if is_about_token(&body["error"]) => Delivery::Gone,
        Some("QUOTA_EXCEEDED" | "UNAVAILABLE" | "INTERNAL") => {
            Delivery::RetryAfter(answer.retry_after)
        }
        code => answer.common_outcome().unwrap_or_else(|| {
            let code = code.or(body["error"]["status"].as_str());
            let code: String = code.unwrap_or_default().chars().take(64).collect();
            Delivery::Refused(format!("{status} {code}"))
        }),
    };
    Verdict::Delivery(delivery)
}

/// The code of the service itself, beside the general one.
fn fcm_code(error: &Value) -> Option<&str> {
    let details = error["details"].as_array()?;
    let is_fcm = |detail: &&Value| {
        let kind = detail["@type"].as_str().unwrap_or_default();
        kind.ends_with("google.firebase.fcm.v1.FcmError")
    };
    details.iter().find(is_fcm)?["errorCode"].as_str()
}

/// Whether an invalid argument is the token and not, for example, the length of the message: a fault of ours
/// must not remove everybody's tokens.
fn is_about_token(error: &Value) -> bool {
    let details = error["details"].as_array().into_iter().flatten();
    let violations = details.filter_map(|detail| detail["fieldViolations"].as_array());
    let mut fields = violations
        .flatten()
        .map(|violation| violation["field"].as_str())
        .peekable();
    if fields.peek().is_some() {
        return fields.all(|field| field == Some("message.token"));
    }
    let message = error["message"].as_str().unwrap_or_default();
    message.contains("registration token")
}

#[cfg(test)]
mod tests {
    use super::super::{CollapseKey, PushText};
    use super::*;

    fn check(status: u16, body: &Value, expected: Verdict) {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: Some(Duration::from_secs(30)),
            body: body.to_string().into_bytes(),
        };
        assert_eq!(outcome(&answer), expected, "{status} {body}");
    }

    fn error(status: &str, code: &str, message: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| json!({"field": field}));
        let mut details = vec![json!({
            "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code,
        })];
        if fields.len() > 0 {
            details.push(json!({
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": fields.collect::<Vec<_>>(),
            }));
        }
        json!({"error": {"message": message, "status": status, "details": details}})
    }

    #[test]
    fn outcomes_follow_the_documented_codes() {
        let retry = || Verdict::Delivery(Delivery::RetryAfter(Some(Duration::from_secs(30))));
        let gone = || Verdict::Delivery(Delivery::Gone);
        let refused = |text: &str| Verdict::Delivery(Delivery::Refused(text.to_owned()));
        let name = json!({"name": "projects/p/messages/1"});
        check(200, &name, Verdict::Delivery(Delivery::Delivered));
        check(404, &error("NOT_FOUND", "UNREGISTERED", "", &[]), gone());
        let invalid = |message, fields: &[&str]| {
            error("INVALID_ARGUMENT", "INVALID_ARGUMENT", message, fields)
        };
        let token = "The registration token is not a valid FCM registration token";
        check(400, &invalid(token, &["message.token"]), gone());
        check(400, &invalid(token, &[]), gone());
        // A fault of ours removes no token.
        let ours = || refused("400 Bad Request INVALID_ARGUMENT");
        check(400, &invalid("Message too big", &[]), ours());
        check(400, &invalid(token, &["message.data[0].value"]), ours());
        check(
            404,
            &json!({"error": {"status": "NOT_FOUND"}}),
            refused("404 Not Found NOT_FOUND"),
        );
        let mismatch = error("PERMISSION_DENIED", "SENDER_ID_MISMATCH", "", &[]);
        check(403, &mismatch, refused("403 Forbidden SENDER_ID_MISMATCH"));
        check(
            429,
            &error("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "", &[]),
            retry(),
        );
        check(503, &error("UNAVAILABLE", "UNAVAILABLE", "", &[]), retry());
        check(500, &error("INTERNAL", "INTERNAL", "", &[]), retry());
        check(502, &json!("<html>"), retry());
        let access = Verdict::AccessRefused(Some(Duration::from_secs(30)));
        check(401, &error("UNAUTHENTICATED", "", "", &[]), access);
        let apns = error("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", "", &[]);
        check(
            401,
            &apns,
            refused("401 Unauthorized THIRD_PARTY_AUTH_ERROR"),
        );
        check(302, &json!(null), refused("302 Found "));
    }

    #[test]
    fn every_platform_collapses_by_the_same_key() {
        let text = PushText::new("title", "body");
        let message = PushMessage::new(
            "e1".into(),
            "chat.message".into(),
            text,
            Duration::from_secs(60),
        )
        .with_data(json!({"chatRoomId": 7}))
        .with_collapse_key(CollapseKey::new("room-7".into()));
        let body = request_body(&message, &Token::new("t".into()).unwrap());
        let body = &body["message"];
        assert_eq!(body["android"]["collapse_key"], "room-7");
        assert_eq!(body["apns"]["headers"]["apns-collapse-id"], "room-7");
        assert_eq!(body["webpush"]["headers"]["Topic"], "room-7");
        assert_eq!(body["android"]["ttl"], "60s");
        assert_eq!(body["data"]["data"], r#"{"chatRoomId":7}"#);
    }
}
