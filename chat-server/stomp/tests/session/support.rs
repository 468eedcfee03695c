//! One end of a connection for tests: raw bytes in, outputs out as lines that can be compared.
//!
//! What the session writes is read by a parser of its own, strict where clients are not, so that
//! a fault of the codec cannot hide one of the session.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::{
    AckMode, CloseCode, Output, Receipt, Refusal, Session, SessionConfig, SubscriptionKey, Version,
};

/// The one instant from which tests count.
#[expect(
    clippy::disallowed_methods,
    reason = "an Instant can be had in no other way"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

/// What the application does with a request of the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Application {
    /// Carries it out and confirms it at once.
    Answers,
    /// Leaves it in [`Peer::waiting`].
    Waits,
}

/// A session, its clock and its application.
pub(crate) struct Peer {
    pub(crate) session: Session,
    pub(crate) now: Instant,
    pub(crate) application: Application,
    /// What the application has not answered, oldest first.
    pub(crate) waiting: VecDeque<Output>,
    /// Lines name a subscription by `#` and its index here.
    pub(crate) keys: Vec<SubscriptionKey>,
}

impl Peer {
    pub(crate) fn new(config: SessionConfig, application: Application) -> Self {
        let now = epoch();
        Self {
            session: Session::new(Arc::new(config), now),
            now,
            application,
            waiting: VecDeque::new(),
            keys: Vec::new(),
        }
    }

    /// A session of default settings whose login was accepted.
    pub(crate) fn connected(version: Version) -> Self {
        Self::connected_with(SessionConfig::default(), version)
    }

    pub(crate) fn connected_with(config: SessionConfig, version: Version) -> Self {
        let mut peer = Self::new(config, Application::Answers);
        peer.receive(format!("CONNECT\naccept-version:{version}\n\n\0"));
        assert!(peer.session.is_open());
        peer
    }

    /// Bytes arrive; says what comes of it.
    pub(crate) fn receive(&mut self, bytes: impl Into<Vec<u8>>) -> Vec<String> {
        self.session
            .handle_input(Bytes::from(bytes.into()), self.now);
        self.outputs()
    }

    /// Time passes and the timer rings.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.session.handle_timeout(self.now);
        self.outputs()
    }

    pub(crate) fn pass_ms(&mut self, ms: u64) -> Vec<String> {
        self.pass(Duration::from_millis(ms))
    }

    /// How long until the session wants to be woken.
    pub(crate) fn due(&self) -> Option<Duration> {
        let due = self.session.poll_timeout()?;
        Some(due.saturating_duration_since(self.now))
    }

    pub(crate) fn due_ms(&self) -> Option<u128> {
        self.due().map(|due| due.as_millis())
    }

    /// A message goes out on a subscription.
    pub(crate) fn deliver(&mut self, subscription: usize, message_id: u64) {
        let key = self.keys[subscription];
        self.session.handle_delivered(key, message_id);
    }

    pub(crate) fn window(&self, subscription: usize) -> Option<usize> {
        self.session.delivery_window(self.keys[subscription])
    }

    /// Everything the session wants done now.
    pub(crate) fn outputs(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(output) = self.session.poll_output() {
            if let Output::Subscribe(subscribe) = &output {
                self.keys.push(subscribe.key);
            }
            lines.push(self.line(&output));
            if is_request(&output) {
                self.waiting.push_back(output);
            }
            if self.application == Application::Answers {
                self.answer_all();
            }
        }
        lines
    }

    pub(crate) fn answer_all(&mut self) {
        while let Some(output) = self.waiting.pop_front() {
            answer(&mut self.session, output, self.now);
        }
    }

    fn line(&self, output: &Output) -> String {
        let name = |key: &SubscriptionKey| {
            let place = self.keys.iter().position(|known| known == key);
            format!("#{}", place.expect("a key comes from a Subscribe"))
        };
        let version = self.session.version().unwrap_or(Version::V1_0);
        match output {
            Output::Transmit(bytes) if bytes[..] == *b"\n" => "beat".into(),
            Output::Transmit(bytes) => Written::parse(bytes, version).line(),
            Output::Login(login) => format!("login {}", login.version),
            Output::Send(send) => {
                let receipt = receipt_of(send.receipt.as_ref());
                format!("{}{receipt}", line_of_send(send))
            }
            Output::Subscribe(subscribe) => format!(
                "subscribe {} {} {}{}",
                name(&subscribe.key),
                subscribe.destination(),
                mode(subscribe.ack_mode),
                receipt_of(subscribe.receipt.as_ref())
            ),
            Output::NotSubscribed(refused) => format!(
                "not subscribed, {} at most{}",
                refused.max,
                receipt_of(refused.receipt.as_ref())
            ),
            Output::Unsubscribe(unsubscribe) => format!("unsubscribe {}", name(&unsubscribe.key)),
            Output::Commit(commit) => {
                let sends: Vec<_> = commit.sends.iter().map(line_of_send).collect();
                let receipt = receipt_of(commit.receipt.as_ref());
                format!("commit [{}]{receipt}", sends.join(", "))
            }
            Output::Acknowledged { key, message_id } => {
                format!("acknowledged {} {message_id}", name(key))
            }
            Output::Redeliver { key, message_id } => {
                format!("redeliver {} {message_id}", name(key))
            }
            Output::Rejected { key, message_id } => format!("rejected {} {message_id}", name(key)),
            Output::Disconnect { receipt } => format!("disconnect{}", receipt_of(receipt.as_ref())),
            Output::Close { code, reason } => format!("close {} {reason}", code.0),
        }
    }
}

/// Whether the application has to answer it.
fn is_request(output: &Output) -> bool {
    matches!(
        output,
        Output::Login(_)
            | Output::Send(_)
            | Output::Subscribe(_)
            | Output::Commit(_)
            | Output::Disconnect { .. }
    )
}

/// Says yes to a request.
pub(crate) fn answer(session: &mut Session, request: Output, now: Instant) {
    match request {
        Output::Login(_) => session.accept_login("s1", "7", now),
        Output::Send(send) => session.confirm(send.receipt),
        Output::Subscribe(subscribe) => session.confirm(subscribe.receipt),
        Output::Commit(commit) => session.confirm_commit(commit),
        Output::Disconnect { receipt } => session.finish(receipt),
        Output::Transmit(_)
        | Output::NotSubscribed(_)
        | Output::Unsubscribe(_)
        | Output::Acknowledged { .. }
        | Output::Redeliver { .. }
        | Output::Rejected { .. }
        | Output::Close { .. } => panic!("{request:?} is no request"),
    }
}

/// The refusal of a login whose token is bad.
pub(crate) fn authentication_failed() -> Refusal {
    Refusal {
        code: 1001,
        message: stomp::AUTHENTICATION_FAILED.into(),
        receipt: None,
        close: CloseCode::POLICY,
    }
}

/// The lines of a broken rule: its ERROR, for a frame that had no receipt, and the close.
pub(crate) fn fault(text: &str) -> Vec<String> {
    vec![
        format!("ERROR message:{text} code:1006"),
        format!("close 1002 {text}"),
    ]
}

/// The same, for a frame with `receipt:r`.
pub(crate) fn fault_of_r(text: &str) -> Vec<String> {
    vec![
        format!("ERROR message:{text} code:1006 receipt-id:r"),
        format!("close 1002 {text}"),
    ]
}

/// The lines of a broken limit, for a frame without a receipt.
pub(crate) fn excess(text: &str) -> Vec<String> {
    vec![
        format!("ERROR message:{text} code:1008"),
        format!("close 1009 {text}"),
    ]
}

fn line_of_send(send: &stomp::Send) -> String {
    let body = String::from_utf8_lossy(send.frame.body());
    format!("send {} {body}", send.destination())
}

fn mode(mode: AckMode) -> &'static str {
    match mode {
        AckMode::Auto => "auto",
        AckMode::Client => "client",
        AckMode::ClientIndividual => "client-individual",
    }
}

fn receipt_of(receipt: Option<&Receipt>) -> String {
    receipt.map_or_else(String::new, |receipt| {
        format!(" receipt:{}", visible(receipt.as_str()))
    })
}

/// A frame as a strict client reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) command: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Written {
    /// Reads exactly one frame; anything before, within or after it that a client could take for
    /// something else is a failure.
    pub(crate) fn parse(bytes: &[u8], version: Version) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n");
        let end = end.unwrap_or_else(|| panic!("no end of the head: {bytes:?}"));
        let head = std::str::from_utf8(&bytes[..end]).expect("a head is UTF-8");
        let mut lines = head.split('\n');
        let command = lines.next().unwrap().to_owned();
        // In 1.1 a CR is a character like any other.
        let control = |c: char| c == '\0' || (c == '\r' && version != Version::V1_1);
        assert!(!head.contains(control), "{head:?}");
        let raw = version == Version::V1_0 || command == "CONNECTED";
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("a header has a colon");
            assert!(raw || !value.contains(':'), "raw colon in {line:?}");
            let read = |text: &str| if raw { text.into() } else { unescape(text) };
            (read(name), read(value))
        };
        let headers: Vec<(String, String)> = lines.map(header).collect();
        let (last, body) = bytes[end + 2..].split_last().expect("a frame ends");
        assert_eq!(*last, 0, "{bytes:?}");
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().unwrap());
        assert_eq!(body.len(), length, "{bytes:?}");
        Self {
            command,
            headers,
            body: body.to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Command and headers. What every ERROR has is checked and left out.
    pub(crate) fn line(&self) -> String {
        let mut line = self.command.clone();
        let error = self.command == "ERROR";
        if error {
            assert_eq!(self.header("content-type"), Some("text/plain"));
            assert_eq!(self.header("message").map(str::as_bytes), Some(&*self.body));
        } else {
            assert!(self.body.is_empty(), "{self:?}");
        }
        for (name, value) in &self.headers {
            if !(error && ["content-type", "content-length"].contains(&name.as_str())) {
                write!(line, " {name}:{}", visible(value)).unwrap();
            }
        }
        line
    }
}

/// A value that fits into one line.
pub(crate) fn visible(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    text.replace('\r', "\\r").replace('\0', "\\0")
}

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        plain.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('c') => ':',
                Some('r') => '\r',
                Some('\\') => '\\',
                other => panic!("undefined escape {other:?} in {text:?}"),
            },
            c => c,
        });
    }
    plain
}
