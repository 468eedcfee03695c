//! Authentication: verifies the tokens of members and services with the market's public keys.
//!
//! Keys are fetched when a token names an unknown one, and periodically; while the market is away
//! the present keys stay valid. A token is never accepted beyond its expiry.
//!
//! It does not renew tokens, which the market does, and does not revoke them: [`members`](crate::members)
//! has the token families that have ended.

mod keys;
mod verified;

use std::cmp::Reverse;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::claims::{
    FamilyId, MemberClaims, MemberToken, Role, ServiceClaims, TokenError, TokenScope,
};
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::ids::MemberId;
use shared::web::Credentials;

pub use keys::OpenError;
use keys::{Freshness, Keys};
use verified::CachedVerifier;

/// How often [`Authenticator::refresh`] should be called, so that a new key is there before the
/// first token signed with it comes, and a withdrawn one is dropped.
pub const REFRESH_PERIOD: Duration = Duration::from_secs(5 * 60);

/// Source of the public keys (a JWKS).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// The market's `/.well-known/jwks.json`.
    Url(String),
    /// A file of the same content.
    File(PathBuf),
}

/// A member with a valid token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member's id.
    pub member: MemberId,
    /// The member's rights.
    pub role: Role,
    /// The login the token comes from; a revocation names it.
    pub family: FamilyId,
    /// The token's expiry: a later request needs another token.
    pub ends_at: UnixMillis,
    /// How the token was sent.
    pub origin: Origin,
}

/// How a token was sent. A browser adds cookies to requests of any page, but no bearer token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// In a cookie.
    Cookie,
    /// In a header that only the site's own code can have set.
    Bearer,
}

/// Why a request is not authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The request has no token.
    #[error("no token")]
    Missing,
    /// None of the request's tokens is valid here.
    #[error("no token that is good here")]
    Refused,
    /// The keys could not be fetched: the same token may be valid later.
    #[error("the keys to check tokens with are not available")]
    KeysUnavailable,
}

/// Checks tokens.
#[derive(Debug)]
pub struct Authenticator {
    keys: Keys,
    clock: Arc<dyn Clock>,
}

impl Authenticator {
    /// Verifies tokens of this scope. A file is read now; a URL is not fetched before a token
    /// comes, so that the market need not be there first.
    ///
    /// # Errors
    /// [`OpenError`]: the file has no usable key, or the URL is none.
    pub async fn open(
        source: KeySource,
        scope: TokenScope,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let keys = Keys::open(source, scope, Arc::clone(&clock)).await?;
        Ok(Self { keys, clock })
    }

    /// The member that the credentials belong to: the first of [`Authenticator::candidates`].
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn member(&self, credentials: &Credentials) -> Result<Identity, AuthError> {
        let candidates = self.candidates(credentials).await?;
        candidates.into_iter().next().ok_or(AuthError::Missing)
    }

    /// The logins that the credentials have valid tokens of, at least one: of the bearer token alone
    /// if there is one, else of the access cookies, then of the refresh cookies; of two of a kind
    /// first the one that lasts longer. The caller takes the first that was not revoked.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn candidates(&self, credentials: &Credentials) -> Result<Vec<Identity>, AuthError> {
        if let Some(bearer) = &credentials.bearer {
            let claims = self.member_token(bearer, MemberToken::Access).await?;
            let ends_at = claims.expires_at;
            return Ok(vec![identity(&claims, ends_at, Origin::Bearer)]);
        }
        let access = self.cookies(&credentials.access_cookies, MemberToken::Access);
        let access = access.await;
        let refresh = self.cookies(&credentials.refresh_cookies, MemberToken::Refresh);
        let all = match (access, refresh.await) {
            (Ok(access), Ok(refresh)) => [access, refresh].concat(),
            (Ok(claims), Err(_)) | (Err(_), Ok(claims)) => claims,
            (Err(access), Err(refresh)) => return Err(worse(access, refresh)),
        };
        let mut candidates: Vec<Identity> = Vec::new();
        for claims in all {
            let (member, family) = (claims.member, &claims.family);
            let mut known = candidates.iter_mut();
            match known.find(|one| one.member == member && one.family == *family) {
                // The access and the refresh token of one login end with the later of the two.
                Some(known) => known.ends_at = known.ends_at.max(claims.expires_at),
                None => {
                    let ends_at = claims.expires_at;
                    candidates.push(identity(&claims, ends_at, Origin::Cookie));
                }
            }
        }
        Ok(candidates)
    }

    /// The service that a bearer token belongs to.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn service(
        &self,
        bearer: Option<&Secret<String>>,
    ) -> Result<ServiceClaims, AuthError> {
        let token = bearer.ok_or(AuthError::Missing)?.expose();
        let now = self.clock.unix_millis();
        self.check(|verifier| verifier.service(token, now)).await
    }

    /// Fetches the keys, to be called every [`REFRESH_PERIOD`]. What cannot be fetched, or has no
    /// usable key, changes nothing.
    pub async fn refresh(&self) {
        self.keys.fetch_now().await;
    }

    /// The claims of all valid tokens, at least one, the longest first; otherwise the error of the invalid ones.
    async fn cookies(
        &self,
        cookies: &[Secret<String>],
        expected: MemberToken,
    ) -> Result<Vec<Arc<MemberClaims>>, AuthError> {
        let (mut good, mut wrong) = (Vec::new(), AuthError::Missing);
        for cookie in cookies {
            match self.member_token(cookie, expected).await {
                Ok(claims) => good.push(claims),
                Err(error) => wrong = worse(wrong, error),
            }
        }
        good.sort_by_key(|claims: &Arc<MemberClaims>| Reverse(claims.expires_at));
        if good.is_empty() {
            Err(wrong)
        } else {
            Ok(good)
        }
    }

    async fn member_token(
        &self,
        token: &Secret<String>,
        expected: MemberToken,
    ) -> Result<Arc<MemberClaims>, AuthError> {
        let now = self.clock.unix_millis();
        self.check(|verifier| verifier.member(token.expose(), expected, now))
            .await
    }

    /// Checks with the keys at hand, and once more with fresh ones if the key is not among them.
    async fn check<C>(
        &self,
        verify: impl Fn(&CachedVerifier) -> Result<C, TokenError>,
    ) -> Result<C, AuthError> {
        let (verifier, generation) = self.keys.current();
        match verify(&verifier) {
            Ok(claims) => return Ok(claims),
            Err(TokenError::UnknownKey { .. }) => {}
            Err(error) => return Err(refused(&error)),
        }
        let freshness = self.keys.fetch_after(generation).await;
        match (verify(&self.keys.current().0), freshness) {
            (Ok(claims), _) => Ok(claims),
            (Err(TokenError::UnknownKey { .. }), Freshness::Stale) => {
                Err(AuthError::KeysUnavailable)
            }
            (Err(error), _) => Err(refused(&error)),
        }
    }
}

/// The client learns only that the token is invalid; the reason is logged.
fn refused(error: &TokenError) -> AuthError {
    tracing::debug!("token refused: {error}");
    AuthError::Refused
}

/// The error to report of two: first one that a retry may cure, then that of a token that was sent.
fn worse(one: AuthError, other: AuthError) -> AuthError {
    for error in [AuthError::KeysUnavailable, AuthError::Refused] {
        if one == error || other == error {
            return error;
        }
    }
    AuthError::Missing
}

fn identity(claims: &MemberClaims, ends_at: UnixMillis, origin: Origin) -> Identity {
    Identity {
        member: claims.member,
        role: claims.role,
        family: claims.family.clone(),
        ends_at,
        origin,
    }
}

#[cfg(test)]
mod tests;
