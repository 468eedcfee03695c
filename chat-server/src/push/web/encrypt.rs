//! Message encryption for Web Push (RFC 8291), in one record of `aes128gcm` (RFC 8188).
//!
//! The primitives (ECDH, HKDF, AES-GCM) are those of `aws-lc-rs`, which this program has for TLS and tokens;
//! a test compares with the example of the RFC.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, ParsedPublicKey, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Bytes of a public key: an uncompressed point of P-256.
const POINT_BYTES: usize = 65;

/// Bytes of the authentication secret.
const AUTH_BYTES: usize = 16;

/// Bytes of the salt.
const SALT_BYTES: usize = 16;

/// The record size in the header. Push services take at least 4,096 bytes of body (RFC 8030 §7.2).
const RECORD_BYTES: u32 = 4_096;

/// Before the ciphertext: salt, record size, length of the key, key.
const HEADER_BYTES: usize = SALT_BYTES + 4 + 1 + POINT_BYTES;

/// What encryption adds: the delimiter of the last record, and the tag.
const OVERHEAD_BYTES: usize = 1 + 16;

/// The longest payload of a body of 4,096 bytes.
const PAYLOAD_BYTES_MAX: usize = 4_096 - HEADER_BYTES - OVERHEAD_BYTES;

/// Browsers leave out the padding, libraries may not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The keys of a subscription: `p256dh` and `auth`.
#[derive(Clone, PartialEq, Eq)]
pub struct SubscriptionKeys {
    public: [u8; POINT_BYTES],
    auth: [u8; AUTH_BYTES],
}

/// They are not the keys of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected p256dh, a public key of P-256, and auth, 16 bytes, both in base64url")]
pub struct InvalidKeys;

impl SubscriptionKeys {
    /// Reads the texts of a browser's `PushSubscription`.
    ///
    /// # Errors
    /// [`InvalidKeys`].
    pub fn parse(p256dh: &str, auth: &str) -> Result<Self, InvalidKeys> {
        let public = decode(p256dh).ok_or(InvalidKeys)?;
        // Whether it is a point of the curve.
        ParsedPublicKey::try_from(&UnparsedPublicKey::new(&ECDH_P256, public))
            .map_err(|_rejected| InvalidKeys)?;
        let auth = decode(auth).ok_or(InvalidKeys)?;
        Ok(Self { public, auth })
    }

    /// `p256dh` and `auth`.
    #[must_use]
    pub fn to_text(&self) -> (String, String) {
        let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
        (encode(&self.public), encode(&self.auth))
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() > 2 * N {
        return None;
    }
    BASE64.decode(text).ok()?.try_into().ok()
}

impl fmt::Debug for SubscriptionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubscriptionKeys([redacted])")
    }
}

/// The body of a push request; `None` if the payload is too long or the library fails.
pub(super) fn encrypt(payload: &[u8], keys: &SubscriptionKeys) -> Option<Vec<u8>> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).ok()?;
    let own = PrivateKey::generate(&ECDH_P256).ok()?;
    encrypt_with(payload, keys, &own, salt)
}

/// With a key and a salt of this one message.
fn encrypt_with(
    payload: &[u8],
    keys: &SubscriptionKeys,
    own: &PrivateKey,
    salt: [u8; SALT_BYTES],
) -> Option<Vec<u8>> {
    if payload.len() > PAYLOAD_BYTES_MAX {
        return None;
    }
    let own_public = own.compute_public_key().ok()?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, keys.public);
    let input = agree(own, peer, Unspecified, |shared| {
        let info: [&[u8]; 3] = [b"WebPush: info\0", &keys.public, own_public.as_ref()];
        derive::<32>(&keys.auth, shared, &info)
    });
    let input = input.ok()?;
    let key = derive::<16>(&salt, &input, &[b"Content-Encoding: aes128gcm\0"]).ok()?;
    let nonce = derive::<12>(&salt, &input, &[b"Content-Encoding: nonce\0"]).ok()?;
    let mut record = payload.to_vec();
    record.push(2); // the last record
    let sealing = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    let nonce = Nonce::assume_unique_for_key(nonce);
    sealing
        .seal_in_place_append_tag(nonce, Aad::empty(), &mut record)
        .ok()?;
    let mut body = Vec::with_capacity(HEADER_BYTES + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(u8::try_from(POINT_BYTES).ok()?);
    body.extend_from_slice(own_public.as_ref());
    body.extend_from_slice(&record);
    Some(body)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF with SHA-256.
fn derive<const N: usize>(
    salt: &[u8],
    input: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(input);
    key.expand(info, Length(N))?.fill(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const P256DH: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    /// The example of RFC 8291 §5.
    #[test]
    fn a_payload_is_encrypted_as_in_the_example_of_the_rfc() {
        let keys = SubscriptionKeys::parse(P256DH, AUTH).unwrap();
        let own = BASE64.decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let own = PrivateKey::from_private_key(&ECDH_P256, &own.unwrap()).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap();
        let payload = b"When I grow up, I want to be a watermelon";
        let body = encrypt_with(payload, &keys, &own, salt).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml\
             mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT\
             pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(body, BASE64.decode(expected).unwrap());
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let check = |p256dh: &str, auth: &str, expected: bool| {
            let keys = SubscriptionKeys::parse(p256dh, auth);
            assert_eq!(keys.is_ok(), expected, "{p256dh} {auth}");
        };
        check(P256DH, AUTH, true);
        check(&format!("{P256DH}="), &format!("{AUTH}=="), true);
        check(P256DH, "BTBZMqHH6r4Tts7J_aSI", false);
        check(&P256DH.replace("BCVx", "BCVy"), AUTH, false);
        check(&"A".repeat(87), AUTH, false);
        check("", AUTH, false);
    }

    #[test]
    fn a_payload_longer_than_services_take_is_refused() {
        let keys = SubscriptionKeys::parse(P256DH, AUTH).unwrap();
        let longest = encrypt(&[b'x'; PAYLOAD_BYTES_MAX], &keys).unwrap();
        assert_eq!(longest.len(), 4_096);
        assert_eq!(encrypt(&[b'x'; PAYLOAD_BYTES_MAX + 1], &keys), None);
    }
}
