//! Secret values: a wrapper that keeps them out of logs and serialised data.

use std::convert::Infallible;
use std::fmt;
use std::mem;
use std::str::FromStr;

use zeroize::{Zeroize, Zeroizing};

/// A value that must not get into logs: a token, a key, a password.
///
/// `Debug` and `Display` show a placeholder, and it cannot be serialised. The one way to the value
/// is [`expose`](Self::expose), which is easy to find in a review. The memory is overwritten when it
/// is dropped, so that a core file or a reused buffer shows only the secrets in use.
///
/// The crate `secrecy` has no comparison, no `Display` and no `FromStr`, so this wrapper would only
/// change what it wraps.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Hides a value.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value. Call it where the value is used: a header, a signature, a connection.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + Default> Secret<T> {
    /// The value, no longer hidden and no longer overwritten.
    pub fn into_exposed(mut self) -> T {
        mem::take(&mut *self.0)
    }
}

/// Placeholder for the value.
const REDACTED: &str = "[redacted]";

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// For settings. Text only, so that no parser's error can quote the value.
impl FromStr for Secret<String> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::new(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_shows_only_when_asked() {
        let secret: Secret<String> = "hunter2".parse().unwrap();
        assert_eq!(
            format!("{secret} {secret:?} {secret:#?}"),
            [REDACTED; 3].join(" ")
        );
        assert_eq!(format!("{:?}", Some(Secret::new(7))), "Some([redacted])");
        assert_eq!(secret.expose(), "hunter2");
        assert_eq!(secret.into_exposed(), "hunter2");
    }
}
