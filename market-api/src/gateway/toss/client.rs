//! The HTTP client: requests, their deadline, and the outcome of each.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::ACCEPT;
use reqwest::{RequestBuilder, Url};
use serde_json::json;
use shared::clock::{Clock, LocalDateTime, UnixMillis};
use shared::config::Secret;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::codes::{Call, classify};
use super::shape::{self, Unreadable};
use crate::gateway::{
    CancelRequest, ConfirmRequest, Gateway, GatewayError, GatewayResult, OrderId, Payment,
    TransactionPage, Uncertain,
};
use crate::metrics::Metrics;
use crate::outgoing::{self, Answer};

/// Bound of an answer. 1 MiB: a payment with a hundred cancels has 50 KiB.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Transactions per page; each has about 500 bytes.
const PAGE_ROWS: usize = 500;

/// Concurrent requests; others wait as long as for a connection. So a gateway that hangs holds so many sockets at most.
const AT_ONCE_MAX: usize = 64;

/// Where the gateway is, and our key.
#[derive(Clone, Debug)]
pub struct TossSettings {
    /// The URL before `/v1`.
    pub base: Url,
    /// The secret key.
    pub secret: Secret<String>,
    /// Time-outs.
    pub times: TossTimes,
}

/// Time-outs of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TossTimes {
    /// Of the connection, and of the wait for other requests before it.
    pub connect: Duration,
    /// Of the whole request.
    pub answer: Duration,
}

impl Default for TossTimes {
    /// A confirmation takes the card company 1 to 3 s, rarely 20. The seam allows 30 s.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            answer: Duration::from_secs(25),
        }
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoTossClient {
    /// The key would be readable on the way.
    #[error("the gateway is called with https only, or on this computer")]
    Exposed,
    /// The HTTP client cannot be built.
    #[error("no HTTP client could be made")]
    Http(#[source] reqwest::Error),
}

/// Toss Payments.
pub struct TossGateway {
    http: reqwest::Client,
    settings: TossSettings,
    permits: Semaphore,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for TossGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TossGateway")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl TossGateway {
    /// A client of the gateway.
    ///
    /// # Errors
    /// See [`NoTossClient`].
    pub fn new(
        settings: TossSettings,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, NoTossClient> {
        if outgoing::is_exposed(&settings.base) {
            return Err(NoTossClient::Exposed);
        }
        let http = outgoing::client([&settings.base].into_iter())
            .connect_timeout(settings.times.connect)
            .build()
            .map_err(NoTossClient::Http)?;
        Ok(Self {
            http,
            settings,
            permits: Semaphore::new(AT_ONCE_MAX),
            clock,
            metrics,
        })
    }

    /// The URL of a path, whose segments may hold any character.
    fn url(&self, segments: &[&str]) -> Result<Url, GatewayError> {
        // These would be dropped from the path, and the request would go to another address.
        if segments.iter().any(|segment| [".", ".."].contains(segment)) {
            return Err(unsent("no such key"));
        }
        let mut url = self.settings.base.clone();
        let mut path = url
            .path_segments_mut()
            .map_err(|()| unsent("its URL takes no path"))?;
        path.pop_if_empty().push("v1").extend(segments);
        drop(path);
        Ok(url)
    }

    /// Sends a request; a body of status 200 is read with `read`.
    async fn call<T>(
        &self,
        call: Call,
        request: RequestBuilder,
        read: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
    ) -> GatewayResult<T> {
        let started = self.clock.now();
        let answer = timeout(self.settings.times.answer, self.send(request));
        let outcome = match answer.await {
            Ok(Ok(answer)) => understand(call, &answer, read),
            Ok(Err(error)) => Err(error),
            Err(_elapsed) => Err(uncertain("TIMEOUT", "no answer in time")),
        };
        let elapsed = self.clock.now().saturating_duration_since(started);
        let counted = [call.label(), outcome.as_ref().err().map_or("ok", label)];
        let seconds = self.metrics.gateway.seconds.with_label_values(&counted);
        seconds.observe(elapsed.as_secs_f64());
        outcome
    }

    async fn send(&self, request: RequestBuilder) -> GatewayResult<Answer> {
        // Not for longer than for a connection: a request is not sent shortly before its deadline.
        let permit = timeout(self.settings.times.connect, self.permits.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(unsent("too many requests are in flight"));
        };
        let request = request
            .basic_auth(self.settings.secret.expose(), Some(""))
            .header(ACCEPT, "application/json");
        let answer = outgoing::send(request, ANSWER_BYTES_MAX).await;
        answer.map_err(|reason| uncertain("NO_ANSWER", reason.to_string()))
    }
}

fn uncertain(code: &str, reason: impl Into<String>) -> GatewayError {
    GatewayError::Unknown(Uncertain::new(code, reason))
}

/// Nothing was sent. Unknown all the same: an earlier repetition may have been.
fn unsent(reason: &str) -> GatewayError {
    uncertain("NOT_SENT", format!("not sent: {reason}"))
}

/// What an answer says. Only a 200 has a result, whatever is in the body of another.
fn understand<T>(
    call: Call,
    answer: &Answer,
    read: impl FnOnce(&[u8]) -> Result<T, Unreadable>,
) -> GatewayResult<T> {
    if answer.status == StatusCode::OK {
        return read(&answer.body).map_err(|reason| uncertain("UNREADABLE", reason.to_string()));
    }
    let code = shape::error_code(&answer.body);
    Err(classify(call, answer.status, code.as_deref()))
}

/// The outcome as a metric's label.
const fn label(error: &GatewayError) -> &'static str {
    match error {
        GatewayError::Refused(_) => "refused",
        GatewayError::NotFound => "not_found",
        GatewayError::Misconfigured(_) => "misconfigured",
        GatewayError::Unknown(_) => "unknown",
    }
}

#[async_trait]
impl Gateway for TossGateway {
    async fn confirm(&self, request: &ConfirmRequest) -> GatewayResult<Payment> {
        let url = self.url(&["payments", "confirm"])?;
        let body = json!({
            "paymentKey": request.key, "orderId": request.order, "amount": request.amount,
        });
        let sent = self.http.post(url).json(&body);
        let sent = sent.header(IDEMPOTENCY_KEY, request.idempotency_key.as_str());
        self.call(Call::Confirm, sent, shape::payment).await
    }

    async fn payment_of(&self, order: &OrderId) -> GatewayResult<Payment> {
        let url = self.url(&["payments", "orders", order.as_str()])?;
        self.call(Call::Query, self.http.get(url), shape::payment)
            .await
    }

    async fn cancel(&self, request: &CancelRequest) -> GatewayResult<Payment> {
        let url = self.url(&["payments", request.key.as_str(), "cancel"])?;
        let body = json!({"cancelReason": request.reason, "cancelAmount": request.amount});
        let sent = self.http.post(url).json(&body);
        let sent = sent.header(IDEMPOTENCY_KEY, request.idempotency_key.as_str());
        self.call(Call::Cancel, sent, shape::payment).await
    }

    async fn transactions(
        &self,
        from: UnixMillis,
        until: UnixMillis,
        after: Option<&str>,
    ) -> GatewayResult<TransactionPage> {
        let mut url = self.url(&["transactions"])?;
        url.query_pairs_mut()
            .append_pair("startDate", &seconds(from))
            .append_pair("endDate", &seconds(until))
            .append_pair("limit", &PAGE_ROWS.to_string());
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("startingAfter", after);
        }
        let request = self.http.get(url);
        let listed = self.call(Call::List, request, shape::transactions).await?;
        let mut transactions = listed.transactions;
        // The gateway's end is inclusive.
        transactions.retain(|row| (from..until).contains(&row.at));
        let next = listed.last.filter(|_| listed.count >= PAGE_ROWS);
        Ok(TransactionPage { transactions, next })
    }
}

/// Name of the header.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Korean local time in seconds.
fn seconds(moment: UnixMillis) -> String {
    let mut text = LocalDateTime::from_unix(moment).to_string();
    text.truncate("2026-11-15T12:00:00".len());
    text
}
