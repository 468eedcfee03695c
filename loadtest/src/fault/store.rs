//! Contents of the store, read past the server where possible.

use std::net::SocketAddr;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Consistency;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlTimestamp;
use serde::Deserialize;
use shared::clock::{LocalDateTime, UnixMillis};
use stomp::{Command, FrameWriter, Version};

use super::error::FaultError;
use super::judge::{At, Entry, SendId};
use super::session::SEQ_BITS;
use super::wire::Connection;

/// Positions of a bucket (delivery.md, "Tables").
const BUCKET_LEN: u64 = 4096;

/// Buckets read of one room: no run comes near it.
const BUCKETS_MAX: i32 = 256;

/// Access to the store.
#[derive(Debug)]
pub(crate) enum Store {
    /// By CQL, straight from the replicas, at quorum.
    Cql(Box<Cql>),
    /// By a subscription from the start: the embedded store's files belong to its server alone.
    Embedded {
        address: SocketAddr,
        /// By member, from 1 on.
        tokens: Vec<String>,
    },
}

/// A session with the replicas.
#[derive(Debug)]
pub(crate) struct Cql {
    session: Session,
    read: PreparedStatement,
    delete: PreparedStatement,
    list: PreparedStatement,
}

/// The body of a MESSAGE.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    created_at: LocalDateTime,
}

impl Cql {
    pub(crate) async fn open(replicas: &[SocketAddr], keyspace: &str) -> Result<Self, FaultError> {
        let session = SessionBuilder::new()
            .known_nodes_addr(replicas)
            .build()
            .await;
        let session = session.map_err(store_error)?;
        let prepare = async |text: String| {
            let mut prepared = session.prepare(text).await.map_err(store_error)?;
            prepared.set_consistency(Consistency::LocalQuorum);
            Ok::<_, FaultError>(prepared)
        };
        let read = format!(
            "SELECT seq, uid, client_message_id, sent_at FROM {keyspace}.messages \
             WHERE room_id = ? AND bucket = ? ORDER BY seq ASC"
        );
        let delete =
            format!("DELETE FROM {keyspace}.messages WHERE room_id = ? AND bucket = ? AND seq = ?");
        let list = format!(
            "UPDATE {keyspace}.room_heads USING TIMESTAMP ? SET seq = ?, body = ?, sent_at = ? \
             WHERE room_id = ?"
        );
        Ok(Self {
            read: prepare(read).await?,
            delete: prepare(delete).await?,
            list: prepare(list).await?,
            session,
        })
    }

    async fn room(&self, room: u32) -> Result<Vec<Entry>, FaultError> {
        let mut entries = Vec::new();
        for bucket in 0..BUCKETS_MAX {
            let rows = self
                .session
                .execute_unpaged(&self.read, (room_id(room), bucket))
                .await;
            let rows = rows
                .map_err(store_error)?
                .into_rows_result()
                .map_err(store_error)?;
            let rows = rows.rows::<(
                Option<i32>,
                Option<Vec<u8>>,
                Option<String>,
                Option<CqlTimestamp>,
            )>();
            let before = entries.len();
            for row in rows.map_err(store_error)? {
                let (seq, uid, name, sent_at) = row.map_err(store_error)?;
                // A row with the static column alone, or without `uid`, is not an entry.
                if let (Some(seq), Some(_), Some(CqlTimestamp(sent_at))) = (seq, uid, sent_at) {
                    let sent_at = UnixMillis::try_from(sent_at).map_err(store_error)?;
                    entries.push(entry(seq, name.as_deref(), sent_at)?);
                }
            }
            if entries.len() == before {
                break;
            }
        }
        Ok(entries)
    }

    /// Removes one entry from the store, to test the judge.
    pub(crate) async fn take_out(&self, room: u32, seq: u64) -> Result<(), FaultError> {
        let bucket = i32::try_from(seq / BUCKET_LEN).expect("bounded by the size of a room");
        let seq = i32::try_from(seq).expect("bounded by the size of a room");
        let values = (room_id(room), bucket, seq);
        let done = self.session.execute_unpaged(&self.delete, values).await;
        done.map(drop).map_err(store_error)
    }

    /// Sets the time in a room's row for the lists back, for good: the server's own updates carry
    /// the position as their timestamp and lose against this one. The position stays unchanged:
    /// servers read on from it, and so correct a row that is merely behind.
    pub(crate) async fn age_list_row(&self, room: u32, newest: Entry) -> Result<(), FaultError> {
        const AFTER_ALL: i64 = 1 << 53;
        const HOUR_MS: i64 = 3_600_000;
        let seq = i32::try_from(newest.at.seq).expect("bounded by the size of a room");
        let sent_at = CqlTimestamp(newest.sent_at.get() - HOUR_MS);
        let text = newest.at.id.to_string();
        let values = (AFTER_ALL, seq, text, sent_at, room_id(room));
        let done = self.session.execute_unpaged(&self.list, values).await;
        done.map(drop).map_err(store_error)
    }
}

impl Store {
    /// A room's entries in the order of the store. `reader` is one of its members.
    pub(crate) async fn room(&self, room: u32, reader: u32) -> Result<Vec<Entry>, FaultError> {
        match self {
            Self::Cql(cql) => cql.room(room).await,
            Self::Embedded { address, tokens } => {
                let token = tokens.get(reader as usize - 1).map_or("", String::as_str);
                read_fresh(*address, token, room).await
            }
        }
    }
}

/// As the tables have it: an `int`.
fn room_id(room: u32) -> i32 {
    i32::try_from(room).expect("room ids are below 2^31")
}

fn entry(seq: i32, name: Option<&str>, sent_at: UnixMillis) -> Result<Entry, FaultError> {
    let strange = || FaultError::Store(format!("no entry of ours at {seq}: {name:?}"));
    let id: SendId = name
        .and_then(|name| name.parse().ok())
        .ok_or_else(strange)?;
    let seq = u64::try_from(seq).map_err(|_negative| strange())?;
    let at = At { seq, id };
    Ok(Entry { at, sent_at })
}

fn store_error(error: impl std::fmt::Display) -> FaultError {
    FaultError::Store(error.to_string())
}

/// The messages of a room, read by a subscription from the start.
async fn read_fresh(address: SocketAddr, token: &str, room: u32) -> Result<Vec<Entry>, FaultError> {
    let refused = |refusal| FaultError::Store(format!("{refusal:?}"));
    let ended = |ended| FaultError::Store(format!("{ended:?}"));
    let mut connection = Connection::open(address, token).await.map_err(refused)?;
    let frame = FrameWriter::new(Command::Subscribe, Version::V1_2)
        .header("id", "all")
        .header("destination", &format!("/sub/{room}"))
        .header("resume-after", "0")
        .header("receipt", "all");
    connection.send(frame.end()).await.map_err(ended)?;
    let (mut entries, mut head) = (Vec::new(), None);
    while head.is_none_or(|head| (entries.len() as u64) < head) {
        let frame = connection.next().await.map_err(ended)?;
        if frame.command() == Command::Receipt {
            let id: u64 = frame
                .header("head")
                .and_then(|id| id.parse().ok())
                .unwrap_or_default();
            head = Some(id & ((1 << SEQ_BITS) - 1));
        } else {
            let seq = frame
                .header("seq")
                .and_then(|seq| seq.parse().ok())
                .unwrap_or_default();
            let shown: Shown = serde_json::from_slice(frame.body()).map_err(store_error)?;
            let sent_at = shown.created_at.to_unix();
            entries.push(entry(seq, frame.header("client-message-id"), sent_at)?);
        }
    }
    Ok(entries)
}
