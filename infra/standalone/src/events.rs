//! In-process adapter of the market's event port: calls the chat server's receiver instead of its
//! internal API.

use std::sync::Arc;

use async_trait::async_trait;
use chat_server::events::{Events, TakeError};
use market_api::relay::{EventReceiver, PostError};
use shared::event::EventPost;

/// Adapter over the chat server's receiver of events.
#[derive(Debug)]
pub(crate) struct EventsInside(pub(crate) Arc<Events>);

#[async_trait]
impl EventReceiver for EventsInside {
    async fn post(&self, post: EventPost) -> Result<(), PostError> {
        let taken = self.0.take(post).await;
        taken.map(drop).map_err(|error| match error {
            TakeError::Refused(refused) => PostError::Refused(refused),
            TakeError::Unavailable | TakeError::Stale | TakeError::Invalid => {
                PostError::Away(error.to_string())
            }
        })
    }
}
