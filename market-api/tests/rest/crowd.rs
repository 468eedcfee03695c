//! Very many idle connections (E2).

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use crate::program::{PATIENCE, Program};
use crate::support::On;

/// More than twice the server's limit of connections.
const CROWD: usize = 10_000;

/// The server's limit of connections, plus its own files.
const OPEN_FILES_MAX: usize = 4_096 + 100;

/// What the regular client reads.
const KEYS: &str = "/.well-known/jwks.json";

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

/// A regular client: its request follows the connection at once. In a thread of its own, or the request would wait
/// behind the tasks of the crowd for longer than the server takes a connection for a used one.
fn ask(address: SocketAddr) -> u16 {
    let mut tcp = std::net::TcpStream::connect(address).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("GET {KEYS} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).unwrap();
    let status = answer
        .split(' ')
        .nth(1)
        .unwrap_or_else(|| panic!("{answer:?}"));
    status.parse().unwrap()
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

    let ask = async || spawn_blocking(move || ask(address)).await.unwrap();
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
    let lines = log.matches(&format!("GET {KEYS}")).count();
    assert_eq!(lines, 2, "{log}");
}
