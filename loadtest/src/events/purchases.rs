//! Purchases of a run: who buys what, when, and how each ended. A purchase is sent until the market
//! has answered it, always with the same `Idempotency-Key`.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use shared::clock::{Clock as _, LocalDateTime, SystemClock, UnixMillis};
use shared::web::ErrorCode;
use tokio::time::{sleep, sleep_until};

use super::EventsError;
use crate::market::PRICE;
use crate::market::client::{Ask, Client, Code, since};
use crate::market::ground::Member;

/// Purchases in flight at once.
const AT_ONCE: usize = 32;

/// How long a purchase may take, all its attempts together: longer than any fault.
const DONE_MAX: Duration = Duration::from_secs(120);

/// Pause before another attempt.
const PAUSE: Duration = Duration::from_millis(200);

/// Offers of a member: the month's limit.
const OFFERS_EACH: usize = 20;

/// Spots, of as many members.
const SPOTS: usize = 5;

/// Sellers that offer at once.
const SELLERS_AT_ONCE: usize = 8;

const MINUTE_MS: i64 = 60_000;

/// The rest of a minute that a booking must have: it may take a while.
const SPARE_MS: i64 = 5_000;

/// Purchases of each member, and of all together per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Volume {
    pub(crate) members: usize,
    /// Whole offers that each member buys before the faults.
    pub(crate) calm: usize,
    /// Whole offers while there are faults.
    pub(crate) singles: usize,
    /// Combinations of two sellers' offers.
    pub(crate) pairs: usize,
    /// Bookings, which start at once and end within a minute or so.
    pub(crate) bookings: usize,
    /// So many of them come before all else, so that the run need not wait for their ends.
    pub(crate) bookings_first: usize,
    /// Pause between two purchases while there are faults.
    pub(crate) every: Duration,
}

impl Volume {
    pub(crate) const FULL: Self = Self {
        members: 50,
        calm: 5,
        singles: 11,
        pairs: 2,
        bookings: 7,
        bookings_first: 0,
        every: Duration::from_millis(450),
    };

    pub(crate) const SHORT: Self = Self {
        members: 10,
        calm: 4,
        singles: 6,
        pairs: 2,
        bookings: 2,
        bookings_first: 2,
        every: Duration::from_millis(400),
    };
}

/// What is bought.
#[derive(Clone, Debug)]
enum Goods {
    Offers(Vec<u32>),
    /// Time on a spot, with a start so many minutes ago.
    Time {
        spot: u32,
        minutes_ago: i64,
    },
}

/// A purchase to make.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    buyer: usize,
    goods: Goods,
    key: String,
}

/// How one ended.
#[derive(Clone, Debug)]
pub(crate) struct Purchase {
    pub(crate) trade: Result<u32, Code>,
    pub(crate) answered: Instant,
    /// Attempts without a final answer.
    pub(crate) retries: u32,
}

/// All orders: those before the faults, and those during them.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) calm: Vec<Order>,
    pub(crate) rough: Vec<Order>,
}

/// What members have for sale.
#[derive(Debug)]
struct Stock {
    /// By seller.
    offers: Vec<Vec<u32>>,
    /// Spot and its seller.
    spots: Vec<(u32, usize)>,
}

impl Volume {
    /// Offers everything over REST, and plans who buys it.
    pub(crate) async fn prepare(
        &self,
        client: &Client,
        members: &[Member],
        run: &str,
    ) -> Result<Orders, EventsError> {
        let mut stock = Stock::offer(client, members).await?;
        let mut orders = Orders {
            calm: Vec::new(),
            rough: Vec::new(),
        };
        let mut key = 0;
        let mut add = |to: &mut Vec<Order>, buyer, goods| {
            key += 1;
            let key = format!("{run}-{key}");
            to.push(Order { buyer, goods, key });
        };
        for nth in 0..self.calm {
            for buyer in 0..members.len() {
                add(&mut orders.calm, buyer, stock.take(buyer, &[1 + nth]));
            }
        }
        let rounds = self.bookings_first + self.singles.max(self.pairs).max(self.bookings);
        for round in 0..rounds {
            for buyer in 0..members.len() {
                if round < self.bookings {
                    add(&mut orders.rough, buyer, stock.time(buyer, round));
                }
                let Some(nth) = round.checked_sub(self.bookings_first) else {
                    continue;
                };
                if nth < self.singles {
                    let goods = stock.take(buyer, &[2 + nth + self.calm]);
                    add(&mut orders.rough, buyer, goods);
                }
                if nth < self.pairs {
                    let goods = stock.take(buyer, &[1 + nth, 4 + nth]);
                    add(&mut orders.rough, buyer, goods);
                }
            }
        }
        Ok(orders)
    }
}

impl Stock {
    async fn offer(client: &Client, members: &[Member]) -> Result<Self, EventsError> {
        let offered = stream::iter(members).map(|seller| async move {
            for _ in 0..OFFERS_EACH {
                client.offer(seller, PRICE).await?;
            }
            client.offers_of(seller).await
        });
        let offered: Vec<_> = offered.buffered(SELLERS_AT_ONCE).collect().await;
        let offers = offered.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut spots = Vec::new();
        for (seller, member) in members.iter().enumerate().take(SPOTS) {
            client.offer_spot(member, PRICE).await?;
            let all = client.offers_of(member).await?;
            let new = all.into_iter().filter(|id| !offers[seller].contains(id));
            spots.extend(new.map(|id| (id, seller)));
        }
        Ok(Self { offers, spots })
    }

    /// One offer each of the sellers that are so many places behind the buyer. As all buyers take from
    /// as far, all sellers sell as much.
    fn take(&mut self, buyer: usize, distances: &[usize]) -> Goods {
        let count = self.offers.len();
        let offers = distances.iter().filter_map(|distance| {
            let seller = (buyer + 1 + distance % (count - 1)) % count;
            self.offers[seller].pop()
        });
        Goods::Offers(offers.collect())
    }

    fn time(&self, buyer: usize, nth: usize) -> Goods {
        let others = self.spots.iter().filter(|(_, seller)| *seller != buyer);
        let others: Vec<u32> = others.map(|(spot, _)| *spot).collect();
        Goods::Time {
            spot: others[(buyer + nth) % others.len()],
            minutes_ago: i64::try_from(nth).unwrap_or_default(),
        }
    }
}

/// Buys in this order, one purchase each `every`, and more slowly if too many are in flight.
pub(crate) async fn buy_all(
    client: &Client,
    members: &[Member],
    orders: Vec<Order>,
    every: Duration,
) -> Vec<Purchase> {
    let begun = SystemClock.now();
    let bought = (0..).zip(orders).map(|(nth, order)| async move {
        sleep_until((begun + every * nth).into()).await;
        buy(client, &members[order.buyer], order).await
    });
    stream::iter(bought)
        .buffer_unordered(AT_ONCE)
        .collect()
        .await
}

async fn buy(client: &Client, buyer: &Member, mut order: Order) -> Purchase {
    let begun = SystemClock.now();
    let mut ask = ask_of(&order);
    let mut retries = 0;
    loop {
        let reply = client.send(buyer, &ask).await;
        let answered = SystemClock.now();
        let trade = match (reply.code, reply.trade) {
            (Code::DONE, Some(trade)) => Ok(trade),
            (code, _) => Err(code),
        };
        let is_over = since(begun) > DONE_MAX;
        match trade {
            Err(code) if !is_over && is_too_late(code, &order) => {
                // It was refused, so it was not done: another time is another purchase.
                order.key.push('+');
                ask = ask_of(&order);
            }
            Err(code) if !is_over && is_retried(code) => {}
            trade => {
                return Purchase {
                    trade,
                    answered,
                    retries,
                };
            }
        }
        retries += 1;
        sleep(PAUSE).await;
    }
}

fn ask_of(order: &Order) -> Ask {
    let key = order.key.clone();
    match &order.goods {
        Goods::Offers(offers) => match offers.as_slice() {
            [offer] => Ask::Buy { offer: *offer, key },
            offers => Ask::Combine {
                offers: offers.to_vec(),
                key,
            },
        },
        Goods::Time { spot, minutes_ago } => {
            let now = SystemClock.unix_millis().get();
            let minute = |at: i64| {
                let at = UnixMillis::try_from(at - at % MINUTE_MS);
                LocalDateTime::from_unix(at.unwrap_or(UnixMillis::EPOCH))
            };
            Ask::Book {
                spot: *spot,
                start: minute(now - minutes_ago * MINUTE_MS),
                end: minute(now + SPARE_MS + MINUTE_MS),
                key,
            }
        }
    }
}

/// The booked time has passed while the market was away.
fn is_too_late(code: Code, order: &Order) -> bool {
    matches!(order.goods, Goods::Time { .. }) && code == Code::of(ErrorCode::OutsideHours)
}

/// The answer is missing, or says that the market could not do it now.
fn is_retried(code: Code) -> bool {
    let passing = [
        ErrorCode::Unavailable,
        ErrorCode::Busy,
        ErrorCode::KeyRunning,
    ];
    match code {
        Code::Lost | Code::Late | Code::Status(_) => true,
        Code::Envelope(_) => passing.into_iter().any(|one| code == Code::of(one)),
    }
}
