//! Token verification: signature, issuer and audience, type, expiry. It neither fetches keys nor
//! looks up revocations.

use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};

use super::names::is_name;
use super::{
    InconsistentClaims, KeySet, MemberClaims, MemberToken, ServiceClaims, TokenScope, TokenType,
    WireClaims,
};
use crate::clock::UnixMillis;

/// Leeway after a token's `exp`: none.
///
/// A connection ends at the `exp` of its token, on any node; with a leeway, expiry would come at
/// one moment for the connection and at another for the next request. A server whose clock is a few
/// seconds off merely renews a few seconds early or late; `iat` is not checked, so a token from a
/// clock that is ahead is accepted.
pub const EXPIRY_LEEWAY: Duration = Duration::ZERO;

/// 4 KiB: more than a browser keeps in a cookie; ours are about 500 bytes. Longer ones are refused
/// before anything is decoded.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Why a token was refused. The text contains nothing of the token except a checked key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token of this site: unreadable, too long, another algorithm, missing claims, or not
    /// valid yet.
    #[error("not a token of this site")]
    Malformed,
    /// Signed with a key that is not in the set. After a rotation the set may be old: fetch the
    /// keys again, but throttled, since any client can send an unknown id.
    #[error("token is signed with the unknown key {kid}")]
    UnknownKey {
        /// The key's id: 1 to 64 characters of `A-Z a-z 0-9 - _`.
        kid: String,
    },
    /// The signature does not match the text: a forgery, or damage.
    #[error("signature of the token is wrong")]
    BadSignature,
    /// Signed with our key for another issuer or audience, for example another environment.
    #[error("token has another issuer or audience")]
    WrongIssuerOrAudience,
    /// A valid token whose type does not fit this use.
    #[error("token has the wrong type")]
    WrongType,
    /// Expired: the client may renew it.
    #[error("token has expired")]
    Expired,
}

/// Verifies tokens against a set of keys.
///
/// Only ES256 is accepted, whatever a token's header names; the key is chosen by `kid` from the
/// set, never from the token. Checks run in the order of [`TokenError`]'s variants, and no claim is
/// used before the signature is verified.
#[derive(Debug, Clone)]
pub struct Verifier {
    keys: KeySet,
    scope: TokenScope,
    validation: Validation,
}

impl Verifier {
    /// A verifier of tokens for this scope, signed with one of these keys.
    #[must_use]
    pub fn new(keys: KeySet, scope: TokenScope) -> Self {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[&scope.issuer]);
        validation.set_audience(&[&scope.audience]);
        validation.set_required_spec_claims(&["iss", "aud", "sub", "exp"]);
        // The library reads the system's clock; our time is an argument, see `claims`.
        validation.validate_exp = false;
        Self {
            keys,
            scope,
            validation,
        }
    }

    /// The same verifier with other keys, after a rotation.
    #[must_use]
    pub fn with_keys(&self, keys: KeySet) -> Self {
        Self::new(keys, self.scope.clone())
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The claims of a member's token of the expected type.
    ///
    /// # Errors
    /// [`TokenError`] when the token is not valid at `now`, or not for this use.
    pub fn member(
        &self,
        token: &str,
        expected: MemberToken,
        now: UnixMillis,
    ) -> Result<MemberClaims, TokenError> {
        let claims = self.claims(token, expected.into(), now)?;
        claims
            .try_into()
            .map_err(|_inconsistent: InconsistentClaims| TokenError::Malformed)
    }

    /// The claims of a service's token.
    ///
    /// # Errors
    /// [`TokenError`] when the token is not valid at `now`, or is a member's.
    pub fn service(&self, token: &str, now: UnixMillis) -> Result<ServiceClaims, TokenError> {
        let claims = self.claims(token, TokenType::Service, now)?;
        claims
            .try_into()
            .map_err(|_inconsistent: InconsistentClaims| TokenError::Malformed)
    }

    fn claims(
        &self,
        token: &str,
        expected: TokenType,
        now: UnixMillis,
    ) -> Result<WireClaims, TokenError> {
        let claims = self.signed_claims(token)?;
        if claims.typ != expected {
            return Err(TokenError::WrongType);
        }
        let expires_at = claims
            .expires_at()
            .map_err(|_inconsistent: InconsistentClaims| TokenError::Malformed)?;
        // RFC 7519, 4.1.5: `nbf` must be obeyed where it is present.
        if claims.nbf.is_some_and(|from| now.seconds() < from) {
            return Err(TokenError::Malformed);
        }
        // RFC 7519, 4.1.4: "on or after" its exp a token must not be accepted.
        if now >= expires_at.saturating_add(EXPIRY_LEEWAY) {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// The claims, if the signature, the issuer and the audience are right.
    fn signed_claims(&self, token: &str) -> Result<WireClaims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Malformed);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|error| sort(&error))?;
        // RFC 7515, 4.1.11: an extension that must be understood; we support none.
        if header.alg != Algorithm::ES256 || header.crit.is_some() {
            return Err(TokenError::Malformed);
        }
        let kid = header
            .kid
            .filter(|kid| is_name(kid))
            .ok_or(TokenError::Malformed)?;
        let Some(key) = self.keys.get(&kid) else {
            return Err(TokenError::UnknownKey { kid });
        };
        jsonwebtoken::decode::<WireClaims>(token, key, &self.validation)
            .map(|token| token.claims)
            .map_err(|error| sort(&error))
    }
}

/// Maps an error of the library to what the caller may do about it.
fn sort(error: &jsonwebtoken::errors::Error) -> TokenError {
    let kind = error.kind();
    if matches!(kind, ErrorKind::InvalidSignature) {
        TokenError::BadSignature
    } else if matches!(kind, ErrorKind::InvalidIssuer | ErrorKind::InvalidAudience) {
        TokenError::WrongIssuerOrAudience
    } else {
        TokenError::Malformed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, Header};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::claims::{
        ACCESS_LIFETIME, GeneratedKey, Jwks, MemberGrant, REFRESH_LIFETIME, Role, SERVICE_LIFETIME,
        ServiceGrant, Signer, generate_key,
    };

    const ISSUED: UnixMillis = UnixMillis::EPOCH;

    struct Site {
        key: GeneratedKey,
        signer: Signer,
        verifier: Verifier,
    }

    /// One key for all tests that need no second one.
    static SITE: LazyLock<Site> = LazyLock::new(site);

    fn scope() -> TokenScope {
        TokenScope {
            issuer: "market".to_owned(),
            audience: "dapanda".to_owned(),
        }
    }

    fn site() -> Site {
        let key = generate_key().unwrap();
        let signer = Signer::from_pem(&key.private_pem, scope()).unwrap();
        let keys = KeySet::from_jwks(&Jwks {
            keys: vec![key.public.clone()],
        });
        Site {
            key,
            signer,
            verifier: Verifier::new(keys, scope()),
        }
    }

    fn grant(token: MemberToken) -> MemberGrant {
        MemberGrant {
            member: "42".parse().unwrap(),
            role: Role::Member,
            token,
            family: "f1".parse().unwrap(),
            token_id: "t1".parse().unwrap(),
        }
    }

    fn member_token(signer: &Signer, token: MemberToken) -> String {
        signer
            .member_token(grant(token), ISSUED)
            .unwrap()
            .expose()
            .clone()
    }

    fn service_token(signer: &Signer) -> String {
        let grant = ServiceGrant {
            service: "market-api".parse().unwrap(),
            token_id: "t1".parse().unwrap(),
        };
        signer
            .service_token(grant, ISSUED)
            .unwrap()
            .expose()
            .clone()
    }

    fn after(time: Duration) -> UnixMillis {
        ISSUED.saturating_add(time)
    }

    /// A token of any header and claims, rightly signed with the site's key.
    fn signed(header: &Header, claims: &Value) -> String {
        let pem = SITE.key.private_pem.expose().as_bytes();
        jsonwebtoken::encode(header, claims, &EncodingKey::from_ec_pem(pem).unwrap()).unwrap()
    }

    fn header() -> Header {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(SITE.key.public.kid().to_owned());
        header
    }

    fn claims() -> Value {
        json!({"iss":"market","aud":"dapanda","sub":"42","role":"ROLE_MEMBER","typ":"access",
            "sid":"f1","iat":0,"exp":3600,"jti":"t1"})
    }

    /// The access token is taken at the start, or refused for this reason.
    fn check(token: &str, expected: Result<(), TokenError>) {
        let result = SITE.verifier.member(token, MemberToken::Access, ISSUED);
        assert_eq!(result.map(|_| ()), expected, "{token}");
    }

    #[test]
    fn member_token_round_trips() {
        for token in [MemberToken::Access, MemberToken::Refresh] {
            let text = member_token(&SITE.signer, token);
            let claims = SITE.verifier.member(&text, token, ISSUED).unwrap();
            assert_eq!(claims.member.get(), 42);
            assert_eq!((claims.role, claims.token), (Role::Member, token));
            assert_eq!(claims.scope, scope());
            assert_eq!(
                (claims.family.as_str(), claims.token_id.as_str()),
                ("f1", "t1")
            );
            assert_eq!(claims.expires_at, after(token.lifetime()));
        }
    }

    #[test]
    fn service_token_round_trips() {
        let claims = SITE
            .verifier
            .service(&service_token(&SITE.signer), ISSUED)
            .unwrap();
        assert_eq!(claims.service.as_str(), "market-api");
        assert_eq!(claims.expires_at, after(SERVICE_LIFETIME));
    }

    #[test]
    fn token_ends_at_the_second_of_its_exp() {
        let last = |lifetime: Duration| after(lifetime - Duration::from_millis(1));
        for (token, lifetime) in [
            (MemberToken::Access, ACCESS_LIFETIME),
            (MemberToken::Refresh, REFRESH_LIFETIME),
        ] {
            let text = member_token(&SITE.signer, token);
            let at = |now| SITE.verifier.member(&text, token, now).map(|_| ());
            assert_eq!(at(last(lifetime)), Ok(()));
            assert_eq!(at(after(lifetime)), Err(TokenError::Expired));
            assert_eq!(at(UnixMillis::MAX), Err(TokenError::Expired));
        }
        let text = service_token(&SITE.signer);
        assert!(SITE.verifier.service(&text, last(SERVICE_LIFETIME)).is_ok());
        let expired = SITE.verifier.service(&text, after(SERVICE_LIFETIME));
        assert_eq!(expired, Err(TokenError::Expired));
    }

    #[test]
    fn token_is_taken_only_where_its_type_belongs() {
        let access = member_token(&SITE.signer, MemberToken::Access);
        let refresh = member_token(&SITE.signer, MemberToken::Refresh);
        let service = service_token(&SITE.signer);
        let wrong = TokenError::WrongType;
        let member = |text: &str, token| SITE.verifier.member(text, token, ISSUED).map(|_| ());
        assert_eq!(member(&access, MemberToken::Refresh), Err(wrong.clone()));
        assert_eq!(member(&refresh, MemberToken::Access), Err(wrong.clone()));
        assert_eq!(member(&service, MemberToken::Access), Err(wrong.clone()));
        assert_eq!(member(&service, MemberToken::Refresh), Err(wrong.clone()));
        assert_eq!(SITE.verifier.service(&access, ISSUED), Err(wrong.clone()));
        assert_eq!(SITE.verifier.service(&refresh, ISSUED), Err(wrong));
    }

    #[test]
    fn unknown_key_is_named_so_that_keys_can_be_fetched() {
        let other = site();
        let token = member_token(&other.signer, MemberToken::Access);
        let kid = other.key.public.kid().to_owned();
        check(&token, Err(TokenError::UnknownKey { kid }));

        let both = Jwks {
            keys: vec![other.key.public, SITE.key.public.clone()],
        };
        let rotated = SITE.verifier.with_keys(KeySet::from_jwks(&both));
        assert!(rotated.member(&token, MemberToken::Access, ISSUED).is_ok());
    }

    #[test]
    fn another_key_under_our_id_is_a_bad_signature() {
        let other = site();
        let pem = other.key.private_pem.expose().as_bytes();
        let key = EncodingKey::from_ec_pem(pem).unwrap();
        let token = jsonwebtoken::encode(&header(), &claims(), &key).unwrap();
        check(&token, Err(TokenError::BadSignature));
    }

    #[test]
    fn changed_payload_or_header_is_a_bad_signature() {
        let token = member_token(&SITE.signer, MemberToken::Access);
        let parts: Vec<_> = token.split('.').collect();
        let mut forged: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
        forged["role"] = json!("ROLE_ADMIN");
        let payload = URL_SAFE_NO_PAD.encode(forged.to_string());
        check(
            &[parts[0], &payload, parts[2]].join("."),
            Err(TokenError::BadSignature),
        );

        let mut header = header();
        header.typ = None;
        let header = URL_SAFE_NO_PAD.encode(serde_json::to_string(&header).unwrap());
        check(
            &[&header, parts[1], parts[2]].join("."),
            Err(TokenError::BadSignature),
        );
        check(
            &[parts[0], parts[1], ""].join("."),
            Err(TokenError::BadSignature),
        );
    }

    #[test]
    fn only_es256_is_taken() {
        let kid = SITE.key.public.kid();
        let payload = URL_SAFE_NO_PAD.encode(claims().to_string());
        for alg in ["none", "None", "HS256", "RS256", "ES384", "EdDSA"] {
            let header = json!({"alg": alg, "typ": "JWT", "kid": kid}).to_string();
            let unsigned = format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header));
            check(&unsigned, Err(TokenError::Malformed));
        }
    }

    #[test]
    fn public_key_is_no_shared_secret() {
        // The old confusion: sign with HMAC, the published key being the secret.
        let public = serde_json::to_vec(&SITE.key.public).unwrap();
        let mut header = header();
        header.alg = Algorithm::HS256;
        let key = EncodingKey::from_secret(&public);
        let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        check(&token, Err(TokenError::Malformed));
    }

    #[test]
    fn key_in_the_token_is_not_believed() {
        let other = site();
        let public = serde_json::to_value(&other.key.public).unwrap();
        let mut header = header();
        header.jwk = Some(serde_json::from_value(public).unwrap());
        let pem = other.key.private_pem.expose().as_bytes();
        let key = EncodingKey::from_ec_pem(pem).unwrap();
        let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
        check(&token, Err(TokenError::BadSignature));
    }

    #[test]
    fn issuer_and_audience_must_be_ours() {
        check(&signed(&header(), &claims()), Ok(()));
        for (claim, expected) in [
            ("iss", TokenError::WrongIssuerOrAudience),
            ("aud", TokenError::WrongIssuerOrAudience),
            ("typ", TokenError::Malformed),
            ("sub", TokenError::Malformed),
        ] {
            let mut claims = claims();
            claims[claim] = json!("staging");
            check(&signed(&header(), &claims), Err(expected));
        }
    }

    #[test]
    fn signed_token_with_claims_missing_is_malformed() {
        for claim in [
            "iss", "aud", "sub", "role", "typ", "sid", "iat", "exp", "jti",
        ] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(claim);
            check(&signed(&header(), &claims), Err(TokenError::Malformed));
        }
        check(&signed(&header(), &json!([])), Err(TokenError::Malformed));
    }

    #[test]
    fn token_is_not_good_before_its_nbf() {
        for (nbf, expected) in [
            (json!(0), Ok(())),
            (json!(1), Err(TokenError::Malformed)),
            (json!("0"), Err(TokenError::Malformed)),
        ] {
            let mut claims = claims();
            claims["nbf"] = nbf;
            check(&signed(&header(), &claims), expected);
        }
    }

    #[test]
    fn headers_that_ask_for_more_are_refused() {
        let mut critical = header();
        critical.crit = Some(vec!["b64".to_owned()]);
        check(&signed(&critical, &claims()), Err(TokenError::Malformed));
        for kid in [
            None,
            Some(""),
            Some("../../key"),
            Some("a\nb"),
            Some(&*"x".repeat(65)),
        ] {
            let mut header = header();
            header.kid = kid.map(str::to_owned);
            check(&signed(&header, &claims()), Err(TokenError::Malformed));
        }
    }

    #[test]
    fn token_is_bounded_in_length() {
        let mut claims = claims();
        claims["padding"] = json!("x".repeat(TOKEN_BYTES_MAX));
        check(&signed(&header(), &claims), Err(TokenError::Malformed));
        let token = member_token(&SITE.signer, MemberToken::Access);
        assert!(token.len() < 600, "{}", token.len());
    }

    #[test]
    fn errors_and_debug_keep_the_token_to_themselves() {
        let token = SITE
            .signer
            .member_token(grant(MemberToken::Access), ISSUED)
            .unwrap();
        let shown = format!("{token:?} {:?} {:?}", SITE.signer, SITE.verifier);
        assert!(!shown.contains("eyJ"), "{shown}");
        assert!(!shown.contains("PRIVATE"), "{shown}");
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_a_panic(token in "\\PC{0,200}") {
            prop_assert!(SITE.verifier.member(&token, MemberToken::Access, ISSUED).is_err());
            prop_assert!(SITE.verifier.service(&token, ISSUED).is_err());
        }

        #[test]
        fn garbage_in_the_shape_of_a_token_is_malformed(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..5)
        ) {
            let parts: Vec<_> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
            let result = SITE.verifier.service(&parts.join("."), ISSUED);
            prop_assert_eq!(result, Err(TokenError::Malformed));
        }

        #[test]
        fn no_changed_character_goes_unnoticed(place in 0..600_usize, with in "[A-Za-z0-9_.-]") {
            let token = member_token(&SITE.signer, MemberToken::Access);
            let place = place % token.len();
            let mut changed = token.clone();
            changed.replace_range(place..=place, &with);
            prop_assume!(changed != token);
            let result = SITE.verifier.member(&changed, MemberToken::Access, ISSUED);
            prop_assert!(result.is_err(), "{} {}", place, changed);
        }
    }
}
