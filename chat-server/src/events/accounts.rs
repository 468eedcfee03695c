//! What events change about members' accounts: status, sessions, profiles, separations, their end.
//!
//! What this module does not do: notify. `addressees` has the messages of an event.

use shared::clock::UnixMillis;
use shared::event::{Envelope, Event, MemberUpdated};
use shared::ids::MemberId;
use shared::text::CLOSED_NAME;

use super::{Events, EventsParts, TakeError};
use crate::inbox::InboxError;
use crate::members::{MemberError, Profile, Separation};
use crate::push::PushStoreUnavailable;
use crate::rooms::RoomError;
use crate::store::AccountStatus;

impl Events {
    /// Applies what an event says about a member's account.
    pub(super) async fn apply(&self, envelope: &Envelope) -> Result<(), TakeError> {
        let at = envelope.occurred_at.to_unix();
        let members = &self.parts.members;
        if let Some(change) = separation_of(envelope) {
            let separated = members.separate(change).await;
            return separated.map_err(|_unavailable| TakeError::Unavailable);
        }
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
                Event::MemberClosed => self.close(*member, at).await,
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
                | Event::Untyped { .. } => return Ok(()),
            }
            .map_err(|_unavailable: MemberError| TakeError::Unavailable)?;
        }
        Ok(())
    }

    /// Blocks the account first: no request of the member saves data after it is removed here.
    async fn close(&self, member: MemberId, at: UnixMillis) -> Result<(), MemberError> {
        let EventsParts {
            members,
            rooms,
            inboxes,
            preferences,
            targets,
            ..
        } = &self.parts;
        members.close(member, at).await?;
        let push = async {
            targets.remove_all(member).await?;
            preferences.remove_all(member).await
        };
        push.await
            .map_err(|_unavailable: PushStoreUnavailable| MemberError::Unavailable)?;
        let renamed = rooms.rename(member, CLOSED_NAME).await;
        renamed.map_err(|_error: RoomError| MemberError::Unavailable)?;
        let erased = inboxes.erase(member).await;
        erased.map_err(|_error: InboxError| MemberError::Unavailable)
    }
}

/// The block that an event is about, if it is about one.
fn separation_of(envelope: &Envelope) -> Option<Separation> {
    let (pair, exists) = match &envelope.event {
        Event::MembersSeparated(pair) => (pair, true),
        Event::MembersReunited(pair) => (pair, false),
        Event::TradeCompleted(_)
        | Event::ProductSoldOut(_)
        | Event::WifiStarted(_)
        | Event::WifiEnded(_)
        | Event::CashCharged(_)
        | Event::CashRefunded(_)
        | Event::CashReturned(_)
        | Event::ReviewCreated(_)
        | Event::ReportDecided(_)
        | Event::MemberUpdated(_)
        | Event::MemberBlocked
        | Event::MemberUnblocked
        | Event::SessionRevoked(_)
        | Event::MemberClosed
        | Event::Untyped { .. } => return None,
    };
    Some(Separation {
        blocker: pair.blocker_id,
        blocked: pair.blocked_id,
        exists,
        at: envelope.occurred_at.to_unix(),
        number: envelope.aggregate_seq,
    })
}

fn profile_of(updated: &MemberUpdated) -> Profile {
    Profile {
        name: updated.name.clone(),
        image_url: updated.image_url.clone(),
        language: updated.language.unwrap_or_default(),
    }
}
