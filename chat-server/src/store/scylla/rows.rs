//! Rows of the logs: values bound for an entry, and the entry decoded from a stored row.

use std::sync::Arc;

use bytes::Bytes;
use scylla::DeserializeRow;
use scylla::errors::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::RowWriter;
use scylla::value::{CqlTimestamp, MaybeUnset};
use shared::ids::Seq;

use super::fault::corrupt;
use super::search::bucket_of;
use crate::log::{Draft, Entry, Headers, Kind, Topic, Uid};
use crate::store::StoreError;

/// The owner's id of a log; room and member ids are below 2^31.
pub(super) fn owner(topic: Topic) -> i32 {
    number(topic.owner_id())
}

/// An id, a position or a bucket: all below 2^31.
pub(super) fn number(number: u32) -> i32 {
    i32::try_from(number).expect("an id, a position or a bucket is below 2^31")
}

/// A position as it is stored.
pub(super) fn position(what: &str, stored: i32) -> Result<Seq, StoreError> {
    Seq::try_from(i64::from(stored)).map_err(|error| corrupt(what, error))
}

/// The key of a bucket.
pub(super) type Partition = (i32, i32);

pub(super) fn partition(topic: Topic, bucket: u32) -> Partition {
    (owner(topic), number(bucket))
}

/// What is bound for one statement of an append.
#[derive(Debug)]
pub(super) enum AppendRow<'a> {
    /// The head moves to a first position of its bucket.
    Begin(i32, Partition),
    /// The head moves on from another.
    Extend(i32, Partition, i32),
    /// An entry.
    Insert(Partition, &'a Entry),
}

impl SerializeRow for AppendRow<'_> {
    fn serialize(
        &self,
        context: &RowSerializationContext<'_>,
        writer: &mut RowWriter<'_>,
    ) -> Result<(), SerializationError> {
        match self {
            Self::Begin(head, (owner, bucket)) => (head, owner, bucket).serialize(context, writer),
            Self::Extend(head, (owner, bucket), before) => {
                (head, owner, bucket, before).serialize(context, writer)
            }
            Self::Insert(partition, entry) => insert(*partition, entry, context, writer),
        }
    }

    fn is_empty(&self) -> bool {
        false
    }
}

/// Absent fields stay unset: a null would be stored as a deletion.
fn insert(
    (owner, bucket): Partition,
    entry: &Entry,
    context: &RowSerializationContext<'_>,
    writer: &mut RowWriter<'_>,
) -> Result<(), SerializationError> {
    let draft = &entry.draft;
    let headers: Vec<(&str, &str)> = draft
        .headers
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_ref()))
        .collect();
    let uid = draft.uid.0.to_be_bytes();
    let row = (
        owner,
        bucket,
        number(entry.seq.get()),
        uid.as_slice(),
        draft.kind.code().cast_signed(),
        set(draft.sender.map(|sender| number(sender.get()))),
        set(draft.client_message_id.as_deref()),
        set((!headers.is_empty()).then_some(headers)),
        set(draft.content_type.as_deref()),
        draft.body.as_ref(),
        CqlTimestamp(draft.sent_at.get()),
    );
    row.serialize(context, writer)
}

fn set<V>(value: Option<V>) -> MaybeUnset<V> {
    value.map_or(MaybeUnset::Unset, MaybeUnset::Set)
}

/// A row of a log as it is stored.
#[derive(Debug, DeserializeRow)]
pub(super) struct StoredRow<'a> {
    pub(super) seq: i32,
    uid: Option<&'a [u8]>,
    kind: Option<i8>,
    sender_id: Option<i32>,
    client_message_id: Option<&'a str>,
    headers: Option<Vec<(&'a str, &'a str)>>,
    content_type: Option<&'a str>,
    body: Option<&'a [u8]>,
    sent_at: Option<CqlTimestamp>,
    deleted: Option<bool>,
}

impl StoredRow<'_> {
    /// The entry; `None` if this is a row without one, left by a mark that met no entry.
    pub(super) fn entry(self, topic: Topic) -> Result<Option<Entry>, StoreError> {
        let Some(uid) = self.uid else { return Ok(None) };
        let what = format!("{topic} at {}", self.seq);
        let uid = <[u8; 16]>::try_from(uid).map_err(|error| corrupt(&what, error))?;
        let missing = |column| corrupt(&what, format!("no {column}"));
        let code = self.kind.ok_or_else(|| missing("kind"))?;
        let kind = Kind::from_code(code.cast_unsigned());
        let sender = self.sender_id.map(|id| i64::from(id).try_into());
        let sent_at = self.sent_at.ok_or_else(|| missing("time"))?;
        let deleted = self.deleted.unwrap_or(false);
        let body = self.body.ok_or_else(|| missing("body"))?;
        let draft = Draft {
            uid: Uid(u128::from_be_bytes(uid)),
            kind: kind.ok_or_else(|| corrupt(&what, format!("unknown kind {code}")))?,
            sender: sender.transpose().map_err(|error| corrupt(&what, error))?,
            client_message_id: self.client_message_id.map(Box::from),
            headers: owned(self.headers.unwrap_or_default()),
            content_type: self.content_type.map(Box::from),
            // A copy: a slice would keep the whole answer alive.
            body: if deleted {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(body)
            },
            sent_at: sent_at
                .0
                .try_into()
                .map_err(|error| corrupt(&what, error))?,
        };
        Ok(Some(Entry {
            seq: position(&what, self.seq)?,
            deleted,
            draft,
        }))
    }
}

fn owned(headers: Vec<(&str, &str)>) -> Headers {
    let owned = headers
        .into_iter()
        .map(|(name, value)| (name.into(), value.into()));
    owned.collect()
}

/// The first position of `entries` that does not follow on the one before, or on `first`.
pub(super) fn hole(first: Seq, entries: &[Arc<Entry>]) -> Option<usize> {
    let expected = first.get()..;
    entries
        .iter()
        .zip(expected)
        .position(|(entry, seq)| entry.seq.get() != seq)
}

/// Where a log goes on after what was read from `first` on; `None` after its last position.
pub(super) fn next_position(first: Seq, entries: &[Arc<Entry>]) -> Option<Seq> {
    entries.last().map_or(Some(first), |entry| entry.seq.next())
}

/// Whether the position after `head` is the first of a bucket.
pub(super) fn begins_bucket(head: Seq) -> bool {
    head == Seq::ZERO
        || head
            .next()
            .is_some_and(|first| bucket_of(first) != bucket_of(head))
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;

    use super::*;

    fn entry(seq: Seq) -> Arc<Entry> {
        Arc::new(Entry {
            seq,
            deleted: false,
            draft: Draft {
                uid: Uid(1),
                kind: Kind::Chat,
                sender: None,
                client_message_id: None,
                headers: Headers::default(),
                content_type: None,
                body: Bytes::new(),
                sent_at: UnixMillis::try_from(0_i64).unwrap(),
            },
        })
    }

    #[test]
    fn full_log_has_no_next_position() {
        assert_eq!(next_position(Seq::FIRST, &[]), Some(Seq::FIRST));
        let second = Seq::FIRST.next();
        assert_eq!(next_position(Seq::FIRST, &[entry(Seq::FIRST)]), second);
        assert_eq!(next_position(Seq::FIRST, &[entry(Seq::MAX)]), None);
    }
}
