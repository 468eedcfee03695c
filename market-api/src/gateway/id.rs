//! Texts that name orders, payments and requests at the gateway.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is not such an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidId(&'static str);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $chars:expr, $allowed:expr, $expected:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                if $chars.contains(&text.len()) && text.bytes().all($allowed) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId($expected))
                }
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_of_an_order(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_=".contains(&byte)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

text_id! {
    /// An order: one charge of a member (Toss Payments: `orderId`).
    OrderId, (6..=64), is_of_an_order, "6 to 64 characters of A-Z, a-z, 0-9, -, _ and ="
}
text_id! {
    /// A payment at the gateway (Toss Payments: `paymentKey`, at most 200 characters).
    PaymentKey, (1..=200), is_visible, "1 to 200 visible characters"
}
text_id! {
    /// The gateway executes requests with one key once (Toss Payments: `Idempotency-Key`, at most 300).
    IdempotencyKey, (1..=300), is_visible, "1 to 300 visible characters"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_6_to_64_allowed_characters() {
        let order = |text: &str| OrderId::try_from(text.to_owned()).is_ok();
        assert!(order("order-0d9f=_A") && order(&"x".repeat(64)) && order("123456"));
        for text in [
            "12345",
            &"x".repeat(65),
            "order 1",
            "order/1",
            "주문번호여섯",
            "",
        ] {
            assert!(!order(text), "{text}");
        }
    }

    #[test]
    fn a_key_is_visible() {
        let key = |text: &str| PaymentKey::try_from(text.to_owned()).is_ok();
        assert!(key("tgen_20261130") && key(&"k".repeat(200)));
        for text in ["", &"k".repeat(201), "a b", "a\nb"] {
            assert!(!key(text), "{text}");
        }
    }
}
