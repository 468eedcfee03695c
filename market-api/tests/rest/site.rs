//! A market on a free port with a fake login provider, and requests to both.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use fakes::login::{CLIENT_ID, CLIENT_SECRET, Email, FakeLogin, Person};
use fakes::payout::FakePayout;
use fakes::toss::FakeToss;
use http::header::{COOKIE, LOCATION, SET_COOKIE};
use http::{HeaderMap, Method};
use market_api::app::{self, Market};
use market_api::config::Config;
use market_api::db::{Abort, DbUrl};
use serde_json::Value;
use shared::clock::{Clock as _, ManualClock};
use shared::config::parse;
use shared::drain::Drain;
use shared::web::Serving;
use sqlx::{Row as _, query};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::{On, fresh_url, noon};

/// The origin of the site's pages.
pub(crate) const PAGE: &str = "https://dapanda.example";

/// The market's keys at the payment gateway and the payout provider.
pub(crate) const TOSS_KEY: &str = "test_sk_not-in-logs";
pub(crate) const PAYOUT_KEY: &str = "payout-key-not-in-logs";

/// The secret part of the webhook's path.
pub(crate) const HOOK: &str = "hook-secret-not-in-logs";

/// A documented response.
pub(crate) type Known = (String, String, u16);

/// A market with its surroundings.
pub(crate) struct Site {
    pub(crate) market: Market,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) base: String,
    pub(crate) admin_base: String,
    pub(crate) keys: PathBuf,
    /// The documented responses received so far: (method, path, status).
    pub(crate) seen: Arc<Mutex<BTreeSet<Known>>>,
    /// The payment gateway. Its webhooks are sent by `run_webhooks`.
    pub(crate) toss: Arc<FakeToss>,
    /// The payout provider.
    pub(crate) payouts: Arc<FakePayout>,
    documented: BTreeSet<Known>,
    client: reqwest::Client,
    pub(crate) url: DbUrl,
    drain: Drain,
    folder: Arc<TempDir>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

/// The gateway and the payout provider: one of each for all instances.
struct Banks {
    toss: Arc<FakeToss>,
    payouts: Arc<FakePayout>,
}

/// The cookies of one member's browser.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cookies {
    pub(crate) access: Option<String>,
    pub(crate) refresh: Option<String>,
}

impl Cookies {
    /// Stores the cookies that a response sets.
    pub(crate) fn take(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (name, rest) = text.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap().to_owned();
            let value = (!value.is_empty()).then_some(value);
            match name {
                "accessToken" => self.access = value,
                "refreshToken" => self.refresh = value,
                _ => {}
            }
        }
    }

    pub(crate) fn header(&self) -> String {
        let pair = |name: &str, value: &Option<String>| {
            value.as_ref().map(|value| format!("{name}={value}"))
        };
        let pairs = [
            pair("accessToken", &self.access),
            pair("refreshToken", &self.refresh),
        ];
        pairs.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    pub(crate) fn only_refresh(&self) -> Self {
        Self {
            access: None,
            refresh: self.refresh.clone(),
        }
    }
}

/// Demo people: 1 to 3 with an address, 4 with an unverified one, 5 without.
pub(crate) fn people() -> Vec<Person> {
    let email = |id: u64, verified| Email {
        address: format!("person{id}@example.com"),
        verified,
    };
    let person = |id: u64, email| Person {
        id,
        name: format!("사람 {id}"),
        email,
    };
    let mut people: Vec<_> = (1..=3)
        .map(|id| person(id, Some(email(id, true))))
        .collect();
    people.push(person(4, Some(email(4, false))));
    people.push(person(5, None));
    people.extend((6..=40).map(|id| person(id, None)));
    people
}

impl Site {
    pub(crate) async fn start(on: On) -> Self {
        Self::start_with(on, &[]).await
    }

    /// A market with these additional flags.
    pub(crate) async fn start_with(on: On, more: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let url = fresh_url(on, &folder).await;
        let clock = Arc::new(ManualClock::new(noon()));
        let banks = Banks {
            toss: Arc::new(FakeToss::new(TOSS_KEY, clock.clone())),
            payouts: Arc::new(FakePayout::new(PAYOUT_KEY, clock.clone())),
        };
        let site = Self::serve(url, clock, folder, banks, more).await;
        let hook = format!("{}/hooks/toss/{HOOK}", site.base);
        site.toss.send_webhooks_to(&hook).unwrap();
        site
    }

    /// Another instance on the same database and the same keys.
    pub(crate) async fn second(&self, more: &[&str]) -> Self {
        let (clock, folder) = (Arc::clone(&self.clock), Arc::clone(&self.folder));
        let banks = Banks {
            toss: Arc::clone(&self.toss),
            payouts: Arc::clone(&self.payouts),
        };
        let mut second = Self::serve(self.url.clone(), clock, folder, banks, more).await;
        second.seen = Arc::clone(&self.seen);
        second
    }

    async fn serve(
        url: DbUrl,
        clock: Arc<ManualClock>,
        folder: Arc<TempDir>,
        Banks { toss, payouts }: Banks,
        more: &[&str],
    ) -> Self {
        let drain = Drain::new();
        let [public, admin, fake] = [bind().await, bind().await, bind().await];
        let [base, admin_base, fake_base] = [&public, &admin, &fake].map(address);
        let args = args(&url, &folder, &base, &fake_base, more);
        let config: Config = parse(args).unwrap();
        let market = Market::build(&config, clock.clone(), &drain).await.unwrap();
        let public_url = more
            .iter()
            .find_map(|flag| flag.strip_prefix("--public-url="));
        let site = public_url.unwrap_or(&base);
        let login = FakeLogin::new(people(), site, &fake_base, clock.clone());
        let serving = config.limits.serving(&config.allowed_origins);
        serve_as(&drain, public, market.public_router(), serving);
        serve(&drain, admin, market.admin_router());
        let fakes = Arc::new(login)
            .router()
            .nest("/toss", Arc::clone(&toss).router())
            .nest("/payouts", Arc::clone(&payouts).router());
        serve(&drain, fake, fakes);
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none());
        Self {
            documented: documented(&market),
            market,
            toss,
            payouts,
            clock,
            base,
            admin_base,
            keys: folder.path().join("keys"),
            seen: Arc::default(),
            client: client.build().unwrap(),
            url,
            drain,
            folder,
        }
    }

    pub(crate) fn documented(&self) -> &BTreeSet<Known> {
        &self.documented
    }

    /// A request to the market.
    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        let url = format!("{}{path}", self.base);
        self.ask_url(method, &url)
    }

    /// A request to any server.
    pub(crate) fn ask_url(&self, method: Method, url: &str) -> Ask<'_> {
        let request = self.client.request(method.clone(), url);
        let path = url.strip_prefix(&self.base).map(|path| {
            let path = path.split('?').next().unwrap();
            path.to_owned()
        });
        Ask {
            site: self,
            method,
            path,
            request: request.timeout(Duration::from_secs(20)),
        }
    }

    /// The `data` of a successful GET.
    pub(crate) async fn data(&self, who: &Cookies, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).by(who).send().await;
        assert_eq!(
            (answer.status, answer.code()),
            (200, 0),
            "{path}: {answer:?}"
        );
        answer.json()["data"].clone()
    }

    /// Logs a person in, as a browser does; returns the cookies.
    pub(crate) async fn log_in(&self, provider: &str, person: u64) -> Cookies {
        let back = self.come_back(provider, person).await;
        let answer = back.send().await;
        let page = "http://localhost:3000/data";
        let pages = [page.to_owned(), format!("{page}?on-boarding=true")];
        assert!(pages.contains(&answer.location()), "{answer:?}");
        let mut cookies = Cookies::default();
        cookies.take(&answer.headers);
        cookies
    }

    /// The callback request after a person has logged in at the provider.
    pub(crate) async fn come_back(&self, provider: &str, person: u64) -> Ask<'_> {
        let (browser, to_provider) = self.begin(provider).await;
        let to_site = self.choose(&to_provider, person).await;
        self.ask_url(Method::GET, &to_site)
            .header("cookie", &browser)
    }

    /// Begins a login: the browser's cookie, and the provider's URL.
    pub(crate) async fn begin(&self, provider: &str) -> (String, String) {
        let path = format!("/oauth2/authorization/{provider}");
        let begun = self.ask(Method::GET, &path).send().await;
        assert_eq!(begun.status, 302, "{begun:?}");
        let cookie = begun.headers[SET_COOKIE].to_str().unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        (cookie, begun.location())
    }

    /// Logs a person in at the provider; returns the callback URL.
    pub(crate) async fn choose(&self, to_provider: &str, person: u64) -> String {
        let page = self.ask_url(Method::GET, to_provider).send().await;
        assert_eq!(page.status, 200, "{page:?}");
        let wanted = format!("person={person}\"");
        let mut links = page.text.split("href=\"").skip(1);
        let link = links.find(|link| link.contains(&wanted)).unwrap();
        let link = link.split('"').next().unwrap().replace("&amp;", "&");
        self.ask_url(Method::GET, &link).send().await.location()
    }

    /// An administrator's cookies; person 40 has the role.
    pub(crate) async fn admin(&self) -> Cookies {
        let cookies = self.log_in("kakao", 40).await;
        let id = self.id(&cookies).await;
        self.sql(&format!(
            "update member set role = 'ROLE_ADMIN' where id = {id}"
        ))
        .await;
        cookies
    }

    /// The id of the member with these cookies.
    pub(crate) async fn id(&self, who: &Cookies) -> u64 {
        let info = self.data(who, "/api/members/info").await;
        info["memberId"].as_u64().unwrap()
    }

    /// Changes rows, as another part of the market would.
    pub(crate) async fn sql(&self, text: &str) {
        let done = self.market.db().write(text.to_owned(), |text, tx| {
            Box::pin(async move {
                query(sqlx::AssertSqlSafe(text.clone()))
                    .execute(tx.connection())
                    .await?;
                Ok::<_, Abort<()>>(())
            })
        });
        done.await.unwrap();
    }

    /// The number that a query returns.
    pub(crate) async fn number(&self, text: &str) -> i64 {
        let mut connection = self.market.db().read().await.unwrap();
        let row = query(sqlx::AssertSqlSafe(text.to_owned())).fetch_one(&mut *connection);
        row.await.unwrap().try_get(0).unwrap()
    }

    /// The value of a metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let metrics = format!("{}/metrics", self.admin_base);
        let page = self.ask_url(Method::GET, &metrics).send().await.text;
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or_else(|| panic!("no {name}"))
    }

    /// Re-reads the folder of keys, as the timer does.
    pub(crate) fn reread_keys(&self) {
        // An invalid file changes nothing; the test checks the published keys.
        self.market.keys().reread().ok();
    }

    pub(crate) fn wait(&self, time: Duration) {
        self.clock.advance(time);
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.clock.unix_millis().get()
    }
}

/// The flags of a market; flags in `more` replace those of the same name, or with `=off` remove them.
pub(crate) fn args(
    url: &DbUrl,
    folder: &TempDir,
    base: &str,
    fake: &str,
    more: &[&str],
) -> Vec<String> {
    let db = match url {
        DbUrl::Postgres(url) => url.expose().clone(),
        DbUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
    };
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut args = vec![
        "market-api".to_owned(),
        format!("--db={db}"),
        format!("--signing-keys={}", path("keys")),
        format!("--images=file:{}", path("images")),
        format!("--public-url={base}"),
        format!("--allowed-origins={PAGE}"),
        "--address-rate=0".to_owned(),
        "--member-rate=0".to_owned(),
        "--insecure-cookies".to_owned(),
        "--lame-duck=10ms".to_owned(),
        // Nothing responds there.
        "--chat-url=http://127.0.0.1:1".to_owned(),
    ];
    for provider in ["kakao", "google", "naver"] {
        args.push(format!("--{provider}-id={CLIENT_ID}"));
        args.push(format!("--{provider}-secret={CLIENT_SECRET}"));
        args.push(format!("--{provider}-url={fake}/{provider}"));
    }
    args.push(format!("--toss-url={fake}/toss"));
    args.push(format!("--toss-secret-key={TOSS_KEY}"));
    args.push(format!("--toss-webhook-secret={HOOK}"));
    args.push(format!("--payout-url={fake}/payouts"));
    args.push(format!("--payout-key={PAYOUT_KEY}"));
    let named = |flag: &String| flag.split('=').next().unwrap().to_owned();
    for flag in more {
        let flag = (*flag).to_owned();
        args.retain(|arg| named(arg) != named(&flag));
        if !flag.ends_with("=off") {
            args.push(flag);
        }
    }
    args
}

pub(crate) async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn address(listener: &TcpListener) -> String {
    format!("http://{}", listener.local_addr().unwrap())
}

pub(crate) fn serve(drain: &Drain, listener: TcpListener, routes: Router) {
    serve_as(drain, listener, routes, Duration::from_secs(5).into());
}

fn serve_as(drain: &Drain, listener: TcpListener, routes: Router, serving: Serving) {
    let within = drain.clone();
    drop(drain.spawn("site", async move {
        app::serve(listener, routes, &within, serving).await
    }));
}

fn documented(market: &Market) -> BTreeSet<Known> {
    let document = serde_json::to_value(market.document()).unwrap();
    let mut all = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            for status in operation["responses"].as_object().unwrap().keys() {
                let status = status.parse().unwrap();
                all.insert((method.to_uppercase(), path.clone(), status));
            }
        }
    }
    all
}

/// A request under construction.
pub(crate) struct Ask<'a> {
    site: &'a Site,
    method: Method,
    path: Option<String>,
    request: reqwest::RequestBuilder,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    /// Sends these cookies, with the origin of one of our pages.
    pub(crate) fn by(self, who: &Cookies) -> Self {
        self.header(COOKIE.as_str(), &who.header())
            .header("origin", PAGE)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// Sends it. A response that is not documented fails the test.
    pub(crate) async fn send(self) -> Answer {
        let (site, method, path) = (self.site, self.method.clone(), self.path.clone());
        let answer = self.send_unchecked().await;
        if let Some(path) = &path {
            site.check(&method, path, &answer);
        }
        answer
    }

    /// Sends it without that check: the response may be that of a defect.
    pub(crate) async fn send_unchecked(self) -> Answer {
        let response = self.request.send().await.unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: String::from_utf8_lossy(&response.bytes().await.unwrap()).into_owned(),
        }
    }
}

impl Site {
    fn check(&self, method: &Method, path: &str, answer: &Answer) {
        let paths: BTreeSet<_> = self.documented.iter().map(|(_, path, _)| path).collect();
        let Some(pattern) = paths.into_iter().find(|pattern| fits(pattern, path)) else {
            return;
        };
        let known = (method.to_string(), pattern.clone(), answer.status);
        let is_route = self
            .documented
            .iter()
            .any(|(m, p, _)| (m, p) == (&known.0, &known.1));
        if !is_route {
            assert!([405, 200].contains(&answer.status), "{known:?}");
            return;
        }
        assert!(
            self.documented.contains(&known),
            "undocumented: {known:?} {answer:?}"
        );
        self.seen.lock().unwrap().insert(known);
    }
}

pub(crate) fn fits(pattern: &str, path: &str) -> bool {
    let (wanted, given): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    let same = |(wanted, given): (&&str, &&str)| wanted.starts_with('{') || wanted == given;
    wanted.len() == given.len() && wanted.iter().zip(&given).all(same)
}

/// A response, decoded.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn code(&self) -> u64 {
        self.json()["code"]
            .as_u64()
            .unwrap_or_else(|| panic!("no code: {self:?}"))
    }

    pub(crate) fn is(&self, status: u16, code: u64) {
        assert_eq!((self.status, self.code()), (status, code), "{self:?}");
    }

    pub(crate) fn location(&self) -> String {
        let location = self.headers.get(LOCATION);
        let location = location.unwrap_or_else(|| panic!("nowhere to go: {self:?}"));
        location.to_str().unwrap().to_owned()
    }
}
