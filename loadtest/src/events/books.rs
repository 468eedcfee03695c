//! Committed trades, read from the market's database, and what they say about each inbox.

use std::collections::{BTreeMap, BTreeSet};

use market_api::db::row::column;
use market_api::db::{Db, DbError};
use sqlx::query;

use super::judge::{Expected, Phase, Report, Side};

/// What the database says.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Purchases, by the buyer's trade.
    pub(crate) purchases: BTreeSet<u32>,
    /// By member.
    pub(crate) expected: BTreeMap<u32, Expected>,
}

/// Work that has not led to events in inboxes yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Rows of the outbox to relay.
    pub(crate) outbox: u32,
    /// Rows that the chat server refused.
    pub(crate) dead: u32,
    /// Starts and ends of bookings that are to be announced.
    pub(crate) announcements: u32,
}

#[derive(Debug)]
struct Booking {
    trade: u32,
    buyer: u32,
    seller: u32,
}

impl Pending {
    pub(crate) async fn read(db: &Db) -> Result<Self, DbError> {
        let mut connection = db.read().await?;
        let row = query(
            "select (select count(*) from outbox where dead_at is null) as waiting, \
             (select count(*) from outbox where dead_at is not null) as dead, \
             (select count(*) from schedule where name in ('booking-start', 'booking-end')) as due",
        )
        .fetch_one(&mut *connection)
        .await?;
        Ok(Self {
            outbox: column(&row, "waiting")?,
            dead: column(&row, "dead")?,
            announcements: column(&row, "due")?,
        })
    }

    pub(crate) fn is_done(self) -> bool {
        self.outbox == 0 && self.announcements == 0
    }
}

impl Books {
    pub(crate) async fn read(db: &Db) -> Result<Self, DbError> {
        let mut books = Self::default();
        let bookings = read_bookings(db).await?;
        let bookings: BTreeMap<u32, Booking> =
            bookings.into_iter().map(|one| (one.trade, one)).collect();
        books.add_purchases(db, &bookings).await?;
        books.add_sales(db, &bookings).await?;
        books.add_sold_out(db).await?;
        Ok(books)
    }

    async fn add_purchases(
        &mut self,
        db: &Db,
        bookings: &BTreeMap<u32, Booking>,
    ) -> Result<(), DbError> {
        let rows = query("select id, member_id from trade where kind like 'PURCHASE%'")
            .fetch_all(&mut *db.read().await?)
            .await?;
        for row in &rows {
            let (trade, buyer): (u32, u32) = (column(row, "id")?, column(row, "member_id")?);
            self.purchases.insert(trade);
            self.add_trade(
                buyer,
                Report::Bought(trade),
                bookings.get(&trade),
                Side::Buyer,
            );
        }
        Ok(())
    }

    /// A seller has one notification for all that one purchase took of its offers.
    async fn add_sales(
        &mut self,
        db: &Db,
        bookings: &BTreeMap<u32, Booking>,
    ) -> Result<(), DbError> {
        let rows = query(
            "select id, member_id, purchase_id from trade where purchase_id is not null order by id",
        )
        .fetch_all(&mut *db.read().await?)
        .await?;
        let mut sales = BTreeMap::<(u32, u32), Vec<u32>>::new();
        for row in &rows {
            let of: (u32, u32) = (column(row, "purchase_id")?, column(row, "member_id")?);
            sales.entry(of).or_default().push(column(row, "id")?);
        }
        for ((purchase, seller), sales) in sales {
            let sold = Report::Sold(sales);
            self.add_trade(seller, sold, bookings.get(&purchase), Side::Seller);
        }
        Ok(())
    }

    fn add_trade(&mut self, member: u32, traded: Report, booking: Option<&Booking>, side: Side) {
        let expected = self.expected.entry(member).or_default();
        expected.reports.insert(traded.clone());
        let Some(booking) = booking else { return };
        debug_assert_eq!(
            member,
            match side {
                Side::Buyer => booking.buyer,
                Side::Seller => booking.seller,
            }
        );
        let of = |phase| Report::Booking(booking.trade, side, phase);
        let mut chains = vec![vec![traded.clone(), of(Phase::Start), of(Phase::End)]];
        if side == Side::Buyer {
            let alarm = |phase| Report::Alarm(booking.trade, phase);
            chains.push(vec![traded, alarm(Phase::Start), alarm(Phase::End)]);
        }
        expected.reports.extend(chains.iter().flatten().cloned());
        expected.chains.extend(chains);
    }

    async fn add_sold_out(&mut self, db: &Db) -> Result<(), DbError> {
        let rows = query("select id, member_id from product where state = 'SOLD_OUT'")
            .fetch_all(&mut *db.read().await?)
            .await?;
        for row in &rows {
            let expected = self.expected.entry(column(row, "member_id")?).or_default();
            expected.reports.insert(Report::SoldOut(column(row, "id")?));
        }
        Ok(())
    }
}

async fn read_bookings(db: &Db) -> Result<Vec<Booking>, DbError> {
    let rows = query(
        "select trade_id, buyer_id, member_id from booking \
         join product on product.id = booking.product_id",
    )
    .fetch_all(&mut *db.read().await?)
    .await?;
    let read = |row| {
        Ok(Booking {
            trade: column(row, "trade_id")?,
            buyer: column(row, "buyer_id")?,
            seller: column(row, "member_id")?,
        })
    };
    let bookings: Result<_, sqlx::Error> = rows.iter().map(read).collect();
    Ok(bookings?)
}
