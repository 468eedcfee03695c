//! Identifiers that cross a process boundary: members, rooms, products, items, trades, and the
//! position of an entry in a topic.
//!
//! They are parsed once, at the boundary, and are valid from then on. Every bound is chosen so that
//! a browser's number (53 bits) keeps the value exact and a message id names its room: an owner is
//! below 2^31, a position below 2^22, and `(owner << 22) | seq` below 2^53.
//!
//! What this file does not do: allocate. The market's database hands out most ids, the chat server
//! those of its own rooms, and the message store the positions.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text or number is not an identifier of this kind.
///
/// One type for every kind: the caller answers "bad parameter" in each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a {kind}: expected a whole decimal number from {min} to {max}")]
pub struct InvalidId {
    kind: &'static str,
    min: u64,
    max: u64,
}

/// Owner ids (members, rooms, products, …) stay below this: 2^31. Together with the 22 bits of a
/// position that is 53 bits, the most a browser's number holds exactly.
const OWNER_END: u32 = 1 << 31;

/// How many bits of a message id are the position: 4,194,303 entries a topic.
const SEQ_BITS: u32 = 22;

macro_rules! owner_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        ///
        /// Positive and below 2^31. Text form: decimal digits, no sign, no leading zero, no spaces.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u32")]
        pub struct $name(u32);

        impl $name {
            /// The number, from 1 to 2^31 - 1.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }

            const fn invalid() -> InvalidId {
                InvalidId { kind: $kind, min: 1, max: OWNER_END as u64 - 1 }
            }
        }

        impl TryFrom<u64> for $name {
            type Error = InvalidId;

            fn try_from(value: u64) -> Result<Self, InvalidId> {
                match u32::try_from(value) {
                    Ok(id) if (1..OWNER_END).contains(&id) => Ok(Self(id)),
                    Ok(_) | Err(_) => Err(Self::invalid()),
                }
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(value: i64) -> Result<Self, InvalidId> {
                u64::try_from(value).map_err(|_negative| Self::invalid())?.try_into()
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                strict_decimal(text).ok_or(Self::invalid())?.try_into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for u32 {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> Self {
                Self::from(id.0)
            }
        }
    };
}

owner_id! {
    /// A person with an account.
    MemberId, "member id"
}
owner_id! {
    /// A conversation. The market allocates from 1, the chat server from
    /// [`RoomId::FIRST_ALLOCATED_BY_CHAT`].
    RoomId, "room id"
}
owner_id! {
    /// An offer in the market, whatever it sells.
    ProductId, "product id"
}
owner_id! {
    /// What an offer sells: the mobile data, Wi-Fi or hotspot behind a product.
    ItemId, "item id"
}
owner_id! {
    /// One member's side of a purchase, sale, charge or refund.
    TradeId, "trade id"
}
owner_id! {
    /// A member's review of the other party of a trade.
    ReviewId, "review id"
}
owner_id! {
    /// A member's report of another.
    ReportId, "report id"
}

impl RoomId {
    /// Operators' and group rooms start here (2^30), so that the two allocators never meet: the
    /// market would have to open a billion rooms first.
    pub const FIRST_ALLOCATED_BY_CHAT: Self = Self(1 << 30);
}

/// A position in a topic: dense from 1 without holes; 0 stands before the first entry.
///
/// As JSON a number; as text decimal digits, no sign, no leading zero, no spaces.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u32")]
pub struct Seq(u32);

impl Seq {
    /// Before the first entry: the head of an empty topic, a cursor at the start.
    pub const ZERO: Self = Self(0);

    /// The first entry's position.
    pub const FIRST: Self = Self(1);

    /// The last position a topic can have, 2^22 - 1. After it the room is full (code 8006).
    pub const MAX: Self = Self((1 << SEQ_BITS) - 1);

    /// From here on a topic is nearly full (90 % of [`Seq::MAX`]) and operators are warned: early
    /// enough to open another room, late enough never to happen in an ordinary one.
    pub const WARN: Self = Self(Self::MAX.0 / 10 * 9);

    /// The number, from 0 to 2^22 - 1.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The position after this one; `None` when the topic is full.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.0 < Self::MAX.0 {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    /// The position `count` later, at most [`Seq::MAX`].
    #[must_use]
    pub const fn saturating_add(self, count: u32) -> Self {
        let later = self.0.saturating_add(count);
        Self(if later < Self::MAX.0 {
            later
        } else {
            Self::MAX.0
        })
    }

    /// The position `count` earlier, at least [`Seq::ZERO`].
    #[must_use]
    pub const fn saturating_sub(self, count: u32) -> Self {
        Self(self.0.saturating_sub(count))
    }

    /// How many positions there are after `earlier`, up to and including this one; 0 if `earlier`
    /// is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whether a topic whose head is here has passed [`Seq::WARN`].
    #[must_use]
    pub fn is_nearly_full(self) -> bool {
        self >= Self::WARN
    }

    const fn invalid() -> InvalidId {
        InvalidId {
            kind: "seq",
            min: 0,
            max: Self::MAX.0 as u64,
        }
    }
}

impl TryFrom<u64> for Seq {
    type Error = InvalidId;

    fn try_from(value: u64) -> Result<Self, InvalidId> {
        match u32::try_from(value) {
            Ok(seq) if seq <= Self::MAX.0 => Ok(Self(seq)),
            Ok(_) | Err(_) => Err(Self::invalid()),
        }
    }
}

impl TryFrom<i64> for Seq {
    type Error = InvalidId;

    fn try_from(value: i64) -> Result<Self, InvalidId> {
        u64::try_from(value)
            .map_err(|_negative| Self::invalid())?
            .try_into()
    }
}

impl FromStr for Seq {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        strict_decimal(text).ok_or(Self::invalid())?.try_into()
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Seq> for u32 {
    fn from(seq: Seq) -> Self {
        seq.0
    }
}

impl From<Seq> for i64 {
    fn from(seq: Seq) -> Self {
        Self::from(seq.0)
    }
}

/// The public name of an entry: `(owner << 22) | seq`, where the owner is the room of a chat message
/// or the member of an inbox entry.
///
/// Below 2^53, unique within its kind of topic, ordered within one topic. The number does not say
/// which kind of topic it belongs to: the caller knows that from the context, and calls
/// [`room`](Self::room) or [`member`](Self::member) accordingly. Its [`seq`](Self::seq) is never
/// zero, so "from the start" is not a message id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MessageId(u64);

impl MessageId {
    /// The id of the entry at `seq` of a room; `None` for [`Seq::ZERO`], where no entry is.
    #[must_use]
    pub fn in_room(room: RoomId, seq: Seq) -> Option<Self> {
        Self::compose(room.0, seq)
    }

    /// The id of the entry at `seq` of a member's inbox; `None` for [`Seq::ZERO`], where no entry
    /// is.
    #[must_use]
    pub fn in_inbox(member: MemberId, seq: Seq) -> Option<Self> {
        Self::compose(member.0, seq)
    }

    /// The number, below 2^53.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The room of a chat message. Of an inbox entry's id the result means nothing.
    #[must_use]
    pub fn room(self) -> RoomId {
        RoomId(self.owner())
    }

    /// The member of an inbox entry. Of a chat message's id the result means nothing.
    #[must_use]
    pub fn member(self) -> MemberId {
        MemberId(self.owner())
    }

    /// The position in the topic, at least 1.
    #[must_use]
    pub fn seq(self) -> Seq {
        let low = self.0 & u64::from(Seq::MAX.0);
        Seq(u32::try_from(low).expect("22 bits fit into 32"))
    }

    fn owner(self) -> u32 {
        u32::try_from(self.0 >> SEQ_BITS).expect("an id is below 2^53, so its owner below 2^31")
    }

    fn compose(owner: u32, seq: Seq) -> Option<Self> {
        (seq > Seq::ZERO).then(|| Self(u64::from(owner) << SEQ_BITS | u64::from(seq.0)))
    }

    const fn invalid() -> InvalidId {
        InvalidId {
            kind: "message id",
            min: (1 << SEQ_BITS) + 1,
            max: (1 << 53) - 1,
        }
    }
}

impl TryFrom<u64> for MessageId {
    type Error = InvalidId;

    fn try_from(value: u64) -> Result<Self, InvalidId> {
        let (owner, seq) = (value >> SEQ_BITS, value & u64::from(Seq::MAX.0));
        if (1..u64::from(OWNER_END)).contains(&owner) && seq > 0 {
            Ok(Self(value))
        } else {
            Err(Self::invalid())
        }
    }
}

impl TryFrom<i64> for MessageId {
    type Error = InvalidId;

    fn try_from(value: i64) -> Result<Self, InvalidId> {
        u64::try_from(value)
            .map_err(|_negative| Self::invalid())?
            .try_into()
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        strict_decimal(text).ok_or(Self::invalid())?.try_into()
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<MessageId> for u64 {
    fn from(id: MessageId) -> Self {
        id.0
    }
}

impl From<MessageId> for i64 {
    fn from(id: MessageId) -> Self {
        Self::try_from(id.0).expect("an id is below 2^53")
    }
}

/// Reads what `Display` writes and nothing else. `u64::from_str` alone would take `+7` and `007`,
/// and two spellings of one destination would then name the same topic.
fn strict_decimal(text: &str) -> Option<u64> {
    let canonical =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::DeserializeOwned;

    use super::*;

    /// Text and JSON agree with `expected`; `None` = both refuse.
    fn check<T>(text: &str, expected: Option<T>)
    where
        T: FromStr<Err = InvalidId> + DeserializeOwned + Serialize + PartialEq + fmt::Debug,
    {
        assert_eq!(text.parse::<T>().ok(), expected, "text {text:?}");
        assert_eq!(
            serde_json::from_str::<T>(text).ok(),
            expected,
            "json {text:?}"
        );
        if let Some(id) = expected {
            assert_eq!(serde_json::to_string(&id).unwrap(), text);
        }
    }

    #[test]
    fn owner_ids_are_positive_and_below_two_to_the_31() {
        check::<MemberId>("0", None);
        check("1", Some(MemberId(1)));
        check("2147483647", Some(RoomId(2_147_483_647)));
        check::<RoomId>("2147483648", None);
        check::<ProductId>("18446744073709551615", None);
        check::<ItemId>("18446744073709551616", None);
        check::<TradeId>("-1", None);
    }

    #[test]
    fn text_has_one_spelling() {
        for text in [
            "", " 7", "7 ", "+7", "-7", "007", "0x7", "7.0", "7e0", "٧", "7\n", "1_000",
        ] {
            assert!(text.parse::<MemberId>().is_err(), "{text:?}");
            assert!(text.parse::<Seq>().is_err(), "{text:?}");
            assert!(text.parse::<MessageId>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn json_takes_whole_numbers_only() {
        for json in ["\"7\"", "7.0", "7.5", "null", "true", "[7]", "-7", "1e3"] {
            assert!(serde_json::from_str::<ProductId>(json).is_err(), "{json}");
            assert!(serde_json::from_str::<MessageId>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn database_integers_are_checked_too() {
        assert_eq!(MemberId::try_from(7_i64), Ok(MemberId(7)));
        assert!(MemberId::try_from(-7_i64).is_err());
        assert!(Seq::try_from(-1_i64).is_err());
        assert!(MessageId::try_from(i64::MIN).is_err());
        assert_eq!(i64::from(RoomId(7)), 7);
    }

    #[test]
    fn error_names_the_kind_and_the_range() {
        let error = "x".parse::<RoomId>().unwrap_err().to_string();
        assert_eq!(
            error,
            "not a room id: expected a whole decimal number from 1 to 2147483647"
        );
    }

    #[test]
    fn chat_rooms_start_at_two_to_the_30() {
        check("1073741824", Some(RoomId::FIRST_ALLOCATED_BY_CHAT));
    }

    #[test]
    fn seq_starts_at_zero_and_ends_at_22_bits() {
        check("0", Some(Seq::ZERO));
        check("4194303", Some(Seq::MAX));
        check::<Seq>("4194304", None);
        assert_eq!(Seq::ZERO.next(), Some(Seq(1)));
        assert_eq!(Seq(4_194_302).next(), Some(Seq::MAX));
        assert_eq!(Seq::MAX.next(), None);
    }

    #[test]
    fn steps_stay_within_the_positions_of_a_topic() {
        assert_eq!(Seq::ZERO.next(), Some(Seq::FIRST));
        assert_eq!(Seq(5).saturating_add(3), Seq(8));
        assert_eq!(Seq(4_194_300).saturating_add(3), Seq::MAX);
        assert_eq!(Seq(4_194_300).saturating_add(u32::MAX), Seq::MAX);
        assert_eq!(Seq(5).saturating_sub(3), Seq(2));
        assert_eq!(Seq(5).saturating_sub(6), Seq::ZERO);
        assert_eq!((Seq(9).since(Seq(4)), Seq(4).since(Seq(9))), (5, 0));
    }

    #[test]
    fn topic_is_nearly_full_from_ninety_percent() {
        assert_eq!(Seq::WARN.get(), 3_774_870);
        assert!(!Seq(Seq::WARN.0 - 1).is_nearly_full());
        assert!(Seq::WARN.is_nearly_full());
        assert!(Seq::MAX.is_nearly_full());
    }

    #[test]
    fn message_id_needs_an_owner_and_a_position() {
        assert_eq!(MessageId::in_room(RoomId(1), Seq::ZERO), None);
        check::<MessageId>("0", None);
        check::<MessageId>("1", None);
        check::<MessageId>("4194303", None);
        check::<MessageId>("4194304", None);
        check("4194305", MessageId::in_room(RoomId(1), Seq(1)));
        check("4194305", MessageId::in_inbox(MemberId(1), Seq(1)));
        check(
            "9007199254740991",
            MessageId::in_room(RoomId(2_147_483_647), Seq::MAX),
        );
        check::<MessageId>("9007199254740992", None);
    }

    proptest! {
        #[test]
        fn message_id_round_trips(owner in 1..OWNER_END, seq in 1..=Seq::MAX.0) {
            let id = MessageId::in_room(RoomId(owner), Seq(seq)).unwrap();
            prop_assert_eq!((id.room(), id.seq()), (RoomId(owner), Seq(seq)));
            prop_assert_eq!(id.member(), MemberId(owner));
            prop_assert!(id.get() < 1 << 53);
            prop_assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
            prop_assert_eq!(MessageId::try_from(i64::from(id)), Ok(id));
            // What a browser does to it: through a 64-bit float and back.
            let json = serde_json::to_string(&id).unwrap();
            let float: f64 = json.parse().unwrap();
            prop_assert_eq!(format!("{float}"), json);
        }

        #[test]
        fn message_ids_order_by_owner_then_seq(
            a in (1..OWNER_END, 1..=Seq::MAX.0),
            b in (1..OWNER_END, 1..=Seq::MAX.0),
        ) {
            let id = |(owner, seq)| MessageId::in_inbox(MemberId(owner), Seq(seq));
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
        }

        #[test]
        fn any_number_is_an_id_or_an_error(value: u64) {
            if let Ok(id) = MessageId::try_from(value) {
                prop_assert_eq!(MessageId::in_room(id.room(), id.seq()), Some(id));
            }
            prop_assert_eq!(MemberId::try_from(value).is_ok(), (1..1 << 31).contains(&value));
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in "\\PC{0,24}") {
            if let Ok(id) = text.parse::<TradeId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
