//! A stand-in that is served, and its client.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use fakes::toss::{Call, FakeToss, How};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use shared::clock::{ManualClock, UnixMillis};
use shared::drain::Drain;
use tokio::net::TcpListener;

/// 2026-11-30T09:00:00 in Seoul.
pub(crate) const START_MS: i64 = 1_795_996_800_000;

pub(crate) const SECRET: &str = "test_sk_of_tests";

pub(crate) const MINUTE: Duration = Duration::from_secs(60);

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(UnixMillis::try_from(START_MS).unwrap()))
}

pub(crate) fn client() -> Client {
    let client = Client::builder().no_proxy().tls_certs_only([]);
    // No test waits that long; a server that never answers fails one.
    let client = client.redirect(Policy::none()).timeout(MINUTE);
    client.build().unwrap()
}

/// Serves routes on a port of this computer until the test ends: its URL.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(Drain::new().spawn("served", async move {
        axum::serve(listener, router).await.unwrap();
    }));
    url
}

/// Status and JSON; `None` when the connection was closed, or the JSON was cut.
pub(crate) async fn answer(request: RequestBuilder) -> Option<(u16, Value)> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    Some((status, answer.json().await.ok()?))
}

/// The gateway, mounted below a path as programs do.
pub(crate) struct Gateway {
    pub(crate) fake: Arc<FakeToss>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) base: String,
    pub(crate) client: Client,
}

impl Gateway {
    pub(crate) async fn start() -> Self {
        let clock = clock();
        let fake = FakeToss::new(SECRET, clock.clone()).at("http://pay.example/");
        Self::of(fake.allow_origins(&["http://site.example"]), clock).await
    }

    pub(crate) async fn of(fake: FakeToss, clock: Arc<ManualClock>) -> Self {
        let fake = Arc::new(fake);
        let router = Router::new().nest("/toss", fake.clone().router());
        Self {
            fake,
            clock,
            base: format!("{}/toss", serve(router).await),
            client: client(),
        }
    }

    /// A request with the secret key.
    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        let request = self.client.get(format!("{}{path}", self.base));
        request.basic_auth(SECRET, Some(""))
    }

    /// The same with a body, under an idempotency key if there is one.
    pub(crate) fn post(&self, path: &str, key: &str, body: &Value) -> RequestBuilder {
        let request = self.client.post(format!("{}{path}", self.base));
        let request = request.basic_auth(SECRET, Some("")).json(body);
        match key {
            "" => request,
            key => request.header("Idempotency-Key", key),
        }
    }

    pub(crate) fn confirm_request(&self, payment: &str, order: &str, won: i64) -> RequestBuilder {
        let body = json!({"paymentKey": payment, "orderId": order, "amount": won});
        self.post("/v1/payments/confirm", "", &body)
    }

    pub(crate) async fn confirm(&self, payment: &str, order: &str, won: i64) -> (u16, Value) {
        answer(self.confirm_request(payment, order, won))
            .await
            .unwrap()
    }

    pub(crate) async fn cancel(&self, payment: &str, body: &Value) -> (u16, Value) {
        let path = format!("/v1/payments/{payment}/cancel");
        answer(self.post(&path, "", body)).await.unwrap()
    }

    pub(crate) async fn query(&self, payment: &str) -> (u16, Value) {
        let path = format!("/v1/payments/{payment}");
        answer(self.get(&path)).await.unwrap()
    }

    /// Waits for the first request of a kind for an order.
    pub(crate) async fn saw(&self, call: Call, order: &str) {
        let seen = async {
            while self.fake.calls(call, order) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(MINUTE, seen).await.unwrap();
    }

    /// A captured payment by card: its key.
    pub(crate) async fn paid(&self, order: &str, won: i64) -> String {
        let payment = self.fake.authorize(order, won, How::Card);
        let (status, body) = self.confirm(&payment, order, won).await;
        assert_eq!((status, &body["status"]), (200, &json!("DONE")));
        payment
    }
}

/// Status and code of a refusal.
pub(crate) fn refusal(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, answer.1["code"].as_str().unwrap_or_default())
}
