//! Guesses of secrets and logins (H1): the answer to a guess does not depend on what it guesses at.
//!
//! There are no passwords. The secret part of the webhook's path is compared in constant time
//! (`payments/http/hook.rs`); tokens are checked by public keys, so there is no secret to compare; ids of sessions and
//! login attempts have 128 random bits at least and are looked up, not compared.

use http::Method;
use serde_json::json;
use shared::claims::generate_key;

use crate::chats::ChatPort;
use crate::on_both;
use crate::site::{Answer, HOOK, Site};
use crate::support::On;
use crate::tokens::{claims, header, ours, signed, with};

on_both! {
    guesses_of_the_webhooks_path_get_one_answer,
    guesses_of_a_member_get_one_answer,
    guesses_of_a_login_attempt_get_one_answer,
    guesses_of_a_service_get_one_answer,
}

/// What a client sees of a response, without what differs between any two.
fn seen(answer: &Answer) -> (u16, Vec<(String, String)>, &str) {
    let headers = answer.headers.iter();
    let mut headers: Vec<_> = headers
        .filter(|(name, _)| !["date", "x-request-id"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), format!("{value:?}")))
        .collect();
    headers.sort();
    (answer.status, headers, &answer.text)
}

/// All of them look the same to a client, and are refusals.
fn assert_one(answers: &[Answer], status: u16) {
    for answer in answers {
        assert_eq!(seen(answer), seen(&answers[0]));
        assert_eq!(answer.status, status, "{answer:?}");
    }
}

async fn guesses_of_the_webhooks_path_get_one_answer(on: On) {
    let site = Site::start(on).await;
    let without = site.second(&["--toss-webhook-secret=off"]).await;
    let length = HOOK.len();
    let guesses = [
        "x".to_owned(),
        "x".repeat(length),
        HOOK[..length - 1].to_owned(),
        format!("{}x", &HOOK[..length - 1]),
        format!("x{}", &HOOK[1..]),
        format!("{HOOK}x"),
        HOOK.to_ascii_uppercase(),
    ];
    let mut answers = Vec::new();
    for guess in guesses {
        let path = format!("/hooks/toss/{guess}");
        for site in [&site, &without] {
            let ask = site.ask(Method::POST, &path).body("{}");
            answers.push(ask.send().await);
        }
    }
    let path = format!("/hooks/toss/{HOOK}");
    let ask = without.ask(Method::POST, &path).body("{}");
    answers.push(ask.send().await);
    assert_one(&answers, 404);
    let ask = site.ask(Method::POST, &path).body("{}");
    assert_eq!(ask.send().await.status, 200);
}

async fn guesses_of_a_member_get_one_answer(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let (token, other) = (one.access.unwrap(), other.access.unwrap());
    let (header, own) = (header(&token), claims(&token));
    let others = claims(&other)["sid"].clone();
    let stranger = generate_key().unwrap();
    let mut answers = Vec::new();
    for member in ["1", "2", "3", "2147483647"] {
        let claims = with(&own, "sub", json!(member));
        let forged = signed(&stranger.private_pem, &header, &claims);
        let unknown_key = with(&header, "kid", json!(stranger.public.kid()));
        let unknown_key = signed(&stranger.private_pem, &unknown_key, &claims);
        // As if the key had leaked: a session that does not exist, or is another member's.
        let no_session = with(&claims, "sid", json!("Zm9yIGEgZ29sZGVuIGZpbA"));
        let no_session = signed(&ours(&site), &header, &no_session);
        let foreign = with(&claims, "sid", others.clone());
        let mut tokens = vec![forged, unknown_key, no_session];
        if member != "2" {
            tokens.push(signed(&ours(&site), &header, &foreign));
        }
        for token in tokens {
            let ask = site.ask(Method::GET, "/api/members/cash").bearer(&token);
            answers.push(ask.send().await);
        }
    }
    assert_one(&answers, 401);
}

async fn guesses_of_a_login_attempt_get_one_answer(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site.choose(&to_provider, 1).await;
    let (other, _) = site.begin("google").await;
    let mut unknown: reqwest::Url = to_site.parse().unwrap();
    let pairs: Vec<_> = unknown.query_pairs().into_owned().collect();
    let pairs = pairs.iter().map(|(name, value)| match name.as_str() {
        "state" => (name.as_str(), "x".repeat(value.len())),
        _ => (name.as_str(), value.clone()),
    });
    unknown.query_pairs_mut().clear().extend_pairs(pairs);
    let mut answers = Vec::new();
    for (url, cookie) in [
        (to_site.as_str(), other.as_str()),
        (unknown.as_str(), browser.as_str()),
        (unknown.as_str(), other.as_str()),
    ] {
        let ask = site.ask_url(Method::GET, url).header("cookie", cookie);
        answers.push(ask.send().await);
    }
    assert_one(&answers, 302);
    assert!(answers[0].location().ends_with("error=2006"));
    let ask = site
        .ask_url(Method::GET, &to_site)
        .header("cookie", &browser);
    assert!(!ask.send().await.location().contains("error"));
}

/// The chat server's internal API.
async fn guesses_of_a_service_get_one_answer(on: On) {
    let port = ChatPort::bind().await;
    let site = Site::start_with(on, &[&port.flag]).await;
    let base = port.flag.strip_prefix("--chat-url=").unwrap().to_owned();
    let _chat = port.serve(&site).await;
    let token = site.log_in("kakao", 1).await.access.unwrap();
    let (header, own) = (header(&token), claims(&token));
    let stranger = generate_key().unwrap();
    let mut answers = Vec::new();
    for service in ["market-api", "nobody"] {
        let claims = json!({
            "iss": own["iss"], "aud": own["aud"], "sub": service, "typ": "service",
            "iat": own["iat"], "exp": own["exp"], "jti": own["jti"],
        });
        for kid in [&header["kid"], &json!(stranger.public.kid())] {
            let header = with(&header, "kid", kid.clone());
            let token = signed(&stranger.private_pem, &header, &claims);
            let url = format!("{base}/internal/rooms/1");
            let ask = site.ask_url(Method::PUT, &url).json(&json!({}));
            answers.push(ask.bearer(&token).send().await);
        }
    }
    assert_one(&answers, 401);
}
