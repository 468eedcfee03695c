//! What a browser does with requests of a page: keeps cookies, follows redirects, asks before
//! requests to another origin and keeps answers from pages that may not read them.
//!
//! As Chromium does it: RFC 6265bis for cookies, the Fetch standard for CORS, `localhost` counts as
//! trustworthy, so `Secure` cookies are stored and sent there over plain HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE, COOKIE, HeaderMap, HeaderName, LOCATION, ORIGIN,
    SET_COOKIE,
};
use reqwest::{Method, Url};
use serde_json::Value;

/// Nothing here takes a second, unless the machine is busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Redirects in a row, as browsers allow them.
const REDIRECTS_MAX: usize = 20;

/// A browser with a page of one origin open.
pub(crate) struct Browser {
    http: reqwest::Client,
    /// The page's.
    origin: String,
    cookies: BTreeMap<(String, String), Cookie>,
    /// Requests that a preflight has permitted, as `METHOD URL`.
    pub(crate) asked: BTreeSet<String>,
    /// Redirects since they were taken last.
    pub(crate) hops: Vec<Hop>,
}

/// A redirect that was followed.
#[derive(Debug)]
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) status: u16,
    /// `location` and `set-cookie`.
    pub(crate) headers: Vec<(String, String)>,
}

/// A cookie of a host; ports do not tell cookies apart.
#[derive(Clone, Debug)]
pub(crate) struct Cookie {
    pub(crate) value: String,
    path: String,
    /// For subdomains of the host, too.
    for_subdomains: bool,
    pub(crate) http_only: bool,
    pub(crate) secure: bool,
    same_site: SameSite,
    pub(crate) max_age: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    Strict,
    Lax,
    None,
}

/// Whether a request carries cookies (`credentials` of `fetch`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    Include,
    /// The default: none to another origin.
    SameOrigin,
}

/// What the page asks for.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) url: &'a str,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) body: Vec<u8>,
    pub(crate) credentials: Credentials,
}

/// What the page may read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) text: String,
}

/// Why the page may not read an answer.
#[derive(Debug)]
pub(crate) struct Blocked(pub(crate) String);

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl Browser {
    pub(crate) fn new(origin: &str) -> Self {
        let http = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            // The servers of these tests listen on IPv4 alone.
            .resolve("localhost", ([127, 0, 0, 1], 0).into())
            .tls_certs_only([])
            .no_proxy();
        Self {
            http: http.build().unwrap(),
            origin: origin.to_owned(),
            cookies: BTreeMap::new(),
            asked: BTreeSet::new(),
            hops: Vec::new(),
        }
    }

    /// A link is followed, and redirects from there, up to a page: its URL and text. A page of the
    /// browser's own origin is not loaded.
    pub(crate) async fn go(&mut self, url: &str) -> (Url, String) {
        self.navigate(url, None).await
    }

    /// The same with a form of the page at this address, which it sends to itself.
    pub(crate) async fn submit(&mut self, page: &str, form: &str) -> (Url, String) {
        self.navigate(page, Some(form.to_owned())).await
    }

    async fn navigate(&mut self, url: &str, mut form: Option<String>) -> (Url, String) {
        let mut url: Url = url.parse().unwrap();
        for _ in 0..REDIRECTS_MAX {
            if url.origin().ascii_serialization() == self.origin {
                return (url, String::new());
            }
            let mut request = match form.take() {
                Some(form) => self
                    .http
                    .post(url.clone())
                    .header(ORIGIN, url.origin().ascii_serialization())
                    .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form),
                None => self.http.get(url.clone()),
            };
            if let Some(cookies) = self.cookies_for(&url, true) {
                request = request.header(COOKIE, cookies);
            }
            let answer = request.send().await.unwrap();
            self.keep(&url, answer.headers());
            let status = answer.status();
            if !status.is_redirection() {
                let text = answer.text().await.unwrap();
                assert!(status.is_success(), "{url}: {status} {text}");
                return (url, text);
            }
            let text = |name: HeaderName| {
                let values = answer.headers().get_all(&name).iter();
                values.map(move |value| (name.to_string(), value.to_str().unwrap().to_owned()))
            };
            let headers = text(LOCATION).chain(text(SET_COOKIE)).collect();
            let to = url
                .join(answer.headers()[LOCATION].to_str().unwrap())
                .unwrap();
            self.hops.push(Hop {
                url,
                status: status.as_u16(),
                headers,
            });
            url = to;
        }
        panic!("too many redirects, the last to {url}");
    }

    /// `fetch`.
    pub(crate) async fn fetch(&mut self, request: Request<'_>) -> Result<Answer, Blocked> {
        let url: Url = request.url.parse().unwrap();
        let cross = url.origin().ascii_serialization() != self.origin;
        if cross && needs_preflight(&request) {
            self.ask_before(&url, &request).await?;
        }
        let with_cookies = !cross || request.credentials == Credentials::Include;
        let mut sent = self.http.request(request.method.clone(), url.clone());
        // Same-origin GET and HEAD carry none.
        if cross || ![Method::GET, Method::HEAD].contains(&request.method) {
            sent = sent.header(ORIGIN, &self.origin);
        }
        if let Some(content_type) = request.content_type {
            sent = sent.header(CONTENT_TYPE, content_type);
        }
        if let Some(cookies) = self.cookies_for(&url, self.same_site(&url))
            && with_cookies
        {
            sent = sent.header(COOKIE, cookies);
        }
        let answer = sent.body(request.body.clone()).send().await.unwrap();
        if with_cookies {
            self.keep(&url, answer.headers());
        }
        if cross {
            self.check_readable(answer.headers(), request.credentials)?;
        }
        let status = answer.status().as_u16();
        let text = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
        Ok(Answer { status, text })
    }

    /// The preflight; never with cookies.
    async fn ask_before(&mut self, url: &Url, request: &Request<'_>) -> Result<(), Blocked> {
        let blocked = |what: &str, headers: &HeaderMap| {
            let method = &request.method;
            Blocked(format!("{method} {url}: {what}: {headers:?}"))
        };
        let mut asked = self
            .http
            .request(Method::OPTIONS, url.clone())
            .header(ORIGIN, &self.origin)
            .header("access-control-request-method", request.method.as_str());
        let names = unsafe_header(request);
        if let Some(name) = names {
            asked = asked.header("access-control-request-headers", name);
        }
        let answer = asked.send().await.unwrap();
        let headers = answer.headers();
        self.asked.insert(format!("{} {}", request.method, url));
        if !answer.status().is_success() {
            let what = format!("its preflight was answered {}", answer.status());
            return Err(blocked(&what, headers));
        }
        self.check_readable(headers, request.credentials)?;
        let any = request.credentials == Credentials::SameOrigin;
        let lists = |name, wanted: &str| {
            let values = headers.get_all(name).iter();
            let items = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
            let mut items = items.map(str::trim);
            items.any(|item| item.eq_ignore_ascii_case(wanted) || (any && item == "*"))
        };
        let safe = [Method::GET, Method::HEAD, Method::POST].contains(&request.method);
        if !safe && !lists(ACCESS_CONTROL_ALLOW_METHODS, request.method.as_str()) {
            return Err(blocked("the method is not allowed", headers));
        }
        if names.is_some_and(|name| !lists(ACCESS_CONTROL_ALLOW_HEADERS, name)) {
            return Err(blocked("a header is not allowed", headers));
        }
        Ok(())
    }

    /// The CORS check of the Fetch standard.
    fn check_readable(&self, headers: &HeaderMap, credentials: Credentials) -> Result<(), Blocked> {
        let one = |name| {
            let mut values = headers.get_all(name).iter();
            let first = values.next().and_then(|value| value.to_str().ok());
            first.filter(|_| values.next().is_none())
        };
        let blocked = |what: &str| Err(Blocked(format!("{what}: {headers:?}")));
        match one(ACCESS_CONTROL_ALLOW_ORIGIN) {
            Some("*") if credentials == Credentials::SameOrigin => return Ok(()),
            Some(origin) if origin == self.origin => {}
            Some(_) | None => return blocked("the origin is not allowed"),
        }
        if credentials == Credentials::SameOrigin
            || one(ACCESS_CONTROL_ALLOW_CREDENTIALS) == Some("true")
        {
            return Ok(());
        }
        blocked("credentials are not allowed")
    }

    /// Schemes and hosts are those of `localhost` here, whose ports are one site.
    fn same_site(&self, url: &Url) -> bool {
        let own: Url = self.origin.parse().unwrap();
        (own.scheme(), own.host_str()) == (url.scheme(), url.host_str())
    }

    /// What a request to this URL carries.
    pub(crate) fn cookies_for(&self, url: &Url, lax: bool) -> Option<String> {
        let host = url.host_str().unwrap();
        let fits = |((owner, _), cookie): &(&(String, String), &Cookie)| {
            let of_host =
                *owner == host || (cookie.for_subdomains && host.ends_with(&format!(".{owner}")));
            let site = match cookie.same_site {
                SameSite::Strict => self.same_site(url),
                SameSite::Lax => lax,
                SameSite::None => true,
            };
            of_host
                && site
                && path_matches(url.path(), &cookie.path)
                && (!cookie.secure || is_trustworthy(url))
        };
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .filter(fits)
            .map(|((_, name), cookie)| format!("{name}={}", cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes a cookie away, as its expiry does.
    pub(crate) fn drop_cookie(&mut self, host: &str, name: &str) {
        self.cookies.remove(&(host.to_owned(), name.to_owned()));
    }

    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<&Cookie> {
        self.cookies.get(&(host.to_owned(), name.to_owned()))
    }

    /// Takes over what an answer sets, as far as it may.
    fn keep(&mut self, url: &Url, headers: &HeaderMap) {
        for text in headers.get_all(SET_COOKIE) {
            let text = text.to_str().unwrap();
            let (name, domain, cookie) = parse_cookie(url, text);
            let host = url.host_str().unwrap();
            let own = domain.clone().unwrap_or_else(|| host.to_owned());
            let is_own = host == own || host.ends_with(&format!(".{own}"));
            let kept = is_own
                && (!cookie.secure || is_trustworthy(url))
                && (cookie.same_site != SameSite::None || cookie.secure)
                && (!name.starts_with("__Secure-") || cookie.secure)
                && (!name.starts_with("__Host-")
                    || (cookie.secure && domain.is_none() && cookie.path == "/"));
            assert!(kept, "{url}: a browser drops this cookie: {text}");
            let place = (own, name);
            if cookie.max_age.is_some_and(|age| age <= 0) {
                self.cookies.remove(&place);
            } else {
                self.cookies.insert(place, cookie);
            }
        }
    }
}

/// Its name, the domain it names, and the rest.
fn parse_cookie(url: &Url, text: &str) -> (String, Option<String>, Cookie) {
    let mut parts = text.split(';').map(str::trim);
    let (name, value) = parts.next().unwrap().split_once('=').unwrap();
    let mut domain = None;
    let (folder, _) = url.path().rsplit_once('/').unwrap();
    let mut cookie = Cookie {
        value: value.to_owned(),
        path: if folder.is_empty() { "/" } else { folder }.to_owned(),
        for_subdomains: false,
        http_only: false,
        secure: false,
        same_site: SameSite::Lax,
        max_age: None,
    };
    for part in parts {
        let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
        match attribute.to_ascii_lowercase().as_str() {
            "path" if value.starts_with('/') => cookie.path = value.to_owned(),
            "domain" if !value.is_empty() => {
                domain = Some(value.trim_start_matches('.').to_ascii_lowercase());
                cookie.for_subdomains = true;
            }
            "max-age" => cookie.max_age = value.parse().ok(),
            "httponly" => cookie.http_only = true,
            "secure" => cookie.secure = true,
            "samesite" => {
                cookie.same_site = match value.to_ascii_lowercase().as_str() {
                    "strict" => SameSite::Strict,
                    "none" => SameSite::None,
                    _ => SameSite::Lax,
                }
            }
            _ => {}
        }
    }
    (name.to_owned(), domain, cookie)
}

fn path_matches(path: &str, of_cookie: &str) -> bool {
    path == of_cookie
        || path
            .strip_prefix(of_cookie)
            .is_some_and(|rest| of_cookie.ends_with('/') || rest.starts_with('/'))
}

/// Potentially trustworthy, as the Secure Contexts standard has it.
fn is_trustworthy(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let is_here = host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1";
    url.scheme() == "https" || is_here
}

fn needs_preflight(request: &Request<'_>) -> bool {
    let simple = [Method::GET, Method::HEAD, Method::POST].contains(&request.method);
    !simple || unsafe_header(request).is_some()
}

/// The one header of these requests that may need a preflight.
fn unsafe_header(request: &Request<'_>) -> Option<&'static str> {
    const SAFE: [&str; 3] = [
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain",
    ];
    let content_type = request.content_type?;
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    (!SAFE.contains(&essence)).then_some("content-type")
}
