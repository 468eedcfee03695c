//! Cash comes in through the gateway's stand-in, and goes out again.

use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::Person;
use super::browser::PATIENCE;
use super::shape::{check, check_all};
use super::shapes::{CASH, CHARGE, CHARGED, CHECKOUT, REFUND, REFUNDED};
use super::sites::FRONT;

/// As the front end makes them.
const ORDER: &str = "order-5e0f2d9a-7c41-4f0b-9d52-0a6f3c2b1e77";
const REQUEST: &str = "0b8e6a52-3f0e-4a0e-9a55-6d1f5f2c7a10";

/// What is charged.
pub(crate) const CHARGED_WON: u64 = 30_000;

/// What is paid out again.
pub(crate) const REFUNDED_WON: u64 = 10_000;

impl Person<'_> {
    pub(crate) async fn cash(&mut self) -> u64 {
        let cash = self.get("/api/members/cash").await;
        check("cash", &cash, CASH);
        cash["cash"].as_u64().unwrap()
    }

    /// Saves the amount, pays on the page of the stand-in, and charges on the success page, which is
    /// then loaded again.
    pub(crate) async fn charge(&mut self) {
        let before = self.cash().await;
        let order = json!({"orderId": ORDER, "amount": CHARGED_WON});
        self.post("/api/payments/save-amount", &order).await;
        let key = self.pay(ORDER, "card").await;

        // The amount in the address is anybody's to write.
        let other = json!({"orderId": ORDER, "amount": CHARGED_WON - 1});
        let path = "/api/payments/verify-amount";
        let answer = self.ask(Method::POST, path, Some(&other)).await;
        assert_eq!((answer.status, &answer.json()["code"]), (200, &json!(5003)));
        let paid = json!({"paymentKey": key, "orderId": ORDER, "amount": CHARGED_WON});
        let mut wrong = paid.clone();
        wrong["amount"] = (CHARGED_WON - 1).into();
        let charge = "/api/payments/charge";
        assert_eq!(
            self.refused_with(Method::POST, charge, &wrong).await,
            (400, 5003)
        );
        assert_eq!(self.cash().await, before);

        let mut first = Value::Null;
        for load in 0..2 {
            self.post(path, &order).await;
            let charged = self.post(charge, &paid).await;
            check("a charge", &charged, CHARGED);
            assert_eq!(charged["totalAmount"], CHARGED_WON);
            match load {
                0 => first = charged,
                _ => assert_eq!(charged, first, "a reload charges nothing more"),
            }
        }
        assert_eq!(self.cash().await, before + CHARGED_WON);
        let charges = self.get("/api/payments/charges?size=2").await;
        check_all("charges", &charges["data"], CHARGE);
        let row = &charges["data"][0];
        assert_eq!(
            (&row["orderId"], &row["state"]),
            (&json!(ORDER), &json!("CAPTURED"))
        );
    }

    /// A card that is declined, and a transfer that is waited for.
    pub(crate) async fn charge_in_vain(&mut self) {
        let before = self.cash().await;
        for (how, status, code) in [("declined", 400, 5001), ("transfer", 202, 5008)] {
            let order = format!("order-{how}");
            let saved = json!({"orderId": order, "amount": CHARGED_WON});
            self.post("/api/payments/save-amount", &saved).await;
            let key = self.pay(&order, how).await;
            let paid = json!({"paymentKey": key, "orderId": order, "amount": CHARGED_WON});
            let path = "/api/payments/charge";
            let refused = self.refused_with(Method::POST, path, &paid).await;
            assert_eq!(refused, (status, code), "{how}");
        }
        assert_eq!(self.cash().await, before);
    }

    /// On the page that the server names; the key of the payment.
    async fn pay(&mut self, order: &str, how: &str) -> String {
        let checkout = self.get("/api/payments/checkout").await;
        check("checkout", &checkout, CHECKOUT);
        let page = checkout["payPage"].as_str().expect("a page for payments");
        let (success, fail) = (
            format!("{FRONT}/payment/success"),
            format!("{FRONT}/payment/fail"),
        );
        let amount = CHARGED_WON.to_string();
        let query = [
            ("orderId", order),
            ("orderName", "캐시 충전"),
            ("amount", &amount),
            ("successUrl", &success),
            ("failUrl", &fail),
        ];
        let page: String = Url::parse_with_params(page, query).unwrap().into();
        let (_, text) = self.browser.go(&page).await;
        assert!(text.contains("value=\"card\""), "{text}");
        let (gave_up, _) = self.browser.submit(&page, "how=cancel").await;
        assert!(gave_up.as_str().starts_with(&fail), "{gave_up}");
        let (landed, _) = self.browser.submit(&page, &format!("how={how}")).await;
        assert!(landed.as_str().starts_with(&success), "{landed}");
        let value = |name: &str| {
            let mut pairs = landed.query_pairs();
            let pair = pairs.find(|(key, _)| key == name);
            pair.unwrap_or_else(|| panic!("no {name} in {landed}"))
                .1
                .into_owned()
        };
        assert_eq!(
            (value("orderId").as_str(), value("amount")),
            (order, amount)
        );
        value("paymentKey")
    }

    /// Part of the cash, and the same request again.
    pub(crate) async fn pay_out(&mut self) {
        let before = self.cash().await;
        let path = "/api/payments/refund";
        for (request, amount, code) in [
            (REQUEST, 0, 5007),
            (REQUEST, before + 1, 5007),
            ("", REFUNDED_WON, 5004),
        ] {
            let wrong = json!({"requestId": request, "refundAmount": amount});
            assert_eq!(
                self.refused_with(Method::POST, path, &wrong).await,
                (400, code)
            );
        }
        let refund = json!({"requestId": REQUEST, "refundAmount": REFUNDED_WON});
        let accepted = self.post(path, &refund).await;
        check("a refund", &accepted, REFUNDED);
        assert_eq!(accepted["refundPrice"], REFUNDED_WON);
        assert_eq!(accepted["remainCash"], before - REFUNDED_WON);
        assert_eq!(self.post(path, &refund).await, accepted, "one refund");
        let other = json!({"requestId": REQUEST, "refundAmount": 1});
        assert_eq!(
            self.refused_with(Method::POST, path, &other).await,
            (400, 5005)
        );
        assert_eq!(self.cash().await, before - REFUNDED_WON);

        let mut again = interval(Duration::from_millis(50));
        let done = async {
            loop {
                let refunds = self.get("/api/payments/refunds?size=2").await;
                check_all("refunds", &refunds["data"], REFUND);
                if refunds["data"][0]["state"] == "DONE" {
                    return refunds["data"][0]["canceled"].clone();
                }
                again.tick().await;
            }
        };
        let canceled = timeout(PATIENCE, done).await.expect("it is paid out");
        assert_eq!(canceled, REFUNDED_WON, "back to the card");
    }
}
