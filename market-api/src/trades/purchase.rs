//! Purchases: one transaction each, immediate and final (`money.md`, "Purchases").
//!
//! ```text
//! offers read (a refusal ends here, unless the key has a response) ─► BEGIN ─► key ─► offers taken
//!     ─► paid and recorded ─► response stored under the key ─► COMMIT ─► lists invalidated
//! ```

use shared::ids::MemberId;

use super::data::{self, DataOrder};
use super::error::PurchaseError;
use super::scrap::{self, ScrapOrder};
use super::settle::{Fees, settle_in};
use super::spot::{self, SpotOrder, Taken};
use super::{Trades, TxResult, answer};
use crate::cache::Namespace;
use crate::db::{Abort, Tx, WriteError};
use crate::idempotency::{self, IdempotentRequest, KeyState, Reply};
use crate::products::{Kind, Stock};

/// A purchase to make.
#[derive(Clone, Debug)]
pub struct Purchase<O> {
    /// The member who pays.
    pub buyer: MemberId,
    /// The request's key, if it has one.
    pub once: Option<IdempotentRequest>,
    /// What to buy.
    pub order: O,
}

/// What the transaction needs: the order with its offers as they were read.
#[derive(Clone, Debug)]
enum Order {
    Data(DataOrder, Stock),
    Scrap(ScrapOrder),
    Spot(SpotOrder),
}

/// The input of the transaction.
#[derive(Clone, Debug)]
struct Context {
    buyer: MemberId,
    once: Option<IdempotentRequest>,
    order: Order,
    fees: Fees,
}

impl Trades {
    /// Buys mobile data from one offer.
    ///
    /// # Errors
    /// See [`PurchaseError`].
    pub async fn buy_data(&self, purchase: Purchase<DataOrder>) -> Result<Reply, PurchaseError> {
        let Purchase { buyer, once, order } = purchase;
        match data::read(&self.db, buyer, &order).await {
            Ok(read) => {
                let order = Order::Data(order, read);
                self.purchase(buyer, once, order, Kind::MobileData).await
            }
            Err(refused) => self.replay_or(once.as_ref(), refused).await,
        }
    }

    /// Buys a quoted combination of offers of mobile data.
    ///
    /// # Errors
    /// See [`PurchaseError`]; [`PurchaseError::QuoteOutdated`] if it cannot be bought exactly as quoted.
    pub async fn buy_scrap(&self, purchase: Purchase<ScrapOrder>) -> Result<Reply, PurchaseError> {
        let Purchase { buyer, once, order } = purchase;
        match scrap::pre_check(&self.db, buyer, &order).await {
            Ok(()) => {
                let order = Order::Scrap(order);
                self.purchase(buyer, once, order, Kind::MobileData).await
            }
            Err(refused) => self.replay_or(once.as_ref(), refused).await,
        }
    }

    /// Buys time on a spot. The same times of the same buyer again are answered with the first purchase.
    ///
    /// # Errors
    /// See [`PurchaseError`].
    pub async fn buy_time(&self, purchase: Purchase<SpotOrder>) -> Result<Reply, PurchaseError> {
        let Purchase { buyer, once, order } = purchase;
        match (spot::read(&self.db, buyer, &order).await, &once) {
            (Ok(Some(before)), None) => Ok(Reply::Replayed(answer::of_time(&before)?)),
            // With a key: the transaction finds the booking too, and stores the response under the key.
            (Ok(Some(_)), Some(_)) | (Ok(None), _) => {
                let kind = order.kind;
                self.purchase(buyer, once, Order::Spot(order), kind).await
            }
            (Err(refused), once) => self.replay_or(once.as_ref(), refused).await,
        }
    }

    /// The stored response if the request was done before, else the refusal. Read after the offers: a request
    /// that they refuse because it was done meanwhile finds its response.
    async fn replay_or(
        &self,
        once: Option<&IdempotentRequest>,
        refused: PurchaseError,
    ) -> Result<Reply, PurchaseError> {
        let stored = match once {
            Some(once) => idempotency::look_up(&self.db, once).await?,
            None => None,
        };
        stored.map(Reply::Replayed).ok_or(refused)
    }

    async fn purchase(
        &self,
        buyer: MemberId,
        once: Option<IdempotentRequest>,
        order: Order,
        kind: Kind,
    ) -> Result<Reply, PurchaseError> {
        let context = Context {
            buyer,
            once,
            order,
            fees: self.fees,
        };
        let db = self.db.clone();
        let write = async move {
            let work = db.write(context, |context, tx| Box::pin(purchase_in(context, tx)));
            let reply = work.await?;
            let changed: Option<Namespace> = match &reply {
                Reply::New(_) => Some(kind.namespace()),
                Reply::Replayed(_) => None,
            };
            Ok((changed, reply))
        };
        let done = self.cache.change(write).await;
        done.map_err(WriteError::into_domain)
    }
}

async fn purchase_in(context: &Context, tx: &mut Tx<'_>) -> TxResult<Reply> {
    if let Some(once) = &context.once {
        let state = idempotency::begin_in(tx, once).await;
        match state.map_err(Abort::widen)? {
            KeyState::Replay(answer) => return Ok(Reply::Replayed(answer)),
            KeyState::New => {}
        }
    }
    let reply = trade_in(context, tx).await?;
    if let Some(once) = &context.once {
        idempotency::finish_in(tx, once, reply.answer()).await?;
    }
    Ok(reply)
}

async fn trade_in(context: &Context, tx: &mut Tx<'_>) -> TxResult<Reply> {
    let (buyer, fees) = (context.buyer, context.fees);
    match &context.order {
        Order::Data(order, read) => {
            let basket = data::take_in(tx, buyer, order, read).await?;
            let trade = settle_in(tx, buyer, &basket, fees).await?;
            Ok(Reply::New(answer::of(trade)?))
        }
        Order::Scrap(order) => {
            let basket = scrap::take_in(tx, buyer, order).await?;
            let trade = settle_in(tx, buyer, &basket, fees).await?;
            Ok(Reply::New(answer::of(trade)?))
        }
        Order::Spot(order) => match spot::take_in(tx, buyer, order).await? {
            Taken::Before(booked) => Ok(Reply::Replayed(answer::of_time(&booked)?)),
            Taken::Now(time) => {
                let trade = settle_in(tx, buyer, &time.basket, fees).await?;
                let booked = spot::book_in(tx, buyer, order, &time, trade).await?;
                Ok(Reply::New(answer::of_time(&booked)?))
            }
        },
    }
}
