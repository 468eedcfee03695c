//! The adapters to the chat server.

use std::sync::Arc;

use reqwest::Url;
use shared::clock::Clock;

use crate::auth::KeyRing;
use crate::chat_api::{ChatApi, NoClient};
use crate::chats::{ChatRooms, HttpChatRooms};
use crate::relay::{EventReceiver, HttpEventReceiver};
use crate::reports::{ChatMessages, HttpChatMessages};

/// The adapters to the chat server.
#[derive(Clone, Debug)]
pub struct ChatServer {
    /// Creates rooms.
    pub rooms: Arc<dyn ChatRooms>,
    /// Takes domain events.
    pub events: Arc<dyn EventReceiver>,
    /// Reads reported messages.
    pub messages: Arc<dyn ChatMessages>,
}

impl ChatServer {
    /// The adapters over the internal API at this address.
    pub(super) fn over_http(
        url: &Url,
        keys: Arc<KeyRing>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NoClient> {
        let api = Arc::new(ChatApi::new(url, keys, clock)?);
        Ok(Self {
            rooms: Arc::new(HttpChatRooms(Arc::clone(&api))),
            events: Arc::new(HttpEventReceiver(Arc::clone(&api))),
            messages: Arc::new(HttpChatMessages(api)),
        })
    }
}
