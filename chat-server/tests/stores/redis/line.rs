//! A line to a server on which a test can hold requests up.

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How the request begins that follows one channel of a cluster's shard.
const FOLLOW: &[u8] = b"*2\r\n$10\r\nSSUBSCRIBE\r\n";

/// A port that forwards to a server of this computer until the value is dropped.
pub(crate) struct Line {
    pub(crate) port: u16,
    gate: Arc<Gate>,
    _tasks: JoinSet<()>,
}

/// What passes.
struct Gate {
    /// Requests to follow that may still pass on a connection; `None`: all.
    follows_left: watch::Sender<Option<usize>>,
}

impl Line {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new(Gate {
            follows_left: watch::Sender::new(None),
        });
        let mut tasks = JoinSet::new();
        let passing = Arc::clone(&gate);
        tasks.spawn(async move {
            let mut pumps = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                pumps.spawn(pass(client, server, Arc::clone(&passing)));
            }
        });
        Self {
            port,
            gate,
            _tasks: tasks,
        }
    }

    /// Lets one more request to follow a channel pass; from the next one on, all requests on the
    /// same connection wait.
    pub(crate) fn let_one_follow(&self) {
        self.gate.follows_left.send_replace(Some(1));
    }

    /// Lets everything pass again.
    pub(crate) fn open(&self) {
        self.gate.follows_left.send_replace(None);
    }
}

impl Gate {
    /// How much of these requests may pass.
    fn passing(&self, requests: &[u8]) -> usize {
        let mut passing = requests.len();
        self.follows_left.send_if_modified(|left| {
            for at in 0..requests.len() {
                let is_follow = requests[at..].starts_with(FOLLOW);
                match left {
                    Some(0) if is_follow => {
                        passing = at;
                        break;
                    }
                    Some(left) if is_follow => *left -= 1,
                    Some(_) | None => {}
                }
            }
            false
        });
        passing
    }

    async fn opened(&self) {
        let mut left = self.follows_left.subscribe();
        drop(left.wait_for(Option::is_none).await.unwrap());
    }
}

/// Until either end is gone.
async fn pass(client: TcpStream, server: TcpStream, gate: Arc<Gate>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut space = vec![0; 64 << 10];
        loop {
            let read = from_client.read(&mut space).await?;
            if read == 0 {
                return std::io::Result::Ok(());
            }
            let (passing, held) = space[..read].split_at(gate.passing(&space[..read]));
            to_server.write_all(passing).await?;
            if !held.is_empty() {
                gate.opened().await;
                to_server.write_all(held).await?;
            }
        }
    };
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    tokio::select! {
        _ = requests => {}
        _ = answers => {}
    }
}
