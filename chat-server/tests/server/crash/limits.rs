//! The program on a machine that gives it few open files.

use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::program::{limited, run, server, start_program};
use crate::support::{PATIENCE, TestNode};

const CLIENTS: usize = 300;

/// Opens a WebSocket; the first line of the answer, and the connection, which stays open.
async fn upgrade(address: SocketAddr) -> (String, TcpStream) {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = "GET /conn HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
        connection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(&mut tcp).read_line(&mut line).await.unwrap();
    (line, tcp)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_beyond_the_open_files_of_the_machine_are_refused_and_readiness_answers() {
    let folder = TestNode::start(&[]).await.stop().await;
    let running = start_program(limited("-n 256", &server(folder.path(), &[]))).await;
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(upgrade(running.address));
    }
    let answers = timeout(PATIENCE, clients.join_all())
        .await
        .expect("all are answered");
    let count = |status: &str| {
        let has = |answer: &&(String, _)| answer.0.starts_with(&format!("HTTP/1.1 {status} "));
        answers.iter().filter(has).count()
    };
    let (served, refused) = (count("101"), count("503"));
    assert_eq!(
        served + refused,
        CLIENTS,
        "{served} served, {refused} refused"
    );
    // 256, less the reserve of 128 and twice 16 for HTTP.
    assert_eq!(served, 96);
    for path in ["/livez", "/readyz"] {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()
            .unwrap();
        let answer = client
            .get(format!("http://{}{path}", running.admin))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_say_nothing_make_room_at_a_full_listener() {
    let folder = TestNode::start(&[]).await.stop().await;
    let running = start_program(limited("-n 256", &server(folder.path(), &[]))).await;
    // The silent connections take the seats for HTTP connections.
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let (answer, _) = timeout(PATIENCE, upgrade(running.address))
        .await
        .expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    drop(silent);
}

#[tokio::test]
async fn too_few_open_files_for_any_client_stop_the_start() {
    let folder = TestNode::start(&[]).await.stop().await;
    let ended = run(limited("-n 100", &server(folder.path(), &[]))).await;
    assert_eq!(ended.status.code(), Some(1));
    let log = String::from_utf8(ended.stderr).unwrap();
    assert!(log.contains("may open 100 files only"), "{log}");
}
