//! Members who charge and get cash back over REST, and repeat a request until it is answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fakes::toss::{FakeToss, How};
use futures_util::{StreamExt as _, stream};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use shared::web::ErrorCode;
use tokio::time::sleep;

use super::PaymentsError;
use super::records::{Answer, Order, RefundAnswer, Request};
use crate::market::ground::Member;

/// Longer than the market waits for the gateway.
const ANSWER_MAX: Duration = Duration::from_secs(12);

/// How often a request without an answer is repeated, and the pause before.
const TRIES: u32 = 300;
const PAUSE: Duration = Duration::from_millis(100);

/// How often the success page is loaded again while the payment is being verified, and the pause before.
const RELOADS: u32 = 2;
const RELOAD_AFTER: Duration = Duration::from_millis(700);

/// Requests at once at the end.
const AT_ONCE: usize = 8;

/// A charge that a client may repeat.
#[derive(Clone, Debug)]
struct Ticket {
    member: usize,
    order: String,
    key: String,
    amount: i64,
}

/// What all members share.
#[derive(Debug)]
pub(crate) struct Traffic {
    http: reqwest::Client,
    nodes: Vec<SocketAddr>,
    members: Vec<Member>,
    toss: Arc<FakeToss>,
    pub(crate) stop: AtomicBool,
    /// Requests without an answer so far.
    pub(crate) in_flight: AtomicUsize,
    /// Attempts without an answer.
    pub(crate) unanswered: AtomicUsize,
    orders: Mutex<BTreeMap<String, Order>>,
    requests: Mutex<Vec<Request>>,
    tickets: Mutex<Vec<Ticket>>,
}

fn inside<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Traffic {
    pub(crate) fn new(
        nodes: Vec<SocketAddr>,
        members: Vec<Member>,
        toss: Arc<FakeToss>,
    ) -> Result<Self, PaymentsError> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX);
        let http = http.build().map_err(crate::market::MarketError::Client)?;
        Ok(Self {
            http,
            nodes,
            members,
            toss,
            stop: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            orders: Mutex::default(),
            requests: Mutex::default(),
            tickets: Mutex::default(),
        })
    }

    /// What was requested and answered.
    pub(crate) fn records(&self) -> (BTreeMap<String, Order>, Vec<Request>) {
        (inside(&self.orders).clone(), inside(&self.requests).clone())
    }

    /// All members come and go until the run stops them.
    pub(crate) async fn run(&self, seed: u64) {
        let all = (0..self.members.len()).map(|member| self.live(member, seed));
        futures_util::future::join_all(all).await;
    }

    async fn live(&self, member: usize, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed ^ u64::try_from(member).unwrap_or_default());
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(rng.random_range(100..1_500))).await;
            number += 1;
            let amount = rng.random_range(10..=300) * 100;
            let order = format!("order-{member:03}-{number:04}");
            let how = match rng.random_range(0..20) {
                0 => How::Declined("REJECT_CARD_PAYMENT".to_owned()),
                _ => How::Card,
            };
            if !self.charge_new(member, order, amount, how).await {
                return;
            }
            if rng.random_range(0..4) == 0 {
                // Some of it was earned.
                let amount = rng.random_range(1_000..=80_000);
                let request = format!("request-{number:04}");
                self.refund_new(member, request, amount).await;
            }
        }
    }

    /// False if the member may save no further order today.
    async fn charge_new(&self, member: usize, order: String, amount: i64, how: How) -> bool {
        let body = json!({ "orderId": order, "amount": amount });
        let saved = self.until_answered(member, "save-amount", &body).await;
        let is_saved = matches!(saved, Some((0, _)));
        if is_code(saved.as_ref(), ErrorCode::TooManyRequests) {
            return false;
        }
        let new = Order {
            member: self.members[member].id.get(),
            amount,
            is_saved,
            ..Order::default()
        };
        inside(&self.orders).insert(order.clone(), new);
        if !is_saved {
            self.note(&order, Answer::Odd(format!("not saved: {saved:?}")));
            return true;
        }
        let ticket = Ticket {
            member,
            key: self.toss.authorize(&order, amount, how),
            order,
            amount,
        };
        for _ in 0..=RELOADS {
            let answer = self.charge(&ticket).await;
            self.note(&ticket.order, answer.clone());
            if answer != Answer::BeingVerified {
                break;
            }
            sleep(RELOAD_AFTER).await;
        }
        inside(&self.tickets).push(ticket);
        true
    }

    async fn charge(&self, ticket: &Ticket) -> Answer {
        let Ticket {
            order, key, amount, ..
        } = ticket;
        let body = json!({ "paymentKey": key, "orderId": order, "amount": amount });
        match self.until_answered(ticket.member, "charge", &body).await {
            None => Answer::None,
            Some((0, data)) => Answer::Captured(data["totalAmount"].as_i64().unwrap_or_default()),
            Some((code, _)) if code == ErrorCode::BeingVerified.number() => Answer::BeingVerified,
            Some((code, _)) if code == ErrorCode::PaymentDeclined.number() => Answer::Declined,
            Some((code, _)) => Answer::Odd(format!("code {code}")),
        }
    }

    async fn refund_new(&self, member: usize, request: String, amount: i64) {
        let mut request = Request {
            member: self.members[member].id.get(),
            request,
            amount,
            answers: Vec::new(),
        };
        let answer = self.refund(member, &request).await;
        request.answers.push(answer);
        inside(&self.requests).push(request);
    }

    async fn refund(&self, member: usize, request: &Request) -> RefundAnswer {
        let body = json!({ "requestId": request.request, "refundAmount": request.amount });
        match self.until_answered(member, "refund", &body).await {
            None => RefundAnswer::None,
            Some((0, data)) => {
                let of = |name| data[name].as_i64().unwrap_or_default();
                RefundAnswer::Accepted(of("refundPrice"), of("remainCash"))
            }
            Some((code, _))
                if [
                    ErrorCode::RefundAmount.number(),
                    ErrorCode::TooManyRequests.number(),
                ]
                .contains(&code) =>
            {
                RefundAnswer::Refused
            }
            Some((code, _)) => RefundAnswer::Odd(format!("code {code}")),
        }
    }

    /// Every success page is loaded again, and every accepted refund requested again.
    pub(crate) async fn repeat_all(&self) {
        let tickets = inside(&self.tickets).clone();
        let all = stream::iter(tickets).map(|ticket| async move {
            let answer = self.charge(&ticket).await;
            self.note(&ticket.order, answer);
        });
        all.buffer_unordered(AT_ONCE).collect::<()>().await;
        let requests = std::mem::take(&mut *inside(&self.requests));
        let all = stream::iter(requests).map(|mut request| async move {
            let is_accepted = matches!(request.answers[..], [RefundAnswer::Accepted(..)]);
            let mut members = self.members.iter();
            let member = members.position(|one| one.id.get() == request.member);
            if let (true, Some(member)) = (is_accepted, member) {
                let answer = self.refund(member, &request).await;
                request.answers.push(answer);
            }
            request
        });
        let requests = all.buffer_unordered(AT_ONCE).collect().await;
        *inside(&self.requests) = requests;
    }

    fn note(&self, order: &str, answer: Answer) {
        if let Some(order) = inside(&self.orders).get_mut(order) {
            order.answers.push(answer);
        }
    }

    /// Repeats a request while it has no answer, or one that says "not now": its code and its data.
    async fn until_answered(
        &self,
        member: usize,
        path: &str,
        body: &Value,
    ) -> Option<(u16, Value)> {
        for _ in 0..TRIES {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            let answer = self.send(member, path, body).await;
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            if answer.is_some() {
                return answer;
            }
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
        None
    }

    async fn send(&self, member: usize, path: &str, body: &Value) -> Option<(u16, Value)> {
        let node = self.nodes[rand::random_range(0..self.nodes.len())];
        let request = self.http.post(format!("http://{node}/api/payments/{path}"));
        let token = self.members[member].token.expose();
        let answer = request.bearer_auth(token).json(body).send().await.ok()?;
        // Drained, without its database, or busy: the same request later.
        if answer.status().is_server_error() {
            return None;
        }
        let mut body: Value = answer.json().await.ok()?;
        let code = u16::try_from(body["code"].as_u64()?).ok()?;
        Some((code, body["data"].take()))
    }
}

fn is_code(answer: Option<&(u16, Value)>, code: ErrorCode) -> bool {
    answer.is_some_and(|(found, _)| *found == code.number())
}
