//! STOMP connection of a member: open, login, read and write, each with a time limit.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use shared::clock::{Clock as _, SystemClock};
use stomp::{Command, Decoder, Frame, FrameWriter, Limits, Version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// From the first byte to CONNECTED. The kernel of a node that was just stopped by SIGSTOP still
/// accepts the balancer's connections, which nothing answers.
const LOGIN_MAX: Duration = Duration::from_secs(5);

/// Both sides promise a heart-beat every 2 s; after three times that the connection is given up.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(6);

/// Interval of this side's heart-beats.
const BEAT_EVERY: Duration = Duration::from_millis(1500);

/// Header by which the balancer of these runs names the node of a connection.
const NODE_HEADER: &str = "x-chat-node";

/// A logged-in session of version 1.2.
#[derive(Debug)]
pub(crate) struct Connection {
    ws: WebSocketStream<TcpStream>,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    /// The node that serves it; empty without a balancer.
    pub(crate) node: String,
    heard: Instant,
    said: Instant,
    close_code: Option<u16>,
}

/// Why an attempt to connect failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Refusal {
    /// No TCP connection, or it broke before an answer came.
    Broken,
    /// Another response than the upgrade.
    Status(u16),
    /// No response within [`LOGIN_MAX`].
    Silent,
    /// An ERROR instead of CONNECTED.
    Login(String),
    /// The same, because the store does not answer in time.
    NotNow,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server closed with this code; 1006 without one.
    Closed(u16),
    /// Nothing was received for [`SILENCE_MAX`].
    Silent,
}

impl Connection {
    /// Connects and logs in.
    pub(crate) async fn open(address: SocketAddr, token: &str) -> Result<Self, Refusal> {
        let opened = timeout(LOGIN_MAX, Self::log_in(address, token)).await;
        opened.unwrap_or(Err(Refusal::Silent))
    }

    async fn log_in(address: SocketAddr, token: &str) -> Result<Self, Refusal> {
        let broken = |_: std::io::Error| Refusal::Broken;
        let tcp = TcpStream::connect(address).await.map_err(broken)?;
        tcp.set_nodelay(true).map_err(broken)?;
        let request = format!("ws://{address}/conn").into_client_request();
        let request = request.expect("an address makes a URL");
        let (ws, answer) = client_async(request, tcp).await.map_err(refusal)?;
        let node = answer.headers().get(NODE_HEADER);
        let node = node.and_then(|node| node.to_str().ok()).unwrap_or_default();
        let now = SystemClock.now();
        let mut connection = Self {
            ws,
            decoder: Decoder::new(Limits::after_login()),
            frames: VecDeque::new(),
            node: node.to_owned(),
            heard: now,
            said: now,
            close_code: None,
        };
        connection.decoder.set_version(Version::V1_2);
        let connect = FrameWriter::new(Command::Connect, Version::V1_2)
            .header("accept-version", "1.2")
            .header("heart-beat", "2000,2000")
            .header("Authorization", &format!("Bearer {token}"));
        let sent = connection.send(connect.end()).await;
        sent.map_err(|_ended| Refusal::Broken)?;
        let frame = connection.next().await.map_err(|_ended| Refusal::Broken)?;
        if frame.command() == Command::Connected {
            return Ok(connection);
        }
        if is_not_now(&frame) {
            return Err(Refusal::NotNow);
        }
        let message = frame.header("message").unwrap_or_default();
        Err(Refusal::Login(message.to_owned()))
    }

    /// Writes one frame, or the heart-beat.
    pub(crate) async fn send(&mut self, bytes: Bytes) -> Result<(), Ended> {
        self.said = SystemClock.now();
        match timeout(SILENCE_MAX, self.ws.send(Message::Binary(bytes))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.closed()),
            Err(_) => Err(Ended::Silent),
        }
    }

    /// The next frame. Nothing is lost when this is dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Frame, Ended> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            let message = self.ws.next().await;
            self.heard = SystemClock.now();
            match message {
                Some(Ok(Message::Text(text))) => self.decoder.feed(text.into()),
                Some(Ok(Message::Binary(bytes))) => self.decoder.feed(bytes),
                Some(Ok(Message::Close(frame))) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return Err(self.closed()),
            }
            while let Some(frame) = self.decoder.next_frame().map_err(|_bad| self.closed())? {
                self.frames.push_back(frame);
            }
        }
    }

    /// Sends a heart-beat when it is due, and checks the server's.
    pub(crate) async fn beat(&mut self, now: Instant) -> Result<(), Ended> {
        if now.saturating_duration_since(self.heard) > SILENCE_MAX {
            return Err(Ended::Silent);
        }
        if now.saturating_duration_since(self.said) > BEAT_EVERY {
            return self.send(Bytes::from_static(b"\n")).await;
        }
        Ok(())
    }

    /// Resets the server's silence after this side stopped reading for a while.
    pub(crate) fn forgive_silence(&mut self) {
        self.heard = SystemClock.now();
    }

    fn closed(&self) -> Ended {
        /// RFC 6455 §7.1.5: what a close without a close frame is called.
        const NO_CODE: u16 = 1006;
        Ended::Closed(self.close_code.unwrap_or(NO_CODE))
    }
}

/// Whether an ERROR is that of an outage, after which a client comes back (wire.md, 8007).
pub(crate) fn is_not_now(frame: &Frame) -> bool {
    frame.command() == Command::Error && frame.header("code") == Some("8007")
}

fn refusal(error: Error) -> Refusal {
    if let Error::Http(answer) = error {
        Refusal::Status(answer.status().as_u16())
    } else {
        Refusal::Broken
    }
}

impl Refusal {
    /// Its name in the results.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Broken => "broken".to_owned(),
            Self::Status(status) => status.to_string(),
            Self::Silent => "silent".to_owned(),
            Self::Login(message) => format!("login: {message}"),
            Self::NotNow => "not now".to_owned(),
        }
    }
}

impl Ended {
    /// Its name in the results.
    pub(crate) fn kind(&self) -> String {
        match self {
            Self::Closed(code) => code.to_string(),
            Self::Silent => "silent".to_owned(),
        }
    }
}
