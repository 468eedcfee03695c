//! Protocol versions and their negotiation.

use std::fmt;

/// Value of the `version` header in an ERROR for a client without a common version.
pub const SUPPORTED_VERSIONS: &str = "1.0,1.1,1.2";

/// A version of the protocol; they are ordered by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// No escaping, no heart-beats, subscriptions without an id.
    V1_0,
    /// Escapes `\n`, `\c`, `\\`; heart-beats; NACK.
    V1_1,
    /// Also the escape `\r`, lines may end in CR LF, ACK names the `ack` header.
    V1_2,
}

impl Version {
    /// All versions, oldest first.
    pub const ALL: [Self; 3] = [Self::V1_0, Self::V1_1, Self::V1_2];

    /// The number in the form of the `version` header.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_0 => "1.0",
            Self::V1_1 => "1.1",
            Self::V1_2 => "1.2",
        }
    }

    /// The highest version that both sides support.
    ///
    /// `accept_version` is the header's value, in any order (stompjs sends the highest first); a
    /// missing header means 1.0. `None`: nothing in common.
    #[must_use]
    pub fn negotiate(accept_version: Option<&str>) -> Option<Self> {
        let Some(list) = accept_version else {
            return Some(Self::V1_0);
        };
        let offered = |version: &Self| list.split(',').any(|item| item.trim() == version.as_str());
        Self::ALL.into_iter().rev().find(offered)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept_version: Option<&str>, expected: Option<Version>) {
        assert_eq!(
            Version::negotiate(accept_version),
            expected,
            "{accept_version:?}"
        );
    }

    #[test]
    fn the_highest_common_version_wins_in_any_order() {
        check(None, Some(Version::V1_0));
        check(Some("1.0"), Some(Version::V1_0));
        check(Some("1.0,1.1,1.2"), Some(Version::V1_2));
        check(Some("1.2,1.1,1.0"), Some(Version::V1_2));
        check(Some("1.1, 1.0"), Some(Version::V1_1));
        check(Some("9.9,1.1"), Some(Version::V1_1));
    }

    #[test]
    fn nothing_in_common_is_none() {
        for list in ["9.9", "", "1.20", "1", "1.2;1.1", "v1.2"] {
            check(Some(list), None);
        }
    }

    #[test]
    fn the_list_of_an_error_names_every_version() {
        let names: Vec<_> = Version::ALL
            .iter()
            .map(|version| version.as_str())
            .collect();
        assert_eq!(names.join(","), SUPPORTED_VERSIONS);
    }
}
