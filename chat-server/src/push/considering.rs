//! Consideration of an offer: which members get a push, by presence, preferences, mutes and quiet time.
//!
//! The order of the checks is by cost, but for the claim of the quiet time: it is last, as an offer that ends before
//! it must not keep the next one quiet.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use serde_json::json;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId};

use super::lane::{Job, Lanes};
use super::offer::{CHAT_TTL, ChatPush, Offer, PushNotice};
use super::preferences::{Channel, Class, MemberPreferences};
use super::targets::{PushStoreUnavailable, SavedTarget, Targets};
use super::{CollapseKey, PushMessage, PushServices, PushText};
use crate::log::Topic;
use crate::members::Members;
use crate::metrics::{Metrics, PushDrop, PushSkip};
use crate::presence::Presence;
use crate::rooms::{RoomError, Rooms};
use crate::store::Room;

/// Members whose presence is requested at a time.
const ONLINE_AT_ONCE: usize = 256;

/// Members and rooms whose quiet time is remembered on this node; beyond it the registry is asked.
const QUIET_CACHED_MAX: u64 = 100_000;

/// Rooms with more members are considered once per quiet time.
pub const BIG_ROOM: usize = 100;

/// Whether a member has a connection to this node.
pub type OnlineHere = Box<dyn Fn(MemberId) -> bool + Send + Sync>;

/// Dependencies of the pusher's task.
pub struct PusherParts {
    /// Targets of members.
    pub targets: Arc<Targets>,
    /// What members want.
    pub preferences: Arc<MemberPreferences>,
    /// Members of rooms.
    pub rooms: Arc<Rooms>,
    /// Account status.
    pub members: Arc<Members>,
    /// Connections to any node.
    pub presence: Arc<dyn Presence>,
    /// Connections to this node, for when the registry is away.
    pub online_here: OnlineHere,
    /// The push services.
    pub services: PushServices,
    /// How long a room is quiet after a push.
    pub quiet_time: Duration,
    /// Ages.
    pub clock: Arc<dyn Clock>,
    /// Ends the task.
    pub drain: Drain,
    /// Counters.
    pub metrics: Arc<Metrics>,
}

impl fmt::Debug for PusherParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PusherParts").finish_non_exhaustive()
    }
}

/// The consideration of offers.
pub(super) struct Considering {
    pub(super) parts: PusherParts,
    lanes: Lanes,
    /// When this node claimed a room's push to a member.
    quiet: Cache<(MemberId, RoomId), Instant>,
}

impl Considering {
    pub(super) fn new(parts: PusherParts, lanes: Lanes) -> Self {
        let quiet = Cache::builder()
            .time_to_live(parts.quiet_time)
            .max_capacity(QUIET_CACHED_MAX)
            .build();
        Self {
            parts,
            lanes,
            quiet,
        }
    }

    pub(super) async fn consider(&self, offer: Offer) {
        let considered = match offer {
            Offer::Notice(notice) => self.notice(*notice).await,
            Offer::Chat(chat) => self.chat(&chat).await,
        };
        if considered == Err(PushStoreUnavailable) {
            self.parts.metrics.push.dropped.count(PushDrop::Store);
        }
    }

    async fn notice(&self, notice: PushNotice) -> Result<(), PushStoreUnavailable> {
        let member = notice.member;
        if self.online(&[member]).await.contains(&true) {
            self.skip(PushSkip::Online);
            return Ok(());
        }
        if !self.wants(member, notice.class).await? {
            return Ok(());
        }
        self.push(member, Arc::new(notice.message)).await
    }

    async fn chat(&self, chat: &ChatPush) -> Result<(), PushStoreUnavailable> {
        let room = match self.parts.rooms.room(chat.room).await {
            Ok(room) if !room.opaque => room,
            Ok(_) | Err(RoomError::Unknown(_) | RoomError::NotParticipant(_)) => return Ok(()),
            Err(RoomError::Unavailable) => return Err(PushStoreUnavailable),
        };
        if room.members.len() > BIG_ROOM {
            let claim = format!("push-room:{}", chat.room);
            if !self.claim(&claim).await {
                self.skip(PushSkip::Quiet);
                return Ok(());
            }
        }
        let others = room.members.iter().map(|member| member.member_id);
        let others: Vec<_> = others
            .filter(|member| Some(*member) != chat.sender)
            .collect();
        let message = Arc::new(chat_message(chat, &room));
        for members in others.chunks(ONLINE_AT_ONCE) {
            let online = self.online(members).await;
            for (member, online) in members.iter().zip(online) {
                if online {
                    self.skip(PushSkip::Online);
                } else {
                    self.chat_to(*member, chat.room, &message).await?;
                }
            }
        }
        Ok(())
    }

    /// A chat message for a member without a connection.
    async fn chat_to(
        &self,
        member: MemberId,
        room: RoomId,
        message: &Arc<PushMessage>,
    ) -> Result<(), PushStoreUnavailable> {
        if self.is_quiet(member, room).await {
            self.skip(PushSkip::Quiet);
            return Ok(());
        }
        if !self.wants(member, Class::Chat).await? {
            return Ok(());
        }
        if self.parts.preferences.is_muted(member, room).await? {
            self.skip(PushSkip::Muted);
            return Ok(());
        }
        let targets = self.parts.targets.of(member).await?;
        if targets.is_empty() {
            self.skip(PushSkip::NoTarget);
            return Ok(());
        }
        // Last: what ends before must not keep the next message quiet.
        let is_first = self.claim(&format!("quiet:{member}:{room}")).await;
        if is_first {
            let now = self.parts.clock.now();
            self.quiet.insert((member, room), now).await;
            self.give(member, targets, message);
        } else {
            self.skip(PushSkip::Quiet);
        }
        Ok(())
    }

    /// To all targets of a member.
    async fn push(
        &self,
        member: MemberId,
        message: Arc<PushMessage>,
    ) -> Result<(), PushStoreUnavailable> {
        let targets = self.parts.targets.of(member).await?;
        if targets.is_empty() {
            self.skip(PushSkip::NoTarget);
        }
        self.give(member, targets, &message);
        Ok(())
    }

    fn give(&self, member: MemberId, targets: Vec<SavedTarget>, message: &Arc<PushMessage>) {
        let now = self.parts.clock.now();
        for target in targets {
            self.lanes
                .put(Job::new(member, target, Arc::clone(message), now));
        }
    }

    /// Whether the member wants pushes of this class, and may have them.
    async fn wants(&self, member: MemberId, class: Class) -> Result<bool, PushStoreUnavailable> {
        let preferences = self.parts.preferences.of(member).await?;
        if preferences.channel(class) != Channel::Push {
            self.skip(PushSkip::Preference);
            return Ok(false);
        }
        let blocked = self.parts.members.is_blocked(member).await;
        let is_blocked = blocked.map_err(|_unavailable| PushStoreUnavailable)?;
        if is_blocked {
            self.skip(PushSkip::Blocked);
        }
        Ok(!is_blocked)
    }

    /// Whether each of these members has a live connection. While the registry is away, the connections of this
    /// node decide: a push too many is better than none.
    async fn online(&self, members: &[MemberId]) -> Vec<bool> {
        let here = || {
            members
                .iter()
                .map(|member| (self.parts.online_here)(*member))
        };
        match self.parts.presence.online(members).await {
            Ok(online) => online
                .iter()
                .zip(here())
                .map(|(one, here)| *one || here)
                .collect(),
            Err(error) => {
                tracing::debug!("push: {error}");
                here().collect()
            }
        }
    }

    /// Whether this is the first claim within the quiet time. While the registry is away it is, and the quiet
    /// time of this node alone counts.
    async fn claim(&self, key: &str) -> bool {
        self.parts
            .presence
            .claim(key, self.parts.quiet_time)
            .await
            .unwrap_or(true)
    }

    async fn is_quiet(&self, member: MemberId, room: RoomId) -> bool {
        let now = self.parts.clock.now();
        let since = self.quiet.get(&(member, room)).await;
        since.is_some_and(|at| now.saturating_duration_since(at) < self.parts.quiet_time)
    }

    fn skip(&self, why: PushSkip) {
        self.parts.metrics.push.skipped.count(why);
    }
}

/// The sender's name, and the text. A group's messages and those of a product's room read alike.
fn chat_message(chat: &ChatPush, room: &Room) -> PushMessage {
    let sender = room
        .members
        .iter()
        .find(|member| Some(member.member_id) == chat.sender);
    let name = sender.map_or("DaPanDa", |sender| sender.name.as_str());
    let id = Topic::Room(chat.room).message_id(chat.seq);
    let data = json!({
        "chatRoomId": chat.room,
        "chatMessageId": id,
        "senderId": chat.sender,
    });
    let id = id.map_or_else(String::new, |id| id.to_string());
    PushMessage::new(
        id,
        "chat.message".to_owned(),
        PushText::new(name, &chat.text),
        CHAT_TTL,
    )
    .with_data(data)
    .with_collapse_key(CollapseKey::new(format!("room-{}", chat.room)))
}
