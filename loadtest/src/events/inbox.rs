//! A member's inbox after the run: over REST by pages, and over STOMP from the start.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use shared::clock::{Clock as _, SystemClock};
use stomp::Command;
use tokio::time::{sleep, timeout_at};

use super::frame::{ALARMS, NOTICES, Notice, read_message};
use super::judge::Entry;
use crate::fault::FaultError;
use crate::fault::session::{SEQ_BITS, subscribe};
use crate::fault::wire::{Connection, Ended, Refusal};

/// Rows of a page: small, so that the pages of a run's inboxes are several.
const PAGE: usize = 20;

/// Pages of one inbox at most: a hundred times what a run makes.
const PAGES_MAX: usize = 1_000;

/// How long reading one inbox may take, attempts that fail included.
const READ_MAX: Duration = Duration::from_secs(60);

/// How long the entries of a log may take to arrive.
const LOG_MAX: Duration = Duration::from_secs(20);

/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(300);

/// A member as a reader of the own inbox.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) member: u32,
    pub(crate) token: &'a str,
    pub(crate) address: SocketAddr,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    data: Vec<Notice>,
}

impl Reader<'_> {
    /// All notifications over REST, oldest first.
    pub(crate) async fn listed(&self, http: &Client) -> Result<Vec<Entry>, FaultError> {
        let mut entries = Vec::new();
        let mut cursor = 0;
        for _ in 0..PAGES_MAX {
            let page = self
                .until_read(async || self.page(http, cursor).await)
                .await?;
            let Some(last) = page.last() else { break };
            cursor = last.id;
            entries.extend(page);
        }
        entries.reverse();
        Ok(entries)
    }

    async fn page(&self, http: &Client, cursor: u64) -> Result<Vec<Entry>, FaultError> {
        let wrong = |error: reqwest::Error| FaultError::Rest(error.to_string());
        let url = format!(
            "http://{}/api/notifications?size={PAGE}&cursorId={cursor}",
            self.address
        );
        let answer = http.get(url).bearer_auth(self.token).send().await;
        let answer = answer.map_err(wrong)?.error_for_status().map_err(wrong)?;
        let envelope: Envelope = answer.json().await.map_err(wrong)?;
        let entry = |notice: Notice| Entry {
            id: notice.id,
            report: notice.report(),
        };
        Ok(envelope.data.into_iter().map(entry).collect())
    }

    /// All notifications and alarms by subscriptions from the start.
    pub(crate) async fn log(&self) -> Result<Vec<Entry>, FaultError> {
        self.until_read(async || self.read_log().await).await
    }

    async fn read_log(&self) -> Result<Vec<Entry>, FaultError> {
        let refused = |refusal: Refusal| FaultError::Store(refusal.kind());
        let ended = |ended: Ended| FaultError::Store(ended.kind());
        let mut connection = Connection::open(self.address, self.token)
            .await
            .map_err(refused)?;
        let alarms = format!("/sub/alarm/{}", self.member);
        let mut entries = Vec::new();
        let mut head = 0;
        for (id, destination) in [(NOTICES, "/user/queue/notifications"), (ALARMS, &*alarms)] {
            let frame = subscribe(id, destination)
                .header("resume-after", "0")
                .header("receipt", id);
            connection.send(frame.end()).await.map_err(ended)?;
        }
        let deadline = SystemClock.now() + LOG_MAX;
        let mut receipts = 0;
        // Positions are dense over both destinations. If one lacks, the judge finds it.
        while receipts < 2 || entries.len() as u64 != position(head) {
            let Ok(frame) = timeout_at(deadline.into(), connection.next()).await else {
                break;
            };
            let frame = frame.map_err(ended)?;
            match (frame.command(), read_message(&frame)) {
                (Command::Message, Some(entry)) => entries.push(entry),
                (Command::Receipt, _) => {
                    receipts += 1;
                    let id = frame.header("head").and_then(|id| id.parse().ok());
                    head = head.max(id.unwrap_or_default());
                }
                _ => return Err(FaultError::Store(frame.command().as_str().to_owned())),
            }
        }
        Ok(entries)
    }

    /// Tries again: a node that was just started may still be slow.
    async fn until_read<T>(
        &self,
        mut read: impl AsyncFnMut() -> Result<T, FaultError>,
    ) -> Result<T, FaultError> {
        let began = SystemClock.now();
        loop {
            match read().await {
                Err(error) if SystemClock.now().saturating_duration_since(began) > READ_MAX => {
                    return Err(error);
                }
                Err(_) => sleep(PAUSE).await,
                done => return done,
            }
        }
    }
}

/// The position that a message id names.
fn position(id: u64) -> u64 {
    id & ((1 << SEQ_BITS) - 1)
}
