//! The SQL of chat rooms.

use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{MemberId, ProductId, RoomId};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _, query};

use super::rooms::{ChatRoom, Participant};
use crate::db::row::{column, named, optional};
use crate::db::{Db, DbError, Lock, LockMode, Tx};
use crate::products::{Kind, State};

type Sql<T> = Result<T, sqlx::Error>;

/// An offer with the data that its room displays, and the flags that decide whether a room is allowed.
#[derive(Clone, Debug)]
pub(super) struct Offer {
    product: ProductId,
    kind: Kind,
    pub(super) state: State,
    pub(super) expires_at: Option<UnixMillis>,
    pub(super) is_seller_blocked: bool,
    pub(super) is_buyer_blocked: bool,
    seller: Person,
    buyer: Person,
    hours: Option<(LocalDateTime, LocalDateTime)>,
}

#[derive(Clone, Debug)]
struct Person {
    id: MemberId,
    name: String,
    image_url: Option<String>,
}

/// A room's row: its id and the version read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) id: RoomId,
    /// The version of the hours that was read with the row.
    pub(super) version: i64,
}

/// Columns of an offer `p` of a seller `s` for a buyer `b`, after the given ones.
macro_rules! offer {
    ($columns:literal, $rest:literal) => {
        concat!(
            "select ",
            $columns,
            "p.id as product, p.kind, p.state, p.expires_at, \
             s.id as seller, s.name as seller_name, s.image_url as seller_image, \
             s.blocked as seller_blocked, b.id as buyer, b.name as buyer_name, \
             b.image_url as buyer_image, b.blocked as buyer_blocked, sp.opens_at, sp.closes_at ",
            $rest
        )
    };
}

/// The offer joined with this buyer.
pub(super) async fn offer(
    tx: &mut Tx<'_>,
    product: ProductId,
    buyer: MemberId,
) -> Sql<Option<Offer>> {
    let row = query(offer!(
        "",
        "from product p join member s on s.id = p.member_id join member b on b.id = $2 \
         left join spot sp on sp.product_id = p.id where p.id = $1"
    ))
    .bind(i64::from(product))
    .bind(i64::from(buyer))
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| Offer::read(&row)).transpose()
}

/// The room of this product and buyer, if an id is allocated.
pub(super) async fn place(
    tx: &mut Tx<'_>,
    product: ProductId,
    buyer: MemberId,
) -> Sql<Option<Place>> {
    let row = query("select id, version from chat_room where product_id = $1 and buyer_id = $2")
        .bind(i64::from(product))
        .bind(i64::from(buyer))
        .fetch_optional(tx.connection())
        .await?;
    row.map(|row| Place::read(&row)).transpose()
}

/// True if the chat server has the current version of the room of this product and buyer.
pub(super) async fn is_sent(db: &Db, product: ProductId, buyer: MemberId) -> Result<bool, DbError> {
    let mut connection = db.read().await?;
    let row = query(
        "select 1 from chat_room where product_id = $1 and buyer_id = $2 and sent >= version",
    )
    .bind(i64::from(product))
    .bind(i64::from(buyer))
    .fetch_optional(&mut *connection)
    .await?;
    Ok(row.is_some())
}

/// Allocates an id, `step` above the last one. Concurrent allocations wait for this transaction.
pub(super) async fn next_id(tx: &mut Tx<'_>, step: i64) -> Sql<RoomId> {
    tx.note_locks([Lock::ChatRoomNumber], LockMode::Exclusive);
    let row = query("update chat_room_number set last = last + $1 where one = 1 returning last")
        .bind(step)
        .fetch_one(tx.connection())
        .await?;
    column(&row, "last")
}

/// Inserts the offer's room; on a conflict the existing row stays and is returned.
pub(super) async fn insert(tx: &mut Tx<'_>, id: RoomId, offer: &Offer) -> Sql<Place> {
    let now = tx.now().get();
    let row = query(
        "insert into chat_room (id, product_id, buyer_id, seller_id, created_at) \
         values ($1, $2, $3, $4, $5) \
         on conflict (product_id, buyer_id) do update set buyer_id = excluded.buyer_id \
         returning id, version",
    )
    .bind(i64::from(id))
    .bind(i64::from(offer.product))
    .bind(i64::from(offer.buyer.id))
    .bind(i64::from(offer.seller.id))
    .bind(now)
    .fetch_one(tx.connection())
    .await?;
    Place::read(&row)
}

/// Deletes a room whose id the chat server refused.
pub(super) async fn forget(tx: &mut Tx<'_>, id: RoomId) -> Sql<()> {
    query("delete from chat_room where id = $1")
        .bind(i64::from(id))
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Records the version sent. If a newer one was recorded before, two calls overlapped and the chat server
/// may have either: the version rises, so that the room is resent.
pub(super) async fn set_sent(tx: &mut Tx<'_>, place: Place) -> Sql<()> {
    query(
        "update chat_room set version = case when sent > $2 then version + 1 else version end, \
         sent = case when sent > $2 then sent else $2 end where id = $1 and sent <> $2",
    )
    .bind(i64::from(place.id))
    .bind(place.version)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Rooms after `after` of which the chat server has an older version.
pub(super) async fn outdated_after(
    connection: &mut AnyConnection,
    after: Option<RoomId>,
    limit: i64,
) -> Sql<Vec<(Place, Offer)>> {
    let rows = query(offer!(
        "r.id, r.version, ",
        "from chat_room r join product p on p.id = r.product_id join member s on s.id = p.member_id \
         join member b on b.id = r.buyer_id left join spot sp on sp.product_id = p.id \
         where r.sent > 0 and r.sent < r.version and r.id > $1 order by r.id limit $2"
    ))
    .bind(after.map_or(0, i64::from))
    .bind(limit)
    .fetch_all(connection)
    .await?;
    let read = |row: &AnyRow| Ok((Place::read(row)?, Offer::read(row)?));
    rows.iter().map(read).collect()
}

/// The number of rooms of which the chat server has an older version.
///
/// # Errors
/// The database's.
pub async fn outdated(db: &Db) -> Result<i64, DbError> {
    let row = query("select count(*) from chat_room where sent > 0 and sent < version")
        .fetch_one(&mut *db.read().await?)
        .await?;
    Ok(row.try_get(0)?)
}

impl Place {
    fn read(row: &AnyRow) -> Sql<Self> {
        Ok(Self {
            id: column(row, "id")?,
            version: row.try_get("version")?,
        })
    }
}

impl Offer {
    fn read(row: &AnyRow) -> Sql<Self> {
        let opens_at: Option<LocalDateTime> = optional(row, "opens_at")?;
        Ok(Self {
            product: column(row, "product")?,
            kind: named(row, "kind")?,
            state: named(row, "state")?,
            expires_at: optional(row, "expires_at")?,
            is_seller_blocked: column(row, "seller_blocked")?,
            is_buyer_blocked: column(row, "buyer_blocked")?,
            seller: Person {
                id: column(row, "seller")?,
                name: row.try_get("seller_name")?,
                image_url: row.try_get("seller_image")?,
            },
            buyer: Person {
                id: column(row, "buyer")?,
                name: row.try_get("buyer_name")?,
                image_url: row.try_get("buyer_image")?,
            },
            hours: opens_at.zip(optional(row, "closes_at")?),
        })
    }

    /// The member who sells.
    pub(super) fn seller(&self) -> MemberId {
        self.seller.id
    }

    /// True if the buyer is the seller.
    pub(super) fn is_own(&self) -> bool {
        self.seller.id == self.buyer.id
    }

    /// The room with this id about the offer.
    pub(super) fn room(&self, id: RoomId) -> ChatRoom {
        ChatRoom {
            id,
            product: self.product,
            kind: self.kind,
            hours: self.hours,
            buyer: self.buyer.participant(),
            seller: self.seller.participant(),
        }
    }
}

impl Person {
    fn participant(&self) -> Participant {
        Participant {
            member: self.id,
            name: self.name.clone(),
            image_url: self.image_url.clone(),
        }
    }
}
