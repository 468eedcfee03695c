//! Chats about offers: a room for each product and buyer.
//!
//! ```text
//! open ─► transaction: may there be one? its id ─► COMMIT ─► chat server makes the room ─► its version is noted
//! name, picture, hours change ─► trigger: the room's version rises ─► refresh sends it again
//! ```
//!
//! The market allocates the ids and sends what rooms show; messages are the chat server's. A room's
//! id is kept when the chat server does not answer, so the next attempt makes the same room.

mod client;
mod http;
mod repo;
mod rooms;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use shared::clock::UnixMillis;
use shared::ids::{MemberId, ProductId, RoomId};
use tokio::time::{sleep, timeout};

use crate::db::{Abort, Db, Tx};
use crate::http::ApiError;
use crate::members;
use crate::metrics::Metrics;
use crate::products::{self, State};
use repo::{Offer, Place};

pub use client::{HttpChatRooms, NoClient};
pub use http::routes;
pub use repo::outdated;
pub use rooms::{ChatRoom, ChatRooms, Participant, PutRoomError};

/// A call that failed is made once more after this: a node of the chat server that stops is out of
/// the balancer by then, or a connection was just lost.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Ids tried for a room while the chat server has others of them: after a restored backup. The
/// steps double, so the last of them is 32,768 ids further on.
const ID_TRIES_MAX: u32 = 16;

/// Rooms read at once to be sent again.
const REFRESH_BATCH: i64 = 100;

/// Rooms sent again in one go; the rest follows in the next.
const REFRESH_BATCHES_MAX: u32 = 4;

/// How long one go may take: half of what the schedule gives its work.
const REFRESH_MAX: Duration = Duration::from_secs(10);

/// A step inside a transaction.
type TxResult<T> = Result<T, Abort<ApiError>>;

/// The chats. Clones are the same.
#[derive(Clone, Debug)]
pub struct Chats {
    db: Db,
    rooms: Arc<dyn ChatRooms>,
    metrics: Arc<Metrics>,
    /// How long a call of the chat server may take.
    answer_max: Duration,
    /// The room up to which this process has sent outdated ones again; 0 at the first.
    refreshed: Arc<AtomicI64>,
}

/// What one transaction found or made.
#[derive(Clone, Debug)]
struct Wanted {
    place: Place,
    offer: Offer,
}

impl Chats {
    /// Chats about the offers of `db`, in rooms of the chat server behind `rooms`.
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

    /// The room in which this member asks about this product: the one that is there, or a new one.
    /// Sold-out offers count, since whoever bought one may have to ask.
    ///
    /// # Errors
    /// [`ApiError::ProductUnknown`]; [`ApiError::ChatOwnProduct`]; [`ApiError::ProductNotValid`] when
    /// the offer was withdrawn, has expired, or its seller is blocked; [`ApiError::MemberBlocked`];
    /// [`ApiError::ChatUnavailable`].
    pub async fn open(&self, buyer: MemberId, product: ProductId) -> Result<RoomId, ApiError> {
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
                    tracing::warn!("chat room {} is another conversation's", room.id);
                    taken = Some(wanted.place.id);
                }
                Err(PutRoomError::Away(_)) => return Err(ApiError::ChatUnavailable),
                Err(error @ PutRoomError::Refused(_)) => {
                    tracing::error!("chat room {} was not made: {error}", room.id);
                    return Err(ApiError::ChatUnavailable);
                }
            }
        }
        tracing::error!("no chat room id that is free in {ID_TRIES_MAX} tries");
        Err(ApiError::ChatUnavailable)
    }

    /// Whether the chat server has this member's room about this product, and its newest version.
    ///
    /// # Errors
    /// The database's.
    pub async fn is_made(&self, buyer: MemberId, product: ProductId) -> Result<bool, ApiError> {
        Ok(repo::is_sent(&self.db, product, buyer).await?)
    }

    /// Sends rooms again whose names, pictures or hours have changed, until there are none. The
    /// schedule calls it.
    ///
    /// # Errors
    /// The database's. What was sent by then is noted. A chat server that is away is none: what is
    /// left stays outdated.
    pub async fn refresh(&self) -> Result<(), ApiError> {
        // What is left then follows in the next run.
        let some = timeout(REFRESH_MAX, self.refresh_some()).await;
        some.unwrap_or(Ok(()))
    }

    async fn refresh_some(&self) -> Result<(), ApiError> {
        let mut after = self.refreshed.load(Ordering::Relaxed);
        for _ in 0..REFRESH_BATCHES_MAX {
            let batch = {
                let mut connection = self.db.read().await?;
                repo::outdated_after(&mut connection, RoomId::try_from(after).ok(), REFRESH_BATCH)
                    .await?
            };
            if batch.is_empty() {
                // The next run begins at the first room again, with those that were refused.
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
                        tracing::error!(
                            "chat room {} was not brought up to date: {error}",
                            place.id
                        );
                    }
                }
            }
        }
        Ok(())
    }

    /// The room's id, in place of one that was `taken`.
    async fn place(
        &self,
        buyer: MemberId,
        product: ProductId,
        taken: Option<RoomId>,
        step: i64,
    ) -> Result<Wanted, ApiError> {
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
        Ok(placed.await?)
    }

    /// Makes the room in the chat server: within its time, and once more where that may help.
    async fn put(&self, room: &ChatRoom) -> Result<(), PutRoomError> {
        let first = self.put_once(room).await;
        let result = match first {
            Err(PutRoomError::Away(why)) => {
                tracing::debug!("chat room {} is tried once more: {why}", room.id);
                sleep(RETRY_AFTER).await;
                self.put_once(room).await
            }
            other => other,
        };
        if let Err(error @ PutRoomError::Away(_)) = &result {
            tracing::warn!("chat room {} cannot be made now: {error}", room.id);
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

    /// The chat server has this version.
    async fn note(&self, place: Place) -> Result<(), ApiError> {
        let noted = self.db.write(place, |place, tx| {
            Box::pin(async move {
                repo::set_sent(tx, *place).await?;
                Ok::<_, Abort<ApiError>>(())
            })
        });
        Ok(noted.await?)
    }
}

/// Keeps others from changing what a room of this product and buyer shows, until this transaction ends:
/// a change that waits for it finds the room and outdates it.
///
/// Opening hours are changed under the product's lock. The product comes before the members, as
/// everywhere.
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
        return Err(Abort::Refused(ApiError::ProductUnknown));
    };
    check(&offer, tx.now()).map_err(Abort::Refused)?;
    let place = match repo::place(tx, product, buyer).await? {
        Some(place) => place,
        None => {
            let id = repo::next_id(tx, step).await?;
            repo::insert(tx, id, &offer).await?
        }
    };
    Ok(Wanted { place, offer })
}

/// Whether its buyer may ask about it.
fn check(offer: &Offer, now: UnixMillis) -> Result<(), ApiError> {
    let expired = offer.expires_at.is_some_and(|at| at <= now);
    let is_shown = match offer.state {
        State::SoldOut => true,
        State::Active => !expired,
        State::Hidden | State::Deleted => false,
    };
    if offer.is_buyer_blocked {
        Err(ApiError::MemberBlocked)
    } else if offer.is_own() {
        Err(ApiError::ChatOwnProduct)
    } else if !is_shown || offer.is_seller_blocked {
        Err(ApiError::ProductNotValid)
    } else {
        Ok(())
    }
}
