//! What events change about members' accounts: status, sessions, profiles.
//!
//! What this module does not do: notify. `addressees` has the messages of an event.

use shared::event::{Envelope, Event, MemberUpdated};

use super::{Events, TakeError};
use crate::members::{MemberError, Profile};
use crate::store::AccountStatus;

impl Events {
    /// Applies what an event says about a member's account.
    pub(super) async fn apply(&self, envelope: &Envelope) -> Result<(), TakeError> {
        let at = envelope.occurred_at.to_unix();
        let members = &self.parts.members;
        for member in &envelope.members {
            match &envelope.event {
                Event::MemberBlocked => members
                    .set(*member, AccountStatus::Blocked, at)
                    .await
                    .map(drop),
                Event::MemberUnblocked => members
                    .set(*member, AccountStatus::Good, at)
                    .await
                    .map(drop),
                Event::SessionRevoked(revoked) => {
                    members
                        .revoke_session(*member, revoked.sid.clone(), at)
                        .await
                }
                Event::MemberUpdated(updated) => {
                    members.set_profile(*member, profile_of(updated), at).await
                }
                Event::TradeCompleted(_)
                | Event::ProductSoldOut(_)
                | Event::WifiStarted(_)
                | Event::WifiEnded(_)
                | Event::CashCharged(_)
                | Event::CashRefunded(_)
                | Event::CashReturned(_)
                | Event::ReviewCreated(_)
                | Event::ReportDecided(_)
                | Event::MembersSeparated(_)
                | Event::MembersReunited(_)
                | Event::MemberClosed
                | Event::Untyped { .. } => return Ok(()),
            }
            .map_err(|_unavailable: MemberError| TakeError::Unavailable)?;
        }
        Ok(())
    }
}

fn profile_of(updated: &MemberUpdated) -> Profile {
    Profile {
        name: updated.name.clone(),
        image_url: updated.image_url.clone(),
        language: updated.language.unwrap_or_default(),
    }
}
