//! Members: whether they may use the site.

use async_trait::async_trait;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::ScyllaStore;
use super::fault::corrupt;
use super::rows::number;
use crate::metrics::StoreOp;
use crate::store::{MemberStore, Standing, StoreError};

#[async_trait]
impl MemberStore for ScyllaStore {
    async fn standing(&self, member: MemberId) -> Result<Standing, StoreError> {
        let read = async {
            let member = (number(member.get()),);
            let rows = self.rows(&self.statements.standing, member).await?;
            let found = rows.maybe_first_row::<(Option<bool>,)>();
            let found = found.map_err(|error| corrupt("a member", error))?;
            Ok(match found {
                Some((Some(true),)) => Standing::Blocked,
                Some((Some(false) | None,)) | None => Standing::Good,
            })
        };
        self.timed(StoreOp::Standing, read).await
    }

    async fn set_standing(
        &self,
        member: MemberId,
        standing: Standing,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let is_blocked = standing == Standing::Blocked;
        // In microseconds, and never 0, which servers may take for no timestamp.
        let stamp = at.get().saturating_mul(1_000).saturating_add(1);
        let values = (stamp, is_blocked, number(member.get()));
        let write = self.write(&self.statements.set_standing, values);
        self.timed(StoreOp::SetStanding, write).await
    }
}
