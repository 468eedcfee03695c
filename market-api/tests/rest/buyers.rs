//! Very many concurrent buyers over HTTP, each with a connection of its own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use market_api::ledger;
use serde_json::{Value, json};
use shared::ids::MemberId;
use shared::limits::OpenFiles;

use crate::on_both;
use crate::site::Site;
use crate::support::{On, crowd, deadlocks};

on_both! {
    one_whole_offer_is_sold_once_to_a_hundred_buyers_over_http,
    one_whole_offer_is_sold_once_to_a_thousand_buyers_over_http,
    split_offer_of_two_gigabytes_is_sold_once_as_a_whole,
    split_offer_of_two_gigabytes_is_sold_twice_in_halves,
    split_offer_of_two_gigabytes_is_sold_once_as_a_combination,
    hundred_requests_with_one_key_have_one_effect_over_http,
}

const DATA: &str = "/api/trades/mobile-data/default";
const SCRAP: &str = "/api/trades/mobile-data/scrap";

/// The first buyer's id; the seller's is the one before.
const FIRST: i64 = 1_001;

/// Bound of a request: a thousand at once, in a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// What each buyer had at first, in won.
const CASH: i64 = 5_000;

/// A site, a seller, and buyers with their tokens.
struct Crowd {
    site: Site,
    seller: String,
    buyers: Vec<String>,
    /// Requests that were sent again.
    busy: AtomicUsize,
}

/// A response: HTTP status, the site's code, and the body.
struct Response {
    status: StatusCode,
    code: u64,
    text: String,
    is_replayed: bool,
}

impl Crowd {
    async fn open(on: On, buyers: i64) -> Self {
        OpenFiles::raise().unwrap();
        let site = Site::start(on).await;
        let last = FIRST + buyers - 1;
        for text in crowd(FIRST - 1, last, CASH) {
            site.sql(&text).await;
        }
        let mut tokens = Vec::new();
        for id in FIRST - 1..=last {
            let member = MemberId::try_from(id).unwrap();
            let issued = site.market.log_in(member).await.unwrap();
            tokens.push(issued.access.expose().clone());
        }
        let buyers = tokens.split_off(1);
        let seller = tokens.remove(0);
        Self {
            site,
            seller,
            buyers,
            busy: AtomicUsize::new(0),
        }
    }

    /// An offer of the seller's; returns its id.
    async fn offer(&self, price: i64, gigabytes: f64, is_split: bool) -> i64 {
        let path = "/api/products/mobile-data";
        let form = json!({ "price": price, "dataAmount": gigabytes, "isSplitType": is_split });
        let offered = self.post(&self.seller, path, &form, None).await;
        assert_eq!(offered.status, StatusCode::OK, "{}", offered.text);
        self.site.number("select max(id) from product").await
    }

    /// A request on a new connection: one connection would order the requests of all. Sent again after the
    /// time that the server states while its database is busy: on a slow machine a crowd in a debug build
    /// waits longer than a request may.
    async fn post(&self, token: &str, path: &str, form: &Value, key: Option<&str>) -> Response {
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let client = client.timeout(PATIENCE).build().unwrap();
        loop {
            let mut request = client
                .post(format!("{}{path}", self.site.base))
                .bearer_auth(token)
                .json(form);
            if let Some(key) = key {
                request = request.header("idempotency-key", key);
            }
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            let text = response.text().await.unwrap();
            let body: Value = serde_json::from_str(&text).unwrap();
            let code = body["code"].as_u64().unwrap();
            let is_busy = [(503, 5_006), (409, 5_010)].contains(&(status.as_u16(), code));
            if !is_busy {
                return Response {
                    status,
                    code,
                    text,
                    is_replayed: headers.contains_key("idempotent-replayed"),
                };
            }
            self.busy.fetch_add(1, Ordering::Relaxed);
            let after = headers
                .get("retry-after")
                .map_or("1", |after| after.to_str().unwrap());
            tokio::time::sleep(Duration::from_secs(after.parse().unwrap())).await;
        }
    }

    /// All buyers send this purchase at once; counts the responses by status and code.
    async fn all_buy(&self, path: &str, form: &Value) -> BTreeMap<(u16, u64), usize> {
        let sent = self
            .buyers
            .iter()
            .map(|buyer| self.post(buyer, path, form, None));
        let mut counts = BTreeMap::new();
        for response in join_all(sent).await {
            let kind = (response.status.as_u16(), response.code);
            *counts.entry(kind).or_default() += 1;
        }
        counts
    }

    /// The ledger holds, this many purchases are in it, and no transactions collided.
    #[expect(clippy::print_stdout, reason = "shown when asked for")]
    async fn close(self, purchases: i64) {
        println!(
            "{} requests met a busy database",
            self.busy.load(Ordering::Relaxed)
        );
        let counted = "select count(*) from trade where kind like 'PURCHASE_%'";
        assert_eq!(self.site.number(counted).await, purchases);
        let db = self.site.market.db();
        assert_eq!(ledger::verify(db).await.unwrap(), []);
        assert_eq!(deadlocks(db, &self.site.url).await, 0);
    }
}

async fn one_whole_offer(on: On, buyers: usize) {
    let crowd = Crowd::open(on, buyers.try_into().unwrap()).await;
    let offer = crowd.offer(3_000, 2.0, false).await;
    let form = json!({ "productId": offer, "mobileDataId": offer, "dataAmount": null });
    let counts = crowd.all_buy(DATA, &form).await;
    assert_eq!(
        counts,
        BTreeMap::from([((200, 0), 1), ((400, 4_003), buyers - 1)])
    );
    crowd.close(1).await;
}

async fn one_whole_offer_is_sold_once_to_a_hundred_buyers_over_http(on: On) {
    one_whole_offer(on, 100).await;
}

async fn one_whole_offer_is_sold_once_to_a_thousand_buyers_over_http(on: On) {
    one_whole_offer(on, 1_000).await;
}

/// Buyers of a split offer of 2.0 GB for 3,000 won.
const BUYERS: usize = 100;

/// Of the buyers this many succeed; the others are refused with this status.
async fn split_offer(crowd: Crowd, path: &str, form: Value, sold: usize, refused: u16) {
    let mut counts = crowd.all_buy(path, &form).await;
    assert_eq!(counts.remove(&(200, 0)), Some(sold));
    // By the offer's state, or by what was left of it a moment before.
    let others = [4_003, 4_005].map(|code| counts.remove(&(refused, code)).unwrap_or(0));
    assert_eq!(others.iter().sum::<usize>(), BUYERS - sold, "{counts:?}");
    let left = "select units_left from product where state = 'SOLD_OUT'";
    assert_eq!(crowd.site.number(left).await, 0);
    crowd.close(sold.try_into().unwrap()).await;
}

/// Each wants this part of it.
async fn parts(on: On, gigabytes: f64, sold: usize) {
    let crowd = Crowd::open(on, BUYERS.try_into().unwrap()).await;
    let offer = crowd.offer(3_000, 2.0, true).await;
    let form = json!({ "productId": offer, "mobileDataId": offer, "dataAmount": gigabytes });
    split_offer(crowd, DATA, form, sold, 400).await;
}

async fn split_offer_of_two_gigabytes_is_sold_once_as_a_whole(on: On) {
    Box::pin(parts(on, 2.0, 1)).await;
}

async fn split_offer_of_two_gigabytes_is_sold_twice_in_halves(on: On) {
    Box::pin(parts(on, 1.0, 2)).await;
}

async fn split_offer_of_two_gigabytes_is_sold_once_as_a_combination(on: On) {
    let crowd = Crowd::open(on, BUYERS.try_into().unwrap()).await;
    crowd.offer(3_000, 2.0, true).await;
    let path = format!("{SCRAP}?dataAmount=2.0");
    let quote = crowd.site.ask(http::Method::GET, &path);
    let quote = quote.bearer(&crowd.buyers[0]).send().await;
    quote.is(200, 0);
    let quote = quote.json()["data"].clone();
    assert_eq!(quote["totalPrice"], 3_000);
    split_offer(crowd, SCRAP, quote, 1, 409).await;
}

async fn hundred_requests_with_one_key_have_one_effect_over_http(on: On) {
    let crowd = Crowd::open(on, 1).await;
    let offer = crowd.offer(2_000, 2.0, true).await;
    let form = json!({ "productId": offer, "mobileDataId": offer, "dataAmount": 0.1 });
    let buyer = &crowd.buyers[0];
    let sent = (0..100).map(|_| crowd.post(buyer, DATA, &form, Some("one")));
    let mut responses = join_all(sent).await;
    let (first, again): (Vec<_>, Vec<_>) =
        responses.iter().partition(|response| !response.is_replayed);
    assert_eq!((first.len(), again.len()), (1, 99));
    responses.dedup_by(|one, other| one.text == other.text && one.status == other.status);
    let texts: Vec<_> = responses.iter().map(|response| &response.text).collect();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(responses[0].status, StatusCode::OK);
    let units = format!("select units_sold from product where id = {offer}");
    assert_eq!(crowd.site.number(&units).await, 1);
    crowd.close(1).await;
}
