//! The gateway's error codes, and the class of each (`domain.md` 9.2).
//!
//! The tables list what is certain, or an operator's matter. Every other code is unknown: the caller queries. So a
//! code that the gateway adds later, or one that this file omits, delays an answer and moves no money.
//!
//! What this file does not do: take a code's word alone. The HTTP status has to agree.

use http::StatusCode;

use crate::gateway::{GatewayCode, GatewayError, Uncertain};

/// What was requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Confirm,
    Cancel,
    Query,
    List,
}

impl Call {
    /// The call as a metric's label.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::Cancel => "cancel",
            Self::Query => "query",
            Self::List => "list",
        }
    }

    /// The codes with which nothing was done, for certain.
    const fn refusals(self) -> &'static [&'static str] {
        match self {
            Self::Confirm => CONFIRM_REFUSALS,
            Self::Cancel => CANCEL_REFUSALS,
            Self::Query | Self::List => &[],
        }
    }
}

/// Declined by the card's or account's company, impossible with this card or account or at this time; at the end,
/// orders for which no later confirmation succeeds either.
const CONFIRM_REFUSALS: &[&str] = &[
    "REJECT_ACCOUNT_PAYMENT",
    "REJECT_CARD_COMPANY",
    "REJECT_CARD_PAYMENT",
    "REJECT_TOSSPAY_INVALID_ACCOUNT",
    "INVALID_ACCOUNT_INFO_RE_REGISTER",
    "INVALID_CARD_EXPIRATION",
    "INVALID_CARD_INSTALLMENT_PLAN",
    "INVALID_CARD_LOST_OR_STOLEN",
    "INVALID_CARD_NUMBER",
    "INVALID_PASSWORD",
    "INVALID_REJECT_CARD",
    "INVALID_STOPPED_CARD",
    "EXCEED_MAX_AMOUNT",
    "EXCEED_MAX_AUTH_COUNT",
    "EXCEED_MAX_CARD_INSTALLMENT_PLAN",
    "EXCEED_MAX_DAILY_PAYMENT_COUNT",
    "EXCEED_MAX_MONTHLY_PAYMENT_AMOUNT",
    "EXCEED_MAX_ONE_DAY_AMOUNT",
    "EXCEED_MAX_ONE_DAY_WITHDRAW_AMOUNT",
    "EXCEED_MAX_ONE_TIME_WITHDRAW_AMOUNT",
    "EXCEED_MAX_PAYMENT_AMOUNT",
    "BELOW_MINIMUM_AMOUNT",
    "FDS_ERROR",
    "NOT_ALLOWED_POINT_USE",
    "NOT_AVAILABLE_BANK",
    "NOT_AVAILABLE_PAYMENT",
    "NOT_SUPPORTED_INSTALLMENT_PLAN_CARD_OR_MERCHANT",
    "NOT_SUPPORTED_MONTHLY_INSTALLMENT_PLAN",
    "RESTRICTED_TRANSFER_ACCOUNT",
    "DUPLICATED_ORDER_ID",
    "NOT_FOUND_PAYMENT_SESSION",
];

/// The payment cannot be cancelled, not by this amount, not now, or not to this account.
const CANCEL_REFUSALS: &[&str] = &[
    "EXCEED_CANCEL_AMOUNT_DISCOUNT_AMOUNT",
    "EXCEED_CANCEL_LIMIT",
    "EXCEED_MAX_REFUND_DUE",
    "FORBIDDEN_BANK_REFUND_REQUEST",
    // The second of two cancels within a second: the gateway has done the other, and stores this answer under the
    // key, so that a repetition would never succeed.
    "FORBIDDEN_CONSECUTIVE_REQUEST",
    "INVALID_BANK",
    "INVALID_REFUND_ACCOUNT_INFO",
    "INVALID_REFUND_ACCOUNT_NUMBER",
    "NOT_ALLOWED_PARTIAL_REFUND",
    "NOT_ALLOWED_PARTIAL_REFUND_WAITING_DEPOSIT",
    "NOT_AVAILABLE_BANK",
    "NOT_CANCELABLE_AMOUNT",
    "NOT_CANCELABLE_PAYMENT",
    "NOT_CANCELABLE_PAYMENT_FOR_DORMANT_USER",
    "NOT_MATCHES_REFUNDABLE_AMOUNT",
    "REFUND_REJECTED",
];

/// Our key, our contract with the gateway, or our request. Of every call.
const OUR_FAULT: &[&str] = &[
    "FORBIDDEN_REQUEST",
    "INCORRECT_BASIC_AUTH_FORMAT",
    "INVALID_API_KEY",
    "INVALID_AUTHORIZE_AUTH",
    "INVALID_IDEMPOTENCY_KEY",
    "INVALID_REQUEST",
    "INVALID_UNREGISTERED_SUBMALL",
    "NOT_FOUND_TERMINAL_ID",
    "NOT_REGISTERED_BUSINESS",
    "UNAUTHORIZED_KEY",
];

/// The class of an answer that is no success: its status, and its code if it has one.
pub(super) fn classify(call: Call, status: StatusCode, code: Option<&str>) -> GatewayError {
    // The statuses with which the gateway answers what it has decided. With another one, for example a 5xx, a proxy
    // or a failing server repeats a code that need not be this request's.
    let decided = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
    ];
    let is_decided = decided.contains(&status);
    match code.map(GatewayCode::of) {
        Some(code) if is_decided && call.refusals().contains(&code.as_str()) => {
            GatewayError::Refused(code)
        }
        Some(code)
            if call == Call::Query
                && status == StatusCode::NOT_FOUND
                && code.as_str() == "NOT_FOUND_PAYMENT" =>
        {
            GatewayError::NotFound
        }
        Some(code) if status == StatusCode::UNAUTHORIZED => GatewayError::Misconfigured(code),
        None if status == StatusCode::UNAUTHORIZED => {
            GatewayError::Misconfigured(GatewayCode::of("HTTP_401"))
        }
        Some(code) if is_decided && OUR_FAULT.contains(&code.as_str()) => {
            GatewayError::Misconfigured(code)
        }
        Some(code) => {
            let reason = format!("HTTP {} {code}", status.as_u16());
            GatewayError::Unknown(Uncertain { code, reason })
        }
        None => {
            let status = status.as_u16();
            let reason = format!("HTTP {status} without a code");
            GatewayError::Unknown(Uncertain::new(&format!("HTTP_{status}"), reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    /// The classes of `domain.md` 9.2.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Class {
        /// A final refusal, or a dead order: nothing was done.
        Refused,
        /// Our key or our request.
        Ours,
        /// To be queried.
        Unknown,
        /// There is no such payment.
        NotFound,
    }

    /// A documented error.
    #[derive(Clone, Debug, Deserialize)]
    struct Documented {
        call: String,
        status: u16,
        code: String,
        class: Class,
    }

    const CALLS: [Call; 4] = [Call::Confirm, Call::Cancel, Call::Query, Call::List];

    /// The documented errors of a call.
    fn documented(call: Call) -> Vec<Documented> {
        let text = include_str!("../../../tests/kit/toss/errors.json");
        let mut all: Vec<Documented> = serde_json::from_str(text).unwrap();
        all.retain(|error| [call.label(), "every"].contains(&error.call.as_str()));
        all
    }

    fn class(call: Call, status: u16, code: &str) -> Class {
        let status = StatusCode::from_u16(status).unwrap();
        match classify(call, status, Some(code)) {
            GatewayError::Refused(shown) => {
                assert_eq!(shown.as_str(), code);
                Class::Refused
            }
            GatewayError::Misconfigured(shown) => {
                assert_eq!(shown.as_str(), code);
                Class::Ours
            }
            GatewayError::NotFound => Class::NotFound,
            GatewayError::Unknown(_) => Class::Unknown,
        }
    }

    #[test]
    fn every_documented_error_has_its_class() {
        for call in CALLS {
            for error in documented(call) {
                let found = class(call, error.status, &error.code);
                assert_eq!(found, error.class, "{call:?} {error:?}");
            }
        }
    }

    #[test]
    fn no_refusal_is_listed_that_is_not_documented() {
        for call in CALLS {
            let all = documented(call);
            let refusals = all.iter().filter(|error| error.class == Class::Refused);
            let expected: BTreeSet<&str> = refusals.map(|error| error.code.as_str()).collect();
            let listed: BTreeSet<&str> = call.refusals().iter().copied().collect();
            assert_eq!(listed, expected, "{call:?}");
            assert_eq!(
                listed.len(),
                call.refusals().len(),
                "{call:?} lists one twice"
            );
        }
    }

    /// A proxy or a failing server may repeat any code.
    #[test]
    fn a_refusal_with_the_status_of_a_failure_is_unknown() {
        let others = [
            200, 201, 204, 301, 302, 307, 402, 408, 409, 410, 422, 425, 429, 500, 502, 503, 504,
        ];
        for call in CALLS {
            for Documented { code, .. } in documented(call) {
                for status in others {
                    let found = class(call, status, &code);
                    assert_eq!(found, Class::Unknown, "{call:?} {status} {code}");
                }
                // Not authenticated: whatever the code, an operator's matter.
                assert_eq!(class(call, 401, &code), Class::Ours, "{call:?} {code}");
            }
        }
    }

    /// A code has its meaning with its call.
    #[test]
    fn a_refusal_of_another_call_is_unknown() {
        for call in CALLS {
            let own = documented(call);
            for error in CALLS.into_iter().flat_map(documented) {
                if !own.iter().any(|own| own.code == error.code) {
                    let found = class(call, error.status, &error.code);
                    assert_ne!(found, Class::Refused, "{call:?} {error:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_code_is_unknown() {
        for code in ["", "reject_card_payment", "A B", "NEW_CODE", "\n"] {
            for call in CALLS {
                let found = classify(call, StatusCode::BAD_REQUEST, Some(code));
                assert!(matches!(&found, GatewayError::Unknown(_)), "{found:?}");
                assert!(!found.to_string().contains('\n'));
            }
        }
        let found = classify(Call::Confirm, StatusCode::FORBIDDEN, None);
        assert_eq!(
            found,
            GatewayError::Unknown(Uncertain::new("HTTP_403", "HTTP 403 without a code"))
        );
        let found = classify(Call::Confirm, StatusCode::UNAUTHORIZED, None);
        assert!(matches!(found, GatewayError::Misconfigured(_)), "{found:?}");
    }
}
