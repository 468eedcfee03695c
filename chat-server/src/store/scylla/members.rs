//! The table of members: whether they may use the site.

use std::sync::Arc;

use shared::clock::UnixMillis;
use shared::ids::MemberId;

use super::client::Client;
use super::fault::corrupt;
use super::rows::number;
use crate::store::{AccountStatus, StoreError};

/// The table.
pub(super) struct MemberTable {
    client: Arc<Client>,
}

impl MemberTable {
    pub(super) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    pub(super) async fn status(&self, member: MemberId) -> Result<AccountStatus, StoreError> {
        let key = (number(member.get()),);
        let rows = self
            .client
            .rows(&self.client.statements().status, key)
            .await?;
        let found = rows.maybe_first_row::<(Option<bool>,)>();
        let found = found.map_err(|error| corrupt("a member", error))?;
        Ok(match found {
            Some((Some(true),)) => AccountStatus::Blocked,
            Some((Some(false) | None,)) | None => AccountStatus::Good,
        })
    }

    pub(super) async fn set_status(
        &self,
        member: MemberId,
        status: AccountStatus,
        at: UnixMillis,
    ) -> Result<(), StoreError> {
        let is_blocked = status == AccountStatus::Blocked;
        // In microseconds, and never 0, which servers may take for no timestamp.
        let stamp = at.get().saturating_mul(1_000).saturating_add(1);
        let values = (stamp, is_blocked, number(member.get()));
        let statement = &self.client.statements().set_account_status;
        self.client.write(statement, values).await
    }
}
