//! The pages for people.

use fakes::toss::Status;
use reqwest::Response;
use reqwest::Url;
use reqwest::header::LOCATION;

use crate::support::Gateway;

const SUCCESS: &str = "http://site.example/done?tab=cash";
const FAIL: &str = "http://site.example/failed";

/// The page's address for an order.
fn url(gateway: &Gateway, order: &str, name: &str, success: &str, fail: &str) -> Url {
    let mut url = Url::parse(&format!("{}/pay", gateway.base)).unwrap();
    url.query_pairs_mut()
        .append_pair("orderId", order)
        .append_pair("orderName", name)
        .append_pair("amount", "12000")
        .append_pair("successUrl", success)
        .append_pair("failUrl", fail);
    url
}

async fn choose(gateway: &Gateway, how: &str) -> Response {
    let url = url(gateway, "order-1", "충전", SUCCESS, FAIL);
    let request = gateway.client.post(url).body(format!("how={how}"));
    request.send().await.unwrap()
}

/// Where a browser is sent, with its query.
fn place(response: &Response) -> (String, Vec<(String, String)>) {
    assert_eq!(response.status(), 303);
    let to = Url::parse(response.headers()[LOCATION].to_str().unwrap()).unwrap();
    let pairs = to.query_pairs().into_owned().collect();
    let text = to.as_str();
    let path = text.split('?').next().unwrap_or(text);
    (path.to_owned(), pairs)
}

#[tokio::test]
async fn the_page_offers_ways_to_pay_without_a_script() {
    let gateway = Gateway::start().await;
    let name = "<script>alert('1')</script>\"&";
    let url = url(&gateway, "order-1", name, SUCCESS, FAIL);
    let korean = gateway.client.get(url.clone()).send().await.unwrap();
    assert_eq!(korean.status(), 200);
    let policy = korean.headers()["content-security-policy"]
        .to_str()
        .unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let korean = korean.text().await.unwrap();
    assert!(!korean.contains("<script"), "{korean}");
    assert!(korean.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&quot;&amp;"));
    assert!(korean.contains("12,000원") && korean.contains("카드로 결제"));
    let english = gateway.client.get(url).header("Accept-Language", "en");
    let english = english.send().await.unwrap().text().await.unwrap();
    assert!(english.contains("12,000 won") && english.contains("Pay by card"));
}

#[tokio::test]
async fn payers_come_back_with_the_payment() {
    let gateway = Gateway::start().await;
    let (to, query) = place(&choose(&gateway, "card").await);
    assert_eq!(to, "http://site.example/done");
    let booked = &gateway.fake.book()[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        query,
        [
            pair("tab", "cash"),
            pair("paymentKey", &booked.payment_key),
            pair("orderId", "order-1"),
            pair("amount", "12000"),
        ]
    );
    assert_eq!((booked.status, booked.amount), (Status::InProgress, 12_000));
    let (status, body) = gateway
        .confirm(&booked.payment_key, "order-1", 12_000)
        .await;
    assert_eq!((status, body["orderName"].as_str()), (200, Some("충전")));

    let receipt = format!("{}/receipts/{}", gateway.base, booked.payment_key);
    let receipt = gateway.client.get(receipt).send().await.unwrap();
    assert_eq!(receipt.status(), 200);
    assert!(receipt.text().await.unwrap().contains("12,000원"));
}

#[tokio::test]
async fn a_customer_gives_up_without_an_order() {
    let gateway = Gateway::start().await;
    let (to, query) = place(&choose(&gateway, "cancel").await);
    assert_eq!(to, FAIL);
    assert_eq!(
        query[0],
        ("code".to_owned(), "PAY_PROCESS_CANCELED".to_owned())
    );
    assert!(query.iter().all(|(name, _)| name != "orderId"));
    assert_eq!(gateway.fake.book(), []);
}

#[tokio::test]
async fn a_failed_authentication_comes_back_with_its_order() {
    let gateway = Gateway::start().await;
    let (to, query) = place(&choose(&gateway, "aborted").await);
    assert_eq!(to, FAIL);
    let names: Vec<_> = query.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["code", "message", "orderId"]);
    assert_eq!(
        (&*query[0].1, &*query[2].1),
        ("PAY_PROCESS_ABORTED", "order-1")
    );
    assert_eq!(gateway.fake.book(), []);
}

#[tokio::test]
async fn a_declined_card_fails_at_the_confirm() {
    let gateway = Gateway::start().await;
    let (to, _) = place(&choose(&gateway, "declined").await);
    assert_eq!(to, "http://site.example/done");
    let payment = gateway.fake.book()[0].payment_key.clone();
    let (status, body) = gateway.confirm(&payment, "order-1", 12_000).await;
    assert_eq!(
        (status, body["code"].as_str()),
        (403, Some("REJECT_CARD_PAYMENT"))
    );
}

#[tokio::test]
async fn transfers_are_made_on_a_page() {
    let gateway = Gateway::start().await;
    let mut payments = Vec::new();
    for _ in 0..2 {
        choose(&gateway, "transfer").await;
        let payment = gateway.fake.book().last().unwrap().payment_key.clone();
        assert_eq!(gateway.confirm(&payment, "order-1", 12_000).await.0, 200);
        payments.push(payment);
    }
    let accounts = format!("{}/accounts", gateway.base);
    let page = async || {
        gateway
            .client
            .get(&accounts)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    };
    let list = page().await;
    assert!(payments.iter().all(|payment| list.contains(payment)));
    let act = async |payment: &str, what: &str| {
        let body = format!("key={payment}&do={what}");
        gateway
            .client
            .post(&accounts)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    let paid = act(&payments[0], "pay").await;
    assert_eq!(
        (paid.status().as_u16(), &paid.headers()[LOCATION]),
        (303, &"accounts".parse().unwrap())
    );
    assert_eq!(act(&payments[1], "expire").await.status(), 303);
    assert_eq!(act(&payments[1], "pay").await.status(), 400);
    assert_eq!(act("nothing", "pay").await.status(), 400);
    let statuses: Vec<_> = gateway
        .fake
        .book()
        .iter()
        .map(|booked| booked.status)
        .collect();
    assert_eq!(statuses, [Status::Done, Status::Expired]);
    assert!(!page().await.contains(&payments[0]));
}

#[tokio::test]
async fn browsers_are_sent_to_registered_origins_only() {
    let gateway = Gateway::start().await;
    for (order, success, fail) in [
        ("order-1", "http://evil.example/", FAIL),
        ("order-1", SUCCESS, "http://site.example:81/"),
        ("order-1", SUCCESS, "https://site.example/"),
        ("order-1", "http://site.example@evil.example/", FAIL),
        ("order-1", "javascript:alert(1)", FAIL),
        ("order-1", "/done", FAIL),
        ("short", SUCCESS, FAIL),
        ("order 1", SUCCESS, FAIL),
    ] {
        let url = url(&gateway, order, "충전", success, fail);
        let shown = gateway.client.get(url.clone()).send().await.unwrap();
        assert_eq!(shown.status(), 400, "{url}");
        for how in ["card", "cancel"] {
            let request = gateway.client.post(url.clone()).body(format!("how={how}"));
            let sent = request.send().await.unwrap();
            assert_eq!(sent.status(), 400, "{url}");
            assert_eq!(sent.headers().get(LOCATION), None);
        }
    }
    assert_eq!(choose(&gateway, "nothing").await.status(), 400);
    assert_eq!(gateway.fake.book(), []);
}
