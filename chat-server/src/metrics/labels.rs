//! Labels of metrics, each a type of its own, and counters by label.

use prometheus::{IntCounter, IntCounterVec};
use stomp::Command;

/// The frames that are counted: those that change a session's state or send.
pub(super) const COUNTED: [Command; 8] = [
    Command::Connect,
    Command::Send,
    Command::Subscribe,
    Command::Unsubscribe,
    Command::Commit,
    Command::Ack,
    Command::Nack,
    Command::Disconnect,
];

pub(super) const HEAD_READS: [(HeadRead, &str); 3] = [
    (HeadRead::Check, "check"),
    (HeadRead::Poll, "poll"),
    (HeadRead::Loss, "loss"),
];

pub(super) const CONTROL_KINDS: [(ControlKind, &str); 6] = [
    (ControlKind::RoomChanged, "room_changed"),
    (ControlKind::AccountStatusChanged, "account_status_changed"),
    (ControlKind::Disconnect, "disconnect"),
    (ControlKind::SessionRevoked, "session_revoked"),
    (ControlKind::ProfileChanged, "profile_changed"),
    (ControlKind::SeparationsChanged, "separations_changed"),
];

/// A counter with one label of fixed values.
///
/// The children are resolved once: a lookup by text takes a lock and a hash, which is too slow for
/// every frame.
#[derive(Debug)]
pub struct CountersBy<L> {
    children: Vec<(L, IntCounter)>,
}

impl<L: Copy + PartialEq> CountersBy<L> {
    pub(super) fn of<const N: usize>(children: [(L, IntCounter); N]) -> Self {
        Self {
            children: children.into(),
        }
    }

    /// Counts this value; another value is not counted, and a test ensures that there is none.
    pub fn count(&self, label: L) {
        if let Some((_, child)) = self.children.iter().find(|(known, _)| *known == label) {
            child.inc();
        }
    }

    /// The count of this value so far.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        let mut children = self.children.iter();
        let child = children.find(|(known, _)| *known == label);
        child.map_or(0, |(_, child)| child.get())
    }
}

/// Outcome of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored.
    Ok,
    /// Stored before: a duplicate.
    Dup,
    /// Refused.
    Rejected,
}

/// Why a topic's head was read from the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRead {
    /// The periodic check.
    Check,
    /// The bus is away.
    Poll,
    /// Something was lost on the bus.
    Loss,
}

/// Kinds of control messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Read a room anew.
    RoomChanged,
    /// Read a member's status anew.
    AccountStatusChanged,
    /// Close a member's connections.
    Disconnect,
    /// Read a member's ended sessions anew.
    SessionRevoked,
    /// Read a member's profile anew.
    ProfileChanged,
    /// Read anew from whom a member is separated.
    SeparationsChanged,
}

/// Where a blocked member was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedAt {
    /// At CONNECT.
    Login,
    /// An open connection.
    Open,
    /// A request to REST.
    Rest,
}

/// Direction of a message of the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusDirection {
    /// From another node.
    In,
    /// To the other nodes.
    Out,
}

pub(super) fn by_label<L: Copy + PartialEq, const N: usize>(
    family: &IntCounterVec,
    labels: [(L, &'static str); N],
) -> CountersBy<L> {
    CountersBy::of(labels.map(|(label, text)| (label, family.with_label_values(&[text]))))
}
