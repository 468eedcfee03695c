//! Adapter of the payout seam: a provider with an HTTP API of two calls.
//!
//! `POST /v1/payouts {reference, amount, recipient, validUntil}` and `GET /v1/payouts/{reference}`, with a bearer
//! key. 200 is a state, 422 a refusal for certain, 404 `NOT_FOUND` of a query an unused reference; everything else
//! says nothing for certain.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::ACCEPT;
use jiff::Timestamp;
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde_json::json;
use shared::config::Secret;
use shared::money::Won;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{PayoutRequest, PayoutStatus, PayoutUnknown, Payouts};
use crate::gateway::GatewayCode;
use crate::metrics::Metrics;
use crate::outgoing::{self, Answer};

/// Bound of an answer. 64 KiB: a state has 200 bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Concurrent requests; others wait as long as for a connection.
const AT_ONCE_MAX: usize = 16;

/// Time-out of the connection.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Where the provider is, and our key.
#[derive(Clone, Debug)]
pub struct PayoutSettings {
    /// The URL before `/v1`.
    pub base: Url,
    /// The key.
    pub key: Secret<String>,
    /// Deadline of a request. The seam allows 30 s.
    pub answer_max: Duration,
}

impl PayoutSettings {
    /// A provider that queues payouts answers within a second.
    pub const ANSWER_MAX: Duration = Duration::from_secs(15);
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum NoPayoutClient {
    /// The key would be readable on the way.
    #[error("the payout provider is called with https only, or on this computer")]
    Exposed,
    /// The HTTP client cannot be built.
    #[error("no HTTP client could be made")]
    Http(#[source] reqwest::Error),
}

/// A payout provider.
pub struct HttpPayouts {
    http: reqwest::Client,
    settings: PayoutSettings,
    permits: Semaphore,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for HttpPayouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPayouts")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct StateShape {
    reference: String,
    status: String,
    amount: Option<Won>,
    code: Option<String>,
}

#[derive(Deserialize)]
struct ErrorShape {
    code: String,
}

impl HttpPayouts {
    /// A client of the provider.
    ///
    /// # Errors
    /// See [`NoPayoutClient`].
    pub fn new(settings: PayoutSettings, metrics: Arc<Metrics>) -> Result<Self, NoPayoutClient> {
        if outgoing::is_exposed(&settings.base) {
            return Err(NoPayoutClient::Exposed);
        }
        let http = outgoing::client([&settings.base].into_iter())
            .connect_timeout(CONNECT_MAX.min(settings.answer_max))
            .build()
            .map_err(NoPayoutClient::Http)?;
        Ok(Self {
            http,
            settings,
            permits: Semaphore::new(AT_ONCE_MAX),
            metrics,
        })
    }

    fn url(&self, reference: Option<&str>) -> Result<Url, PayoutUnknown> {
        if matches!(reference, Some("." | ".." | "")) {
            return Err(PayoutUnknown("not sent: no such reference".to_owned()));
        }
        let mut url = self.settings.base.clone();
        let mut path = url
            .path_segments_mut()
            .map_err(|()| PayoutUnknown("not sent: its URL takes no path".to_owned()))?;
        path.pop_if_empty().extend(["v1", "payouts"]);
        path.extend(reference);
        drop(path);
        Ok(url)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Answer, PayoutUnknown> {
        let sent = async {
            let permit = timeout(CONNECT_MAX, self.permits.acquire()).await;
            let Ok(Ok(_permit)) = permit else {
                let reason = "not sent: too many requests are in flight";
                return Err(PayoutUnknown(reason.to_owned()));
            };
            let request = request
                .bearer_auth(self.settings.key.expose())
                .header(ACCEPT, "application/json");
            let answer = outgoing::send(request, ANSWER_BYTES_MAX).await;
            answer.map_err(|no_answer| PayoutUnknown(no_answer.to_string()))
        };
        let answer = timeout(self.settings.answer_max, sent).await;
        answer.map_err(|_elapsed| PayoutUnknown("no answer in time".to_owned()))?
    }

    fn count(&self, call: &str, outcome: &str) {
        let calls = &self.metrics.gateway.payout_calls;
        calls.with_label_values(&[call, outcome]).inc();
    }
}

/// The state of this reference; with `amount`, of a payout of this amount.
fn state(answer: &Answer, reference: &str) -> Result<(PayoutStatus, Option<Won>), PayoutUnknown> {
    let unreadable = || PayoutUnknown("its answer has no state of this payout".to_owned());
    let shape: StateShape = serde_json::from_slice(&answer.body).map_err(|_detail| unreadable())?;
    if shape.reference != reference {
        return Err(unreadable());
    }
    let status = match shape.status.as_str() {
        "ACCEPTED" => PayoutStatus::Accepted,
        "PAID" => PayoutStatus::Paid,
        "REFUSED" => {
            PayoutStatus::Refused(GatewayCode::of(shape.code.as_deref().unwrap_or_default()))
        }
        _ => return Err(unreadable()),
    };
    Ok((status, shape.amount))
}

fn code(answer: &Answer) -> Option<GatewayCode> {
    let error: ErrorShape = serde_json::from_slice(&answer.body).ok()?;
    Some(GatewayCode::of(&error.code))
}

fn unknown(answer: &Answer) -> PayoutUnknown {
    let status = answer.status.as_u16();
    PayoutUnknown(match code(answer) {
        Some(code) => format!("HTTP {status} {code}"),
        None => format!("HTTP {status} without a code"),
    })
}

fn understand_send(
    answer: &Answer,
    request: &PayoutRequest,
) -> Result<PayoutStatus, PayoutUnknown> {
    if answer.status == StatusCode::OK {
        let (status, amount) = state(answer, &request.reference)?;
        // Another amount under our reference: never taken for ours.
        return match amount.is_none_or(|amount| amount == request.amount) {
            true => Ok(status),
            false => Err(PayoutUnknown("its payout has another amount".to_owned())),
        };
    }
    match (answer.status, code(answer)) {
        (StatusCode::UNPROCESSABLE_ENTITY, Some(code)) => Ok(PayoutStatus::Refused(code)),
        _ => Err(unknown(answer)),
    }
}

fn understand_find(
    answer: &Answer,
    reference: &str,
) -> Result<Option<PayoutStatus>, PayoutUnknown> {
    if answer.status == StatusCode::OK {
        return state(answer, reference).map(|(status, _)| Some(status));
    }
    match (answer.status, code(answer)) {
        // A 404 of a proxy has no such code.
        (StatusCode::NOT_FOUND, Some(code)) if code.as_str() == "NOT_FOUND" => Ok(None),
        _ => Err(unknown(answer)),
    }
}

const fn label(status: &PayoutStatus) -> &'static str {
    match status {
        PayoutStatus::Accepted | PayoutStatus::Paid => "ok",
        PayoutStatus::Refused(_) => "refused",
    }
}

#[async_trait]
impl Payouts for HttpPayouts {
    async fn send(&self, request: &PayoutRequest) -> Result<PayoutStatus, PayoutUnknown> {
        let url = self.url(None)?;
        let valid_until = Timestamp::from_millisecond(request.valid_until.get());
        let valid_until =
            valid_until.map_err(|_range| PayoutUnknown("not sent: no such time".to_owned()))?;
        let body = json!({
            "reference": request.reference,
            "amount": request.amount,
            "recipient": {"memberId": request.member},
            "validUntil": valid_until.to_string(),
        });
        let answer = self.answer(self.http.post(url).json(&body)).await;
        let outcome = answer.and_then(|answer| understand_send(&answer, request));
        self.count("send", outcome.as_ref().map_or("unknown", label));
        outcome
    }

    async fn find(&self, reference: &str) -> Result<Option<PayoutStatus>, PayoutUnknown> {
        let url = self.url(Some(reference))?;
        let answer = self.answer(self.http.get(url)).await;
        let outcome = answer.and_then(|answer| understand_find(&answer, reference));
        let counted = match &outcome {
            Ok(Some(status)) => label(status),
            Ok(None) => "not_found",
            Err(_) => "unknown",
        };
        self.count("find", counted);
        outcome
    }
}
