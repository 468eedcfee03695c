//! Labels of the distributed store's metrics.

use std::time::Duration;

use prometheus::{Histogram, HistogramVec};

/// Operations of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreOp {
    /// Compare and append.
    Append,
    /// Find a log's head.
    Head,
    /// A page of a log.
    Read,
    /// Mark an entry.
    Delete,
    /// A room.
    Room,
    /// Write a room and its memberships.
    PutRoom,
    /// The rooms of a member.
    Memberships,
    /// A read mark.
    LastRead,
    /// Move a read mark.
    MarkRead,
    /// The newest messages of rooms.
    Heads,
    /// Note a newest message.
    NoteHead,
    /// A member's account status.
    AccountStatus,
    /// Set a member's account status.
    SetAccountStatus,
    /// Records of a member.
    Record,
    /// Write a record.
    PutRecord,
}

impl StoreOp {
    const ALL: [(Self, &'static str); 15] = [
        (Self::Append, "append"),
        (Self::Head, "head"),
        (Self::Read, "read"),
        (Self::Delete, "delete"),
        (Self::Room, "room"),
        (Self::PutRoom, "put_room"),
        (Self::Memberships, "memberships"),
        (Self::LastRead, "last_read"),
        (Self::MarkRead, "mark_read"),
        (Self::Heads, "heads"),
        (Self::NoteHead, "note_head"),
        (Self::AccountStatus, "status"),
        (Self::SetAccountStatus, "set_account_status"),
        (Self::Record, "record"),
        (Self::PutRecord, "put_record"),
    ];
}

/// Why a request to a server of the store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// No answer in time.
    Timeout,
    /// No server, or not enough of them.
    Unavailable,
    /// The servers have too much to do.
    Overloaded,
    /// Anything else; the log has it.
    Other,
}

impl StoreErrorKind {
    pub(super) const ALL: [Self; 4] = [
        Self::Timeout,
        Self::Unavailable,
        Self::Overloaded,
        Self::Other,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
            Self::Overloaded => "overloaded",
            Self::Other => "other",
        }
    }
}

/// A histogram by operation, its children resolved once.
#[derive(Debug)]
pub struct StoreSeconds {
    children: Vec<(StoreOp, Histogram)>,
}

impl StoreSeconds {
    pub(super) fn new(family: &HistogramVec) -> Self {
        let children = StoreOp::ALL.map(|(op, text)| (op, family.with_label_values(&[text])));
        Self {
            children: children.into(),
        }
    }

    /// Notes how long an operation took.
    pub fn observe(&self, op: StoreOp, took: Duration) {
        if let Some((_, child)) = self.children.iter().find(|(known, _)| *known == op) {
            child.observe(took.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Metrics;
    use super::*;

    #[test]
    fn every_operation_and_every_kind_is_counted() {
        let metrics = Metrics::new();
        for (op, _) in StoreOp::ALL {
            metrics.store_seconds.observe(op, Duration::from_millis(3));
        }
        for kind in StoreErrorKind::ALL {
            metrics.store_failures.count(kind);
        }
        let page = metrics.render();
        for (_, op) in StoreOp::ALL {
            let line = format!("chat_store_request_duration_seconds_count{{op=\"{op}\"}} 1");
            assert!(page.contains(&line), "{line}");
        }
        for kind in StoreErrorKind::ALL {
            let line = format!(
                "chat_store_request_errors_total{{kind=\"{}\"}} 1",
                kind.as_str()
            );
            assert!(page.contains(&line), "{line}");
        }
    }
}
