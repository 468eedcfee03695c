//! Publication of entries that were stored before, for sends that repeat them.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::ids::Seq;

use super::AppenderParts;
use super::log_tail::ask;
use crate::log::{Entry, Topic};
use crate::store::ReadConsistency;
use crate::wakers::Wakers;

/// Publishes repeated entries again: the first publication may have been lost, or what follows it.
pub(super) async fn publish_again(
    parts: &AppenderParts,
    topic: Topic,
    head: Seq,
    repeated: &BTreeSet<Seq>,
) {
    if !repeated.is_empty() {
        parts.heads.check(topic, head);
    }
    for seq in repeated {
        let read = |view| ask(parts, "read", parts.store.read(topic, *seq, *seq, view));
        let Ok(mut entries) = read(ReadConsistency::Quorum).await else {
            return;
        };
        if entries.is_empty() {
            let Ok(settled) = read(ReadConsistency::Serial).await else {
                return;
            };
            entries = settled;
        }
        if entries.is_empty() {
            continue; // of an inbox, and expired
        }
        let entries: Arc<[Arc<Entry>]> = entries.into();
        (parts.stored)(topic, &entries, &mut Wakers::default());
        parts.bus.publish(topic, entries);
    }
}
