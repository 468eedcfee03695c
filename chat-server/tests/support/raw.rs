//! A WebSocket by hand: every byte that goes out is the test's, every frame that comes is shown.

use std::net::SocketAddr;

use stomp::{Command, Decoder, Frame, Limits, Version};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::PATIENCE;

/// First bytes of a whole message and of control frames (RFC 6455 §5.2).
pub const TEXT: u8 = 0x81;
/// See [`TEXT`].
pub const BINARY: u8 = 0x82;
/// See [`TEXT`].
pub const CLOSE: u8 = 0x88;
/// See [`TEXT`].
pub const PING: u8 = 0x89;
/// See [`TEXT`].
pub const PONG: u8 = 0x8A;

/// The key that frames are masked with; any will do.
const MASK: [u8; 4] = [0x1b, 0xad, 0xca, 0xfe];

/// One TCP connection.
#[derive(Debug)]
pub struct Raw {
    tcp: BufReader<TcpStream>,
}

/// What a server says to an upgrade.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
}

/// A WebSocket frame, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WsFrame {
    pub first: u8,
    pub payload: Vec<u8>,
}

/// How a session ended.
#[derive(Debug)]
pub struct Ending {
    /// The STOMP frames before the end.
    pub frames: Vec<Frame>,
    /// The code of the server's close frame.
    pub code: Option<u16>,
}

impl Raw {
    /// A TCP connection, nothing said on it.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// A connection that takes little in before it is read.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }

    fn over(tcp: TcpStream) -> Self {
        tcp.set_nodelay(true).unwrap();
        Self {
            tcp: BufReader::new(tcp),
        }
    }

    /// A WebSocket without a sub-protocol or credentials.
    pub async fn open(address: SocketAddr) -> Self {
        let (raw, answer) = Self::upgrade(address, &[]).await;
        assert_eq!(answer.status, 101, "{answer:?}");
        raw
    }

    /// Asks for an upgrade; `None` if the server takes no connection, or ends it without an answer.
    pub async fn try_upgrade(address: SocketAddr) -> Option<(Self, Answer)> {
        let mut raw = Self::over(TcpStream::connect(address).await.ok()?);
        raw.bytes(upgrade_request(address, "").as_bytes()).await;
        let answer = raw.answer().await?;
        Some((raw, answer))
    }

    /// Asks for an upgrade with these headers besides the necessary ones.
    pub async fn upgrade(address: SocketAddr, headers: &[(&str, &str)]) -> (Self, Answer) {
        let mut raw = Self::connect(address).await;
        let answer = raw.ask_upgrade(address, headers).await;
        (raw, answer)
    }

    /// The same on a connection that is there.
    pub async fn ask_upgrade(&mut self, address: SocketAddr, headers: &[(&str, &str)]) -> Answer {
        let more = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"));
        let request = upgrade_request(address, &more.collect::<String>());
        self.bytes(request.as_bytes()).await;
        self.answer().await.expect("an answer to the upgrade")
    }

    /// Writes bytes as they are; a peer that is gone is no error.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let written = timeout(PATIENCE, self.tcp.write_all(bytes)).await;
        drop(written.expect("the server to take bytes"));
    }

    /// Writes a WebSocket frame with a whole payload, masked as a client's must be.
    pub async fn ws(&mut self, first: u8, payload: &[u8]) {
        self.bytes(&masked(first, payload)).await;
    }

    /// A text message.
    pub async fn text(&mut self, text: &str) {
        self.ws(TEXT, text.as_bytes()).await;
    }

    /// The head of an HTTP answer; `None` if the connection ends instead.
    pub async fn answer(&mut self) -> Option<Answer> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(PATIENCE, self.tcp.read_line(&mut line)).await;
            if read.expect("an answer in time").ok()? == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let status = lines.first()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.iter().skip(1).filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Some(Answer {
            status,
            headers: headers.collect(),
        })
    }

    /// The next WebSocket frame; `None` at the end of the connection.
    pub async fn ws_frame(&mut self) -> Option<WsFrame> {
        timeout(PATIENCE, self.read_ws_frame())
            .await
            .expect("a WebSocket frame, or the end, in time")
    }

    async fn read_ws_frame(&mut self) -> Option<WsFrame> {
        let first = self.tcp.read_u8().await.ok()?;
        let length = self.tcp.read_u8().await.ok()?;
        let length = match length {
            126 => u64::from(self.tcp.read_u16().await.ok()?),
            127 => self.tcp.read_u64().await.ok()?,
            short => u64::from(short),
        };
        assert!(length < 64 << 20, "unmasked and of a sane length: {length}");
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.tcp.read_exact(&mut payload).await.ok()?;
        Some(WsFrame { first, payload })
    }

    /// The next STOMP frame; heart-beats, pings and pongs before it are passed over.
    pub async fn frame(&mut self) -> Frame {
        loop {
            let frame = self.ws_frame().await.expect("a STOMP frame, not the end");
            match frame.first {
                TEXT | BINARY if frame.payload == b"\n" => {}
                TEXT | BINARY => return frame.stomp(),
                PING | PONG => {}
                first => panic!("a frame of kind {first:#x}: {frame:?}"),
            }
        }
    }

    /// The next STOMP frame, which is of this kind.
    pub async fn expect(&mut self, command: Command) -> Frame {
        let frame = self.frame().await;
        assert_eq!(frame.command(), command, "{frame:?}");
        frame
    }

    /// All bytes up to the end of the connection; `None` if it was reset.
    pub async fn rest(&mut self) -> Option<Vec<u8>> {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.tcp.read_to_end(&mut rest)).await;
        read.expect("the end in time").ok().map(|_| rest)
    }

    /// Everything up to the server's close frame, which is answered; then the connection must end.
    pub async fn ending(&mut self) -> Ending {
        let mut frames = Vec::new();
        let mut code = None;
        while let Some(frame) = self.ws_frame().await {
            match frame.first {
                TEXT | BINARY if frame.payload == b"\n" => {}
                TEXT | BINARY => frames.push(frame.stomp()),
                CLOSE => {
                    code = frame.close_code();
                    self.ws(CLOSE, &frame.payload).await;
                }
                _ => {}
            }
        }
        Ending { frames, code }
    }
}

impl Answer {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

impl WsFrame {
    /// The one STOMP frame in a message.
    pub fn stomp(&self) -> Frame {
        let mut decoder = Decoder::new(Limits {
            frame_bytes_max: 64 << 20,
            ..Limits::after_login()
        });
        decoder.set_version(Version::V1_2);
        decoder.feed(self.payload.clone().into());
        let frame = decoder.next_frame().unwrap().expect("a whole STOMP frame");
        let second = decoder.next_frame().unwrap();
        assert!(second.is_none(), "one frame a message, not {second:?}");
        assert_eq!(decoder.buffered_bytes(), 0, "nothing behind it");
        frame
    }

    /// The code in a close frame.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk::<2>();
        code.map(|code| u16::from_be_bytes(*code))
    }
}

impl Ending {
    /// The ERROR that came last.
    pub fn error(&self) -> &Frame {
        let last = self.frames.last().expect("an ERROR before the end");
        assert_eq!(last.command(), Command::Error, "{last:?}");
        last
    }
}

/// The request for an upgrade; `more` are header lines.
pub fn upgrade_request(address: SocketAddr, more: &str) -> String {
    format!(
        "GET /conn HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A client's WebSocket frame.
pub fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    match payload.len() {
        short @ 0..126 => out.push(0x80 | u8::try_from(short).unwrap()),
        medium @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend(u16::try_from(medium).unwrap().to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend((long as u64).to_be_bytes());
        }
    }
    out.extend(MASK);
    let key = MASK.iter().cycle();
    out.extend(payload.iter().zip(key).map(|(byte, key)| byte ^ key));
    out
}
