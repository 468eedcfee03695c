//! The OpenAPI document is complete and correct: compared with the responses of all routes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use http::Method;
use market_api::ops::admin_document;
use serde_json::{Value, json};

use crate::chats::ChatPort;
use crate::closing;
use crate::on_both;
use crate::payments::{self, CHARGE};
use crate::products;
use crate::reports;
use crate::reviews;
use crate::site::{Cookies, HOOK, Site};
use crate::support::On;
use crate::trades;

on_both! {
    every_documented_answer_is_given_and_no_other,
    the_document_and_its_page_come_from_the_binary,
    a_path_knows_the_methods_of_the_document_and_no_other,
}

/// The committed document, equal to that of the routes.
pub(crate) fn committed() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// All operations of a document: method, path, description.
pub(crate) fn operations(document: &Value) -> Vec<(Method, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase().parse().unwrap();
            all.push((method, path.clone(), operation));
        }
    }
    all
}

/// A body above every bound.
fn too_long() -> String {
    "x".repeat((64 << 10) + 1)
}

/// A valid request for each operation: method, path, body.
pub(crate) fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let (get, post) = (Method::GET, Method::POST);
    let mut routes = vec![
        (get.clone(), "/api/members/info", None),
        (get.clone(), "/api/members/cash", None),
        (get.clone(), "/api/members/buying-data", None),
        (get.clone(), "/api/members/selling-data", None),
        (get.clone(), "/api/members/selling-data/sold", None),
        (get.clone(), "/api/members/export", None),
        (get.clone(), "/api/plans/my-data", None),
        (get.clone(), "/api/payments/checkout", None),
        (get, "/api/trades/mobile-data/scrap?dataAmount=0.1", None),
        (post.clone(), "/api/members/role", None),
        (
            post.clone(),
            "/api/members/language",
            Some(json!({"language": "ko"})),
        ),
        (
            post.clone(),
            "/api/images/presign",
            Some(json!({"filenames": ["a.png"]})),
        ),
        (
            post.clone(),
            "/api/members/profile-image",
            Some(json!({"imageUrl": "x"})),
        ),
        (post.clone(), "/api/members/1/block", None),
        (Method::GET, "/api/members/blocked", None),
        (Method::DELETE, "/api/members/1/block", None),
        (post.clone(), "/api/admin/members/1/block", None),
        (post.clone(), "/api/admin/members/1/unblock", None),
    ];
    routes.extend(reports::routes());
    routes.extend(payments::routes());
    routes.extend(reviews::routes());
    routes.extend(trades::with_offers(products::routes()));
    // Near the end, because it may close the account.
    routes.push((Method::DELETE, "/api/members/me", None));
    // Last, because it ends the session.
    routes.push((post, "/api/auth/logout", None));
    routes
}

/// Member 1 exists, the caller is an administrator.
async fn every_documented_answer_is_given_and_no_other(on: On) {
    let port = ChatPort::bind().await;
    let site = Site::start_with(on, &[&port.flag]).await;
    let _chat = port.serve(&site).await;
    site.log_in("kakao", 1).await;
    let admin = site.admin().await;
    let blocked = site.log_in("kakao", 2).await;
    let id = site.id(&blocked).await;
    site.sql(&format!("update member set blocked = 1 where id = {id}"))
        .await;
    as_people(&site, &admin, &blocked).await;
    trade(&site).await;
    chat(&site).await;
    let payer = site.log_in("kakao", 1).await;
    payments::answers(&site, &payer, &blocked).await;
    picture(&site).await;
    closing::answers(&site).await;
    open_routes(&site).await;
    as_crowd(&site, &admin).await;
    without_database(&site, &admin).await;
    let seen = site.seen.lock().unwrap().clone();
    let mut missing: Vec<_> = site.documented().difference(&seen).cloned().collect();
    if matches!(on, On::Sqlite) {
        // On SQLite closing the readers does not close the writer, and these operations only write.
        missing.retain(|(_, path, status)| {
            let only_writes = [
                "/oauth2/authorization/{provider}",
                "/api/auth/logout",
                "/hooks/toss/{secret}",
            ];
            *status != 503 || !only_writes.contains(&path.as_str())
        });
    }
    assert!(
        missing.is_empty(),
        "documented, but never seen: {missing:?}"
    );
}

async fn as_people(site: &Site, admin: &Cookies, blocked: &Cookies) {
    for (method, path, body) in routes() {
        let ask = || {
            let ask = site.ask(method.clone(), path);
            match &body {
                Some(body) => ask.json(body),
                None => ask,
            }
        };
        ask().send().await.is(401, 2014);
        ask().bearer("a.b.c").send().await.is(401, 2007);
        if method != Method::GET {
            let cookie = admin.header();
            ask().header("cookie", &cookie).send().await.is(403, 1003);
        }
        if path == "/api/auth/logout" {
            let cookies = site.log_in("kakao", 1).await;
            ask().by(&cookies).send().await.is(200, 0);
            continue;
        }
        ask().by(blocked).send().await.is(403, 2012);
        let answer = ask().by(admin).send().await;
        assert!(
            answer.status < 300
                || [2015, 3013, 4000, 4002, 5007, 6002, 8000].contains(&answer.code()),
            "{path}: {answer:?}"
        );
        if body.is_some() {
            let ask = || site.ask(method.clone(), path).by(admin);
            ask().body("{}").send().await.is(400, 1006);
            ask().body(too_long()).send().await.is(413, 1008);
        }
    }
    let get = |path: &str| site.ask(Method::GET, path).by(admin).send();
    get("/api/members/info?memberId=0").await.is(400, 1006);
    let order = |path: &str| site.ask(Method::POST, path).by(admin).send();
    order("/api/admin/members/0/block").await.is(400, 1006);
    order("/api/admin/members/77/unblock").await.is(400, 2005);
    get("/api/members/blocked?size=0").await.is(400, 1006);
    order("/api/members/77/block").await.is(400, 2005);
    let undo = site.ask(Method::DELETE, "/api/members/0/block").by(admin);
    undo.send().await.is(400, 1006);
    reports::refusals(site, admin).await;
    products::refusals(site, admin).await;
    get("/api/trades/mobile-data/scrap").await.is(400, 1006);
    site.sql("delete from plan where member_id <> 1").await;
    get("/api/plans/my-data").await.is(400, 3011);
}

/// Purchases are made from others.
async fn trade(site: &Site) {
    let (seller, buyer) = (site.log_in("kakao", 3).await, site.log_in("kakao", 1).await);
    trades::purchases(site, &seller, &buyer).await;
    reviews::answers(site, &seller, &buyer).await;
}

/// Chat rooms are opened about others' products.
async fn chat(site: &Site) {
    let cookies = site.log_in("kakao", 1).await;
    let ask = site.ask(Method::POST, "/api/products/2/chat-room");
    ask.by(&cookies).send().await.is(200, 0);
}

/// The upload of a picture, the one success of several steps.
async fn picture(site: &Site) {
    let cookies = site.log_in("kakao", 1).await;
    let ask = site.ask(Method::POST, "/api/images/presign").by(&cookies);
    let places = ask.json(&json!({"filenames": ["a.png"]})).send().await;
    let place = places.json()["data"][0].clone();
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    let put = site
        .ask_url(Method::PUT, place["url"].as_str().unwrap())
        .body(png);
    assert_eq!(put.send().await.status, 200);
    let ask = site
        .ask(Method::POST, "/api/members/profile-image")
        .by(&cookies);
    let shown = ask
        .json(&json!({"imageUrl": place["publicUrl"]}))
        .send()
        .await;
    shown.is(200, 0);
}

async fn open_routes(site: &Site) {
    let get = |path: &str| site.ask(Method::GET, path).send();
    get("/oauth2/authorization/nobody").await.is(404, 1004);
    get("/login/oauth2/code/nobody").await.is(404, 1004);
    get("/login/oauth2/code/kakao?code=1&code=2")
        .await
        .is(400, 1006);
    assert_eq!(get("/.well-known/jwks.json").await.status, 200);
}

/// Many concurrent requests.
async fn as_crowd(site: &Site, admin: &Cookies) {
    let narrow = site.second(&["--address-rate=1"]).await;
    for _ in 0..5 {
        narrow
            .ask(Method::GET, "/nowhere")
            .send()
            .await
            .is(404, 1004);
    }
    for (method, path, _) in routes() {
        narrow
            .ask(method, path)
            .by(admin)
            .send()
            .await
            .is(429, 1009);
    }
    for path in [CHARGE, "/hooks/toss/nobody"] {
        narrow.ask(Method::POST, path).send().await.is(429, 1009);
    }
    for path in [
        "/oauth2/authorization/kakao",
        "/login/oauth2/code/kakao",
        "/.well-known/jwks.json",
    ] {
        narrow.ask(Method::GET, path).send().await.is(429, 1009);
    }
}

async fn without_database(site: &Site, admin: &Cookies) {
    let stranded = site.second(&[]).await;
    stranded.market.db().close().await;
    for (method, path, _) in routes() {
        let answer = stranded.ask(method, path).by(admin).send().await;
        assert!([200, 503].contains(&answer.status), "{path}: {answer:?}");
    }
    let hook = format!("/hooks/toss/{HOOK}");
    let answer = stranded.ask(Method::POST, &hook).body("{}").send().await;
    assert!([200, 503].contains(&answer.status), "{answer:?}");
    let answer = stranded
        .ask(Method::GET, "/oauth2/authorization/kakao")
        .send()
        .await;
    assert!([302, 503].contains(&answer.status), "{answer:?}");
}

async fn the_document_and_its_page_come_from_the_binary(on: On) {
    let site = Site::start(on).await;
    let served = site.ask(Method::GET, "/docs/openapi.json").send().await;
    let expected = serde_json::to_value(site.market.document()).unwrap();
    assert_eq!(served.json(), expected);
    assert!(expected["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_references_lead_somewhere(&expected, &expected);
    let page = site.ask(Method::GET, "/docs/").send().await;
    assert!(page.text.contains("swagger-ui-bundle.js"), "{page:?}");
    let script = site
        .ask(Method::GET, "/docs/swagger-ui-bundle.js")
        .send()
        .await;
    assert!(script.text.len() > 100_000);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&expected).unwrap());
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    if committed != now {
        // Written, so that the difference can be reviewed and committed.
        std::fs::write(&path, &now).unwrap();
        panic!("openapi.json was not that of the routes; it is now");
    }
}

/// Every reference within the document resolves.
fn assert_references_lead_somewhere(part: &Value, document: &Value) {
    match part {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                let path = reference.trim_start_matches('#');
                assert!(document.pointer(path).is_some(), "{reference}");
            }
            let parts = fields.values();
            parts.for_each(|part| assert_references_lead_somewhere(part, document));
        }
        Value::Array(parts) => {
            let parts = parts.iter();
            parts.for_each(|part| assert_references_lead_somewhere(part, document));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// G4: each path accepts exactly the methods of its document.
async fn a_path_knows_the_methods_of_the_document_and_no_other(on: On) {
    let site = Site::start(on).await;
    let public = serde_json::to_value(site.market.document()).unwrap();
    let admin = serde_json::to_value(admin_document()).unwrap();
    for (base, document) in [(&site.base, public), (&site.admin_base, admin)] {
        let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (method, path, _) in operations(&document) {
            let known = paths.entry(path).or_default();
            known.insert(method.to_string());
            if method == Method::GET {
                known.insert("HEAD".to_owned());
            }
        }
        for (path, known) in paths {
            let path = path.replace("{id}", "1").replace("{provider}", "kakao");
            let path = path.replace("{secret}", "nobody");
            for method in [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW",
            ] {
                let ask = site.ask_url(method.parse().unwrap(), &format!("{base}{path}"));
                let answer = ask.send_unchecked().await;
                let is_known = known.contains(method);
                assert_eq!(answer.status != 405, is_known, "{method} {path} {answer:?}");
                if !is_known {
                    let allowed = answer.headers["allow"].to_str().unwrap().split(',');
                    let allowed: BTreeSet<_> = allowed.map(str::to_owned).collect();
                    assert_eq!(allowed, known, "{method} {path}");
                }
            }
        }
    }
}

/// `OpenApiRouter::route` would route without a document. The local picture store replaces an object store;
/// it is not in the document.
#[test]
fn nothing_is_routed_without_a_document() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let apart = [src.join("images/local.rs")];
    let mut folders = vec![src];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if apart.contains(&path) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for word in [".route(", ".nest(", ".route_service(", "axum::routing"] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
            files += 1;
        }
    }
    assert!(files > 20);
}

/// Schemas of one name replace each other in the document, silently.
#[test]
fn each_schema_has_a_name_of_its_own() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut names = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("ToSchema)]").skip(1) {
                let mut words = part.split_whitespace();
                words.find(|word| ["struct", "enum"].contains(word));
                let name = words.next().unwrap().trim_end_matches(['{', '(', ';']);
                let name = name.split('<').next().unwrap().to_owned();
                let before = names.insert(name.clone(), path.clone());
                assert_eq!(before, None, "{name} is also in {}", path.display());
            }
        }
    }
    assert!(names.len() > 20);
}
