//! Alarms that are running: the START of booked time whose END has not come.
//!
//! A front end that opens in the middle of a booking subscribes from now on, after the START in the
//! log. A record per booking tells it.

use std::time::Duration;

use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::{MemberId, TradeId};

use super::{InboxError, Inboxes};
use crate::store::NewRecord;

/// How long a record outlives the booking: an END that is late by more is not waited for.
const LATE_MAX: Duration = Duration::from_secs(86_400);

/// Running alarms of one member at most that are repeated.
const REPEATED_MAX: usize = 64;

/// A booking that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningAlarm {
    /// The booking.
    pub trade: TradeId,
    /// The body of its START.
    pub body: Bytes,
    /// When it ends.
    pub ends_at: UnixMillis,
}

impl Inboxes {
    /// A booking has begun. To be called before its START is appended, or a subscription that begins
    /// in between would get neither.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`].
    pub async fn note_running(
        &self,
        member: MemberId,
        alarm: RunningAlarm,
        now: UnixMillis,
    ) -> Result<(), InboxError> {
        let lifetime = alarm.ends_at.saturating_since(now).saturating_add(LATE_MAX);
        let record = NewRecord {
            key: key(alarm.trade),
            value: alarm.body,
            stamp: START_STAMP,
            rank: 0,
            time_to_live: Some(lifetime),
        };
        let put = self.parts.records.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))
    }

    /// A booking has ended. To be called before its END is appended, or a subscription that begins in
    /// between would get the START last.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`].
    pub async fn note_ended(&self, member: MemberId, trade: TradeId) -> Result<(), InboxError> {
        self.put_end(member, key(trade)).await
    }

    async fn put_end(&self, member: MemberId, key: Box<str>) -> Result<(), InboxError> {
        let record = NewRecord {
            key,
            value: Bytes::new(),
            stamp: END_STAMP,
            rank: 0,
            time_to_live: None,
        };
        let put = self.parts.records.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))
    }

    /// No booking of the member is running any more.
    pub(super) async fn forget_running(&self, member: MemberId) -> Result<(), InboxError> {
        let records = self.parts.records.records(member, PREFIX).await;
        for record in records.map_err(|error| self.unavailable("records", &error))? {
            self.put_end(member, record.key).await?;
        }
        Ok(())
    }

    /// The START bodies of the member's bookings that are running.
    ///
    /// # Errors
    /// [`InboxError::Unavailable`].
    pub async fn running(&self, member: MemberId) -> Result<Vec<Bytes>, InboxError> {
        let records = self.parts.records.records(member, PREFIX).await;
        let records = records.map_err(|error| self.unavailable("records", &error))?;
        let running = records.into_iter().take(REPEATED_MAX);
        Ok(running.map(|record| record.value).collect())
    }
}

/// Prefix of the records' keys.
const PREFIX: &str = "alarm:";

/// A booking starts once and ends once: the end wins, whichever is written last.
const START_STAMP: u64 = 1;
const END_STAMP: u64 = 2;

fn key(trade: TradeId) -> Box<str> {
    format!("{PREFIX}{trade}").into()
}
