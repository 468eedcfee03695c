//! End-to-end tests of the program: start, requests over HTTP, stop.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something fails"
)]

mod charging;
mod front;
mod traces;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

/// Nothing here takes a second, unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(30);

const PROGRAM: &str = env!("CARGO_BIN_EXE_dapanda");

/// A started `dapanda`; it ends with this value.
struct Server {
    child: Child,
    port: u16,
}

/// What a program logs.
type Log = Lines<BufReader<ChildStderr>>;

impl Server {
    /// On a port of its own choice, which it says in its log.
    async fn start(data: &Path) -> Self {
        let (server, mut lines) = Self::start_with(data, &[]).await;
        // Read on, or the last lines would be waited for.
        #[expect(clippy::disallowed_methods, reason = "it ends with the server")]
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        server
    }

    /// With more settings; its log is the caller's to read on.
    async fn start_with(data: &Path, more: &[&str]) -> (Self, Log) {
        Self::start_by(r#"exec "$0" "$@""#, data, more).await
    }

    /// By these words of the shell.
    async fn start_by(run: &str, data: &Path, more: &[&str]) -> (Self, Log) {
        // A file that may not grow is to be an error, not the end: see `limit_files`.
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!(r#"trap "" XFSZ; {run}"#), PROGRAM])
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(more);
        command.stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it ended");
                if let Some((_, port)) = line.split_once("open http://localhost:") {
                    return port.trim().parse().unwrap();
                }
            }
        };
        let port = timeout(PATIENCE, said).await.expect("it did not start");
        (Self { child, port }, lines)
    }

    /// A counter or gauge without labels.
    async fn metric(&self, path: &str, name: &str) -> u64 {
        let page = self.ask(Method::GET, path, &[]).await.text().await.unwrap();
        let value = page.lines().find_map(|line| line.strip_prefix(name));
        value.unwrap().trim().parse().unwrap()
    }

    /// How many lines of the log were dropped; both servers say the same.
    async fn lines_dropped(&self) -> u64 {
        let dropped = self
            .metric("/metrics", "chat_log_lines_dropped_total ")
            .await;
        let path = "/admin/market/metrics";
        let later = self.metric(path, "market_log_lines_dropped_total ").await;
        assert!(later >= dropped, "{later} {dropped}");
        dropped
    }

    /// Logs in until more lines of the log are dropped than so many: each login logs some.
    async fn drop_lines(&self, before: u64) {
        let mut logins = 0..100_000;
        while self.lines_dropped().await <= before {
            assert!(logins.next().is_some(), "every line is kept");
            assert_eq!(self.log_in(1).await.status(), StatusCode::OK);
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = client().request(method, self.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    async fn get(&self, path: &str, bearer: &str) -> (StatusCode, Value) {
        let bearer = format!("Bearer {bearer}");
        let headers = [("authorization", bearer.as_str())];
        let response = self.ask(Method::GET, path, &headers).await;
        (response.status(), response.json().await.unwrap())
    }

    /// The ids of the member's rooms.
    async fn rooms(&self, bearer: &str) -> Vec<u64> {
        let (status, answer) = self.get("/api/chat-room?size=100", bearer).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let rows = answer["data"]["data"].as_array().unwrap();
        rows.iter()
            .map(|row| row["chatRoomId"].as_u64().unwrap())
            .collect()
    }

    async fn log_in(&self, member: u64) -> Response {
        let request = client().post(self.url("/dev/login"));
        request
            .json(&json!({"memberId": member}))
            .send()
            .await
            .unwrap()
    }

    /// How long its files may be from now on, which stands for a full disk.
    #[cfg(target_os = "linux")]
    async fn limit_files(&self, limit: &str) {
        let id = self.child.id().unwrap().to_string();
        let limit = format!("--fsize={limit}:");
        let limited = Command::new("prlimit")
            .args([&limit, "--pid", &id])
            .status();
        assert!(limited.await.unwrap().success());
    }

    /// Waits until it is ready, or is not.
    #[cfg(target_os = "linux")]
    async fn wait_for_readiness(&self, status: StatusCode) {
        let looking = async {
            while self.get("/readyz", "").await.0 != status {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, looking).await.expect("it says so");
    }

    /// Ctrl-C; how it ended.
    async fn interrupt(&mut self) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .await
                .unwrap()
                .success()
        );
        timeout(PATIENCE, self.child.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }
}

fn client() -> Client {
    let client = Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .tls_certs_only([])
        .no_proxy();
    client.build().unwrap()
}

/// What the program says and how it ends, called so.
async fn run(args: &[&str]) -> Output {
    let running = Command::new(PROGRAM).args(args).kill_on_drop(true).output();
    timeout(PATIENCE, running)
        .await
        .expect("it did not end")
        .unwrap()
}

/// Its only line on standard output.
async fn line(args: &[&str]) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = run(args).await;
    assert!(
        status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&stderr)
    );
    let text = String::from_utf8(stdout).unwrap();
    let line = text.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{text}");
    line.to_owned()
}

/// Called so it prints nothing, ends with this code, and says all of this.
async fn check_refused(args: &[&str], code: i32, parts: &[&str]) {
    let Output {
        status,
        stdout,
        stderr,
    } = run(args).await;
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(code), "{args:?}: {text}");
    assert!(stdout.is_empty(), "{args:?}");
    for part in parts {
        assert!(text.contains(part), "{part} is missing in: {text}");
    }
}

fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data").to_str().unwrap().to_owned();
    (folder, path)
}

#[tokio::test]
async fn a_token_of_its_folder_is_taken_and_no_other() {
    let ((_here, data), (_there, other)) = (folder(), folder());
    // Before the first start: the server takes over the key that this made.
    let token = line(&["token", "--member", "2", "--data", &data]).await;
    let server = Server::start(Path::new(&data)).await;
    assert_eq!(server.rooms(&token).await, [1, 1 << 30]);
    // The market takes it, too, for members that it has.
    let (status, info) = server.get("/api/members/info", &token).await;
    assert_eq!(
        (status, &info["data"]["memberId"]),
        (StatusCode::OK, &2.into())
    );
    let nobody = line(&["token", "--member", "77", "--data", &data]).await;
    let (status, _) = server.get("/api/members/info", &nobody).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let later = line(&["token", "--member", "3", "--data", &data]).await;
    assert_eq!(server.rooms(&later).await, [2, 1 << 30]);

    let foreign = line(&["token", "--member", "2", "--data", &other]).await;
    for path in ["/api/chat-room", "/api/members/info"] {
        let (status, _) = server.get(path, &foreign).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_room_is_made_and_its_id_printed() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    let url = server.url("");
    let room = line(&[
        "room",
        "--members",
        "5,77",
        "--data",
        &data,
        "--server",
        &url,
    ])
    .await;
    let room: u64 = room.parse().unwrap();
    assert!(room >= 1 << 30, "{room}");
    for member in ["5", "77"] {
        let token = line(&["token", "--member", member, "--data", &data]).await;
        assert!(server.rooms(&token).await.contains(&room), "{member}");
        let (_, answer) = server
            .get(&format!("/api/chat-room/{room}/members"), &token)
            .await;
        let names: Vec<_> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| &one["name"])
            .collect();
        assert_eq!(names, ["정지호", "회원 77"]);
    }
    let outsider = line(&["token", "--member", "1", "--data", &data]).await;
    assert!(!server.rooms(&outsider).await.contains(&room));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_makes_it_unready_until_there_is_room_again() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    let url = server.url("");
    let room = [
        "room",
        "--members",
        "5,77",
        "--data",
        &data,
        "--server",
        &url,
    ];
    server.limit_files("1").await;
    assert_ne!(run(&room).await.status.code(), Some(0));
    server
        .wait_for_readiness(StatusCode::SERVICE_UNAVAILABLE)
        .await;
    server.limit_files("unlimited").await;
    server.wait_for_readiness(StatusCode::OK).await;
    let made: u64 = line(&room).await.parse().unwrap();
    assert!(made >= 1 << 30, "{made}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_start_on_a_full_disk_writes_nothing_to_the_market() {
    let (_here, path) = folder();
    let (path, data) = (path.as_str(), Path::new(&path));
    let mut server = Server::start(data).await;
    server.child.kill().await.unwrap();
    // What was killed leaves a log, at whose end SQLite writes on.
    let log = std::fs::metadata(data.join("market.db-wal")).unwrap();
    assert!(log.len() > 32 << 10, "{log:?}");

    // SQLite's index of its log takes 32 KiB: without those it opens nothing.
    let run = r#"exec prlimit --fsize=32768: "$0" "$@""#;
    let (server, _log) = Server::start_by(run, data, &[]).await;
    let token = line(&["token", "--member", "2", "--data", path]).await;
    let (status, list) = server.get("/api/products/mobile-data?size=1", &token).await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let begun = server.url("/oauth2/authorization/kakao");
    let status = client().get(begun).send().await.unwrap().status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "the disk is full");
}

#[tokio::test]
async fn a_room_that_cannot_be_made_says_why() {
    let ((_here, data), (_there, other)) = (folder(), folder());
    let server = Server::start(Path::new(&data)).await;
    let url = server.url("");
    let room = async |data: &str, url: &str, parts: &[&str]| {
        let args = ["room", "--members", "1,2", "--data", data, "--server", url];
        check_refused(&args, 1, parts).await;
    };
    room(&other, &url, &["holds no key", "--data"]).await;
    assert!(!Path::new(&other).exists(), "asking makes no folder");
    line(&["token", "--member", "1", "--data", &other]).await;
    room(&other, &url, &["another folder", "--data"]).await;
    // No server listens on port 1.
    room(
        &data,
        "http://127.0.0.1:1",
        &["no answer from http://127.0.0.1:1", "--server"],
    )
    .await;
}

#[tokio::test]
async fn wrong_settings_end_the_program_with_a_report() {
    let args = ["--allowed-origins", "http://h/", "--head-time", "0s"];
    check_refused(
        &args,
        64,
        &["2 mistakes", "--allowed-origins", "--head-time"],
    )
    .await;
    check_refused(&["--listen", "here"], 64, &["1 mistake", "--listen"]).await;
    let args = ["token", "--member", "none"];
    check_refused(&args, 64, &["1 mistake", "--member"]).await;
    check_refused(&["--frame-bytes-max", "1"], 64, &["--frame-bytes-max"]).await;
}

#[tokio::test]
async fn a_port_or_folder_that_is_taken_is_named() {
    let ((_here, data), (_there, other)) = (folder(), folder());
    let server = Server::start(Path::new(&data)).await;
    let address = format!("127.0.0.1:{}", server.port);
    let taken = format!("{address} is taken");
    check_refused(
        &["--listen", &address, "--data", &other],
        1,
        &[&taken, "--listen 127.0.0.1:"],
    )
    .await;
    check_refused(&["--listen", "127.0.0.1:0", "--data", &data], 1, &[&data]).await;
}

#[tokio::test]
async fn everything_is_on_the_one_port() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    for path in [
        "/",
        "/js/app.js",
        "/vendor/stompjs/index.js",
        "/dev/members",
        "/.well-known/jwks.json",
        "/docs/chat/",
        "/docs/",
        "/docs/openapi.json",
        "/admin/market/metrics",
        "/admin/market/readyz",
        "/metrics",
        "/livez",
        "/readyz",
        "/startupz",
    ] {
        let status = server.ask(Method::GET, path, &[]).await.status();
        assert_eq!(status, StatusCode::OK, "{path}");
    }
    let inside = server.ask(Method::POST, "/internal/rooms", &[]).await;
    assert_eq!(inside.status(), StatusCode::UNAUTHORIZED);
    let page = server.ask(Method::GET, "/", &[]).await;
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
}

#[tokio::test]
async fn only_own_names_are_answered_to() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/conn"),
        (Method::POST, "/dev/login"),
        (Method::GET, "/dev/members"),
        (Method::GET, "/api/products/mobile-data"),
        (Method::GET, "/livez"),
        (Method::GET, "/nowhere"),
    ] {
        // A foreign host name that resolves to this computer.
        let answer = server.ask(method.clone(), path, &[("host", "evil.example")]);
        let answer = answer.await;
        assert_eq!(answer.status(), StatusCode::MISDIRECTED_REQUEST, "{path}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["code"], 1013, "{path}");
    }
    for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]"] {
        let answer = server.ask(Method::GET, "/", &[("host", host)]).await;
        assert_eq!(answer.status(), StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn what_only_this_program_has_keeps_the_conventions() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    let json = ("content-type", "application/json");
    for (method, path, header, expected) in [
        (
            Method::POST,
            "/dev/login",
            ("content-type", "text/plain"),
            (415, 1012),
        ),
        (Method::POST, "/dev/login", json, (400, 1006)),
        (Method::GET, "/dev/login", json, (405, 1007)),
        (Method::DELETE, "/", json, (405, 1007)),
        (Method::POST, "/js/app.js", json, (405, 1007)),
        (Method::GET, "/js/nothing.js", json, (404, 1004)),
        (Method::POST, "/conn", json, (405, 1007)),
        (Method::OPTIONS, "/nowhere", json, (404, 1004)),
    ] {
        let answer = server.ask(method, path, &[header]).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body: Value = answer.json().await.unwrap();
        assert_eq!((status, body["code"].as_u64().unwrap()), expected, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
        assert!(status != 405 || headers.contains_key("allow"), "{path}");
    }
    for path in ["/", "/js/app.js", "/conn", "/dev/login", "/livez"] {
        let answer = server.ask(Method::OPTIONS, path, &[]).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT, "{path}");
        let allow = answer.headers()["allow"].to_str().unwrap();
        assert!(allow.ends_with(",OPTIONS"), "{path}: {allow}");
    }
    let page = server.ask(Method::GET, "/js/app.js", &[]).await;
    let tag = page.headers()["etag"].to_str().unwrap().to_owned();
    for known in [format!("W/{tag}"), format!("\"0\", {tag}"), "*".to_owned()] {
        for method in [Method::GET, Method::HEAD] {
            let header = [("if-none-match", known.as_str())];
            let answer = server.ask(method, "/js/app.js", &header).await;
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
    }
}

#[tokio::test]
async fn a_login_sets_the_cookies_of_the_site() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    let response = server.log_in(1).await;
    let cookies = response.headers().get_all("set-cookie").iter();
    let cookies: Vec<_> = cookies
        .map(|one| one.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(cookies.len(), 2);
    for (cookie, name, seconds) in [
        (&cookies[0], "accessToken=", 3_600),
        (&cookies[1], "refreshToken=", 1_209_600),
    ] {
        let attributes = format!("; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax");
        assert!(
            cookie.starts_with(name) && cookie.ends_with(&attributes),
            "{cookie}"
        );
        let pair = cookie.split(';').next().unwrap();
        let answer = server
            .ask(Method::GET, "/api/chat-room", &[("cookie", pair)])
            .await;
        assert_eq!(answer.status(), StatusCode::OK, "{name}");
    }
    let answer: Value = response.json().await.unwrap();
    let token = answer["data"]["accessToken"].as_str().unwrap();
    assert_eq!(server.rooms(token).await, [1, 2, 1 << 30]);

    for nobody in [0, 10, u64::MAX] {
        assert_eq!(
            server.log_in(nobody).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
    // A form of another site's page cannot say that it is JSON.
    let form = [("content-type", "text/plain")];
    let forged = server.ask(Method::POST, "/dev/login", &form).await;
    assert!(forged.status().is_client_error());
}

/// Member 2 logs in by Kakao, at this name of the server; the answer to the way back.
async fn log_in_by_provider(server: &Server, host: &str) -> Response {
    let header =
        |response: &Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let path = |url: &str| {
        let url = reqwest::Url::parse(url).unwrap();
        format!("{}?{}", url.path(), url.query().unwrap_or_default())
    };
    let at = ("host", host);
    let begun = server
        .ask(Method::GET, "/oauth2/authorization/kakao", &[at])
        .await;
    let browser = header(&begun, "set-cookie");
    let browser = browser.split(';').next().unwrap();
    let page = path(&header(&begun, "location"));
    let page = server
        .ask(Method::GET, &page, &[])
        .await
        .text()
        .await
        .unwrap();
    let link = page
        .split("href=\"")
        .find(|link| link.contains("person=2\""))
        .unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    let chosen = server.ask(Method::GET, &path(&link), &[]).await;
    let back = header(&chosen, "location");
    assert!(back.starts_with(&format!("http://{host}/login/")), "{back}");
    let headers = [at, ("cookie", browser)];
    let done = server.ask(Method::GET, &path(&back), &headers).await;
    let front = header(&done, "location");
    assert!(front.starts_with(&format!("http://{host}/data")), "{front}");
    done
}

/// The demo members log in to the market as members of a site do, and with what they get there they
/// are known to both servers.
#[tokio::test]
async fn a_login_by_provider_is_known_to_both_servers() {
    let (_here, data) = folder();
    let server = Server::start(Path::new(&data)).await;
    let header =
        |response: &Response, name: &str| response.headers()[name].to_str().unwrap().to_owned();
    // A browser keeps cookies by name, so a login ends at the name where it began.
    let port = server.port;
    let mut done = None;
    for name in ["localhost", "127.0.0.1", "[::1]"] {
        let host = format!("{name}:{port}");
        done = Some(log_in_by_provider(&server, &host).await);
    }
    let done = done.unwrap();
    let front = server.ask(Method::GET, "/data", &[]).await;
    assert_eq!(header(&front, "location"), "/?login=ok");
    // Nobody has begun this login: the page shows why.
    let back = "/login/oauth2/code/kakao?code=x&state=x";
    let refused = server.ask(Method::GET, back, &[]).await;
    let refused = header(&refused, "location");
    assert!(refused.ends_with("/?error=2006"), "{refused}");
    let cookie = header(&done, "set-cookie");
    let cookie = [("cookie", cookie.split(';').next().unwrap())];
    let info = server.ask(Method::GET, "/api/members/info", &cookie).await;
    let info: Value = info.json().await.unwrap();
    assert_eq!(
        (&info["data"]["memberId"], &info["data"]["name"]),
        (&2.into(), &"이하늘".into())
    );
    let rooms = server
        .ask(Method::GET, "/api/chat-room?size=10", &cookie)
        .await;
    let rooms: Value = rooms.json().await.unwrap();
    assert_eq!(
        rooms["data"]["data"].as_array().unwrap().len(),
        2,
        "{rooms}"
    );

    // The page's own login is one of the market, too.
    let answer: Value = server.log_in(1).await.json().await.unwrap();
    let bearer = format!("Bearer {}", answer["data"]["accessToken"].as_str().unwrap());
    let cash = server
        .ask(
            Method::GET,
            "/api/members/cash",
            &[("authorization", &bearer)],
        )
        .await;
    assert_eq!(cash.status(), StatusCode::OK);
}

/// The ids of all offers of a kind.
async fn offers(server: &Server, kind: &str, bearer: &str) -> Vec<u64> {
    let place = "latitude=37.5665&longitude=126.978";
    let path = format!("/api/products/{kind}?size=100&{place}");
    let (status, answer) = server.get(&path, bearer).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let rows = answer["data"]["data"].as_array().unwrap();
    let mut ids: Vec<_> = rows
        .iter()
        .map(|row| row["productId"].as_u64().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// What is taken back does not come again.
#[tokio::test]
async fn demo_offers_are_made_once() {
    let (_here, data) = folder();
    let mut server = Server::start(Path::new(&data)).await;
    let answer: Value = server.log_in(2).await.json().await.unwrap();
    let token = answer["data"]["accessToken"].as_str().unwrap().to_owned();
    let (mut mobile, wifi) = (
        offers(&server, "mobile-data", &token).await,
        offers(&server, "wifi", &token).await,
    );
    assert_eq!((mobile.len(), wifi.len()), (50, 50));

    // The first room's product is member 2's.
    assert_eq!(mobile.remove(0), 1);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str())];
    let taken_back = server
        .ask(Method::DELETE, "/api/products/1", &headers)
        .await;
    assert_eq!(taken_back.status(), StatusCode::OK);
    assert_eq!(server.interrupt().await, Some(0));
    let server = Server::start(Path::new(&data)).await;
    assert_eq!(offers(&server, "mobile-data", &token).await, mobile);
    assert_eq!(offers(&server, "wifi", &token).await, wifi);
}

#[tokio::test]
async fn an_interrupt_waits_for_nobody() {
    let (_here, data) = folder();
    let mut server = Server::start(Path::new(&data)).await;
    // A client that never answers, not even the goodbye.
    let mut deaf = TcpStream::connect(("127.0.0.1", server.port))
        .await
        .unwrap();
    let upgrade = "GET /conn HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n";
    deaf.write_all(upgrade.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    deaf.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    let stopped = timeout(Duration::from_secs(3), server.interrupt()).await;
    assert_eq!(stopped.expect("it waited"), Some(0));

    // And the folder is free again.
    Server::start(Path::new(&data)).await;
}

/// Every event of every request.
const LOG_ALL: [&str; 2] = ["--log", "trace"];

#[tokio::test]
async fn a_log_that_nobody_reads_any_more_stops_nothing() {
    let (_here, data) = folder();
    let (mut server, log) = Server::start_with(Path::new(&data), &LOG_ALL).await;
    drop(log);
    server.drop_lines(0).await;
    let token = line(&["token", "--member", "2", "--data", &data]).await;
    assert_eq!(server.rooms(&token).await, [1, 1 << 30]);
    assert_eq!(server.interrupt().await, Some(0));
}

#[tokio::test]
async fn a_reader_of_the_log_that_stands_still_stops_nothing() {
    let (_here, data) = folder();
    let (mut server, mut log) = Server::start_with(Path::new(&data), &LOG_ALL).await;
    server.drop_lines(0).await;
    let token = line(&["token", "--member", "2", "--data", &data]).await;
    assert_eq!(server.rooms(&token).await, [1, 1 << 30]);

    // It reads on, and reads once how much it has missed.
    let missing = "lines of this log are missing";
    let read_on = async {
        while !log
            .next_line()
            .await
            .unwrap()
            .expect("it ended")
            .contains(missing)
        {}
    };
    timeout(PATIENCE, read_on).await.expect("it says nothing");

    // It stands still again, and the program ends all the same.
    server.drop_lines(server.lines_dropped().await).await;
    assert_eq!(server.interrupt().await, Some(0));
}

#[tokio::test]
async fn the_last_line_comes_out() {
    let (_here, data) = folder();
    let (mut server, mut log) = Server::start_with(Path::new(&data), &[]).await;
    let read = async {
        let mut last = None;
        while let Some(line) = log.next_line().await.unwrap() {
            last = Some(line);
        }
        last.unwrap()
    };
    let (code, last) = tokio::join!(server.interrupt(), read);
    assert_eq!(code, Some(0));
    assert!(last.ends_with("stopped"), "{last}");

    // So does the reason of an error, also where nothing is logged.
    drop(std::fs::write(Path::new(&data).join("dev-key.pem"), "x"));
    let args = ["--data", &data, "--listen", "127.0.0.1:0", "--log", "off"];
    check_refused(&args, 1, &["dapanda: ", "dev-key.pem holds no key"]).await;
}

#[tokio::test]
async fn help_for_nobody_is_no_crash() {
    for args in [
        &["--help"][..],
        &["--listen", "x"],
        &["token", "--member", "1"],
    ] {
        let (_here, data) = folder();
        let mut command = Command::new(PROGRAM);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.args(args).env("DAPANDA_DATA", &data);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let ended = timeout(PATIENCE, command.status()).await.unwrap().unwrap();
        assert!(ended.code().is_some(), "{args:?}: {ended}");
    }
}

/// All entries below a folder, with their modes; links are not followed.
fn modes(folder: &Path, found: &mut Vec<(String, bool, u32)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let about = entry.metadata().unwrap();
        let path = entry.path();
        let mode = about.permissions().mode() & 0o777;
        found.push((path.display().to_string(), about.is_dir(), mode));
        if about.is_dir() {
            modes(&path, found);
        }
    }
}

#[tokio::test]
async fn nobody_else_reads_what_is_kept() {
    let (_here, data) = folder();
    // It was there before, open to everybody.
    let path = Path::new(&data);
    std::fs::create_dir_all(path.join("images/1")).unwrap();
    line(&["token", "--member", "1", "--data", &data]).await;
    for (name, mode) in [
        ("", 0o755),
        ("images", 0o777),
        ("images/1", 0o755),
        ("dev-key.pem", 0o644),
    ] {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(path.join(name), mode).unwrap();
    }
    let server = Server::start(path).await;
    assert_eq!(server.log_in(1).await.status(), StatusCode::OK);
    let mut found = Vec::new();
    modes(path.parent().unwrap(), &mut found);
    assert!(
        found
            .iter()
            .any(|(path, ..)| path.ends_with("market.db-wal")),
        "{found:?}"
    );
    for (path, is_folder, mode) in found {
        let expected = if is_folder { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path} {mode:o}");
    }
}

/// Serves in this folder of a scratch folder: everything is there and nothing beside it.
async fn check_folder(scratch: &Path, data: &Path) {
    let mut server = Server::start(data).await;
    for name in ["dev-key.pem", "jwks.json", "market.db", "chat"] {
        assert!(data.join(name).exists(), "{} {name}", data.display());
    }
    assert_eq!(std::fs::read_dir(scratch).unwrap().count(), 1);
    assert_eq!(
        std::fs::read_dir(data.parent().unwrap()).unwrap().count(),
        1
    );
    assert_eq!(server.interrupt().await, Some(0));
}

#[tokio::test]
async fn data_lie_in_exactly_the_folder_that_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let odd: [&[u8]; 9] = [
        b"a%20b",
        b"a?b=c&d",
        b"#e",
        b"f g",
        "한국".as_bytes(),
        b"file:x",
        b"+%",
        b"\xff\xfe",
        b"'\"\\",
    ];
    let mut path = scratch.path().to_owned();
    path.extend(odd.map(OsStr::from_bytes));
    check_folder(scratch.path(), &path).await;
    // With a slash at its end, and through a link.
    let link = tempfile::tempdir().unwrap();
    let linked = link.path().join("l?nk");
    std::os::unix::fs::symlink(&path, &linked).unwrap();
    let mut server = Server::start(&linked.join("")).await;
    assert_eq!(server.interrupt().await, Some(0));
    assert_eq!(std::fs::read_dir(link.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_port_opens_when_it_serves() {
    let (_here, data) = folder();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let mut command = Command::new(PROGRAM);
    command.args(["--listen", &address, "--data", &data]);
    let mut child = command
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let opened = async {
        while TcpStream::connect(&address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(PATIENCE, opened).await.expect("it opens no port");
    let url = format!("http://{address}");
    line(&[
        "room",
        "--members",
        "1,2",
        "--data",
        &data,
        "--server",
        &url,
    ])
    .await;
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_front_end_of_ones_own_is_a_matter_of_settings() {
    let (_here, data) = folder();
    let settings = [
        "--front-url=http://localhost:3001/app/",
        "--allowed-origins=http://a.example,http://b.example:8000",
        "--images-public-url=https://pictures.example/p/",
        "--address-rate=2",
    ];
    let (server, mut log) = Server::start_with(Path::new(&data), &settings).await;
    #[expect(clippy::disallowed_methods, reason = "it ends with the server")]
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    let origins = [
        "http://a.example",
        "http://b.example:8000",
        "http://localhost:3001",
    ];
    // Chat and market let the same pages in.
    for path in ["/api/chat-room", "/api/members/info"] {
        for (origin, is_allowed) in origins
            .map(|o| (o, true))
            .into_iter()
            .chain([("http://c.example", false)])
        {
            let asked = [("origin", origin), ("access-control-request-method", "GET")];
            let answer = server.ask(Method::OPTIONS, path, &asked).await;
            let allowed = answer.headers().get("access-control-allow-origin");
            assert_eq!(
                allowed.is_some_and(|one| one == origin),
                is_allowed,
                "{path} {origin}"
            );
        }
    }
    let answer = server
        .ask(Method::GET, "/login/oauth2/code/kakao?state=x", &[])
        .await;
    let front = answer.headers()["location"].to_str().unwrap();
    assert!(front.starts_with("http://localhost:3001/app/"), "{front}");
    let token = line(&["token", "--member", "2", "--data", &data]).await;
    let request = client()
        .post(server.url("/api/images/presign"))
        .bearer_auth(&token);
    let request = request.json(&json!({"filenames": ["x.png"]}));
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let url = answer["data"][0]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://pictures.example/p/api/images/files/2/"),
        "{url}"
    );
    // Two a second, and ten at once.
    let mut limited = false;
    for _ in 0..1_000 {
        let answer = server.ask(Method::GET, "/api/members/info", &[]).await;
        limited |= answer.status() == StatusCode::TOO_MANY_REQUESTS;
    }
    assert!(limited, "as many requests as one likes");
}
