//! Purchases of each kind, their refusals, and the histories.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use shared::clock::{Clock as _, LocalDateTime, SystemClock};

use super::Person;
use super::browser::PATIENCE;
use super::offering::Offers;
use super::paying::{CHARGED_WON, REFUNDED_WON};
use super::refusals;
use super::shape::check;
use super::shapes::{
    CASH_HISTORY, CASH_ROW, GIGABYTES, PAGE, PURCHASE, PURCHASES, QUOTE, TRADED, TRADED_TIME,
};
use super::stomp_page::Stomp;

const DATA: &str = "/api/trades/mobile-data/default";
const SCRAP: &str = "/api/trades/mobile-data/scrap";
const WIFI: &str = "/api/trades/wifi";

/// More than the time to the end of a booking's last minute.
const END_PATIENCE: Duration = Duration::from_secs(120 + PATIENCE.as_secs());

/// What was bought.
#[derive(Debug)]
pub(crate) struct Bought {
    pub(crate) wifi: u64,
    /// In won.
    spent: u64,
}

/// A booking whose alarms come.
pub(crate) struct Booking {
    stomp: Stomp,
    trade: u64,
}

/// What is left to buy from, by the seller.
struct Data {
    whole: u64,
    split: u64,
    dear: u64,
}

/// Buys a whole offer, a part, a combination and Wi-Fi time, whose start comes at once.
pub(crate) async fn walk(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    offers: &Offers,
) -> (Bought, Booking) {
    let data = Data {
        whole: seller.offer_data(900, 0.3, false).await,
        split: seller.offer_data(500, 1.0, true).await,
        dear: seller.offer_data(9_000_000, 0.1, false).await,
    };
    refuse(seller, buyer, &data).await;
    let before = (seller.cash().await, buyer.cash().await);
    let whole = order(data.whole, &Value::Null);
    check("a trade", &buyer.post(DATA, &whole).await, TRADED);
    assert_eq!(
        buyer.refused_with(Method::POST, DATA, &whole).await,
        (400, 4003)
    );
    check(
        "a trade",
        &buyer.post(DATA, &order(data.split, &json!(0.2))).await,
        TRADED,
    );
    assert_eq!(
        buyer
            .refused_with(Method::POST, DATA, &order(data.split, &json!(0.9)))
            .await,
        (400, 4005)
    );
    let combination = buyer.buy_scrap().await;
    let booking = buyer.book(offers.wifi).await;
    refusals::walk(seller, buyer, offers, data.split).await;
    let bought = buyer.get("/api/members/buying-data").await;
    check("bought", &bought, GIGABYTES);
    assert_eq!(bought["data"], 1.0);
    let sold = seller.get("/api/members/selling-data/sold").await;
    assert_eq!(sold["data"], 1.0);
    let spent = 900 + 100 + combination + 700;
    assert_eq!(seller.cash().await, before.0 + spent);
    assert_eq!(buyer.cash().await, before.1 - spent);
    let bought = Bought {
        wifi: booking.trade,
        spent,
    };
    (bought, booking)
}

async fn refuse(seller: &mut Person<'_>, buyer: &mut Person<'_>, data: &Data) {
    let post = Method::POST;
    let own = order(data.whole, &Value::Null);
    assert_eq!(
        seller.refused_with(post.clone(), DATA, &own).await,
        (400, 4002)
    );
    let unknown = order(2_000_000_000, &Value::Null);
    assert_eq!(
        buyer.refused_with(post.clone(), DATA, &unknown).await,
        (400, 3002)
    );
    let dear = order(data.dear, &Value::Null);
    assert_eq!(
        buyer.refused_with(post.clone(), DATA, &dear).await,
        (400, 4004)
    );
    let nothing = order(data.split, &json!(0));
    assert_eq!(
        buyer.refused_with(post.clone(), DATA, &nothing).await,
        (400, 3006)
    );
    let mut price = order(data.whole, &Value::Null);
    price["price"] = 899.into();
    let answer = buyer.ask(post.clone(), DATA, Some(&price)).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["code"]), (409, &json!(4008)));
    assert_eq!(json["data"]["price"], 900, "the present one");
    let listing = json!({"price": 1, "dataAmount": 2.0, "isSplitType": true});
    let path = "/api/products/mobile-data";
    assert_eq!(seller.refused_with(post, path, &listing).await, (400, 3005));
}

fn order(product: u64, amount: &Value) -> Value {
    json!({"productId": product, "mobileDataId": product, "dataAmount": amount})
}

/// The starts of the minutes that are so many after the present one.
pub(super) fn minutes(after: [u64; 2]) -> [String; 2] {
    let now = SystemClock.unix_millis();
    let begun = u64::try_from(now.get() % 60_000).unwrap();
    let present = now.saturating_sub(Duration::from_millis(begun));
    let at = after.map(|minutes| present.saturating_add(Duration::from_secs(60 * minutes)));
    at.map(|time| LocalDateTime::from_unix(time).to_string())
}

impl Person<'_> {
    /// The best combination as it came; its price.
    async fn buy_scrap(&mut self) -> u64 {
        let quote = self.get(&format!("{SCRAP}?dataAmount=0.5")).await;
        check("a quote", &quote, QUOTE);
        assert_eq!(quote["totalAmount"], 0.5);
        // The cheapest offers by far are the seller's.
        let parts = quote["combinations"].as_array().unwrap();
        let sum: u64 = parts
            .iter()
            .map(|part| part["purchasePrice"].as_u64().unwrap())
            .sum();
        assert_eq!(quote["totalPrice"], sum);
        let too_much = format!("{SCRAP}?dataAmount=1.6");
        assert_eq!(self.refused(Method::GET, &too_much).await, 4007);
        let mut cheaper = quote.clone();
        cheaper["totalPrice"] = 1.into();
        let answer = self.ask(Method::POST, SCRAP, Some(&cheaper)).await;
        let json = answer.json();
        assert_eq!((answer.status, &json["code"]), (409, &json!(4008)));
        check("the present quote", &json["data"], QUOTE);
        // Whole rows are sent back.
        let wanted = ["totalAmount", "totalPrice", "combinations"];
        let wanted: Value = wanted
            .map(|name| (name, quote[name].clone()))
            .into_iter()
            .collect();
        check("a trade", &self.post(SCRAP, &wanted).await, TRADED);
        sum
    }

    /// Time from now to the end of this minute, or of the next one where this one is nearly over.
    async fn book(&mut self, spot: u64) -> Booking {
        let mut stomp = self.open_chat().await;
        let [begun, _] = minutes([1, 2]);
        let body = |start: &str, end: &str| json!({"productId": spot, "wifiId": spot, "startTime": start, "endTime": end});
        let none = body(&begun, &begun);
        assert_eq!(
            self.refused_with(Method::POST, WIFI, &none).await,
            (400, 3007)
        );
        let far = body("2999-01-01T10:00:00", "2999-01-01T10:30:00");
        assert_eq!(
            self.refused_with(Method::POST, WIFI, &far).await,
            (400, 4006)
        );
        let second = SystemClock.unix_millis().get() / 1_000 % 60;
        let [start, end] = minutes([0, if second < 40 { 1 } else { 2 }]);
        let traded = self.post(WIFI, &body(&start, &end)).await;
        check("a booking", &traded, TRADED_TIME);
        assert_eq!(traded["price"], 700);
        let alarm = stomp.alarm("START", PATIENCE).await;
        assert_eq!(
            (&alarm["tradeId"], &alarm["memberId"]),
            (&traded["tradeId"], &json!(self.id))
        );
        assert_eq!(alarm["endTime"], end[11..19], "{alarm}");
        let trade = traded["tradeId"].as_u64().unwrap();
        Booking { stomp, trade }
    }

    /// Pages within an answer.
    async fn pages_within(&mut self, path: &str, place: &str) -> (Value, Vec<Value>) {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let answer = self.get(&format!("{path}{cursor}")).await;
            let page = &answer[place];
            check(path, page, PAGE);
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
            if page["pageInfo"]["nextCursorId"].is_null() {
                return (answer, rows);
            }
            cursor = format!("&cursorId={}", page["pageInfo"]["nextCursorId"]);
        }
    }

    pub(crate) async fn purchases(&mut self) -> Vec<Value> {
        let path = "/api/trades/purchase-history?size=2";
        let (answer, rows) = self.pages_within(path, "trades").await;
        check("purchases", &answer, PURCHASES);
        assert_eq!(answer["tradeCount"], rows.len());
        for row in &rows {
            check("a purchase", row, PURCHASE);
        }
        rows
    }

    /// Four purchases, one charge, one refund.
    pub(crate) async fn check_histories(&mut self, bought: &Bought) {
        let rows = self.purchases().await;
        let types: Vec<_> = rows
            .iter()
            .map(|row| row["tradeType"].as_str().unwrap())
            .collect();
        let expected = [
            "PURCHASE_WIFI",
            "PURCHASE_MOBILE_COMPOSITE",
            "PURCHASE_MOBILE_SINGLE",
            "PURCHASE_MOBILE_SINGLE",
        ];
        assert_eq!(types, expected);
        assert_eq!(rows[0]["tradeId"], bought.wifi);
        assert_eq!(rows[0]["dataAmount"], 0.0);
        assert!(
            rows[0]["timeAmount"]
                .as_u64()
                .is_some_and(|minutes| minutes > 0)
        );
        assert_ne!(rows[0]["title"], "");
        assert_eq!(
            (&rows[1]["dataAmount"], &rows[1]["timeAmount"]),
            (&json!(0.5), &json!(0))
        );
        assert_eq!(rows[1]["title"], "");

        let now = LocalDateTime::from_unix(SystemClock.unix_millis()).to_string();
        let month = now[5..7].trim_start_matches('0');
        let path = format!(
            "/api/trades/cash-history?year={}&month={month}&size=2",
            &now[..4]
        );
        let (answer, rows) = self.pages_within(&path, "cashHistorySummary").await;
        check("cash history", &answer, CASH_HISTORY);
        for row in &rows {
            check("a row of cash", row, CASH_ROW);
        }
        let kinds: Vec<_> = rows
            .iter()
            .map(|row| row["classification"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["출금", "구매", "구매", "구매", "구매", "충전"]);
        let month = &answer["cashHistoryMonthlySummary"];
        assert_eq!(month["totalPurchase"], bought.spent);
        assert_eq!(month["totalCharge"], CHARGED_WON);
        assert_eq!(month["totalRefund"], REFUNDED_WON);
        assert_eq!(month["total"], CHARGED_WON - REFUNDED_WON - bought.spent);
    }
}

impl Booking {
    /// The end comes at the end.
    pub(crate) async fn check_end(mut self) {
        let alarm = self.stomp.alarm("END", END_PATIENCE).await;
        assert_eq!(alarm["tradeId"], self.trade, "{alarm}");
    }
}
