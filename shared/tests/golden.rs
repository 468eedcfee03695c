//! What crosses a process boundary, byte for byte: tokens, the JWKS, and the values of JSON bodies.
//!
//! A golden file changes only together with the other side that reads it. The files are indented for
//! the reader; the comparison is of the text without white space, so member order and the form of a
//! number (`2.0`) count.

#![expect(clippy::unwrap_used, reason = "a test ends where an unwrap fails")]

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use shared::claims::{
    Jwks, KeySet, MemberGrant, MemberToken, Role, ServiceGrant, Signer, TokenScope, Verifier,
};
use shared::clock::{LocalDateTime, UnixMillis};
use shared::config::Secret;
use shared::ids::{MemberId, MessageId, RoomId, Seq};
use shared::money::{Units, Won};

/// The example key of RFC 7515, appendix A.3: public since 2015, good for nothing but tests.
const RFC_7515_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";

/// `actual` is the content of the golden file, white space aside.
fn check(file: &str, actual: &str) {
    let expected = compact(&read(file));
    assert_eq!(actual, expected, "{file} and what is written today differ");
}

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(file);
    std::fs::read_to_string(path).unwrap()
}

/// No string in the golden files holds white space.
fn compact(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Header and claims of a token, as text.
fn opened(token: &Secret<String>) -> String {
    let part = |text: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap();
    let parts: Vec<_> = token.expose().split('.').collect();
    format!(
        "{{\"header\":{},\"claims\":{}}}",
        part(parts[0]),
        part(parts[1])
    )
}

fn now() -> UnixMillis {
    UnixMillis::try_from(1_754_537_696_789).unwrap()
}

fn scope() -> TokenScope {
    TokenScope {
        issuer: "https://dapanda.example".to_owned(),
        audience: "dapanda".to_owned(),
    }
}

fn signer() -> Signer {
    Signer::from_pem(&Secret::new(RFC_7515_KEY.to_owned()), scope()).unwrap()
}

fn member_token(token: MemberToken, role: Role) -> Secret<String> {
    let grant = MemberGrant {
        member: "42".parse().unwrap(),
        role,
        token,
        family: "Zm9yIGEgZ29sZGVuIGZpbA".parse().unwrap(),
        token_id: "Zm9yIGEgZ29sZGVuIGpzbw".parse().unwrap(),
    };
    signer().member_token(grant, now()).unwrap()
}

#[test]
fn member_tokens_are_as_agreed() {
    check(
        "access_token.json",
        &opened(&member_token(MemberToken::Access, Role::Member)),
    );
    check(
        "refresh_token.json",
        &opened(&member_token(MemberToken::Refresh, Role::NewMember)),
    );
}

#[test]
fn service_token_is_as_agreed() {
    let grant = ServiceGrant {
        service: "market-api".parse().unwrap(),
        token_id: "Zm9yIGEgZ29sZGVuIGpzbw".parse().unwrap(),
    };
    check(
        "service_token.json",
        &opened(&signer().service_token(grant, now()).unwrap()),
    );
}

#[test]
fn jwks_is_as_agreed_and_checks_the_tokens() {
    let written = Jwks {
        keys: vec![signer().public_key().clone()],
    };
    check("jwks.json", &serde_json::to_string(&written).unwrap());

    let read: Jwks = serde_json::from_str(&read("jwks.json")).unwrap();
    assert_eq!(read, written);
    let verifier = Verifier::new(KeySet::from_jwks(&read), scope());
    let token = member_token(MemberToken::Access, Role::Admin);
    let claims = verifier
        .member(token.expose(), MemberToken::Access, now())
        .unwrap();
    assert_eq!(claims.role, Role::Admin);
}

#[test]
fn values_are_as_agreed() {
    #[derive(Serialize)]
    struct Values {
        member: MemberId,
        room: RoomId,
        message: MessageId,
        seq: Seq,
        won: Won,
        units: [Units; 3],
        unix_millis: UnixMillis,
        local_date_time: LocalDateTime,
    }

    let seq = Seq::ZERO.next().unwrap();
    let values = Values {
        member: "42".parse().unwrap(),
        room: RoomId::FIRST_ALLOCATED_BY_CHAT,
        message: MessageId::in_room(RoomId::FIRST_ALLOCATED_BY_CHAT, seq).unwrap(),
        seq,
        won: Won::new(1500),
        units: [1, 15, 20].map(Units::new),
        unix_millis: now(),
        local_date_time: LocalDateTime::from_unix(now()),
    };
    check("values.json", &serde_json::to_string(&values).unwrap());
}
