//! Presence registry: which members have a connection, on whichever node of the site.
//!
//! Each node registers its members with an expiry and renews them; every node reads the registry.
//! Nodes are never queried: one that is slow or gone would delay or falsify each answer. What is read
//! here is a hint, never permission, and may be wrong for as long as an entry takes to expire.
//!
//! It does not publish to rooms (`rooms` does) and has no list of connections (`connection` has).

mod changes;
pub mod local;
pub mod redis;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use shared::ids::MemberId;

/// From the end of a member's last connection to the check whether the member is offline: the page
/// of a browser is loaded again, or a client moves to another node, within this time.
pub const GRACE: Duration = Duration::from_secs(5);

/// A failed request to the registry, with its reason: whether a member is online is unknown.
#[derive(Debug, thiserror::Error)]
#[error("presence unavailable: {0}")]
pub struct PresenceError(pub String);

/// A change for the whole site, not for a connection or a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceChange {
    /// The member had no connection and has one.
    Online(MemberId),
    /// The member has had no connection for a while.
    Offline(MemberId),
}

/// Whether a registry answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceState {
    /// It does, as far as the last request shows.
    Up,
    /// It does not: each node has its own connections only.
    Away,
}

/// A node's part of the registry. Changes arrive in the receiver it was created with.
///
/// Contract:
/// * `connected` and `disconnected` are called alternately for a member. They never wait and never
///   fail: the registry is written later, many members at a time. The callers hold a lock.
/// * `online` answers in the order of its members, for all nodes together. Soon after `connected`
///   a member is online; soon after the last node's `disconnected` not any more. Members of a node
///   that died are online until their entries expire.
/// * After the registry was away or was emptied, each node registers its members again by itself.
/// * `claim` is true for one caller of all nodes until `ttl` has passed, false for the others. Claims
///   are lost with the registry's data, or beyond a great number of them: it makes repetitions rare,
///   not impossible.
/// * One node publishes [`PresenceChange::Online`] and one publishes [`PresenceChange::Offline`]; a
///   member that returns within the grace causes neither. Changes may be lost; of a node that dies,
///   `Offline` is.
/// * While the registry is away, `online` and `claim` fail; every call but `close` returns within a
///   few seconds, `close` within the time given.
#[async_trait]
pub trait Presence: Send + Sync + fmt::Debug {
    /// The member's first connection to this node has logged in.
    fn connected(&self, member: MemberId);

    /// The member's last connection to this node has ended.
    fn disconnected(&self, member: MemberId);

    /// Whether each of these members has a connection to any node.
    async fn online(&self, members: &[MemberId]) -> Result<Vec<bool>, PresenceError>;

    /// Whether this caller is the first with `key` for `ttl`. For work to be done once, or not more
    /// often than that.
    async fn claim(&self, key: &str, ttl: Duration) -> Result<bool, PresenceError>;

    /// Whether the registry answers.
    fn state(&self) -> PresenceState;

    /// Removes what this node has registered, for so long at most, and leaves the registry.
    async fn close(&self, time_max: Duration);
}
