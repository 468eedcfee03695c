//! Profile of a member: what others are shown, and the language of notifications.
//!
//! The market reports profiles; a member without a record has the name that rooms store.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use shared::clock::UnixMillis;
use shared::ids::MemberId;
use shared::text::{CLOSED_NAME, Language};

use super::{MemberError, Members, stamp};
use crate::bus::Control;
use crate::metrics::ControlKind;
use crate::store::NewRecord;

/// The key of the record.
pub(super) const PROFILE_KEY: &str = "profile";

/// The key of the record that a closed account has beside or instead of it; it begins with the same
/// word, so that one read finds both.
pub(super) const CLOSED_KEY: &str = "profile:closed";

/// A name fits into a column of the market's members.
const NAME_CHARS_MAX: usize = 100;

/// Profiles read from the store at a time for one call.
const READS_AT_ONCE: usize = 16;

/// What browsers and servers take without trouble.
const URL_BYTES_MAX: usize = 2_048;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The name.
    pub name: String,
    /// The picture, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// The language of notifications.
    #[serde(default)]
    pub language: Language,
}

impl Profile {
    /// What others are shown of a closed account.
    fn closed() -> Self {
        Self {
            name: CLOSED_NAME.to_owned(),
            image_url: None,
            language: Language::default(),
        }
    }

    /// The profile within the bounds of a record: a name is cut, a picture's address is left out.
    fn bounded(self) -> Self {
        let image_url = self.image_url.filter(|url| url.len() <= URL_BYTES_MAX);
        Self {
            name: self.name.chars().take(NAME_CHARS_MAX).collect(),
            image_url,
            language: self.language,
        }
    }
}

impl Members {
    /// Stores the member's profile as of `at` and publishes the change to all nodes. An older one
    /// changes nothing, and neither does any of a closed account.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn set_profile(
        &self,
        member: MemberId,
        profile: Profile,
        at: UnixMillis,
    ) -> Result<(), MemberError> {
        if self.record(member, CLOSED_KEY).await? {
            return Ok(());
        }
        let json = serde_json::to_vec(&profile.bounded());
        let record = NewRecord {
            key: PROFILE_KEY.into(),
            value: json.expect("a profile has string keys only").into(),
            stamp: stamp(at),
            rank: 0,
            time_to_live: None,
        };
        let put = self.parts.records.put_record(member, record).await;
        put.map_err(|error| self.unavailable("put_record", &error))?;
        self.profiles.forget(member).await;
        let control = Control::ProfileChanged { member_id: member };
        self.publish(ControlKind::ProfileChanged, control);
        Ok(())
    }

    /// The member's profile, read within the last [`CACHE_AGE_MAX`](super::CACHE_AGE_MAX); `None` if the market has not
    /// reported one.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn profile(&self, member: MemberId) -> Result<Option<Profile>, MemberError> {
        let profile = self.known_profile(member).await?;
        Ok(profile.map(Arc::unwrap_or_clone))
    }

    /// The profiles of these members, those that have one.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`].
    pub async fn profiles(
        &self,
        members: &[MemberId],
    ) -> Result<HashMap<MemberId, Arc<Profile>>, MemberError> {
        stream::iter(members.to_vec())
            .map(async |member| Ok((member, self.known_profile(member).await?)))
            .buffer_unordered(READS_AT_ONCE)
            .try_filter_map(async |(member, profile)| Ok(profile.map(|profile| (member, profile))))
            .try_collect()
            .await
    }

    async fn known_profile(&self, member: MemberId) -> Result<Option<Arc<Profile>>, MemberError> {
        let read = || self.read_profile(member);
        self.profiles.get(member, read).await
    }

    async fn read_profile(&self, member: MemberId) -> Result<Option<Arc<Profile>>, MemberError> {
        let stored = self.parts.records.records(member, PROFILE_KEY).await;
        let stored = stored.map_err(|error| self.unavailable("records", &error))?;
        let with_key = |key| stored.iter().find(|record| &*record.key == key);
        if with_key(CLOSED_KEY).is_some() {
            return Ok(Some(Arc::new(Profile::closed())));
        }
        let Some(stored) = with_key(PROFILE_KEY) else {
            return Ok(None);
        };
        match serde_json::from_slice(&stored.value) {
            Ok(profile) => Ok(Some(Arc::new(profile))),
            Err(error) => {
                // Names of rooms serve instead: a list with an old name is better than none.
                tracing::error!(%member, "the profile of member {member} cannot be read: {error}");
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_profile_has_its_form_and_fits_into_a_record() {
        let profile = Profile {
            name: "김바다".to_owned(),
            image_url: Some("https://pictures.example/1.png".to_owned()),
            language: Language::English,
        };
        let json =
            r#"{"name":"김바다","imageUrl":"https://pictures.example/1.png","language":"en"}"#;
        assert_eq!(serde_json::to_string(&profile).unwrap(), json);
        let read: Profile = serde_json::from_str(json).unwrap();
        assert_eq!(read.clone().bounded(), read);
        let short: Profile = serde_json::from_str(r#"{"name":"a","later":1}"#).unwrap();
        assert_eq!((short.image_url, short.language), (None, Language::Korean));

        let large = Profile {
            name: "\u{1f600}".repeat(1_000),
            image_url: Some("x".repeat(10_000)),
            language: Language::Korean,
        };
        let stored = serde_json::to_vec(&large.bounded()).unwrap();
        assert!(stored.len() < crate::store::RECORD_BYTES_MAX);
    }
}
