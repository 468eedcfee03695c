//! The short texts in claims: token family, token id, service name.
//!
//! Bounded, in a plain alphabet: they come from tokens and go into logs, keys and database columns
//! without escaping.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::CryptoRng;
use serde::{Deserialize, Serialize};

/// 64 characters: three times what a random id of 128 bits takes.
const NAME_CHARS_MAX: usize = 64;

/// The text is empty, too long, or has characters outside `A-Z a-z 0-9 - _`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected 1 to {NAME_CHARS_MAX} characters of A-Z a-z 0-9 - _")]
pub struct InvalidName {
    kind: &'static str,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 64 characters of `A-Z a-z 0-9 - _`.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
            type Error = InvalidName;

            fn try_from(text: String) -> Result<Self, InvalidName> {
                if is_name(&text) { Ok(Self(text)) } else { Err(InvalidName { kind: $kind }) }
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                text.to_owned().try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name! {
    /// The tokens that come from one login (claim `sid`). Revoking it ends them all.
    FamilyId, "token family"
}
name! {
    /// One token (claim `jti`).
    TokenId, "token id"
}
name! {
    /// A server that calls another, for example `market-api` (claim `sub` of a service's token).
    ServiceName, "service name"
}

impl FamilyId {
    /// A new family: 128 random bits, 22 characters.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random_text(rng))
    }
}

impl TokenId {
    /// A new token id: 128 random bits, 22 characters.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random_text(rng))
    }
}

/// Whether the text is within the bound and the alphabet; also checked for the `kid` of a token.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn random_text(rng: &mut impl CryptoRng) -> String {
    let mut bytes = [0_u8; 16];
    rng.fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn check(text: &str, expected: bool) {
        assert_eq!(text.parse::<ServiceName>().is_ok(), expected, "{text:?}");
    }

    #[test]
    fn names_are_short_and_plain() {
        check("market-api", true);
        check("A_z-09", true);
        check(&"x".repeat(64), true);
        check(&"x".repeat(65), false);
        for text in ["", " ", "a b", "a.b", "a/b", "a\n", "가", "\"", "a:b"] {
            check(text, false);
        }
    }

    #[test]
    fn random_names_are_names_and_differ() {
        let seed = 7;
        let mut rng = StdRng::seed_from_u64(seed);
        let (first, second) = (FamilyId::random(&mut rng), FamilyId::random(&mut rng));
        assert_ne!(first, second);
        assert_eq!(first.as_str().len(), 22);
        assert_eq!(first.as_str().parse(), Ok(first));
        assert_eq!(TokenId::random(&mut rng).as_str().len(), 22);
    }
}
