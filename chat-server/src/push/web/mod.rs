//! Web Push: browsers' push services (RFC 8030), payloads that only the browser can read (RFC 8291), requests
//! signed by this server's VAPID key (RFC 8292).
//!
//! An endpoint is a URL that a member's browser, or anybody with a member's login, handed in: requests go
//! only where `endpoint` allows.

mod encrypt;
mod endpoint;
mod vapid;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use ::http::{HeaderName, HeaderValue, StatusCode, header};
use async_trait::async_trait;
use reqwest::{Client, Url};
use shared::clock::Clock;

pub use self::encrypt::{InvalidKeys, SubscriptionKeys};
use self::endpoint::PublicAddresses;
pub use self::endpoint::{Endpoint, InvalidEndpoint};
pub use self::vapid::VapidKey;
use super::http::{self, Answer, NoAnswer, causes};
use super::{Delivery, PushMessage, PushService, PushSetupError, Target};

/// A browser's subscription.
#[derive(Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Where its push service takes messages.
    pub endpoint: Endpoint,
    /// What messages are encrypted with.
    pub keys: SubscriptionKeys,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

/// The settings of the adapter.
#[derive(Clone, Debug)]
pub struct WebPushSettings<'s> {
    /// File of the key that signs requests.
    pub vapid_key: &'s Path,
    /// How push services reach the operator: `mailto:…` or `https://…`.
    pub contact: &'s str,
    /// Endpoints below this URL are allowed whatever their scheme and address: a stand-in for tests.
    pub test_url: Option<&'s Url>,
}

/// The adapter.
pub struct WebPush {
    /// Connects to public addresses only.
    http: Client,
    /// Towards [`WebPushSettings::test_url`].
    test_http: Option<(Client, Url)>,
    vapid: VapidKey,
}

impl fmt::Debug for WebPush {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPush")
            .field("key", &self.vapid.public_key())
            .finish_non_exhaustive()
    }
}

const TTL: HeaderName = HeaderName::from_static("ttl");
const URGENCY: HeaderName = HeaderName::from_static("urgency");
const TOPIC: HeaderName = HeaderName::from_static("topic");

impl WebPush {
    /// The adapter with these settings.
    ///
    /// # Errors
    /// See [`PushSetupError`].
    pub fn open(
        settings: &WebPushSettings<'_>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PushSetupError> {
        let vapid = VapidKey::read(settings.vapid_key, settings.contact, clock)?;
        let client = http::builder()
            .https_only(true)
            .dns_resolver(Arc::new(PublicAddresses));
        let client = client.build().map_err(PushSetupError::Client)?;
        let test_http = settings.test_url.map(|url| {
            let mut client = http::builder();
            if url.scheme() == "http" {
                client = client.tls_certs_only([]);
            }
            let client = client.build().map_err(PushSetupError::Client)?;
            Ok((client, url.clone()))
        });
        Ok(Self {
            http: client,
            test_http: test_http.transpose()?,
            vapid,
        })
    }

    /// The public key for browsers' subscriptions.
    #[must_use]
    pub fn public_key(&self) -> &str {
        self.vapid.public_key()
    }

    async fn send(&self, message: &PushMessage, to: &Subscription) -> Result<Delivery, NoAnswer> {
        // Checked again: it may have been stored under other settings.
        let test_url = self.test_http.as_ref().map(|(_, url)| url);
        let Ok(endpoint) = Endpoint::parse(to.endpoint.as_str(), test_url) else {
            return Ok(Delivery::Refused("its endpoint is not allowed".to_owned()));
        };
        let http = match &self.test_http {
            Some((client, url)) if endpoint.is_below(url) => client,
            Some(_) | None => &self.http,
        };
        let payload = message.to_json().to_string();
        let body = encrypt::encrypt(payload.as_bytes(), &to.keys);
        let authorization = self.vapid.authorization(&endpoint);
        let (Some(body), Some(authorization)) = (body, authorization) else {
            return Ok(Delivery::Refused(
                "it cannot be encrypted or signed".to_owned(),
            ));
        };
        let mut request = http
            .post(endpoint.url().clone())
            .header(TTL, message.ttl.as_secs())
            .header(URGENCY, HeaderValue::from_static("high"))
            .header(header::AUTHORIZATION, authorization)
            .header(
                header::CONTENT_ENCODING,
                HeaderValue::from_static("aes128gcm"),
            )
            .header(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            )
            .body(body);
        if let Some(key) = &message.collapse_key {
            request = request.header(TOPIC, key.as_str());
        }
        let answer = Answer::read(request.send().await?).await?;
        Ok(outcome(&answer))
    }
}

#[async_trait]
impl PushService for WebPush {
    async fn deliver(&self, message: &PushMessage, target: &Target) -> Delivery {
        let Target::Web(subscription) = target else {
            return Delivery::Refused("no target of this service".to_owned());
        };
        self.send(message, subscription)
            .await
            .unwrap_or_else(|error| {
                tracing::debug!("Web Push: {}", causes(&error));
                Delivery::RetryAfter(None)
            })
    }
}

/// The outcome of an answer (RFC 8030 §5, §7.3; RFC 8292 §2).
fn outcome(answer: &Answer) -> Delivery {
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => Delivery::Gone,
        // Of 400, 401, 403: another key signs than the one the browser subscribed with. Of 413: too long.
        status => answer
            .common_outcome()
            .unwrap_or_else(|| Delivery::Refused(status.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_an_answer_that_names_the_subscription_dead_removes_it() {
        let check = |status: u16, expected: Delivery| {
            let answer = Answer {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: Some(Duration::from_secs(9)),
                body: Vec::new(),
            };
            assert_eq!(outcome(&answer), expected, "{status}");
        };
        let retry = || Delivery::RetryAfter(Some(Duration::from_secs(9)));
        check(201, Delivery::Delivered);
        check(404, Delivery::Gone);
        check(410, Delivery::Gone);
        check(429, retry());
        check(503, retry());
        check(403, Delivery::Refused("403 Forbidden".into()));
        check(413, Delivery::Refused("413 Payload Too Large".into()));
        check(302, Delivery::Refused("302 Found".into()));
    }
}
