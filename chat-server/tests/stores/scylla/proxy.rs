//! A way to the server that can be held up or cut.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// All.
    Open,
    /// Requests, but not their answers.
    HoldAnswers,
    /// Answers, but no requests.
    HoldRequests,
    /// Nothing: connections end as soon as they are there.
    Cut,
}

/// The way. It ends with its value.
#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mode: watch::Sender<Mode>,
    /// Connections that came, whatever became of them.
    came: watch::Receiver<u64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// A way to the first of these servers.
    pub(crate) async fn to(servers: &str, mode: Mode) -> Self {
        let server: SocketAddr = servers.split(',').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = watch::Sender::new(mode);
        let mut accepting = JoinSet::new();
        let (count, came) = watch::channel(0);
        accepting.spawn(accept(listener, server, mode.clone(), count));
        Self {
            address,
            mode,
            came,
            _accepting: accepting,
        }
    }

    pub(crate) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// Waits until a client has tried to connect.
    pub(crate) async fn tried(&self) {
        drop(
            self.came
                .clone()
                .wait_for(|count| *count > 0)
                .await
                .unwrap(),
        );
    }
}

async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mode: watch::Sender<Mode>,
    count: watch::Sender<u64>,
) {
    let mut connections = JoinSet::new();
    loop {
        let (client, _) = listener.accept().await.unwrap();
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(client, server, mode.subscribe()));
        count.send_modify(|count| *count += 1);
    }
}

async fn connection(client: TcpStream, server: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if *mode.borrow() == Mode::Cut {
        return;
    }
    let server = TcpStream::connect(server).await.unwrap();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let requests = pump(from_client, to_server, mode.clone(), Mode::HoldRequests);
    let answers = pump(from_server, to_client, mode.clone(), Mode::HoldAnswers);
    tokio::select! {
        // Each of them ends the connection; none is gone on with.
        () = requests => {}
        () = answers => {}
        _ = mode.wait_for(|mode| *mode == Mode::Cut) => {}
    }
}

/// Passes bytes on, but not while they are held.
async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
    held: Mode,
) {
    let mut bytes = vec![0; 16 << 10];
    loop {
        let Ok(count @ 1..) = from.read(&mut bytes).await else {
            return;
        };
        if mode.wait_for(|mode| *mode != held).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
