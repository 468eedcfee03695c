//! The HTTP client of a run: purchases and lists, each with its result code and its time.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use shared::clock::{Clock as _, LocalDateTime, SystemClock};
use shared::money::Won;
use shared::web::ErrorCode;

use super::error::MarketError;
use super::ground::Member;

/// Time-out of one request: longer than any wait of the server's.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// Sends requests to the server under test.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
}

/// A request to measure.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    /// Buys all of a whole offer, with this `Idempotency-Key`.
    Buy { offer: u32, key: String },
    /// Buys all of these whole offers in one purchase, with this `Idempotency-Key`.
    Combine { offers: Vec<u32>, key: String },
    /// Buys time on a Wi-Fi spot, with this `Idempotency-Key`.
    Book {
        spot: u32,
        start: LocalDateTime,
        end: LocalDateTime,
        key: String,
    },
    /// Reads the first page of the list of mobile data in this order.
    List { sort: &'static str },
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Code {
    /// The code in the envelope; 0: done.
    Envelope(u16),
    /// A response without an envelope, or with a status that contradicts it.
    Status(u16),
    /// No response in time.
    Late,
    /// No response.
    Lost,
}

impl Code {
    pub(crate) const DONE: Self = Self::Envelope(0);

    pub(crate) const fn of(code: ErrorCode) -> Self {
        Self::Envelope(code.number())
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(code) => code.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::Late => f.write_str("time-out"),
            Self::Lost => f.write_str("no response"),
        }
    }
}

/// A measured response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) code: Code,
    pub(crate) took: Duration,
}

/// A response to a purchase.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) code: Code,
    /// The buyer's trade, if there is one.
    pub(crate) trade: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Envelope {
    code: u16,
    #[serde(default)]
    data: Option<Traded>,
}

/// Of every other response these are none.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Traded {
    #[serde(default)]
    trade_id: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct Rows {
    data: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    product_id: u32,
}

impl Client {
    /// `server` is the URL of the public listener.
    pub(crate) fn new(server: &str) -> Result<Self, MarketError> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_MAX);
        Ok(Self {
            http: http.build().map_err(MarketError::Client)?,
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    /// Sends a request and measures until its whole response was read.
    pub(crate) async fn measure(&self, by: &Member, ask: &Ask) -> Answer {
        let begun = SystemClock.now();
        let Reply { code, .. } = self.send(by, ask).await;
        Answer {
            code,
            took: since(begun),
        }
    }

    /// Sends a request and reads its whole response.
    pub(crate) async fn send(&self, by: &Member, ask: &Ask) -> Reply {
        let price = super::PRICE.get();
        let request = match ask {
            Ask::Buy { offer, key } => self
                .post("/api/trades/mobile-data/default")
                .header("idempotency-key", key)
                .json(&json!({ "productId": offer, "mobileDataId": offer, "price": price })),
            Ask::Combine { offers, key } => {
                let part = |offer: &u32| json!({ "productId": offer, "mobileDataId": offer, "purchaseAmount": 0.1 });
                let parts: Vec<Value> = offers.iter().map(part).collect();
                let count = i64::try_from(parts.len()).unwrap_or(i64::MAX);
                self.post("/api/trades/mobile-data/scrap")
                    .header("idempotency-key", key)
                    .json(&json!({
                        "totalAmount": parts.len() as f64 / 10.0,
                        "totalPrice": price * count,
                        "combinations": parts,
                    }))
            }
            Ask::Book { spot, start, end, key } => self
                .post("/api/trades/wifi")
                .header("idempotency-key", key)
                .json(&json!({ "productId": spot, "wifiId": spot, "startTime": start, "endTime": end })),
            Ask::List { sort } => {
                self.get(&format!("/api/products/mobile-data?size=20&productSortOption={sort}"))
            }
        };
        reply_of(request.bearer_auth(by.token.expose())).await
    }

    /// Offers 0.1 GB as a whole.
    pub(crate) async fn offer(&self, seller: &Member, price: Won) -> Result<(), MarketError> {
        let form = json!({ "price": price.get(), "dataAmount": 0.1, "isSplitType": false });
        let request = self.post("/api/products/mobile-data").json(&form);
        prepared("an offer", request.bearer_auth(seller.token.expose())).await?;
        Ok(())
    }

    /// Offers time on a Wi-Fi spot that never closes.
    pub(crate) async fn offer_spot(&self, seller: &Member, price: Won) -> Result<(), MarketError> {
        let form = json!({
            "price": price.get(), "title": "load test", "latitude": 37.5, "longitude": 127.0,
            "startTime": "2026-01-01T00:00:00", "endTime": "2026-01-02T00:00:00",
            "capacity": 1_000,
        });
        let request = self.post("/api/products/wifi").json(&form);
        prepared(
            "an offer of a spot",
            request.bearer_auth(seller.token.expose()),
        )
        .await?;
        Ok(())
    }

    /// The seller's offers that can be bought, at most a hundred.
    pub(crate) async fn offers_of(&self, seller: &Member) -> Result<Vec<u32>, MarketError> {
        let path = "/api/selling-products?productState=ACTIVE&size=100";
        self.ids("own offers", path, seller).await
    }

    /// The offers on the first page of the list, newest first: at most a hundred.
    pub(crate) async fn newest(&self, reader: &Member) -> Result<Vec<u32>, MarketError> {
        let path = "/api/products/mobile-data?size=100&productSortOption=RECENT";
        self.ids("the list", path, reader).await
    }

    async fn ids(
        &self,
        what: &'static str,
        path: &str,
        by: &Member,
    ) -> Result<Vec<u32>, MarketError> {
        let body = prepared(what, self.get(path).bearer_auth(by.token.expose())).await?;
        let rows: Result<Rows, _> = serde_json::from_value(body["data"].clone());
        let rows = rows.map_err(|_other_form| MarketError::Refused {
            what,
            status: 200,
            body: body.to_string(),
        })?;
        Ok(rows.data.iter().map(|row| row.product_id).collect())
    }

    fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.post(format!("{}{path}", self.server))
    }

    fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.server))
    }
}

pub(crate) fn since(begun: Instant) -> Duration {
    SystemClock.now().saturating_duration_since(begun)
}

async fn reply_of(request: reqwest::RequestBuilder) -> Reply {
    let mut trade = None;
    let code = code_of(request, &mut trade).await;
    Reply { code, trade }
}

async fn code_of(request: reqwest::RequestBuilder, trade: &mut Option<u32>) -> Code {
    let response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => return Code::Late,
        Err(_) => return Code::Lost,
    };
    let status = response.status();
    match response.json::<Envelope>().await {
        Ok(envelope) if (envelope.code == 0) == status.is_success() => {
            *trade = envelope.data.and_then(|data| data.trade_id);
            Code::Envelope(envelope.code)
        }
        Ok(_) => Code::Status(status.as_u16()),
        Err(error) if error.is_timeout() => Code::Late,
        Err(error) if error.is_decode() => Code::Status(status.as_u16()),
        Err(_) => Code::Lost,
    }
}

/// A request of the preparation, which must succeed.
async fn prepared(
    what: &'static str,
    request: reqwest::RequestBuilder,
) -> Result<Value, MarketError> {
    let lost = |source| MarketError::Server { what, source };
    let response = request.send().await.map_err(lost)?;
    let status = response.status();
    let body = response.text().await.map_err(lost)?;
    match serde_json::from_str(&body) {
        Ok(json) if status.is_success() => Ok(json),
        Ok(_) | Err(_) => Err(MarketError::Refused {
            what,
            status: status.as_u16(),
            body,
        }),
    }
}
