//! Logins, by browsers and by attackers.

use std::collections::BTreeSet;
use std::time::Duration;

use http::Method;
use serde_json::json;

use crate::on_both;
use crate::site::{Cookies, Site};
use crate::support::On;

on_both! {
    first_login_makes_a_member_with_a_plan,
    the_same_person_is_the_same_member,
    people_of_two_providers_are_two_members_also_with_one_address,
    email_is_stored_only_if_the_provider_has_verified_it,
    a_login_must_come_back_to_the_browser_that_began_it,
    a_code_works_once_and_with_its_state,
    repeated_callback_gets_a_session,
    callback_continues_when_its_browser_disconnects,
    a_refusal_that_comes_twice_is_the_same,
    old_callback_gives_no_session_after_a_logout,
    foreign_callback_does_not_end_an_attempt,
    any_cookie_of_the_attempt_may_be_the_right_one,
    a_member_is_sent_to_the_market_and_a_new_one_to_onboarding,
    attempt_cookie_over_tls_is_host_only,
    a_login_must_be_in_time,
    a_login_must_come_back_from_the_provider_it_went_to,
    the_code_of_another_login_is_refused,
    whoever_declines_is_told_so,
    a_blocked_member_does_not_come_in,
    two_tabs_log_in_at_once,
    many_first_logins_at_once_make_one_member,
    redirects_stay_on_the_site,
    a_provider_that_is_away_is_told,
    an_unknown_provider_is_no_path,
}

/// The redirect of a new member.
const ONBOARDING: &str = "http://localhost:3000/data?on-boarding=true";

/// The browser is redirected to the front end with this error.
async fn refused(ask: crate::site::Ask<'_>, code: u16) {
    let answer = ask.send().await;
    let expected = format!("http://localhost:3000/?error={code}");
    assert_eq!(
        (answer.status, answer.location()),
        (302, expected),
        "{answer:?}"
    );
    let mut cookies = Cookies::default();
    cookies.take(&answer.headers);
    assert_eq!(cookies, Cookies::default());
}

/// The URL with this parameter changed.
fn with(url: &str, name: &str, value: &str) -> String {
    let mut url: reqwest::Url = url.parse().unwrap();
    let pairs = url.query_pairs().into_owned();
    let mut pairs: Vec<_> = pairs.filter(|(known, _)| known != name).collect();
    pairs.push((name.to_owned(), value.to_owned()));
    url.query_pairs_mut().clear().extend_pairs(pairs);
    url.into()
}

async fn first_login_makes_a_member_with_a_plan(on: On) {
    let site = Site::start(on).await;
    for (provider, n) in [("kakao", 1), ("google", 2), ("naver", 3)] {
        let cookies = site.log_in(provider, n).await;
        let info = site.data(&cookies, "/api/members/info").await;
        assert_eq!(info["name"], format!("사람 {n}"));
        assert_eq!(info["joinedAt"], "2026-11-15");
        let plan = site.data(&cookies, "/api/plans/my-data").await;
        let providing = plan["providingDataAmount"].as_f64().unwrap();
        assert!([3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0, 100.0].contains(&providing));
        assert_eq!(plan["currentDataAmount"], plan["providingDataAmount"]);
        let cash = site.data(&cookies, "/api/members/cash").await;
        assert_eq!(cash, json!({"cash": 0}));
    }
    assert_eq!(site.number("select count(*) from wallet").await, 3);
    let new = "select count(*) from member where role = 'ROLE_NEW_MEMBER'";
    assert_eq!(site.number(new).await, 3);
}

async fn the_same_person_is_the_same_member(on: On) {
    let site = Site::start(on).await;
    let first = site.log_in("kakao", 1).await;
    let plan = site.data(&first, "/api/plans/my-data").await;
    let again = site.log_in("kakao", 1).await;
    assert_ne!(first, again);
    assert_eq!(site.id(&first).await, site.id(&again).await);
    assert_eq!(site.data(&again, "/api/plans/my-data").await, plan);
}

/// A4: an address registered at another provider does not give access to its owner's account.
async fn people_of_two_providers_are_two_members_also_with_one_address(on: On) {
    let site = Site::start(on).await;
    let mut ids = BTreeSet::new();
    for provider in ["kakao", "google", "naver"] {
        let cookies = site.log_in(provider, 1).await;
        ids.insert(site.id(&cookies).await);
    }
    assert_eq!(ids.len(), 3);
    let same = "select count(*) from member where email = 'person1@example.com'";
    assert_eq!(site.number(same).await, 3);
}

async fn email_is_stored_only_if_the_provider_has_verified_it(on: On) {
    let site = Site::start(on).await;
    for provider in ["kakao", "google"] {
        for person in [4, 5] {
            site.log_in(provider, person).await;
        }
    }
    site.log_in("naver", 5).await;
    assert_eq!(site.number("select count(email) from member").await, 0);
    assert_eq!(site.number("select count(*) from member").await, 5);
}

/// A4, login CSRF: a victim's browser must not complete an attacker's login.
async fn a_login_must_come_back_to_the_browser_that_began_it(on: On) {
    let site = Site::start(on).await;
    let (_, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    refused(site.ask_url(Method::GET, &to_site), 2006).await;
    let (other_browser, _) = site.begin("kakao").await;
    let (_, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = site
        .ask_url(Method::GET, &to_site)
        .header("cookie", &other_browser);
    refused(ask, 2006).await;
    assert_eq!(site.number("select count(*) from member").await, 0);
}

/// A4: state missing, wrong or used before; a code used before.
async fn a_code_works_once_and_with_its_state(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = |url: &str| site.ask_url(Method::GET, url).header("cookie", &browser);
    let bare = to_site.split('?').next().unwrap();
    refused(ask(bare), 2006).await;
    refused(ask(&with(&to_site, "state", "guessed")), 2006).await;
    refused(ask(&with(&to_site, "state", &"x".repeat(5_000))), 2006).await;
    let answer = ask(&to_site).send().await;
    assert_eq!(answer.location(), ONBOARDING);
    // The used code with a fresh state of the same browser.
    let answer = site.ask(Method::GET, "/oauth2/authorization/kakao");
    let answer = answer.header("cookie", &browser).send().await;
    let url: reqwest::Url = answer.location().parse().unwrap();
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    refused(ask(&with(&to_site, "state", &state)), 2009).await;
}

/// A double click, a reload, a lost response; later the back button.
async fn repeated_callback_gets_a_session(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = |cookies: &str| {
        let ask = site.ask_url(Method::GET, &to_site);
        ask.header("cookie", &format!("{browser}; {cookies}"))
    };
    let at_once = futures_util::future::join_all((0..5).map(|_| ask("").send())).await;
    let mut ids = Vec::new();
    for answer in at_once {
        assert_eq!(answer.location(), ONBOARDING, "{answer:?}");
        let mut cookies = Cookies::default();
        cookies.take(&answer.headers);
        ids.push((site.id(&cookies).await, cookies));
    }
    assert!(ids.iter().all(|(id, _)| *id == ids[0].0), "{ids:?}");
    let cookies = &ids[0].1;

    // Without the session a repeated callback works for a minute only.
    site.wait(Duration::from_secs(61));
    refused(ask(""), 2006).await;
    assert_eq!(ask(&cookies.header()).send().await.location(), ONBOARDING);
    // The attempt is deleted and the access token has expired: the refresh token is valid.
    site.wait(Duration::from_secs(2 * 3_600));
    let answer = ask(&cookies.header()).send().await;
    assert_eq!(answer.location(), ONBOARDING);
    let mut renewed = Cookies::default();
    renewed.take(&answer.headers);
    assert!(renewed.access.is_some(), "{answer:?}");
    refused(ask("refreshToken=a.b.c"), 2006).await;
}

async fn callback_continues_when_its_browser_disconnects(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = || {
        let ask = site.ask_url(Method::GET, &to_site);
        ask.header("cookie", &browser)
    };
    // Sent, and cancelled at some point.
    for millis in [1, 5, 20] {
        let given_up = tokio::time::timeout(Duration::from_millis(millis), ask().send());
        drop(given_up.await);
    }
    assert_eq!(ask().send().await.location(), ONBOARDING);
}

async fn a_refusal_that_comes_twice_is_the_same(on: On) {
    let site = Site::start(on).await;
    site.log_in("kakao", 1).await;
    site.sql("update member set blocked = 1").await;
    let (browser, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    for _ in 0..2 {
        let ask = site.ask_url(Method::GET, &to_site);
        refused(ask.header("cookie", &browser), 2012).await;
    }
}

async fn old_callback_gives_no_session_after_a_logout(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = || {
        let ask = site.ask_url(Method::GET, &to_site);
        ask.header("cookie", &browser)
    };
    let answer = ask().send().await;
    let mut cookies = Cookies::default();
    cookies.take(&answer.headers);
    let leave = site.ask(Method::POST, "/api/auth/logout").by(&cookies);
    leave.send().await.is(200, 0);
    refused(ask(), 2006).await;
}

/// Another browser, another provider's path, another issuer: refused, and the legitimate callback succeeds.
async fn foreign_callback_does_not_end_an_attempt(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site.choose(&to_provider, 1).await;
    let (other_browser, _) = site.begin("google").await;
    let ask = |url: &str, browser: &str| {
        let ask = site.ask_url(Method::GET, url);
        ask.header("cookie", browser)
    };
    refused(ask(&to_site, &other_browser), 2006).await;
    refused(site.ask_url(Method::GET, &to_site), 2006).await;
    let elsewhere = to_site.replace("/code/google", "/code/naver");
    refused(ask(&elsewhere, &browser), 2006).await;
    let issuer = with(&to_site, "iss", "https://accounts.evil.example");
    refused(ask(&issuer, &browser), 2006).await;
    assert_eq!(ask(&to_site, &browser).send().await.location(), ONBOARDING);
}

/// Cookies of another path, of another attempt or of other hosts of the domain are sent along, in any order.
async fn any_cookie_of_the_attempt_may_be_the_right_one(on: On) {
    let site = Site::start(on).await;
    let (old, _) = site.begin("google").await;
    let odd = "loginAttempt=short; name=김; loginAttempt=\"; loginAttempt=김";
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site.choose(&to_provider, 1).await;
    let ask = |cookies: String| {
        let ask = site.ask_url(Method::GET, &to_site);
        ask.header("cookie", &cookies)
    };
    refused(ask(format!("{odd}; {old}")), 2006).await;
    // Also when it is repeated.
    for cookies in [
        format!("{odd}; {old}; {browser}"),
        format!("{browser}; {old}"),
        format!("{old}; {odd}; {browser}"),
    ] {
        assert_eq!(ask(cookies).send().await.location(), ONBOARDING);
    }
    // A malformed value is replaced.
    let begin = site.ask(Method::GET, "/oauth2/authorization/google");
    let begin = begin.header("cookie", &format!("loginAttempt=short; {browser}"));
    let set = begin.send().await.headers["set-cookie"].clone();
    let set = set.to_str().unwrap();
    assert!(set.starts_with(&format!("{browser};")), "{set}");
}

async fn a_member_is_sent_to_the_market_and_a_new_one_to_onboarding(on: On) {
    let site = Site::start(on).await;
    let answer = site.come_back("kakao", 1).await.send().await;
    assert_eq!(answer.location(), ONBOARDING);
    let mut cookies = Cookies::default();
    cookies.take(&answer.headers);
    let over = site.ask(Method::POST, "/api/members/role").by(&cookies);
    assert_eq!(over.send().await.status, 204);
    let answer = site.come_back("kakao", 1).await.send().await;
    assert_eq!(answer.location(), "http://localhost:3000/data");
}

async fn attempt_cookie_over_tls_is_host_only(on: On) {
    let site = Site::start(on).await;
    let args = [
        "--insecure-cookies=off",
        "--cookie-domain=dapanda.example",
        "--public-url=https://dapanda.example",
    ];
    let secure = site.second(&args).await;
    let begun = secure.ask(Method::GET, "/oauth2/authorization/kakao");
    let begun = begun.send().await;
    let cookie = begun.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-loginAttempt="), "{cookie}");
    assert!(
        cookie.contains("; Path=/;") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
    assert!(!cookie.to_ascii_lowercase().contains("domain"), "{cookie}");
    let to_site = secure.choose(&begun.location(), 1).await;
    let to_site = to_site.replace("https://dapanda.example", &secure.base);
    let (pair, _) = cookie.split_once(';').unwrap();
    // A cookie that another host of the domain could have set does not count.
    let planted = pair.trim_start_matches("__Host-");
    let ask = || secure.ask_url(Method::GET, &to_site);
    refused(ask().header("cookie", planted), 2006).await;
    let answer = ask().header("cookie", pair).send().await;
    assert_eq!(answer.location(), ONBOARDING);
    // Without TLS browsers reject the prefix.
    let plain = site.second(&["--insecure-cookies=off"]).await;
    let begun = plain.ask(Method::GET, "/oauth2/authorization/kakao");
    let begun = begun.send().await;
    let cookie = begun.headers["set-cookie"].to_str().unwrap().to_owned();
    assert!(
        cookie.starts_with("loginAttempt=") && cookie.ends_with("; Secure"),
        "{cookie}"
    );
}

async fn a_login_must_be_in_time(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("naver").await;
    site.wait(Duration::from_secs(601));
    let to_site = site.choose(&to_provider, 1).await;
    let ask = site
        .ask_url(Method::GET, &to_site)
        .header("cookie", &browser);
    refused(ask, 2006).await;
}

/// A4: mix-up, by path and by `iss`.
async fn a_login_must_come_back_from_the_provider_it_went_to(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let to_site = site
        .choose(&to_provider, 1)
        .await
        .replace("/code/kakao", "/code/naver");
    let ask = site
        .ask_url(Method::GET, &to_site)
        .header("cookie", &browser);
    refused(ask, 2006).await;
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site.choose(&to_provider, 1).await;
    assert!(to_site.contains("iss="), "{to_site}");
    let other = with(&to_site, "iss", "https://accounts.evil.example");
    let ask = site.ask_url(Method::GET, &other).header("cookie", &browser);
    refused(ask, 2006).await;
}

/// A4: PKCE and the nonce bind a code to its login.
async fn the_code_of_another_login_is_refused(on: On) {
    let site = Site::start(on).await;
    for provider in ["kakao", "google", "naver"] {
        let (_, to_provider) = site.begin(provider).await;
        let stolen: reqwest::Url = site.choose(&to_provider, 1).await.parse().unwrap();
        let (_, code) = stolen
            .query_pairs()
            .find(|(name, _)| name == "code")
            .unwrap();
        let (browser, to_provider) = site.begin(provider).await;
        let own = site.choose(&to_provider, 2).await;
        let ask = site.ask_url(Method::GET, &with(&own, "code", &code));
        refused(ask.header("cookie", &browser), 2009).await;
    }
    // A page that changes the nonce in the redirect gets a code that is rejected here.
    let (browser, to_provider) = site.begin("google").await;
    let to_site = site
        .choose(&with(&to_provider, "nonce", "another"), 1)
        .await;
    let ask = site
        .ask_url(Method::GET, &to_site)
        .header("cookie", &browser);
    refused(ask, 2009).await;
    assert_eq!(site.number("select count(*) from member").await, 0);
}

async fn whoever_declines_is_told_so(on: On) {
    let site = Site::start(on).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let url: reqwest::Url = to_provider.parse().unwrap();
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let path = format!("/login/oauth2/code/kakao?error=access_denied&state={state}");
    let ask = site.ask(Method::GET, &path).header("cookie", &browser);
    refused(ask, 2009).await;
}

async fn a_blocked_member_does_not_come_in(on: On) {
    let site = Site::start(on).await;
    site.log_in("kakao", 1).await;
    site.sql("update member set blocked = 1").await;
    refused(site.come_back("kakao", 1).await, 2012).await;
}

async fn two_tabs_log_in_at_once(on: On) {
    let site = Site::start(on).await;
    let (browser, first) = site.begin("kakao").await;
    let answer = site.ask(Method::GET, "/oauth2/authorization/google");
    let answer = answer.header("cookie", &browser).send().await;
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with(&format!("{browser};")), "{set}");
    for (to_provider, person) in [(first, 1), (answer.location(), 2)] {
        let to_site = site.choose(&to_provider, person).await;
        let ask = site
            .ask_url(Method::GET, &to_site)
            .header("cookie", &browser);
        assert_eq!(ask.send().await.location(), ONBOARDING);
    }
}

async fn many_first_logins_at_once_make_one_member(on: On) {
    let site = Site::start(on).await;
    let all = (0..20).map(|_| site.log_in("naver", 1));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.len(), 20);
    assert_eq!(site.number("select count(*) from member").await, 1);
    assert_eq!(site.number("select count(*) from plan").await, 1);
}

/// A4: open redirects, and a redirect URI other than the registered one.
async fn redirects_stay_on_the_site(on: On) {
    let site = Site::start(on).await;
    for more in [
        "?redirect_uri=https://evil.example",
        "?next=//evil.example",
        "?continue=x",
    ] {
        let path = format!("/oauth2/authorization/kakao{more}");
        let answer = site.ask(Method::GET, &path).send().await;
        assert!(!answer.location().contains("evil"), "{answer:?}");
    }
    let (_, to_provider) = site.begin("kakao").await;
    let registered = format!("{}/login/oauth2/code/kakao", site.base);
    for other in [
        format!("{registered}/../evil"),
        format!("{registered}.evil.example"),
        "https://evil.example".to_owned(),
    ] {
        let url = with(&to_provider, "redirect_uri", &other);
        let answer = site.ask_url(Method::GET, &url).send().await;
        assert_eq!(answer.status, 400, "{other}");
    }
}

async fn a_provider_that_is_away_is_told(on: On) {
    // Bound and released: nothing listens there.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let site = Site::start_with(on, &[&format!("--kakao-url={url}")]).await;
    let (browser, to_provider) = site.begin("kakao").await;
    let url: reqwest::Url = to_provider.parse().unwrap();
    let (_, state) = url.query_pairs().find(|(name, _)| name == "state").unwrap();
    let path = format!("/login/oauth2/code/kakao?code=x&state={state}");
    refused(
        site.ask(Method::GET, &path).header("cookie", &browser),
        1010,
    )
    .await;
}

async fn an_unknown_provider_is_no_path(on: On) {
    let site = Site::start(on).await;
    for provider in ["github", "KAKAO", "kakao%2F", "%00"] {
        for path in ["/oauth2/authorization/", "/login/oauth2/code/"] {
            let answer = site
                .ask(Method::GET, &format!("{path}{provider}"))
                .send()
                .await;
            answer.is(404, 1004);
        }
    }
}
