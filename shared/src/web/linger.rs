//! Lingering close: ends a connection on which the client may still be sending.
//!
//! A connection that is closed with unread bytes is reset, and the reset may overtake the last
//! response. So incoming bytes are read for a moment and discarded.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

/// Bytes that are discarded at most: more than the largest body.
const BYTES_MAX: u64 = 8 << 20;

/// How long incoming bytes are discarded.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);

/// Reads of 8 KiB that discard what has arrived, without waiting for more.
const READS_MAX: usize = 8;

/// Writes the last response, then discards what the client sends until it closes its side.
pub(super) async fn linger(mut tcp: TcpStream, answer: &[u8]) {
    let lingering = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await?;
        copy(&mut (&mut tcp).take(BYTES_MAX), &mut sink()).await
    };
    // The connection ends now in every case.
    drop(timeout(LINGER_TIME, lingering).await);
}

/// The same without waiting: discards only what has arrived.
pub(super) fn close_with(tcp: TcpStream, answer: &[u8]) {
    let closing = || {
        let mut tcp = tcp.into_std()?;
        tcp.write_all(answer)?;
        tcp.shutdown(Shutdown::Write)?;
        let mut scratch = [0; 8 << 10];
        for _ in 0..READS_MAX {
            if tcp.read(&mut scratch)? < scratch.len() {
                break;
            }
        }
        io::Result::Ok(())
    };
    if let Err(error) = closing() {
        debug!("a connection was closed at once: {error}");
    }
}
