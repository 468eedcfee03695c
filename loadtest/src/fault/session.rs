//! Session of a member on one connection: its subscriptions, and the handling of frames.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Deserialize;
use shared::clock::{Clock as _, SystemClock};
use stomp::{Command, Frame, FrameWriter, Version};

use super::judge::{At, SendId};
use super::outbox::Open;
use super::record::Record;
use super::wire::{Connection, Ended, is_not_now};

/// A message's id names its room in the bits above these (`(roomId << 22) | seq`).
pub(crate) const SEQ_BITS: u32 = 22;

const ERRORS: &str = "errors";
const SYSTEM: &str = "system";
const BYE: &str = "bye";

/// Why a member leaves a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// The connection ended.
    Ended(Ended),
    /// The server requested a move to another node.
    Moved,
    /// By order, to reconnect at once.
    Cut,
    /// By order, to stay disconnected.
    Away,
    /// The run is over.
    Home,
}

/// The session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// Rooms whose subscription is confirmed.
    confirmed: usize,
    /// When to move, from the server's migration notice.
    move_at: Option<Instant>,
}

/// `/user/queue/errors`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SendError {
    code: u32,
    retryable: bool,
    client_message_id: Option<String>,
}

/// `/user/queue/system`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notice {
    reconnect_after_ms: u64,
}

impl Session {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            confirmed: 0,
            move_at: None,
        }
    }

    /// Subscribes to all rooms and repeats the sends without a receipt.
    pub(crate) async fn begin(&mut self, record: &mut Record) -> Result<(), Ended> {
        let errors = subscribe(ERRORS, "/user/queue/errors").end();
        self.connection.send(errors).await?;
        // Every second member acts as an old client without drain notices.
        if record.number.is_multiple_of(2) {
            let system = subscribe(SYSTEM, "/user/queue/system").end();
            self.connection.send(system).await?;
        }
        for room in record.rooms.iter().copied() {
            let after = match record.position(room) {
                0 => 0,
                seq => u64::from(room) << SEQ_BITS | seq,
            };
            let id = room.to_string();
            let frame = subscribe(&id, &format!("/sub/{room}"))
                .header("resume-after", &after.to_string())
                .header("receipt", &format!("s{room}"));
            self.connection.send(frame.end()).await?;
        }
        let again = record.outbox.take_open();
        for open in &again {
            self.send(record, *open).await?;
        }
        record.board.with(|s| {
            s.counts.resends += again.len() as u64;
        });
        Ok(())
    }

    async fn send(&mut self, record: &Record, open: Open) -> Result<(), Ended> {
        let node = &self.connection.node;
        record.board.with(|s| s.note_send(open.id, node));
        self.connection.send(send_frame(open)).await
    }

    /// Sends new messages.
    pub(crate) async fn send_all(&mut self, record: &Record, new: Vec<Open>) -> Result<(), Leave> {
        for open in new {
            self.send(record, open).await.map_err(Leave::Ended)?;
        }
        Ok(())
    }

    /// Handles what is due.
    pub(crate) async fn on_pulse(
        &mut self,
        record: &mut Record,
        now: Instant,
    ) -> Result<(), Leave> {
        self.connection.beat(now).await.map_err(Leave::Ended)?;
        let mut again = record.outbox.take_due(&record.rooms, now);
        record
            .board
            .with(|s| s.counts.resends += again.len() as u64);
        again.extend(record.probe());
        self.send_all(record, again).await?;
        if self.move_at.is_some_and(|at| at <= now) {
            self.move_at = None;
            let bye = FrameWriter::new(Command::Disconnect, Version::V1_2).header("receipt", BYE);
            self.connection
                .send(bye.end())
                .await
                .map_err(Leave::Ended)?;
        }
        Ok(())
    }

    /// Handles a frame of the server.
    pub(crate) fn on_frame(&mut self, record: &mut Record, frame: &Frame) -> Result<(), Leave> {
        match (frame.command(), frame.header("subscription")) {
            (Command::Receipt, _) => return self.on_receipt(record, frame),
            (Command::Message, Some(ERRORS)) => on_send_error(record, frame),
            (Command::Message, Some(SYSTEM)) => self.on_notice(record, frame),
            (Command::Message, Some(room)) => {
                let Some((room, at)) = read_message(room, frame) else {
                    odd(record, frame);
                    return Ok(());
                };
                return match record.see(room, at) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(Leave::Cut),
                };
            }
            (_, _) if is_not_now(frame) => record.board.with(|s| s.counts.turned_away += 1),
            (_, _) => odd(record, frame),
        }
        Ok(())
    }

    fn on_receipt(&mut self, record: &mut Record, frame: &Frame) -> Result<(), Leave> {
        let id = frame.header("receipt-id").unwrap_or_default();
        if id == BYE {
            return Err(Leave::Moved);
        }
        if let Ok(id) = id.parse::<SendId>() {
            if !record.settle(id) {
                odd(record, frame);
            }
        } else if id.starts_with('s') {
            self.on_subscribed(record, frame);
        } else {
            odd(record, frame);
        }
        Ok(())
    }

    fn on_subscribed(&mut self, record: &Record, frame: &Frame) {
        self.confirmed += 1;
        let recovered = frame.header("recovered") == Some("true");
        let all = self.confirmed == record.rooms.len();
        record.board.with(|s| {
            if !recovered {
                s.counts.unrecovered += 1;
            }
            if all {
                s.node_of
                    .insert(record.number, self.connection.node.clone());
            }
        });
    }

    fn on_notice(&mut self, record: &Record, frame: &Frame) {
        match serde_json::from_slice::<Notice>(frame.body()) {
            Ok(notice) => {
                let wait = Duration::from_millis(notice.reconnect_after_ms);
                self.move_at = Some(SystemClock.now() + wait);
            }
            Err(_) => odd(record, frame),
        }
    }
}

/// A send failed. Retryable errors are repeated; any other must not happen in this crowd.
fn on_send_error(record: &mut Record, frame: &Frame) {
    let error = serde_json::from_slice::<SendError>(frame.body()).ok();
    let retryable = error.filter(|error| error.retryable && error.code != 0);
    let id = retryable.and_then(|error| error.client_message_id?.parse::<SendId>().ok());
    let now = SystemClock.now();
    if id.is_some_and(|id| record.outbox.refuse(id, now)) {
        record.board.with(|s| s.counts.retryable += 1);
    } else {
        odd(record, frame);
    }
}

/// The room, position and content of a MESSAGE; `None` if its headers and body contradict each
/// other.
fn read_message(room: &str, frame: &Frame) -> Option<(u32, At)> {
    let room: u32 = room.parse().ok()?;
    let seq: u64 = frame.header("seq")?.parse().ok()?;
    let message_id: u64 = frame.header("message-id")?.parse().ok()?;
    let name = frame.header("client-message-id")?;
    let body: serde_json::Value = serde_json::from_slice(frame.body()).ok()?;
    let agrees = message_id == u64::from(room) << SEQ_BITS | seq && body["message"] == name;
    let id = name.parse().ok()?;
    agrees.then_some((room, At { seq, id }))
}

fn odd(record: &Record, frame: &Frame) {
    let headers: String = frame
        .headers()
        .map(|(name, value)| format!(" {name}:{value}"))
        .collect();
    let body = String::from_utf8_lossy(frame.body());
    let what = format!(
        "m{}: {}{headers} {body}",
        record.number,
        frame.command().as_str()
    );
    record.board.with(|s| s.counts.note_odd(what));
}

pub(crate) fn subscribe(id: &str, destination: &str) -> FrameWriter {
    FrameWriter::new(Command::Subscribe, Version::V1_2)
        .header("id", id)
        .header("destination", destination)
}

fn send_frame(open: Open) -> Bytes {
    let id = open.id.to_string();
    FrameWriter::new(Command::Send, Version::V1_2)
        .header("destination", &format!("/pub/{}", open.room))
        .header("client-message-id", &id)
        .header("receipt", &id)
        .body(format!(r#"{{"message":"{id}"}}"#).as_bytes())
}
