//! Tokens for development: what the market signs in production, signed here with a key at hand.

use std::path::Path;

use shared::claims::{
    FamilyId, InvalidPrivateKey, MemberGrant, MemberToken, Role, SignError, Signer, TokenId,
    TokenScope,
};
use shared::clock::UnixMillis;
use shared::config::Secret;
use shared::ids::MemberId;

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum DevTokenError {
    /// The key's file.
    #[error("the development key cannot be read")]
    File(#[source] std::io::Error),
    /// What is in it.
    #[error("the development key is not a private key of P-256 in PEM")]
    Key(#[source] InvalidPrivateKey),
    /// Signing.
    #[error("the token cannot be signed")]
    Sign(#[source] SignError),
}

/// An access token of `member`, signed with the key in a file.
///
/// # Errors
/// See [`DevTokenError`].
pub fn sign(
    key: &Path,
    member: MemberId,
    scope: TokenScope,
    now: UnixMillis,
) -> Result<Secret<String>, DevTokenError> {
    let pem = std::fs::read_to_string(key).map_err(DevTokenError::File)?;
    let signer = Signer::from_pem(&Secret::new(pem), scope).map_err(DevTokenError::Key)?;
    let mut rng = rand::rng();
    let grant = MemberGrant {
        member,
        role: Role::Member,
        token: MemberToken::Access,
        family: FamilyId::random(&mut rng),
        token_id: TokenId::random(&mut rng),
    };
    signer.member_token(grant, now).map_err(DevTokenError::Sign)
}
