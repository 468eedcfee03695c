//! The layers around the handlers: rate limits, bounds, CSRF and CORS, response headers.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use market_api::db::Abort;
use serde_json::json;
use sqlx::query;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;

use crate::on_both;
use crate::site::{PAGE, Site};
use crate::support::On;

on_both! {
    each_member_has_a_limit_of_their_own,
    forged_forwarding_headers_do_not_change_the_client_address,
    bodies_are_bounded,
    missing_request_head_ends_the_connection,
    pages_of_ours_may_call_from_a_browser,
    unknown_paths_and_methods_come_in_the_envelope,
    failures_leak_no_internals,
    responses_forbid_caching_and_sniffing,
    requests_have_an_id,
    health_and_metrics_are_served_apart,
    node_stays_ready_without_its_database,
}

const CASH: &str = "/api/members/cash";

/// E1.
async fn each_member_has_a_limit_of_their_own(on: On) {
    let site = Site::start_with(on, &["--member-rate=2"]).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    let mut refused = 0;
    for _ in 0..14 {
        let answer = site.ask(Method::GET, CASH).by(&one).send().await;
        if answer.status == 429 {
            answer.is(429, 1009);
            assert_eq!(answer.headers["retry-after"], "1");
            refused += 1;
        }
    }
    assert_eq!(refused, 4, "ten at once, for either token");
    let token = one.access.clone().unwrap();
    site.ask(Method::GET, CASH)
        .bearer(&token)
        .send()
        .await
        .is(429, 1009);
    site.ask(Method::GET, CASH)
        .by(&other)
        .send()
        .await
        .is(200, 0);
    site.wait(Duration::from_secs(1));
    site.ask(Method::GET, CASH).by(&one).send().await.is(200, 0);
}

/// E1: neither by forged entries nor by more entries than there are proxies.
async fn forged_forwarding_headers_do_not_change_the_client_address(on: On) {
    let site = Site::start_with(on, &["--address-rate=1", "--trusted-hops=1"]).await;
    let ask = |forwarded: String| {
        let ask = site.ask(Method::GET, "/.well-known/jwks.json");
        ask.header("x-forwarded-for", &forwarded).send()
    };
    let mut refused = 0;
    for n in 0..8 {
        let answer = ask(format!("6.6.6.{n}, 1.1.1.1")).await;
        if answer.status == 429 {
            answer.is(429, 1009);
            refused += 1;
        }
    }
    assert_eq!(refused, 3);
    assert_eq!(ask("1.1.1.2".to_owned()).await.status, 200);
}

/// E2.
async fn bodies_are_bounded(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let ask = || site.ask(Method::POST, "/api/members/language").by(&one);
    ask()
        .body("x".repeat((64 << 10) + 1))
        .send()
        .await
        .is(413, 1008);
    ask().body("x".repeat(64 << 10)).send().await.is(400, 1006);
    // A body without `Content-Length`.
    let endless = reqwest::Body::wrap(http_body_util::Full::new(bytes::Bytes::from(vec![
        b' ';
        (64 << 10)
            + 1
    ])));
    ask().body(endless).send().await.is(413, 1008);
}

/// E2: slow heads, idle connections.
async fn missing_request_head_ends_the_connection(on: On) {
    let site = Site::start_with(on, &["--head-time=2s", "--idle-time=1s"]).await;
    let address = site.base.trim_start_matches("http://");
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        .await
        .unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut answered = TcpStream::connect(address).await.unwrap();
    answered
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    for connection in [&mut slow, &mut idle, &mut answered] {
        let mut rest = Vec::new();
        let ended = connection.read_to_end(&mut rest);
        let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
        assert!(ended.is_ok(), "still open");
    }
}

/// G1.
async fn pages_of_ours_may_call_from_a_browser(on: On) {
    let site = Site::start(on).await;
    let preflight = |origin: &str| {
        site.ask(Method::OPTIONS, CASH)
            .header("origin", origin)
            .header("access-control-request-method", "PATCH")
            .header("access-control-request-headers", "idempotency-key")
            .send()
    };
    let answer = preflight(PAGE).await;
    assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
    assert_eq!(answer.headers["access-control-allow-credentials"], "true");
    let methods = answer.headers["access-control-allow-methods"]
        .to_str()
        .unwrap();
    assert!(
        methods.contains("PATCH") && !methods.contains('*'),
        "{methods}"
    );
    for origin in [
        "https://evil.example",
        "null",
        "https://dapanda.example.evil.example",
        "*",
    ] {
        let answer = preflight(origin).await;
        assert!(
            !answer.headers.contains_key("access-control-allow-origin"),
            "{origin}"
        );
    }
    let ask = site.ask(Method::GET, CASH).header("origin", PAGE);
    let answer = ask.send().await;
    answer.is(401, 2014);
    assert_eq!(answer.headers["access-control-allow-origin"], PAGE);
}

/// G4.
async fn unknown_paths_and_methods_come_in_the_envelope(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    for path in [
        "/",
        "/api",
        "/api/members",
        "/api/members/",
        "/api/members/cash/",
        "/api/Members/cash",
        "/metrics",
        "/livez",
        "/readyz",
        "/internal/events",
        "/fake/kakao/oauth/authorize",
        "/kakao/oauth/authorize",
        "/dev/login",
        "/debug",
        "/.env",
        "/api/../metrics",
        "//api/members/cash",
    ] {
        site.ask(Method::GET, path)
            .by(&one)
            .send()
            .await
            .is(404, 1004);
    }
    for (method, path) in [
        (Method::POST, CASH),
        (Method::DELETE, "/api/members/role"),
        (Method::GET, "/api/auth/logout"),
        (Method::PUT, "/api/members/language"),
        (Method::TRACE, "/api/members/info"),
    ] {
        let answer = site.ask(method, path).by(&one).send().await;
        answer.is(405, 1007);
        assert!(answer.headers.contains_key("allow"), "{path}");
    }
}

/// G2.
async fn failures_leak_no_internals(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    site.sql("drop table member_month").await;
    let answer = site.ask(Method::GET, "/api/members/buying-data").by(&one);
    let answer = answer.send_unchecked().await;
    answer.is(500, 1000);
    assert_eq!(answer.json().as_object().unwrap().len(), 2, "{answer:?}");
    for word in [
        "member_month",
        "select",
        "sqlx",
        "/src",
        ".rs",
        "relation",
        "no such table",
    ] {
        assert!(!answer.text.contains(word), "{answer:?}");
    }
    assert!(answer.headers.contains_key("x-request-id"));
    assert!(!answer.headers.contains_key("server"));
}

/// F2.
async fn responses_forbid_caching_and_sniffing(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    for path in [CASH, "/api/nowhere", "/api/members/info?memberId=x"] {
        let answer = site.ask(Method::GET, path).by(&one).send().await;
        assert_eq!(answer.headers["content-type"], "application/json", "{path}");
        assert_eq!(
            answer.headers["x-content-type-options"], "nosniff",
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store", "{path}");
    }
    let docs = site.ask(Method::GET, "/docs/").send().await;
    assert_eq!(docs.status, 200);
    let policy = docs.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'"), "{policy}");
    assert_eq!(docs.headers["x-content-type-options"], "nosniff");
}

async fn requests_have_an_id(on: On) {
    let site = Site::start(on).await;
    let named = async |name: &str| {
        let ask = site.ask(Method::GET, CASH).header("x-request-id", name);
        let answer = ask.send().await;
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(named("a-B_c.9").await, "a-B_c.9");
    for harmful in ["", "a b", "a\"b", &"x".repeat(65)] {
        let own = named(harmful).await;
        assert_eq!(own.find('-'), Some(16), "{harmful}: {own}");
    }
}

async fn health_and_metrics_are_served_apart(on: On) {
    let site = Site::start(on).await;
    let get = |path: &str| {
        let url = format!("{}{path}", site.admin_base);
        site.ask_url(Method::GET, &url).send()
    };
    assert_eq!(get("/livez").await.json(), json!({"live": true}));
    assert_eq!(get("/startupz").await.status, 503);
    let starting = json!({
        "ready": false, "draining": false, "reasons": ["it is starting"], "database": "ok",
        "gateway": "ok", "relay": "ok",
    });
    assert_eq!(get("/readyz").await.json(), starting);
    site.market.set_started();
    assert_eq!(get("/startupz").await.status, 200);
    assert_eq!(get("/readyz").await.status, 200);
    let one = site.log_in("kakao", 1).await;
    let page = get("/metrics").await.text;
    assert!(page.contains("market_outbox_pending 1"), "{page}");
    let logout = site.ask(Method::POST, "/api/auth/logout").by(&one);
    logout.send().await.is(200, 0);
    site.wait(Duration::from_secs(7));
    let page = get("/metrics").await.text;
    for line in [
        "market_outbox_pending 2",
        "market_outbox_oldest_age_seconds 7",
        "market_outbox_dead 0",
        r#"market_db_connections{state="used"} "#,
        r#"market_db_writes_total{outcome="kept"} "#,
        r#"market_logins_total{outcome="ok",provider="kakao"} 1"#,
        r#"market_http_requests_total{method="GET",route="/oauth2/authorization/{provider}",status="302"} 1"#,
    ] {
        assert!(page.contains(line), "{line} is missing in {page}");
    }
}

async fn node_stays_ready_without_its_database(on: On) {
    let site = Site::start(on).await;
    site.market.set_started();
    let one = site.log_in("kakao", 1).await;
    site.market.db().close().await;
    let url = format!("{}/readyz", site.admin_base);
    let answer = site.ask_url(Method::GET, &url).send().await;
    let mut shown = answer.json();
    // The login's event finds no chat server, once the relay has tried.
    shown.as_object_mut().unwrap().remove("relay").unwrap();
    let expected = json!({
        "ready": true, "draining": false, "reasons": [], "database": "unavailable",
        "gateway": "ok",
    });
    assert_eq!((answer.status, shown), (200, expected));
    let answer = site.ask(Method::GET, CASH).by(&one).send().await;
    answer.is(503, 1010);
    assert_eq!(answer.headers["retry-after"], "1");
}

/// Another transaction holds a lock that the request needs: it fails after two seconds without effect.
/// (SQLite has one writer, and no lock is held that long.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_timeout_of_a_request_is_reported_as_busy() {
    let site = Site::start(On::Postgres).await;
    let one = site.log_in("kakao", 1).await;
    let (locked, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let gates = (Arc::clone(&locked), Arc::clone(&leave));
    let holding = site.market.db().write(gates, |(locked, leave), tx| {
        Box::pin(async move {
            let text = "select member_id from wallet for no key update";
            query(text).fetch_all(tx.connection()).await?;
            locked.wait().await;
            leave.wait().await;
            Ok::<_, Abort<()>>(())
        })
    });
    let form = json!({ "price": 100, "dataAmount": 0.1, "isSplitType": false });
    let offer = || {
        let ask = site.ask(Method::POST, "/api/products/mobile-data").by(&one);
        ask.json(&form).send()
    };
    let asking = async {
        locked.wait().await;
        let answer = offer().await;
        leave.wait().await;
        answer
    };
    let (held, answer) = tokio::join!(holding, asking);
    held.unwrap();
    answer.is(503, 5006);
    assert_eq!(answer.headers["retry-after"], "1");
    offer().await.is(200, 0);
    assert_eq!(site.number("select count(*) from product").await, 1);
}
