//! Members: whether they may use the site.

use async_trait::async_trait;
use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::ScyllaStore;
use super::fault::corrupt;
use super::rows::number;
use crate::metrics::StoreOp;
use crate::store::{AccountStatus, MemberStore, StoreError};

#[async_trait]
impl MemberStore for ScyllaStore {
    async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        let read = async {
            let member = (number(member.get()),);
            let rows = self.rows(&self.statements.status, member).await?;
            let found = rows.maybe_first_row::<(Option<bool>,)>();
            let found = found.map_err(|error| corrupt("a member", error))?;
            Ok(match found {
                Some((Some(true),)) => AccountStatus::Blocked,
                Some((Some(false) | None,)) | None => AccountStatus::Good,
            })
        };
        self.timed(StoreOp::AccountStatus, read).await
    }

    async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let is_blocked = status == AccountStatus::Blocked;
        // In microseconds, and never 0, which servers may take for no timestamp.
        let stamp = at.get().saturating_mul(1_000).saturating_add(1);
        let values = (stamp, is_blocked, number(member.get()));
        let write = self.write(&self.statements.set_account_status, values);
        self.timed(StoreOp::SetStanding, write).await
    }
}
