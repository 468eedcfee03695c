//! The page's STOMP client: stompjs as the front end sets it up, on the browser's cookies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Url;
use serde_json::{Value, json};
use stomp::{Command, Decoder, Frame, FrameWriter, Limits, Version};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::browser::{Browser, PATIENCE};
use super::record::Recorder;
use super::shape::check;
use super::shapes::{ALARM, MESSAGE};
use super::sites::{FRONT, Site};

/// What the page promises, and wishes.
const BEAT: Duration = Duration::from_secs(4);

type Outgoing = SplitSink<WebSocketStream<TcpStream>, Message>;

/// A connection that the server has answered CONNECT on.
pub(crate) struct Stomp {
    outgoing: Arc<Mutex<Outgoing>>,
    incoming: SplitStream<WebSocketStream<TcpStream>>,
    _beating: JoinSet<()>,
    decoder: Decoder,
    frames: VecDeque<Frame>,
    subscriptions: u32,
    recorder: Arc<Recorder>,
}

impl Stomp {
    /// `new WebSocket`, then CONNECT without credentials; the error is the ERROR frame.
    pub(crate) async fn connect(browser: &Browser, site: &Site) -> Result<Self, Frame> {
        let api: Url = site.api.parse().unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", api.port().unwrap()));
        let url = format!("{}/conn", site.api.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("origin", FRONT.parse().unwrap());
        let versions = "v12.stomp, v11.stomp, v10.stomp";
        headers.insert("sec-websocket-protocol", versions.parse().unwrap());
        if let Some(cookies) = browser.cookies_for(&api, true) {
            headers.insert("cookie", cookies.parse().unwrap());
        }
        let tcp = tcp.await.unwrap();
        let opened = timeout(PATIENCE, client_async(request, tcp)).await;
        let (ws, answer) = opened.expect("an answer").unwrap();
        let protocol = &answer.headers()["sec-websocket-protocol"];
        assert_eq!(protocol, "v12.stomp");
        if let Some(node) = answer.headers().get("x-chat-node") {
            let node = node.to_str().unwrap().to_owned();
            site.nodes.lock().unwrap().insert(node);
        }
        let mut decoder = Decoder::new(Limits::after_login());
        decoder.set_version(Version::V1_2);
        let (outgoing, incoming) = ws.split();
        let outgoing = Arc::new(Mutex::new(outgoing));
        let mut beating = JoinSet::new();
        beating.spawn(beat(Arc::clone(&outgoing)));
        let mut stomp = Self {
            outgoing,
            incoming,
            _beating: beating,
            decoder,
            frames: VecDeque::new(),
            subscriptions: 0,
            recorder: Arc::clone(&site.recorder),
        };
        let connect = FrameWriter::new(Command::Connect, Version::V1_2)
            .header("accept-version", "1.2,1.1,1.0")
            .header("heart-beat", &format!("{0},{0}", BEAT.as_millis()));
        stomp.send(connect.end()).await;
        let frame = stomp.next().await.expect("an answer to CONNECT");
        if frame.command() == Command::Error {
            return Err(frame);
        }
        assert_eq!(frame.command(), Command::Connected, "{frame:?}");
        assert_eq!(frame.header("version"), Some("1.2"));
        let beats = frame.header("heart-beat").unwrap().split_once(',').unwrap();
        let [outgoing, incoming] = [beats.0, beats.1].map(|ms| ms.parse::<u32>().unwrap());
        assert!(outgoing > 0, "the server promises to be heard");
        assert!(incoming > 0, "and wants to hear the page");
        Ok(stomp)
    }

    async fn send(&mut self, bytes: bytes::Bytes) {
        let mut decoder = Decoder::new(Limits::after_login());
        decoder.set_version(Version::V1_2);
        decoder.feed(bytes.clone());
        let frame = decoder.next_frame().unwrap().expect("a whole frame");
        self.recorder.add_frame(&frame);
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let mut outgoing = self.outgoing.lock().await;
        outgoing.send(Message::text(text)).await.unwrap();
    }

    /// With a receipt, for which the front end does not ask: what others say from then on comes, and
    /// the test has to know when.
    pub(crate) async fn subscribe(&mut self, destination: &str) {
        let id = self.ask_for(destination).await;
        let frame = self.next().await.expect("a receipt");
        let headers: Vec<_> = frame.headers().collect();
        assert_eq!(frame.header("receipt-id"), Some(id.as_str()), "{headers:?}");
    }

    /// The same, whatever is answered.
    pub(crate) async fn ask_for(&mut self, destination: &str) -> String {
        let id = format!("sub-{}", self.subscriptions);
        self.subscriptions += 1;
        let frame = FrameWriter::new(Command::Subscribe, Version::V1_2)
            .header("id", &id)
            .header("destination", destination)
            .header("receipt", &id);
        self.send(frame.end()).await;
        id
    }

    /// `publish` without a content type.
    pub(crate) async fn say(&mut self, room: u64, text: &str) {
        let body = json!({ "message": text }).to_string();
        let length = body.len().to_string();
        let frame = format!("SEND\ndestination:/pub/{room}\ncontent-length:{length}\n\n{body}\0");
        self.send(frame.into()).await;
    }

    /// The next message of a room, which must have the shape that the front end reads.
    pub(crate) async fn message(&mut self, room: u64) -> Value {
        let frame = self.next().await.expect("a message");
        let headers: Vec<_> = frame.headers().collect();
        assert_eq!(frame.command(), Command::Message, "{headers:?}");
        let destination = frame.header("destination");
        assert_eq!(destination, Some(format!("/sub/{room}").as_str()));
        let body: Value = serde_json::from_slice(frame.body()).unwrap();
        check("a message", &body, MESSAGE);
        assert_eq!(body["chatRoomId"], room);
        body
    }

    /// Says it until that is refused: the code. What is refused ends the connection.
    pub(crate) async fn say_until_refused(mut self, room: u64, text: &str) -> String {
        let mut again = interval(Duration::from_millis(50));
        let refused = async {
            loop {
                again.tick().await;
                self.say(room, text).await;
                let frame = self.next_frame().await.expect("an answer");
                if frame.command() == Command::Error {
                    return frame.header("code").unwrap_or_default().to_owned();
                }
            }
        };
        timeout(PATIENCE, refused).await.expect("a refusal")
    }

    /// The next alarm, of this state.
    pub(crate) async fn alarm(&mut self, state: &str, patience: Duration) -> Value {
        let frame = timeout(patience, self.next_frame()).await;
        let frame = frame.expect("an alarm in time").expect("an alarm");
        assert_eq!(frame.command(), Command::Message, "{frame:?}");
        let body: Value = serde_json::from_slice(frame.body()).unwrap();
        check("an alarm", &body, ALARM);
        assert_eq!(body["eventState"], state, "{body}");
        let destination = format!("/sub/alarm/{}", body["memberId"]);
        assert_eq!(frame.header("destination"), Some(destination.as_str()));
        body
    }

    /// The next frame; `None` when the server has closed. Heart-beats do not prolong the wait.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frame = timeout(PATIENCE, self.next_frame()).await;
        frame.expect("something in time")
    }

    async fn next_frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                self.recorder.add_frame(&frame);
                return Some(frame);
            }
            match self.incoming.next().await {
                Some(Ok(Message::Text(text))) => self.decoder.feed(text.into()),
                Some(Ok(Message::Binary(bytes))) => self.decoder.feed(bytes),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
            while let Some(frame) = self.decoder.next_frame().unwrap() {
                self.frames.push_back(frame);
            }
        }
    }
}

/// A line feed a little more often than was promised, for as long as there is a connection.
async fn beat(outgoing: Arc<Mutex<Outgoing>>) {
    let mut due = interval(BEAT * 3 / 4);
    // The first is due at once, before CONNECT.
    due.tick().await;
    loop {
        due.tick().await;
        if outgoing
            .lock()
            .await
            .send(Message::text("\n"))
            .await
            .is_err()
        {
            return;
        }
    }
}
