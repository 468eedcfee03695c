//! One STOMP server session, as plainly as it can be written: what it should say, not how.
//!
//! It is fed whole frames, not bytes, and speaks in the lines of `support`. Times are milliseconds
//! since the session began. Nothing here is fast, bounded or shared with the implementation.

use std::collections::{BTreeMap, VecDeque};

use stomp::Version;

use super::inbound::{Fault, Inbound, broken, too_large};
use super::support::visible;

pub(super) const LOGIN_MS: u64 = 10_000;
pub(super) const CAN_SEND_MS: u64 = 1_000;
pub(super) const WANTS_MS: u64 = 2_000;
pub(super) const SUBSCRIPTIONS_MAX: usize = 3;
pub(super) const UNACKNOWLEDGED_MAX: usize = 3;
pub(super) const TRANSACTIONS_MAX: usize = 2;
pub(super) const TRANSACTION_FRAMES_MAX: usize = 4;
pub(super) const TRANSACTION_BYTES_MAX: usize = 200;

/// Requests that the application has to answer, in their order.
#[derive(Debug)]
pub(super) enum Request {
    Login,
    Confirm(Option<String>),
    Commit(Transaction, Option<String>),
    Finish(Option<String>),
}

#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    pub(super) sends: Vec<String>,
    pub(super) acks: Vec<Ack>,
    pub(super) receipts: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Ack {
    pub(super) nack: bool,
    pub(super) subscription: usize,
    pub(super) message: u64,
}

/// Ids sort before destinations, which name a subscription only in 1.0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    Id(String),
    Destination(String),
}

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) number: usize,
    pub(super) mode: String,
    /// Messages that wait for an ACK, and whether there was a NACK already.
    pub(super) waiting: BTreeMap<u64, bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Greeting,
    /// The heart-beats that the client can send and wants.
    LoggingIn(u64, u64),
    Open,
    Leaving,
    Closed,
}

/// A timer that restarts whenever bytes are sent or received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timer {
    pub(super) every: u64,
    pub(super) since: u64,
}

#[derive(Debug)]
pub(super) struct Model {
    pub(super) now: u64,
    pub(super) state: State,
    pub(super) version: Option<Version>,
    pub(super) received: VecDeque<Inbound>,
    pub(super) said: Vec<String>,
    pub(super) requests: Vec<Request>,
    pub(super) subscriptions: BTreeMap<Name, Subscription>,
    pub(super) subscribed: usize,
    pub(super) transactions: BTreeMap<String, Transaction>,
    pub(super) beat: Option<Timer>,
    pub(super) silence: Option<Timer>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            now: 0,
            state: State::Greeting,
            version: None,
            received: VecDeque::new(),
            said: Vec::new(),
            requests: Vec::new(),
            subscriptions: BTreeMap::new(),
            subscribed: 0,
            transactions: BTreeMap::new(),
            beat: None,
            silence: None,
        }
    }

    // ---- what happens -------------------------------------------------------------------------

    pub(super) fn on_bytes(&mut self) {
        if let Some(silence) = &mut self.silence {
            silence.since = self.now;
        }
    }

    pub(super) fn on_inbound(&mut self, inbound: Inbound) {
        if !matches!(self.state, State::Leaving | State::Closed) {
            self.received.push_back(inbound);
        }
    }

    pub(super) fn on_sent(&mut self) {
        if let Some(beat) = &mut self.beat {
            beat.since = self.now;
        }
    }

    pub(super) fn on_timeout(&mut self) {
        let is_over = |timer: Option<Timer>| timer.is_some_and(|t| t.since + t.every <= self.now);
        match self.state {
            State::Greeting if self.now >= LOGIN_MS => {
                let mut fault = broken("login took too long");
                fault.close = 1008;
                self.fail(fault, None);
            }
            State::LoggingIn(..) if self.now >= LOGIN_MS => {
                let text = "the login could not be decided on in time, try again".into();
                let (code, close) = (1010, 1013);
                self.fail(Fault { text, code, close }, None);
            }
            State::Open | State::Leaving if is_over(self.silence) => {
                self.fail(broken("heart-beat missed"), None);
            }
            State::Open | State::Leaving if is_over(self.beat) => {
                self.on_sent();
                if !self.said.iter().any(|line| is_written(line)) {
                    self.say("beat");
                }
            }
            State::Greeting
            | State::LoggingIn(..)
            | State::Open
            | State::Leaving
            | State::Closed => {}
        }
    }

    pub(super) fn on_message_too_large(&mut self) {
        if self.state != State::Leaving {
            self.fail(too_large("message too large"), None);
        }
    }

    pub(super) fn on_refused(&mut self) {
        let text = "Authentication failed".into();
        let (code, close) = (1001, 1008);
        self.fail(Fault { text, code, close }, None);
    }

    pub(super) fn on_delivered(&mut self, number: usize, message: u64) {
        let subscription = self.subscription(number);
        if let Some(subscription) = subscription.filter(|known| known.mode != "auto") {
            subscription.waiting.entry(message).or_insert(false);
        }
    }

    pub(super) fn on_answer(&mut self, request: Request) {
        match request {
            Request::Login => self.accept(),
            Request::Confirm(receipt) => self.confirm(receipt),
            Request::Commit(transaction, receipt) => self.confirm_commit(transaction, receipt),
            Request::Finish(receipt) => {
                self.confirm(receipt);
                self.close(1000, "");
            }
        }
    }

    /// Everything it says until it needs something new.
    pub(super) fn poll(&mut self) -> Vec<String> {
        while matches!(self.state, State::Greeting | State::Open) {
            match self.received.pop_front() {
                Some(Inbound::Frame(frame)) => {
                    if let Err(fault) = self.on_frame(&frame) {
                        self.fail(fault, frame.receipt());
                    }
                }
                Some(Inbound::Broken(_, text)) => self.fail(broken(text), None),
                None => break,
            }
        }
        std::mem::take(&mut self.said)
    }

    /// When the timer has to ring.
    pub(super) fn due(&self) -> Option<u64> {
        match self.state {
            State::Greeting | State::LoggingIn(..) => Some(LOGIN_MS),
            State::Open | State::Leaving => {
                let timers = [self.beat, self.silence].into_iter().flatten();
                timers.map(|timer| timer.since + timer.every).min()
            }
            State::Closed => None,
        }
    }

    /// How many more messages the subscription may get.
    pub(super) fn window(&mut self, number: usize) -> Option<usize> {
        match self.subscription(number) {
            Some(subscription) if subscription.mode == "auto" => None,
            Some(known) => Some(UNACKNOWLEDGED_MAX.saturating_sub(known.waiting.len())),
            None => Some(0),
        }
    }

    // ---- what it says -------------------------------------------------------------------------

    pub(super) fn subscription(&mut self, number: usize) -> Option<&mut Subscription> {
        self.subscriptions
            .values_mut()
            .find(|known| known.number == number)
    }

    pub(super) fn say(&mut self, line: impl Into<String>) {
        if self.state != State::Closed {
            self.said.push(line.into());
        }
    }

    pub(super) fn ask(
        &mut self,
        line: &str,
        receipt: Option<String>,
        request: impl FnOnce(Option<String>) -> Request,
    ) {
        let named = receipt
            .as_deref()
            .map(|receipt| format!(" receipt:{}", visible(receipt)));
        self.say(format!("{line}{}", named.unwrap_or_default()));
        self.requests.push(request(receipt));
    }

    pub(super) fn confirm(&mut self, receipt: Option<String>) {
        if let Some(receipt) = receipt {
            self.say(format!("RECEIPT receipt-id:{}", visible(&receipt)));
        }
    }

    pub(super) fn fail(&mut self, fault: Fault, receipt: Option<String>) {
        let Fault { text, code, close } = fault;
        let mut line = format!("ERROR message:{text} code:{code}");
        if let Some(receipt) = receipt {
            line += &format!(" receipt-id:{}", visible(&receipt));
        }
        if text.starts_with("supported versions") {
            line += " version:1.0,1.1,1.2";
        }
        self.say(line);
        self.close(close, &text);
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.say(format!("close {code} {reason}"));
        self.state = State::Closed;
        self.received.clear();
        self.subscriptions.clear();
        self.transactions.clear();
    }
}

/// Whether a line goes to the client.
fn is_written(line: &str) -> bool {
    line == "beat" || line.starts_with(|first: char| first.is_ascii_uppercase())
}
