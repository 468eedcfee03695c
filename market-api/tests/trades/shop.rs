//! A market whose members have cash and buy.

use std::sync::Arc;
use std::time::Duration;

use market_api::cache::{Cache, LocalCache};
use market_api::cash;
use market_api::db::{Abort, DbError, Tx, WriteError};
use market_api::idempotency::{IdempotencyError, IdempotentRequest, Reply};
use market_api::ledger;
use market_api::products::OfferError;
use market_api::reviews::{NewReview, ReviewError, Reviews};
use market_api::trades::{
    DataOrder, Fees, Purchase, PurchaseError, ScrapOrder, ScrapPart, SpotOrder, Trades,
};
use shared::ids::{ItemId, ReviewId, TradeId};
use shared::money::{Units, Won};

use crate::fixtures::{Market, member, product};
use crate::support::{Base, On, crowd, deadlocks, open};

/// A market with trades.
pub(crate) struct Shop {
    pub(crate) market: Market,
    pub(crate) trades: Trades,
    pub(crate) reviews: Reviews,
}

impl Shop {
    pub(crate) async fn open(on: On) -> Self {
        Self::with_fees(on, Fees::default()).await
    }

    pub(crate) async fn with_fees(on: On, fees: Fees) -> Self {
        Self::of(open(on).await, fees, Arc::new(LocalCache::new()))
    }

    pub(crate) fn of(base: Base, fees: Fees, cache: Arc<dyn Cache>) -> Self {
        let market = Market::of(base, cache);
        let trades = Trades::new(market.base.db.clone(), market.cache.clone(), fees);
        let reviews = Reviews::new(market.base.db.clone(), market.cache.clone());
        Self {
            market,
            trades,
            reviews,
        }
    }

    /// Members 1 to `count` with plans of 10 GB and this much cash each.
    pub(crate) async fn members(&self, count: i64, cash: i64) {
        self.market.members(count, 100).await;
        for id in 1..=count {
            self.give(id, cash).await;
        }
    }

    /// An opening balance, once for each member.
    pub(crate) async fn give(&self, id: i64, cash: i64) {
        if cash == 0 {
            return;
        }
        let db = &self.market.base.db;
        let done = unless_busy(async || {
            let given = db.write((id, cash), |(id, cash), tx| {
                Box::pin(give_in(*id, *cash, tx))
            });
            given.await
        });
        done.await.unwrap();
    }

    /// Buys units of an offer, or all of it.
    pub(crate) async fn buy(
        &self,
        buyer: i64,
        offer: i64,
        units: Option<u16>,
    ) -> Result<TradeId, PurchaseError> {
        let reply = self.buy_as(buyer, order(offer, units), None).await?;
        Ok(trade_of(&reply))
    }

    pub(crate) async fn buy_as(
        &self,
        buyer: i64,
        order: DataOrder,
        once: Option<IdempotentRequest>,
    ) -> Result<Reply, PurchaseError> {
        let buyer = member(buyer);
        let purchase = Purchase { buyer, once, order };
        unless_busy(async || self.trades.buy_data(purchase.clone()).await).await
    }

    pub(crate) async fn buy_scrap(
        &self,
        buyer: i64,
        order: ScrapOrder,
    ) -> Result<TradeId, PurchaseError> {
        let reply = self.buy_scrap_as(buyer, order, None).await?;
        Ok(trade_of(&reply))
    }

    pub(crate) async fn buy_scrap_as(
        &self,
        buyer: i64,
        order: ScrapOrder,
        once: Option<IdempotentRequest>,
    ) -> Result<Reply, PurchaseError> {
        let buyer = member(buyer);
        let purchase = Purchase { buyer, once, order };
        unless_busy(async || self.trades.buy_scrap(purchase.clone()).await).await
    }

    pub(crate) async fn buy_time(
        &self,
        buyer: i64,
        order: SpotOrder,
        once: Option<IdempotentRequest>,
    ) -> Result<Reply, PurchaseError> {
        let buyer = member(buyer);
        let purchase = Purchase { buyer, once, order };
        unless_busy(async || self.trades.buy_time(purchase.clone()).await).await
    }

    /// Reviews the other party of a member's trade.
    pub(crate) async fn review(
        &self,
        by: i64,
        trade: i64,
        stars: f64,
    ) -> Result<ReviewId, ReviewError> {
        let trade = TradeId::try_from(trade).unwrap();
        let form = || NewReview::parse(stars, None).unwrap();
        unless_busy(async || self.reviews.write(member(by), trade, form()).await).await
    }

    pub(crate) async fn edit_review(
        &self,
        by: i64,
        review: ReviewId,
        stars: f64,
    ) -> Result<(), ReviewError> {
        let form = || NewReview::parse(stars, None).unwrap();
        unless_busy(async || self.reviews.edit(member(by), review, form()).await).await
    }

    pub(crate) async fn delete_review(&self, by: i64, review: ReviewId) -> Result<(), ReviewError> {
        unless_busy(async || self.reviews.delete(member(by), review).await).await
    }

    /// What a member can spend.
    pub(crate) async fn cash(&self, id: i64) -> i64 {
        let cash = cash::Cash::new(self.market.base.db.clone());
        cash.balance(member(id)).await.unwrap().get()
    }

    /// Every invariant of the ledger holds.
    pub(crate) async fn verify(&self) {
        assert_eq!(ledger::verify(&self.market.base.db).await.unwrap(), []);
    }
}

/// An error that says that nothing was written, and that a repetition may succeed.
pub(crate) trait Busy {
    fn is_busy(&self) -> bool;
}

impl Busy for DbError {
    fn is_busy(&self) -> bool {
        match self {
            Self::Busy => true,
            // SQLite's writer has rolled back: the machine stood still for a second.
            Self::Unavailable(why) => why.starts_with("a closure took longer"),
            Self::Defect(_) => false,
        }
    }
}

impl Busy for PurchaseError {
    fn is_busy(&self) -> bool {
        if let Self::Db(error) = self {
            return error.is_busy();
        }
        *self == Self::Idempotency(IdempotencyError::KeyRunning)
    }
}

impl Busy for OfferError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_busy())
    }
}

impl Busy for ReviewError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_busy())
    }
}

impl<E> Busy for WriteError<E> {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Db(error) if error.is_busy())
    }
}

/// Repeats an operation while the database is busy, as clients do: on a slow machine a crowd waits longer
/// than a request may.
pub(crate) async fn unless_busy<T, E: Busy>(act: impl AsyncFn() -> Result<T, E>) -> Result<T, E> {
    for _ in 0..30 {
        match act().await {
            Err(error) if error.is_busy() => {}
            done => return done,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    act().await
}

async fn give_in(id: i64, cash: i64, tx: &mut Tx<'_>) -> Result<(), Abort<()>> {
    cash::open_balance_in(tx, member(id), Won::new(cash)).await?;
    Ok(())
}

/// An order without a price.
pub(crate) fn order(offer: i64, units: Option<u16>) -> DataOrder {
    let product = product(offer);
    DataOrder {
        product,
        item: item(offer),
        units: units.map(Units::new),
        price: None,
    }
}

/// A combination of units of offers, for so many units and at this price.
pub(crate) fn combination(
    parts: &[(i64, u16)],
    units: u16,
    price: i64,
) -> Result<ScrapOrder, PurchaseError> {
    let parts = parts.iter().map(|(offer, units)| ScrapPart {
        product: product(*offer),
        item: item(*offer),
        units: Units::new(*units),
    });
    ScrapOrder::new(parts, Units::new(units), Won::new(price))
}

pub(crate) fn item(offer: i64) -> ItemId {
    ItemId::try_from(u64::from(product(offer).get())).unwrap()
}

/// The trade in a response.
pub(crate) fn trade_of(reply: &Reply) -> TradeId {
    let body: serde_json::Value = serde_json::from_str(&reply.answer().body).unwrap();
    serde_json::from_value(body["data"]["tradeId"].clone()).unwrap()
}

impl Shop {
    /// Members `first` to `last` with plans of 10 GB and this much cash each.
    pub(crate) async fn crowd(&self, first: i64, last: i64, cash: i64) {
        self.market.sql(crowd(first, last, cash)).await;
    }

    /// The ledger holds, and no transaction was rerun or met a deadlock. It closes the database.
    pub(crate) async fn close(self) {
        self.verify().await;
        let base = &self.market.base;
        for reason in ["deadlock", "serialization"] {
            let reruns = base.metrics.db.reruns.with_label_values(&[reason]);
            assert_eq!(reruns.get(), 0, "{reason}");
        }
        assert_eq!(deadlocks(&base.db, &base.url).await, 0);
    }
}
