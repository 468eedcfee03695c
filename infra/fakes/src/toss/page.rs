//! The pages for people: to pay, to make the transfers that are waited for, and receipts. They need no script.
//!
//! Browsers are sent back to registered origins only.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use http::{HeaderMap, StatusCode};
use reqwest::Url;
use serde::Deserialize;

use super::FakeToss;
use super::books::Agreed;
use super::codes::Language;
use super::payment::{How, Payment, Status, wire_time};

/// The longest body of a form.
const FORM_BYTES_MAX: usize = 4 * 1_024;

/// The longest name of an order.
const NAME_CHARS_MAX: usize = 100;

/// The highest amount: more than a charge may have.
const AMOUNT_MAX: i64 = 1_000_000_000;

/// Waiting transfers on the page, the newest.
const ACCOUNTS_MAX: usize = 100;

type Fake = State<Arc<FakeToss>>;

pub(super) fn routes() -> Router<Arc<FakeToss>> {
    Router::new()
        .route("/pay", get(show_pay).post(pay))
        .route("/accounts", get(show_accounts).post(settle))
        .route("/receipts/{key}", get(show_receipt))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

/// What a browser comes with.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Order {
    order_id: String,
    order_name: String,
    amount: String,
    success_url: String,
    fail_url: String,
}

/// The same, checked.
#[derive(Debug)]
struct Checked {
    order_id: String,
    order_name: String,
    amount: i64,
    success: Url,
    fail: Url,
}

impl Order {
    fn check(self, fake: &FakeToss) -> Option<Checked> {
        let back = |text: &str| {
            let url = Url::parse(text).ok()?;
            let origin = url.origin().ascii_serialization();
            fake.origins.contains(&origin).then_some(url)
        };
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
        let is_good = (6..=64).contains(&self.order_id.len())
            && self.order_id.bytes().all(is_id)
            && (1..=NAME_CHARS_MAX).contains(&self.order_name.chars().count());
        let amount = self.amount.parse().ok();
        let amount = amount.filter(|amount| (1..=AMOUNT_MAX).contains(amount))?;
        let (success, fail) = (back(&self.success_url)?, back(&self.fail_url)?);
        is_good.then_some(Checked {
            order_id: self.order_id,
            order_name: self.order_name,
            amount,
            success,
            fail,
        })
    }
}

async fn show_pay(State(fake): Fake, Query(order): Query<Order>, headers: HeaderMap) -> Response {
    let language = Language::of(&headers);
    let Some(order) = order.check(&fake) else {
        return refuse(language);
    };
    let choice = |how: &str, korean, english| {
        let text = language.pick(korean, english);
        format!("<button name=\"how\" value=\"{how}\">{text}</button>")
    };
    let body = format!(
        "<p><b>{}</b><br>{}</p><form method=\"post\">{}{}{}{}{}</form>",
        escape(&order.order_name),
        won(order.amount, language),
        choice("card", "카드로 결제", "Pay by card"),
        choice("transfer", "나중에 계좌이체", "Transfer later"),
        choice(
            "declined",
            "거절되는 카드로 결제",
            "Pay by a card that is declined"
        ),
        choice("aborted", "카드 인증 실패", "Fail the card authentication"),
        choice("cancel", "결제 취소", "Cancel"),
    );
    page(language, language.pick("결제", "Payment"), &body)
}

/// A choice: back to the site.
async fn pay(
    State(fake): Fake,
    Query(order): Query<Order>,
    headers: HeaderMap,
    form: String,
) -> Response {
    let language = Language::of(&headers);
    let Some(order) = order.check(&fake) else {
        return refuse(language);
    };
    let how = match field(&form, "how").as_deref() {
        Some("card") => How::Card,
        Some("transfer") => How::VirtualAccount,
        Some("declined") => How::Declined("REJECT_CARD_PAYMENT".to_owned()),
        Some("aborted") => {
            let why = language.pick(
                "카드 인증에 실패했습니다.",
                "The card authentication failed.",
            );
            return fail(
                order.fail,
                "PAY_PROCESS_ABORTED",
                why,
                Some(&order.order_id),
            );
        }
        // Without the order, as the real one when the customer closes its window.
        Some("cancel") => {
            let why = language.pick(
                "사용자가 결제를 취소했습니다.",
                "The customer has cancelled.",
            );
            return fail(order.fail, "PAY_PROCESS_CANCELED", why, None);
        }
        Some(_) | None => return refuse(language),
    };
    let key = fake.agree(Agreed {
        order_id: &order.order_id,
        order_name: &order.order_name,
        amount: order.amount,
        how,
    });
    let mut to = order.success;
    to.query_pairs_mut()
        .append_pair("paymentKey", &key)
        .append_pair("orderId", &order.order_id)
        .append_pair("amount", &order.amount.to_string());
    go(to.as_str())
}

/// Back to the site, without a payment.
fn fail(mut to: Url, code: &str, why: &str, order_id: Option<&str>) -> Response {
    to.query_pairs_mut()
        .append_pair("code", code)
        .append_pair("message", why)
        .extend_pairs(order_id.map(|order_id| ("orderId", order_id)));
    go(to.as_str())
}

async fn show_accounts(State(fake): Fake, headers: HeaderMap) -> Response {
    let language = Language::of(&headers);
    let items: Vec<_> = fake.change(|books, _now| {
        let waits = |payment: &&Payment| payment.status == Status::WaitingForDeposit;
        let newest = books.all().rev().filter(waits).take(ACCOUNTS_MAX);
        newest
            .map(|payment| account_item(payment, language))
            .collect()
    });
    let none = language.pick("기다리는 입금이 없습니다.", "No transfer is waited for.");
    let body = match items.is_empty() {
        true => format!("<p>{none}</p>"),
        false => format!("<ul>{}</ul>", items.concat()),
    };
    page(
        language,
        language.pick("입금 대기", "Waiting transfers"),
        &body,
    )
}

fn account_item(payment: &Payment, language: Language) -> String {
    let account = payment.account.as_ref();
    let number = account.map_or("", |account| &account.number);
    let due = account.map_or_else(String::new, |account| wire_time(account.due));
    format!(
        "<li><b>{}</b> {}<br>{} {number}<br>{} {due}<form method=\"post\">\
         <input type=\"hidden\" name=\"key\" value=\"{}\">\
         <button name=\"do\" value=\"pay\">{}</button>\
         <button name=\"do\" value=\"expire\">{}</button></form></li>",
        escape(&payment.order_name),
        won(payment.amount, language),
        language.pick("계좌", "Account"),
        language.pick("기한", "Due"),
        escape(&payment.key),
        language.pick("입금하기", "Transfer"),
        language.pick("기한 지나게 하기", "Let it expire"),
    )
}

/// A transfer comes, or will not come any more.
async fn settle(State(fake): Fake, headers: HeaderMap, form: String) -> Response {
    let key = field(&form, "key").unwrap_or_default();
    let waits = fake.booked(&key);
    let waits = waits.is_some_and(|payment| payment.status == Status::WaitingForDeposit);
    match field(&form, "do").as_deref() {
        Some("pay") if waits => fake.deposit(&key),
        Some("expire") if waits => fake.expire(&key),
        Some(_) | None => return refuse(Language::of(&headers)),
    };
    // Relative to its own address, whatever it is.
    go("accounts")
}

async fn show_receipt(State(fake): Fake, Path(key): Path<String>, headers: HeaderMap) -> Response {
    let language = Language::of(&headers);
    let row = |name: &str, value: &str| format!("<p>{name}<br><b>{}</b></p>", escape(value));
    let body = fake.change(|books, _now| {
        let payment = books.get(&key)?;
        let capture = payment.capture.as_ref()?;
        let mut body = row(language.pick("주문", "Order"), &payment.order_id);
        body += &row(
            language.pick("금액", "Amount"),
            &won(payment.amount, language),
        );
        body += &row(language.pick("결제", "Paid"), &wire_time(capture.at));
        for cancel in &payment.cancels {
            let text = format!(
                "{} ({})",
                won(cancel.amount, language),
                wire_time(cancel.at)
            );
            body += &row(language.pick("취소", "Cancelled"), &text);
        }
        Some(body)
    });
    match body {
        Some(body) => page(language, language.pick("매출전표", "Receipt"), &body),
        None => (StatusCode::NOT_FOUND, refuse(language)).into_response(),
    }
}

fn refuse(language: Language) -> Response {
    let text = language.pick("요청이 잘못되었습니다.", "The request is not valid.");
    let page = page(
        language,
        language.pick("결제", "Payment"),
        &format!("<p>{text}</p>"),
    );
    (StatusCode::BAD_REQUEST, page).into_response()
}

fn go(to: &str) -> Response {
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

fn page(language: Language, title: &str, body: &str) -> Response {
    let code = language.pick("ko", "en");
    let note = language.pick(
        "연습용 결제입니다. 돈이 오가지 않습니다.",
        "A practice payment: no money moves.",
    );
    let html = format!(
        "<!doctype html><html lang=\"{code}\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <style>body{{font:16px/1.5 sans-serif;max-width:24rem;margin:3rem auto;padding:0 1rem}}\
         ul{{list-style:none;padding:0}}li{{border-top:1px solid #ccc;padding:1rem 0}}\
         button{{display:block;width:100%;padding:.75rem 1rem;margin:.5rem 0;font:inherit;\
         border:1px solid #ccc;border-radius:.5rem;background:#fff;cursor:pointer}}\
         button:hover,button:focus{{background:#f2f2f2}}small{{color:#555}}</style>\
         <main><h1>{title}</h1>{body}<small>{note}</small></main></html>"
    );
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(html)).into_response()
}

/// A field of a form.
fn field(form: &str, name: &str) -> Option<String> {
    let mut url = Url::parse("form:").ok()?;
    url.set_query(Some(form));
    let mut pairs = url.query_pairs();
    pairs
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

/// An amount with its thousands set apart.
fn won(amount: i64, language: Language) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match language {
        Language::Korean => format!("{text}원"),
        Language::English => format!("{text} won"),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
