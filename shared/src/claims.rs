//! Token claims: the contents of members' and services' tokens (JWT, signed with ES256).
//!
//! The market signs ([`Signer`]) and publishes its public keys ([`Jwks`]); both servers verify
//! ([`Verifier`]). A member's token and a service's token are two types: a service's `sub` is a
//! name, it has no role and no token family, so one cannot be used as the other.
//!
//! What this module does not do: fetch or cache keys, set cookies, and know which tokens have been
//! revoked (the family in [`MemberClaims::family`] is what a revocation names).

mod keys;
mod names;
mod sign;
mod verify;

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use keys::{
    GeneratedKey, InvalidPrivateKey, Jwk, Jwks, KeyGenerationFailed, KeySet, generate_key,
};
pub use names::{FamilyId, InvalidName, ServiceName, TokenId};
pub use sign::{MemberGrant, ServiceGrant, SignError, Signer};
pub use verify::{EXPIRY_LEEWAY, TOKEN_BYTES_MAX, TokenError, Verifier};

use crate::clock::UnixMillis;
use crate::ids::MemberId;

/// Lifetime of an access token: 1 hour. A block or a lost role takes effect by then at the latest,
/// also where the revocation was not received.
pub const ACCESS_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Lifetime of a refresh token: 14 days. A member who does not visit for that long has to log in
/// again.
pub const REFRESH_LIFETIME: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// Lifetime of a service token: 5 minutes. It is made for one call or a short series, is never
/// stored, and clocks may differ by a few minutes.
pub const SERVICE_LIFETIME: Duration = Duration::from_secs(5 * 60);

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Logged in for the first time; onboarding is not complete.
    #[serde(rename = "ROLE_NEW_MEMBER")]
    NewMember,
    /// An ordinary member.
    #[serde(rename = "ROLE_MEMBER")]
    Member,
    /// An administrator of the site.
    #[serde(rename = "ROLE_ADMIN")]
    Admin,
}

/// The text is not the name of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a role: expected ROLE_NEW_MEMBER, ROLE_MEMBER or ROLE_ADMIN")]
pub struct InvalidRole;

impl Role {
    /// Every role, by rising rights.
    pub const ALL: [Self; 3] = [Self::NewMember, Self::Member, Self::Admin];

    /// The role's name in tokens and databases.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewMember => "ROLE_NEW_MEMBER",
            Self::Member => "ROLE_MEMBER",
            Self::Admin => "ROLE_ADMIN",
        }
    }
}

impl FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(InvalidRole)
    }
}

/// Claim `typ`: the use of a token. It is accepted for that use only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenType {
    /// A member's token for requests.
    Access,
    /// A member's token for renewing the access token.
    Refresh,
    /// One server's token for calling another.
    Service,
}

/// The two types of token that a member has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberToken {
    /// For requests; lives [`ACCESS_LIFETIME`].
    Access,
    /// For renewing the access token; lives [`REFRESH_LIFETIME`].
    Refresh,
}

impl MemberToken {
    /// Lifetime of a token of this type.
    #[must_use]
    pub const fn lifetime(self) -> Duration {
        match self {
            Self::Access => ACCESS_LIFETIME,
            Self::Refresh => REFRESH_LIFETIME,
        }
    }
}

impl From<MemberToken> for TokenType {
    fn from(token: MemberToken) -> Self {
        match token {
            MemberToken::Access => Self::Access,
            MemberToken::Refresh => Self::Refresh,
        }
    }
}

/// Issuer and audience of a token: the same settings where it is signed and where it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenScope {
    /// Claim `iss`: the site that signs.
    pub issuer: String,
    /// Claim `aud`: the site that accepts the token.
    pub audience: String,
}

/// The claims of a member's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireClaims", into = "WireClaims")]
pub struct MemberClaims {
    /// Claims `iss` and `aud`.
    pub scope: TokenScope,
    /// Claim `sub`, on the wire the decimal id as a string.
    pub member: MemberId,
    /// Claim `role`.
    pub role: Role,
    /// Claim `typ`.
    pub token: MemberToken,
    /// Claim `sid`: the login this token comes from; a revocation names it.
    pub family: FamilyId,
    /// Claim `iat`, whole seconds.
    pub issued_at: UnixMillis,
    /// Claim `exp`, whole seconds: the token is invalid from this moment on.
    pub expires_at: UnixMillis,
    /// Claim `jti`.
    pub token_id: TokenId,
}

/// The claims of a service's token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireClaims", into = "WireClaims")]
pub struct ServiceClaims {
    /// Claims `iss` and `aud`.
    pub scope: TokenScope,
    /// Claim `sub`: the calling service.
    pub service: ServiceName,
    /// Claim `iat`, whole seconds.
    pub issued_at: UnixMillis,
    /// Claim `exp`, whole seconds: the token is invalid from this moment on.
    pub expires_at: UnixMillis,
    /// Claim `jti`.
    pub token_id: TokenId,
}

/// The claims do not fit together: a subject that is not a member id, a service with a role, a
/// member without one, a time out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claims of the token do not fit together")]
pub struct InconsistentClaims;

/// The claims as serialised in the token, in this order.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WireClaims {
    iss: String,
    aud: String,
    sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    typ: TokenType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<FamilyId>,
    /// Claim `nbf`: our own tokens have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    iat: i64,
    exp: i64,
    jti: TokenId,
}

impl WireClaims {
    fn expires_at(&self) -> Result<UnixMillis, InconsistentClaims> {
        moment(self.exp)
    }
}

impl TryFrom<WireClaims> for MemberClaims {
    type Error = InconsistentClaims;

    fn try_from(wire: WireClaims) -> Result<Self, InconsistentClaims> {
        let token = match wire.typ {
            TokenType::Access => MemberToken::Access,
            TokenType::Refresh => MemberToken::Refresh,
            TokenType::Service => return Err(InconsistentClaims),
        };
        Ok(Self {
            issued_at: moment(wire.iat)?,
            expires_at: wire.expires_at()?,
            scope: TokenScope {
                issuer: wire.iss,
                audience: wire.aud,
            },
            member: wire.sub.parse().map_err(|_not_an_id| InconsistentClaims)?,
            role: wire.role.ok_or(InconsistentClaims)?,
            token,
            family: wire.sid.ok_or(InconsistentClaims)?,
            token_id: wire.jti,
        })
    }
}

impl From<MemberClaims> for WireClaims {
    fn from(claims: MemberClaims) -> Self {
        Self {
            iss: claims.scope.issuer,
            aud: claims.scope.audience,
            sub: claims.member.to_string(),
            role: Some(claims.role),
            typ: claims.token.into(),
            sid: Some(claims.family),
            nbf: None,
            iat: claims.issued_at.seconds(),
            exp: claims.expires_at.seconds(),
            jti: claims.token_id,
        }
    }
}

impl TryFrom<WireClaims> for ServiceClaims {
    type Error = InconsistentClaims;

    fn try_from(wire: WireClaims) -> Result<Self, InconsistentClaims> {
        if wire.typ != TokenType::Service || wire.role.is_some() || wire.sid.is_some() {
            return Err(InconsistentClaims);
        }
        Ok(Self {
            issued_at: moment(wire.iat)?,
            expires_at: wire.expires_at()?,
            scope: TokenScope {
                issuer: wire.iss,
                audience: wire.aud,
            },
            service: wire.sub.parse().map_err(|_not_a_name| InconsistentClaims)?,
            token_id: wire.jti,
        })
    }
}

impl From<ServiceClaims> for WireClaims {
    fn from(claims: ServiceClaims) -> Self {
        Self {
            iss: claims.scope.issuer,
            aud: claims.scope.audience,
            sub: claims.service.to_string(),
            role: None,
            typ: TokenType::Service,
            sid: None,
            nbf: None,
            iat: claims.issued_at.seconds(),
            exp: claims.expires_at.seconds(),
            jti: claims.token_id,
        }
    }
}

fn moment(seconds: i64) -> Result<UnixMillis, InconsistentClaims> {
    UnixMillis::from_seconds(seconds).map_err(|_out_of_bounds| InconsistentClaims)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn member() -> Value {
        json!({"iss":"market","aud":"dapanda","sub":"42","role":"ROLE_MEMBER","typ":"access",
            "sid":"f1","iat":1_754_537_696,"exp":1_754_541_296,"jti":"t1"})
    }

    fn service() -> Value {
        json!({"iss":"market","aud":"dapanda","sub":"market-api","typ":"service",
            "iat":1_754_537_696,"exp":1_754_537_996,"jti":"t1"})
    }

    /// `base` with one claim replaced (or removed, by null) is `Ok` for a member / for a service.
    fn check(base: fn() -> Value, claim: &str, value: Value, expected: (bool, bool)) {
        let mut claims = base();
        let object = claims.as_object_mut().unwrap();
        object.remove(claim);
        if !value.is_null() {
            object.insert(claim.to_owned(), value);
        }
        let as_member = serde_json::from_value::<MemberClaims>(claims.clone()).is_ok();
        let as_service = serde_json::from_value::<ServiceClaims>(claims.clone()).is_ok();
        assert_eq!((as_member, as_service), expected, "{claims}");
    }

    #[test]
    fn member_and_service_never_pass_for_each_other() {
        check(member, "role", json!("ROLE_ADMIN"), (true, false));
        check(service, "sub", json!("chat-server"), (false, true));
        check(service, "sub", json!("42"), (false, true));
        check(member, "typ", json!("service"), (false, false));
        check(service, "typ", json!("access"), (false, false));
        check(service, "role", json!("ROLE_ADMIN"), (false, false));
        check(service, "sid", json!("f1"), (false, false));
    }

    #[test]
    fn every_claim_is_needed() {
        for claim in [
            "iss", "aud", "sub", "role", "typ", "sid", "iat", "exp", "jti",
        ] {
            check(member, claim, Value::Null, (false, false));
        }
        for claim in ["iss", "aud", "sub", "typ", "iat", "exp", "jti"] {
            check(service, claim, Value::Null, (false, false));
        }
    }

    #[test]
    fn claims_out_of_bounds_are_refused() {
        check(member, "sub", json!(42), (false, false));
        check(member, "sub", json!("042"), (false, false));
        check(member, "sub", json!("member@example.com"), (false, false));
        check(member, "role", json!("ROLE_ROOT"), (false, false));
        check(member, "role", json!("ROLE_NEW_MEMBER"), (true, false));
        check(member, "typ", json!("Access"), (false, false));
        check(member, "aud", json!(["dapanda"]), (false, false));
        check(member, "exp", json!(-1), (false, false));
        check(member, "exp", json!(1_754_541_296.5), (false, false));
        check(member, "exp", json!(i64::MAX), (false, false));
        check(member, "sid", json!(""), (false, false));
        check(member, "jti", json!("x".repeat(65)), (false, false));
        check(service, "sub", json!("Market API"), (false, false));
    }

    #[test]
    fn role_has_one_name_everywhere() {
        for role in Role::ALL {
            assert_eq!(serde_json::to_value(role).unwrap(), json!(role.as_str()));
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("role_admin".parse::<Role>(), Err(InvalidRole));
    }

    #[test]
    fn unknown_claims_are_ignored() {
        check(member, "amr", json!(["kakao"]), (true, false));
    }
}
