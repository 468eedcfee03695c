//! The answer to connections beyond the bound of a listener: 503, at once.
//!
//! Nothing is read of the request before the answer, so this costs a write. What the client sends is
//! read afterwards and thrown away for a moment, because closing a socket with unread bytes resets
//! it, and the client would lose the answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::drain::Drain;

/// How long a client may take to read the answer and to close.
const LINGER: Duration = Duration::from_secs(1);

/// Refused connections that are still open, at most; beyond it they are closed without a word.
const LINGERING_MAX: usize = 64;

/// Bytes of a request that are thrown away.
const DISCARDED_MAX: u64 = 64 << 10;

const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 21\r\ncache-control: no-store\r\nx-content-type-options: nosniff\r\n\
    retry-after: 1\r\nconnection: close\r\n\r\ntoo many connections\n";

/// Refuses connections, a few at a time.
#[derive(Debug)]
pub(super) struct Crowded {
    places: Arc<Semaphore>,
}

impl Crowded {
    pub(super) fn new(connections_max: usize) -> Self {
        let places = LINGERING_MAX.min(connections_max);
        Self {
            places: Arc::new(Semaphore::new(places)),
        }
    }

    /// Answers 503 and closes; does not wait for it.
    pub(super) fn refuse(&self, mut tcp: TcpStream, drain: &Drain) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        drop(drain.spawn("http-refused", async move {
            let answering = async {
                tcp.write_all(ANSWER).await?;
                tcp.shutdown().await?;
                let mut rest = tcp.take(DISCARDED_MAX);
                copy(&mut rest, &mut sink()).await
            };
            // A client that is gone or slow has no answer; there is no other way to give it one.
            drop(timeout(LINGER, answering).await);
            drop(place);
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answer_announces_its_length() {
        let text = std::str::from_utf8(ANSWER).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
