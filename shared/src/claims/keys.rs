//! Public keys: their published form (a JWKS), and the set that a verifier holds.
//!
//! A key's id is the thumbprint of the key itself (RFC 7638), so a `kid` is never chosen,
//! configured or kept in sync: it follows from the key.

use std::collections::HashMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{self, AlgorithmParameters, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Deserializer, Serialize};

use super::names::is_name;
use crate::config::Secret;

/// A P-256 public key, for ES256 signatures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: KeyType,
    crv: Curve,
    x: String,
    y: String,
    kid: String,
    #[serde(rename = "use")]
    key_use: KeyUse,
    alg: KeyAlgorithm,
}

impl Jwk {
    /// The key's id (`kid`), as in the header of the tokens signed with it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key for verification; `None` when the coordinates are not a point on the curve.
    fn decoding_key(&self) -> Option<DecodingKey> {
        let coordinate = |text: &str| {
            URL_SAFE_NO_PAD
                .decode(text)
                .ok()
                .filter(|bytes| bytes.len() == COORDINATE_BYTES)
        };
        let point = [
            &[UNCOMPRESSED][..],
            &coordinate(&self.x)?,
            &coordinate(&self.y)?,
        ]
        .concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &point).ok()?;
        Some(DecodingKey::from_ec_der(&point))
    }
}

/// A P-256 coordinate has 256 bits.
const COORDINATE_BYTES: usize = 32;

/// First byte of a point written as both its coordinates (SEC 1, 2.3.3).
const UNCOMPRESSED: u8 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum KeyType {
    #[serde(rename = "EC")]
    EllipticCurve,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Curve {
    #[serde(rename = "P-256")]
    P256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum KeyUse {
    #[serde(rename = "sig")]
    Signature,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum KeyAlgorithm {
    #[serde(rename = "ES256")]
    Es256,
}

/// The public keys as the market publishes them at `/.well-known/jwks.json`.
///
/// Reading skips every key of another type: when the market adds an algorithm, servers that do not
/// support it continue with the keys that they do support.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys, the one in use for signing first.
    pub keys: Vec<Jwk>,
}

impl<'de> Deserialize<'de> for Jwks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct AnyKeys {
            keys: Vec<serde_json::Value>,
        }

        let any = AnyKeys::deserialize(deserializer)?;
        let keys = any
            .keys
            .into_iter()
            .filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self {
            keys: keys.collect(),
        })
    }
}

/// The public keys that a verifier trusts, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    by_kid: HashMap<String, TrustedKey>,
}

/// A key as it was published, and as it verifies.
#[derive(Debug, Clone)]
struct TrustedKey {
    published: Jwk,
    decoding: DecodingKey,
}

impl PartialEq for TrustedKey {
    fn eq(&self, other: &Self) -> bool {
        self.published == other.published
    }
}

impl Eq for TrustedKey {}

impl KeySet {
    /// Keys beyond this many are ignored: a rotation needs two or three.
    pub const KEYS_MAX: usize = 16;

    /// The usable keys of a JWKS. Left out are keys that are not a point on the curve, whose id is
    /// not 1 to 64 characters of `A-Z a-z 0-9 - _`, or that come after [`KeySet::KEYS_MAX`] others;
    /// of two keys with one id the first counts.
    ///
    /// Check [`is_empty`](Self::is_empty) before replacing a good set with the result.
    #[must_use]
    pub fn from_jwks(jwks: &Jwks) -> Self {
        let usable = jwks.keys.iter().filter(|key| is_name(&key.kid));
        let mut by_kid = HashMap::new();
        for (key, decoding) in usable.filter_map(|key| Some((key, key.decoding_key()?))) {
            if by_kid.len() == Self::KEYS_MAX {
                break;
            }
            let trusted = TrustedKey {
                published: key.clone(),
                decoding,
            };
            by_kid.entry(key.kid.clone()).or_insert(trusted);
        }
        Self { by_kid }
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_kid.len()
    }

    /// Whether the set is empty, so that no token can be valid.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_kid.is_empty()
    }

    pub(super) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.by_kid.get(kid).map(|key| &key.decoding)
    }
}

/// A new key pair.
#[derive(Debug)]
pub struct GeneratedKey {
    /// The private key, PKCS#8 in PEM: what [`Signer::from_pem`](super::Signer::from_pem) takes.
    pub private_pem: Secret<String>,
    /// The public key.
    pub public: Jwk,
}

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key could be generated")]
pub struct KeyGenerationFailed;

/// The text is not a P-256 private key (PKCS#8 in PEM).
#[derive(Debug, thiserror::Error)]
#[error("not a private key: expected a P-256 key as PKCS#8 in PEM (BEGIN PRIVATE KEY)")]
pub struct InvalidPrivateKey {
    source: jsonwebtoken::errors::Error,
}

/// Makes a key pair: for development, tests, and the first start of an embedded server.
///
/// The randomness comes from the cryptographic library, not from an argument: a private key must
/// never be predictable, not even in a test.
///
/// # Errors
/// [`KeyGenerationFailed`] when the operating system gives no randomness.
pub fn generate_key() -> Result<GeneratedKey, KeyGenerationFailed> {
    let pkcs8 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
        .and_then(|pair| pair.to_pkcs8v1())
        .map_err(|_unspecified| KeyGenerationFailed)?;
    let public = public_jwk(&EncodingKey::from_ec_der(pkcs8.as_ref()))
        .map_err(|_unreadable| KeyGenerationFailed)?;
    Ok(GeneratedKey {
        private_pem: Secret::new(to_pem(pkcs8.as_ref())),
        public,
    })
}

/// Reads a private key, together with its public half.
pub(super) fn read_private_key(pem: &str) -> Result<(EncodingKey, Jwk), InvalidPrivateKey> {
    let key =
        EncodingKey::from_ec_pem(pem.as_bytes()).map_err(|source| InvalidPrivateKey { source })?;
    let public = public_jwk(&key)?;
    Ok((key, public))
}

fn public_jwk(key: &EncodingKey) -> Result<Jwk, InvalidPrivateKey> {
    let invalid = |source| InvalidPrivateKey { source };
    let public = jwk::Jwk::from_encoding_key(key, Algorithm::ES256).map_err(invalid)?;
    let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(invalid)?;
    let AlgorithmParameters::EllipticCurve(point) = public.algorithm else {
        return Err(invalid(
            jsonwebtoken::errors::ErrorKind::InvalidEcdsaKey.into(),
        ));
    };
    Ok(Jwk {
        kty: KeyType::EllipticCurve,
        crv: Curve::P256,
        x: point.x,
        y: point.y,
        kid,
        key_use: KeyUse::Signature,
        alg: KeyAlgorithm::Es256,
    })
}

/// PEM by RFC 7468: base64 in lines of 64 characters between two labels.
fn to_pem(der: &[u8]) -> String {
    let mut text = STANDARD.encode(der);
    // From the end, so that the earlier positions do not move.
    for line_start in (64..text.len()).step_by(64).rev() {
        text.insert(line_start, '\n');
    }
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// The public key of RFC 7515, appendix A.3.
    fn rfc_key() -> Value {
        json!({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","kid":"a","use":"sig","alg":"ES256"})
    }

    /// A JWKS of these keys holds so many keys of our kind, of which so many are usable.
    fn check(keys: &[Value], (read, usable): (usize, usize)) {
        let jwks: Jwks = serde_json::from_value(json!({ "keys": keys })).unwrap();
        assert_eq!(jwks.keys.len(), read);
        assert_eq!(KeySet::from_jwks(&jwks).len(), usable);
    }

    fn with(member: &str, value: Value) -> Value {
        let mut key = rfc_key();
        key[member] = value;
        key
    }

    #[test]
    fn keys_of_other_kinds_are_skipped() {
        let rsa = json!({"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r","use":"sig","alg":"RS256"});
        check(&[rsa, rfc_key(), json!(7), json!({})], (1, 1));
        check(&[with("crv", json!("P-384"))], (0, 0));
        check(&[with("use", json!("enc"))], (0, 0));
        check(&[with("alg", json!("HS256"))], (0, 0));
        check(&[with("kty", json!("oct"))], (0, 0));
        check(&[], (0, 0));
    }

    #[test]
    fn unusable_keys_are_left_out_of_the_set() {
        check(&[with("x", json!("f83O"))], (1, 0));
        check(&[with("x", json!("!"))], (1, 0));
        let off_curve = with("y", json!("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a1"));
        check(&[off_curve], (1, 0));
        check(
            &[with("x", json!(URL_SAFE_NO_PAD.encode([0_u8; 32])))],
            (1, 0),
        );
        check(&[with("kid", json!("a key"))], (1, 0));
        check(&[with("kid", json!(""))], (1, 0));
    }

    #[test]
    fn key_set_is_bounded() {
        let keys: Vec<_> = (0..40)
            .map(|n| with("kid", json!(format!("k{n}"))))
            .collect();
        check(&keys, (40, KeySet::KEYS_MAX));
        check(&[rfc_key(), rfc_key()], (2, 1));
    }

    #[test]
    fn generated_key_is_read_back_with_the_same_id() {
        let generated = generate_key().unwrap();
        let (_, public) = read_private_key(generated.private_pem.expose()).unwrap();
        assert_eq!(public, generated.public);
        assert_eq!(public.kid().len(), 43);
        assert_ne!(generate_key().unwrap().public, public);
        let lines: Vec<_> = generated.private_pem.expose().lines().collect();
        assert!(lines.iter().all(|line| line.len() <= 64), "{}", lines.len());
    }

    #[test]
    fn generated_key_does_not_show_itself() {
        let generated = generate_key().unwrap();
        let shown = format!("{generated:?}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }

    #[test]
    fn other_private_keys_are_refused() {
        let p384 = EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .unwrap();
        for pem in [
            "",
            "not a key",
            &to_pem(b"not a key"),
            &to_pem(p384.as_ref()),
        ] {
            assert!(read_private_key(pem).is_err(), "{pem}");
        }
    }
}
