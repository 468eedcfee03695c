//! The end of an account: one transaction, refused while money or booked time of the member is open.
//!
//! ```text
//! offers ─► wallet ─► member ─► reasons against it? ─► offers deleted, files doomed, personal fields gone,
//!     sessions revoked ─► COMMIT ─► member.closed ─► the chat server forgets the name
//! ```
//!
//! The locks of the offers stop sales, that of the wallet stops payments, charges and refunds, and that of the member's
//! row new offers and uploads. What is read after them cannot change before the COMMIT, and what waits for them finds
//! the account closed (`domain.md` 6.9).

use shared::event::{Event, MemberUpdated};
use shared::ids::MemberId;
use shared::money::Won;
use shared::text::{CLOSED_NAME, Language};

use super::{Account, repo};
use crate::db::{Abort, DbError, Tx, WriteError};
use crate::members::StatusChange;
use crate::outbox::{self, NewEvent};
use crate::{auth, cash, images, members, products};

/// Attempts of a closing that meets offers made at the same time.
const TRIES_MAX: u32 = 5;

/// A reason why an account cannot be closed yet. The order is that of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InUse {
    /// Cash is left.
    Cash,
    /// The member owes after a reversal.
    Debt,
    /// A charge may still be captured, or captured money of the member is in suspense.
    Charge,
    /// A refund is in progress.
    Refund,
    /// Booked time has not ended, as buyer or seller.
    Booking,
    /// The member is the last administrator.
    Admin,
}

impl InUse {
    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cash => "CASH",
            Self::Debt => "DEBT",
            Self::Charge => "CHARGE",
            Self::Refund => "REFUND",
            Self::Booking => "BOOKING",
            Self::Admin => "ADMIN",
        }
    }
}

/// Why an account was not closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// For these reasons, at least one.
    #[error("the account is in use: {0:?}")]
    InUse(Vec<InUse>),
    /// It was closed meanwhile.
    #[error("the account is closed")]
    Closed,
    /// An offer was made at the same time. Nothing was changed; a retry may succeed.
    #[error("offers are being made")]
    Moved,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Account {
    /// Closes the member's account for ever.
    ///
    /// # Errors
    /// See [`CloseError`].
    pub async fn close(&self, member: MemberId) -> Result<(), CloseError> {
        for _ in 1..TRIES_MAX {
            match self.try_close(member).await {
                Err(CloseError::Moved) => {}
                done => return done,
            }
        }
        self.try_close(member).await
    }

    async fn try_close(&self, member: MemberId) -> Result<(), CloseError> {
        let db = self.db.clone();
        let write = async move {
            let closed = db.write(member, |member, tx| Box::pin(close_in(*member, tx)));
            closed.await?;
            Ok((StatusChange::Changed, ()))
        };
        let closed = self.members.change_status(write).await;
        closed.map_err(WriteError::into_domain)
    }
}

async fn close_in(member: MemberId, tx: &mut Tx<'_>) -> Result<(), Abort<CloseError>> {
    let locked = products::lock_active_of_in(tx, member).await?;
    let standing = cash::settle_in(tx, member).await?;
    let closing = members::lock_to_close_in(tx, member).await?;
    let closing = closing.ok_or(Abort::Refused(CloseError::Closed))?;
    if products::count_active_of_in(tx, member).await? != locked {
        return Err(Abort::Refused(CloseError::Moved));
    }
    let open = repo::open_business(tx, member).await?;
    let reasons = [
        (standing.cash > Won::ZERO, InUse::Cash),
        (standing.owed > Won::ZERO, InUse::Debt),
        (open.charges, InUse::Charge),
        (open.refunds, InUse::Refund),
        (open.bookings, InUse::Booking),
        (closing.is_last_admin, InUse::Admin),
    ];
    let reasons: Vec<_> = reasons
        .into_iter()
        .filter_map(|(applies, reason)| applies.then_some(reason))
        .collect();
    if !reasons.is_empty() {
        return Err(Abort::Refused(CloseError::InUse(reasons)));
    }
    remove_in(member, tx).await?;
    Ok(())
}

/// Removes what the account has; its rows in the books stay.
async fn remove_in(member: MemberId, tx: &mut Tx<'_>) -> Result<(), sqlx::Error> {
    products::close_all_in(tx, member).await?;
    images::doom_all_of_in(tx, member).await?;
    members::close_in(tx, member).await?;
    auth::end_all_in(tx, member).await?;
    let nobody = MemberUpdated {
        name: CLOSED_NAME.to_owned(),
        image_url: None,
        language: Some(Language::default()),
    };
    outbox::redact_in(tx, member, &nobody).await?;
    outbox::append(tx, &NewEvent::of_member(member, Event::MemberClosed)).await
}
