//! Random sequences of operations on both databases, compared with the model after each.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use market_api::bookings::{self, NoPlace};
use market_api::db::DbError;
use market_api::idempotency::{IdempotencyError, IdempotentRequest, Reply};
use market_api::plans::BuyError;
use market_api::products::{Kind, NewSpot, OfferError};
use market_api::trades::{DataOrder, Fees, Outdated, PurchaseError, SpotOrder};
use rand::RngExt as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use shared::clock::{LocalDateTime, UnixMillis};
use shared::ids::{ItemId, TradeId};
use shared::money::{Units, Won};
use sqlx::Row as _;

use crate::fixtures::{SEOUL, member, new_data, number, product, spot_form};
use crate::model::{
    FEE, Model, Op, Order, Outcome, Refusal, Spot, State, Terms, Time, Wanted, month_name, month_of,
};
use crate::shop::{Shop, combination, item, trade_of, unless_busy};
use crate::support::On;

/// Members of a sequence. The last has no plan.
const PLANS: [Option<u32>; 4] = [Some(100), Some(30), Some(8), None];

/// Spots of a sequence, open all day.
const SPOTS: [Spot; 2] = [Spot::new(0, 150, 1), Spot::new(1, 70, 2)];

/// Bound of the operations of a sequence.
const OPS_MAX: usize = 60;

/// Sequences on one pair of databases: their verification takes longer the more there are.
const PER_DATABASE: usize = 25;

/// Sequences in CI. `TEST_SEQUENCES=2000` for more.
const SEQUENCES: usize = 40;

/// One database with the members and offers of the present sequence.
struct Side {
    shop: Shop,
    first_member: i64,
    offers: Vec<i64>,
    spots: Vec<i64>,
    purchases: BTreeMap<TradeId, usize>,
}

fn refused_offer(error: OfferError) -> Result<Refusal, DbError> {
    Ok(match error {
        OfferError::NotMine => Refusal::NotMine,
        OfferError::Unavailable => Refusal::Unavailable,
        OfferError::AlreadyDeleted => Refusal::AlreadyDeleted,
        OfferError::PartlySold => Refusal::PartlySold,
        OfferError::NoPlan => Refusal::NoPlan,
        OfferError::SellLimit => Refusal::SellLimit,
        OfferError::PlanShort => Refusal::PlanShort,
        OfferError::Db(error) => return Err(error),
        OfferError::Unknown | OfferError::NotOfKind(_) | OfferError::AccountClosed => {
            panic!("{error:?}")
        }
    })
}

fn refused_purchase(error: PurchaseError) -> Result<Refusal, DbError> {
    Ok(match error {
        PurchaseError::ItemUnknown => Refusal::ItemUnknown,
        PurchaseError::Unavailable => Refusal::Unavailable,
        PurchaseError::SoldOut => Refusal::SoldOut,
        PurchaseError::OwnProduct => Refusal::OwnProduct,
        PurchaseError::Amount => Refusal::Amount,
        PurchaseError::Remaining => Refusal::Remaining,
        PurchaseError::PriceChanged(terms) => Refusal::PriceChanged(
            terms.price.get(),
            terms.unit_price.get(),
            terms.units_left.map_or(0, Units::get),
        ),
        PurchaseError::QuoteOutdated(Outdated::SoldOut) => Refusal::QuoteSoldOut,
        PurchaseError::QuoteOutdated(Outdated::Remaining) => Refusal::QuoteRemaining,
        PurchaseError::QuoteOutdated(Outdated::Price) => Refusal::QuotePrice,
        PurchaseError::NoPlace(NoPlace::Full) => Refusal::Full,
        PurchaseError::CashShort(_) => Refusal::CashShort,
        PurchaseError::Plan(BuyError::NoPlan) => Refusal::NoPlan,
        PurchaseError::Plan(BuyError::Limit) => Refusal::BuyLimit,
        PurchaseError::Idempotency(IdempotencyError::KeyReused) => Refusal::KeyReused,
        PurchaseError::Db(error) => return Err(error),
        PurchaseError::ProductUnknown
        | PurchaseError::SpotUnknown
        | PurchaseError::Combination
        | PurchaseError::NoPlace(NoPlace::Slot(_))
        | PurchaseError::Idempotency(IdempotencyError::KeyRunning | IdempotencyError::Db(_)) => {
            panic!("{error:?}")
        }
    })
}

impl Side {
    async fn open(on: On) -> Self {
        let fees = Fees {
            data: u16::try_from(FEE).unwrap(),
            spots: u16::try_from(FEE).unwrap(),
        };
        Self {
            shop: Shop::with_fees(on, fees).await,
            first_member: 1,
            offers: Vec::new(),
            spots: Vec::new(),
            purchases: BTreeMap::new(),
        }
    }

    fn member(&self, nth: usize) -> i64 {
        self.first_member + i64::try_from(nth).unwrap()
    }

    /// Adds the members of the next sequence.
    async fn begin(&mut self) {
        let count = i64::try_from(PLANS.len()).unwrap();
        self.first_member += count;
        self.offers.clear();
        self.spots.clear();
        self.purchases.clear();
        let last = self.first_member + count - 1;
        self.shop.crowd(self.first_member, last, 0).await;
        for (id, plan) in (self.first_member..).zip(PLANS) {
            let changed = match plan {
                Some(units) => {
                    format!("update plan set providing = {units} where member_id = {id}")
                }
                None => format!("delete from plan where member_id = {id}"),
            };
            self.shop.market.sql(vec![changed]).await;
        }
        for spot in SPOTS {
            let mut form = spot_form(spot.price, SEOUL);
            form.closes_at = form.opens_at;
            form.capacity = Some(spot.capacity.try_into().unwrap());
            let seller = member(self.member(spot.seller));
            let spot = NewSpot::parse(seller, Kind::Wifi, form).unwrap();
            let products = &self.shop.market.products;
            let offered = unless_busy(async || products.offer_spot(spot.clone()).await).await;
            self.spots.push(number(offered.unwrap()));
        }
    }

    async fn apply(&mut self, op: &Op) -> Outcome {
        let market = &self.shop.market;
        let data = |by: usize, terms: Terms| {
            new_data(self.member(by), terms.price, terms.units, terms.split)
        };
        let done = match *op {
            Op::Register(seller, terms) => {
                let offer = data(seller, terms);
                let id = unless_busy(async || market.products.offer_data(offer).await).await;
                id.map(|id| {
                    self.offers.push(number(id));
                    Outcome::Registered(self.offers.len() - 1)
                })
            }
            Op::Edit(by, offer, terms) => {
                let (offer, to) = (self.offers[offer], data(by, terms));
                let edited = unless_busy(async || market.edit(offer, to).await).await;
                edited.map(|()| Outcome::Done)
            }
            Op::Delete(by, offer) => {
                let (by, offer) = (member(self.member(by)), product(self.offers[offer]));
                let deleted = unless_busy(async || market.products.delete(by, offer).await).await;
                deleted.map(|()| Outcome::Done)
            }
            Op::Buy(buyer, ref wanted, key) => return self.buy(buyer, wanted, key).await,
            Op::Open(nth, cash) => {
                self.shop.give(self.member(nth), cash).await;
                Ok(Outcome::Done)
            }
            Op::Wait(ms) => {
                let time = Duration::from_millis(ms.try_into().unwrap());
                market.base.clock.advance(time);
                Ok(Outcome::Done)
            }
            Op::Expire => {
                let expired = unless_busy(async || market.products.expire().await).await;
                expired.unwrap();
                Ok(Outcome::Done)
            }
        };
        done.unwrap_or_else(|error| Outcome::Refused(refused_offer(error).unwrap()))
    }

    async fn buy(&mut self, buyer: usize, wanted: &Wanted, key: Option<u8>) -> Outcome {
        let buyer = self.member(buyer);
        let once = key.map(|key| {
            let body = format!("{wanted:?}");
            IdempotentRequest::new(member(buyer), "buy", key.to_string(), body.as_bytes())
        });
        let bought = match wanted {
            Wanted::Data(order) => {
                let id = self.offers[order.offer];
                let item = u64::try_from(id).unwrap() + u64::from(order.is_item_wrong);
                let wanted = DataOrder {
                    product: product(id),
                    item: ItemId::try_from(item).unwrap(),
                    units: order.units.map(Units::new),
                    price: order.price.map(Won::new),
                };
                self.shop.buy_as(buyer, wanted, once).await
            }
            Wanted::Combination(parts, price) => {
                let ids = parts
                    .iter()
                    .map(|(offer, units)| (self.offers[*offer], *units));
                let units = parts.iter().map(|(_, units)| units).sum();
                let order = combination(&ids.collect::<Vec<_>>(), units, *price).unwrap();
                self.shop.buy_scrap_as(buyer, order, once).await
            }
            Wanted::Time(time) => {
                let local = |ms: i64| LocalDateTime::from_unix(UnixMillis::try_from(ms).unwrap());
                let spot = self.spots[time.spot];
                // The first site's page sends the end with the date of the day after.
                let end = time.start + time.minutes * 60_000 + 86_400_000;
                let order = SpotOrder {
                    kind: Kind::Wifi,
                    product: product(spot),
                    item: item(spot),
                    wanted: bookings::Wanted::new(local(time.start), local(end)),
                    price: time.price.map(Won::new),
                };
                self.shop.buy_time(buyer, order, once).await
            }
        };
        let reply = match bought {
            Ok(reply) => reply,
            Err(error) => return Outcome::Refused(refused_purchase(error).unwrap()),
        };
        let trade = trade_of(&reply);
        match reply {
            Reply::New(_) => {
                let nth = self.purchases.len();
                assert_eq!(self.purchases.insert(trade, nth), None);
                Outcome::Bought(nth)
            }
            Reply::Replayed(_) => Outcome::Replayed(self.purchases[&trade]),
        }
    }

    /// The cash of these members and the units of these offers are those of the model.
    async fn compare(&self, model: &Model, members: &[usize], offers: &[usize]) {
        for nth in members {
            let cash = self.shop.cash(self.member(*nth)).await;
            assert_eq!(cash, model.members[*nth].cash, "cash of member {nth}");
        }
        for nth in offers {
            let (id, offer) = (self.offers[*nth], &model.offers[*nth]);
            let text =
                format!("select units_left, units_sold, price, state from product where id = {id}");
            let row = &self.shop.market.rows(text).await[0];
            let int = |column: usize| row.try_get::<i64, _>(column).unwrap();
            let state: String = row.try_get(3).unwrap();
            let expected = match offer.state {
                State::Active => "ACTIVE",
                State::SoldOut => "SOLD_OUT",
                State::Hidden => "HIDDEN",
                State::Deleted => "DELETED",
            };
            assert_eq!(
                (int(0), int(1), int(2), state.as_str()),
                (
                    offer.left.into(),
                    offer.sold.into(),
                    offer.terms.price,
                    expected
                ),
                "offer {nth}"
            );
        }
    }

    /// Everything of the sequence is as in the model.
    async fn compare_all(&self, model: &Model) {
        let members: Vec<_> = (0..model.members.len()).collect();
        let offers: Vec<_> = (0..model.offers.len()).collect();
        self.compare(model, &members, &offers).await;
        let (first, last) = (self.first_member, self.member(members.len() - 1));
        let text = format!(
            "select member_id, month, bought from member_month \
             where bought > 0 and member_id between {first} and {last} order by member_id, month"
        );
        let found = self.shop.market.rows(text).await;
        let found = found.iter().map(|row| {
            let int = |column: usize| row.try_get::<i64, _>(column).unwrap();
            (int(0) - first, int(1), int(2))
        });
        let expected = model.members.iter().zip(0..).flat_map(|(member, nth)| {
            let months = member.bought.iter();
            months.map(move |(month, units)| (nth, month_name(*month), i64::from(*units)))
        });
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

/// Draws operations, mostly ones that succeed.
struct Draw {
    rng: StdRng,
}

impl Draw {
    fn one_in(&mut self, count: u32) -> bool {
        self.rng.random_range(0..count) == 0
    }

    fn member(&mut self) -> usize {
        // The last one, without a plan, seldom.
        if self.one_in(20) {
            return PLANS.len() - 1;
        }
        self.rng.random_range(0..PLANS.len() - 1)
    }

    fn terms(&mut self) -> Terms {
        let units = if self.one_in(4) {
            20
        } else {
            self.rng.random_range(1..=12)
        };
        let price = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(1..=30),
            1 => 101,
            2 => self.rng.random_range(1_000..=4_000),
            _ => 100 * i64::from(units),
        };
        Terms {
            price,
            units,
            split: self.rng.random(),
        }
    }

    /// An offer: the later ones more often, which are more often for sale.
    fn offer(&mut self, model: &Model) -> Option<usize> {
        let count = model.offers.len();
        if count == 0 {
            return None;
        }
        let active: Vec<_> = (0..count)
            .filter(|nth| model.offers[*nth].state == State::Active)
            .collect();
        match active.choose(&mut self.rng) {
            Some(nth) if !self.one_in(8) => Some(*nth),
            None if !self.one_in(4) => None,
            _ => Some(self.rng.random_range(0..count)),
        }
    }

    fn order(&mut self, model: &Model, nth: usize) -> Order {
        let offer = &model.offers[nth];
        let left = offer.left.max(1);
        let units = match (offer.terms.split, self.rng.random_range(0..12)) {
            (_, 0) => Some(self.rng.random_range(0..=21)),
            (_, 1) => None,
            (true, 2..=3) => Some(left),
            (true, _) => Some(self.rng.random_range(1..=left.min(5))),
            (false, 2..=6) => Some(offer.left),
            (false, _) => None,
        };
        let mut order = Order {
            offer: nth,
            units,
            price: None,
            is_item_wrong: self.one_in(40),
        };
        if self.one_in(3) {
            let right = model.quote(&order).map_or(1, |(price, _)| price);
            order.price = Some(right + i64::from(self.one_in(4)));
        }
        order
    }

    /// One to four offers, mostly with the right amounts and price.
    fn combination(&mut self, model: &Model, first: usize) -> Wanted {
        let mut parts = BTreeMap::new();
        for part in 0..self.rng.random_range(1..=4) {
            let nth = match part {
                0 => Some(first),
                _ => self.offer(model),
            };
            let Some(nth) = nth else { break };
            let offer = &model.offers[nth];
            let units = if offer.terms.split {
                self.rng.random_range(1..=offer.left.clamp(1, 5))
            } else {
                offer.left.max(1)
            };
            parts.insert(nth, units + u16::from(self.one_in(15)));
        }
        let price = parts.iter().map(|(nth, units)| {
            let order = Order {
                offer: *nth,
                units: Some(*units),
                price: None,
                is_item_wrong: false,
            };
            model.quote(&order).map_or(1, |(price, _)| price)
        });
        let price = price.sum::<i64>() + i64::from(self.one_in(10));
        Wanted::Combination(parts.into_iter().collect(), price)
    }

    /// Time that begins within the next half hour.
    fn time(&mut self, model: &Model) -> Wanted {
        let spot = self.rng.random_range(0..SPOTS.len());
        let minute = (model.now + 59_999) / 60_000;
        let minutes = self.rng.random_range(1..=50);
        let parts = (minutes + 9) / 10;
        let price = SPOTS[spot].price * parts + i64::from(self.one_in(6));
        Wanted::Time(Time {
            spot,
            start: (minute + 10 * self.rng.random_range(0..4)) * 60_000,
            minutes,
            price: self.one_in(3).then_some(price),
        })
    }

    fn op(&mut self, model: &Model, nth: usize, repeated: &[Op]) -> Op {
        if nth < PLANS.len() && !self.one_in(6) {
            return Op::Open(nth, self.rng.random_range(500..=12_000));
        }
        let kind = self.rng.random_range(0..100);
        let Some(offer) = self.offer(model).filter(|_| kind >= 18) else {
            return match kind % 6 {
                0 => Op::Open(self.member(), self.rng.random_range(500..=12_000)),
                _ => Op::Register(self.member(), self.terms()),
            };
        };
        let seller = model.offers[offer].seller;
        match kind {
            18..=19 => Op::Open(self.member(), self.rng.random_range(500..=12_000)),
            20..=26 => {
                let by = if self.one_in(6) {
                    self.member()
                } else {
                    seller
                };
                Op::Edit(by, offer, self.terms())
            }
            27..=30 => {
                let by = if self.one_in(6) {
                    self.member()
                } else {
                    seller
                };
                Op::Delete(by, offer)
            }
            31..=36 => Op::Wait(match self.rng.random_range(0..16) {
                0 => 1,
                1..=9 => self.rng.random_range(1..=60_000),
                10..=11 => 3_600_000,
                12..=13 => 86_400_000,
                _ => 16 * 86_400_000,
            }),
            37..=39 => Op::Expire,
            40..=49 => Op::Buy(
                self.member(),
                self.time(model),
                self.one_in(3).then(|| self.rng.random_range(0..4)),
            ),
            50..=55 if !repeated.is_empty() => repeated.choose(&mut self.rng).unwrap().clone(),
            _ => {
                let mut buyer = self.member();
                if buyer == seller && !self.one_in(8) {
                    buyer = (seller + 1) % (PLANS.len() - 1);
                }
                let key = self.one_in(3).then(|| self.rng.random_range(0..4));
                let wanted = if self.one_in(3) {
                    self.combination(model, offer)
                } else {
                    Wanted::Data(self.order(model, offer))
                };
                Op::Buy(buyer, wanted, key)
            }
        }
    }
}

/// The kinds of responses, with the number of each.
type Tally = BTreeMap<String, usize>;

fn kind_of(op: &Op, outcome: Outcome) -> String {
    let word = |text: String| text.split(['(', ' ']).next().unwrap().to_owned();
    let op = if let Op::Buy(_, wanted, _) = op {
        format!("{wanted:?}")
    } else {
        format!("{op:?}")
    };
    let outcome = if let Outcome::Refused(why) = outcome {
        format!("{why:?}")
    } else {
        format!("{outcome:?}")
    };
    format!("{} {}", word(op), word(outcome))
}

/// One sequence on both databases.
async fn run(sides: &mut [Side], seed: u64, tally: &mut Tally) {
    let mut draw = Draw {
        rng: StdRng::seed_from_u64(seed),
    };
    for side in &mut *sides {
        side.begin().await;
    }
    let mut model = Model::new(sides[0].shop.market.now_ms(), &PLANS, &SPOTS);
    let (mut done, mut repeatable) = (Vec::new(), Vec::new());
    for _ in 0..draw.rng.random_range(1..=OPS_MAX) {
        let op = draw.op(&model, done.len(), &repeatable);
        let expected = model.apply(&op);
        *tally.entry(kind_of(&op, expected)).or_default() += 1;
        done.push((op.clone(), expected));
        let is_repeatable = match &op {
            // A start in the past means another time.
            Op::Buy(_, Wanted::Time(_), _) => matches!(expected, Outcome::Bought(_)),
            Op::Buy(_, Wanted::Data(_) | Wanted::Combination(..), key) => key.is_some(),
            Op::Register(..) | Op::Edit(..) | Op::Delete(..) => false,
            Op::Open(..) | Op::Wait(_) | Op::Expire => false,
        };
        if is_repeatable {
            repeatable.push(op.clone());
        }
        let is_verified = draw.one_in(40);
        for side in &mut *sides {
            let outcome = side.apply(&op).await;
            let trace = || format!("sequence {seed}, {:?}: {done:#?}", side.shop.market.base.db);
            assert_eq!(outcome, expected, "{}", trace());
            side.compare(&model, &model.parties(&op), &model.touched(&op))
                .await;
            if is_verified {
                side.shop.verify().await;
            }
        }
    }
    for side in &mut *sides {
        side.compare_all(&model).await;
        side.shop.verify().await;
    }
}

/// Each response, the cash of both parties and the offer are compared after each operation; the ledger is
/// verified after one in forty and after each sequence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_databases_agree_with_the_model() {
    let setting = |name: &str| std::env::var(name).ok();
    let first: u64 = setting("TEST_SEED").map_or_else(rand::random, |seed| seed.parse().unwrap());
    let count = setting("TEST_SEQUENCES").map_or(SEQUENCES, |count| count.parse().unwrap());
    println!("TEST_SEED={first} TEST_SEQUENCES={count}");
    let (begun, mut tally) = (Instant::now(), Tally::new());
    for batch in (0..count).collect::<Vec<_>>().chunks(PER_DATABASE) {
        let mut sides = [Side::open(On::Sqlite).await, Side::open(On::Postgres).await];
        for nth in batch {
            let seed = first.wrapping_add(u64::try_from(*nth).unwrap());
            run(&mut sides, seed, &mut tally).await;
        }
        for side in sides {
            side.shop.close().await;
        }
    }
    let ops: usize = tally.values().sum();
    println!(
        "{count} sequences, {ops} operations in {:?}: {tally:?}",
        begun.elapsed()
    );
}

#[test]
fn months_of_the_model_are_those_of_seoul() {
    for hour in 0..24 * 900 {
        let ms = crate::support::NOON_MS + hour * 3_600_000;
        let local = LocalDateTime::from_unix(UnixMillis::try_from(ms).unwrap());
        assert_eq!(month_name(month_of(ms)), local.month().get());
    }
}
