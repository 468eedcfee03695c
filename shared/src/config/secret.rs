//! Secret values: a wrapper that keeps them out of logs and serialised data.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

/// A value that must not get into logs: a token, a key, a password.
///
/// `Debug` and `Display` show a placeholder, and it cannot be serialised. The one way to the value
/// is [`expose`](Self::expose), which is easy to find in a review. The memory is not wiped when it
/// is dropped: a reader of this process's memory has the keys in use anyway.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Hides a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value. Call it where the value is used: a header, a signature, a connection.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value, no longer hidden.
    pub fn into_exposed(self) -> T {
        self.0
    }
}

/// Placeholder for the value.
const REDACTED: &str = "[redacted]";

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl<T> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self(value)
    }
}

/// For settings. Text only, so that no parser's error can quote the value.
impl FromStr for Secret<String> {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
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
