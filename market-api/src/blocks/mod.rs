//! Members who block each other: separated in both directions, whichever of them blocked. Owns the table
//! `member_block`.
//!
//! ```text
//! block ─► transaction: row, event ─► COMMIT ─► what both are separated from is read anew
//! list  ─► shared page ─► has it a row of a separated seller? ─► read again without those
//! ```
//!
//! The listings of a separated member are as if unavailable, and so are those of a blocked account for
//! everybody. Statements of other modules use the conditions of this one ([`not_blocked`], [`listed`],
//! [`hidden`]).
//!
//! What this module does not do: block accounts (`admin`), or refuse messages: the chat server does, from the
//! events.

mod http;
mod repo;
mod separated;

use shared::clock::LocalDateTime;
use shared::drain::Drain;
use shared::event::{Event, MemberPair};
use shared::ids::MemberId;
use shared::web::{PageSize, Rows};

use crate::cache::{ListCache, Namespace, SingleFlight};
use crate::db::{Abort, Db, DbError, Tx, WriteError};
use crate::members;
use crate::outbox::{self, NewEvent};

pub use http::routes;
pub use repo::{hidden, hides, is_separated, listed, not_blocked};
pub use separated::Separated;

/// Bound of the members that one member blocks.
const BLOCKS_MAX: u64 = 500;

/// Why a block was not made or undone.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// Members cannot block themselves.
    #[error("a block of oneself")]
    Oneself,
    /// No such member.
    #[error("no such member")]
    MemberUnknown,
    /// The member blocks 500 others already.
    #[error("too many blocks")]
    TooMany,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// The parameters of a page of blocks.
#[derive(Clone, Copy, Debug)]
pub struct BlocksQuery {
    /// The member who reads the own blocks.
    pub blocker: MemberId,
    /// The number of rows.
    pub size: PageSize,
    /// The last row of the previous page.
    pub after: Option<u32>,
}

/// A member whom the reader blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockRow {
    /// The row's id: a page's cursor.
    pub id: u32,
    /// The blocked member.
    pub member: MemberId,
    /// That member's name.
    pub name: String,
    /// URL of that member's picture.
    pub image: Option<String>,
    /// The time of the block.
    pub blocked_at: LocalDateTime,
}

/// The blocks of members. Clones share one state.
#[derive(Clone, Debug)]
pub struct Blocks {
    db: Db,
    cache: ListCache,
    single_flight: SingleFlight<Result<Separated, DbError>>,
}

impl Blocks {
    /// The blocks in `db`; what members are separated from is cached in `cache`, and read in `drain`.
    #[must_use]
    pub fn new(db: Db, cache: ListCache, drain: Drain) -> Self {
        Self {
            db,
            cache,
            single_flight: SingleFlight::new(drain),
        }
    }

    /// Blocks a member. Idempotent. The other need not be active.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub async fn block(&self, blocker: MemberId, blocked: MemberId) -> Result<(), BlockError> {
        self.change(blocker, blocked, Change::Block).await
    }

    /// Undoes a block. Idempotent. If the other blocks this member, too, they stay separated.
    ///
    /// # Errors
    /// See [`BlockError`].
    pub async fn unblock(&self, blocker: MemberId, blocked: MemberId) -> Result<(), BlockError> {
        self.change(blocker, blocked, Change::Unblock).await
    }

    /// A page of the members whom a member blocks, newest block first.
    ///
    /// # Errors
    /// The database's.
    pub async fn blocked(&self, query: &BlocksQuery) -> Result<Rows<BlockRow>, DbError> {
        let rows = repo::blocked(&mut *self.db.read().await?, query).await?;
        Ok(Rows::cut(rows, query.size))
    }

    async fn change(
        &self,
        blocker: MemberId,
        blocked: MemberId,
        change: Change,
    ) -> Result<(), BlockError> {
        if blocker == blocked {
            return Err(BlockError::Oneself);
        }
        let pair = MemberPair {
            blocker_id: blocker,
            blocked_id: blocked,
        };
        let db = self.db.clone();
        let write = async move {
            let work = db.write((pair, change), |(pair, change), tx| {
                Box::pin(change_in(*pair, *change, tx))
            });
            let changed = match work.await? {
                true => vec![Namespace::blocks_of(blocker), Namespace::blocks_of(blocked)],
                false => Vec::new(),
            };
            Ok((changed, ()))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Block,
    Unblock,
}

/// Makes the change; false if nothing has changed. The lock of the blocker's row makes the count exact, and
/// serializes the block with a room that is being opened (`chats`).
async fn change_in(
    pair: MemberPair,
    change: Change,
    tx: &mut Tx<'_>,
) -> Result<bool, Abort<BlockError>> {
    members::lock_in(tx, pair.blocker_id).await?;
    if !members::exists(tx.connection(), pair.blocked_id).await? {
        return Err(Abort::Refused(BlockError::MemberUnknown));
    }
    let event = match change {
        Change::Block => {
            if repo::exists(tx, pair).await? {
                return Ok(false);
            }
            if repo::count(tx, pair.blocker_id).await? >= BLOCKS_MAX {
                return Err(Abort::Refused(BlockError::TooMany));
            }
            repo::insert(tx, pair).await?;
            Event::MembersSeparated(pair)
        }
        Change::Unblock => {
            if !repo::delete(tx, pair).await? {
                return Ok(false);
            }
            Event::MembersReunited(pair)
        }
    };
    let event = NewEvent {
        event,
        aggregate: pair.blocker_id.into(),
        members: vec![pair.blocker_id, pair.blocked_id],
    };
    outbox::append(tx, &event).await?;
    Ok(true)
}
