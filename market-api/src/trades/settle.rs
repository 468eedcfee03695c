//! Payment and records of a purchase, after its offers are taken: the buyer's wallet and month, the trades
//! of all sides, the journal, the sellers' credits, the events. In the order of the locks.

use std::collections::BTreeMap;

use shared::event::{CompletedSale, Event, ProductSoldOut, TradeCompleted};
use shared::ids::{MemberId, TradeId};
use shared::money::{Units, Won};

use super::TxResult;
use super::basket::{Basket, Line};
use super::kind::TradeKind;
use super::repo::{self, NewTrade};
use crate::cash::{self, Account, JournalKind, Payment, Posting};
use crate::db::{Abort, Tx, defect, overflow};
use crate::outbox::{self, NewEvent};
use crate::plans;
use crate::products::Kind;

/// Fees of sales, in basis points of the price (1/10,000), rounded down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fees {
    /// Of mobile data.
    pub data: u16,
    /// Of time on Wi-Fi spots and hotspots.
    pub spots: u16,
}

impl Fees {
    fn of(self, kind: Kind, price: Won) -> Option<Won> {
        let points = match kind {
            Kind::MobileData => self.data,
            Kind::Wifi | Kind::Hotspot => self.spots,
        };
        let fee = price.checked_mul(i64::from(points))?;
        Some(Won::new(fee.get().div_euclid(10_000)))
    }
}

/// A line with the seller's trade and the fee.
struct Sale {
    line: Line,
    trade: TradeId,
    fee: Won,
}

impl Sale {
    /// What the seller gets.
    fn income(&self) -> Option<Won> {
        self.line.price.checked_sub(self.fee)
    }
}

/// Pays for a basket and records it; returns the buyer's trade.
pub(super) async fn settle_in(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    basket: &Basket,
    fees: Fees,
) -> TxResult<TradeId> {
    let price = basket.price().ok_or_else(overflow)?;
    let units = basket.units().ok_or_else(overflow)?;
    let paid = cash::pay_in(tx, buyer, price).await.map_err(Abort::widen)?;
    if units > Units::ZERO {
        let added = plans::add_bought_in(tx, buyer, units).await;
        added.map_err(Abort::widen)?;
    }
    let trade = record_purchase(tx, buyer, basket, paid).await?;
    let sales = record_sales(tx, trade, basket, fees).await?;
    let bought = sales.iter().map(|sale| (trade, sale.line));
    let sold = sales.iter().map(|sale| (sale.trade, sale.line));
    let details: Vec<_> = bought.chain(sold).collect();
    repo::insert_details(tx, &details).await?;
    post(tx, buyer, trade, paid, &sales).await?;
    append_events(tx, buyer, trade, basket, &sales).await?;
    Ok(trade)
}

async fn record_purchase(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    basket: &Basket,
    paid: Payment,
) -> Result<TradeId, sqlx::Error> {
    let minutes = basket.minutes().ok_or_else(overflow)?;
    let new = NewTrade {
        member: buyer,
        kind: basket.kind,
        price: basket.price().ok_or_else(overflow)?,
        fee: Won::ZERO,
        units: basket.units().filter(|units| *units > Units::ZERO),
        minutes: Some(minutes).filter(|minutes| *minutes > 0),
        paid: Some(paid),
        purchase: None,
    };
    repo::insert_trade(tx, &new).await
}

async fn record_sales(
    tx: &mut Tx<'_>,
    purchase: TradeId,
    basket: &Basket,
    fees: Fees,
) -> Result<Vec<Sale>, sqlx::Error> {
    let mut sales = Vec::with_capacity(basket.lines.len());
    for line in &basket.lines {
        let fee = fees.of(basket.of, line.price).ok_or_else(overflow)?;
        let new = NewTrade {
            member: line.seller,
            kind: TradeKind::sale_of(basket.of),
            price: line.price,
            fee,
            units: line.amount.units(),
            minutes: line.amount.minutes(),
            paid: None,
            purchase: Some(purchase),
        };
        let trade = repo::insert_trade(tx, &new).await?;
        sales.push(Sale {
            line: *line,
            trade,
            fee,
        });
    }
    Ok(sales)
}

/// The journal: from the buyer's buckets to each seller, less the fees. A seller of several offers gets one
/// credit.
async fn post(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    trade: TradeId,
    paid: Payment,
    sales: &[Sale],
) -> Result<(), sqlx::Error> {
    let mut incomes: BTreeMap<MemberId, Won> = BTreeMap::new();
    for sale in sales {
        let income = sale.income().ok_or_else(overflow)?;
        let sum = incomes.entry(sale.line.seller).or_default();
        *sum = sum.checked_add(income).ok_or_else(overflow)?;
    }
    let fees = Won::checked_sum(sales.iter().map(|sale| sale.fee)).ok_or_else(overflow)?;
    let mut postings = vec![
        Posting::debit(Account::WalletCharged(buyer), paid.charged),
        Posting::debit(Account::WalletEarned(buyer), paid.earned),
        Posting::credit(Account::FeeIncome, fees)?,
    ];
    for (seller, income) in &incomes {
        postings.push(Posting::credit(Account::WalletEarned(*seller), *income)?);
    }
    let journal = cash::post_in(tx, JournalKind::Trade, trade.into(), &postings).await?;
    let journal =
        journal.ok_or_else(|| defect(format!("trade {trade} is in the books already")))?;
    for (seller, income) in incomes {
        if income > Won::ZERO {
            cash::credit_in(tx, journal, seller, income).await?;
        }
    }
    Ok(())
}

/// Events last, since they lock the numbers of their aggregates.
async fn append_events(
    tx: &mut Tx<'_>,
    buyer: MemberId,
    trade: TradeId,
    basket: &Basket,
    sales: &[Sale],
) -> Result<(), sqlx::Error> {
    let mut events: Vec<_> = basket.lines.iter().filter_map(sold_out).collect();
    events.push(completed(buyer, trade, basket, sales)?);
    outbox::append_all(tx, &events).await
}

fn sold_out(line: &Line) -> Option<NewEvent> {
    line.is_sold_out.then(|| NewEvent {
        event: Event::ProductSoldOut(ProductSoldOut {
            product_id: line.product,
            seller_id: line.seller,
        }),
        aggregate: line.product.into(),
        members: vec![line.seller],
    })
}

fn completed(
    buyer: MemberId,
    trade: TradeId,
    basket: &Basket,
    sales: &[Sale],
) -> Result<NewEvent, sqlx::Error> {
    let mut members = vec![buyer];
    for sale in sales {
        if !members.contains(&sale.line.seller) {
            members.push(sale.line.seller);
        }
    }
    let sales = sales.iter().map(|sale| CompletedSale {
        trade_id: sale.trade,
        seller_id: sale.line.seller,
        product_id: sale.line.product,
        price: sale.line.price,
        fee: sale.fee,
        data_amount: sale.line.amount.units(),
    });
    let data = TradeCompleted {
        trade_id: trade,
        trade_type: basket.kind.name().to_owned(),
        buyer_id: buyer,
        price: basket.price().ok_or_else(overflow)?,
        data_amount: basket.units().filter(|units| *units > Units::ZERO),
        time_amount: basket.minutes().filter(|minutes| *minutes > 0),
        sales: sales.collect(),
    };
    Ok(NewEvent {
        event: Event::TradeCompleted(data),
        aggregate: trade.into(),
        members,
    })
}
