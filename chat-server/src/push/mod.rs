//! Push notifications to members without a live connection: the seam to push services and its adapters.
//!
//! A browser subscription (Web Push) and a token of Firebase Cloud Messaging are both a [`Target`]; an adapter
//! of [`PushService`] delivers one message to one target and reports what to do with the target. The [`Pusher`] decides
//! which members get a push: by presence, by their preferences and mutes, at most once per event.
//!
//! What this module does not do: store messages. What a push announces is in an inbox or a room already,
//! so a lost push loses nothing.

mod considering;
pub mod fcm;
mod http;
mod lane;
mod message;
mod offer;
mod preferences;
mod pusher;
mod services;
mod targets;
pub mod web;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use considering::{BIG_ROOM, OnlineHere, PusherParts};
pub use message::{CollapseKey, PushMessage, PushText};
pub use offer::{NOTICE_TTL, PushNotice};
pub use preferences::{CACHE_AGE_MAX, Channel, Class, MemberPreferences, Mute, Preferences};
pub use pusher::{Offers, Pusher};
pub use services::PushServices;
pub use targets::{
    PushStoreUnavailable, SavedTarget, TARGETS_MAX, TargetDigest, Targets, TargetsParts,
};

/// Where a push is delivered to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An app with Firebase Cloud Messaging.
    Fcm(fcm::Token),
    /// A browser with Web Push.
    Web(web::Subscription),
}

/// The outcome of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The service accepted the message.
    Delivered,
    /// The target does not exist any more: remove it.
    Gone,
    /// The service is unavailable or throttles: retry, after this time if it named one.
    RetryAfter(Option<Duration>),
    /// The service refuses the message, and would refuse it again. The target is kept.
    Refused(String),
}

/// A push service.
///
/// `deliver` sends one message to one target. It is bounded in time by the adapter, sends at most once, and
/// never blocks a thread. A time-out is [`Delivery::RetryAfter`], so a message may arrive twice: its id, or
/// its collapse key, lets the client show it once.
#[async_trait]
pub trait PushService: fmt::Debug + Send + Sync {
    /// Delivers a message to a target of this service's kind.
    async fn deliver(&self, message: &PushMessage, target: &Target) -> Delivery;
}

/// A node's push notifications.
#[derive(Clone, Debug)]
pub struct Push {
    /// Takes offers.
    pub pusher: Pusher,
    /// Targets of members.
    pub targets: Arc<Targets>,
    /// What members want.
    pub preferences: Arc<MemberPreferences>,
    /// The public key for browsers' subscriptions, if there are any.
    pub vapid_key: Option<Arc<str>>,
}

/// An adapter could not be built.
#[derive(Debug, thiserror::Error)]
pub enum PushSetupError {
    /// A file of the settings.
    #[error("{path} cannot be read")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file of the Firebase service account.
    #[error("the Firebase service account cannot be used: {0}")]
    Account(&'static str),
    /// The VAPID key's file.
    #[error(
        "the VAPID key cannot be used: expected a P-256 key as PKCS#8 in PEM (BEGIN PRIVATE KEY)"
    )]
    VapidKey,
    /// The system's TLS settings cannot be used.
    #[error("no HTTP client could be made")]
    Client(#[source] reqwest::Error),
}
