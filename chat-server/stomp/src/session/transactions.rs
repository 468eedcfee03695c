//! Open transactions of one session. They exist only in memory: closing the session aborts them.

use bytes::Bytes;

use super::output::{AckRequest, Commit, Send};
use super::{NAME_BYTES_MAX, SessionConfig};
use crate::error::ProtocolError;
use crate::frame::{Frame, Receipt};

/// The request of a frame that is bound to a transaction.
#[derive(Debug)]
pub(super) enum Bound {
    Send,
    Ack(AckRequest),
}

#[derive(Debug)]
struct Transaction {
    id: Box<str>,
    frames: usize,
    bytes: usize,
    commit: Commit,
}

/// A list, as `transactions_max` is small.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
}

impl Transactions {
    pub(super) fn begin(&mut self, id: &str, config: &SessionConfig) -> Result<(), ProtocolError> {
        let max = config.transactions_max;
        if id.len() > NAME_BYTES_MAX {
            return Err(ProtocolError::NameTooLong {
                max: NAME_BYTES_MAX,
            });
        }
        if self.find(id).is_ok() {
            return Err(ProtocolError::DuplicateTransaction);
        }
        if self.open.len() >= max {
            return Err(ProtocolError::TooManyTransactions { max });
        }
        let commit = Commit {
            sends: Vec::new(),
            receipt: None,
            acks: Vec::new(),
            bound_receipts: Vec::new(),
        };
        self.open.push(Transaction {
            id: id.into(),
            frames: 0,
            bytes: 0,
            commit,
        });
        Ok(())
    }

    /// Defers the request of `frame`, and its receipt, until the COMMIT of `id`.
    pub(super) fn bind(
        &mut self,
        id: &str,
        frame: &Frame,
        bound: Bound,
        config: &SessionConfig,
    ) -> Result<(), ProtocolError> {
        let at = self.find(id)?;
        let transaction = self
            .open
            .get_mut(at)
            .ok_or(ProtocolError::UnknownTransaction)?;
        let bytes = frame
            .headers()
            .map(|(name, value)| name.len().saturating_add(value.len()));
        let bytes = bytes.sum::<usize>().saturating_add(frame.body().len());
        transaction.frames = transaction.frames.saturating_add(1);
        transaction.bytes = transaction.bytes.saturating_add(bytes);
        if transaction.frames > config.transaction_frames_max
            || transaction.bytes > config.transaction_bytes_max
        {
            return Err(ProtocolError::TransactionTooLarge);
        }
        let commit = &mut transaction.commit;
        commit.bound_receipts.extend(frame.receipt().map(detached));
        match bound {
            Bound::Send => commit.sends.push(Send {
                frame: detached_frame(frame),
                receipt: None,
            }),
            Bound::Ack(request) => commit.acks.push(request),
        }
        Ok(())
    }

    /// Removes the transaction, for COMMIT and ABORT alike.
    pub(super) fn end(&mut self, id: &str) -> Result<Commit, ProtocolError> {
        let at = self.find(id)?;
        Ok(self.open.remove(at).commit)
    }

    fn find(&self, id: &str) -> Result<usize, ProtocolError> {
        let at = self
            .open
            .iter()
            .position(|transaction| *transaction.id == *id);
        at.ok_or(ProtocolError::UnknownTransaction)
    }
}

/// A copy: a client may leave a transaction open for ever, and a small frame must not keep the
/// large chunk alive that contained it.
fn detached_frame(frame: &Frame) -> Frame {
    let spans = frame.headers.iter();
    let text_end = spans.map(|spans| spans.value.end).max().unwrap_or_default();
    let text = frame.text.get(..text_end as usize).unwrap_or_default();
    Frame {
        command: frame.command,
        text: Bytes::copy_from_slice(text),
        headers: frame.headers.clone(),
        body: Bytes::copy_from_slice(&frame.body),
    }
}

fn detached(receipt: Receipt) -> Receipt {
    Receipt(Bytes::copy_from_slice(&receipt.0))
}
