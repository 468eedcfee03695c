//! The tables of members: whether they may use the site, and their records.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::client::Client;
use super::fault::corrupt;
use super::rows::number;
use crate::store::{AccountStatus, NewRecord, RECORDS_MAX, Record, StoreError};

/// How long a removed record's timestamp counts, as for the servers' own tombstones.
const REMOVED_FOR: Duration = Duration::from_secs(10 * 86_400);

/// The longest time to live that the servers take: 20 years.
const TTL_SECONDS_MAX: i32 = 630_720_000;

/// Rows of one list: removed ones are among them for ten days.
const LIST_ROWS_MAX: i32 = 4_000;

/// The tables.
pub(super) struct MemberTable {
    client: Arc<Client>,
}

impl MemberTable {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    pub(super) async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        let key = (number(member.get()),);
        let rows = self
            .client
            .rows(&self.client.statements().status, key)
            .await?;
        let found = rows.maybe_first_row::<(Option<bool>,)>();
        let found = found.map_err(|error| corrupt("a member", error))?;
        Ok(match found {
            Some((Some(true),)) => AccountStatus::Blocked,
            Some((Some(false) | None,)) | None => AccountStatus::Good,
        })
    }

    pub(super) async fn set_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let is_blocked = status == AccountStatus::Blocked;
        // In microseconds, and never 0, which servers may take for no timestamp.
        let stamp = at.get().saturating_mul(1_000).saturating_add(1);
        let values = (stamp, is_blocked, number(member.get()));
        let statement = &self.client.statements().set_account_status;
        self.client.write(statement, values).await
    }

    pub(super) async fn record(
        &self,
        member: MemberId,
        key: &str,
    ) -> Result<Option<Bytes>, StoreError> {
        let values = (number(member.get()), key);
        let statement = &self.client.statements().record;
        let rows = self.client.rows(statement, values).await?;
        let found = rows.maybe_first_row::<(Option<&[u8]>,)>();
        let found = found.map_err(|error| corrupt("a record", error))?;
        let value = found.and_then(|(value,)| value);
        let value = value.filter(|value| !value.is_empty());
        Ok(value.map(Bytes::copy_from_slice))
    }

    pub(super) async fn records(
        &self,
        member: MemberId,
        prefix: &str,
    ) -> Result<Vec<Record>, StoreError> {
        // Keys are visible ASCII: all that begin so are below the prefix with a DEL.
        let end = format!("{prefix}\u{7f}");
        let values = (number(member.get()), prefix, end, LIST_ROWS_MAX);
        let statement = &self.client.statements().records;
        let rows = self.client.rows(statement, values).await?;
        let rows = rows.rows::<(&str, Option<&[u8]>)>();
        let mut records = Vec::new();
        for row in rows.map_err(|error| corrupt("records", error))? {
            let (key, value) = row.map_err(|error| corrupt("a record", error))?;
            let value = value.filter(|value| !value.is_empty());
            let Some(value) = value else { continue };
            records.push(Record {
                key: key.into(),
                value: Bytes::copy_from_slice(value),
            });
        }
        records.truncate(RECORDS_MAX);
        Ok(records)
    }

    pub(super) async fn put_record(
        &self,
        member: MemberId,
        record: NewRecord,
    ) -> Result<(), StoreError> {
        let removed = record.value.is_empty().then_some(REMOVED_FOR);
        let time_to_live = record.time_to_live.or(removed);
        let seconds = time_to_live.map_or(0, |time| time.as_secs().max(1));
        let seconds = i32::try_from(seconds).unwrap_or(TTL_SECONDS_MAX);
        // In microseconds, and never 0, which servers may take for no timestamp.
        let stamp = i64::try_from(record.stamp.saturating_mul(1_000)).unwrap_or(i64::MAX - 1);
        let values = (
            stamp.saturating_add(1 + i64::from(record.rank)),
            seconds.min(TTL_SECONDS_MAX),
            record.value.as_ref(),
            number(member.get()),
            &*record.key,
        );
        let statement = &self.client.statements().put_record;
        self.client.write(statement, values).await
    }
}
