//! Signed JSON Web Tokens, as the receiver of one checks them.

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The claims of a token with a good signature of this algorithm and key.
pub(crate) fn verify(
    token: &str,
    name: &str,
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
) -> Result<Value, &'static str> {
    let mut parts = token.rsplitn(2, '.');
    let (Some(signature), Some(signed)) = (parts.next(), parts.next()) else {
        return Err("no token");
    };
    let (header, claims) = signed.split_once('.').ok_or("no token")?;
    let header = decode(header)?;
    if header["alg"] != name {
        return Err("another algorithm");
    }
    let signature = URL_SAFE_NO_PAD.decode(signature);
    let signature = signature.map_err(|_invalid| "no base64url")?;
    let key = UnparsedPublicKey::new(algorithm, key);
    let verified = key.verify(signed.as_bytes(), &signature);
    verified.map_err(|_unspecified| "a wrong signature")?;
    decode(claims)
}

fn decode(part: &str) -> Result<Value, &'static str> {
    let json = URL_SAFE_NO_PAD.decode(part);
    let json = json.map_err(|_invalid| "no base64url")?;
    serde_json::from_slice(&json).map_err(|_invalid| "no JSON")
}
