//! Toss Payments, without Toss: the HTTP API of a payment gateway with books of its own, its webhooks, and a
//! page on which people pay.
//!
//! It is as strict as the real one where it matters: Basic authentication, the sessions' times, idempotency
//! keys, cancels that follow each other too fast, codes and statuses. Faults are scripted or planned. Its
//! clock is the program's, so that tests move schedules; the times of connections are real.
//!
//! What it does not do: cards, billing keys, settlements, amounts in other currencies.

mod books;
mod calls;
mod cancel;
mod codes;
mod faults;
mod keys;
mod page;
mod payment;
mod requests;
mod state;
mod transactions;
mod webhooks;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use shared::clock::{Clock, UnixMillis};
use shared::drain::Drain;
use tokio::sync::Notify;

use books::{Agreed, Books};
use cancel::Cancel;
pub use faults::{Call, Fault, FaultPlan, Rates, WebhookRates};
pub use payment::{BookedCancel, BookedPayment, CancelStatus, How, Status, Totals};
pub use requests::SeenRequest;
use state::State;
use webhooks::Delivery;

/// The longest wait for an answer to a webhook.
const WEBHOOK_TIME: Duration = Duration::from_secs(10);

/// How often a program's webhooks are looked through without a change: for retries, and for what expires.
const WEBHOOK_PAUSE: Duration = Duration::from_secs(1);

/// The gateway.
#[derive(Debug)]
pub struct FakeToss {
    /// The header of requests.
    basic: String,
    clock: Arc<dyn Clock>,
    /// Its own URL, for browsers.
    base: String,
    /// Where browsers may be sent.
    origins: Vec<String>,
    /// Calls in progress: they go on when their client leaves.
    drain: Drain,
    state: Mutex<State>,
    /// A webhook waits.
    changed: Notify,
}

/// Webhooks cannot be sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoWebhooks {
    /// The URL is not of this computer, or not `http`.
    NotLoopback,
    /// There is no HTTP client.
    NoClient,
}

impl FakeToss {
    /// A gateway with its books in memory.
    #[must_use]
    pub fn new(secret: &str, clock: Arc<dyn Clock>) -> Self {
        Self::with(secret, clock, State::new())
    }

    /// A gateway with its books in a file, which outlive it. It takes the file for its own.
    ///
    /// # Errors
    /// The file cannot be read or written, or is not of this kind.
    pub fn open(path: &Path, secret: &str, clock: Arc<dyn Clock>) -> io::Result<Self> {
        Ok(Self::with(secret, clock, State::open(path)?))
    }

    fn with(secret: &str, clock: Arc<dyn Clock>, state: State) -> Self {
        Self {
            basic: format!("Basic {}", STANDARD.encode(format!("{secret}:"))),
            clock,
            base: String::new(),
            origins: Vec::new(),
            drain: Drain::new(),
            state: Mutex::new(state),
            changed: Notify::new(),
        }
    }

    /// Its own URL, for browsers: receipts are below it.
    #[must_use]
    pub fn at(mut self, base: &str) -> Self {
        base.trim_end_matches('/').clone_into(&mut self.base);
        self
    }

    /// The origins of the sites to which the pay page sends people back.
    #[must_use]
    pub fn allow_origins(mut self, origins: &[&str]) -> Self {
        let origin = |text: &&str| Some(Url::parse(text).ok()?.origin().ascii_serialization());
        self.origins.extend(origins.iter().filter_map(origin));
        self
    }

    /// Its routes.
    pub fn router(self: Arc<Self>) -> Router {
        calls::routes().merge(page::routes()).with_state(self)
    }

    /// From now on webhooks are sent to this URL.
    ///
    /// # Errors
    /// [`NoWebhooks`].
    pub fn send_webhooks_to(&self, url: &str) -> Result<(), NoWebhooks> {
        let url = Url::parse(url).map_err(|_invalid| NoWebhooks::NotLoopback)?;
        let host = url.host_str().unwrap_or_default();
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        if url.scheme() != "http" || !is_here {
            return Err(NoWebhooks::NotLoopback);
        }
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]);
        let client = client.redirect(Policy::none()).timeout(WEBHOOK_TIME);
        let client = client.build().map_err(|_error| NoWebhooks::NoClient)?;
        self.inside().hook = Some((client, url));
        Ok(())
    }

    /// A customer has agreed on the pay page: the payment's key.
    pub fn authorize(&self, order_id: &str, amount: i64, how: How) -> String {
        self.agree(Agreed {
            order_id,
            order_name: "캐시 충전",
            amount,
            how,
        })
    }

    fn agree(&self, agreed: Agreed<'_>) -> String {
        self.change(|books, now| books.authorize(agreed, now))
    }

    /// A payment is captured though no request confirmed it, also one that has failed or expired.
    pub fn capture(&self, payment_key: &str) -> bool {
        self.change(|books, now| books.capture_open(payment_key, now))
    }

    /// The transfer of a payment that waits for it comes.
    pub fn deposit(&self, payment_key: &str) -> bool {
        self.change(|books, now| books.deposit(payment_key, now))
    }

    /// The time of a payment that waits for a confirm or a transfer is over.
    pub fn expire(&self, payment_key: &str) -> bool {
        self.change(|books, _now| books.expire(payment_key))
    }

    /// An operator of the gateway cancels.
    pub fn dashboard_cancel(&self, payment_key: &str, amount: i64) -> bool {
        let cancel = Cancel {
            amount: Some(amount),
            reason: "상점관리자 취소",
            has_account: true,
            by_dashboard: true,
            status: CancelStatus::Done,
        };
        self.change(|books, now| books.cancel(payment_key, &cancel, now).is_ok())
    }

    /// A cancel that was in progress has this outcome.
    pub fn finish_cancel(
        &self,
        payment_key: &str,
        transaction_key: &str,
        outcome: CancelStatus,
    ) -> bool {
        self.change(|books, now| books.finish_cancel(payment_key, transaction_key, outcome, now))
    }

    /// From now on calls and webhooks have these faults.
    pub fn set_plan(&self, plan: FaultPlan) {
        self.inside().faults.plan = plan;
    }

    /// The next calls of this kind for this order have these faults.
    pub fn script(&self, call: Call, order_id: &str, faults: &[Fault]) {
        self.inside().faults.script(call, order_id, faults);
    }

    /// All payments, the oldest first.
    #[must_use]
    pub fn book(&self) -> Vec<BookedPayment> {
        self.change(|books, _now| books.all().map(BookedPayment::from).collect())
    }

    /// One payment.
    #[must_use]
    pub fn booked(&self, payment_key: &str) -> Option<BookedPayment> {
        self.change(|books, _now| books.get(payment_key).map(BookedPayment::from))
    }

    /// The sums.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let inside = self.inside();
        inside.books.all().fold(Totals::default(), Totals::with)
    }

    /// Requests of a kind for an order so far, whatever their answers.
    #[must_use]
    pub fn calls(&self, call: Call, order_id: &str) -> u64 {
        self.inside().requests.count(call, order_id)
    }

    /// The requests, the oldest first: the newest 262,144, of books in a file 1,024.
    #[must_use]
    pub fn requests_seen(&self) -> Vec<SeenRequest> {
        self.inside().requests.seen().cloned().collect()
    }

    /// Webhooks that wait, also for their next attempt.
    #[must_use]
    pub fn webhooks_pending(&self) -> usize {
        self.change(|_books, _now| ());
        self.inside().outbox.len()
    }

    /// Sends the webhooks that are due, one after the other; how many were sent. Without a URL they wait.
    pub async fn run_webhooks(&self) -> usize {
        self.change(|_books, _now| ());
        let Some((client, url)) = self.inside().hook.clone() else {
            return 0;
        };
        let due = self.inside().outbox.take_due(self.clock.unix_millis());
        let count = due.len();
        for delivery in due {
            if !is_accepted(&client, &url, &delivery).await {
                let now = self.clock.unix_millis();
                self.inside().outbox.retry(delivery, now);
            }
        }
        count
    }

    /// Sends webhooks for ever: for a program, which ends it by dropping it.
    pub async fn serve_webhooks(&self) {
        loop {
            self.run_webhooks().await;
            let changed = self.changed.notified();
            // Either begins the next round.
            tokio::time::timeout(WEBHOOK_PAUSE, changed).await.ok();
        }
    }

    /// Runs a change of the books as of now, after what has expired, and stores and announces all of it.
    fn change<T>(&self, act: impl FnOnce(&mut Books, UnixMillis) -> T) -> T {
        let now = self.clock.unix_millis();
        let mut inside = self.inside();
        inside.books.pass(now);
        let result = act(&mut inside.books, now);
        let is_changed = inside.publish(&self.base, now);
        drop(inside);
        if is_changed {
            self.changed.notify_one();
        }
        result
    }

    fn inside(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_accepted(client: &reqwest::Client, url: &Url, delivery: &Delivery) -> bool {
    let request = client.post(url.clone()).body(delivery.body.clone());
    let request = request.header(CONTENT_TYPE, "application/json");
    let answer = request.send().await;
    answer.is_ok_and(|answer| answer.status() == http::StatusCode::OK)
}
