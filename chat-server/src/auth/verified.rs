//! Cache of members' tokens that one set of keys has verified.
//!
//! Clients come back with the same token: after a lost connection, and all at once after the end of a
//! node. Checking an ES256 signature costs more than the rest of a login. The cache is part of the set of
//! keys, so a withdrawn key takes its tokens along. Whether a session has ended is no matter of keys:
//! [`members`](crate::members) has it.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use moka::sync::Cache;
use shared::claims::{
    EXPIRY_LEEWAY, KeySet, MemberClaims, MemberToken, ServiceClaims, TOKEN_BYTES_MAX, TokenError,
    Verifier,
};
use shared::clock::UnixMillis;

/// Tokens at most: as many as a node has connections by default. About 25 MB.
const TOKENS_MAX: u64 = 50_000;

/// SHA-256 of what a token is to be, and of its text: the text itself is a secret.
type Digest = [u8; SHA256_OUTPUT_LEN];

/// See the module.
pub(super) struct CachedVerifier {
    verifier: Verifier,
    verified: Cache<Digest, Arc<MemberClaims>>,
}

impl CachedVerifier {
    /// With an empty cache.
    pub(super) fn new(verifier: Verifier) -> Self {
        Self {
            verifier,
            verified: Cache::new(TOKENS_MAX),
        }
    }

    /// With an empty cache for other keys; `None` for the same ones.
    pub(super) fn with_keys(&self, keys: KeySet) -> Option<Self> {
        (*self.verifier.keys() != keys).then(|| Self::new(self.verifier.with_keys(keys)))
    }

    /// The claims of a member's token: from the cache, else verified by [`Verifier::member`] and cached.
    pub(super) fn member(
        &self,
        token: &str,
        expected: MemberToken,
        now: UnixMillis,
    ) -> Result<Arc<MemberClaims>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let digest = digest(token, expected);
        if let Some(claims) = self.verified.get(&digest) {
            if now < claims.expires_at.saturating_add(EXPIRY_LEEWAY) {
                return Ok(claims);
            }
            self.verified.invalidate(&digest);
            return Err(TokenError::Expired);
        }
        let claims = Arc::new(self.verifier.member(token, expected, now)?);
        self.verified.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }

    /// See [`Verifier::service`]. Not cached: services are few, and their tokens short-lived.
    pub(super) fn service(
        &self,
        token: &str,
        now: UnixMillis,
    ) -> Result<ServiceClaims, TokenError> {
        self.verifier.service(token, now)
    }
}

fn digest(token: &str, expected: MemberToken) -> Digest {
    let kind = match expected {
        MemberToken::Access => b"a",
        MemberToken::Refresh => b"r",
    };
    let mut context = Context::new(&SHA256);
    context.update(kind);
    context.update(token.as_bytes());
    let mut digest = [0; SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl fmt::Debug for CachedVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedVerifier")
            .field("verified", &self.verified.entry_count())
            .finish_non_exhaustive()
    }
}
