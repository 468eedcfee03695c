//! A small model of the market: predicts the response of each operation, and what everybody has afterwards.
//!
//! It is written from the rules (`money.md`), not from the server, and has no concurrency, database or SQL.

use std::collections::BTreeMap;

/// Units that a member may buy, and may sell, in a month.
const MONTH_UNITS_MAX: u32 = 20;

/// Milliseconds for which a raised price must be confirmed.
const RAISE_PROTECTED_MS: i64 = 60_000;

/// The fee of sales, in 1/10,000.
pub(crate) const FEE: i64 = 333;

/// An operation. Members and offers are numbered from 0 in each sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Register(usize, Terms),
    Edit(usize, usize, Terms),
    Delete(usize, usize),
    Buy(usize, Wanted, Option<u8>),
    Open(usize, i64),
    Wait(i64),
    Expire,
}

/// What to buy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Data(Order),
    /// Offers in ascending order with the units of each, and the price in all.
    Combination(Vec<(usize, u16)>, i64),
    Time(Time),
}

/// Time on a spot that is open all day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) spot: usize,
    /// Milliseconds since 1970, a whole minute.
    pub(crate) start: i64,
    /// Less than a day.
    pub(crate) minutes: i64,
    pub(crate) price: Option<i64>,
}

impl Time {
    fn end(&self) -> i64 {
        self.start + self.minutes * 60_000
    }
}

impl Wanted {
    pub(crate) fn offers(&self) -> Vec<usize> {
        match self {
            Self::Data(order) => vec![order.offer],
            Self::Combination(parts, _) => parts.iter().map(|(offer, _)| *offer).collect(),
            Self::Time(_) => vec![],
        }
    }
}

/// The terms of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) price: i64,
    pub(crate) units: u16,
    pub(crate) split: bool,
}

impl Terms {
    fn unit_price(self) -> i64 {
        let units = i64::from(self.units);
        (self.price + units - 1) / units
    }
}

/// An order of mobile data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) offer: usize,
    pub(crate) units: Option<u16>,
    pub(crate) price: Option<i64>,
    pub(crate) is_item_wrong: bool,
}

/// A response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// The number of the offer.
    Registered(usize),
    /// The number of the purchase.
    Bought(usize),
    Replayed(usize),
    Refused(Refusal),
}

/// Why an operation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    NotMine,
    Unavailable,
    AlreadyDeleted,
    PartlySold,
    NoPlan,
    SellLimit,
    PlanShort,
    ItemUnknown,
    SoldOut,
    OwnProduct,
    Amount,
    Remaining,
    /// The price now, won for 0.1 GB, and the units left.
    PriceChanged(i64, i64, u16),
    QuoteSoldOut,
    QuoteRemaining,
    QuotePrice,
    Full,
    CashShort,
    BuyLimit,
    KeyReused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    SoldOut,
    Hidden,
    Deleted,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    pub(crate) seller: usize,
    pub(crate) terms: Terms,
    pub(crate) left: u16,
    pub(crate) sold: u16,
    pub(crate) state: State,
    month: i64,
    raised_at: Option<i64>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Member {
    /// Units of the plan; `None` without one.
    pub(crate) plan: Option<u32>,
    pub(crate) cash: i64,
    is_open: bool,
    /// Units bought in each month.
    pub(crate) bought: BTreeMap<i64, u32>,
}

/// A spot, which each sequence begins with. Its price is per started ten minutes.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) seller: usize,
    pub(crate) price: i64,
    pub(crate) capacity: usize,
    bookings: Vec<Booking>,
}

impl Spot {
    pub(crate) const fn new(seller: usize, price: i64, capacity: usize) -> Self {
        Self {
            seller,
            price,
            capacity,
            bookings: Vec::new(),
        }
    }

    /// The most guests at any moment of this time.
    fn guests(&self, time: &Time) -> usize {
        let minutes = (0..time.minutes).map(|minute| time.start + minute * 60_000);
        let at = |moment: i64| {
            let there = |booking: &&Booking| booking.start <= moment && moment < booking.end;
            self.bookings.iter().filter(there).count()
        };
        minutes.map(at).max().unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug)]
struct Booking {
    buyer: usize,
    start: i64,
    end: i64,
    purchase: usize,
}

/// The state of one sequence.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Milliseconds since 1970.
    pub(crate) now: i64,
    pub(crate) members: Vec<Member>,
    pub(crate) offers: Vec<Offer>,
    pub(crate) spots: Vec<Spot>,
    keys: BTreeMap<(usize, u8), (Wanted, usize)>,
    purchases: usize,
}

/// The month of Seoul as year * 12 + month, from 0.
pub(crate) fn month_of(ms: i64) -> i64 {
    // Days to a civil date (Howard Hinnant), with a year that begins in March.
    let days = (ms + 9 * 3_600_000).div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    (year_of_era + era * 400) * 12 + from_march + 2
}

/// The month in the database: 202611.
pub(crate) fn month_name(month: i64) -> i64 {
    month / 12 * 100 + month % 12 + 1
}

impl Model {
    pub(crate) fn new(now: i64, plans: &[Option<u32>], spots: &[Spot]) -> Self {
        let member = |plan: &Option<u32>| Member {
            plan: *plan,
            ..Member::default()
        };
        Self {
            now,
            members: plans.iter().map(member).collect(),
            offers: Vec::new(),
            spots: spots.to_vec(),
            keys: BTreeMap::new(),
            purchases: 0,
        }
    }

    /// The members whose cash an operation may change.
    pub(crate) fn parties(&self, op: &Op) -> Vec<usize> {
        match op {
            Op::Buy(buyer, wanted, _) => {
                let mut parties = vec![*buyer];
                let sellers = wanted.offers().into_iter();
                parties.extend(sellers.map(|offer| self.offers[offer].seller));
                if let Wanted::Time(time) = wanted {
                    parties.push(self.spots[time.spot].seller);
                }
                parties
            }
            Op::Open(member, _) => vec![*member],
            Op::Register(..) | Op::Edit(..) | Op::Delete(..) | Op::Wait(_) | Op::Expire => vec![],
        }
    }

    /// The offers that an operation may change.
    pub(crate) fn touched(&self, op: &Op) -> Vec<usize> {
        match op {
            Op::Buy(_, wanted, _) => wanted.offers(),
            Op::Edit(_, offer, _) | Op::Delete(_, offer) => vec![*offer],
            Op::Register(..) | Op::Open(..) | Op::Wait(_) | Op::Expire => vec![],
        }
    }

    pub(crate) fn apply(&mut self, op: &Op) -> Outcome {
        let done = match *op {
            Op::Buy(buyer, ref wanted, key) => self.buy_once(buyer, wanted, key),
            Op::Register(seller, terms) => self.register(seller, terms),
            Op::Edit(by, offer, terms) => self.edit(by, offer, terms),
            Op::Delete(by, offer) => self.delete(by, offer),
            Op::Open(member, cash) => {
                let member = &mut self.members[member];
                if !member.is_open {
                    member.is_open = true;
                    member.cash += cash;
                }
                Ok(Outcome::Done)
            }
            Op::Wait(ms) => {
                self.now += ms;
                Ok(Outcome::Done)
            }
            Op::Expire => {
                let month = month_of(self.now);
                for offer in &mut self.offers {
                    if offer.state == State::Active && offer.month < month {
                        (offer.state, offer.left) = (State::Hidden, 0);
                    }
                }
                Ok(Outcome::Done)
            }
        };
        done.unwrap_or_else(Outcome::Refused)
    }

    fn is_for_sale(&self, offer: &Offer) -> bool {
        offer.state == State::Active && offer.month == month_of(self.now)
    }

    /// `other`: the units of an offer that is to be replaced.
    fn check_limits(&self, seller: usize, other: u16, units: u16) -> Result<(), Refusal> {
        let month = month_of(self.now);
        let mine = self.offers.iter();
        let mine = mine.filter(|offer| offer.seller == seller && offer.month == month);
        let listed: u32 = mine.map(|offer| u32::from(offer.left + offer.sold)).sum();
        let wanted = listed - u32::from(other) + u32::from(units);
        let member = &self.members[seller];
        let plan = member.plan.ok_or(Refusal::NoPlan)?;
        if wanted > MONTH_UNITS_MAX {
            return Err(Refusal::SellLimit);
        }
        if wanted > plan + member.bought.get(&month).unwrap_or(&0) {
            return Err(Refusal::PlanShort);
        }
        Ok(())
    }

    fn register(&mut self, seller: usize, terms: Terms) -> Result<Outcome, Refusal> {
        self.check_limits(seller, 0, terms.units)?;
        self.offers.push(Offer {
            seller,
            terms,
            left: terms.units,
            sold: 0,
            state: State::Active,
            month: month_of(self.now),
            raised_at: None,
        });
        Ok(Outcome::Registered(self.offers.len() - 1))
    }

    fn edit(&mut self, by: usize, nth: usize, terms: Terms) -> Result<Outcome, Refusal> {
        let offer = self.offers[nth];
        if offer.seller != by {
            return Err(Refusal::NotMine);
        }
        if !self.is_for_sale(&offer) {
            return Err(Refusal::Unavailable);
        }
        if offer.sold > 0 {
            return Err(Refusal::PartlySold);
        }
        self.check_limits(by, offer.left, terms.units)?;
        let old = offer.terms;
        let is_raised = terms.price > old.price
            || terms.unit_price() > old.unit_price()
            || terms.split != old.split;
        let now = self.now;
        let offer = &mut self.offers[nth];
        (offer.terms, offer.left) = (terms, terms.units);
        if is_raised {
            offer.raised_at = Some(now);
        }
        Ok(Outcome::Done)
    }

    fn delete(&mut self, by: usize, nth: usize) -> Result<Outcome, Refusal> {
        let offer = &mut self.offers[nth];
        if offer.seller != by {
            return Err(Refusal::NotMine);
        }
        match offer.state {
            State::Active => {
                (offer.state, offer.left) = (State::Deleted, 0);
                Ok(Outcome::Done)
            }
            State::Deleted => Err(Refusal::AlreadyDeleted),
            State::SoldOut | State::Hidden => Err(Refusal::Unavailable),
        }
    }

    fn buy_once(
        &mut self,
        buyer: usize,
        wanted: &Wanted,
        key: Option<u8>,
    ) -> Result<Outcome, Refusal> {
        let first = key.and_then(|key| self.keys.get(&(buyer, key)));
        if let Some((first, purchase)) = first {
            return if first == wanted {
                Ok(Outcome::Replayed(*purchase))
            } else {
                Err(Refusal::KeyReused)
            };
        }
        let (purchase, outcome) = match self.booked(buyer, wanted) {
            Some(purchase) => (purchase, Outcome::Replayed(purchase)),
            None => {
                let purchase = self.buy(buyer, wanted)?;
                (purchase, Outcome::Bought(purchase))
            }
        };
        if let Some(key) = key {
            self.keys.insert((buyer, key), (wanted.clone(), purchase));
        }
        Ok(outcome)
    }

    /// What an order costs now, and its units.
    pub(crate) fn quote(&self, order: &Order) -> Result<(i64, u16), Refusal> {
        let offer = &self.offers[order.offer];
        let terms = offer.terms;
        match (terms.split, order.units) {
            (false, None) => Ok((terms.price, offer.left)),
            (false, Some(units)) if units == offer.left => Ok((terms.price, units)),
            (true, Some(0)) | (true, None) => Err(Refusal::Amount),
            (true, Some(units)) if units <= offer.left => {
                Ok((terms.unit_price() * i64::from(units), units))
            }
            (true | false, Some(_)) => Err(Refusal::Remaining),
        }
    }

    fn buy(&mut self, buyer: usize, wanted: &Wanted) -> Result<usize, Refusal> {
        let lines = match wanted {
            Wanted::Data(order) => vec![self.check_data(buyer, order)?],
            Wanted::Combination(parts, price) => self.check_combination(buyer, parts, *price)?,
            Wanted::Time(time) => return self.buy_time(buyer, time),
        };
        self.buy_data(buyer, &lines)
    }

    fn buy_time(&mut self, buyer: usize, time: &Time) -> Result<usize, Refusal> {
        let spot = &self.spots[time.spot];
        if spot.seller == buyer {
            return Err(Refusal::OwnProduct);
        }
        if spot.guests(time) >= spot.capacity {
            return Err(Refusal::Full);
        }
        let (seller, price) = (spot.seller, spot.price * ((time.minutes + 9) / 10));
        if time.price.is_some_and(|seen| seen != price) {
            return Err(Refusal::PriceChanged(price, spot.price, 0));
        }
        if self.members[buyer].cash < price {
            return Err(Refusal::CashShort);
        }
        let purchase = self.pay(buyer, &[(seller, price)]);
        self.spots[time.spot].bookings.push(Booking {
            buyer,
            start: time.start,
            end: time.end(),
            purchase,
        });
        Ok(purchase)
    }

    /// The purchase of the same times by the same buyer, whose repetition is not another one.
    fn booked(&self, buyer: usize, wanted: &Wanted) -> Option<usize> {
        let Wanted::Time(time) = wanted else {
            return None;
        };
        let mut bookings = self.spots[time.spot].bookings.iter();
        let same = |booking: &&Booking| {
            (booking.buyer, booking.start, booking.end) == (buyer, time.start, time.end())
        };
        bookings.find(same).map(|booking| booking.purchase)
    }

    fn check_data(&self, buyer: usize, order: &Order) -> Result<Line, Refusal> {
        let offer = self.offers[order.offer];
        if order.is_item_wrong {
            return Err(Refusal::ItemUnknown);
        }
        if offer.state == State::SoldOut {
            return Err(Refusal::SoldOut);
        }
        if !self.is_for_sale(&offer) {
            return Err(Refusal::Unavailable);
        }
        if offer.seller == buyer {
            return Err(Refusal::OwnProduct);
        }
        let (price, units) = self.quote(order)?;
        let raised_until = offer.raised_at.map(|at| at + RAISE_PROTECTED_MS);
        let is_raised = raised_until.is_some_and(|until| self.now < until);
        if order.price.map_or(is_raised, |seen| seen != price) {
            let unit_price = offer.terms.unit_price();
            return Err(Refusal::PriceChanged(price, unit_price, offer.left));
        }
        Ok(Line {
            offer: order.offer,
            units,
            price,
        })
    }

    fn check_combination(
        &self,
        buyer: usize,
        parts: &[(usize, u16)],
        price: i64,
    ) -> Result<Vec<Line>, Refusal> {
        let mut lines = Vec::new();
        for (nth, units) in parts {
            let offer = self.offers[*nth];
            if offer.seller == buyer {
                return Err(Refusal::OwnProduct);
            }
            if !self.is_for_sale(&offer) {
                return Err(Refusal::QuoteSoldOut);
            }
            let order = Order {
                offer: *nth,
                units: Some(*units),
                price: None,
                is_item_wrong: false,
            };
            let quote = self.quote(&order);
            let (price, units) = quote.map_err(|_short| Refusal::QuoteRemaining)?;
            lines.push(Line {
                offer: *nth,
                units,
                price,
            });
        }
        if lines.iter().map(|line| line.price).sum::<i64>() != price {
            return Err(Refusal::QuotePrice);
        }
        Ok(lines)
    }

    fn buy_data(&mut self, buyer: usize, lines: &[Line]) -> Result<usize, Refusal> {
        let price: i64 = lines.iter().map(|line| line.price).sum();
        let units: u32 = lines.iter().map(|line| u32::from(line.units)).sum();
        let month = month_of(self.now);
        let member = &mut self.members[buyer];
        if member.cash < price {
            return Err(Refusal::CashShort);
        }
        if member.plan.is_none() {
            return Err(Refusal::NoPlan);
        }
        let bought = member.bought.get(&month).unwrap_or(&0) + units;
        if bought > MONTH_UNITS_MAX {
            return Err(Refusal::BuyLimit);
        }
        member.bought.insert(month, bought);
        let mut sales = Vec::new();
        for line in lines {
            let offer = &mut self.offers[line.offer];
            sales.push((offer.seller, line.price));
            offer.left -= line.units;
            offer.sold += line.units;
            if offer.left == 0 {
                offer.state = State::SoldOut;
            }
        }
        Ok(self.pay(buyer, &sales))
    }

    /// Moves the price of each sale to its seller, less the fee; returns the number of the purchase.
    fn pay(&mut self, buyer: usize, sales: &[(usize, i64)]) -> usize {
        for (seller, price) in sales {
            self.members[buyer].cash -= price;
            self.members[*seller].cash += price - price * FEE / 10_000;
        }
        self.purchases += 1;
        self.purchases - 1
    }
}

/// What a purchase takes from an offer.
struct Line {
    offer: usize,
    units: u16,
    price: i64,
}
