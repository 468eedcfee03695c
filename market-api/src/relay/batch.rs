//! The events of a batch, and those of its rows that become dead.

use std::collections::HashMap;

use serde_json::value::RawValue;
use shared::event::RefusedEvent;

use super::receiver::PostError;
use crate::outbox::OutboxRow;

/// Bound of a stored reason in characters.
const REASON_CHARS_MAX: usize = 500;

/// A row to mark as dead, and the reason.
pub(super) type DeadRow = (OutboxRow, String);

/// The events of a batch, and the rows that are no JSON.
pub(super) fn parse(batch: &[OutboxRow]) -> (Vec<Box<RawValue>>, Vec<DeadRow>) {
    let (mut events, mut broken) = (Vec::with_capacity(batch.len()), Vec::new());
    for row in batch {
        match RawValue::from_string(row.body.clone()) {
            Ok(event) => events.push(event),
            Err(error) => broken.push((row.clone(), format!("not JSON: {error}"))),
        }
    }
    (events, broken)
}

/// The refused rows of a batch, with printable reasons. Ids that were not sent are ignored.
pub(super) fn matching(batch: &[OutboxRow], refused: Vec<RefusedEvent>) -> Vec<DeadRow> {
    let sent: HashMap<_, _> = batch.iter().map(|row| (&*row.event_id, row)).collect();
    let mut dead: Vec<_> = refused
        .into_iter()
        .filter_map(|one| Some((*sent.get(one.event_id.as_str())?, one.reason)))
        .map(|(row, reason)| {
            let printable = reason.chars().filter(|c| !c.is_control());
            (row.clone(), printable.take(REASON_CHARS_MAX).collect())
        })
        .collect();
    dead.sort_by_key(|(row, _): &DeadRow| row.id);
    dead.dedup_by_key(|(row, _)| row.id);
    dead
}

/// The outcome of a post in the metrics.
pub(super) const fn label(posted: &Result<(), PostError>) -> &'static str {
    match posted {
        Ok(()) => "stored",
        Err(PostError::Refused(_)) => "refused",
        Err(PostError::TooLarge) => "too_large",
        Err(PostError::Away(_)) => "away",
    }
}
