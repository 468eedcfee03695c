//! Benchmark of purchases beside the statement order of the first DaPanDa, in one run: a hundred buyers of one
//! whole offer, and a hundred offers of one seller.
//!
//! `cargo bench -p market-api --bench purchases`, with the addresses of `infra/services` in the environment. The
//! first order locks the offer, the buyer and the seller (`select … for update`, in that order), then changes all
//! three and inserts both trades with their details; it has tables of its own in the same database, and runs over
//! the same connections, so that only the statements differ. All orders run by turns; the figures are medians of
//! the rounds. Measured in the process, without HTTP: once on the database beside it, and once through a proxy that
//! adds a millisecond to each round trip, as a database on another computer would.
//!
//! On SQLite the first order's plain transactions fail ("database is locked") and there are no row locks, so only
//! ours is measured there.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring program: it prints, reads its environment and the time, and may fail"
)]

#[path = "../tests/products/fixtures.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod fixtures;
#[path = "../tests/trades/shop.rs"]
#[expect(dead_code, reason = "shared with the tests, which need more of it")]
mod shop;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::member;
use futures_util::future::join_all;
use market_api::cache::LocalCache;
use market_api::db::{Abort, Db, DbError, DbUrl, Tx, WriteError};
use market_api::idempotency::IdempotentRequest;
use market_api::trades::{Fees, PurchaseError};
use shared::config::Secret;
use shop::{Shop, order};
use sqlx::{Row as _, query};
use support::{Base, On, open};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The seller; the buyers are the members after it.
const SELLER: i64 = 1;
const BUYERS: i64 = 100;

/// Rounds of each order. A member may buy twenty times in a month: our two orders buy twice in a round, and the
/// first buyer in line, another one each time, once more.
const ROUNDS: usize = 5;

/// What a database on another computer adds to a round trip.
const ROUND_TRIP: Duration = Duration::from_millis(1);

const PRICE: i64 = 1_000;
const CASH: i64 = 1_000_000;
const DEADLINE: Duration = Duration::from_secs(540);

/// Offers of 0.1 GB that the ledger allows a member in a month.
const MONTH_OFFERS: usize = 20;

/// Whose statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    First,
    Ours,
    OursWithKey,
}

impl Order {
    const fn name(self) -> &'static str {
        match self {
            Self::First => "first site's",
            Self::Ours => "ours",
            Self::OursWithKey => "ours, with `Idempotency-Key`",
        }
    }
}

/// The figures of an order's rounds.
#[derive(Debug, Default)]
struct Rounds {
    mean_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    per_second: Vec<f64>,
}

#[tokio::main]
async fn main() {
    tokio::time::timeout(DEADLINE, run())
        .await
        .expect("the benchmark takes too long");
}

async fn run() {
    println!(
        "| database | statements | 100 buyers of one offer: mean ms | p99 ms | 100 offers of one seller: purchases/s |"
    );
    println!("|---|---|---|---|---|");
    for place in [Place::Postgres, Place::RemotePostgres, Place::Sqlite] {
        let orders: &[Order] = match place {
            Place::Postgres | Place::RemotePostgres => {
                &[Order::First, Order::Ours, Order::OursWithKey]
            }
            Place::Sqlite => &[Order::Ours, Order::OursWithKey],
        };
        let bench = Bench::prepare(place).await;
        let mut figures: Vec<_> = orders.iter().map(|_| Rounds::default()).collect();
        for round in 0..=ROUNDS {
            for (order, rounds) in orders.iter().zip(&mut figures) {
                let hot = bench.hot(*order, round).await;
                let per_second = bench.seller(*order).await;
                // The first round warms up the connections and their prepared statements.
                if round > 0 {
                    rounds.add(&hot, per_second);
                }
            }
        }
        bench.shop.verify().await;
        for (order, rounds) in orders.iter().zip(&figures) {
            println!(
                "| {} | {} | {:.1} | {:.1} | {:.0} |",
                place.name(),
                order.name(),
                median(&rounds.mean_ms),
                median(&rounds.p99_ms),
                median(&rounds.per_second),
            );
        }
    }
}

/// Where the database is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Postgres,
    RemotePostgres,
    Sqlite,
}

impl Place {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "PostgreSQL",
            Self::RemotePostgres => "PostgreSQL, 1 ms away",
            Self::Sqlite => "SQLite",
        }
    }
}

/// The same database through the proxy.
async fn remote(base: &Base) -> Db {
    let DbUrl::Postgres(url) = &base.url else {
        panic!("only PostgreSQL is remote");
    };
    let (user, rest) = url.expose().split_once('@').unwrap();
    let (address, name) = rest.split_once('/').unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = listener.local_addr().unwrap();
    tokio::spawn(delay(listener, address.to_owned()));
    let url = DbUrl::Postgres(Secret::new(format!("{user}@{proxy}/{name}")));
    let (clock, metrics) = (Arc::clone(&base.clock), Arc::clone(&base.metrics));
    let db = Db::open(&url, clock, metrics, &base.drain);
    db.await.unwrap()
}

/// Passes on connections, and each response of the server after a while.
async fn delay(listener: TcpListener, server: String) {
    while let Ok((client, _)) = listener.accept().await {
        let server = TcpStream::connect(&server).await.unwrap();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        tokio::spawn(async move {
            let mut bytes = vec![0; 1 << 16];
            while let Ok(count @ 1..) = from_server.read(&mut bytes).await {
                tokio::time::sleep(ROUND_TRIP).await;
                to_client.write_all(&bytes[..count]).await.unwrap();
            }
        });
    }
}

impl Rounds {
    /// `hot`: times of the buyers of one offer, in milliseconds.
    fn add(&mut self, hot: &[f64], per_second: f64) {
        let mut sorted = hot.to_vec();
        sorted.sort_by(f64::total_cmp);
        self.mean_ms
            .push(sorted.iter().sum::<f64>() / sorted.len() as f64);
        self.p99_ms
            .push(sorted[(sorted.len() * 99).div_ceil(100) - 1]);
        self.per_second.push(per_second);
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

struct Bench {
    shop: Shop,
}

impl Bench {
    async fn prepare(place: Place) -> Self {
        let on = match place {
            Place::Postgres | Place::RemotePostgres => On::Postgres,
            Place::Sqlite => On::Sqlite,
        };
        let mut base = open(on).await;
        if place == Place::RemotePostgres {
            base.db = remote(&base).await;
        }
        let shop = Shop::of(base, Fees::default(), Arc::new(LocalCache::new()));
        shop.members(SELLER + BUYERS, CASH).await;
        let texts = [
            "create table first_member (id bigint primary key, cash bigint not null, bought bigint not null, \
             sold bigint not null)",
            "create table first_product (id bigint primary key, seller_id bigint not null, price bigint not null, \
             units_left bigint not null, state text not null)",
            "create table first_trade (id bigint generated by default as identity primary key, \
             member_id bigint not null, kind text not null, price bigint not null)",
            "create index first_trade_member on first_trade (member_id, id desc)",
            "create table first_detail (trade_id bigint not null, product_id bigint not null, \
             price bigint not null, primary key (trade_id, product_id))",
        ];
        if matches!(on, On::Postgres) {
            shop.market.sql(texts.map(str::to_owned).to_vec()).await;
            let rows: Vec<_> = (1..=SELLER + BUYERS)
                .map(|id| format!("({id}, {CASH}, 0, 0)"))
                .collect();
            let insert = format!("insert into first_member values {}", rows.join(", "));
            shop.market.sql(vec![insert]).await;
        }
        Self { shop }
    }

    /// A hundred buyers of one new offer: the time of each, in milliseconds.
    async fn hot(&self, order: Order, round: usize) -> Vec<f64> {
        let offer = self.offers(order, 1).await[0];
        let first = 17 * i64::try_from(round).unwrap();
        let timed = (0..BUYERS).map(|nth| async move {
            let begun = Instant::now();
            let buyer = SELLER + 1 + (first + nth) % BUYERS;
            let bought = self.buy(order, buyer, offer).await;
            (begun.elapsed().as_secs_f64() * 1_000.0, bought)
        });
        let done = join_all(timed).await;
        assert_eq!(done.iter().filter(|(_, bought)| *bought).count(), 1);
        done.into_iter().map(|(ms, _)| ms).collect()
    }

    /// A hundred buyers, each of another new offer of the seller: purchases in a second.
    async fn seller(&self, order: Order) -> f64 {
        let offers = self.offers(order, usize::try_from(BUYERS).unwrap()).await;
        let begun = Instant::now();
        let buyers = SELLER + 1..;
        let buys = buyers
            .zip(offers)
            .map(|(buyer, offer)| self.buy(order, buyer, offer));
        let done = join_all(buys).await;
        assert!(
            done.iter().all(|bought| *bought),
            "every offer has one buyer"
        );
        done.len() as f64 / begun.elapsed().as_secs_f64()
    }

    /// New offers of the seller. Ours count for months from 2020 on, twenty for each, since the ledger has limits.
    async fn offers(&self, order: Order, count: usize) -> Vec<i64> {
        let market = &self.shop.market;
        let next = match order {
            Order::First => "select coalesce(max(id), 0) + 1 from first_product",
            Order::Ours | Order::OursWithKey => "select coalesce(max(id), 0) + 1 from product",
        };
        let next = market.int(next).await;
        let ids: Vec<i64> = (next..).take(count).collect();
        if order == Order::First {
            let rows: Vec<_> = ids
                .iter()
                .map(|id| format!("({id}, {SELLER}, {PRICE}, 1, 'ACTIVE')"))
                .collect();
            let insert = format!("insert into first_product values {}", rows.join(", "));
            market.sql(vec![insert]).await;
            return ids;
        }
        let mut texts = Vec::new();
        let mut rows = Vec::new();
        for id in &ids {
            let nth = usize::try_from(*id).unwrap() / MONTH_OFFERS;
            let month = (2_020 + nth / 12) * 100 + nth % 12 + 1;
            texts.push(format!(
                "insert into member_month (member_id, month, providing) values ({SELLER}, {month}, 100) \
                 on conflict (member_id, month) do nothing"
            ));
            rows.push(format!(
                "({id}, {SELLER}, 'MOBILE_DATA', 'ACTIVE', {PRICE}, {PRICE}, 0, 1, 1, 0, 0, {month}, \
                 9000000000000, 1, 1)"
            ));
        }
        texts.dedup();
        texts.push(format!(
            "insert into product (id, member_id, kind, state, price, unit_price, split, units_listed, units_left, \
             units_sold, units_returned, month, expires_at, created_at, updated_at) values {}",
            rows.join(", ")
        ));
        market.sql(texts).await;
        ids
    }

    /// True if bought, false if sold out. A buyer who is refused because the database is busy tries again at
    /// once, in the same time.
    async fn buy(&self, whose: Order, buyer: i64, offer: i64) -> bool {
        loop {
            let bought = match whose {
                Order::First => self.buy_as_first(buyer, offer).await,
                Order::Ours => self.buy_as_ours(buyer, offer, None).await,
                Order::OursWithKey => {
                    let key = format!("{buyer}-{offer}");
                    let once = IdempotentRequest::new(member(buyer), "POST /x", key, b"{}");
                    self.buy_as_ours(buyer, offer, Some(once)).await
                }
            };
            if let Some(bought) = bought {
                return bought;
            }
        }
    }

    /// `None` if the database is busy.
    async fn buy_as_ours(
        &self,
        buyer: i64,
        offer: i64,
        once: Option<IdempotentRequest>,
    ) -> Option<bool> {
        match self.shop.buy_as(buyer, order(offer, None), once).await {
            Ok(_) => Some(true),
            Err(PurchaseError::SoldOut) => Some(false),
            Err(PurchaseError::Db(DbError::Busy)) => None,
            Err(error) => panic!("{error:?}"),
        }
    }

    async fn buy_as_first(&self, buyer: i64, offer: i64) -> Option<bool> {
        let db = &self.shop.market.base.db;
        let bought = db.write((buyer, offer), |(buyer, offer), tx| {
            Box::pin(first_in(*buyer, *offer, tx))
        });
        match bought.await {
            Ok(()) => Some(true),
            Err(WriteError::Refused(FirstSoldOut)) => Some(false),
            Err(WriteError::Db(DbError::Busy)) => None,
            Err(error @ WriteError::Db(_)) => panic!("{error:?}"),
        }
    }
}

#[derive(Debug)]
struct FirstSoldOut;

/// The first site's purchase: `TradeService` locks the product, the buyer and the seller.
async fn first_in(buyer: i64, offer: i64, tx: &mut Tx<'_>) -> Result<(), Abort<FirstSoldOut>> {
    let product = query(
        "select seller_id, price, units_left, state from first_product where id = $1 for update",
    )
    .bind(offer)
    .fetch_one(tx.connection())
    .await?;
    if product.try_get::<String, _>("state")? != "ACTIVE" {
        return Err(Abort::Refused(FirstSoldOut));
    }
    let (seller, price): (i64, i64) = (product.try_get("seller_id")?, product.try_get("price")?);
    for member in [buyer, seller] {
        query("select cash, bought, sold from first_member where id = $1 for update")
            .bind(member)
            .fetch_one(tx.connection())
            .await?;
    }
    query("update first_member set cash = cash - $2, bought = bought + 1 where id = $1")
        .bind(buyer)
        .bind(price)
        .execute(tx.connection())
        .await?;
    query("update first_member set cash = cash + $2, sold = sold + 1 where id = $1")
        .bind(seller)
        .bind(price)
        .execute(tx.connection())
        .await?;
    query("update first_product set units_left = 0, state = 'SOLD_OUT' where id = $1")
        .bind(offer)
        .execute(tx.connection())
        .await?;
    for (member, kind) in [(buyer, "PURCHASE"), (seller, "SALE")] {
        let trade = query(
            "insert into first_trade (member_id, kind, price) values ($1, $2, $3) returning id",
        )
        .bind(member)
        .bind(kind)
        .bind(price)
        .fetch_one(tx.connection())
        .await?;
        query("insert into first_detail (trade_id, product_id, price) values ($1, $2, $3)")
            .bind(trade.try_get::<i64, _>("id")?)
            .bind(offer)
            .bind(price)
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}
