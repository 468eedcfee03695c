//! A provider of payouts: it transfers money to people's accounts, and has books of its own.
//!
//! It is as strict as a real one where it matters: the key, one payout for a reference whatever happens, and
//! nothing after the time until which an order is valid. A refusal is stored: its reference is used up.
//!
//! What it does not do: webhooks, and fees.

mod books;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path as UrlPath, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use shared::clock::{Clock, LocalDateTime, UnixMillis};

use crate::chance::{choose, draw};
use crate::lost::lost;
pub use books::{BookedPayout, PayoutStatus};
use books::{Books, Payout};

/// References whose orders are counted; further ones are not.
const COUNTED_MAX: usize = 262_144;

/// The longest body.
const BODY_BYTES_MAX: usize = 4 * 1_024;

/// The longest reference.
const REFERENCE_CHARS_MAX: usize = 100;

/// Closed accounts at most, the newest.
const CLOSED_MAX: usize = 1_024;

/// The provider.
#[derive(Debug)]
pub struct FakePayout {
    /// The header of requests.
    bearer: String,
    clock: Arc<dyn Clock>,
    pays_after: Duration,
    state: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    books: Books,
    plan: PayoutPlan,
    scripts: HashMap<String, VecDeque<PayoutFault>>,
    closed: VecDeque<String>,
    requests: HashMap<String, u64>,
}

/// What goes wrong with an order for a payout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayoutFault {
    /// The connection closes; nothing was processed.
    LostBefore,
    /// The order is processed, then the connection closes.
    LostAfter,
    /// 500; nothing was processed.
    ServerError,
    /// 422, for certain.
    Refused,
}

/// How often orders go wrong, each per mille, together at most 1,000: the same ones for the same seed. The default
/// has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayoutPlan {
    /// The seed.
    pub seed: u64,
    /// [`PayoutFault::LostBefore`].
    pub lost_before: u16,
    /// [`PayoutFault::LostAfter`].
    pub lost_after: u16,
    /// [`PayoutFault::ServerError`].
    pub server_error: u16,
    /// [`PayoutFault::Refused`].
    pub refused: u16,
}

impl FakePayout {
    /// A provider with its books in memory.
    #[must_use]
    pub fn new(key: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            bearer: format!("Bearer {key}"),
            clock,
            pays_after: Duration::ZERO,
            state: Mutex::default(),
        }
    }

    /// A provider with its books in a file, which outlive it. It takes the file for its own.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not of this kind.
    pub fn open(path: &Path, key: &str, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let inside = Inside {
            books: Books::open(path)?,
            ..Inside::default()
        };
        Ok(Self {
            state: Mutex::new(inside),
            ..Self::new(key, clock)
        })
    }

    /// Payouts are accepted first, and paid after this time of the clock; without it they are paid at once.
    #[must_use]
    pub fn pays_after(mut self, time: Duration) -> Self {
        self.pays_after = time;
        self
    }

    /// Its routes.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/payouts", post(order))
            .route("/v1/payouts/{reference}", get(show))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }

    /// From now on orders have these faults.
    pub fn set_plan(&self, plan: PayoutPlan) {
        self.inside().plan = plan;
    }

    /// The next orders with this reference have these faults.
    pub fn script(&self, reference: &str, faults: &[PayoutFault]) {
        let mut inside = self.inside();
        let script = inside.scripts.entry(reference.to_owned()).or_default();
        script.extend(faults);
    }

    /// From now on orders for this account are refused: for a recipient that is this text or
    /// number, or has it in a field.
    pub fn close_account(&self, recipient: &str) {
        let mut inside = self.inside();
        if inside.closed.len() >= CLOSED_MAX {
            inside.closed.pop_front();
        }
        inside.closed.push_back(recipient.to_owned());
    }

    /// A payout that was accepted, or paid, comes back.
    pub fn reject(&self, reference: &str, code: &str) -> bool {
        self.inside().books.reject(reference, code)
    }

    /// All payouts, by their references.
    #[must_use]
    pub fn book(&self) -> Vec<BookedPayout> {
        let now = self.clock.unix_millis();
        let inside = self.inside();
        inside
            .books
            .all()
            .map(|payout| payout.booked(now))
            .collect()
    }

    /// The sum of what is accepted or paid.
    #[must_use]
    pub fn total_paid(&self) -> i64 {
        let inside = self.inside();
        let good = inside.books.all().filter(|payout| payout.refused.is_none());
        good.map(|payout| payout.amount).sum()
    }

    /// Orders with this reference so far, whatever their answers.
    #[must_use]
    pub fn requests(&self, reference: &str) -> u64 {
        self.inside().requests.get(reference).copied().unwrap_or(0)
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(AUTHORIZATION);
        value.is_some_and(|value| value.as_bytes() == self.bearer.as_bytes())
    }
}

impl Inside {
    /// Counts an order; what goes wrong with it.
    fn note(&mut self, reference: &str) -> Option<PayoutFault> {
        if self.requests.len() >= COUNTED_MAX && !self.requests.contains_key(reference) {
            return None;
        }
        let count = self.requests.entry(reference.to_owned()).or_default();
        *count += 1;
        let scripted = self.scripts.get_mut(reference);
        if let Some(fault) = scripted.and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        let plan = &self.plan;
        let shares = [
            (plan.lost_before, PayoutFault::LostBefore),
            (plan.lost_after, PayoutFault::LostAfter),
            (plan.server_error, PayoutFault::ServerError),
            (plan.refused, PayoutFault::Refused),
        ];
        choose(draw(plan.seed, &["payout", reference], *count), &shares)
    }

    fn is_closed(&self, recipient: &Value) -> bool {
        let is = |value: &Value| {
            let text = value.as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| value.to_string());
            self.closed.contains(&text)
        };
        let fields = recipient.as_object();
        is(recipient) || fields.is_some_and(|fields| fields.values().any(is))
    }
}

type Fake = State<Arc<FakePayout>>;

/// An order, checked.
#[derive(Debug)]
struct Order {
    reference: String,
    amount: i64,
    recipient: Value,
    valid_until: UnixMillis,
}

impl Order {
    fn read(body: &str) -> Option<Self> {
        let mut body: Value = serde_json::from_str(body).ok()?;
        let reference = body["reference"].as_str()?.to_owned();
        let amount = body["amount"].as_i64().filter(|amount| *amount > 0)?;
        let valid_until = moment(body["validUntil"].as_str()?)?;
        let recipient = body["recipient"].take();
        let is_good =
            (1..=REFERENCE_CHARS_MAX).contains(&reference.chars().count()) && !recipient.is_null();
        is_good.then_some(Self {
            reference,
            amount,
            recipient,
            valid_until,
        })
    }
}

/// A time of RFC 3339, with any offset.
fn moment(text: &str) -> Option<UnixMillis> {
    const SEOUL_MINUTES: i64 = 9 * 60;
    let (local, minutes) = match text.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
            let (hours, minutes) = offset.get(1..)?.split_once(':')?;
            let number = |digits: &str| digits.parse::<u8>().ok().map(i64::from);
            let minutes = number(hours)? * 60 + number(minutes)?;
            match offset.as_bytes().first()? {
                b'+' => (local, minutes),
                b'-' => (local, -minutes),
                _ => return None,
            }
        }
    };
    let in_seoul = local.parse::<LocalDateTime>().ok()?.to_unix();
    let moment = in_seoul.get() + (SEOUL_MINUTES - minutes) * 60_000;
    UnixMillis::try_from(moment).ok()
}

async fn order(State(fake): Fake, headers: HeaderMap, body: String) -> Response {
    if !fake.is_authorized(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
    let Some(order) = Order::read(&body) else {
        return refuse(StatusCode::BAD_REQUEST, "INVALID_REQUEST");
    };
    let fault = fake.inside().note(&order.reference);
    let is_refused = match fault {
        Some(PayoutFault::LostBefore) => return lost(),
        Some(PayoutFault::ServerError) => return failed(),
        Some(PayoutFault::Refused) => true,
        Some(PayoutFault::LostAfter) | None => false,
    };
    let answer = process(&fake, order, is_refused);
    match fault {
        Some(PayoutFault::LostAfter) => lost(),
        Some(PayoutFault::LostBefore | PayoutFault::ServerError | PayoutFault::Refused) | None => {
            answer
        }
    }
}

fn process(fake: &FakePayout, order: Order, is_refused: bool) -> Response {
    let now = fake.clock.unix_millis();
    let mut inside = fake.inside();
    if let Some(first) = inside.books.get(&order.reference) {
        return match first.amount == order.amount && first.recipient == order.recipient {
            true => answer(first, now),
            false => refuse(StatusCode::CONFLICT, "REFERENCE_CONFLICT"),
        };
    }
    if inside.books.is_full() {
        return failed();
    }
    let why = if is_refused {
        Some("REFUSED_BY_BANK")
    } else if now > order.valid_until {
        Some("VALIDITY_EXPIRED")
    } else if inside.is_closed(&order.recipient) {
        Some("ACCOUNT_CLOSED")
    } else {
        None
    };
    let payout = Payout {
        reference: order.reference,
        amount: order.amount,
        recipient: order.recipient,
        paid: now.saturating_add(fake.pays_after),
        refused: why.map(str::to_owned),
    };
    let answer = answer(&payout, now);
    inside.books.put(payout);
    match inside.books.is_broken() {
        true => failed(),
        false => answer,
    }
}

/// The answer to an order: where it stands.
fn answer(payout: &Payout, now: UnixMillis) -> Response {
    match &payout.refused {
        Some(code) => refuse(StatusCode::UNPROCESSABLE_ENTITY, code),
        None => {
            let status = payout.status(now).as_str();
            Json(json!({"reference": payout.reference, "status": status})).into_response()
        }
    }
}

async fn show(
    State(fake): Fake,
    UrlPath(reference): UrlPath<String>,
    headers: HeaderMap,
) -> Response {
    if !fake.is_authorized(&headers) {
        return refuse(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
    }
    let now = fake.clock.unix_millis();
    let inside = fake.inside();
    let Some(payout) = inside.books.get(&reference) else {
        return refuse(StatusCode::NOT_FOUND, "NOT_FOUND");
    };
    let status = payout.status(now).as_str();
    let mut body = json!({"reference": reference, "status": status, "amount": payout.amount});
    if let Some(code) = &payout.refused {
        body["code"] = json!(code);
    }
    Json(body).into_response()
}

fn failed() -> Response {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR")
}

fn refuse(status: StatusCode, code: &str) -> Response {
    let body = json!({"code": code, "message": "refused"});
    (status, Json(body)).into_response()
}
