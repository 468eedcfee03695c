//! The end of a connection on which a client may still be sending.
//!
//! A connection that ends with bytes unread is reset, and the reset may overtake the last answer. So
//! what comes is taken in for a moment and thrown away.

use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, sink};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::debug;

/// What a client may still send that has its answer: more than the largest body.
const BYTES_MAX: u64 = 8 << 20;

/// For how long.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(2);

/// Reads of 8 KiB that take in what has arrived, where nobody waits for more.
const READS_MAX: usize = 8;

/// Writes a last answer, and takes in what the client is just sending until it has seen our end.
pub(super) async fn linger(mut tcp: TcpStream, answer: &[u8]) {
    let lingering = async {
        tcp.write_all(answer).await?;
        tcp.shutdown().await?;
        copy(&mut (&mut tcp).take(BYTES_MAX), &mut sink()).await
    };
    // Whatever came of it, the connection ends now.
    drop(timeout(LINGER_TIME, lingering).await);
}

/// The same at once: only what has arrived is taken in.
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
