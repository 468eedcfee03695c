//! Slow and idle clients over real sockets. The clock is tokio's, which advances when all tasks wait.

use axum::extract::{DefaultBodyLimit, Request};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use serde_json::Value;

use super::super::cors::cors;
use super::super::extract::InBody;
use super::super::guard::{guarded, unknown_path};
use super::super::headers::last;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::linger::LINGER_TIME;
use super::*;

const BODY_BYTES_MAX: usize = 1_000;

/// Bound of every wait.
const PATIENCE: Duration = Duration::from_secs(3_600);

const HEAD_TIME: Duration = Duration::from_secs(5);

/// A server, stopped on drop.
struct Port {
    address: SocketAddr,
    drain: Drain,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl Port {
    fn open(change: impl FnOnce(&mut Serving)) -> Self {
        let routes = Router::new()
            .route("/", get(async || "here"))
            .route("/large", get(async || vec![b'x'; 1 << 20]))
            .route("/hang", get(std::future::pending::<ErrorCode>))
            .route("/slow", post(slow))
            .route("/json", post(async |_: InBody<Value>| "taken"))
            .route(
                "/last",
                get(async || last(ErrorCode::RouteUnknown.into_response())),
            )
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .fallback(unknown_path);
        let routes = guarded(routes, BODY_BYTES_MAX);
        let mut serving = Serving::from(HEAD_TIME);
        change(&mut serving);
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let drain = Drain::new();
        let within = drain.clone();
        drop(drain.spawn("port", async move {
            serve(listener, routes, &within, serving).await
        }));
        Self { address, drain }
    }

    async fn connect(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address).await.unwrap();
        // Parts of a request must not wait for acknowledgements: those take real time.
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// Sends this and nothing more; returns all bytes until the server closes the connection.
    async fn ask(&self, request: &[u8]) -> String {
        let mut tcp = self.connect().await;
        tcp.write_all(request).await.unwrap();
        rest(&mut tcp).await
    }

    /// Checks status and code of the response to this request, the last on its connection.
    async fn check(&self, request: &str, expected: (u16, u64)) -> String {
        let answer = self.ask(request.as_bytes()).await;
        assert_eq!(told(&answer), expected, "{request:?}: {answer:?}");
        answer
    }
}

/// A handler that takes longer than a client may, before it reads the body.
async fn slow(request: Request) -> Result<&'static str, ErrorCode> {
    sleep(Duration::from_secs(9)).await;
    let body = axum::body::to_bytes(request.into_body(), 1_000).await;
    body.map(|_| "taken")
        .map_err(|_broken| ErrorCode::InvalidParameter)
}

async fn rest(tcp: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, tcp.read_to_end(&mut bytes)).await;
    // A reset after the response also counts as an end.
    drop(read.expect("the server ends the connection"));
    String::from_utf8(bytes).unwrap()
}

/// Status and code of an answer, which has what every answer has.
fn told(answer: &str) -> (u16, u64) {
    let (head, body) = answer.split_once("\r\n\r\n").expect(answer);
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    for header in [
        "content-type: application/json\r\n",
        "cache-control: no-store\r\n",
        "x-content-type-options: nosniff\r\n",
        "x-request-id: ",
        "connection: close\r\n",
    ] {
        let head = format!("{head}\r\n");
        assert!(head.contains(header), "{header:?} is missing in {head}");
    }
    let body: Value = serde_json::from_str(body).expect(answer);
    (status, body["code"].as_u64().unwrap())
}

#[tokio::test(start_paused = true)]
async fn announced_body_that_is_too_long_is_refused_at_once() {
    let port = Port::open(|_| {});
    for more in ["", "Expect: 100-continue\r\n"] {
        for path in ["/json", "/", "/nowhere", "/hang"] {
            let request = format!(
                "POST {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: 100000000\r\n\r\n"
            );
            let begun = now();
            let answer = port.check(&request, (413, 1008)).await;
            assert!(!answer.contains(" 100 "), "{answer}");
            // A lingering close, without waiting for the body.
            assert!(now() < begun + LINGER_TIME * 2, "{path} {more}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_turns_out_too_long_is_refused() {
    let port = Port::open(|_| {});
    let chunk = format!("3e9\r\n{}\r\n", " ".repeat(1_001));
    let request =
        format!("POST /json HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    port.check(&request, (413, 1008)).await;
}

#[tokio::test(start_paused = true)]
async fn expected_continue_is_sent() {
    let port = Port::open(|_| {});
    let mut tcp = port.connect().await;
    let head = "POST /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\
                Expect: 100-continue\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut line = vec![0; go_on.len()];
    tcp.read_exact(&mut line).await.unwrap();
    assert_eq!(line, go_on);
    tcp.write_all(b"{}").await.unwrap();
    assert!(rest(&mut tcp).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn slow_body_is_a_request_timeout() {
    let port = Port::open(|_| {});
    let head = "POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
    port.check(head, (408, 1011)).await;
    // A byte every nine seconds is progress, but within the limit for the whole body only.
    let mut tcp = port.connect().await;
    tcp.write_all(head.as_bytes()).await.unwrap();
    let begun = now();
    while tcp.write_all(b" ").await.is_ok() && now() < begun + PATIENCE {
        sleep(PAUSE).await;
        if now() > begun + PAUSE * 5 {
            break;
        }
    }
    assert_eq!(told(&rest(&mut tcp).await), (408, 1011));
}

/// Below the longest pause of a body.
const PAUSE: Duration = Duration::from_secs(9);

#[tokio::test(start_paused = true)]
async fn slow_body_with_progress_is_accepted() {
    let port = Port::open(|_| {});
    let mut tcp = port.connect().await;
    let head = "POST /json HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\n";
    tcp.write_all(head.as_bytes()).await.unwrap();
    // Longer than a handler's deadline.
    for byte in ["{", "}"] {
        sleep(PAUSE).await;
        tcp.write_all(byte.as_bytes()).await.unwrap();
    }
    tcp.write_all(b"   ").await.unwrap();
    assert!(rest(&mut tcp).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test(start_paused = true)]
async fn slow_handler_is_reported_as_unavailable() {
    let port = Port::open(|_| {});
    let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    port.check(&format!("GET /hang {head}\r\n"), (503, 1010))
        .await;
    // The body has been in the socket all the time.
    let request = format!("POST /slow {head}Content-Length: 2\r\n\r\n{{}}");
    let answer = port.ask(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn incomplete_head_gets_408_and_idle_connection_is_closed() {
    let port = Port::open(|_| {});
    port.check("GET / HTTP/1.1\r\nHost: x\r\nX: ", (408, 1011))
        .await;
    assert_eq!(port.ask(b"").await, "");
    let answers = port.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answers.ends_with("\r\n\r\nhere"), "{answers}");
}

#[tokio::test(start_paused = true)]
async fn idle_time_begins_with_the_last_response() {
    let port = Port::open(|_| {});
    let mut tcp = port.connect().await;
    for _ in 0..4 {
        sleep(HEAD_TIME - Duration::from_secs(1)).await;
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
    }
    let answers = rest(&mut tcp).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 4, "{answers}");
}

/// Sends requests until the server closes the connection; returns the error, and the number of bytes it took.
async fn ask_on(tcp: &TcpStream, request: &[u8]) -> (io::Error, usize) {
    let mut bytes = 0;
    loop {
        tcp.writable().await.unwrap();
        match tcp.try_write(request) {
            Ok(written) => bytes += written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return (error, bytes),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_nothing_is_disconnected() {
    let port = Port::open(|_| {});
    for path in ["/", "/large", "/nowhere"] {
        let tcp = port.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").repeat(100);
        let begun = now();
        let (ended, bytes) = timeout(PATIENCE, ask_on(&tcp, request.as_bytes()))
            .await
            .expect("an end");
        assert!(now() >= begun + WRITE_TIME, "{ended}");
        assert!(bytes < 32 << 20, "{bytes} bytes of requests were taken");
    }
}

/// Whether more may arrive.
enum Arrived {
    All,
    End,
}

/// Reads what has arrived; returns the number of bytes.
fn read_arrived(tcp: &TcpStream, buffer: &mut [u8]) -> (usize, Arrived) {
    let mut bytes = 0;
    loop {
        match tcp.try_read(buffer) {
            Ok(0) => return (bytes, Arrived::End),
            Ok(read) => bytes += read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return (bytes, Arrived::All);
            }
            Err(error) => panic!("{bytes} bytes before {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn slow_reader_with_progress_gets_everything() {
    let port = Port::open(|_| {});
    let mut tcp = port.connect().await;
    let head = b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    tcp.write_all(head).await.unwrap();
    let (mut all, mut some) = (0, vec![0; 64 << 10]);
    loop {
        sleep(HEAD_TIME * 2).await;
        // All that has arrived: the kernel opens the window, and the server makes progress, only when
        // enough of its buffer is free.
        tcp.readable().await.unwrap();
        match read_arrived(&tcp, &mut some) {
            (read, Arrived::All) => all += read,
            (read, Arrived::End) => break all += read,
        }
    }
    assert!(all > 1 << 20, "{all}");
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_evicted_for_new_ones() {
    let port = Port::open(|serving| {
        serving.connections_max = 2;
        serving.head_time = PATIENCE;
    });
    let mut silent = [port.connect().await, port.connect().await];
    for _ in 0..4 {
        let answer = port.ask(b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    }
    assert_eq!(rest(&mut silent[0]).await, "");
}

#[tokio::test(start_paused = true)]
async fn connection_is_refused_while_all_others_are_busy() {
    let port = Port::open(|serving| serving.connections_max = 2);
    let mut busy = Vec::new();
    for _ in 0..2 {
        let mut tcp = port.connect().await;
        tcp.write_all(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        busy.push(tcp);
    }
    let begun = now();
    let refused = port
        .check("GET / HTTP/1.1\r\nHost: x\r\n\r\n", (503, 1010))
        .await;
    assert!(refused.contains("\r\nretry-after: 1\r\n"), "{refused}");
    assert!(now() < begun + Duration::from_secs(5));
    drop(busy);
    let served = port.ask(b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(served.starts_with("HTTP/1.1 404 "), "{served}");
}

#[tokio::test(start_paused = true)]
async fn malformed_request_gets_the_envelope() {
    let port = Port::open(|_| {});
    let long = "x".repeat(READ_BUFFER_BYTES_MAX);
    for (request, expected) in [
        ("GET\r\n\r\n".to_owned(), (400, 1006)),
        ("\0\0\0\0 / HTTP/1.1\r\n\r\n".to_owned(), (400, 1006)),
        ("GET / HTTP/9.9\r\nHost: x\r\n\r\n".to_owned(), (400, 1006)),
        ("GET / HTTP/1.1\r\nHost x\r\n\r\n".to_owned(), (400, 1006)),
        (format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n"), (431, 1015)),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: x\r\n{}\r\n",
                "a: b\r\n".repeat(101)
            ),
            (431, 1015),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n".to_owned(),
            (400, 1006),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n".to_owned(),
            (400, 1006),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
                .to_owned(),
            (400, 1006),
        ),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n".to_owned(),
            (400, 1006),
        ),
    ] {
        port.check(&request, expected).await;
    }
    // Also behind a valid one.
    let both = port
        .ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET\r\n\r\n")
        .await;
    let (good, bad) = both.split_once("here").unwrap();
    assert!(good.starts_with("HTTP/1.1 200 "), "{both}");
    assert_eq!(told(bad), (400, 1006));
}

/// The connection ends after these responses, which announce it (`Connection: close`).
#[tokio::test(start_paused = true)]
async fn invalid_request_is_refused_before_routing() {
    let own = "127.0.0.1:1".parse().unwrap();
    let port = Port::open(|serving| serving.hosts = Some(Hosts::of_this_computer(&[], own)));
    let bad = (400, 1006);
    for (request, expected) in [
        ("GET / HTTP/1.1", bad),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost", bad),
        ("GET / HTTP/1.1\r\nHost: a b", bad),
        ("GET / HTTP/1.1\r\nHost: ", bad),
        ("GET / HTTP/1.1\r\nHost: me@localhost", bad),
        ("GET / HTTP/1.1\r\nHost: localhost@localhost", bad),
        ("GET / HTTP/1.1\r\nHost: localhost:99999", bad),
        ("GET / HTTP/1.1\r\nHost: localhost:+80", bad),
        ("GET / HTTP/1.1\r\nHost: localhost:http", bad),
        (
            "GET http://localhost:http/ HTTP/1.1\r\nHost: localhost",
            bad,
        ),
        ("GET / HTTP/1.0\r\nHost: localhost\r\nHost: localhost", bad),
        ("GET ftp://localhost/ HTTP/1.1\r\nHost: localhost", bad),
        ("GET * HTTP/1.1\r\nHost: localhost", bad),
        ("GET / HTTP/1.1\r\nHost: evil.example", (421, 1013)),
        (
            "GET http://evil.example/ HTTP/1.1\r\nHost: localhost",
            (421, 1013),
        ),
        (
            "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80",
            (501, 1016),
        ),
        (
            "POST /json HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked",
            (501, 1016),
        ),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nExpect: 200-ok",
            (417, 1016),
        ),
        (
            "POST /json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nContent-Encoding: GZip",
            (415, 1012),
        ),
    ] {
        let answer = port.check(&format!("{request}\r\n\r\n"), expected).await;
        let is_type = expected.0 == 415;
        assert_eq!(
            answer.contains("\r\naccept-encoding: identity\r\n"),
            is_type
        );
    }
}

#[tokio::test(start_paused = true)]
async fn request_to_an_allowed_host_is_answered() {
    let own = "127.0.0.1:1".parse().unwrap();
    let port = Port::open(|serving| serving.hosts = Some(Hosts::of_this_computer(&[], own)));
    let json = "POST /json HTTP/1.1\r\nHost: localhost:5\r\nConnection: close\r\n\
                Content-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}";
    for request in [
        "GET / HTTP/1.1\r\nHost: LocalHost:8080\r\nConnection: TE, Close\r\n\r\n",
        "GET http://localhost/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        json,
    ] {
        let answer = port.ask(request.as_bytes()).await;
        let expected = if request.contains("HTTP/1.0") && !request.contains("Host") {
            "HTTP/1.0 200 "
        } else {
            "HTTP/1.1 200 "
        };
        assert!(answer.starts_with(expected), "{request:?}: {answer}");
    }
    let all = "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = port.ask(all.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 204 ") && answer.contains("\r\nallow: GET"),
        "{answer}"
    );
}

/// The kernel's memory of a connection: twice the requested size, its own records included.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn kernel_buffers_of_accepted_connections_are_bounded() {
    let most = |name: &str, asked: u32| {
        let limit = std::fs::read_to_string(format!("/proc/sys/net/core/{name}"));
        // Not readable in every container.
        let limit = limit.ok().and_then(|text| text.trim().parse().ok());
        2 * limit.map_or(asked, |limit: u32| limit.min(asked))
    };
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let _client = client.unwrap();
    let accepted = accepted.unwrap().0.into_std().unwrap();
    let accepted = TcpSocket::from_std_stream(accepted);
    assert_eq!(
        accepted.recv_buffer_size().unwrap(),
        most("rmem_max", RECEIVE_BUFFER_BYTES)
    );
    assert_eq!(
        accepted.send_buffer_size().unwrap(),
        most("wmem_max", SEND_BUFFER_BYTES)
    );
}

/// One response on a connection that stays open.
async fn answer(tcp: &mut TcpStream, request: &[u8], end: &str) -> String {
    tcp.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end.as_bytes()) {
            assert_ne!(tcp.read_buf(&mut bytes).await.unwrap(), 0, "it ends");
        }
    };
    timeout(PATIENCE, reading).await.expect("an answer");
    String::from_utf8(bytes).unwrap()
}

const HERE: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// Load balancers keep idle connections for a minute.
#[tokio::test(start_paused = true)]
async fn connection_idles_longer_than_a_head_may_take() {
    let port = Port::open(|_| {});
    let mut tcp = port.connect().await;
    for _ in 0..3 {
        answer(&mut tcp, HERE, "here").await;
        sleep(IDLE_TIME - Duration::from_secs(1)).await;
    }
    answer(&mut tcp, HERE, "here").await;
    assert_eq!(rest(&mut tcp).await, "", "it ends in time");
    // A begun head then has its own deadline, and gets a response when it misses that.
    let mut tcp = port.connect().await;
    answer(&mut tcp, HERE, "here").await;
    sleep(IDLE_TIME - Duration::from_secs(1)).await;
    let (begin, end) = HERE.split_at(9);
    tcp.write_all(begin).await.unwrap();
    sleep(HEAD_TIME - Duration::from_secs(1)).await;
    answer(&mut tcp, end, "here").await;
    tcp.write_all(begin).await.unwrap();
    let begun = now();
    assert_eq!(told(&rest(&mut tcp).await), (408, 1011));
    assert!(now() < begun + IDLE_TIME);
}

#[tokio::test(start_paused = true)]
async fn drain_waits_for_requests_only() {
    let port = Port::open(|_| {});
    let mut fresh = port.connect().await;
    let mut idle = port.connect().await;
    answer(&mut idle, HERE, "here").await;
    let mut begun = [port.connect().await, port.connect().await];
    answer(&mut begun[1], HERE, "here").await;
    let (begin, end) = HERE.split_at(9);
    for tcp in &mut begun {
        tcp.write_all(begin).await.unwrap();
    }
    let mut busy = port.connect().await;
    let slow = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}";
    busy.write_all(slow).await.unwrap();
    sleep(Duration::from_secs(1)).await;

    let stopped = now();
    port.drain.begin();
    assert_eq!(rest(&mut fresh).await, "");
    assert_eq!(rest(&mut idle).await, "");
    assert!(now() < stopped + Duration::from_secs(1));
    for tcp in &mut begun {
        tcp.write_all(end).await.unwrap();
        let answer = rest(tcp).await;
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("here"), "{answer}");
    }
    let answer = rest(&mut busy).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let ended = port.drain.wait(PATIENCE).await;
    assert_eq!(ended, Ok(()));
    assert!(now() < stopped + IDLE_TIME);
}

/// A client that is gone and one that has only closed its side look the same: the request is cancelled.
#[tokio::test(start_paused = true)]
async fn slot_of_a_half_closed_connection_is_released() {
    let port = Port::open(|serving| serving.connections_max = 1);
    let mut half = Vec::new();
    for path in ["/hang", "/large", "/"] {
        let mut tcp = port.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        tcp.shutdown().await.unwrap();
        half.push(tcp);
        let served = port.ask(b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(served.starts_with("HTTP/1.1 404 "), "{path}: {served}");
    }
}

/// A page cannot distinguish a refusal that it may not read from an unreachable server.
#[tokio::test(start_paused = true)]
async fn refusal_before_the_routes_can_be_read_by_allowed_pages() {
    let page = "https://page.example";
    let port = Port::open(|serving| serving.cors = Some(cors(&[page.to_owned()])));
    for (request, expected) in [
        (
            "POST /json HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nContent-Encoding: gzip",
            415,
        ),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok", 417),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked",
            501,
        ),
        ("GET / HTTP/1.1\r\nHost: a b", 400),
    ] {
        for (origin, is_allowed) in [(page, true), ("https://evil.example", false)] {
            let head = format!("{request}\r\nOrigin: {origin}\r\n\r\n");
            let answer = port.ask(head.as_bytes()).await;
            assert_eq!(told(&answer).0, expected, "{answer}");
            let granted = format!("\r\naccess-control-allow-origin: {page}\r\n");
            assert_eq!(answer.contains(&granted), is_allowed, "{head}: {answer}");
            let with = "\r\naccess-control-allow-credentials: true\r\n";
            assert!(answer.contains(with) || !is_allowed, "{answer}");
        }
    }
    // A refused preflight grants nothing.
    let preflight = format!(
        "OPTIONS / HTTP/1.1\r\nHost: a b\r\nOrigin: {page}\r\n\
         Access-Control-Request-Method: PUT\r\n\r\n"
    );
    let answer = port.ask(preflight.as_bytes()).await;
    assert_eq!(told(&answer).0, 400);
    assert!(!answer.contains("access-control"), "{answer}");
}
