//! Token signing with one private key. Rotation and the choice of the key are the caller's.

use jsonwebtoken::{Algorithm, EncodingKey, Header};

use super::keys::{InvalidPrivateKey, Jwk, read_private_key};
use super::{
    FamilyId, MemberClaims, MemberToken, Role, SERVICE_LIFETIME, ServiceClaims, ServiceName,
    TokenId, TokenScope, WireClaims,
};
use crate::clock::UnixMillis;
use crate::config::Secret;
use crate::ids::MemberId;

/// Signs tokens with one private key.
///
/// `Debug` shows the key's id, never the key.
#[derive(Debug)]
pub struct Signer {
    key: EncodingKey,
    public: Jwk,
    scope: TokenScope,
}

/// The contents of a member's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberGrant {
    /// The member that the token identifies.
    pub member: MemberId,
    /// What the member may do.
    pub role: Role,
    /// Which of the two tokens; it decides the lifetime.
    pub token: MemberToken,
    /// The login that the token comes from; a revocation names it.
    pub family: FamilyId,
    /// The token's own id (claim `jti`).
    pub token_id: TokenId,
}

/// The contents of a service's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceGrant {
    /// The calling service.
    pub service: ServiceName,
    /// The token's own id (claim `jti`).
    pub token_id: TokenId,
}

/// The cryptographic library failed. No grant can cause it.
#[derive(Debug, thiserror::Error)]
#[error("token could not be signed")]
pub struct SignError {
    source: jsonwebtoken::errors::Error,
}

impl Signer {
    /// A signer with this private key (PKCS#8 in PEM, P-256); its id follows from the key.
    ///
    /// # Errors
    /// [`InvalidPrivateKey`] when the text is another kind of key or none.
    pub fn from_pem(pem: &Secret<String>, scope: TokenScope) -> Result<Self, InvalidPrivateKey> {
        let (key, public) = read_private_key(pem.expose())?;
        Ok(Self { key, public, scope })
    }

    /// The public half, for the JWKS.
    #[must_use]
    pub fn public_key(&self) -> &Jwk {
        &self.public
    }

    /// Signs a member's token that is valid from `now` for the lifetime of its type.
    ///
    /// # Errors
    /// [`SignError`] when the cryptographic library fails.
    pub fn member_token(
        &self,
        grant: MemberGrant,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        let claims = MemberClaims {
            scope: self.scope.clone(),
            member: grant.member,
            role: grant.role,
            token: grant.token,
            family: grant.family,
            issued_at: now,
            expires_at: now.saturating_add(grant.token.lifetime()),
            token_id: grant.token_id,
        };
        self.sign(&claims.into())
    }

    /// Signs a service's token that is valid from `now` for [`SERVICE_LIFETIME`].
    ///
    /// # Errors
    /// [`SignError`] when the cryptographic library fails.
    pub fn service_token(
        &self,
        grant: ServiceGrant,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        let claims = ServiceClaims {
            scope: self.scope.clone(),
            service: grant.service,
            issued_at: now,
            expires_at: now.saturating_add(SERVICE_LIFETIME),
            token_id: grant.token_id,
        };
        self.sign(&claims.into())
    }

    fn sign(&self, claims: &WireClaims) -> Result<Secret<String>, SignError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.public.kid().to_owned());
        jsonwebtoken::encode(&header, claims, &self.key)
            .map(Secret::new)
            .map_err(|source| SignError { source })
    }
}
