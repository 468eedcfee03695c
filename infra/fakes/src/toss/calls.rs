//! The HTTP API: from a request to its answer.
//!
//! A call runs as a task of its own, so that it goes on when its client leaves: a client that has waited long
//! enough learns nothing of a capture that comes later.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;
use shared::clock::LocalDateTime;

use super::FakeToss;
use super::cancel::Cancel;
use super::codes::{Answer, Code, Language};
use super::faults::{Call, Fault};
use super::keys::{Begun, KEY_CHARS_MAX};
use super::payment::CancelStatus;
use super::requests::SeenRequest;
use super::transactions::Page;
use crate::lost::lost;

/// The longest body.
const BODY_BYTES_MAX: usize = 16 * 1_024;

/// The longest reason of a cancel.
const REASON_CHARS_MAX: usize = 200;

/// What is recorded of an unknown order or payment.
const NAME_CHARS_MAX: usize = 200;

/// Transactions of a page, and at most.
const PAGE_ROWS: usize = 100;
const PAGE_ROWS_MAX: usize = 10_000;

type Fake = State<Arc<FakeToss>>;

pub(super) fn routes() -> Router<Arc<FakeToss>> {
    Router::new()
        .route("/v1/payments/confirm", post(confirm))
        .route("/v1/payments/{key}", get(by_key))
        .route("/v1/payments/orders/{order}", get(by_order))
        .route("/v1/payments/{key}/cancel", post(cancel))
        .route("/v1/transactions", get(transactions))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What a request wants.
#[derive(Debug)]
enum Wish {
    Confirm(Value),
    Cancel(String, Value),
    ByKey(String),
    ByOrder(String),
    Transactions(Listing),
}

/// The query of the list of transactions.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Listing {
    start_date: String,
    end_date: String,
    starting_after: Option<String>,
    limit: Option<String>,
}

/// A request, without its connection.
#[derive(Debug)]
struct Request {
    wish: Wish,
    authorization: Option<String>,
    idempotency_key: Option<String>,
    language: Language,
}

async fn confirm(State(fake): Fake, headers: HeaderMap, body: String) -> Response {
    let wish = Wish::Confirm(parse(&body));
    serve(fake, Request::of(wish, &headers)).await
}

async fn cancel(
    State(fake): Fake,
    Path(key): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let wish = Wish::Cancel(key, parse(&body));
    serve(fake, Request::of(wish, &headers)).await
}

async fn by_key(State(fake): Fake, Path(key): Path<String>, headers: HeaderMap) -> Response {
    serve(fake, Request::of(Wish::ByKey(key), &headers)).await
}

async fn by_order(State(fake): Fake, Path(order): Path<String>, headers: HeaderMap) -> Response {
    serve(fake, Request::of(Wish::ByOrder(order), &headers)).await
}

async fn transactions(
    State(fake): Fake,
    Query(listing): Query<Listing>,
    headers: HeaderMap,
) -> Response {
    serve(fake, Request::of(Wish::Transactions(listing), &headers)).await
}

fn parse(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_default()
}

impl Request {
    fn of(wish: Wish, headers: &HeaderMap) -> Self {
        let header = |name: &str| {
            let value = headers.get(name)?;
            Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        Self {
            wish,
            authorization: header(AUTHORIZATION.as_str()),
            idempotency_key: header("idempotency-key"),
            language: Language::of(headers),
        }
    }

    const fn call(&self) -> Call {
        match self.wish {
            Wish::Confirm(_) => Call::Confirm,
            Wish::Cancel(..) => Call::Cancel,
            Wish::ByKey(_) | Wish::ByOrder(_) => Call::Get,
            Wish::Transactions(_) => Call::Transactions,
        }
    }

    /// The scope of its idempotency key: the key, the method and the URL. Queries have none.
    fn scope(&self) -> Option<String> {
        let key = self.idempotency_key.as_ref()?;
        match &self.wish {
            Wish::Confirm(_) => Some(format!("{key}\nPOST\n/v1/payments/confirm")),
            Wish::Cancel(payment, _) => Some(format!("{key}\nPOST\n/v1/payments/{payment}/cancel")),
            Wish::ByKey(_) | Wish::ByOrder(_) | Wish::Transactions(_) => None,
        }
    }

    fn refusal(&self, code: &str) -> Answer {
        Answer::refusal(code, self.language)
    }
}

/// Runs a call to its end, and waits for that as long as the client does.
async fn serve(fake: Arc<FakeToss>, request: Request) -> Response {
    let drain = fake.drain.clone();
    let call = drain.spawn("toss-call", run(fake, request));
    call.await.unwrap_or_else(|_lost| lost())
}

async fn run(fake: Arc<FakeToss>, request: Request) -> Response {
    let authorized = request.authorization.as_ref() == Some(&fake.basic);
    let fault = note(&fake, &request, authorized);
    match fault {
        Some(Fault::LostBefore) => return lost(),
        Some(Fault::TooManyRequests) => {
            return request.refusal("TOO_MANY_REQUESTS").into_response();
        }
        Some(Fault::ServerError) => return failed(&request).into_response(),
        Some(
            Fault::Delay(_)
            | Fault::LostAfter
            | Fault::ServerErrorAfter
            | Fault::Malformed
            | Fault::Refused(_)
            | Fault::CancelPending,
        )
        | None => {}
    }
    if fake.inside().is_broken() {
        return failed(&request).into_response();
    }
    if !authorized {
        return request.refusal("UNAUTHORIZED_KEY").into_response();
    }
    let answer = keyed(&fake, &request, fault).await;
    match fault {
        Some(Fault::LostAfter) => lost(),
        Some(Fault::Malformed) => answer.cut().into_response(),
        Some(
            Fault::Delay(_)
            | Fault::LostBefore
            | Fault::ServerError
            | Fault::ServerErrorAfter
            | Fault::TooManyRequests
            | Fault::Refused(_)
            | Fault::CancelPending,
        )
        | None => answer.into_response(),
    }
}

/// Records a request; what goes wrong with it.
fn note(fake: &FakeToss, request: &Request, authorized: bool) -> Option<Fault> {
    let seen = seen(fake, request, authorized);
    let mut inside = fake.inside();
    let state = &mut *inside;
    state.requests.note(seen, &mut state.faults)
}

fn failed(request: &Request) -> Answer {
    request.refusal("FAILED_INTERNAL_SYSTEM_PROCESSING")
}

/// Answers under the request's idempotency key, if it has one.
async fn keyed(fake: &FakeToss, request: &Request, fault: Option<Fault>) -> Answer {
    let key = request.idempotency_key.as_deref().unwrap_or_default();
    let Some(scope) = request.scope() else {
        return processed(fake, request, fault).await;
    };
    if key.chars().count() > KEY_CHARS_MAX {
        return request.refusal("INVALID_IDEMPOTENCY_KEY");
    }
    let since = fake.clock.unix_millis();
    let begun = fake.inside().keys.begin(&scope, since);
    match begun {
        Begun::Running => request.refusal("IDEMPOTENT_REQUEST_PROCESSING"),
        Begun::Replay(answer) => answer,
        Begun::New => {
            let answer = processed(fake, request, fault).await;
            fake.inside().finish(&scope, &answer, since);
            answer
        }
    }
}

async fn processed(fake: &FakeToss, request: &Request, fault: Option<Fault>) -> Answer {
    if let Some(Fault::Delay(time)) = fault
        && time > Duration::ZERO
    {
        tokio::time::sleep(time).await;
    }
    let answer = match fault {
        Some(Fault::Refused(code)) => Err(decline(fake, request, code)),
        Some(Fault::CancelPending) => process(fake, request, CancelStatus::InProgress),
        Some(
            Fault::Delay(_)
            | Fault::LostBefore
            | Fault::LostAfter
            | Fault::ServerError
            | Fault::ServerErrorAfter
            | Fault::TooManyRequests
            | Fault::Malformed,
        )
        | None => process(fake, request, CancelStatus::Done),
    };
    if fault == Some(Fault::ServerErrorAfter) || fake.inside().is_broken() {
        return failed(request);
    }
    answer.unwrap_or_else(|code| request.refusal(&code))
}

/// Refuses a request whatever it is. A payment that was to be confirmed is declined thereby.
fn decline(fake: &FakeToss, request: &Request, code: &'static str) -> Code {
    if let Wish::Confirm(body) = &request.wish {
        let key = body["paymentKey"].as_str().unwrap_or_default();
        fake.change(|books, _now| books.abort(key, code));
    }
    code.into()
}

/// Does what a request wants; a cancel has this status then.
fn process(fake: &FakeToss, request: &Request, status: CancelStatus) -> Result<Answer, Code> {
    let show = |key: &str| {
        fake.change(|books, _now| {
            let payment = books.get(key).ok_or("NOT_FOUND_PAYMENT")?;
            Ok(Answer::ok(&payment.json(&fake.base, request.language)))
        })
    };
    match &request.wish {
        Wish::ByKey(key) => show(key),
        Wish::ByOrder(order) => {
            let key = fake.change(|books, _now| Some(books.of_order(order)?.key.clone()));
            show(&key.ok_or("NOT_FOUND_PAYMENT")?)
        }
        Wish::Confirm(body) => {
            let (key, order) = (body["paymentKey"].as_str(), body["orderId"].as_str());
            let (Some(key), Some(order), Some(amount)) = (key, order, body["amount"].as_i64())
            else {
                return Err("INVALID_REQUEST".into());
            };
            fake.change(|books, now| books.confirm(key, order, amount, now))?;
            show(key)
        }
        Wish::Cancel(key, body) => {
            let mut cancel = read_cancel(body).ok_or("INVALID_REQUEST")?;
            cancel.status = status;
            fake.change(|books, now| books.cancel(key, &cancel, now))?;
            show(key)
        }
        Wish::Transactions(listing) => {
            let page = read_page(listing)?;
            let rows = fake.change(|books, _now| books.transactions.page(&page));
            let rows = rows.ok_or("INVALID_TRANSACTION_KEY")?;
            Ok(Answer::ok(&Value::Array(rows)))
        }
    }
}

/// `None` if something is missing or of another kind.
fn read_cancel(body: &Value) -> Option<Cancel<'_>> {
    let reason = body["cancelReason"].as_str()?;
    let is_good = (1..=REASON_CHARS_MAX).contains(&reason.chars().count());
    let amount = &body["cancelAmount"];
    let amount = match amount.is_null() {
        true => None,
        false => Some(amount.as_i64().filter(|amount| *amount > 0)?),
    };
    let account = &body["refundReceiveAccount"];
    let fields = ["bank", "accountNumber", "holderName"];
    is_good.then(|| Cancel {
        amount,
        reason,
        has_account: fields.iter().all(|field| account[*field].is_string()),
        by_dashboard: false,
        status: CancelStatus::Done,
    })
}

fn read_page(listing: &Listing) -> Result<Page<'_>, Code> {
    let moment = |text: &str| {
        let local = text.parse::<LocalDateTime>();
        local
            .map(LocalDateTime::to_unix)
            .map_err(|_invalid| "INVALID_DATE")
    };
    let limit = match &listing.limit {
        None => PAGE_ROWS,
        Some(text) => text.parse().map_err(|_invalid| "INVALID_REQUEST")?,
    };
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        return Err("INVALID_REQUEST".into());
    }
    // An end in whole seconds includes its second.
    let rest = match listing.end_date.contains('.') {
        true => Duration::ZERO,
        false => Duration::from_millis(999),
    };
    Ok(Page {
        from: moment(&listing.start_date)?,
        to: moment(&listing.end_date)?.saturating_add(rest),
        after: listing.starting_after.as_deref(),
        limit,
    })
}

/// What is recorded of a request.
fn seen(fake: &FakeToss, request: &Request, authorized: bool) -> SeenRequest {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let inside = fake.inside();
    let of_key = |key: &str| {
        inside
            .books
            .get(key)
            .map(|payment| payment.order_id.clone())
    };
    let (order_id, payment_key, body) = match &request.wish {
        Wish::Confirm(body) => (text(&body["orderId"]), text(&body["paymentKey"]), body),
        Wish::Cancel(key, body) => (of_key(key), Some(key.clone()), body),
        Wish::ByKey(key) => (of_key(key), Some(key.clone()), &Value::Null),
        Wish::ByOrder(order) => {
            let payment = inside.books.of_order(order);
            let key = payment.map(|payment| payment.key.clone());
            (Some(order.clone()), key, &Value::Null)
        }
        Wish::Transactions(_) => (None, None, &Value::Null),
    };
    let short = |text: String| text.chars().take(NAME_CHARS_MAX).collect::<String>();
    let named = order_id.or_else(|| payment_key.clone()).unwrap_or_default();
    SeenRequest {
        call: request.call(),
        order_id: short(named),
        payment_key: payment_key.map(short),
        authorized,
        idempotency_key: request.idempotency_key.clone().map(short),
        cancel_amount: body["cancelAmount"].as_i64(),
        cancel_reason: text(&body["cancelReason"]).map(short),
        at: fake.clock.unix_millis(),
        fault: None,
    }
}
