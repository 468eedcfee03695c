//! What members want to be notified of: by class of event, and rooms that are muted for a time.
//!
//! Preferences are read through a cache, at most [`CACHE_AGE_MAX`] old, as every event needs them; mutes are read
//! from the store, as only a push needs them.

use std::fmt;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::clock::{Clock, UnixMillis};
use shared::ids::{MemberId, RoomId};
use utoipa::ToSchema;

use super::targets::{PushStoreUnavailable, remove_records, stamp, store_failed};
use crate::aged_cache::AgedCache;
use crate::metrics::Metrics;
use crate::store::{NewRecord, RecordStore};

/// How old cached preferences may be: a bound on how long another node goes by the former ones.
pub const CACHE_AGE_MAX: Duration = Duration::from_secs(60);

/// Some 100 bytes each.
const CACHED_MAX: u64 = 100_000;

/// The record of the preferences.
const KEY: &str = "preferences";

/// Prefix of the records of muted rooms.
const MUTE_KEY: &str = "mute:";

/// What a member gets of a class of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// In the inbox and live, and by push without a live connection.
    Push,
    /// In the inbox and live.
    Live,
    /// Nothing.
    None,
}

/// Classes of events that members decide on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Messages of rooms.
    Chat,
    /// What happens to trades, products, cash, reviews and reports; and every kind that is not known here.
    Trade,
    /// Advertising.
    Marketing,
}

impl Class {
    /// The class of an event kind.
    #[must_use]
    pub fn of_kind(kind: &str) -> Self {
        match kind.split('.').next() {
            Some("chat") => Self::Chat,
            Some("marketing") => Self::Marketing,
            Some(_) | None => Self::Trade,
        }
    }
}

/// The preferences of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Preferences {
    /// Messages of rooms.
    #[serde(default = "push")]
    pub chat: Channel,
    /// Trades, products, cash, reviews, reports.
    #[serde(default = "push")]
    pub trade: Channel,
    /// Advertising.
    #[serde(default = "none")]
    pub marketing: Channel,
}

const fn push() -> Channel {
    Channel::Push
}

const fn none() -> Channel {
    Channel::None
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            chat: push(),
            trade: push(),
            marketing: none(),
        }
    }
}

impl Preferences {
    /// What the member gets of this class.
    #[must_use]
    pub const fn channel(&self, class: Class) -> Channel {
        match class {
            Class::Chat => self.chat,
            Class::Trade => self.trade,
            Class::Marketing => self.marketing,
        }
    }
}

/// A room whose messages are not pushed for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mute {
    /// The room.
    pub room: RoomId,
    /// When it ends.
    pub until: UnixMillis,
}

/// Preferences of all members, with a cache of this node.
pub struct MemberPreferences {
    store: Arc<dyn RecordStore>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    cache: AgedCache<Preferences>,
}

impl fmt::Debug for MemberPreferences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberPreferences")
            .field("cached", &self.cache.count())
            .finish_non_exhaustive()
    }
}

impl MemberPreferences {
    /// Preferences in this store, with an empty cache.
    #[must_use]
    pub fn new(store: Arc<dyn RecordStore>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let cache = AgedCache::new(CACHE_AGE_MAX, CACHED_MAX, Arc::clone(&clock));
        Self {
            store,
            clock,
            metrics,
            cache,
        }
    }

    /// A member's preferences, not older than [`CACHE_AGE_MAX`].
    ///
    /// # Errors
    /// [`PushStoreUnavailable`].
    pub async fn of(&self, member: MemberId) -> Result<Preferences, PushStoreUnavailable> {
        self.cache.get(member, || self.read(member)).await
    }

    /// A member's preferences, read from the store now.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`].
    pub async fn of_now(&self, member: MemberId) -> Result<Preferences, PushStoreUnavailable> {
        self.cache.refresh(member, self.read(member)).await
    }

    /// Replaces a member's preferences.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: they may be replaced. Again is harmless.
    pub async fn set(
        &self,
        member: MemberId,
        preferences: Preferences,
    ) -> Result<(), PushStoreUnavailable> {
        let json = serde_json::to_vec(&preferences).expect("texts are JSON");
        self.put(member, KEY.into(), json.into(), None).await?;
        self.cache.forget(member).await;
        Ok(())
    }

    /// The muted rooms of a member.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`].
    pub async fn mutes(&self, member: MemberId) -> Result<Vec<Mute>, PushStoreUnavailable> {
        let records = self.store.records(member, MUTE_KEY).await;
        let records = records.map_err(|error| store_failed(&self.metrics, "records", &error))?;
        let now = self.clock.unix_millis();
        let mute = |key: &str, value: &[u8]| {
            Some(Mute {
                room: RoomId::from_str(key.strip_prefix(MUTE_KEY)?).ok()?,
                until: parse_until(value).filter(|until| now < *until)?,
            })
        };
        let mutes = records
            .iter()
            .filter_map(|record| mute(&record.key, &record.value));
        Ok(mutes.collect())
    }

    /// Whether the member has muted the room.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`].
    pub async fn is_muted(
        &self,
        member: MemberId,
        room: RoomId,
    ) -> Result<bool, PushStoreUnavailable> {
        let record = self.store.record(member, &mute_key(room)).await;
        let record = record.map_err(|error| store_failed(&self.metrics, "record", &error))?;
        let until = record.and_then(|value| parse_until(&value));
        Ok(until.is_some_and(|until| self.clock.unix_millis() < until))
    }

    /// Mutes a room for so long; returns when that ends.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: it may be muted. Again is harmless.
    pub async fn mute(
        &self,
        member: MemberId,
        room: RoomId,
        time: Duration,
    ) -> Result<UnixMillis, PushStoreUnavailable> {
        let until = self.clock.unix_millis().saturating_add(time);
        let value = Bytes::from(until.get().to_string());
        self.put(member, mute_key(room), value, Some(time)).await?;
        Ok(until)
    }

    /// Ends the mute of a room.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: it may have ended. Again is harmless.
    pub async fn unmute(&self, member: MemberId, room: RoomId) -> Result<(), PushStoreUnavailable> {
        self.put(member, mute_key(room), Bytes::new(), None).await
    }

    /// Removes the member's preferences and mutes.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: some may be removed. Again is harmless.
    pub async fn remove_all(&self, member: MemberId) -> Result<(), PushStoreUnavailable> {
        let now = self.clock.unix_millis();
        for prefix in [KEY, MUTE_KEY] {
            let removed = remove_records(&*self.store, member, prefix, now).await;
            removed.map_err(|error| store_failed(&self.metrics, "remove_all", &error))?;
        }
        self.cache.forget(member).await;
        Ok(())
    }

    async fn put(
        &self,
        member: MemberId,
        key: Box<str>,
        value: Bytes,
        time_to_live: Option<Duration>,
    ) -> Result<(), PushStoreUnavailable> {
        let record = NewRecord {
            key,
            value,
            stamp: stamp(self.clock.unix_millis()),
            rank: 0,
            time_to_live,
        };
        let put = self.store.put_record(member, record).await;
        put.map_err(|error| store_failed(&self.metrics, "put_record", &error))
    }

    async fn read(&self, member: MemberId) -> Result<Preferences, PushStoreUnavailable> {
        let record = self.store.record(member, KEY).await;
        let record = record.map_err(|error| store_failed(&self.metrics, "record", &error))?;
        let preferences = record.and_then(|value| serde_json::from_slice(&value).ok());
        Ok(preferences.unwrap_or_default())
    }
}

fn mute_key(room: RoomId) -> Box<str> {
    format!("{MUTE_KEY}{room}").into()
}

fn parse_until(value: &[u8]) -> Option<UnixMillis> {
    let millis: i64 = str::from_utf8(value).ok()?.parse().ok()?;
    millis.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_known_is_of_the_trade_class() {
        for (kind, class) in [
            ("trade.completed", Class::Trade),
            ("wifi.started", Class::Trade),
            ("lottery.won", Class::Trade),
            ("chat.message", Class::Chat),
            ("marketing.offer", Class::Marketing),
            ("", Class::Trade),
        ] {
            assert_eq!(Class::of_kind(kind), class, "{kind}");
        }
    }
}
