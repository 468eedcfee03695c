//! The contents of the logs: no secrets, no forged lines (G3).

use std::sync::Arc;

use axum::routing::any;
use axum::{Json, Router};
use fakes::login::{CLIENT_SECRET, Email, FakeLogin, Person};
use fakes::payout::FakePayout;
use fakes::toss::{Call, FakeToss, Fault, How};
use http::header::{AUTHORIZATION, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{Method, StatusCode};
use reqwest::{Client, Response};
use serde_json::{Value, json};
use shared::clock::SystemClock;
use shared::drain::Drain;

use crate::on_both;
use crate::program::{PATIENCE, Program};
use crate::site::{HOOK, PAGE, PAYOUT_KEY, TOSS_KEY, address, bind, serve};
use crate::support::On;

on_both! {
    logs_contain_no_secrets_and_no_forged_lines,
}

/// The site's URL at the providers; the test's browser connects to the program's own port.
const PUBLIC: &str = "http://market.example";

/// A forged line, in red, unless it is escaped.
const LINE: &str = "x\nforged line\r\nforged line\u{1b}[31mred";

const NAME: &str = "이름은 기록에 없다";
const EMAIL: &str = "not-in-logs@example.com";
const PROVIDER_ID: u64 = 987_654_321_987;

/// A browser that records all secrets it handles.
struct Browser {
    client: Client,
    base: String,
    cookies: Vec<(String, String)>,
    secrets: Vec<String>,
}

impl Browser {
    fn new(base: &str) -> Self {
        let client = Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        Self {
            client: client.build().unwrap(),
            base: base.to_owned(),
            cookies: Vec::new(),
            secrets: Vec::new(),
        }
    }

    async fn send(&mut self, method: Method, url: &str, body: Option<Value>) -> Response {
        let url = url.replace(PUBLIC, &self.base);
        let cookies = self.cookies.iter();
        let cookies = cookies.map(|(name, value)| format!("{name}={value}"));
        let mut request = self.client.request(method, &url);
        request = request.header(COOKIE, cookies.collect::<Vec<_>>().join("; "));
        request = request.header(ORIGIN, PAGE);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
            self.secrets.push(value.to_owned());
        }
        response
    }

    /// A GET that redirects; returns the location.
    async fn follow(&mut self, url: &str) -> String {
        let response = self.send(Method::GET, url, None).await;
        assert_eq!(response.status(), StatusCode::FOUND, "{url}");
        let to = response.headers()[LOCATION].to_str().unwrap().to_owned();
        // State, nonce, challenge, code.
        let query = reqwest::Url::parse(&to).unwrap();
        let values = query.query_pairs().map(|(_, value)| value.into_owned());
        let is_secret = |value: &String| value.len() >= 40 && !value.starts_with("http");
        self.secrets.extend(values.filter(is_secret));
        to
    }

    /// To the provider and back as its only person; returns the location.
    async fn log_in(&mut self, provider: &str) -> String {
        let begin = format!("{PUBLIC}/oauth2/authorization/{provider}");
        let page = self.follow(&begin).await;
        let page = self.send(Method::GET, &page, None).await.text().await;
        let page = page.unwrap();
        let link = page.split("href=\"").nth(1).unwrap();
        let link = link.split('"').next().unwrap().replace("&amp;", "&");
        let back = self.follow(&link).await;
        self.follow(&back).await
    }

    async fn status(&mut self, method: Method, path: &str, body: Option<Value>) -> u16 {
        let url = format!("{PUBLIC}{path}");
        self.send(method, &url, body).await.status().as_u16()
    }
}

/// A provider with one person; Naver rejects with a text of its own. A payment gateway and a payout provider.
async fn providers(drain: &Drain) -> (String, Arc<FakeToss>) {
    let listener = bind().await;
    let base = address(&listener);
    let person = Person {
        id: PROVIDER_ID,
        name: NAME.to_owned(),
        email: Some(Email {
            address: EMAIL.to_owned(),
            verified: true,
        }),
    };
    let fake = FakeLogin::new(vec![person], PUBLIC, &base, Arc::new(SystemClock));
    let rude = any(async || Json(json!({"error": LINE, "error_description": LINE})));
    let rude = Router::new().route("/rude/naver/oauth2.0/token", rude);
    let toss = Arc::new(FakeToss::new(TOSS_KEY, Arc::new(SystemClock)));
    let payouts = Arc::new(FakePayout::new(PAYOUT_KEY, Arc::new(SystemClock)));
    let routes = Arc::new(fake)
        .router()
        .merge(rude)
        .nest("/toss", Arc::clone(&toss).router())
        .nest("/payouts", payouts.router());
    serve(drain, listener, routes);
    (base, toss)
}

/// Charges with every kind of answer of the gateway, a refund by cancel and payout, and webhooks.
async fn pay(browser: &mut Browser, toss: &FakeToss, of: &str) {
    let faults: [&[Fault]; 5] = [
        &[],
        &[Fault::LostAfter],
        &[Fault::ServerError],
        &[Fault::Malformed],
        &[Fault::Refused("UNAUTHORIZED_KEY")],
    ];
    for (number, faults) in faults.into_iter().enumerate() {
        let order = format!("order-{of}-{number}");
        let body = json!({"orderId": order, "amount": 1_000});
        let path = "/api/payments/save-amount";
        assert_eq!(browser.status(Method::POST, path, Some(body)).await, 200);
        let key = toss.authorize(&order, 1_000, How::Card);
        toss.script(Call::Confirm, &order, faults);
        let body = json!({"paymentKey": key, "orderId": order, "amount": 1_000});
        let path = "/api/payments/charge";
        let status = browser.status(Method::POST, path, Some(body)).await;
        assert_eq!(status, if faults.is_empty() { 200 } else { 202 });
        browser.secrets.push(key);
    }
    let refund = json!({"requestId": LINE, "refundAmount": 1_000});
    let path = "/api/payments/refund";
    browser.status(Method::POST, path, Some(refund)).await;
    for path in [HOOK, "guess-not-in-logs"] {
        let path = format!("/hooks/toss/{path}");
        let body = json!({"eventType": LINE, "data": {"orderId": LINE, "paymentKey": LINE}});
        browser.status(Method::POST, &path, Some(body)).await;
    }
}

/// All actions of a member, and of an attacker.
async fn visit(browser: &mut Browser) {
    for provider in ["kakao", "google"] {
        assert!(browser.log_in(provider).await.contains("/data"));
        for path in ["info", "export", "cash"] {
            let path = format!("/api/members/{path}");
            assert_eq!(browser.status(Method::GET, &path, None).await, 200);
        }
    }
    assert!(browser.log_in("naver").await.ends_with("error=2009"));
    let begin = format!("{PUBLIC}/oauth2/authorization/kakao");
    let asked = reqwest::Url::parse(&browser.follow(&begin).await).unwrap();
    let (_, state) = asked
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap();
    let mut back: reqwest::Url = format!("{PUBLIC}/login/oauth2/code/kakao").parse().unwrap();
    let why = LINE.replace(['\n', '\r', '\u{1b}'], "\u{2028}");
    back.query_pairs_mut()
        .extend_pairs([("state", &*state), ("error", &*why)]);
    assert!(browser.follow(back.as_str()).await.ends_with("error=2009"));

    let spot = json!({"price": 500, "title": LINE, "content": LINE, "address": LINE,
        "latitude": 37.5, "longitude": 127.0, "startTime": "2026-11-15T09:00:00",
        "endTime": "2026-11-15T18:00:00"});
    let path = "/api/products/wifi";
    assert_eq!(browser.status(Method::POST, path, Some(spot)).await, 200);
    let report = json!({"reason": LINE, "targetCategory": "PRODUCT"});
    let path = "/api/report/1"; // one's own
    assert_eq!(browser.status(Method::POST, path, Some(report)).await, 400);
    let language = json!({"language": LINE, EMAIL: LINE});
    let path = "/api/members/language";
    assert_eq!(
        browser.status(Method::POST, path, Some(language)).await,
        400
    );
    let strange = "/%0aforged%20line%1b%5b31m?email=not-in-logs%40example.com";
    assert_eq!(browser.status(Method::GET, strange, None).await, 404);
    let token = "bm90LWEtdG9rZW4tYXQtYWxs.bm90LWEtdG9rZW4.bm90LWE";
    browser.secrets.push(token.to_owned());
    let url = format!("{}/api/members/cash", browser.base);
    let ask = browser
        .client
        .get(url)
        .header(AUTHORIZATION, format!("Bearer {token}"));
    let ask = ask.header("user-agent", "agent\tforged line");
    assert_eq!(ask.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let path = "/api/auth/logout";
    assert_eq!(browser.status(Method::POST, path, None).await, 200);
}

async fn logs_contain_no_secrets_and_no_forged_lines(on: On) {
    let drain = Drain::new();
    let (providers, toss) = providers(&drain).await;
    let rude = format!("--naver-url={providers}/naver,{providers}/rude/naver");
    for format in ["human", "json"] {
        let flags = [&rude, "--log=debug", &format!("--log-format={format}")];
        let program = Program::start(on, PUBLIC, &providers, &flags).await;
        let mut browser = Browser::new(&program.base);
        visit(&mut browser).await;
        assert!(browser.log_in("kakao").await.contains("/data"));
        pay(&mut browser, &toss, format).await;
        let log = program.stop().await;

        let own = [
            "GET /api/members/info",
            "nobody was logged in: the provider refuses: x",
        ];
        for part in own {
            assert!(log.contains(part), "{part} is missing in {log}");
        }
        let id = PROVIDER_ID.to_string();
        let known = [
            NAME,
            EMAIL,
            "not-in-logs",
            &id,
            CLIENT_SECRET,
            "\u{1b}",
            "PRIVATE",
        ];
        let secrets = browser.secrets.iter().map(String::as_str);
        for secret in secrets.filter(|secret| !secret.is_empty()).chain(known) {
            assert!(!log.contains(secret), "{secret:?} is in {log}");
        }
        for line in log.lines() {
            let is_own = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok_and(|line| line.is_object()),
                _ => line.starts_with("20") && line.get(10..11) == Some("T"),
            };
            assert!(is_own, "{line:?} in {log}");
        }
    }
    drain.hard().cancel();
}
