//! Chats about offers: a room for each product and buyer.
//!
//! ```text
//! open ─► transaction: check the offer, allocate an id ─► COMMIT ─► PUT to the chat server
//!      ─► record the version sent
//! hours change ─► trigger: the room's version rises ─► the refresh job resends it
//! ```
//!
//! A room is sent with the names and pictures of that time; later ones reach the chat server as
//! `member.updated`, one event for all rooms of a member.
//!
//! The market allocates room ids and sends what rooms display; the chat server owns the messages. The id is
//! stored before the call, so a retry after a failed call creates the same room.

mod client;
mod http;
mod repo;
mod rooms;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId, RoomId};
use tokio::time::{sleep, timeout};

use crate::blocks;
use crate::db::{Abort, Db, DbError, Tx, WriteError};
use crate::members;
use crate::metrics::Metrics;
use crate::products::{self, State};
use repo::{Offer, Place};

pub use client::HttpChatRooms;
pub use http::routes;
pub use repo::outdated;
pub use rooms::{ChatRoom, ChatRooms, Participant, PutRoomError};

/// Back-off before the one retry of a failed call: by then the load balancer has removed a stopping node,
/// or a lost connection is replaced.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Bound of ids tried for a room while the chat server already uses them: after a restored backup. The
/// steps double, so the last one is 32,768 ids further on.
const ID_TRIES_MAX: u32 = 16;

/// Batch size of a refresh query.
const REFRESH_BATCH: i64 = 100;

/// Bound of batches in one run of the refresh; the next run continues.
const REFRESH_BATCHES_MAX: u32 = 4;

/// Deadline of one run: half of the schedule's handler deadline.
const REFRESH_MAX: Duration = Duration::from_secs(10);

/// The result of a step inside a transaction.
type TxResult<T> = Result<T, Abort<OpenError>>;

/// Why no room was opened.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// No such product.
    #[error("no such product")]
    ProductUnknown,
    /// The offer was deleted or has expired, its seller is blocked, or one of the two blocks the other.
    #[error("the product is no longer available")]
    ProductUnavailable,
    /// The buyer is the seller.
    #[error("a chat about an own product")]
    OwnProduct,
    /// The buyer is blocked.
    #[error("the buyer is blocked")]
    BuyerBlocked,
    /// The chat server did not make the room. The same again makes the same room.
    #[error("the chat server is unavailable")]
    ChatUnavailable,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Chat rooms about offers. Clones share one state.
#[derive(Clone, Debug)]
pub struct Chats {
    db: Db,
    rooms: Arc<dyn ChatRooms>,
    metrics: Arc<Metrics>,
    /// Deadline of a call to the chat server.
    answer_max: Duration,
    /// Cursor of the refresh: the last room resent by this process; 0 at the start.
    refreshed: Arc<AtomicI64>,
}

/// The result of the transaction that finds or allocates a room.
#[derive(Clone, Debug)]
struct Wanted {
    place: Place,
    offer: Offer,
}

impl Chats {
    /// Chats about the offers in `db`; `rooms` creates them in the chat server.
    #[must_use]
    pub fn new(
        db: Db,
        rooms: Arc<dyn ChatRooms>,
        metrics: Arc<Metrics>,
        answer_max: Duration,
    ) -> Self {
        Self {
            db,
            rooms,
            metrics,
            answer_max,
            refreshed: Arc::default(),
        }
    }

    /// Opens the room of this buyer and product: the existing one, or a new one. Sold-out offers are allowed,
    /// since their buyers may have questions.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(&self, buyer: MemberId, product: ProductId) -> Result<RoomId, OpenError> {
        let mut taken = None;
        for nth in 0..ID_TRIES_MAX {
            let step = 1_i64 << nth;
            let wanted = self.place(buyer, product, taken, step).await?;
            let room = wanted.offer.room(wanted.place.id);
            match self.put(&room).await {
                Ok(()) => {
                    self.note(wanted.place).await?;
                    return Ok(room.id);
                }
                Err(PutRoomError::Taken) => {
                    tracing::warn!("chat room id {} is in use by another conversation", room.id);
                    taken = Some(wanted.place.id);
                }
                Err(PutRoomError::Away(_)) => return Err(OpenError::ChatUnavailable),
                Err(error @ PutRoomError::Refused(_)) => {
                    tracing::error!("chat room {} not created: {error}", room.id);
                    return Err(OpenError::ChatUnavailable);
                }
            }
        }
        tracing::error!("no free chat room id after {ID_TRIES_MAX} tries");
        Err(OpenError::ChatUnavailable)
    }

    /// True if the chat server has the newest version of this buyer's room about this product.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_made(&self, buyer: MemberId, product: ProductId) -> Result<bool, DbError> {
        repo::is_sent(&self.db, product, buyer).await
    }

    /// Resends rooms whose hours have changed, until none are left or the run's bounds are
    /// reached. A scheduled job.
    ///
    /// # Errors
    /// The database's. What was sent by then is noted. A chat server that is away is none: what is
    /// left stays outdated.
    pub async fn refresh(&self) -> Result<(), DbError> {
        // On the deadline the next run continues.
        let some = timeout(REFRESH_MAX, self.refresh_some()).await;
        some.unwrap_or(Ok(()))
    }

    async fn refresh_some(&self) -> Result<(), DbError> {
        let mut after = self.refreshed.load(Ordering::Relaxed);
        for _ in 0..REFRESH_BATCHES_MAX {
            let batch = {
                let mut connection = self.db.read().await?;
                repo::outdated_after(&mut connection, RoomId::try_from(after).ok(), REFRESH_BATCH)
                    .await?
            };
            if batch.is_empty() {
                // The next run starts at the first room again, and retries those that were refused.
                self.refreshed.store(0, Ordering::Relaxed);
                return Ok(());
            }
            for (place, offer) in batch {
                after = i64::from(place.id);
                self.refreshed.store(after, Ordering::Relaxed);
                match self.put(&offer.room(place.id)).await {
                    Ok(()) => self.note(place).await?,
                    Err(PutRoomError::Away(_)) => return Ok(()),
                    Err(error @ (PutRoomError::Taken | PutRoomError::Refused(_))) => {
                        tracing::error!("chat room {} not updated: {error}", place.id);
                    }
                }
            }
        }
        Ok(())
    }

    /// Finds or allocates the room's id; replaces the id `taken`, which another conversation uses.
    async fn place(
        &self,
        buyer: MemberId,
        product: ProductId,
        taken: Option<RoomId>,
        step: i64,
    ) -> Result<Wanted, OpenError> {
        let asked = (buyer, product, taken, step);
        let placed = self.db.write(asked, |(buyer, product, taken, step), tx| {
            Box::pin(async move {
                lock_shown(*product, *buyer, tx).await?;
                if let Some(taken) = taken {
                    repo::forget(tx, *taken).await?;
                }
                place_in(*buyer, *product, *step, tx).await
            })
        });
        placed.await.map_err(WriteError::into_domain)
    }

    /// Creates or updates the room in the chat server, with a deadline and one retry.
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let first = self.put_once(room).await;
        let result = match first {
            Err(PutRoomError::Away(why)) => {
                tracing::debug!("retrying chat room {}: {why}", room.id);
                sleep(RETRY_AFTER).await;
                self.put_once(room).await
            }
            other => other,
        };
        if let Err(error @ PutRoomError::Away(_)) = &result {
            tracing::warn!(
                "chat room {} not created, the chat server is unavailable: {error}",
                room.id
            );
        }
        result
    }

    async fn put_once(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let put = timeout(self.answer_max, self.rooms.put(room)).await;
        let result = put.unwrap_or_else(|_elapsed| {
            let why = format!("no answer within {:?}", self.answer_max);
            Err(PutRoomError::Away(why))
        });
        let outcome = match &result {
            Ok(()) => "made",
            Err(PutRoomError::Away(_)) => "away",
            Err(PutRoomError::Taken) => "taken",
            Err(PutRoomError::Refused(_)) => "refused",
        };
        self.metrics.chat_calls.with_label_values(&[outcome]).inc();
        result
    }

    /// Records that the chat server has this version.
    async fn note(&self, place: Place) -> Result<(), DbError> {
        let noted = self.db.write(place, |place, tx| {
            Box::pin(async move {
                repo::set_sent(tx, *place).await?;
                Ok::<_, Abort<Infallible>>(())
            })
        });
        Ok(noted.await?)
    }
}

/// Locks what a room of this product and buyer depends on until this transaction ends: a concurrent change
/// of hours waits, then finds the room's row and marks it outdated; a concurrent block waits, too.
///
/// Opening hours change under the product's lock. The product is locked before the members, as in every
/// transaction.
async fn lock_shown(
    product: ProductId,
    buyer: MemberId,
    tx: &mut Tx<'_>,
) -> Result<(), sqlx::Error> {
    if let Some(seller) = products::lock_shared_in(tx, product).await? {
        members::lock_shared_in(tx, [seller, buyer]).await?;
    }
    Ok(())
}

async fn place_in(
    buyer: MemberId,
    product: ProductId,
    step: i64,
    tx: &mut Tx<'_>,
) -> TxResult<Wanted> {
    let Some(offer) = repo::offer(tx, product, buyer).await? else {
        return Err(Abort::Refused(OpenError::ProductUnknown));
    };
    let is_separated = blocks::is_separated(tx, offer.seller(), buyer).await?;
    check(&offer, is_separated, tx.now()).map_err(Abort::Refused)?;
    let place = match repo::place(tx, product, buyer).await? {
        Some(place) => place,
        None => {
            let id = repo::next_id(tx, step).await?;
            repo::insert(tx, id, &offer).await?
        }
    };
    Ok(Wanted { place, offer })
}

/// Checks that this buyer may open a room: the offer is active or sold out and not their own, neither party's
/// account is blocked, and neither blocks the other.
fn check(offer: &Offer, is_separated: bool, now: UnixMillis) -> Result<(), OpenError> {
    let expired = offer.expires_at.is_some_and(|at| at <= now);
    let is_shown = match offer.state {
        State::SoldOut => true,
        State::Active => !expired,
        State::Hidden | State::Deleted => false,
    };
    if offer.is_buyer_blocked {
        Err(OpenError::BuyerBlocked)
    } else if offer.is_own() {
        Err(OpenError::OwnProduct)
    } else if !is_shown || offer.is_seller_blocked || is_separated {
        Err(OpenError::ProductUnavailable)
    } else {
        Ok(())
    }
}
