//! The balancer's rules, with the real HAProxy and servers that answer with their names.

#![expect(clippy::unwrap_used, reason = "a test ends where something fails")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers every request with its name. Like ours it serves `/readyz` on a port of its
/// own, and there alone.
struct Named {
    address: SocketAddr,
    admin: SocketAddr,
    state: Arc<State>,
    serving: JoinSet<()>,
}

/// What a server says of itself, and whether it answers anything else.
#[derive(Default)]
struct State {
    unready: AtomicBool,
    refuses: AtomicBool,
}

/// Which of a server's ports.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Port {
    Public,
    Admin,
}

impl Named {
    async fn start(name: &'static str) -> Self {
        let public = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let [address, admin_address] = [&public, &admin].map(|one| one.local_addr().unwrap());
        let state = Arc::<State>::default();
        let mut serving = JoinSet::new();
        for (listener, port) in [(public, Port::Public), (admin, Port::Admin)] {
            let shared = Arc::clone(&state);
            serving.spawn(async move {
                let mut connections = JoinSet::new();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    connections.spawn(answer(tcp, name, port, Arc::clone(&shared)));
                }
            });
        }
        Self {
            address,
            admin: admin_address,
            state,
            serving,
        }
    }

    /// Nobody listens there any more.
    async fn stop(mut self) {
        self.serving.shutdown().await;
    }

    fn set_ready(&self, ready: bool) {
        self.state.unready.store(!ready, Ordering::Relaxed);
    }

    fn refuse(&self) {
        self.state.refuses.store(true, Ordering::Relaxed);
    }
}

/// One request of a connection, which is closed after it.
async fn answer(tcp: TcpStream, name: &str, port: Port, state: Arc<State>) -> Option<()> {
    let mut tcp = BufReader::new(tcp);
    let mut first = String::new();
    tcp.read_line(&mut first).await.ok()?;
    let mut line = String::new();
    while tcp.read_line(&mut line).await.ok()? > 2 {
        line.clear();
    }
    let asks_state = first.starts_with("GET /readyz ");
    let trouble = if asks_state {
        &state.unready
    } else {
        &state.refuses
    };
    let status = if asks_state != (port == Port::Admin) {
        "404 Not Found"
    } else if trouble.load(Ordering::Relaxed) {
        "503 Service Unavailable"
    } else {
        "200 OK"
    };
    let length = name.len();
    let text =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{name}");
    tcp.write_all(text.as_bytes()).await.ok()
}

/// Starts HAProxy on a free port; if it ends because another process took the port, starts it on
/// another one.
async fn start_balancer(market: &Named, chat: &[Named]) -> ([SocketAddr; 2], Child) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/haproxy/run");
    let started = async {
        loop {
            let free = [
                TcpListener::bind("127.0.0.1:0").await.unwrap(),
                TcpListener::bind("127.0.0.1:0").await.unwrap(),
            ];
            let [address, internal] = free.map(|one| one.local_addr().unwrap());
            let mut balancer = Command::new(&script);
            balancer.args(["--listen", &address.to_string()]);
            balancer.args(["--internal", &internal.to_string()]);
            balancer.args(["--market", &format!("{}/{}", market.address, market.admin)]);
            for node in chat {
                balancer.args(["--chat", &format!("{}/{}", node.address, node.admin)]);
            }
            balancer.stderr(Stdio::null()).kill_on_drop(true);
            let mut balancer = balancer.spawn().unwrap();
            let mut again = interval(Duration::from_millis(20));
            while balancer.try_wait().unwrap().is_none() {
                if TcpStream::connect(address).await.is_ok() {
                    return ([address, internal], balancer);
                }
                again.tick().await;
            }
        }
    };
    timeout(PATIENCE, started)
        .await
        .expect("HAProxy does not start")
}

/// Two chat nodes and the market behind the balancer.
struct Site {
    chat: Vec<Named>,
    _market: Named,
    address: SocketAddr,
    internal: SocketAddr,
    http: reqwest::Client,
    _balancer: Child,
}

impl Site {
    async fn start() -> Self {
        let chat = vec![Named::start("chat a").await, Named::start("chat b").await];
        let market = Named::start("market").await;
        let ([address, internal], balancer) = start_balancer(&market, &chat).await;
        let site = Self {
            chat,
            _market: market,
            address,
            internal,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            _balancer: balancer,
        };
        site.eventually("/conn", &["chat a", "chat b"]).await;
        site
    }

    /// Who answers, or the balancer's own status.
    async fn ask(&self, path: &str) -> String {
        self.ask_at(self.address, path).await
    }

    async fn ask_at(&self, address: SocketAddr, path: &str) -> String {
        let answer = self.http.get(format!("http://{address}{path}"));
        let answer = timeout(PATIENCE, answer.send()).await.unwrap();
        match answer {
            Ok(answer) if answer.status().is_success() => answer.text().await.unwrap(),
            Ok(answer) => answer.status().as_u16().to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Asks until those and only those have answered, in ten answers in a row.
    async fn eventually(&self, path: &str, expected: &[&str]) {
        let mut again = interval(Duration::from_millis(50));
        let settled = async {
            loop {
                let mut who = Vec::new();
                for _ in 0..10 {
                    who.push(self.ask(path).await);
                }
                who.sort();
                who.dedup();
                if who == expected {
                    return;
                }
                again.tick().await;
            }
        };
        let settled = timeout(PATIENCE, settled).await;
        assert!(
            settled.is_ok(),
            "{path} does not come to {expected:?} alone"
        );
    }
}

#[tokio::test]
async fn paths_go_to_the_program_that_serves_them_and_to_no_other() {
    let site = Site::start().await;
    site.eventually("/api/products", &["market"]).await;
    let chat = ["/conn", "/api/chat-room", "/api/chat-room/7/history?size=2"];
    let more = [
        "/api/chat-messages/9/read-status",
        "/api/notifications/read",
    ];
    for path in chat
        .into_iter()
        .chain(more)
        .chain(["/api/fcm", "/api/fcm/save", "/api/push/vapid-key"])
        .chain(["/docs/chat/x"])
    {
        assert!(site.ask(path).await.starts_with("chat"), "{path}");
    }
    let market = [
        "/api/products",
        "/api/chat",
        "/oauth2/authorization/kakao",
        "/login",
    ];
    for path in market
        .into_iter()
        .chain(["/docs", "/.well-known/jwks.json"])
    {
        assert_eq!(site.ask(path).await, "market", "{path}");
    }
}

/// It stops, and its next health check is still to come.
#[tokio::test]
async fn connection_that_a_node_refuses_goes_to_another() {
    let site = Site::start().await;
    site.chat[0].refuse();
    for _ in 0..20 {
        assert_eq!(site.ask("/conn").await, "chat b");
    }
    // Other requests may have had an effect: whether to repeat them is their sender's choice.
    site.eventually("/api/chat-room", &["503", "chat b"]).await;
}

#[tokio::test]
async fn what_admin_ports_serve_is_not_reached_by_any_spelling() {
    let site = Site::start().await;
    let plain = [
        "/internal/rooms/1",
        "/admin/drain",
        "/metrics",
        "/readyz",
        "/livez",
    ];
    let odd = [
        "//admin/drain",
        "/ADMIN/drain",
        "/%61dmin/drain",
        "/",
        "/conn/x",
        "/x",
    ];
    for path in plain.into_iter().chain(odd) {
        assert_eq!(site.ask(path).await, "404", "{path}");
    }
}

#[tokio::test]
async fn a_node_that_is_not_ready_gets_nobody_unless_no_node_is() {
    let site = Site::start().await;
    site.chat[0].set_ready(false);
    site.eventually("/conn", &["chat b"]).await;
    site.chat[1].set_ready(false);
    site.eventually("/conn", &["chat a", "chat b"]).await;
    site.chat[0].set_ready(true);
    site.eventually("/conn", &["chat a"]).await;
}

#[tokio::test]
async fn internal_requests_go_to_the_admin_ports_of_ready_nodes() {
    let site = Site::start().await;
    site.chat[0].set_ready(false);
    site.eventually("/conn", &["chat b"]).await;
    // Admin ports of these servers answer 404 to everything but /readyz, public ports answer 200.
    assert_eq!(site.ask_at(site.internal, "/internal/events").await, "404");
    site.chat[1].set_ready(false);
    let mut again = interval(Duration::from_millis(50));
    let refused = async {
        while site.ask_at(site.internal, "/internal/events").await != "503" {
            again.tick().await;
        }
    };
    let refused = timeout(PATIENCE, refused).await;
    assert!(refused.is_ok(), "an unready node still gets events");
    assert_eq!(site.ask_at(site.internal, "/readyz").await, "404");
    assert_eq!(site.ask_at(site.internal, "/admin/drain").await, "404");
}

#[tokio::test]
async fn clients_do_not_notice_that_a_node_is_gone() {
    let mut site = Site::start().await;
    site.chat.remove(0).stop().await;
    for _ in 0..20 {
        assert_eq!(site.ask("/conn").await, "chat b");
    }
}
