//! The codes of refusals with their statuses, and answers that are stored under idempotency keys.

use std::borrow::Cow;

use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The language of a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Korean,
    English,
}

impl Language {
    /// By the `Accept-Language` of a request: Korean unless English comes first.
    pub(super) fn of(headers: &http::HeaderMap) -> Self {
        let accepted = headers.get(http::header::ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        match accepted.is_some_and(|accepted| accepted.trim_start().starts_with("en")) {
            true => Self::English,
            false => Self::Korean,
        }
    }

    pub(super) const fn pick<'a>(self, korean: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Korean => korean,
            Self::English => english,
        }
    }
}

/// Status, Korean and English text of each code. Codes and statuses are those of the real service.
const CODES: [(&str, u16, &str, &str); 32] = [
    (
        "UNAUTHORIZED_KEY",
        401,
        "시크릿 키가 다릅니다.",
        "The secret key is not accepted.",
    ),
    (
        "INVALID_REQUEST",
        400,
        "요청이 잘못되었습니다.",
        "The request is not valid.",
    ),
    (
        "NOT_FOUND",
        404,
        "정보가 없습니다.",
        "There is no such thing.",
    ),
    (
        "NOT_FOUND_PAYMENT",
        404,
        "결제가 없습니다.",
        "There is no such payment.",
    ),
    (
        "NOT_FOUND_PAYMENT_SESSION",
        404,
        "결제 시간이 지나 결제 정보가 없습니다.",
        "The time to confirm the payment is over.",
    ),
    (
        "ALREADY_PROCESSED_PAYMENT",
        400,
        "이미 처리된 결제입니다.",
        "The payment has been processed already.",
    ),
    (
        "DUPLICATED_ORDER_ID",
        400,
        "이미 승인된 주문번호입니다.",
        "Another payment of this order has been approved.",
    ),
    (
        "PROVIDER_ERROR",
        400,
        "결제 기관에 일시적인 오류가 있습니다.",
        "The provider failed for now.",
    ),
    (
        "REJECT_CARD_PAYMENT",
        403,
        "한도 초과 또는 잔액 부족으로 거절되었습니다.",
        "Limit or balance exceeded.",
    ),
    (
        "REJECT_CARD_COMPANY",
        403,
        "카드사가 승인을 거절했습니다.",
        "The card company refused.",
    ),
    (
        "REJECT_ACCOUNT_PAYMENT",
        403,
        "잔액이 부족합니다.",
        "The balance is too low.",
    ),
    (
        "EXCEED_MAX_AMOUNT",
        403,
        "거래 금액 한도를 넘었습니다.",
        "The amount exceeds the limit.",
    ),
    (
        "EXCEED_MAX_DAILY_PAYMENT_COUNT",
        400,
        "하루 결제 횟수를 넘었습니다.",
        "Too many payments today.",
    ),
    (
        "EXCEED_MAX_PAYMENT_AMOUNT",
        400,
        "하루 결제 금액을 넘었습니다.",
        "Too high an amount today.",
    ),
    (
        "INVALID_CARD_NUMBER",
        400,
        "카드 번호가 잘못되었습니다.",
        "The card number is wrong.",
    ),
    (
        "INVALID_CARD_EXPIRATION",
        400,
        "카드 유효기간이 잘못되었습니다.",
        "The expiry date is wrong.",
    ),
    (
        "INVALID_STOPPED_CARD",
        400,
        "정지된 카드입니다.",
        "The card is blocked.",
    ),
    (
        "INVALID_CARD_LOST_OR_STOLEN",
        400,
        "분실 또는 도난 카드입니다.",
        "The card is lost or stolen.",
    ),
    (
        "ALREADY_CANCELED_PAYMENT",
        400,
        "이미 취소된 결제입니다.",
        "The payment has been cancelled already.",
    ),
    (
        "NOT_CANCELABLE_AMOUNT",
        403,
        "취소할 수 없는 금액입니다.",
        "The amount cannot be cancelled.",
    ),
    (
        "NOT_CANCELABLE_PAYMENT",
        403,
        "취소할 수 없는 결제입니다.",
        "The payment cannot be cancelled.",
    ),
    (
        "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT",
        403,
        "입금 전에는 부분 취소할 수 없습니다.",
        "Before the deposit only all can be cancelled.",
    ),
    (
        "EXCEED_MAX_REFUND_DUE",
        403,
        "환불할 수 있는 기간이 지났습니다.",
        "The time for refunds is over.",
    ),
    (
        "NOT_ALLOWED_PARTIAL_REFUND",
        403,
        "부분 취소할 수 없는 결제입니다.",
        "Only all of the payment can be cancelled.",
    ),
    (
        "INVALID_REFUND_ACCOUNT_INFO",
        400,
        "환불 계좌 정보가 잘못되었습니다.",
        "The account for the refund is missing or wrong.",
    ),
    (
        "FORBIDDEN_CONSECUTIVE_REQUEST",
        403,
        "요청이 너무 잦습니다. 잠시 후 다시 시도해 주세요.",
        "Requests follow each other too fast.",
    ),
    (
        "INVALID_IDEMPOTENCY_KEY",
        400,
        "멱등키는 300자까지입니다.",
        "The idempotency key is too long.",
    ),
    (
        "IDEMPOTENT_REQUEST_PROCESSING",
        409,
        "같은 멱등키의 요청을 처리하고 있습니다.",
        "A request with this idempotency key is being processed.",
    ),
    (
        "INVALID_DATE",
        400,
        "날짜가 잘못되었습니다.",
        "The date is not valid.",
    ),
    (
        "INVALID_TRANSACTION_KEY",
        400,
        "페이지 키가 잘못되었습니다.",
        "The page's key is not valid.",
    ),
    (
        "TOO_MANY_REQUESTS",
        429,
        "요청이 너무 많습니다.",
        "There are too many requests.",
    ),
    (
        "FAILED_INTERNAL_SYSTEM_PROCESSING",
        500,
        "내부 처리에 실패했습니다.",
        "The processing failed.",
    ),
];

/// The code of a refusal.
pub(super) type Code = Cow<'static, str>;

/// The text of a code.
pub(super) fn message(code: &str, language: Language) -> &'static str {
    let row = CODES.iter().find(|(name, ..)| *name == code);
    let (korean, english) =
        row.map_or(("거절되었습니다.", "Refused."), |row| (row.2, row.3));
    language.pick(korean, english)
}

/// An answer, as an idempotency key replays it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    pub(super) fn ok(body: &Value) -> Self {
        Self {
            status: 200,
            body: body.to_string(),
        }
    }

    /// A refusal; a code that is not in the table has status 400.
    pub(super) fn refusal(code: &str, language: Language) -> Self {
        let row = CODES.iter().find(|(name, ..)| *name == code);
        let body = json!({"code": code, "message": message(code, language)});
        Self {
            status: row.map_or(400, |row| row.1),
            body: body.to_string(),
        }
    }

    /// The same answer with half of its body.
    pub(super) fn cut(mut self) -> Self {
        let middle = self.body.chars().count() / 2;
        self.body = self.body.chars().take(middle).collect();
        self
    }

    pub(super) fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let kind = [(CONTENT_TYPE, "application/json")];
        (status, kind, self.body).into_response()
    }
}
