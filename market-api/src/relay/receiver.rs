//! Seam to the chat server: the post of events, and the errors of posting them.
//!
//! Two implementations: [`super::client`] calls the chat server's internal API; a program that embeds both servers
//! calls the chat server in the process.

use std::fmt;

use async_trait::async_trait;
use shared::event::{EventPost, RefusedEvent};

/// Why a post was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The chat server can never take these events of the post. The others are to be posted again.
    #[error("{} events are refused", .0.len())]
    Refused(Vec<RefusedEvent>),
    /// The post is larger than what the chat server, or a proxy before it, takes. Nothing was stored.
    #[error("the post is too large")]
    TooLarge,
    /// The chat server is unreachable, failing, or does not accept this sender. What was stored is unknown; a retry
    /// is safe.
    #[error("{0}")]
    Away(String),
}

/// Takes events for the inboxes of members.
///
/// Contract: on success every event of the post is stored. An event that was stored before changes nothing. The
/// caller sets the deadline, and may drop the call.
#[async_trait]
pub trait EventReceiver: Send + Sync + fmt::Debug {
    /// Stores the events of a post in their order; see [`EventReceiver`].
    async fn post(&self, post: EventPost) -> Result<(), PostError>;
}
