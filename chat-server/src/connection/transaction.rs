//! Stores the messages of a committed transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ids::RoomId;
use stomp::Commit;

use super::error::ClientError;
use super::message::{MessageRules, read_message};
use super::permission::may_write_in;
use super::services::Services;
use crate::append::Turn;
use crate::auth::Identity;
use crate::log::{Draft, Topic};

/// The sender of a transaction.
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) identity: Arc<Identity>,
    /// Its turn in each room.
    pub(super) turns: BTreeMap<RoomId, Turn>,
}

/// Stores the messages: all are checked before the first one goes, and those of one room are
/// neighbours in its log.
///
/// `rooms` has the destination of each. There is no atomicity across rooms: they are different logs.
/// When one fails after another was stored, the client gets the failure, and a retry with the same
/// client message ids stores nothing twice.
pub(super) async fn store(
    services: &Services,
    sender: &Sender,
    rooms: &[RoomId],
    commit: &Commit,
) -> Result<(), ClientError> {
    let Sender { identity, turns } = sender;
    services.members.check(identity).await?;
    let member = identity.member;
    let mut by_room: BTreeMap<RoomId, Vec<Draft>> = BTreeMap::new();
    for (room_id, send) in rooms.iter().zip(&commit.sends) {
        let room = may_write_in(services, *room_id, member).await?;
        let chars_max = services.config.message_chars_max;
        let rules = MessageRules {
            chars_max,
            opaque: room.opaque,
        };
        let now = services.clock.unix_millis();
        let draft = read_message(&send.frame, member, rules, now)?;
        by_room.entry(*room_id).or_default().push(draft);
    }
    for (room, drafts) in by_room {
        let topic = Topic::Room(room);
        let turn = turns.get(&room).cloned();
        services.appender.send_in_turn(turn, topic, drafts).await?;
    }
    Ok(())
}
