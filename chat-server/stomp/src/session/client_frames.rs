//! Handlers of the client's frames.

use super::acks::{ack_request, settle};
use super::headers::{missing, needed, present};
use super::output::{Login, NotSubscribed, Output, Send, Subscribe, Unsubscribe};
use super::subscriptions::{AckMode, Name};
use super::transactions::{Bound, Transactions};
use super::{Session, State};
use crate::decode::Decoder;
use crate::error::ProtocolError;
use crate::frame::{Command, Frame};
use crate::heart_beat::HeartBeat;
use crate::version::Version;

impl Session {
    pub(super) fn handle_frame(&mut self, frame: Frame) {
        let receipt = frame.receipt();
        let result = match (frame.command(), self.version) {
            (Command::Connect | Command::Stomp, None) => self.on_connect(frame),
            (Command::Connect | Command::Stomp, Some(_)) => Err(ProtocolError::AlreadyConnected),
            (_, None) => Err(ProtocolError::NotConnected),
            (_, Some(version)) => self.on_frame(frame, version),
        };
        if let Err(error) = result {
            self.fail(error, receipt);
        }
    }

    fn on_frame(&mut self, frame: Frame, version: Version) -> Result<(), ProtocolError> {
        match frame.command() {
            Command::Send => self.on_send(frame, version),
            Command::Subscribe => self.on_subscribe(frame, version),
            Command::Unsubscribe => self.on_unsubscribe(&frame, version),
            Command::Ack | Command::Nack => self.on_ack(&frame, version),
            Command::Begin => self.on_begin(&frame),
            Command::Commit => self.on_commit(&frame),
            Command::Abort => self.on_abort(&frame),
            Command::Disconnect => {
                self.on_disconnect(&frame);
                Ok(())
            }
            command @ (Command::Connect
            | Command::Stomp
            | Command::Connected
            | Command::Message
            | Command::Receipt
            | Command::Error) => Err(ProtocolError::NotAClientCommand { command }),
        }
    }

    fn on_connect(&mut self, frame: Frame) -> Result<(), ProtocolError> {
        let version = Version::negotiate(frame.header("accept-version"))
            .ok_or(ProtocolError::UnsupportedVersion)?;
        let theirs = match frame.header("heart-beat") {
            Some(value) if version > Version::V1_0 => {
                HeartBeat::parse(value).ok_or(ProtocolError::MalformedHeartBeat)?
            }
            _ => HeartBeat::default(),
        };
        self.version = Some(version);
        self.decoder.set_version(version);
        self.state = State::LoggingIn { theirs };
        self.outputs
            .push_back(Output::Login(Login { version, frame }));
        Ok(())
    }

    fn on_send(&mut self, frame: Frame, version: Version) -> Result<(), ProtocolError> {
        needed(&frame, "destination")?;
        // Only 1.2 says that a content-type must be a MIME type.
        let content_type = frame
            .header("content-type")
            .filter(|_| version == Version::V1_2);
        if content_type.is_some_and(|value| !is_mime_type(value)) {
            return Err(ProtocolError::MalformedContentType);
        }
        if let Some(id) = frame.header("transaction") {
            return self
                .transactions
                .bind(id, &frame, Bound::Send, &self.config);
        }
        let receipt = frame.receipt();
        self.outputs
            .push_back(Output::Send(Send { frame, receipt }));
        Ok(())
    }

    fn on_subscribe(&mut self, frame: Frame, version: Version) -> Result<(), ProtocolError> {
        needed(&frame, "destination")?;
        let name = subscription_name(&frame, version)?;
        let ack_mode = AckMode::parse(frame.header("ack"), version)?;
        let key = self
            .subscriptions
            .add(name, ack_mode, self.config.subscriptions_max)?;
        let receipt = frame.receipt();
        self.outputs.push_back(match key {
            Some(key) => Output::Subscribe(Subscribe {
                key,
                ack_mode,
                frame,
                receipt,
            }),
            None => Output::NotSubscribed(NotSubscribed {
                max: self.config.subscriptions_max,
                frame,
                receipt,
            }),
        });
        Ok(())
    }

    /// An unknown subscription is not an error: the client wants it gone.
    fn on_unsubscribe(&mut self, frame: &Frame, version: Version) -> Result<(), ProtocolError> {
        let name = subscription_name(frame, version)?;
        if let Some(key) = self.subscriptions.remove(name) {
            self.outputs
                .push_back(Output::Unsubscribe(Unsubscribe { key }));
        }
        self.confirm(frame.receipt());
        Ok(())
    }

    fn on_ack(&mut self, frame: &Frame, version: Version) -> Result<(), ProtocolError> {
        let request = ack_request(frame, version, &self.subscriptions)?;
        match frame.header("transaction") {
            None => {
                settle(&request, &mut self.subscriptions, &mut self.outputs);
                self.confirm(frame.receipt());
                Ok(())
            }
            Some(id) => {
                let bound = Bound::Ack(request);
                self.transactions.bind(id, frame, bound, &self.config)
            }
        }
    }

    fn on_begin(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        self.transactions
            .begin(needed(frame, "transaction")?, &self.config)?;
        self.confirm(frame.receipt());
        Ok(())
    }

    fn on_commit(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        let mut commit = self.transactions.end(needed(frame, "transaction")?)?;
        commit.receipt = frame.receipt();
        if commit.sends.is_empty() {
            self.confirm_commit(commit);
        } else {
            self.outputs.push_back(Output::Commit(commit));
        }
        Ok(())
    }

    /// The frames bound to it get no receipt, which would confirm that they were processed.
    fn on_abort(&mut self, frame: &Frame) -> Result<(), ProtocolError> {
        self.transactions.end(needed(frame, "transaction")?)?;
        self.confirm(frame.receipt());
        Ok(())
    }

    /// Nothing after it is read, and open transactions are aborted. Subscriptions stay: a COMMIT in
    /// flight still settles its ACKs.
    fn on_disconnect(&mut self, frame: &Frame) {
        self.state = State::Leaving;
        self.decoder = Decoder::new(self.config.before_login);
        self.timers.expect_silence();
        self.transactions = Transactions::default();
        let receipt = frame.receipt();
        self.outputs.push_back(Output::Disconnect { receipt });
    }
}

/// The name of a subscription: its id, which only 1.0 may omit.
fn subscription_name(frame: &Frame, version: Version) -> Result<Name<'_>, ProtocolError> {
    match present(frame, "id") {
        Some(id) => Ok(Name::Id(id)),
        None if version == Version::V1_0 => Ok(Name::Destination(needed(frame, "destination")?)),
        None => Err(missing(frame, "id")),
    }
}

/// `type/subtype` with optional parameters, as RFC 2045 §5.1 writes it.
fn is_mime_type(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim();
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte))
    };
    essence
        .split_once('/')
        .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}
