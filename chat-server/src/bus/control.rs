//! Control messages: orders of operators and of the market to all nodes.

use serde::{Deserialize, Serialize};
use shared::ids::{MemberId, RoomId};

/// An order to all nodes. Like everything on the bus it may be lost: it only hastens what every
/// node reads from the store within a minute, except [`Control::Disconnect`], which is not
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub enum Control {
    /// A room's record was changed: what is cached of it is old.
    RoomChanged {
        /// The room.
        room_id: RoomId,
    },
    /// A member was blocked or unblocked: what is cached of them is old.
    AccountStatusChanged {
        /// The member.
        member_id: MemberId,
    },
    /// A session of a member has ended: the cached account status is outdated.
    SessionRevoked {
        /// The member.
        member_id: MemberId,
    },
    /// A member's name, picture or language was changed: the cached profile is outdated.
    ProfileChanged {
        /// The member.
        member_id: MemberId,
    },
    /// A member's separations from others have changed: invalidates the cached ones.
    SeparationsChanged {
        /// The member.
        member_id: MemberId,
    },
    /// A member's connections are to be closed. They may come back at once.
    Disconnect {
        /// The member.
        member_id: MemberId,
    },
}
