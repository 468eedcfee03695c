//! The pusher: decides which members get a push, and offers it to their targets.
//!
//! Offering is one bounded `try_send`: a slow push service, a slow store, or none at all, never holds up a send, an
//! inbox or a trade. What does not fit is dropped and counted; it is in the room or the inbox.
//!
//! A notification goes to a member without a live connection on any node who wants it. A chat message goes to
//! each such member of its room, at most once per quiet time and room. A room of more than
//! [`BIG_ROOM`] members is considered once per quiet time as a whole, or each message would cost
//! requests for all of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::{MemberId, RoomId, Seq};
use tokio::select;
use tokio::sync::mpsc;

use super::considering::Considering;
use super::lane::Lanes;
use super::message::cut;
use super::preferences::{Class, MemberPreferences};
use super::targets::Targets;
use super::{PushMessage, PushServices, PushText};
use crate::log::{Draft, Kind, Topic};
use crate::members::Members;
use crate::metrics::{Metrics, PushDrop, PushKind};
use crate::presence::Presence;
use crate::rooms::Rooms;

/// Offers that wait: 1 KiB each, 10 MiB.
const OFFERS_MAX: usize = 10_000;

/// Offers considered at a time.
const OFFERS_AT_ONCE: usize = 16;

/// Characters of a chat message in a push.
const CHAT_CHARS_MAX: usize = 100;

/// Rooms with more members are considered once per quiet time.
pub const BIG_ROOM: usize = 100;

/// A push service holds a message for a device that is off for so long.
pub const NOTICE_TTL: Duration = Duration::from_secs(3 * 24 * 3_600);

/// The same for a chat message.
pub(super) const CHAT_TTL: Duration = Duration::from_secs(24 * 3_600);

/// A notification for one member.
#[derive(Clone, Debug)]
pub struct PushNotice {
    /// For this member.
    pub member: MemberId,
    /// Of this class of the member's preferences.
    pub class: Class,
    /// What is delivered.
    pub message: PushMessage,
}

impl PushNotice {
    /// The notification of an inbox entry: event id, kind, and the rendered text and data.
    #[must_use]
    pub fn of_event(
        member: MemberId,
        (event, kind): (&str, &str),
        text: PushText,
        data: serde_json::Value,
    ) -> Self {
        let message = PushMessage::new(event.to_owned(), kind.to_owned(), text, NOTICE_TTL);
        Self {
            member,
            class: Class::of_kind(kind),
            message: message.with_data(data),
        }
    }
}

/// A chat message for the members of its room.
#[derive(Debug)]
pub(super) struct ChatPush {
    pub(super) room: RoomId,
    pub(super) seq: Seq,
    pub(super) sender: Option<MemberId>,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) enum Offer {
    Notice(Box<PushNotice>),
    Chat(ChatPush),
}

/// Takes offers. Clones offer to the same queue.
#[derive(Clone, Debug)]
pub struct Pusher {
    queue: Option<mpsc::Sender<Offer>>,
    metrics: Arc<Metrics>,
}

/// Offers on their way to the task.
#[derive(Debug)]
pub struct Offers(mpsc::Receiver<Offer>);

impl Pusher {
    /// A pusher, and the end of its queue for [`PusherParts::run`].
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> (Self, Offers) {
        let (queue, offers) = mpsc::channel(OFFERS_MAX);
        let queue = Some(queue);
        (Self { queue, metrics }, Offers(offers))
    }

    /// A pusher of a site without push services: offers end here.
    #[must_use]
    pub const fn none(metrics: Arc<Metrics>) -> Self {
        Self {
            queue: None,
            metrics,
        }
    }

    /// Offers a notification whose inbox entry was stored by this call. Never waits.
    pub fn offer(&self, notice: PushNotice) {
        self.put(PushKind::Notice, || Offer::Notice(Box::new(notice)));
    }

    /// Offers a message that this node has stored. Never waits.
    pub fn offer_stored(&self, topic: Topic, seq: Seq, draft: &Draft) {
        let (Topic::Room(room), Kind::Chat) = (topic, draft.kind) else {
            return;
        };
        self.put(PushKind::Chat, || {
            let text = str::from_utf8(&draft.body).unwrap_or_default();
            Offer::Chat(ChatPush {
                room,
                seq,
                sender: draft.sender,
                text: cut(text, CHAT_CHARS_MAX),
            })
        });
    }

    fn put(&self, kind: PushKind, offer: impl FnOnce() -> Offer) {
        let Some(queue) = &self.queue else { return };
        let push = &self.metrics.push;
        push.offered.count(kind);
        match queue.try_reserve() {
            Ok(place) => place.send(offer()),
            Err(mpsc::error::TrySendError::Full(())) => push.dropped.count(PushDrop::Queue),
            Err(mpsc::error::TrySendError::Closed(())) => push.dropped.count(PushDrop::Stop),
        }
    }
}

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

impl PusherParts {
    /// Considers offers until the drain begins.
    pub async fn run(self, Offers(mut offers): Offers) {
        let lanes = Lanes::start(
            &self.services,
            &self.targets,
            &self.clock,
            (&self.drain, &self.metrics),
        );
        let soft = self.drain.soft();
        let considering = Considering::new(self, lanes);
        let mut open = FuturesUnordered::new();
        // | arm | input | cancel-safe because |
        // |---|---|---|
        // | cancelled | the drain begins | a token |
        // | open.next | an offer has been considered | the futures stay in the set |
        // | offers.recv | an offer | documented |
        loop {
            select! {
                () = soft.cancelled() => break,
                Some(()) = open.next(), if !open.is_empty() => {}
                offer = offers.recv(), if open.len() < OFFERS_AT_ONCE => match offer {
                    Some(offer) => open.push(considering.consider(offer)),
                    None => break,
                },
            }
        }
        offers.close();
        let dropped = &considering.parts.metrics.push.dropped;
        while offers.try_recv().is_ok() {
            dropped.count(PushDrop::Stop);
        }
        (0..open.len()).for_each(|_| dropped.count(PushDrop::Stop));
    }
}
