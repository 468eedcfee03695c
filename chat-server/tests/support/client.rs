//! A STOMP client for tests: strict, and with a bound on every wait.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use stomp::{Command, Decoder, Frame, FrameWriter, Limits, Version};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::PATIENCE;

/// One connection.
pub struct Client {
    ws: WebSocketStream<TcpStream>,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    /// The close code, once the server has closed.
    pub close_code: Option<u16>,
}

impl Client {
    /// Opens a WebSocket with these request headers; the error is the HTTP status.
    pub async fn open(address: SocketAddr, headers: &[(&'static str, &str)]) -> Result<Self, u16> {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut request = format!("ws://{address}/conn")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        let opened = timeout(PATIENCE, client_async(request, tcp))
            .await
            .expect("an answer");
        match opened {
            Ok((ws, _)) => {
                let limits = Limits {
                    frame_bytes_max: 64 << 20,
                    ..Limits::after_login()
                };
                let mut decoder = Decoder::new(limits);
                decoder.set_version(Version::V1_2);
                Ok(Self {
                    ws,
                    decoder,
                    frames: VecDeque::new(),
                    close_code: None,
                })
            }
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("upgrade: {error}"),
        }
    }

    /// A logged-in 1.2 session without heart-beats.
    pub async fn login(address: SocketAddr, token: &str) -> Self {
        let mut client = Self::open(address, &[]).await.unwrap();
        let bearer = format!("Bearer {token}");
        client
            .send(
                FrameWriter::new(Command::Connect, Version::V1_2)
                    .header("accept-version", "1.2")
                    .header("Authorization", &bearer)
                    .end(),
            )
            .await;
        let connected = client.frame().await;
        assert_eq!(connected.command(), Command::Connected, "{connected:?}");
        client
    }

    /// Sends bytes as one text message.
    pub async fn send(&mut self, bytes: Bytes) {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        self.ws.send(Message::text(text)).await.unwrap();
    }

    /// Sends bytes as one binary message; a closed connection is no error.
    pub async fn send_binary(&mut self, bytes: Bytes) -> bool {
        self.ws.send(Message::Binary(bytes)).await.is_ok()
    }

    /// SUBSCRIBE and its receipt.
    pub async fn subscribe(&mut self, id: &str, destination: &str, more: &[(&str, &str)]) -> Frame {
        let mut frame = FrameWriter::new(Command::Subscribe, Version::V1_2)
            .header("id", id)
            .header("destination", destination)
            .header("receipt", id);
        for (name, value) in more {
            frame = frame.header(name, value);
        }
        self.send(frame.end()).await;
        self.until(|frame| {
            frame.command() == Command::Receipt && frame.header("receipt-id") == Some(id)
        })
        .await
    }

    /// A chat message with a receipt, not waited for.
    pub async fn say(&mut self, room: impl std::fmt::Display, text: &str, receipt: &str) {
        let body = serde_json::json!({ "message": text }).to_string();
        let frame = FrameWriter::new(Command::Send, Version::V1_2)
            .header("destination", &format!("/pub/{room}"))
            .header("receipt", receipt)
            .body(body.as_bytes());
        self.send(frame).await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Frame {
        self.next()
            .await
            .expect("a frame, not the end of the connection")
    }

    /// The next frame that the condition holds for; those before it are lost.
    pub async fn until(&mut self, mut wanted: impl FnMut(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.frame().await;
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// The next frame, or `None` once the server has closed.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let message = timeout(PATIENCE, self.ws.next())
                .await
                .expect("something in time");
            match message {
                Some(Ok(Message::Text(text))) => self.decoder.feed(text.into()),
                Some(Ok(Message::Binary(bytes))) => self.decoder.feed(bytes),
                Some(Ok(Message::Close(frame))) => {
                    self.close_code = frame.map(|frame| frame.code.into());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(_)) | None => return None,
            }
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                self.frames.push_back(frame);
            }
        }
    }

    /// Waits for the end; returns the frames before it.
    pub async fn end(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some(frame) = self.next().await {
            frames.push(frame);
        }
        frames
    }
}

/// The JSON of a frame's body.
pub fn json(frame: &Frame) -> serde_json::Value {
    serde_json::from_slice(frame.body()).unwrap()
}
