//! Customers: what they do with an order, at the market and on the gateway's page, and what they are answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use market_api::gateway::{OrderId, PaymentKey};
use market_api::payments::{ChargeAnswer, ChargeError, ChargeOrder};
use shared::ids::MemberId;
use shared::money::Won;
use tokio::time::sleep;

use super::habit::{Habit, Visit};
use super::records::{Answer, Order};
use super::stage::Stage;

/// Customers at once.
pub(crate) const AT_ONCE: usize = 32;

/// Attempts while the market answers that it is busy, and the pause between them.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

const MINUTE_MS: i64 = 60_000;

/// What happens later.
#[derive(Clone, Debug)]
enum Deed {
    Deposit(String),
    Expire(String),
    /// Captured though its time is over.
    CaptureLate(String),
    /// Captured by somebody else.
    Capture(String),
    /// A cancel by the gateway's operator: a part, or all of it.
    Cancel(String, Option<i64>),
}

/// A request that a client repeats.
#[derive(Clone, Debug)]
struct Ticket {
    /// The outcome takes half an hour: not worth waiting for.
    is_long: bool,
    order: String,
    member: MemberId,
    key: String,
    amount: i64,
}

/// All customers of a run.
#[derive(Debug)]
pub(crate) struct Customers<'a> {
    stage: &'a Stage,
    orders: Mutex<BTreeMap<String, Order>>,
    /// By time.
    later: Mutex<Vec<(i64, String, Deed)>>,
    /// Those that were answered, and those that come late.
    tickets: Mutex<Vec<Ticket>>,
    late: Mutex<Vec<Ticket>>,
}

fn inside<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Customers<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Self {
        Self {
            stage,
            orders: Mutex::default(),
            later: Mutex::default(),
            tickets: Mutex::default(),
            late: Mutex::default(),
        }
    }

    /// What they did so far.
    pub(crate) fn orders(&self) -> BTreeMap<String, Order> {
        inside(&self.orders).clone()
    }

    /// A customer comes, and stays as long as the market takes to answer.
    pub(crate) async fn visit(&self, visit: &Visit) {
        let (order, amount, habit) = (visit.order(), visit.amount, visit.habit);
        self.save(&order, visit.member, amount).await;
        if habit == Habit::Abandoned {
            return;
        }
        let paid = amount + if habit.pays_other() { 1_000 } else { 0 };
        let key = self.stage.toss.authorize(&order, paid, habit.how());
        let ticket = Ticket {
            is_long: habit.pays_other(),
            order,
            member: visit.member,
            key,
            amount,
        };
        self.plan(visit, &ticket);
        if habit == Habit::Unconfirmed {
            return;
        }
        if habit == Habit::Late {
            return inside(&self.late).push(ticket);
        }
        if habit == Habit::LowerAmount {
            let amount = amount - 100;
            let lower = Ticket {
                amount,
                ..ticket.clone()
            };
            self.charge_wrongly(&lower).await;
        }
        if habit == Habit::Stranger {
            let member = visit.stranger;
            let stranger = Ticket {
                member,
                ..ticket.clone()
            };
            self.charge_wrongly(&stranger).await;
        }
        if habit == Habit::TwoTabs {
            let ((), ()) = tokio::join!(self.charge(&ticket), self.charge(&ticket));
        }
        self.charge(&ticket).await;
        if habit == Habit::BorrowedKey {
            let second = format!("{}-b", ticket.order);
            self.save(&second, visit.member, amount).await;
            let again = Ticket {
                order: second,
                ..ticket.clone()
            };
            self.charge(&again).await;
        }
        inside(&self.tickets).push(ticket);
    }

    /// The success page is loaded again, by those who came in time; of `open` only where the outcome is unknown.
    pub(crate) async fn reload(&self, open: bool) {
        let tickets = inside(&self.tickets).clone();
        let is_open = |ticket: &Ticket| {
            let orders = inside(&self.orders);
            let last = orders
                .get(&ticket.order)
                .and_then(|order| order.answers.last());
            last == Some(&Answer::BeingVerified)
        };
        let is_wanted = |ticket: &Ticket| !open || (!ticket.is_long && is_open(ticket));
        let tickets = tickets.into_iter().filter(is_wanted);
        self.charge_all(tickets.collect()).await;
    }

    /// Those who are late come.
    pub(crate) async fn come_late(&self) {
        let late = std::mem::take(&mut *inside(&self.late));
        self.charge_all(late.clone()).await;
        inside(&self.tickets).extend(late);
    }

    async fn charge_all(&self, tickets: Vec<Ticket>) {
        use futures_util::StreamExt as _;
        let all = futures_util::stream::iter(tickets);
        let all = all.map(|ticket| async move { self.charge(&ticket).await });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// What happened at the gateway until now without the market.
    pub(crate) fn act(&self) {
        let now = self.stage.now().get();
        let due: Vec<_> = {
            let mut later = inside(&self.later);
            later.extract_if(.., |(at, ..)| *at <= now).collect()
        };
        for (_, order, deed) in due {
            let toss = &self.stage.toss;
            let is_done = match &deed {
                Deed::Deposit(key) => toss.deposit(key),
                Deed::Expire(key) => toss.expire(key),
                Deed::Capture(key) | Deed::CaptureLate(key) => toss.capture(key),
                Deed::Cancel(key, part) => {
                    let captured = toss.booked(key).map_or(0, |one| one.captured);
                    captured > 0 && toss.dashboard_cancel(key, part.unwrap_or(captured))
                }
            };
            if let (true, Some(order)) = (is_done, inside(&self.orders).get_mut(&order)) {
                order.changed_at = Some(now);
                order.is_late |= matches!(deed, Deed::CaptureLate(_));
            }
        }
    }

    /// The gateway's operator cancels a part of a payment, or all of it, after so many minutes.
    pub(crate) fn cancel_later(&self, number: usize, minutes: i64, part: Option<i64>) {
        let ticket = inside(&self.tickets);
        let Some(ticket) = ticket.get(number) else {
            return;
        };
        let deed = Deed::Cancel(ticket.key.clone(), part);
        let at = self.stage.now().get() + minutes * MINUTE_MS;
        inside(&self.later).push((at, ticket.order.clone(), deed));
    }

    /// The payment of an order has changed now without the market.
    pub(crate) fn note_change(&self, order: &str) {
        let now = self.stage.now().get();
        if let Some(order) = inside(&self.orders).get_mut(order) {
            order.changed_at = Some(now);
        }
    }

    /// The orders that others changed.
    pub(crate) fn changed(&self) -> Vec<String> {
        let orders = inside(&self.orders);
        let changed = orders
            .iter()
            .filter(|(_, order)| order.changed_at.is_some());
        changed.map(|(name, _)| name.clone()).collect()
    }

    fn plan(&self, visit: &Visit, ticket: &Ticket) {
        let key = || ticket.key.clone();
        let (soon, lot) = (visit.lot % 4 + 1, visit.lot);
        let mut deeds = Vec::new();
        if visit.habit == Habit::DepositInTime {
            deeds.push((soon, Deed::Deposit(key())));
        }
        if visit.habit == Habit::DepositLate {
            deeds.push((5, Deed::Expire(key())));
            deeds.push((5 + soon, Deed::CaptureLate(key())));
        }
        if visit.habit == Habit::OtherCaptured {
            deeds.push((1, Deed::Capture(key())));
        }
        if visit.habit == Habit::Cancelled {
            let part = (lot % 2 == 0).then_some(visit.amount / 2);
            deeds.push((soon, Deed::Cancel(key(), part)));
        }
        let now = self.stage.now().get();
        let deeds = deeds
            .into_iter()
            .map(|(minutes, deed)| (now + minutes * MINUTE_MS, ticket.order.clone(), deed));
        inside(&self.later).extend(deeds);
    }

    async fn save(&self, order: &str, member: MemberId, amount: i64) {
        let id = OrderId::try_from(order.to_owned()).expect("an order's form");
        let saved = self
            .stage
            .payments
            .save_order(member, id, Won::new(amount))
            .await;
        let answers = saved
            .err()
            .map(|error| Answer::Odd(format!("not saved: {error}")));
        let new = Order {
            member: member.get(),
            amount,
            is_saved: answers.is_none(),
            answers: answers.into_iter().collect(),
            ..Order::default()
        };
        inside(&self.orders).insert(order.to_owned(), new);
    }

    async fn charge(&self, ticket: &Ticket) {
        let answer = self.answer(ticket).await;
        self.note(ticket, answer);
    }

    /// A request that must be refused as one of another order.
    async fn charge_wrongly(&self, ticket: &Ticket) {
        let answer = self.answer(ticket).await;
        let expected = ChargeError::Mismatch.to_string();
        let is_refused = matches!(&answer, Answer::Odd(text) if *text == expected);
        let answer = if is_refused {
            Answer::Mismatch
        } else {
            Answer::Odd(format!("a wrong request: {answer:?}"))
        };
        self.note(ticket, answer);
    }

    fn note(&self, ticket: &Ticket, answer: Answer) {
        if let Some(order) = inside(&self.orders).get_mut(&ticket.order) {
            order.answers.push(answer);
        }
    }

    async fn answer(&self, ticket: &Ticket) -> Answer {
        for _ in 0..TRIES {
            let order = ChargeOrder {
                member: ticket.member,
                key: PaymentKey::try_from(ticket.key.clone()).expect("a key's form"),
                order: OrderId::try_from(ticket.order.clone()).expect("an order's form"),
                amount: Won::new(ticket.amount),
            };
            match self.stage.payments.charge(order).await {
                Ok(ChargeAnswer::Captured { amount, .. }) => return Answer::Captured(amount.get()),
                Ok(ChargeAnswer::BeingVerified) => return Answer::BeingVerified,
                Err(ChargeError::Declined) => return Answer::Declined,
                Err(ChargeError::Busy) => sleep(PAUSE).await,
                Err(error) => return Answer::Odd(error.to_string()),
            }
        }
        Answer::None
    }
}
