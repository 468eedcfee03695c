//! The contract test: the calls of the first front end, in the order in which a browser makes them,
//! with its cookies, origins and preflights. One walk over each form of the site; it drives every
//! operation and destination of `domain.md` 3 and 4 and checks every answer field by field.

mod browser;
mod buying;
mod chatting;
mod notified;
mod offering;
mod ours;
mod paying;
mod record;
mod refusals;
mod reviewing;
mod routes;
mod sessions;
mod shape;
mod shapes;
mod sites;
mod stable;
mod stomp_page;

use reqwest::Method;
use serde_json::{Value, json};

use browser::{Answer, Browser, Credentials, Request};
use record::Exchange;
use shape::{check, check_all};
use shapes::{CASH, GIGABYTES, PAGE, PLAN, UPLOAD};
use sites::Site;

/// Somebody with the front end open.
pub(crate) struct Person<'a> {
    pub(crate) site: &'a Site,
    pub(crate) browser: Browser,
    pub(crate) id: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_first_front_end_is_answered_by_dapanda() {
    let site = sites::alone().await;
    walk(&site).await;
    site.recorder.check_page();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_of_the_first_front_end_is_answered_by_the_two_servers() {
    let site = sites::two_servers().await;
    walk(&site).await;
    let nodes = site.nodes.lock().unwrap().clone();
    assert_eq!(nodes.len(), 2, "messages cross the chat nodes: {nodes:?}");
}

async fn walk(site: &Site) {
    every_operation_is_in_a_table(site).await;
    sessions::strangers_are_refused(site).await;
    let mut seller = Person::join(site, "google", 2).await;
    seller.look_at_my_page().await;
    seller.change_profile_picture().await;
    let offers = seller.offer().await;
    seller.look_at_lists(&offers).await;
    seller.change(&offers).await;
    let mut buyer = Person::join(site, "google", 3).await;
    buyer.look_at_seller(&seller, &offers).await;
    let talk = chatting::walk(&mut seller, &mut buyer, &offers).await;
    buyer.charge().await;
    buyer.charge_in_vain().await;
    let (bought, booking) = buying::walk(&mut seller, &mut buyer, &offers).await;
    buyer.pay_out().await;
    buyer.check_histories(&bought).await;
    reviewing::walk(&mut seller, &mut buyer, &offers, (&bought, &talk)).await;
    notified::walk(&mut seller, &mut buyer).await;
    ours::walk(&mut seller, &mut buyer, &talk, &bought).await;
    ours::separate(&mut seller, &mut buyer, &offers, &talk).await;
    ours::leave(site, &mut buyer, &talk).await;
    booking.check_end().await;
    seller.withdraw(&offers).await;
    seller.renew_silently().await;
    seller.render_on_server().await;
    seller.log_out().await;
    site.recorder.check_complete();
}

/// What the servers document is in the tables of the contract.
async fn every_operation_is_in_a_table(site: &Site) {
    for path in ["/docs/openapi.json", "/docs/chat/openapi.json"] {
        let url = format!("{}{path}", site.api).replacen("localhost", "127.0.0.1", 1);
        let document = crate::client().get(url).send().await.unwrap();
        let unlisted = routes::unlisted(&document.json().await.unwrap());
        assert!(unlisted.is_empty(), "{path}: {unlisted:#?}");
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
    let answer = browser.fetch(request(method.clone(), &url, body)).await;
    let answer =
        answer.unwrap_or_else(|blocked| panic!("the page may not read {path}: {}", blocked.0));
    site.recorder.add(&Exchange {
        method: &method,
        path,
        body,
        status: answer.status,
        headers: Vec::new(),
        text: &answer.text,
    });
    answer
}

/// As the pages of the front end send it.
fn request<'a>(method: Method, url: &'a str, body: Option<&Value>) -> Request<'a> {
    Request {
        method,
        url,
        content_type: body.map(|_| "application/json"),
        body: body.map(|body| body.to_string().into()).unwrap_or_default(),
        credentials: Credentials::Include,
    }
}

impl Person<'_> {
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

    /// The same with a body: status and code.
    pub(crate) async fn refused_with(
        &mut self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (u16, u64) {
        let answer = self.ask(method, path, Some(body)).await;
        let json = answer.json();
        assert!(json["message"].is_string(), "{path}: {json}");
        assert!(json.get("data").is_none(), "{path}: {json}");
        (answer.status, json["code"].as_u64().unwrap())
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
