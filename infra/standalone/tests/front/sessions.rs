//! Logins: first and later ones, silent renewal, what the front end's own server does, and logout.

use reqwest::{Method, Url};
use serde_json::json;

use super::browser::Browser;
use super::record::Exchange;
use super::shape::check;
use super::shapes::MEMBER;
use super::sites::{FRONT, Site};
use super::{Person, stomp_page};

/// Errors can be read by the page, too, and by no page of another site.
pub(crate) async fn strangers_are_refused(site: &Site) {
    let mut browser = Browser::new(FRONT);
    for path in ["/api/members/info", "/api/chat-room?size=2"] {
        let answer = super::ask(&mut browser, site, Method::GET, path, None).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!(2014)));
    }
    let mut elsewhere = Browser::new("http://localhost:3999");
    for path in ["/api/members/info", "/api/chat-room?size=2"] {
        let url = format!("{}{path}", site.api);
        let answer = elsewhere
            .fetch(super::request(Method::GET, &url, None))
            .await;
        assert!(answer.is_err(), "{path} can be read: {answer:?}");
    }
}

impl<'a> Person<'a> {
    /// By the button of a provider: the first login leads to onboarding, later ones do not.
    pub(crate) async fn join(site: &'a Site, provider: &str, person: u64) -> Self {
        let mut who = Self::log_in(site, provider, person, "?on-boarding=true").await;
        for (name, seconds) in [("accessToken", 3_600), ("refreshToken", 1_209_600)] {
            let cookie = who.browser.cookie("localhost", name);
            let cookie = cookie.unwrap_or_else(|| panic!("no {name}"));
            assert!(cookie.http_only, "{name} can be read by scripts");
            assert_eq!(cookie.secure, site.has_secure_cookies, "{name}");
            assert_eq!(cookie.max_age, Some(seconds), "{name}");
        }
        let answer = who.ask(Method::POST, "/api/members/role", None).await;
        assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        let again = Self::log_in(site, provider, person, "").await;
        assert_eq!(again.id, who.id, "the same member");
        again
    }

    async fn log_in(site: &'a Site, provider: &str, person: u64, query: &str) -> Self {
        let mut browser = Browser::new(FRONT);
        let landed = log_in(&mut browser, site, provider, person).await;
        assert_eq!(landed, format!("{FRONT}/data{query}"));
        let mut who = Self {
            site,
            browser,
            id: 0,
        };
        let info = who.get("/api/members/info").await;
        check("my info", &info, MEMBER);
        who.id = info["memberId"].as_u64().unwrap();
        who
    }

    /// The access cookie has expired: any request is answered, and brings another.
    pub(crate) async fn renew_silently(&mut self) {
        let before = self.browser.cookie("localhost", "accessToken").cloned();
        self.browser.drop_cookie("localhost", "accessToken");
        self.get("/api/members/cash").await;
        let after = self.browser.cookie("localhost", "accessToken").cloned();
        let [before, after] = [before, after].map(|cookie| cookie.expect("a cookie").value);
        assert_ne!(before, after);
    }

    /// Its pages are rendered with the refresh token in the place of the access token.
    pub(crate) async fn render_on_server(&mut self) {
        let refresh = self.browser.cookie("localhost", "refreshToken").unwrap();
        let cookie = format!("accessToken={}", refresh.value);
        let get = async |path: &str| {
            let url = format!("{}{path}", self.site.api).replacen("localhost", "127.0.0.1", 1);
            let request = crate::client().get(url).header("cookie", &cookie);
            let answer = request.send().await.unwrap();
            (
                answer.status().as_u16(),
                answer.json::<serde_json::Value>().await.unwrap(),
            )
        };
        let (status, info) = get("/api/members/info").await;
        assert_eq!((status, &info["data"]["memberId"]), (200, &json!(self.id)));
        check("info", &info["data"], MEMBER);
        let (status, refused) = get("/api/members/cash").await;
        assert_eq!((status, &refused["code"]), (401, &json!(2007)));
    }

    pub(crate) async fn log_out(&mut self) {
        let answer = self.ask(Method::POST, "/api/auth/logout", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for name in ["accessToken", "refreshToken"] {
            assert!(self.browser.cookie("localhost", name).is_none(), "{name}");
        }
        assert_eq!(self.refused(Method::GET, "/api/members/info").await, 2014);
        let refused = stomp_page::Stomp::connect(&self.browser, self.site).await;
        let Err(frame) = refused else {
            panic!("the chat accepts a login that has ended");
        };
        assert_eq!(frame.header("message"), Some("Authentication failed"));
    }
}

/// The whole way through a provider and back; where the browser lands.
async fn log_in(browser: &mut Browser, site: &Site, provider: &str, person: u64) -> String {
    let url = format!("{}/oauth2/authorization/{provider}", site.api);
    let (at, page) = browser.go(&url).await;
    let wanted = format!("person={person}\"");
    let mut links = page.split("href=\"").skip(1);
    let link = links.find(|link| link.contains(&wanted));
    let link = link.unwrap_or_else(|| panic!("{at} is not the provider's page: {page}"));
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let (landed, _) = browser.go(at.join(&link).unwrap().as_str()).await;
    for hop in std::mem::take(&mut browser.hops) {
        let path = hop.url.path();
        if super::routes::find("GET", path).is_some() {
            let query = hop.url.query().map(|query| format!("?{query}"));
            site.recorder.add(&Exchange {
                method: &Method::GET,
                path: &format!("{path}{}", query.unwrap_or_default()),
                body: None,
                status: hop.status,
                headers: hop.headers.iter().map(without_secrets).collect(),
                text: "",
            });
        }
    }
    landed.into()
}

/// A header without what is random in it.
fn without_secrets((name, value): &(String, String)) -> (String, String) {
    let value = if name == "location" {
        let url: Url = value.parse().unwrap();
        let is_front = url.origin().ascii_serialization() == FRONT;
        match value.split_once('?') {
            // The provider's page; which one it is, is a setting.
            Some((page, _)) if !is_front => format!("{page}?…"),
            Some(_) | None => value.clone(),
        }
    } else {
        let (cookie, attributes) = value.split_once(';').unwrap();
        let (cookie, _) = cookie.split_once('=').unwrap();
        format!("{cookie}=…;{attributes}")
    };
    (name.clone(), value)
}
