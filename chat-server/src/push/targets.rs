//! The members' push targets: the ten newest of each, over both kinds, as records of the member.
//!
//! A device may log in as another member while its target stays the same. So the member who saved a target last
//! is recorded by the target's digest, and a target is used only for that member: the former one's
//! messages never appear on the device.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use shared::clock::{Clock, UnixMillis};
use shared::ids::MemberId;

use super::web::{Endpoint, Subscription, SubscriptionKeys};
use super::{Target, fcm};
use crate::metrics::{Metrics, TargetRemoval};
use crate::store::{NewRecord, RecordStore, StoreError};

/// Targets of a member at most; a further one replaces the oldest.
pub const TARGETS_MAX: usize = 10;

/// A target that was not saved again for so long is gone: FCM's own limit. Clients save theirs at each start.
const LIFETIME: Duration = Duration::from_secs(270 * 24 * 3_600);

/// Prefix of the records' keys.
const KEY: &str = "push:";

/// Prefix of the keys of who saved a target last.
const OWNER_KEY: &str = "push-owner:";

/// Bytes of a digest that are used: no two targets have the same.
const DIGEST_BYTES: usize = 16;

/// The store does not answer now. A retry later may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("push targets and preferences cannot be read or written now")]
pub struct PushStoreUnavailable;

/// Names a target without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetDigest {
    text: String,
    /// The member under whose number the owner is recorded: any, as long as it follows from the target.
    shard: MemberId,
}

/// The stored form.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
enum StoredTarget {
    #[serde(rename_all = "camelCase")]
    Fcm { token: String, saved_at: i64 },
    #[serde(rename_all = "camelCase")]
    Web {
        endpoint: String,
        p256dh: String,
        auth: String,
        saved_at: i64,
    },
}

/// A target as it was saved.
#[derive(Clone, Debug)]
pub struct SavedTarget {
    /// Its name.
    pub digest: TargetDigest,
    /// Where it leads.
    pub target: Target,
    saved_at: i64,
}

/// Dependencies of [`Targets`].
pub struct TargetsParts {
    /// The records.
    pub store: Arc<dyn RecordStore>,
    /// Times of saving.
    pub clock: Arc<dyn Clock>,
    /// Counts removals.
    pub metrics: Arc<Metrics>,
    /// Endpoints below this URL are allowed whatever their scheme and address.
    pub test_url: Option<Url>,
}

/// The push targets of the site's members.
pub struct Targets {
    parts: TargetsParts,
}

impl fmt::Debug for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Targets").finish_non_exhaustive()
    }
}

impl fmt::Debug for TargetsParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TargetsParts").finish_non_exhaustive()
    }
}

impl TargetDigest {
    fn of(text: &str) -> Self {
        let full = digest(&SHA256, text.as_bytes());
        let bytes = &full.as_ref()[..DIGEST_BYTES];
        let number = bytes[..4]
            .iter()
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        let shard = number % (1 << 30) + 1;
        Self {
            text: URL_SAFE_NO_PAD.encode(bytes),
            shard: shard.try_into().expect("it is from 1 to 2^30"),
        }
    }

    /// The name of a browser's subscription with this endpoint.
    #[must_use]
    pub fn of_endpoint(endpoint: &Endpoint) -> Self {
        Self::of(endpoint.as_str())
    }

    /// A fraction from 0 to 1 that follows from the target.
    pub(super) fn fraction(&self) -> f64 {
        f64::from(u32::from(self.shard)) / f64::from(1_u32 << 30)
    }

    fn key(&self) -> Box<str> {
        format!("{KEY}{}", self.text).into()
    }

    fn owner_key(&self) -> Box<str> {
        format!("{OWNER_KEY}{}", self.text).into()
    }
}

impl Target {
    /// The name of this target.
    #[must_use]
    pub fn digest(&self) -> TargetDigest {
        match self {
            Self::Fcm(token) => TargetDigest::of(token.as_str()),
            Self::Web(subscription) => TargetDigest::of_endpoint(&subscription.endpoint),
        }
    }
}

impl Targets {
    /// The targets in this store.
    #[must_use]
    pub const fn new(parts: TargetsParts) -> Self {
        Self { parts }
    }

    /// Endpoints below this URL are allowed whatever their scheme and address.
    #[must_use]
    pub const fn test_url(&self) -> Option<&Url> {
        self.parts.test_url.as_ref()
    }

    /// The member has this target, and nobody else any more.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: it may be saved. Again is harmless.
    pub async fn save(
        &self,
        member: MemberId,
        target: &Target,
    ) -> Result<(), PushStoreUnavailable> {
        let now = self.parts.clock.unix_millis();
        let digest = target.digest();
        // First: from here on no message of another member goes there.
        let owner = NewRecord {
            key: digest.owner_key(),
            value: Bytes::from(member.to_string()),
            stamp: stamp(now),
            rank: 0,
            time_to_live: Some(LIFETIME),
        };
        let put = self.parts.store.put_record(digest.shard, owner).await;
        put.map_err(|error| self.unavailable("put_record", &error))?;
        let record = NewRecord {
            key: digest.key(),
            value: encode(target, now),
            stamp: stamp(now),
            rank: 0,
            time_to_live: Some(LIFETIME),
        };
        let put = self.parts.store.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))?;
        let mut saved = self.all(member).await?;
        for old in saved.drain(..).skip(TARGETS_MAX) {
            self.drop_target(member, &old.digest, TargetRemoval::Limit)
                .await?;
        }
        Ok(())
    }

    /// The member does not have this target any more.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: it may be removed. Again is harmless.
    pub async fn remove(
        &self,
        member: MemberId,
        digest: &TargetDigest,
    ) -> Result<(), PushStoreUnavailable> {
        let record = NewRecord {
            key: digest.key(),
            value: Bytes::new(),
            stamp: stamp(self.parts.clock.unix_millis()),
            rank: 0,
            time_to_live: None,
        };
        let put = self.parts.store.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))
    }

    /// The member has no target any more.
    ///
    /// # Errors
    /// [`PushStoreUnavailable`]: some may be removed. Again is harmless.
    pub async fn remove_all(&self, member: MemberId) -> Result<(), PushStoreUnavailable> {
        let store = &*self.parts.store;
        let removed = remove_records(store, member, KEY, self.parts.clock.unix_millis()).await;
        removed.map_err(|error| self.unavailable("remove_all", &error))
    }

    /// The member's targets, the newest first, at most [`TARGETS_MAX`].
    ///
    /// # Errors
    /// [`PushStoreUnavailable`].
    pub async fn of(&self, member: MemberId) -> Result<Vec<SavedTarget>, PushStoreUnavailable> {
        let mut saved = self.all(member).await?;
        saved.truncate(TARGETS_MAX);
        Ok(saved)
    }

    /// Whether the member saved this target last. If another one did, it is removed.
    pub(super) async fn is_owned(
        &self,
        member: MemberId,
        digest: &TargetDigest,
    ) -> Result<bool, PushStoreUnavailable> {
        let owner = self
            .parts
            .store
            .record(digest.shard, &digest.owner_key())
            .await;
        let owner = owner.map_err(|error| self.unavailable("record", &error))?;
        let is_owned = owner.is_none_or(|owner| owner == member.to_string().as_bytes());
        if !is_owned {
            self.drop_target(member, digest, TargetRemoval::Moved)
                .await?;
        }
        Ok(is_owned)
    }

    /// Removes a target, and counts why.
    pub(super) async fn drop_target(
        &self,
        member: MemberId,
        digest: &TargetDigest,
        why: TargetRemoval,
    ) -> Result<(), PushStoreUnavailable> {
        self.remove(member, digest).await?;
        self.parts.metrics.push.targets_removed.count(why);
        Ok(())
    }

    /// The newest first.
    async fn all(&self, member: MemberId) -> Result<Vec<SavedTarget>, PushStoreUnavailable> {
        let records = self.parts.store.records(member, KEY).await;
        let records = records.map_err(|error| self.unavailable("records", &error))?;
        let saved = records
            .iter()
            .filter_map(|record| self.decode(&record.value));
        let mut saved: Vec<_> = saved.collect();
        saved.sort_by_key(|target| std::cmp::Reverse(target.saved_at));
        Ok(saved)
    }

    /// What is no target any more, for example under other settings, is passed over.
    fn decode(&self, value: &[u8]) -> Option<SavedTarget> {
        let (target, saved_at) = match serde_json::from_slice(value).ok()? {
            StoredTarget::Fcm { token, saved_at } => {
                (Target::Fcm(fcm::Token::new(token)?), saved_at)
            }
            StoredTarget::Web {
                endpoint,
                p256dh,
                auth,
                saved_at,
            } => {
                let subscription = Subscription {
                    endpoint: Endpoint::parse(&endpoint, self.test_url()).ok()?,
                    keys: SubscriptionKeys::parse(&p256dh, &auth).ok()?,
                };
                (Target::Web(subscription), saved_at)
            }
        };
        Some(SavedTarget {
            digest: target.digest(),
            target,
            saved_at,
        })
    }

    fn unavailable(&self, operation: &'static str, error: &StoreError) -> PushStoreUnavailable {
        store_failed(&self.parts.metrics, operation, error)
    }
}

/// Removes the member's records whose keys begin so.
pub(super) async fn remove_records(
    store: &dyn RecordStore,
    member: MemberId,
    prefix: &str,
    now: UnixMillis,
) -> Result<(), StoreError> {
    for record in store.records(member, prefix).await? {
        let removal = NewRecord {
            key: record.key,
            value: Bytes::new(),
            stamp: stamp(now),
            rank: 0,
            time_to_live: None,
        };
        store.put_record(member, removal).await?;
    }
    Ok(())
}

/// Counts and logs a failed request to the store.
pub(super) fn store_failed(
    metrics: &Metrics,
    operation: &'static str,
    error: &StoreError,
) -> PushStoreUnavailable {
    error.note(operation, metrics);
    PushStoreUnavailable
}

/// The stamp of a write at this time.
pub(super) fn stamp(now: UnixMillis) -> u64 {
    now.get().unsigned_abs()
}

fn encode(target: &Target, now: UnixMillis) -> Bytes {
    let saved_at = now.get();
    let stored = match target {
        Target::Fcm(token) => StoredTarget::Fcm {
            token: token.as_str().to_owned(),
            saved_at,
        },
        Target::Web(subscription) => {
            let (p256dh, auth) = subscription.keys.to_text();
            StoredTarget::Web {
                endpoint: subscription.endpoint.as_str().to_owned(),
                p256dh,
                auth,
                saved_at,
            }
        }
    };
    serde_json::to_vec(&stored)
        .expect("texts and numbers are JSON")
        .into()
}
