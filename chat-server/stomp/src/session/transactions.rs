//! The open transactions of one session. They live nowhere else: closing the session aborts them.

use super::SessionConfig;
use super::acks::AckRequest;
use super::output::{Commit, Send};
use crate::error::ProtocolError;
use crate::frame::{Frame, Receipt};

/// What a transaction holds back until its COMMIT.
#[derive(Debug)]
pub(super) enum Bound {
    Send(Send),
    Ack(AckRequest),
}

#[derive(Debug)]
struct Transaction {
    id: Box<str>,
    frames: usize,
    bytes: usize,
    commit: Commit,
}

/// A list: `transactions_max` is small.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
}

impl Transactions {
    pub(super) fn begin(&mut self, id: &str, config: &SessionConfig) -> Result<(), ProtocolError> {
        let max = config.transactions_max;
        if self.find(id).is_ok() {
            return Err(ProtocolError::DuplicateTransaction);
        }
        if self.open.len() >= max {
            return Err(ProtocolError::TooManyTransactions { max });
        }
        let commit = Commit {
            sends: Vec::new(),
            acks: Vec::new(),
            receipts: Vec::new(),
        };
        self.open.push(Transaction {
            id: id.into(),
            frames: 0,
            bytes: 0,
            commit,
        });
        Ok(())
    }

    /// Holds `bound`, which came in `frame`, back until the COMMIT of `id`, and its receipt too.
    pub(super) fn bind(
        &mut self,
        id: &str,
        frame: &Frame,
        (bound, receipt): (Bound, Option<Receipt>),
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
        match bound {
            Bound::Send(send) => transaction.commit.sends.push(send),
            Bound::Ack(request) => transaction.commit.acks.push(request),
        }
        transaction.commit.receipts.extend(receipt);
        Ok(())
    }

    /// Takes the transaction out, whatever becomes of it.
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
