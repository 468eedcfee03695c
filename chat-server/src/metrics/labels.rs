//! Labels and their values, each a type of its own, and counters by them.

use prometheus::{IntCounter, IntCounterVec};
use stomp::Command;

/// The frames that ask something of the server.
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

pub(super) const ORDERS: [(ControlKind, &str); 3] = [
    (ControlKind::RoomChanged, "room_changed"),
    (ControlKind::AccountStatusChanged, "standing_changed"),
    (ControlKind::Disconnect, "disconnect"),
];

/// A counter with one label, whose values are known.
///
/// The children are resolved once: looking one up by its text takes a lock and a hash, which would
/// be felt on every frame.
#[derive(Debug)]
pub struct CountersBy<L> {
    children: Vec<(L, IntCounter)>,
}

impl<L: Copy + PartialEq> CountersBy<L> {
    /// The counter of this value; counting anything else is lost, and a test sees to it that there
    /// is nothing else.
    pub fn count(&self, label: L) {
        if let Some((_, child)) = self.children.iter().find(|(known, _)| *known == label) {
            child.inc();
        }
    }

    /// What was counted of this value so far.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        let mut children = self.children.iter();
        let child = children.find(|(known, _)| *known == label);
        child.map_or(0, |(_, child)| child.get())
    }
}

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Stored.
    Ok,
    /// It was stored before.
    Dup,
    /// The sender was told no.
    Rejected,
}

/// Why the store was asked for a topic's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadRead {
    /// The periodic check.
    Check,
    /// The bus is away.
    Poll,
    /// Something was lost on the bus.
    Loss,
}

/// What all nodes are told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlKind {
    /// Check at a room anew.
    RoomChanged,
    /// Check at a member anew.
    AccountStatusChanged,
    /// Close a member's connections.
    Disconnect,
}

/// Where a blocked member was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockedAt {
    /// At CONNECT.
    Login,
    /// An open connection.
    Open,
    /// A request to REST.
    Rest,
}

/// Which way a message of the bus went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusDirection {
    /// From another node.
    In,
    /// To the other nodes.
    Out,
}

pub(super) fn by_label<L, const N: usize>(
    family: &IntCounterVec,
    labels: [(L, &'static str); N],
) -> CountersBy<L> {
    let children = labels.map(|(label, text)| (label, family.with_label_values(&[text])));
    CountersBy {
        children: children.into(),
    }
}
