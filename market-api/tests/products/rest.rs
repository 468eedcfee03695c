//! The products' routes, as the front end uses them.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use http::header::{AUTHORIZATION, COOKIE};
use http::{Method, Request};
use market_api::auth::{Auth, CookieSettings, KeyRing};
use market_api::http::{HttpStack, Limits, public_router};
use market_api::images::Images;
use market_api::images::local::LocalImages;
use market_api::products::routes;
use market_api::trades::{self, Fees, Trades};
use serde_json::{Value, json};
use shared::claims::{Role, TokenScope};
use shared::clock::Clock;
use shared::web::{Log, RequestIds};
use tempfile::TempDir;
use tower::ServiceExt as _;

use crate::fixtures::{Market, member};
use crate::on_both;
use crate::support::On;

on_both! {
    mobile_data_is_offered_listed_changed_and_deleted,
    spots_are_offered_listed_changed_and_deleted,
    exact_position_of_a_hotspot_is_for_its_seller_and_buyers,
    no_list_leads_to_the_exact_position_of_a_hotspot,
    pages_lead_to_each_other_and_end,
    a_first_page_may_be_asked_for_as_0_and_a_large_page_is_cut,
    invalid_requests_are_refused_with_their_code,
    invalid_form_is_refused_with_its_code,
    nobody_is_refused,
    market_price_and_own_offers_are_listed,
}

const SITE: &str = "http://site.example";

/// A market's router.
struct Site {
    market: Market,
    routes: Router,
    auth: Auth,
    images: Images,
    store: Router,
    _folder: TempDir,
}

impl Site {
    async fn open(on: On) -> Self {
        let market = Market::open(on).await;
        market.members(3, 100).await;
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::clone(&market.base.clock) as _;
        let scope = TokenScope {
            issuer: "https://market.example".to_owned(),
            audience: "dapanda".to_owned(),
        };
        let keys = KeyRing::open(&folder.path().join("keys"), scope, Arc::clone(&clock)).unwrap();
        let cookies = CookieSettings {
            domain: None,
            secure: true,
        };
        let (db, metrics) = (market.base.db.clone(), Arc::clone(&market.metrics));
        let auth = Auth::new(
            db.clone(),
            Arc::new(keys),
            Arc::clone(&clock),
            Arc::clone(&metrics),
            cookies,
        );
        let pictures = folder.path().join("pictures");
        let store = Arc::new(LocalImages::new(pictures, SITE, Arc::clone(&clock)));
        let images = Images::new(
            Arc::clone(&store) as _,
            db,
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let http_stack = HttpStack {
            log: Log {
                clock: Arc::clone(&clock),
                request_ids: Arc::new(RequestIds::new(1)),
            },
            metrics,
            limits: Arc::new(Limits::new(None, None, &clock)),
            allowed_origins: Arc::new([]),
            trusted_hops: 0,
        };
        let routes =
            routes(market.products.clone(), images.clone()).merge(trades::routes(Trades::new(
                market.base.db.clone(),
                market.cache.clone(),
                Fees::default(),
            )));
        Self {
            routes: public_router(&http_stack, routes).layer(Extension(auth.clone())),
            store: store.router(&[], http_stack.log.clone()),
            market,
            auth,
            images,
            _folder: folder,
        }
    }

    async fn token(&self, id: i64) -> String {
        let cookies = self.auth.begin(member(id), Role::Member).await.unwrap();
        let access = cookies[0].to_str().unwrap().split(';').next().unwrap();
        access.strip_prefix("accessToken=").unwrap().to_owned()
    }

    /// The status and the body of a response.
    async fn ask(&self, method: Method, path: &str, by: i64, body: Option<Value>) -> (u16, Value) {
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(AUTHORIZATION, format!("Bearer {}", self.token(by).await))
            .body(body)
            .unwrap();
        let address: SocketAddr = "127.0.0.1:5000".parse().unwrap();
        request.extensions_mut().insert(ConnectInfo(address));
        let answer = self.routes.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    /// The `data` of a successful response.
    async fn data(&self, method: Method, path: &str, by: i64, body: Option<Value>) -> Value {
        let (status, answer) = self.ask(method, path, by, body).await;
        assert_eq!(
            (status, &answer["code"]),
            (200, &json!(0)),
            "{path}: {answer}"
        );
        answer["data"].clone()
    }

    /// The code of a refusal.
    async fn refused(&self, method: Method, path: &str, by: i64, body: Option<Value>) -> i64 {
        let (status, answer) = self.ask(method, path, by, body).await;
        assert_eq!(status, 400, "{path}: {answer}");
        answer["code"].as_i64().unwrap()
    }

    /// A picture uploaded by a member.
    async fn picture(&self, by: i64) -> String {
        let names = ["a.png".to_owned()];
        let place = self
            .images
            .place(member(by), &names)
            .await
            .unwrap()
            .remove(0);
        let uri = place.upload_url.strip_prefix(SITE).unwrap().to_owned();
        let png: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0";
        let request = Request::put(uri).body(Body::from(png)).unwrap();
        let answer = self.store.clone().oneshot(request).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        place.public_url
    }
}

async fn mobile_data_is_offered_listed_changed_and_deleted(on: On) {
    let site = Site::open(on).await;
    let path = "/api/products/mobile-data";
    let empty = site
        .data(Method::GET, &format!("{path}?size=2"), 1, None)
        .await;
    assert_eq!(empty["data"], json!([]));
    // The front end sends more fields than the form has.
    let form = json!({"price": 101, "dataAmount": 2.0, "isSplitType": true, "memberId": 9});
    site.data(Method::POST, path, 1, Some(form)).await;
    let page = site
        .data(Method::GET, &format!("{path}?size=2&dataAmount=2"), 2, None)
        .await;
    let id = page["data"][0]["productId"].as_i64().unwrap();
    let row = json!({
        "productId": id, "itemId": id, "price": 120, "memberName": "member 1",
        "profileImageUrl": null, "remainAmount": 2.0, "pricePer100MB": 6, "splitType": true,
        "updatedAt": "2026-11-15T12:00:00.000",
    });
    assert_eq!(page["data"], json!([row]));
    assert_eq!(
        page["pageInfo"],
        json!({"nextCursorId": null, "hasNext": false, "size": 2})
    );

    let form = json!({"productId": id, "price": 100, "changedAmount": 1.0, "isSplitType": false});
    let changed = site.data(Method::PUT, path, 1, Some(form)).await;
    assert_eq!(changed, json!({"productId": id}));
    let view = site
        .data(Method::GET, &format!("{path}/{id}"), 1, None)
        .await;
    let expected = json!({
        "productId": id, "itemId": id, "price": 100, "memberId": 1, "memberName": "member 1",
        "profileImageUrl": null, "remainAmount": 1.0, "pricePer100MB": 10, "averageRate": 0.0,
        "reviewCount": 0, "myProduct": true, "splitType": false,
        "updatedAt": "2026-11-15T12:00:00.000", "productState": "ACTIVE",
    });
    assert_eq!(view, expected);
    let (status, deleted) = site
        .ask(Method::DELETE, &format!("/api/products/{id}"), 1, None)
        .await;
    assert_eq!(
        (status, &deleted["code"], deleted.get("data")),
        (200, &json!(0), None)
    );
    let again = site
        .refused(Method::DELETE, &format!("/api/products/{id}"), 1, None)
        .await;
    assert_eq!(again, 3008);
}

async fn spots_are_offered_listed_changed_and_deleted(on: On) {
    let site = Site::open(on).await;
    for kind in ["wifi", "hotspot"] {
        let path = format!("/api/products/{kind}");
        let (own, other) = (site.picture(1).await, site.picture(1).await);
        let mut form = json!({
            "price": 500, "title": " Café ", "content": "fast", "latitude": 37.5, "longitude": 127.0,
            "address": "Seoul", "startTime": "2026-11-15T09:30:00", "endTime": "2026-11-16T18:00:00",
            "images": [own],
        });
        site.data(Method::POST, &path, 1, Some(form.clone())).await;
        let theirs = site
            .refused(Method::POST, &path, 2, Some(form.clone()))
            .await;
        assert_eq!(theirs, 3013, "a picture of another member");

        let list = format!("{path}?size=5&latitude=37.51&longitude=127&open=true");
        let page = site.data(Method::GET, &list, 2, None).await;
        let id = page["data"][0]["productId"].as_i64().unwrap();
        // A hotspot's address is for its buyers.
        let address = if kind == "wifi" { "Seoul" } else { "" };
        let row = json!({
            "productId": id, "itemId": id, "price": 500, "memberName": "member 1",
            "profileImageUrl": null, "title": "Café", "imageUrl": own, "latitude": 37.5,
            "longitude": 127.0, "address": address, "averageRate": 0.0, "distanceKm": 1.112,
            "open": true, "startTime": "2026-11-15T09:30:00.000", "endTime": "2026-11-16T18:00:00.000",
        });
        assert_eq!(page["data"], json!([row]));

        form["productId"] = json!(id);
        form["title"] = json!("Other");
        form["imageUrls"] = json!([other, own]);
        site.data(Method::PUT, &path, 1, Some(form.clone())).await;
        assert_eq!(site.refused(Method::PUT, &path, 2, Some(form)).await, 3004);
        let view = site
            .data(Method::GET, &format!("{path}/{id}"), 2, None)
            .await;
        assert_eq!(view["imageUrls"], json!([other, own]));
        assert_eq!(
            (&view["title"], &view["open"]),
            (&json!("Other"), &json!(true))
        );
        assert_eq!(view["startTime"], json!("2026-11-15T09:30:00.000"));
        let elsewhere = if kind == "wifi" { "hotspot" } else { "wifi" };
        let elsewhere = format!("/api/products/{elsewhere}/{id}");
        assert_eq!(site.refused(Method::GET, &elsewhere, 2, None).await, 3010);
        site.ask(Method::DELETE, &format!("/api/products/{id}"), 1, None)
            .await;
        assert_eq!(
            site.refused(Method::GET, &format!("{path}/{id}"), 2, None)
                .await,
            3003
        );
    }
}

const EXACT: (f64, f64) = (37.512_345_6, 127.034_567_8);
const ROUNDED: (f64, f64) = (37.512, 127.035);

/// Where an answer says that a spot is.
fn told(spot: &Value) -> (f64, f64, String) {
    let degrees = |name: &str| spot[name].as_f64().unwrap();
    let address = spot["address"].as_str().unwrap().to_owned();
    (degrees("latitude"), degrees("longitude"), address)
}

fn spot_at((latitude, longitude): (f64, f64), address: &str) -> Value {
    json!({
        "price": 500, "title": "spot", "latitude": latitude, "longitude": longitude,
        "address": address, "startTime": "2026-11-15T09:30:00", "endTime": "2026-11-15T18:00:00",
    })
}

/// H2.
async fn exact_position_of_a_hotspot_is_for_its_seller_and_buyers(on: On) {
    let site = Site::open(on).await;
    let form = spot_at(EXACT, "3층");
    for (kind, of_stranger) in [
        ("wifi", (EXACT.0, EXACT.1, "3층".to_owned())),
        ("hotspot", (ROUNDED.0, ROUNDED.1, String::new())),
    ] {
        let path = format!("/api/products/{kind}");
        site.data(Method::POST, &path, 1, Some(form.clone())).await;
        let list = format!("{path}?size=5&latitude=37.51&longitude=127");
        let id = {
            let page = site.data(Method::GET, &list, 2, None).await;
            page["data"][0]["productId"].as_i64().unwrap()
        };
        let view = async |by| {
            let path = format!("{path}/{id}");
            told(&site.data(Method::GET, &path, by, None).await)
        };
        let exact = (EXACT.0, EXACT.1, "3층".to_owned());
        assert_eq!(view(1).await, exact, "{kind}: its seller");
        assert_eq!(view(2).await, of_stranger, "{kind}: a stranger");
        // Lists are the same for all, also for the seller.
        for by in [1, 2] {
            let page = site.data(Method::GET, &list, by, None).await;
            assert_eq!(told(&page["data"][0]), of_stranger, "{kind}");
        }
        for change in [
            format!(
                "insert into trade (member_id, kind, price, minutes, month, created_at) \
                 values (2, 'PURCHASE_HOTSPOT', 500, 10, 202611, {id})"
            ),
            format!(
                "insert into booking (trade_id, product_id, buyer_id, wanted_start, wanted_end, \
                 starts_at, ends_at, capacity) select max(id), {id}, 2, 1, 2, 1, 2, 10 from trade"
            ),
        ] {
            site.market.sql(vec![change]).await;
        }
        assert_eq!(view(2).await, exact, "{kind}: a buyer");
        assert_eq!(view(3).await, of_stranger, "{kind}: another stranger");
        let mut moved = spot_at((35.123_456, 129.098_765), "");
        moved["productId"] = json!(id);
        site.data(Method::PUT, &path, 1, Some(moved)).await;
        assert_eq!(view(1).await, (35.123_456, 129.098_765, String::new()));
        assert_eq!(
            view(2).await,
            view(1).await,
            "{kind}: a buyer, after it moved"
        );
    }
    let kept = "select count(*) from sort_key_history h join product p on p.id = h.product_id \
        where p.kind = 'HOTSPOT' and h.latitude is not null";
    assert_eq!(site.market.int(kept).await, 1);
    let exact = format!("{kept} and h.latitude <> {}", ROUNDED.0);
    assert_eq!(site.market.int(&exact).await, 0);
}

/// Two offers in one square of the map are in the same place for a stranger, whatever list is read from wherever: also
/// by the order of rows that are nearly equally far.
async fn no_list_leads_to_the_exact_position_of_a_hotspot(on: On) {
    let site = Site::open(on).await;
    let corners = [EXACT, (37.511_501, 127.035_499), (37.512_499, 127.034_501)];
    for (by, corner) in [1, 1, 2].into_iter().zip(corners) {
        let form = spot_at(corner, "secret");
        site.data(Method::POST, "/api/products/hotspot", by, Some(form))
            .await;
    }
    let place = market_api::products::Position::new(ROUNDED.0, ROUNDED.1).unwrap();
    for step in 0..40_u32 {
        // A spiral around the square, from 10 m to some kilometres.
        let (turn, far) = (f64::from(step) * 0.7, 1e-4 * 1.15_f64.powf(f64::from(step)));
        let (latitude, longitude) = (37.512 + far * turn.sin(), 127.035 + far * turn.cos());
        let from = market_api::products::Position::new(latitude, longitude).unwrap();
        let metres = from.distance_m(place).round();
        for sort in ["DISTANCE_ASC", "PRICE_ASC", "AVERAGE_RATE_DESC"] {
            let (mut ids, mut next) = (Vec::new(), String::new());
            for _ in 0..3 {
                let path = format!(
                    "/api/products/hotspot?size=1&productSortOption={sort}\
                     &latitude={latitude}&longitude={longitude}{next}"
                );
                let page = site.data(Method::GET, &path, 3, None).await;
                let row = &page["data"][0];
                assert_eq!(told(row), (ROUNDED.0, ROUNDED.1, String::new()), "{row}");
                assert_eq!(row["distanceKm"], json!(metres / 1_000.0), "{path}");
                ids.push(row["productId"].as_u64().unwrap());
                let cursor = &page["pageInfo"]["nextCursorId"];
                next = cursor
                    .as_u64()
                    .map_or_else(String::new, |n| format!("&cursorId={n}"));
            }
            assert!(ids.is_sorted() && next.is_empty(), "{ids:?} {next}");
        }
    }
}

async fn pages_lead_to_each_other_and_end(on: On) {
    let site = Site::open(on).await;
    for by in 1..=3 {
        site.market.offer(by, 100, 1).await.unwrap();
        site.market.offer(by, 100, 2).await.unwrap();
    }
    for sort in ["RECENT", "PRICE_ASC", "AMOUNT_ASC", "AMOUNT_DESC"] {
        let mut met = Vec::new();
        let mut next = String::new();
        for _ in 0..3 {
            let path = format!("/api/products/mobile-data?size=2&productSortOption={sort}{next}");
            let page = site.data(Method::GET, &path, 1, None).await;
            for row in page["data"].as_array().unwrap() {
                met.push(row["productId"].as_i64().unwrap());
            }
            let cursor = &page["pageInfo"]["nextCursorId"];
            assert_eq!(page["pageInfo"]["hasNext"], json!(cursor.is_u64()));
            next = cursor
                .as_u64()
                .map_or_else(String::new, |n| format!("&cursorId={n}"));
        }
        met.sort_unstable();
        met.dedup();
        assert_eq!((met.len(), next), (6, String::new()), "{sort}");
    }
}

async fn a_first_page_may_be_asked_for_as_0_and_a_large_page_is_cut(on: On) {
    let site = Site::open(on).await;
    site.market.offer(1, 100, 2).await.unwrap();
    for list in [
        "/api/products/mobile-data?",
        "/api/products/wifi?latitude=37&longitude=127&",
        "/api/products/hotspot?latitude=37&longitude=127&",
        "/api/selling-products?productState=ACTIVE&",
        "/api/members/1/selling-products?productState=ACTIVE&",
    ] {
        let plain = format!("{list}size=100");
        let expected = site.data(Method::GET, &plain, 1, None).await;
        for odd in [
            "size=100&cursorId=0",
            "size=101",
            "size=4294967296&cursorId=0",
        ] {
            let page = site
                .data(Method::GET, &format!("{list}{odd}"), 1, None)
                .await;
            assert_eq!(page, expected, "{list}{odd}");
        }
    }
}

async fn invalid_requests_are_refused_with_their_code(on: On) {
    let site = Site::open(on).await;
    let id = site.market.offer(1, 100, 2).await.unwrap();
    let data = "/api/products/mobile-data";
    let wifi = "/api/products/wifi?size=2&latitude=37&longitude=127";
    for (path, code) in [
        (data.to_owned(), 1006),
        (format!("{data}?size=0"), 1006),
        (format!("{data}?size=%2B5"), 1006),
        (format!("{data}?size=2&productSortOption=BEST"), 3000),
        (
            format!("{data}?size=2&productSortOption=DISTANCE_ASC"),
            3000,
        ),
        (format!("{data}?size=2&cursorId=00"), 1006),
        (format!("{data}?size=2&cursorId=abc"), 1006),
        (format!("{data}?size=2&cursorId={id}"), 1006),
        (format!("{data}?size=2&cursorId=18446744073709551615"), 1006),
        (format!("{data}?size=2&dataAmount=1.25"), 1006),
        (format!("{data}/999"), 3002),
        (format!("{data}/x"), 1006),
        (format!("/api/products/wifi/{id}"), 3010),
        ("/api/products/wifi?size=2".to_owned(), 1006),
        (
            "/api/products/wifi?size=2&latitude=NaN&longitude=1".to_owned(),
            1006,
        ),
        (
            "/api/products/wifi?size=2&latitude=91&longitude=1".to_owned(),
            1006,
        ),
        (format!("{wifi}&open=perhaps"), 1006),
        (format!("{wifi}&productSortOption=RECENT"), 3000),
        ("/api/products/market-price".to_owned(), 3001),
        (
            "/api/products/market-price?productType=CAR".to_owned(),
            3001,
        ),
        ("/api/selling-products?size=2".to_owned(), 1006),
        (
            "/api/selling-products?size=2&productState=BOUGHT".to_owned(),
            1006,
        ),
        (
            "/api/members/99/selling-products?size=2&productState=ACTIVE".to_owned(),
            2005,
        ),
    ] {
        assert_eq!(
            site.refused(Method::GET, &path, 1, None).await,
            code,
            "{path}"
        );
    }
}

async fn invalid_form_is_refused_with_its_code(on: On) {
    let site = Site::open(on).await;
    let data = "/api/products/mobile-data";
    for (amount, code) in [
        (json!(0), 3006),
        (json!(0.05), 3006),
        (json!(2.1), 3005),
        (json!("a"), 1006),
    ] {
        let form = json!({"price": 100, "dataAmount": amount, "isSplitType": true});
        assert_eq!(
            site.refused(Method::POST, data, 2, Some(form)).await,
            code,
            "{amount}"
        );
    }
    for price in [
        json!(0),
        json!(-1),
        json!(10_000_001),
        json!(1.5),
        json!("100"),
        json!(1e300),
    ] {
        let form = json!({"price": price, "dataAmount": 1, "isSplitType": true});
        assert_eq!(
            site.refused(Method::POST, data, 2, Some(form)).await,
            1006,
            "{price}"
        );
    }
    let spot = json!({
        "price": 500, "title": "t", "latitude": 37.5, "longitude": 127.0,
        "startTime": "2026-11-16T18:00:00", "endTime": "2026-11-15T09:00:00",
    });
    assert_eq!(
        site.refused(Method::POST, "/api/products/wifi", 1, Some(spot))
            .await,
        3007
    );
}

async fn nobody_is_refused(on: On) {
    let site = Site::open(on).await;
    let data = "/api/products/mobile-data";
    let address: SocketAddr = "127.0.0.1:5000".parse().unwrap();
    let mut request = Request::get(format!("{data}?size=2")).header(COOKIE, "a=b");
    request
        .extensions_mut()
        .unwrap()
        .insert(ConnectInfo(address));
    let answer = site
        .routes
        .clone()
        .oneshot(request.body(Body::empty()).unwrap())
        .await;
    assert_eq!(answer.unwrap().status().as_u16(), 401);
}

async fn market_price_and_own_offers_are_listed(on: On) {
    let site = Site::open(on).await;
    let sold = site.market.offer(1, 100, 5).await.unwrap();
    site.market.sell(sold, 5).await;
    let left = site.market.offer(1, 100, 5).await.unwrap();
    let spot = site.market.spot(1, 100, crate::fixtures::SEOUL).await;
    let price = "/api/products/market-price?productType=MOBILE_DATA";
    let price = site.data(Method::GET, price, 2, None).await;
    assert_eq!(price, json!({"recentPrice": 20, "averagePrice": 20}));

    let path = "/api/selling-products?size=1&productState=ACTIVE";
    let page = site.data(Method::GET, path, 1, None).await;
    assert_eq!(
        (&page["count"], &page["data"][0]["productId"]),
        (&json!(2), &json!(spot))
    );
    assert_eq!(
        page["data"][0]["startTime"],
        json!("2026-11-01T09:00:00.000")
    );
    assert_eq!(page["data"][0].get("dataAmount"), None);
    // The first front end sends this for its first page.
    let first = format!("{path}&cursorId=0");
    assert_eq!(site.data(Method::GET, &first, 1, None).await, page);
    let next = page["pageInfo"]["nextCursorId"].as_u64().unwrap();
    let page = site
        .data(Method::GET, &format!("{path}&cursorId={next}"), 1, None)
        .await;
    let row = json!({
        "productId": left, "type": "MOBILE_DATA", "state": "ACTIVE", "dataAmount": 0.5,
        "remainAmount": 0.5, "createdAt": "2026-11-15T12:00:00.001",
        "updatedAt": "2026-11-15T12:00:00.001",
    });
    assert_eq!(page["data"], json!([row]));
    let path = "/api/members/1/selling-products?size=5&productState=SOLD_OUT";
    let page = site.data(Method::GET, path, 2, None).await;
    assert_eq!(page["data"][0]["productId"], json!(sold));
    let path = "/api/members/1/selling-products?size=5&productState=DELETED";
    let (status, answer) = site.ask(Method::GET, path, 2, None).await;
    assert_eq!((status, &answer["code"]), (403, &json!(1003)));
}
