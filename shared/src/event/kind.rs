//! The kinds of events that the contract names.

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),+ $(,)?) => {
        /// What has happened.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)+
            /// A kind that this program does not have.
            Other(String),
        }

        impl EventKind {
            /// All that the contract names.
            pub const ALL: &[Self] = &[$(Self::$kind),+];

            /// Its name on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$kind => $name,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl From<String> for EventKind {
            fn from(name: String) -> Self {
                match name.as_str() {
                    $($name => Self::$kind,)+
                    _ => Self::Other(name),
                }
            }
        }
    };
}

kinds! {
    /// A purchase is complete.
    TradeCompleted = "trade.completed",
    /// Nothing is left of an offer.
    ProductSoldOut = "product.sold_out",
    /// Bought time begins.
    WifiStarted = "wifi.started",
    /// Bought time ends.
    WifiEnded = "wifi.ended",
    /// A charge was captured.
    CashCharged = "cash.charged",
    /// A refund was accepted.
    CashRefunded = "cash.refunded",
    /// A part of a refund could not be paid and is back in the wallet.
    CashReturned = "cash.returned",
    /// A member was rated.
    ReviewCreated = "review.created",
    /// A complaint was decided.
    ReportDecided = "report.decided",
    /// A member's name, image or language changed.
    MemberUpdated = "member.updated",
    /// A member was blocked by an administrator, or by reports.
    MemberBlocked = "member.blocked",
    /// A member may log in again.
    MemberUnblocked = "member.unblocked",
    /// A session ended before its time: a logout, or a refresh token that was reused.
    SessionRevoked = "session.revoked",
    /// One member blocked another.
    MembersSeparated = "members.separated",
    /// A member undid such a block.
    MembersReunited = "members.reunited",
    /// A member closed the account.
    MemberClosed = "member.closed",
}
