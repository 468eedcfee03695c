//! A browser's push service together with its browsers: it hands out subscriptions, decrypts what comes for
//! them, and records it.
//!
//! It is as strict as the real ones where it matters: the VAPID signature with its audience and age, the headers
//! of RFC 8030, the encryption of RFC 8291.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, CONTENT_ENCODING};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::clock::Clock;

pub use crate::faults::Fault;
use crate::faults::{self, Script};
use crate::jwt;

/// Longest body.
const BODY_BYTES_MAX: usize = 4_096;

/// Recorded messages, the newest.
const RECORDED_MAX: usize = 1_024;

/// Subscriptions at most; further ones replace the oldest.
const SUBSCRIPTIONS_MAX: usize = 1_024;

/// The oldest expiry of a signature that is accepted.
const SIGNATURE_SECONDS_MAX: i64 = 24 * 3_600;

/// The service.
#[derive(Debug)]
pub struct FakePushService {
    base: String,
    clock: Arc<dyn Clock>,
    state: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    browsers: HashMap<String, Browser>,
    order: VecDeque<String>,
    messages: VecDeque<ReceivedPush>,
    requests: u64,
    script: Script,
}

/// What a browser keeps of its subscription.
#[derive(Debug)]
struct Browser {
    key: PrivateKey,
    public: Vec<u8>,
    auth: [u8; 16],
}

/// A browser's `PushSubscription`, as its `toJSON` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushSubscription {
    /// Where messages are sent.
    pub endpoint: String,
    /// What they are encrypted with.
    pub keys: PushKeys,
}

/// The keys of a subscription, in base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushKeys {
    /// The browser's public key.
    pub p256dh: String,
    /// The shared secret.
    pub auth: String,
}

/// A message that a browser received and decrypted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReceivedPush {
    /// The subscription.
    pub endpoint: String,
    /// The decrypted payload.
    pub payload: Value,
    /// The TTL header.
    pub ttl: u64,
    /// The Urgency header.
    pub urgency: Option<String>,
    /// The Topic header.
    pub topic: Option<String>,
}

/// The cryptographic library failed.
#[derive(Debug)]
pub struct NoSubscription;

impl FakePushService {
    /// A service at this URL.
    #[must_use]
    pub fn new(base: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            base: base.trim_end_matches('/').to_owned(),
            clock,
            state: Mutex::default(),
        }
    }

    /// Its routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/p/{id}", post(receive))
            .route("/subscriptions", post(subscribe))
            .route("/messages", get(list))
            .with_state(self)
    }

    /// A new browser's subscription.
    ///
    /// # Errors
    /// [`NoSubscription`].
    pub fn subscribe(&self) -> Result<PushSubscription, NoSubscription> {
        let failed = |_unspecified: Unspecified| NoSubscription;
        let key = PrivateKey::generate(&ECDH_P256).map_err(failed)?;
        let public = key.compute_public_key().map_err(failed)?.as_ref().to_vec();
        let auth: [u8; 16] = rand::random();
        let id = format!("{:032x}", rand::random::<u128>());
        let subscription = PushSubscription {
            endpoint: self.endpoint(&id),
            keys: PushKeys {
                p256dh: URL_SAFE_NO_PAD.encode(&public),
                auth: URL_SAFE_NO_PAD.encode(auth),
            },
        };
        let mut inside = self.inside();
        if inside.order.len() >= SUBSCRIPTIONS_MAX
            && let Some(oldest) = inside.order.pop_front()
        {
            inside.browsers.remove(&oldest);
        }
        inside.order.push_back(id.clone());
        inside.browsers.insert(id, Browser { key, public, auth });
        Ok(subscription)
    }

    /// The browser ends its subscription.
    pub fn unsubscribe(&self, endpoint: &str) {
        let id = endpoint.rsplit('/').next().unwrap_or_default();
        self.inside().browsers.remove(id);
    }

    /// Received messages, the oldest first; the newest 1,024.
    #[must_use]
    pub fn messages(&self) -> Vec<ReceivedPush> {
        self.inside().messages.iter().cloned().collect()
    }

    /// Requests so far, whatever their answers.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.inside().requests
    }

    /// The next answers to messages for this endpoint.
    pub fn fail(&self, endpoint: &str, faults: &[Fault]) {
        self.inside().script.add(endpoint, faults);
    }

    /// The answer to every message, or none.
    pub fn fail_all(&self, fault: Option<Fault>) {
        self.inside().script.set_all(fault);
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn endpoint(&self, id: &str) -> String {
        format!("{}/p/{id}", self.base)
    }

    /// Checks the sender's signature (RFC 8292 §2, §3).
    fn check_sender(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let value = text(headers, AUTHORIZATION.as_str()).ok_or("no Authorization")?;
        let parameters = value.strip_prefix("vapid ").ok_or("another scheme")?;
        let parameter = |name: &str| {
            let mut all = parameters.split(',').map(str::trim);
            all.find_map(|one| one.strip_prefix(name))
        };
        let (token, key) = (
            parameter("t=").ok_or("no t")?,
            parameter("k=").ok_or("no k")?,
        );
        let key = URL_SAFE_NO_PAD
            .decode(key)
            .map_err(|_invalid| "no base64url")?;
        let claims = jwt::verify(token, "ES256", &ECDSA_P256_SHA256_FIXED, &key)?;
        let url = reqwest::Url::parse(&self.base).map_err(|_invalid| "no base")?;
        let now = self.clock.unix_millis().seconds();
        let expires = claims["exp"].as_i64().unwrap_or_default();
        let contact = claims["sub"].as_str().unwrap_or_default();
        if claims["aud"] != url.origin().ascii_serialization() {
            Err("another aud")
        } else if expires <= now || expires > now + SIGNATURE_SECONDS_MAX {
            Err("another exp")
        } else if !contact.starts_with("mailto:") && !contact.starts_with("https:") {
            Err("another sub")
        } else {
            Ok(())
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

type Fake = State<Arc<FakePushService>>;

async fn subscribe(State(fake): Fake) -> Response {
    match fake.subscribe() {
        Ok(subscription) => Json(subscription).into_response(),
        Err(NoSubscription) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn list(State(fake): Fake) -> Response {
    Json(fake.messages()).into_response()
}

async fn receive(
    State(fake): Fake,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    fake.inside().requests += 1;
    if let Err(why) = fake.check_sender(&headers) {
        return (StatusCode::UNAUTHORIZED, why).into_response();
    }
    let endpoint = fake.endpoint(&id);
    let fault = fake.inside().script.take(&endpoint);
    if let Some(fault) = fault
        && let Some(answer) = faults::play(fault, |_| Value::Null).await
    {
        return answer;
    }
    if body.len() > BODY_BYTES_MAX {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    let ttl = text(&headers, "ttl").and_then(|ttl| ttl.parse().ok());
    let encoding = text(&headers, CONTENT_ENCODING.as_str());
    let (Some(ttl), Some("aes128gcm")) = (ttl, encoding) else {
        return (StatusCode::BAD_REQUEST, "TTL or Content-Encoding").into_response();
    };
    let owned = |name: &str| text(&headers, name).map(str::to_owned);
    let mut inside = fake.inside();
    let Some(browser) = inside.browsers.get(&id) else {
        return StatusCode::GONE.into_response();
    };
    let payload = decrypt(browser, &body).and_then(|plain| serde_json::from_slice(&plain).ok());
    let Some(payload) = payload else {
        return (StatusCode::BAD_REQUEST, "not decrypted").into_response();
    };
    if inside.messages.len() >= RECORDED_MAX {
        inside.messages.pop_front();
    }
    inside.messages.push_back(ReceivedPush {
        endpoint,
        payload,
        ttl,
        urgency: owned("urgency"),
        topic: owned("topic"),
    });
    StatusCode::CREATED.into_response()
}

/// As a browser decrypts (RFC 8188 §2, RFC 8291 §3); one record.
fn decrypt(browser: &Browser, body: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = body.split_at_checked(16)?;
    let (size, rest) = rest.split_at_checked(4)?;
    let (length, rest) = rest.split_first()?;
    let (sender, record) = rest.split_at_checked(usize::from(*length))?;
    let size = u32::from_be_bytes(size.try_into().ok()?);
    if record.len() > usize::try_from(size).ok()? {
        return None;
    }
    let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
    let input = agree(&browser.key, peer, Unspecified, |shared| {
        let info: [&[u8]; 3] = [b"WebPush: info\0", &browser.public, sender];
        expand::<32>(&browser.auth, shared, &info)
    });
    let input = input.ok()?;
    let key = expand::<16>(salt, &input, &[b"Content-Encoding: aes128gcm\0"]).ok()?;
    let nonce = expand::<12>(salt, &input, &[b"Content-Encoding: nonce\0"]).ok()?;
    let opening = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let mut record = record.to_vec();
    let plain = opening.open_in_place(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut record,
    );
    let plain = plain.ok()?;
    // Padding: zeros after the delimiter of the last record.
    let end = plain.iter().rposition(|byte| *byte != 0)?;
    (plain[end] == 2).then(|| plain[..end].to_vec())
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand<const N: usize>(
    salt: &[u8],
    input: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(input);
    key.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

/// For a page without a push service.
impl PushSubscription {
    /// As the body of a request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({"endpoint": self.endpoint, "keys": self.keys})
    }
}
