//! The server's identification at push services: VAPID (RFC 8292).

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::http::HeaderValue;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;
use shared::clock::Clock;
use shared::config::Secret;

use super::super::PushSetupError;
use super::Endpoint;

/// Lifetime of a signature; at most 24 hours are allowed.
const LIFETIME: Duration = Duration::from_secs(12 * 3_600);

/// How long a signature is used. Services remember signatures that they verified, and some throttle a server
/// that signs every request anew.
const REUSED: Duration = Duration::from_secs(6 * 3_600);

/// Signatures in the cache, one for each push service; browsers have about five.
const CACHED_MAX: usize = 64;

/// The key that signs requests.
pub struct VapidKey {
    key: EncodingKey,
    public: String,
    contact: String,
    clock: Arc<dyn Clock>,
    /// By origin of the push service, with the time of signing.
    cache: Mutex<HashMap<String, (HeaderValue, Instant)>>,
}

impl fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VapidKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl VapidKey {
    pub(super) fn read(
        path: &Path,
        contact: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PushSetupError> {
        let pem = fs::read_to_string(path).map_err(|source| PushSetupError::File {
            path: path.to_owned(),
            source,
        })?;
        let pem = Secret::new(pem);
        let key = EncodingKey::from_ec_pem(pem.expose().as_bytes())
            .map_err(|_key| PushSetupError::VapidKey)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_bytes());
        let pair = pair.map_err(|_rejected| PushSetupError::VapidKey)?;
        Ok(Self {
            public: URL_SAFE_NO_PAD.encode(pair.public_key()),
            key,
            contact: contact.to_owned(),
            clock,
            cache: Mutex::default(),
        })
    }

    /// The public key, an uncompressed point in base64url: the `applicationServerKey` of a subscription.
    #[must_use]
    pub fn public_key(&self) -> &str {
        &self.public
    }

    /// The value of the Authorization header; `None` if the library fails.
    pub(super) fn authorization(&self, endpoint: &Endpoint) -> Option<HeaderValue> {
        let origin = endpoint.url().origin().ascii_serialization();
        let now = self.clock.now();
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < REUSED;
        if let Some((value, at)) = cache.get(&origin)
            && is_fresh(*at)
        {
            return Some(value.clone());
        }
        let value = self.sign(&origin)?;
        if cache.len() >= CACHED_MAX {
            cache.clear();
        }
        cache.insert(origin, (value.clone(), now));
        Some(value)
    }

    fn sign(&self, origin: &str) -> Option<HeaderValue> {
        let expires = self.clock.unix_millis().saturating_add(LIFETIME);
        let claims = json!({"aud": origin, "exp": expires.seconds(), "sub": self.contact});
        let token =
            jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key).ok()?;
        let text = Secret::new(format!("vapid t={token}, k={}", self.public));
        let mut value = HeaderValue::from_str(text.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}
