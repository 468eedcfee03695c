//! What operators do.

mod http;
mod repo;

use serde_json::json;
use shared::ids::MemberId;

use crate::db::{Db, Stop, Tx};
use crate::http::Failure;
use crate::outbox::{self, Event, EventKind};
use shared::web::Refusal;

pub use http::routes;

/// Whether a member may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They may.
    Welcome,
    /// They may not; it holds from their next request on.
    Blocked,
}

/// An operator's order.
#[derive(Clone, Debug)]
pub struct Order {
    /// Who gives it.
    pub by: MemberId,
    /// About whom.
    pub member: MemberId,
    /// What is to hold.
    pub standing: Standing,
    /// The request, for the record.
    pub request: Option<String>,
}

/// Operators' orders.
#[derive(Clone, Debug)]
pub struct Admins {
    db: Db,
}

impl Admins {
    /// Orders about the members of this database.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Carries out an order, and notes who gave it. Given twice it changes nothing more.
    ///
    /// # Errors
    /// [`Failure::MemberUnknown`], forbidden for oneself, or the database's.
    pub async fn carry_out(&self, order: Order) -> Result<(), Failure> {
        if order.by == order.member {
            // Whoever locks themselves out could not let themselves in again.
            return Err(Refusal::Forbidden.into());
        }
        let done = self
            .db
            .write(order, |order, tx| Box::pin(carry_out_in(order, tx)));
        Ok(done.await?)
    }
}

async fn carry_out_in(order: &Order, tx: &mut Tx<'_>) -> Result<(), Stop<Failure>> {
    let (kind, action) = match order.standing {
        Standing::Blocked => (EventKind::MemberBlocked, "member.block"),
        Standing::Welcome => (EventKind::MemberUnblocked, "member.unblock"),
    };
    repo::note(tx, order, action).await?;
    if repo::set_standing(tx, order.member, order.standing).await? {
        let event = Event {
            kind,
            aggregate: format!("member:{}", order.member),
            members: vec![order.member],
            data: json!({}),
        };
        outbox::append(tx, &event).await?;
    } else if !repo::is_member(tx, order.member).await? {
        return Err(Stop::Refused(Failure::MemberUnknown));
    }
    Ok(())
}
