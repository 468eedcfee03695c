//! Invalid tokens: forged ones, and ours in the wrong context (A1).

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::Method;
use serde_json::{Value, json};
use shared::claims::generate_key;
use shared::config::Secret;
use tokio::net::TcpListener;

use crate::on_both;
use crate::site::{Ask, Cookies, Site};
use crate::support::On;

on_both! {
    forged_tokens_are_refused,
    own_tokens_are_accepted_only_in_their_context,
    key_urls_in_tokens_are_not_fetched,
}

fn cash(site: &Site) -> Ask<'_> {
    site.ask(Method::GET, "/api/members/cash")
}

/// Decodes one of a token's first two parts.
fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token's header.
pub(crate) fn header(token: &str) -> Value {
    decode(token.split('.').next().unwrap())
}

/// A token's claims.
pub(crate) fn claims(token: &str) -> Value {
    decode(token.split('.').nth(1).unwrap())
}

/// The value with one field replaced.
pub(crate) fn with(value: &Value, name: &str, member: Value) -> Value {
    let mut changed = value.clone();
    changed[name] = member;
    changed
}

/// A token with any header and claims, correctly signed with this key.
pub(crate) fn signed(pem: &Secret<String>, header: &Value, claims: &Value) -> String {
    let lines = pem.expose().lines().filter(|line| !line.starts_with('-'));
    let key = STANDARD.decode(lines.collect::<String>()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key).unwrap();
    let text = format!("{}.{}", encode(header), encode(claims));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The market's own key.
pub(crate) fn ours(site: &Site) -> Secret<String> {
    Secret::new(std::fs::read_to_string(site.keys.join("first.pem")).unwrap())
}

/// The token is rejected wherever it is sent.
async fn refused(site: &Site, token: &str) {
    let answer = cash(site).bearer(token).send().await;
    assert_eq!((answer.status, answer.code()), (401, 2007), "{token}");
    let in_access = Cookies {
        access: Some(token.to_owned()),
        refresh: None,
    };
    let in_refresh = Cookies {
        access: None,
        refresh: Some(token.to_owned()),
    };
    for cookies in [in_access, in_refresh] {
        let answer = cash(site).by(&cookies).send().await;
        assert_eq!((answer.status, answer.code()), (401, 2007), "{token}");
    }
}

async fn forged_tokens_are_refused(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    let token = cookies.access.clone().unwrap();
    let (header, claims) = (header(&token), claims(&token));
    let parts: Vec<_> = token.split('.').collect();
    let mut forged = vec![token[..token.len() - 2].to_owned(), format!("{token}A")];

    let mut signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
    signature[7] ^= 1;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    forged.push(format!("{}.{}.{signature}", parts[0], parts[1]));
    for alg in ["none", "None", "HS256", "ES384"] {
        let header = encode(&with(&header, "alg", json!(alg)));
        forged.push(format!("{header}.{}.", parts[1]));
        forged.push(format!("{header}.{}.{}", parts[1], parts[2]));
    }
    // The public key used as an HMAC secret.
    let published = site.ask(Method::GET, "/.well-known/jwks.json").send().await;
    let key = published.json()["keys"][0].to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let text = format!(
        "{}.{}",
        encode(&with(&header, "alg", json!("HS256"))),
        parts[1]
    );
    let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&key, text.as_bytes()));
    forged.push(format!("{text}.{signature}"));
    for (name, value) in [
        ("sub", json!("2")),
        ("role", json!("ROLE_ADMIN")),
        ("exp", json!(4_102_444_800_i64)),
        ("aud", json!("other")),
    ] {
        let claims = encode(&with(&claims, name, value));
        forged.push(format!("{}.{claims}.{}", parts[0], parts[2]));
    }
    let stranger = generate_key().unwrap();
    let own_name = with(&header, "kid", json!(stranger.public.kid()));
    forged.push(signed(&stranger.private_pem, &header, &claims));
    forged.push(signed(&stranger.private_pem, &own_name, &claims));
    for token in forged {
        refused(&site, &token).await;
    }
    cash(&site).by(&cookies).send().await.is(200, 0);
}

/// All of these are correctly signed with the market's own key.
async fn own_tokens_are_accepted_only_in_their_context(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    let (access, refresh) = (cookies.access.unwrap(), cookies.refresh.unwrap());
    let (key, header, claims) = (ours(&site), header(&access), claims(&access));
    let good = signed(&key, &header, &claims);
    cash(&site).bearer(&good).send().await.is(200, 0);

    cash(&site).bearer(&refresh).send().await.is(401, 2007);
    let wrong_places = Cookies {
        access: Some(refresh),
        refresh: Some(access),
    };
    cash(&site).by(&wrong_places).send().await.is(401, 2007);

    let now = site.now_ms() / 1_000;
    for (name, value) in [
        ("aud", json!("another")),
        ("iss", json!("another")),
        ("exp", json!(now)),
        ("nbf", json!(now + 1)),
        ("typ", json!("service")),
        ("typ", Value::Null),
        ("sid", json!("another")),
        ("sub", json!("2")),
        ("sub", json!("person1@example.com")),
    ] {
        refused(&site, &signed(&key, &header, &with(&claims, name, value))).await;
    }
    let service = json!({"iss": "dapanda", "aud": "dapanda", "sub": "market-api", "typ": "service",
        "iat": now, "exp": now + 300, "jti": "t"});
    // The claims of a provider's ID token (OpenID Connect).
    let id_token = json!({"iss": "dapanda", "aud": "dapanda", "sub": claims["sub"], "nonce": "n",
        "iat": now, "exp": now + 300});
    for claims in [service, id_token] {
        refused(&site, &signed(&key, &header, &claims)).await;
    }
    // The role comes from the database, whatever the token says.
    let promoted = with(&claims, "role", json!("ROLE_ADMIN"));
    let promoted = signed(&key, &header, &promoted);
    let order = site.ask(Method::POST, "/api/admin/members/1/block");
    order.bearer(&promoted).send().await.is(403, 1003);
}

async fn key_urls_in_tokens_are_not_fetched(on: On) {
    let site = Site::start(on).await;
    let access = site.log_in("kakao", 1).await.access.unwrap();
    let stranger = generate_key().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/keys", listener.local_addr().unwrap());
    let own_name = with(&header(&access), "kid", json!(stranger.public.kid()));
    let jwk = serde_json::to_value(&stranger.public).unwrap();
    for (name, value) in [("jku", json!(url)), ("x5u", json!(url)), ("jwk", jwk)] {
        for header in [&own_name, &header(&access)] {
            let header = with(header, name, value.clone());
            let token = signed(&stranger.private_pem, &header, &claims(&access));
            refused(&site, &token).await;
        }
    }
    let asked = futures_util::FutureExt::now_or_never(listener.accept());
    assert!(asked.is_none(), "{asked:?}");
}
