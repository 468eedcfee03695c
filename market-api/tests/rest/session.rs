//! Sessions and roles.

use std::time::Duration;

use http::Method;
use serde_json::json;
use shared::claims::generate_key;

use crate::contract::operations;
use crate::on_both;
use crate::site::{Answer, Ask, Cookies, PAGE, Site};
use crate::support::On;
use crate::tokens::{claims, header};

on_both! {
    defect_19_no_route_answers_without_a_login,
    only_member_info_takes_a_refresh_token_in_the_access_cookie,
    an_expired_access_cookie_is_renewed_on_the_same_answer,
    the_refresh_token_is_replaced_once_a_day,
    previous_refresh_token_is_accepted_for_a_minute,
    an_old_refresh_token_ends_the_session,
    a_session_ends_after_ninety_days_at_the_latest,
    logout_ends_the_session_at_once,
    logout_works_with_whatever_token_is_left,
    logout_ends_every_session_that_is_shown,
    defect_22_a_block_holds_for_the_next_request,
    block_by_another_instance_takes_effect,
    admin_routes_require_the_current_role,
    admin_commands_are_audited_and_append_events,
    new_key_signs_and_the_old_one_stays_valid,
    changes_by_cookie_come_from_our_pages,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn info(site: &Site) -> Ask<'_> {
    site.ask(Method::GET, "/api/members/info")
}

fn cash(site: &Site) -> Ask<'_> {
    site.ask(Method::GET, "/api/members/cash")
}

/// Sends a request with these cookies, and stores the ones that are set.
async fn visit(site: &Site, who: &mut Cookies) -> Answer {
    let answer = cash(site).by(who).send().await;
    who.take(&answer.headers);
    answer
}

/// Defect 19: a missing login is 401, on every route.
async fn defect_19_no_route_answers_without_a_login(on: On) {
    let site = Site::start(on).await;
    let document = serde_json::to_value(site.market.document()).unwrap();
    let mut asked = 0;
    for (method, path, operation) in operations(&document) {
        if operation.get("security").is_none() {
            // The gateway's notifications have a secret path.
            let open = ["/oauth2/", "/login/", "/.well-known/", "/hooks/"];
            assert!(
                open.iter().any(|start| path.starts_with(start)),
                "{path} is open"
            );
            continue;
        }
        let path = path.replace("{id}", "1");
        let ask = || site.ask(method.clone(), &path).json(&json!({}));
        ask().send().await.is(401, 2014);
        ask().header("origin", PAGE).send().await.is(401, 2014);
        ask().bearer("a.b.c").send().await.is(401, 2007);
        let cookies = Cookies {
            access: Some("a.b.c".to_owned()),
            refresh: Some("d.e.f".to_owned()),
        };
        ask().by(&cookies).send().await.is(401, 2007);
        asked += 1;
    }
    assert!(asked > 10, "{asked}");
}

async fn only_member_info_takes_a_refresh_token_in_the_access_cookie(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    let odd = Cookies {
        access: cookies.refresh.clone(),
        refresh: None,
    };
    site.wait(2 * DAY);
    let answer = info(&site).by(&odd).send().await;
    answer.is(200, 0);
    assert!(!answer.headers.contains_key("set-cookie"), "{answer:?}");
    let document = serde_json::to_value(site.market.document()).unwrap();
    let mut asked = 0;
    for (method, path, operation) in operations(&document) {
        let is_logout = path == "/api/auth/logout";
        let is_info = path == "/api/members/info";
        if operation.get("security").is_none() || is_logout || is_info {
            continue;
        }
        let path = path.replace("{id}", "1");
        site.ask(method, &path).by(&odd).send().await.is(401, 2007);
        asked += 1;
    }
    assert!(asked > 10);
    site.ask(Method::POST, "/api/auth/logout")
        .by(&cookies)
        .send()
        .await
        .is(200, 0);
    info(&site).by(&odd).send().await.is(401, 2007);
}

async fn an_expired_access_cookie_is_renewed_on_the_same_answer(on: On) {
    let site = Site::start(on).await;
    let mut cookies = site.log_in("kakao", 1).await;
    let before = cookies.clone();
    let answer = visit(&site, &mut cookies).await;
    answer.is(200, 0);
    assert_eq!(cookies, before, "nothing to renew");
    site.wait(Duration::from_secs(3_600));
    let answer = visit(&site, &mut cookies).await;
    answer.is(200, 0);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(
        set.ends_with("; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"),
        "{set}"
    );
    assert_ne!(cookies.access, before.access);
    assert_eq!(cookies.refresh, before.refresh);
    // The same without the access cookie, which browsers delete at its Max-Age.
    cash(&site)
        .by(&cookies.only_refresh())
        .send()
        .await
        .is(200, 0);
    // A bearer token cannot be renewed.
    let token = before.access.unwrap();
    cash(&site).bearer(&token).send().await.is(401, 2007);
}

async fn the_refresh_token_is_replaced_once_a_day(on: On) {
    let site = Site::start(on).await;
    let mut cookies = site.log_in("kakao", 1).await;
    for day in 1..=30 {
        let before = cookies.refresh.clone();
        site.wait(DAY / 2);
        visit(&site, &mut cookies).await.is(200, 0);
        assert_eq!(cookies.refresh, before, "day {day}");
        site.wait(DAY / 2);
        visit(&site, &mut cookies).await.is(200, 0);
        assert_ne!(cookies.refresh, before, "day {day}");
    }
    // After two weeks without a visit a login is needed.
    site.wait(14 * DAY);
    visit(&site, &mut cookies).await.is(401, 2007);
}

/// A3.
async fn previous_refresh_token_is_accepted_for_a_minute(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    site.wait(DAY);
    let old = cookies.only_refresh();
    let all = (0..20).map(|_| cash(&site).by(&old).send());
    let mut successors = Vec::new();
    for answer in futures_util::future::join_all(all).await {
        answer.is(200, 0);
        let mut mine = Cookies::default();
        mine.take(&answer.headers);
        successors.push(claims(&mine.refresh.unwrap())["jti"].clone());
    }
    successors.dedup();
    assert_eq!(successors.len(), 1, "one live branch");
    // A lost response: the previous token again, 60 s later.
    site.wait(Duration::from_secs(60));
    let mut again = old.clone();
    visit(&site, &mut again).await.is(200, 0);
    visit(&site, &mut again.only_refresh()).await.is(200, 0);
}

/// A3.
async fn an_old_refresh_token_ends_the_session(on: On) {
    let site = Site::start(on).await;
    let mut cookies = site.log_in("kakao", 1).await;
    let stolen = cookies.only_refresh();
    site.wait(DAY);
    visit(&site, &mut cookies).await.is(200, 0);
    site.wait(Duration::from_secs(61));
    cash(&site).by(&stolen).send().await.is(401, 2007);
    // Both the owner and the thief are logged out, with either token.
    cash(&site)
        .bearer(&cookies.access.clone().unwrap())
        .send()
        .await
        .is(401, 2007);
    cash(&site)
        .by(&cookies.only_refresh())
        .send()
        .await
        .is(401, 2007);
    let told = "select count(*) from outbox where kind = 'session.revoked'";
    assert_eq!(site.number(told).await, 1);
    // Other sessions of the member continue.
    let other = site.log_in("kakao", 1).await;
    cash(&site).by(&other).send().await.is(200, 0);
}

async fn a_session_ends_after_ninety_days_at_the_latest(on: On) {
    let site = Site::start(on).await;
    let mut cookies = site.log_in("kakao", 1).await;
    let begun = site.now_ms();
    let mut days = 0;
    while visit(&site, &mut cookies).await.status == 200 {
        site.wait(DAY);
        days += 1;
        assert!(days <= 90, "still logged in");
    }
    assert!(days >= 76, "{days}");
    assert!(site.now_ms() - begun <= 90 * 86_400_000);
}

/// A5.
async fn logout_ends_the_session_at_once(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    let other = site.log_in("kakao", 1).await;
    let second = site.second(&[]).await;
    let mut after = cookies.clone();
    let answer = site
        .ask(Method::POST, "/api/auth/logout")
        .by(&cookies)
        .send()
        .await;
    answer.is(200, 0);
    after.take(&answer.headers);
    assert_eq!(after, Cookies::default());
    let token = cookies.access.clone().unwrap();
    for site in [&site, &second] {
        cash(site).bearer(&token).send().await.is(401, 2007);
        cash(site).by(&cookies).send().await.is(401, 2007);
        cash(site)
            .by(&cookies.only_refresh())
            .send()
            .await
            .is(401, 2007);
        cash(site).by(&other).send().await.is(200, 0);
    }
}

async fn logout_works_with_whatever_token_is_left(on: On) {
    let site = Site::start(on).await;
    let log_out = || site.ask(Method::POST, "/api/auth/logout");
    log_out().send().await.is(401, 2014);
    let cookies = site.log_in("kakao", 1).await;
    site.wait(2 * DAY);
    log_out()
        .by(&cookies.only_refresh())
        .send()
        .await
        .is(200, 0);
    let cookies = site.log_in("kakao", 1).await;
    site.sql("update member set blocked = 1").await;
    log_out()
        .bearer(&cookies.access.clone().unwrap())
        .send()
        .await
        .is(200, 0);
    // Again: it has ended already.
    log_out().by(&cookies).send().await.is(200, 0);
    let ask = log_out().header("cookie", &cookies.header());
    let answer = ask.header("origin", "https://evil.example").send().await;
    answer.is(403, 1003);
}

/// A browser sends several cookies of one name if their domains or paths differ.
async fn logout_ends_every_session_that_is_shown(on: On) {
    let site = Site::start(on).await;
    let mut shown = Vec::new();
    for person in [1, 1, 2, 1, 3] {
        shown.push(site.log_in("kakao", person).await);
    }
    let token = |nth: usize, refresh: bool| {
        let one: &Cookies = &shown[nth];
        let token = if refresh { &one.refresh } else { &one.access };
        token.clone().unwrap()
    };
    let cookies = format!(
        "accessToken={}; accessToken={}; refreshToken={}; refreshToken=a.b.c; accessToken={}",
        token(0, false),
        token(1, false),
        token(2, true),
        // The first front end's server sends it there.
        token(3, true),
    );
    let ask = site.ask(Method::POST, "/api/auth/logout");
    let ask = ask.header("cookie", &cookies).bearer(&token(4, false));
    ask.header("origin", PAGE).send().await.is(200, 0);
    for one in &shown {
        cash(&site).by(one).send().await.is(401, 2007);
        cash(&site)
            .by(&one.only_refresh())
            .send()
            .await
            .is(401, 2007);
    }
    let told = "select count(*) from outbox where kind = 'session.revoked'";
    assert_eq!(site.number(told).await, 5);
}

async fn defect_22_a_block_holds_for_the_next_request(on: On) {
    let site = Site::start(on).await;
    let (admin, member) = (site.admin().await, site.log_in("kakao", 1).await);
    let id = site.id(&member).await;
    let token = member.access.clone().unwrap();
    let order = |what: &str| {
        let path = format!("/api/admin/members/{id}/{what}");
        site.ask(Method::POST, &path).by(&admin).send()
    };
    cash(&site).bearer(&token).send().await.is(200, 0);
    order("block").await.is(200, 0);
    cash(&site).bearer(&token).send().await.is(403, 2012);
    cash(&site).by(&member).send().await.is(403, 2012);
    cash(&site)
        .by(&member.only_refresh())
        .send()
        .await
        .is(403, 2012);
    info(&site).by(&member).send().await.is(403, 2012);
    order("unblock").await.is(200, 0);
    cash(&site).bearer(&token).send().await.is(200, 0);
}

/// A hundred requests for a list that is in the cache, with the session that the first of them has read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_list_is_read_without_the_database() {
    const READ_WAIT: &str = "market_db_read_wait_seconds_count";
    let site = Site::start(On::Sqlite).await;
    let member = site.log_in("kakao", 1).await;
    let list = async || {
        let ask = site.ask(Method::GET, "/api/products/mobile-data?size=20");
        ask.by(&member).send().await.is(200, 0);
    };
    list().await;
    let before = site.metric(READ_WAIT).await;
    for _ in 0..100 {
        list().await;
    }
    // Jobs of the server read, too, a few times a second, and their COMMITs make sessions be read again.
    let reads = site.metric(READ_WAIT).await - before;
    assert!(reads < 80, "{reads}");
}

/// SQLite's file may be open in another program: its COMMIT is noticed within a second.
async fn block_by_another_instance_takes_effect(on: On) {
    let site = Site::start(on).await;
    let (admin, member) = (site.admin().await, site.log_in("kakao", 1).await);
    let id = site.id(&member).await;
    let second = site.second(&[]).await;
    cash(&site).by(&member).send().await.is(200, 0);
    let path = format!("/api/admin/members/{id}/block");
    let block = second.ask(Method::POST, &path).by(&admin);
    block.send().await.is(200, 0);
    if matches!(on, On::Sqlite) {
        site.wait(Duration::from_secs(1));
    }
    cash(&site).by(&member).send().await.is(403, 2012);
}

/// B4: the role is the one in the database, not the token's.
async fn admin_routes_require_the_current_role(on: On) {
    let site = Site::start(on).await;
    let (admin, member) = (site.admin().await, site.log_in("kakao", 1).await);
    let (admin_id, id) = (site.id(&admin).await, site.id(&member).await);
    for what in ["block", "unblock"] {
        let order = |id: &str| site.ask(Method::POST, &format!("/api/admin/members/{id}/{what}"));
        let id = id.to_string();
        order(&id).by(&member).send().await.is(403, 1003);
        order(&admin_id.to_string())
            .by(&member)
            .send()
            .await
            .is(403, 1003);
        order(&admin_id.to_string())
            .by(&admin)
            .send()
            .await
            .is(403, 1003);
        order("999999").by(&admin).send().await.is(400, 2005);
        for odd in ["0", "x", "-1", "2147483648", "1.0", "%20"] {
            order(odd).by(&admin).send().await.is(400, 1006);
        }
    }
    assert_eq!(
        site.number("select count(*) from member where blocked = 1")
            .await,
        0
    );
    // The token was signed for an administrator, whose role was then revoked.
    let admin = site.log_in("kakao", 40).await;
    site.sql(&format!(
        "update member set role = 'ROLE_MEMBER' where id = {admin_id}"
    ))
    .await;
    let path = format!("/api/admin/members/{id}/block");
    site.ask(Method::POST, &path)
        .by(&admin)
        .send()
        .await
        .is(403, 1003);
}

/// G3.
async fn admin_commands_are_audited_and_append_events(on: On) {
    let site = Site::start(on).await;
    let (admin, member) = (site.admin().await, site.log_in("kakao", 1).await);
    let (admin_id, id) = (site.id(&admin).await, site.id(&member).await);
    for what in ["block", "block", "unblock"] {
        let ask = site.ask(Method::POST, &format!("/api/admin/members/{id}/{what}"));
        let ask = ask.by(&admin).header("x-request-id", "the-order");
        ask.send().await.is(200, 0);
    }
    let noted = format!(
        "select count(*) from audit where actor_id = {admin_id} and target = 'member:{id}' \
         and request_id = 'the-order'"
    );
    assert_eq!(site.number(&noted).await, 3);
    // Blocking a blocked member appends no event.
    let told = |n: i64, kind: &str| {
        format!(
            "select count(*) from outbox where aggregate = 'member:{id}' \
             and aggregate_seq = {n} and kind = '{kind}'"
        )
    };
    // The first is that of the first login.
    assert_eq!(site.number(&told(2, "member.blocked")).await, 1);
    assert_eq!(site.number(&told(3, "member.unblocked")).await, 1);
    let all = format!("select count(*) from outbox where aggregate = 'member:{id}'");
    assert_eq!(site.number(&all).await, 3);
}

/// A2, on this side: published keys, the signing key, accepted keys.
async fn new_key_signs_and_the_old_one_stays_valid(on: On) {
    let site = Site::start(on).await;
    let published = async || {
        let answer = site.ask(Method::GET, "/.well-known/jwks.json").send().await;
        assert_eq!(answer.headers["cache-control"], "public, max-age=300");
        let keys = answer.json()["keys"].as_array().unwrap().clone();
        keys.iter()
            .map(|key| key["kid"].clone())
            .collect::<Vec<_>>()
    };
    let kid = |cookies: &Cookies| header(cookies.access.as_deref().unwrap())["kid"].clone();
    let old = site.log_in("kakao", 1).await;
    assert_eq!(published().await, [kid(&old)]);
    let changed = |name: &str, ms: i64| {
        let time = std::time::UNIX_EPOCH + Duration::from_millis(ms.try_into().unwrap());
        let file = std::fs::File::options()
            .write(true)
            .open(site.keys.join(name))
            .unwrap();
        file.set_modified(time).unwrap();
    };
    changed("first.pem", site.now_ms() - 1);
    let fresh = generate_key().unwrap();
    std::fs::write(site.keys.join("second.pem"), fresh.private_pem.expose()).unwrap();
    changed("second.pem", site.now_ms());
    site.reread_keys();
    // Published first …
    let new_kid = json!(fresh.public.kid());
    assert_eq!(published().await, [new_kid.clone(), kid(&old)]);
    assert_eq!(kid(&site.log_in("kakao", 1).await), kid(&old));
    // … then it signs, and the old one's tokens stay valid …
    site.wait(Duration::from_secs(60));
    site.reread_keys();
    let new = site.log_in("kakao", 1).await;
    assert_eq!(kid(&new), new_kid);
    cash(&site)
        .bearer(old.access.as_deref().unwrap())
        .send()
        .await
        .is(200, 0);
    // … until all of them have expired.
    site.wait(14 * DAY);
    site.reread_keys();
    assert_eq!(published().await, [new_kid]);
    // An invalid key file changes nothing.
    std::fs::write(site.keys.join("third.pem"), "garbage").unwrap();
    site.reread_keys();
    assert_eq!(kid(&site.log_in("kakao", 1).await), kid(&new));
}

async fn changes_by_cookie_come_from_our_pages(on: On) {
    let site = Site::start(on).await;
    let cookies = site.log_in("kakao", 1).await;
    let ask = |origin: Option<&str>| {
        let ask = site.ask(Method::POST, "/api/members/role");
        let ask = ask.header("cookie", &cookies.header());
        match origin {
            Some(origin) => ask.header("origin", origin),
            None => ask,
        }
    };
    for origin in [None, Some("null"), Some("https://evil.example"), Some("")] {
        ask(origin).send().await.is(403, 1003);
    }
    let longer = format!("{PAGE}.evil.example");
    ask(Some(&longer)).send().await.is(403, 1003);
    for origin in [PAGE, &site.base] {
        assert_eq!(ask(Some(origin)).send().await.status, 204);
    }
    // Browsers never add a bearer token by themselves.
    let ask = site.ask(Method::POST, "/api/members/role");
    let answer = ask.bearer(cookies.access.as_deref().unwrap()).send().await;
    assert_eq!(answer.status, 204);
}
