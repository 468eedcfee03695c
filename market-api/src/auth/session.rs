//! Lifetime rules of a session: when its refresh token is rotated, resent or reused.

use std::time::Duration;

use shared::claims::{Role, TokenId};
use shared::clock::UnixMillis;
use shared::text::Language;

use super::REFRESH_LIFETIME;

/// Absolute lifetime of a session: 90 days. A refresh token whose successor would outlive it is not
/// rotated any more, so the session does not end in the middle of a visit.
pub const FAMILY_LIFETIME: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// Minimum age for a rotation, one day: the cookie goes out with the response that rotates, and each
/// rotation risks that its response is lost.
pub const ROTATE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Grace period in which the previous refresh token is accepted: several tabs renew at once, and a
/// response may be lost.
pub const REUSE_GRACE: Duration = Duration::from_secs(60);

/// A session and its member, as the database has them.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) role: Role,
    pub(super) is_blocked: bool,
    pub(super) language: Language,
    pub(super) is_revoked: bool,
    pub(super) current: TokenId,
    pub(super) previous: Option<TokenId>,
    pub(super) rotated_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
}

/// How to treat a refresh token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Current, and too young for a rotation.
    Keep,
    /// Current, and due for rotation.
    Rotate,
    /// Replaced within the grace period: resend its successor, which may not have arrived.
    Resend(TokenId),
    /// Replaced before the grace period: reuse, possibly theft.
    Reused,
}

impl Session {
    pub(super) fn renewal(&self, shown: &TokenId, now: UnixMillis) -> Renewal {
        let age = now.saturating_since(self.rotated_at);
        if *shown == self.current {
            let outlives = now.saturating_add(REFRESH_LIFETIME) > self.expires_at;
            return if age < ROTATE_AFTER || outlives {
                Renewal::Keep
            } else {
                Renewal::Rotate
            };
        }
        if self.previous.as_ref() == Some(shown) && age <= REUSE_GRACE {
            Renewal::Resend(self.current.clone())
        } else {
            Renewal::Reused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> TokenId {
        text.parse().unwrap()
    }

    /// `after` a rotation from `old` to `new`, the token `shown` is treated as `expected`.
    fn check(shown: &str, after: Duration, expected: Renewal) {
        let session = Session {
            role: Role::Member,
            is_blocked: false,
            language: Language::Korean,
            is_revoked: false,
            current: id("new"),
            previous: Some(id("old")),
            rotated_at: UnixMillis::EPOCH,
            expires_at: UnixMillis::EPOCH.saturating_add(FAMILY_LIFETIME),
        };
        let now = UnixMillis::EPOCH.saturating_add(after);
        assert_eq!(
            session.renewal(&id(shown), now),
            expected,
            "{shown} {after:?}"
        );
    }

    #[test]
    fn a_token_is_replaced_once_a_day_until_the_end() {
        let moment = Duration::from_millis(1);
        check("new", Duration::ZERO, Renewal::Keep);
        check("new", ROTATE_AFTER - moment, Renewal::Keep);
        check("new", ROTATE_AFTER, Renewal::Rotate);
        check("new", FAMILY_LIFETIME - REFRESH_LIFETIME, Renewal::Rotate);
        check(
            "new",
            FAMILY_LIFETIME - REFRESH_LIFETIME + moment,
            Renewal::Keep,
        );
    }

    #[test]
    fn previous_token_is_accepted_for_a_minute() {
        let moment = Duration::from_millis(1);
        check("old", Duration::ZERO, Renewal::Resend(id("new")));
        check("old", REUSE_GRACE, Renewal::Resend(id("new")));
        check("old", REUSE_GRACE + moment, Renewal::Reused);
        check("older", Duration::ZERO, Renewal::Reused);
    }
}
