//! Very many idle connections (E2).

use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};
use crate::support::On;

/// More than twice the server's limit of connections.
const CROWD: usize = 10_000;

/// The server's limit of connections, plus its own files.
const OPEN_FILES_MAX: usize = 4_096 + 100;

/// Raises the limit of open files of this process and its children.
async fn allow_files() {
    let id = std::process::id().to_string();
    let mut prlimit = Command::new("prlimit");
    prlimit.args(["--nofile=16000:", "--pid", &id]);
    let allowed = prlimit.status().await.unwrap();
    assert!(allowed.success(), "files for {CROWD} connections");
}

/// Connects and stays idle until the server closes the connection.
async fn idle(address: SocketAddr, connected: watch::Sender<usize>) {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connected.send_modify(|count| *count += 1);
    // A regular end or a reset.
    let ended = connection.read(&mut [0]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_end_and_others_are_served_meanwhile() {
    allow_files().await;
    let program = Program::start(
        On::Sqlite,
        "http://localhost:1",
        "http://localhost:1",
        &["--head-time=1s"],
    )
    .await;
    let address = program.base.trim_start_matches("http://").parse().unwrap();
    let (connected, mut count) = watch::channel(0);
    let mut crowd = JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(idle(address, connected.clone()));
    }
    let full = count.wait_for(|count| *count > OPEN_FILES_MAX);
    drop(timeout(PATIENCE, full).await.expect("they come").unwrap());

    // A regular client connects at the same time.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
    let client = client.pool_max_idle_per_host(0).timeout(PATIENCE);
    let client = client.build().unwrap();
    let url = format!("{}/.well-known/jwks.json", program.base);
    let ask = async || client.get(&url).send().await.unwrap().status().as_u16();
    assert_eq!(ask().await, 200);
    for ended in 0..CROWD {
        if ended % 100 == 0 {
            let open = program.open_files();
            assert!(open <= OPEN_FILES_MAX, "{open} files");
        }
        let next = timeout(PATIENCE, crowd.join_next()).await;
        next.expect("they end").unwrap().unwrap();
    }
    assert_eq!(ask().await, 200);
    let log = program.stop().await;
    assert!(!log.contains("ERROR"), "{log}");
    // One log line per request, and none for idle connections.
    let lines = log.matches("GET /.well-known/jwks.json").count();
    assert_eq!(lines, 2, "{log}");
}
