//! HTTP client of the members: lists of rooms, and read marks.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::sleep;

use super::error::FaultError;
use super::lists::{Lists, Marks, Row};
use super::session::SEQ_BITS;

/// Rows per page.
const SIZE: usize = 100;

/// Pages of one list: a member of a run is in three rooms.
const PAGES_MAX: usize = 10;

/// Concurrent calls.
const CALLS_AT_ONCE: usize = 16;

/// Attempts to set a mark while the server refuses it, and the pause between them.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(500);

/// The HTTP client.
#[derive(Debug)]
pub(crate) struct Rest {
    http: reqwest::Client,
    address: SocketAddr,
    /// By member, from 1 on.
    tokens: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Envelope<T> {
    data: T,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    data: Vec<Row>,
    page_info: PageInfo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PageInfo {
    next_cursor_id: Option<u32>,
}

impl Rest {
    pub(crate) fn new(address: SocketAddr, tokens: Vec<String>) -> Result<Self, FaultError> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build();
        let http = http.map_err(|error| FaultError::Rest(error.to_string()))?;
        Ok(Self {
            http,
            address,
            tokens,
        })
    }

    /// The lists of these members.
    pub(crate) async fn lists(&self, members: Vec<u32>) -> Result<Lists, FaultError> {
        stream::iter(members)
            .map(async |member| Ok((member, self.list(member).await?)))
            .buffer_unordered(CALLS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn list(&self, member: u32) -> Result<BTreeMap<u32, Row>, FaultError> {
        let mut rooms = BTreeMap::new();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let path = format!("/api/chat-room?size={SIZE}{after}");
            let page: Page = self.call(member, Method::GET, &path).await?;
            let last_at = page.data.last().map(|row| row.last_message_at);
            for row in page.data {
                rooms.insert(row.chat_room_id, row);
            }
            let (Some(cursor), Some(last_at)) = (page.page_info.next_cursor_id, last_at) else {
                break;
            };
            after = format!("&cursorId={cursor}&lastMessageAt={last_at}");
        }
        Ok(rooms)
    }

    /// Sets all these marks; retries those that the server refuses as retryable.
    pub(crate) async fn mark_all(&self, marks: &Marks) -> Result<(), FaultError> {
        stream::iter(marks)
            .map(async |((member, room), seq)| self.mark(*member, *room, *seq).await)
            .buffer_unordered(CALLS_AT_ONCE)
            .try_collect()
            .await
    }

    async fn mark(&self, member: u32, room: u32, seq: u64) -> Result<(), FaultError> {
        let message = u64::from(room) << SEQ_BITS | seq;
        let path = format!("/api/chat-messages/{message}/read-status");
        let mut left = TRIES;
        loop {
            left -= 1;
            match self
                .call::<Option<Value>>(member, Method::POST, &path)
                .await
            {
                Err(_) if left > 0 => sleep(PAUSE).await,
                done => return done.map(drop),
            }
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        member: u32,
        method: Method,
        path: &str,
    ) -> Result<T, FaultError> {
        let token = self.tokens.get(member as usize - 1);
        let request = self
            .http
            .request(method, format!("http://{}{path}", self.address))
            .bearer_auth(token.map_or("", String::as_str));
        let wrong = |what: &dyn std::fmt::Display| {
            FaultError::Rest(format!("member {member}, {path}: {what}"))
        };
        let answer = request.send().await.map_err(|error| wrong(&error))?;
        let status = answer.status();
        let body = answer.text().await.map_err(|error| wrong(&error))?;
        if !status.is_success() {
            return Err(wrong(&format!("{status} {body}")));
        }
        // A mark is answered without data.
        let body = if body.contains("\"data\"") {
            body
        } else {
            r#"{"data":null}"#.to_owned()
        };
        let envelope = serde_json::from_str::<Envelope<T>>(&body);
        Ok(envelope.map_err(|error| wrong(&error))?.data)
    }
}
