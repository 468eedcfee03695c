//! A server that records requests and answers each with the next of the bytes it was given: well-formed or not.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Writes these bytes.
    Bytes(Vec<u8>),
    /// Writes these bytes and closes the connection.
    Last(Vec<u8>),
    /// Writes these bytes, then a byte every 20 ms, without an end.
    Drip(Vec<u8>),
    /// Writes nothing and keeps the connection.
    Silence,
    /// Writes these bytes once [`Provider::release`] was called.
    Held(Vec<u8>),
}

/// A request, as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The lines before the body, with the request line.
    pub(crate) head: String,
    /// The body; null if there is none.
    pub(crate) body: Value,
}

impl Seen {
    /// Method and target.
    pub(crate) fn line(&self) -> &str {
        let line = self.head.lines().next().unwrap_or_default();
        line.trim_end_matches(" HTTP/1.1")
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let found = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value)
    }
}

#[derive(Debug, Default)]
struct Script {
    replies: VecDeque<Reply>,
    seen: Vec<Seen>,
    /// Requests held now, and at most so far.
    held: (usize, usize),
}

/// The server. It ends when it is dropped.
pub(crate) struct Provider {
    pub(crate) url: Url,
    script: Arc<Mutex<Script>>,
    released: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Provider {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let mut tasks = JoinSet::new();
        let inside = Arc::clone(&script);
        let (released, release) = watch::channel(false);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&inside), release.clone()));
            }
        });
        Self {
            url: url.parse().unwrap(),
            script,
            released,
            _tasks: tasks,
        }
    }

    /// The next request is answered so.
    pub(crate) fn then(&self, reply: Reply) -> &Self {
        self.script.lock().unwrap().replies.push_back(reply);
        self
    }

    /// The next request is answered with this status and body.
    pub(crate) fn json(&self, status: u16, body: &str) -> &Self {
        self.then(Reply::Bytes(response(status, body)))
    }

    /// Requests held now, and at most so far.
    pub(crate) fn held(&self) -> (usize, usize) {
        self.script.lock().unwrap().held
    }

    /// Answers the requests that are held, and later ones.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.script.lock().unwrap().seen)
    }
}

/// A response with a body of JSON.
pub(crate) fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "Content-Type: application/json";
    format!("HTTP/1.1 {status} X\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

async fn serve(
    mut connection: TcpStream,
    script: Arc<Mutex<Script>>,
    mut release: watch::Receiver<bool>,
) {
    while let Some(seen) = read(&mut connection).await {
        let reply = {
            let mut script = script.lock().unwrap();
            script.seen.push(seen);
            script.replies.pop_front().expect("a reply is prepared")
        };
        let ok = match reply {
            Reply::Bytes(bytes) => connection.write_all(&bytes).await.is_ok(),
            Reply::Last(bytes) => {
                // A client that has read enough may be gone.
                drop(connection.write_all(&bytes).await);
                false
            }
            Reply::Drip(bytes) => {
                let mut ok = connection.write_all(&bytes).await.is_ok();
                while ok {
                    sleep(Duration::from_millis(20)).await;
                    ok = connection.write_all(b" ").await.is_ok();
                }
                false
            }
            Reply::Silence => std::future::pending().await,
            Reply::Held(bytes) => {
                hold(&script, 1);
                release.wait_for(|released| *released).await.unwrap();
                hold(&script, -1);
                connection.write_all(&bytes).await.is_ok()
            }
        };
        if !ok {
            return;
        }
    }
}

fn hold(script: &Mutex<Script>, more: isize) {
    let (now, most) = &mut script.lock().unwrap().held;
    *now = now.checked_add_signed(more).unwrap();
    *most = (*most).max(*now);
}

/// A request; `None` at the end of the connection.
async fn read(connection: &mut TcpStream) -> Option<Seen> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let mut seen = Seen {
        head: String::from_utf8(head).unwrap(),
        body: Value::Null,
    };
    if let Some(length) = seen.header("content-length") {
        let mut body = vec![0; length.parse().unwrap()];
        connection.read_exact(&mut body).await.ok()?;
        seen.body = serde_json::from_slice(&body).unwrap();
    }
    Some(seen)
}
