//! The end of an account: the member counts as blocked and has a neutral name, for good.
//!
//! Two records say so, and no later event changes them, whatever its time: the clocks of the market's
//! processes differ, so an older change may come with a later time.

use bytes::Bytes;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::profile::{CLOSED_KEY, KEY};
use super::standing::CLOSED_SESSIONS_KEY;
use super::{MemberError, Members, stamp};
use crate::bus::Control;
use crate::metrics::ControlKind;
use crate::store::{AccountStatus, NewRecord};

impl Members {
    /// The member closed the account: removes the profile, closes the connections here, and publishes
    /// that to all nodes. Idempotent.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn close(&self, member: MemberId, at: UnixMillis) -> Result<(), MemberError> {
        let marks = [
            (CLOSED_SESSIONS_KEY, "{}"),
            (CLOSED_KEY, "{}"),
            // What is left of the name and the picture.
            (KEY, ""),
        ];
        for (key, value) in marks {
            let record = NewRecord {
                key: key.into(),
                value: Bytes::from_static(value.as_bytes()),
                stamp: stamp(at),
                rank: 0,
                time_to_live: None,
            };
            let put = self.parts.records.put_record(member, record).await;
            put.map_err(|error| self.unavailable("put_record", &error))?;
        }
        self.profiles.forget(member).await;
        let control = Control::ProfileChanged { member_id: member };
        self.publish(ControlKind::ProfileChanged, control);
        self.set(member, AccountStatus::Blocked, at).await.map(drop)
    }
}
