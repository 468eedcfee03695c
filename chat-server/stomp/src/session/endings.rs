//! Endings of a session: the ERROR frame, the close, and the state after them.

use std::borrow::Cow;

use super::output::Output;
use super::subscriptions::Subscriptions;
use super::transactions::Transactions;
use super::{Session, State};
use crate::decode::Decoder;
use crate::encode::FrameWriter;
use crate::error::{CloseCode, ProtocolError, Refusal};
use crate::frame::{Command, Receipt};
use crate::version::SUPPORTED_VERSIONS;

impl Session {
    pub(super) fn fail(&mut self, error: ProtocolError, receipt: Option<Receipt>) {
        let version = [("version", SUPPORTED_VERSIONS)];
        let unsupported = error == ProtocolError::UnsupportedVersion;
        let headers = if unsupported { version.as_slice() } else { &[] };
        self.refuse_with(error.refusal(receipt), headers);
    }

    pub(super) fn refuse_with(&mut self, refusal: Refusal, headers: &[(&str, &str)]) {
        if self.state == State::Closed {
            return;
        }
        let receipt_id = refusal.receipt.as_ref().map(Receipt::as_str);
        let mut frame = FrameWriter::new(Command::Error, self.written_version())
            .header("message", &refusal.message)
            .header("code", &refusal.code.to_string())
            .optional("receipt-id", receipt_id)
            .header("content-type", "text/plain");
        for (name, value) in headers {
            frame = frame.header(name, value);
        }
        self.outputs
            .push_back(Output::Transmit(frame.body(refusal.message.as_bytes())));
        self.end(refusal.close, refusal.message);
    }

    /// The last output. Open transactions are aborted; later input is not read.
    pub(super) fn end(&mut self, code: CloseCode, reason: Cow<'static, str>) {
        self.outputs.push_back(Output::Close { code, reason });
        self.state = State::Closed;
        self.decoder = Decoder::new(self.config.before_login);
        self.subscriptions = Subscriptions::default();
        self.transactions = Transactions::default();
    }
}
