//! Arbitrary bytes through a session, with an application that answers in various ways.
//!
//! The first byte says how the application behaves (see [`Application`]), the second how the rest
//! is split and how fast time goes. Run by the fuzz target and, over the committed seeds, by a
//! test.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stomp::{
    AckMode, CloseCode, Command, Decoder, HeartBeat, Limits, Output, Receipt, Refusal, Session,
    SessionConfig, SubscriptionKey, Version,
};

const NARROW: Limits = Limits {
    command_bytes_max: 12,
    headers_max: 8,
    header_line_bytes_max: 80,
    frame_bytes_max: 400,
    total_bytes_max: Some(600),
};

/// What the other side of the session does, and what it has seen.
struct Application {
    /// Bit 0: refuses logins. Bit 1: decides on them only after the next portion. Bit 2: confirms
    /// late. Bit 3: delivers a message on each subscription after every portion. Bit 4: closes at
    /// the end. Bit 5: the transport refuses a message at the end.
    choice: u8,
    now: Instant,
    login_waits: bool,
    unconfirmed: Vec<Option<Receipt>>,
    subscriptions: BTreeMap<SubscriptionKey, AckMode>,
    delivered: u64,
    frames_sent: Vec<Command>,
    closed: bool,
}

/// No output after Close, well-formed frames only, in an order that makes sense.
pub(crate) fn session(data: &[u8], start: Instant) {
    let [choice, pace, stream @ ..] = data else {
        return;
    };
    let mut session = Session::new(Arc::new(config()), start);
    let mut application = Application {
        choice: *choice,
        now: start,
        login_waits: false,
        unconfirmed: Vec::new(),
        subscriptions: BTreeMap::new(),
        delivered: 0,
        frames_sent: Vec::new(),
        closed: false,
    };
    let portion = usize::from(pace & 31) * 4 + 1;
    let tick = Duration::from_millis(u64::from(pace >> 5) * 40);
    for part in stream.chunks(portion) {
        application.late(&mut session);
        session.handle_input(Bytes::copy_from_slice(part), application.now);
        let held = session.buffered_bytes();
        assert!(
            held <= NARROW.frame_bytes_max.max(600) + part.len(),
            "holds {held} bytes"
        );
        application.poll(&mut session);
        application.pass(tick, &mut session);
    }
    application.late(&mut session);
    application.poll(&mut session);
    application.end(&mut session);
    let frames = stream.iter().filter(|byte| **byte == 0).count();
    let receipts = application.frames_sent.iter();
    let receipts = receipts
        .filter(|command| **command == Command::Receipt)
        .count();
    assert!(
        receipts <= frames,
        "{receipts} receipts for {frames} frames"
    );
}

fn config() -> SessionConfig {
    SessionConfig {
        before_login: NARROW,
        after_login: Limits {
            total_bytes_max: None,
            ..NARROW
        },
        heart_beat: HeartBeat {
            can_send_ms: 100,
            wants_ms: 200,
        },
        login_timeout: Duration::from_millis(500),
        subscriptions_max: 3,
        unacknowledged_max: 4,
        transactions_max: 2,
        transaction_frames_max: 3,
        transaction_bytes_max: 300,
        ..SessionConfig::default()
    }
}

impl Application {
    fn has(&self, bit: u8) -> bool {
        self.choice & (1 << bit) != 0
    }

    fn poll(&mut self, session: &mut Session) {
        while let Some(output) = session.poll_output() {
            assert!(!self.closed, "{output:?} after Close");
            self.on_output(output, session);
        }
        assert_eq!(session.is_closed(), self.closed);
        assert!(!(self.closed && session.is_open()));
        if self.closed {
            assert_eq!(session.poll_timeout(), None);
            assert_eq!(session.buffered_bytes(), 0);
        }
        for (key, ack_mode) in &self.subscriptions {
            let window = session.delivery_window(*key);
            if self.closed {
                assert_eq!(window, Some(0));
            } else if *ack_mode == AckMode::Auto {
                assert_eq!(window, None);
            } else {
                assert!(window.is_some_and(|window| window <= 4));
            }
        }
    }

    fn on_output(&mut self, output: Output, session: &mut Session) {
        let failed = self.frames_sent.last() == Some(&Command::Error);
        let is_close = matches!(output, Output::Close { .. });
        assert!(!failed || is_close, "{output:?} after ERROR");
        match output {
            Output::Transmit(bytes) => self.on_transmit(&bytes, session.version()),
            Output::Login(login) => {
                assert_eq!(session.version(), Some(login.version));
                assert!(self.frames_sent.is_empty() && !self.login_waits);
                self.login_waits = true;
                if !self.has(1) {
                    self.decide(session);
                }
            }
            Output::Send(send) => {
                assert!(!send.destination().is_empty());
                self.confirm(send.receipt, session);
            }
            Output::Subscribe(subscribe) => {
                assert!(!subscribe.destination().is_empty());
                let newest = self.subscriptions.keys().next_back();
                assert!(newest.is_none_or(|newest| *newest < subscribe.key));
                self.subscriptions.insert(subscribe.key, subscribe.ack_mode);
                self.confirm(subscribe.receipt, session);
            }
            Output::NotSubscribed(refused) => {
                assert_eq!(self.subscriptions.len(), refused.max);
                self.confirm(refused.receipt, session);
            }
            Output::Unsubscribe(unsubscribe) => {
                assert!(self.subscriptions.remove(&unsubscribe.key).is_some());
            }
            Output::Commit(commit) => {
                assert!(!commit.sends.is_empty());
                assert!(commit.sends.iter().all(|send| send.receipt.is_none()));
                session.confirm_commit(commit);
            }
            Output::Acknowledged { key, message_id }
            | Output::Redeliver { key, message_id }
            | Output::Rejected { key, message_id } => {
                assert!((1..=self.delivered).contains(&message_id));
                let ack_mode = self.subscriptions.get(&key);
                assert!(ack_mode.is_some_and(|ack_mode| *ack_mode != AckMode::Auto));
            }
            Output::Disconnect { receipt } => {
                self.late(session);
                session.finish(receipt);
            }
            Output::Close { reason, .. } => {
                assert!(reason.len() <= 123, "{reason}");
                self.closed = true;
            }
        }
    }

    fn on_transmit(&mut self, bytes: &Bytes, version: Option<Version>) {
        if bytes == "\n" {
            assert_eq!(self.frames_sent.first(), Some(&Command::Connected));
            return;
        }
        assert!(std::str::from_utf8(bytes).is_ok(), "{bytes:?}");
        let mut decoder = Decoder::new(Limits::after_login());
        decoder.set_version(version.unwrap_or(Version::V1_0));
        decoder.feed(bytes.clone());
        let frame = decoder.next_frame().expect("what we write is valid");
        let frame = frame.expect("what we write is whole");
        assert_eq!(decoder.buffered_bytes(), 0, "one frame at a time");
        let command = frame.command();
        let needed = [
            (Command::Connected, "version"),
            (Command::Receipt, "receipt-id"),
            (Command::Error, "message"),
        ];
        let needed = needed.iter().find(|(written, _)| *written == command);
        assert!(
            needed.is_some_and(|(_, header)| frame.header(header).is_some()),
            "{frame:?}"
        );
        let is_first = self.frames_sent.is_empty();
        assert!(is_first || command != Command::Connected, "CONNECTED twice");
        assert!(
            !is_first || command != Command::Receipt,
            "RECEIPT before CONNECTED"
        );
        self.frames_sent.push(command);
    }

    fn decide(&mut self, session: &mut Session) {
        self.login_waits = false;
        if self.has(0) {
            session.refuse(Refusal {
                code: 1_002,
                message: Cow::Borrowed(stomp::AUTHENTICATION_FAILED),
                receipt: None,
                close: CloseCode::POLICY,
            });
        } else {
            session.accept_login("s:1", "me\\", self.now);
        }
    }

    fn confirm(&mut self, receipt: Option<Receipt>, session: &mut Session) {
        if self.has(2) {
            self.unconfirmed.push(receipt);
        } else {
            session.confirm(receipt);
        }
    }

    /// What was put off.
    fn late(&mut self, session: &mut Session) {
        if self.login_waits {
            self.decide(session);
        }
        for receipt in self.unconfirmed.drain(..) {
            session.confirm(receipt);
        }
        if self.has(3) {
            self.delivered += 1;
            for key in self.subscriptions.keys() {
                if session.delivery_window(*key) != Some(0) {
                    session.handle_delivered(*key, self.delivered);
                }
            }
        }
    }

    fn pass(&mut self, time: Duration, session: &mut Session) {
        self.now += time;
        if session.poll_timeout().is_some_and(|due| due <= self.now) {
            session.handle_timeout(self.now);
            self.poll(session);
        }
    }

    fn end(&mut self, session: &mut Session) {
        if self.has(5) {
            session.handle_message_too_large();
        }
        if self.has(4) {
            session.close(CloseCode::NORMAL, "");
        }
        self.poll(session);
        for _ in 0..20 {
            self.pass(Duration::from_millis(80), session);
        }
        session.close(CloseCode::NORMAL, "");
        self.poll(session);
        assert!(self.closed);
        // Nothing wakes it up again.
        session.handle_input(Bytes::from_static(b"CONNECT\n\n\0\n\0"), self.now);
        session.handle_timeout(self.now);
        session.handle_message_too_large();
        session.accept_login("s", "u", self.now);
        session.finish(None);
        self.poll(session);
    }
}
