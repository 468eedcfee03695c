//! The calls of the first front end, in the order in which a browser makes them, with its cookies,
//! origins and preflights: one walk over each form of the site.

mod browser;
mod chatting;
mod offering;
mod shape;
mod sites;
mod stomp_page;

use reqwest::Method;
use serde_json::{Value, json};

use browser::{Answer, Browser, Credentials, Request};
use shape::{CASH, GIGABYTES, MEMBER, PAGE, PLAN, UPLOAD, check, check_all};
use sites::{FRONT, Site};

/// Somebody with the front end open.
pub(crate) struct Person<'a> {
    pub(crate) site: &'a Site,
    pub(crate) browser: Browser,
    pub(crate) id: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_first_front_end_is_answered_by_dapanda() {
    walk(&sites::alone().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_first_front_end_is_answered_by_the_two_servers() {
    walk(&sites::two_servers().await).await;
}

async fn walk(site: &Site) {
    strangers_are_told_so(site).await;
    let mut seller = Person::log_in(site, "kakao", 2).await;
    seller.look_at_my_page().await;
    seller.change_profile_picture().await;
    let offers = seller.offer().await;
    seller.look_at_lists(&offers).await;
    seller.change(&offers).await;
    let mut buyer = Person::log_in(site, "kakao", 3).await;
    buyer.look_at_seller(&seller, &offers).await;
    chatting::walk(&mut seller, &mut buyer, &offers).await;
    seller.withdraw(&offers).await;
    seller.log_out().await;
}

/// Errors can be read by the page, too, and by no page of another site.
async fn strangers_are_told_so(site: &Site) {
    let mut browser = Browser::new(FRONT);
    for path in ["/api/members/info", "/api/chat-room?size=2"] {
        let answer = ask(&mut browser, site, Method::GET, path, None).await;
        assert_eq!((answer.status, &answer.json()["code"]), (401, &json!(2014)));
    }
    let mut elsewhere = Browser::new("http://localhost:3999");
    for path in ["/api/members/info", "/api/chat-room?size=2"] {
        let request = Request {
            method: Method::GET,
            url: &format!("{}{path}", site.api),
            content_type: None,
            body: Vec::new(),
            credentials: Credentials::Include,
        };
        let answer = elsewhere.fetch(request).await;
        assert!(answer.is_err(), "{path} can be read: {answer:?}");
    }
}

/// `fetch` with credentials, of a page that may read the answer.
async fn ask(
    browser: &mut Browser,
    site: &Site,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Answer {
    let url = format!("{}{path}", site.api);
    let request = Request {
        method,
        url: &url,
        content_type: body.map(|_| "application/json"),
        body: body.map(|body| body.to_string().into()).unwrap_or_default(),
        credentials: Credentials::Include,
    };
    let answer = browser.fetch(request).await;
    answer.unwrap_or_else(|blocked| panic!("the page may not read {path}: {}", blocked.0))
}

impl<'a> Person<'a> {
    /// By the button of a provider; a new member is taken through onboarding.
    async fn log_in(site: &'a Site, provider: &str, person: u64) -> Self {
        let mut browser = Browser::new(FRONT);
        let landed = log_in(&mut browser, site, provider, person).await;
        let onboarding = if site.is_new { "?on-boarding=true" } else { "" };
        assert_eq!(landed, format!("{FRONT}/data{onboarding}"));
        for (name, seconds) in [("accessToken", 3_600), ("refreshToken", 1_209_600)] {
            let cookie = browser.cookie("localhost", name);
            let cookie = cookie.unwrap_or_else(|| panic!("no {name}"));
            assert!(cookie.http_only, "{name} can be read by scripts");
            assert_eq!(cookie.secure, site.is_new, "{name}");
            assert_eq!(cookie.max_age, Some(seconds), "{name}");
        }
        let mut who = Self {
            site,
            browser,
            id: 0,
        };
        if site.is_new {
            let answer = who.ask(Method::POST, "/api/members/role", None).await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""));
            let landed = log_in(&mut who.browser, site, provider, person).await;
            assert_eq!(landed, format!("{FRONT}/data"));
        }
        let info = who.get("/api/members/info").await;
        check("my info", &info, MEMBER);
        who.id = info["memberId"].as_u64().unwrap();
        who
    }

    async fn ask(&mut self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        ask(&mut self.browser, self.site, method, path, body).await
    }

    /// A call that works: its `data`.
    pub(crate) async fn call(&mut self, method: Method, path: &str, body: Option<&Value>) -> Value {
        let answer = self.ask(method, path, body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let json = answer.json();
        assert_eq!(json["code"], 0, "{path}: {json}");
        assert!(json["message"].is_string(), "{path}: {json}");
        json["data"].clone()
    }

    pub(crate) async fn get(&mut self, path: &str) -> Value {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> Value {
        self.call(Method::POST, path, Some(body)).await
    }

    /// A call that is refused: with which code.
    pub(crate) async fn refused(&mut self, method: Method, path: &str) -> Value {
        let answer = self.ask(method, path, None).await;
        let json = answer.json();
        assert!(answer.status >= 400, "{path}: {json}");
        assert!(json.get("data").is_none(), "{path}: {json}");
        json["code"].clone()
    }

    /// All rows of a list, page by page; `first` is the query of the first page.
    pub(crate) async fn pages(&mut self, path: &str, first: &str) -> Vec<Value> {
        let mut rows = Vec::new();
        let mut cursor = first.to_owned();
        loop {
            let page = self.get(&format!("{path}{cursor}")).await;
            check(path, &page, PAGE);
            rows.extend(page["data"].as_array().unwrap().iter().cloned());
            let info = &page["pageInfo"];
            assert_eq!(info["hasNext"], !info["nextCursorId"].is_null(), "{info}");
            if info["nextCursorId"].is_null() {
                return rows;
            }
            cursor = format!("&cursorId={}", info["nextCursorId"]);
        }
    }

    async fn look_at_my_page(&mut self) {
        check("cash", &self.get("/api/members/cash").await, CASH);
        for what in ["buying-data", "selling-data", "selling-data/sold"] {
            let path = format!("/api/members/{what}");
            check(what, &self.get(&path).await, GIGABYTES);
        }
        check("my plan", &self.get("/api/plans/my-data").await, PLAN);
    }

    /// A picture goes to the store of pictures past the API: the URL that the page may use.
    pub(crate) async fn upload(&mut self, filename: &str) -> String {
        let asked = json!({"filenames": [filename]});
        let uploads = self.post("/api/images/presign", &asked).await;
        check_all("uploads", &uploads, UPLOAD);
        assert_eq!(uploads[0]["filename"], filename);
        let [url, public_url] = ["url", "publicUrl"].map(|name| {
            let url = uploads[0][name].as_str().unwrap();
            url.to_owned()
        });
        let request = Request {
            method: Method::PUT,
            url: &url,
            content_type: Some("image/png"),
            body: png(),
            credentials: Credentials::SameOrigin,
        };
        let put = self.browser.fetch(request).await;
        let put = put.unwrap_or_else(|blocked| panic!("no picture may be sent: {}", blocked.0));
        assert_eq!(put.status, 200, "{put:?}");
        assert!(self.browser.asked.contains(&format!("PUT {url}")));
        public_url
    }

    async fn change_profile_picture(&mut self) {
        let url = self.upload("me.png").await;
        let path = "/api/members/profile-image";
        self.post(path, &json!({"imageUrl": url})).await;
        let info = self.get("/api/members/info").await;
        check_picture(&info["profileImageUrl"]).await;
        let wrong = json!({"imageUrl": "https://elsewhere.example/me.svg"});
        let answer = self.ask(Method::POST, path, Some(&wrong)).await;
        assert_eq!(answer.json()["code"], 3013);
    }

    async fn log_out(&mut self) {
        let answer = self.ask(Method::POST, "/api/auth/logout", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        for name in ["accessToken", "refreshToken"] {
            assert!(self.browser.cookie("localhost", name).is_none(), "{name}");
        }
        assert_eq!(self.refused(Method::GET, "/api/members/info").await, 2014);
        let refused = stomp_page::Stomp::connect(&self.browser, FRONT, &self.site.api).await;
        let Err(frame) = refused else {
            panic!("the chat takes whoever has logged out");
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
    landed.into()
}

/// What was sent is shown where it is used.
pub(crate) async fn check_picture(url: &Value) {
    let url = url.as_str().unwrap().replacen("localhost", "127.0.0.1", 1);
    let shown = crate::client().get(url).send().await.unwrap();
    assert_eq!(shown.headers()["content-type"], "image/png");
    assert_eq!(shown.bytes().await.unwrap(), png());
}

/// One red dot.
fn png() -> Vec<u8> {
    const DOT: &str = "89504e470d0a1a0a0000000d49484452000000010000000108020000009077\
        53de0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082";
    let digits = DOT.as_bytes().chunks(2);
    let bytes = digits.map(|two| {
        let two = str::from_utf8(two).unwrap();
        u8::from_str_radix(two, 16).unwrap()
    });
    bytes.collect()
}
