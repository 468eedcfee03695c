//! Charges and refunds through the stand-ins of the whole program.

use std::path::Path;
use std::time::Duration;

use reqwest::{StatusCode, Url};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{PATIENCE, Server, client, folder};

const ORDER: &str = "order-5e0f2d9a-7c41-4f0b-9d52-0a6f3c2b1e77";
const WON: i64 = 5_000;

/// A member at a server.
struct Member<'a> {
    server: &'a Server,
    token: String,
}

impl<'a> Member<'a> {
    async fn at(server: &'a Server) -> Self {
        let login: Value = server.log_in(1).await.json().await.unwrap();
        let token = login["data"]["accessToken"].as_str().unwrap().to_owned();
        Self { server, token }
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = client().post(self.server.url(path)).json(body);
        let answer = request.bearer_auth(&self.token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn data(&self, path: &str) -> Value {
        self.server.get(path, &self.token).await.1["data"].clone()
    }

    async fn cash(&self) -> i64 {
        self.data("/api/members/cash").await["cash"]
            .as_i64()
            .unwrap()
    }

    /// Saves the order, and pays it on the page: the payment's key.
    async fn pay(&self, how: &str) -> String {
        let order = json!({"orderId": ORDER, "amount": WON});
        let saved = self.post("/api/payments/save-amount", &order).await;
        assert_eq!(saved.0, StatusCode::OK, "{saved:?}");
        let checkout = self.data("/api/payments/checkout").await;
        assert_eq!(checkout["available"], true);
        let page = checkout["payPage"].as_str().unwrap();
        let back = format!("http://localhost:{}/", self.server.port);
        let amount = WON.to_string();
        let query = [
            ("orderId", ORDER),
            ("orderName", "cash"),
            ("amount", &amount),
            ("successUrl", &back),
            ("failUrl", &back),
        ];
        let request = client().post(Url::parse_with_params(page, query).unwrap());
        let paid = request.body(format!("how={how}")).send().await.unwrap();
        let to = paid.headers()["location"].to_str().unwrap().to_owned();
        let (_, key) = to.split_once("paymentKey=").expect("back at the site");
        key.split('&').next().unwrap().to_owned()
    }

    async fn charge(&self, key: &str) -> (StatusCode, Value) {
        let paid = json!({"paymentKey": key, "orderId": ORDER, "amount": WON});
        self.post("/api/payments/charge", &paid).await
    }

    /// Waits until the newest row of a list has this state.
    async fn reaches(&self, list: &str, state: &str) -> Value {
        let looking = async {
            loop {
                let rows = self.data(list).await;
                let row = rows["data"][0].clone();
                if row["state"] == state {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect(state)
    }
}

#[tokio::test]
async fn a_charge_has_the_same_answer_after_a_kill() {
    let (_here, data) = folder();
    let mut server = Server::start(Path::new(&data)).await;
    let member = Member::at(&server).await;
    let before = member.cash().await;
    let key = member.pay("card").await;
    let (status, first) = member.charge(&key).await;
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["data"]["totalAmount"], WON);
    server.child.kill().await.unwrap();

    let server = Server::start(Path::new(&data)).await;
    let member = Member::at(&server).await;
    let (status, again) = member.charge(&key).await;
    assert_eq!((status, &again["data"]), (StatusCode::OK, &first["data"]));
    assert_eq!(member.cash().await, before + WON);

    // Of the charge the gateway's stand-in still has its part.
    let refund = json!({"requestId": "one", "refundAmount": WON + 1_000});
    let (status, accepted) = member.post("/api/payments/refund", &refund).await;
    assert_eq!(status, StatusCode::OK, "{accepted}");
    let row = member.reaches("/api/payments/refunds?size=1", "DONE").await;
    assert_eq!(
        (&row["canceled"], &row["paidOut"]),
        (&json!(WON), &json!(1_000))
    );
}

#[tokio::test]
async fn a_payment_that_was_authorized_before_a_kill_is_charged_after_it() {
    let (_here, data) = folder();
    let mut server = Server::start(Path::new(&data)).await;
    let key = Member::at(&server).await.pay("transfer").await;
    server.child.kill().await.unwrap();

    let server = Server::start(Path::new(&data)).await;
    let member = Member::at(&server).await;
    let before = member.cash().await;
    let (status, waits) = member.charge(&key).await;
    assert_eq!(
        (status, &waits["code"]),
        (StatusCode::ACCEPTED, &json!(5008))
    );
    let row = member
        .reaches("/api/payments/charges?size=1", "WAITING")
        .await;
    assert!(row["dueAt"].is_string(), "{row}");
    // The transfer comes late; the webhook says so.
    let accounts = client().post(server.url("/fake/toss/accounts"));
    let form = format!("key={key}&do=pay");
    let done = accounts.body(form).send().await.unwrap();
    assert_eq!(done.status(), StatusCode::SEE_OTHER);
    member
        .reaches("/api/payments/charges?size=1", "CAPTURED")
        .await;
    assert_eq!(member.cash().await, before + WON);
}
