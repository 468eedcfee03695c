//! Cache of verified tokens: a page sends one token with each of its requests, and its signature costs more to check
//! than all else that a request for a cached list needs.
//!
//! It holds digests and claims, no tokens, and belongs to one set of keys: with other keys it begins empty, so a token
//! whose key is withdrawn is refused. Refused tokens are not kept.
//!
//! What this module does not do: decide whether a session is open. `session_cache` does, at each request.

use std::fmt;

use aws_lc_rs::digest::{Digest, SHA256, digest};
use moka::sync::Cache;
use shared::claims::{MemberClaims, MemberToken, TokenError, Verifier};
use shared::clock::UnixMillis;
use shared::config::Secret;

/// Bound of the tokens: two for each of some ten thousand members who are active at a time. Each takes about 0.5 KiB.
const TOKENS_MAX: u64 = 20_000;

/// Claims by the digest of their token.
pub(super) struct VerifiedTokens(Cache<[u8; 32], MemberClaims>);

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        Self(Cache::new(TOKENS_MAX))
    }

    /// The claims of a token that is valid at `now`: as [`Verifier::member`].
    pub(super) fn check(
        &self,
        token: &Secret<String>,
        expected: MemberToken,
        now: UnixMillis,
        verifier: &Verifier,
    ) -> Result<MemberClaims, TokenError> {
        let digest: Digest = digest(&SHA256, token.expose().as_bytes());
        let key = <[u8; 32]>::try_from(digest.as_ref()).ok();
        let known = key.and_then(|key| self.0.get(&key));
        let fits = |known: &MemberClaims| known.token == expected && now < known.expires_at;
        if let Some(claims) = known.filter(fits) {
            return Ok(claims);
        }
        let claims = verifier.member(token.expose(), expected, now)?;
        if let Some(key) = key {
            self.0.insert(key, claims.clone());
        }
        Ok(claims)
    }
}

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedTokens").finish_non_exhaustive()
    }
}
