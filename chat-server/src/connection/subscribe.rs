//! Start of a subscription: permission, destination, and the position at which it begins.

use std::sync::Arc;

use bytes::Bytes;
use shared::ids::{MessageId, Seq};
use stomp::{AckMode, Subscribe};

use super::error::ClientError;
use super::services::Services;
use crate::auth::Identity;
use crate::destination::SubscribeTo;
use crate::hub::{DestinationView, Following, LiveTopic, Part};
use crate::log::Topic;
use crate::store::ReadConsistency;
use crate::wake_queue::{Slot, WakeQueue};

/// Position at which a client wants to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartAt {
    /// With the next entry.
    Now,
    /// After this message; `None`: at the start.
    After(Option<MessageId>),
    /// So many entries back.
    Last(u32),
    /// After this position of the topic.
    Position(Seq),
}

/// What a destination stands for, once the member has permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Log(Topic, DestinationView),
    Events(Topic),
    Errors,
    System,
}

/// A subscription that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) target: Target,
    /// `None` for destinations that are no topics.
    pub(super) following: Option<Following>,
    pub(super) cursor: Seq,
    pub(super) head: Seq,
    /// Whether everything after the requested position will be delivered.
    pub(super) recovered: bool,
    /// Alarms from before the position that are still running.
    pub(super) running: Vec<Bytes>,
}

/// The content of a SUBSCRIBE.
#[derive(Debug)]
pub(super) struct SubscribeRequest {
    destination: SubscribeTo,
    reader: Arc<Identity>,
    start: StartAt,
}

impl SubscribeRequest {
    /// Reads a SUBSCRIBE of this member.
    pub(super) fn read(subscribe: &Subscribe, reader: Arc<Identity>) -> Result<Self, ClientError> {
        let destination = SubscribeTo::parse(subscribe.destination());
        let destination = destination.ok_or(ClientError::DESTINATION)?;
        let is_log = matches!(
            destination,
            SubscribeTo::Room(_) | SubscribeTo::Alarms(_) | SubscribeTo::Notices
        );
        if subscribe.ack_mode != AckMode::Auto && !is_log {
            return Err(ClientError::ACK_MODE);
        }
        Ok(Self {
            destination,
            reader,
            start: StartAt::read(&subscribe.frame)?,
        })
    }
}

impl StartAt {
    /// Reads the headers `resume-after` and `history`.
    fn read(frame: &stomp::Frame) -> Result<Self, ClientError> {
        match (frame.header("resume-after"), frame.header("history")) {
            (Some("0"), None) => Ok(Self::After(None)),
            (Some(id), None) => match id.parse() {
                Ok(id) => Ok(Self::After(Some(id))),
                Err(_) => Err(ClientError::HEADER),
            },
            (None, Some(count)) => count
                .parse()
                .map(Self::Last)
                .map_err(|_not| ClientError::HEADER),
            (None, None) => Ok(Self::Now),
            (Some(_), Some(_)) => Err(ClientError::HEADER),
        }
    }
}

impl Target {
    /// Checks that the member may read the destination.
    async fn authorise(
        services: &Services,
        destination: SubscribeTo,
        reader: &Identity,
    ) -> Result<Self, ClientError> {
        services.members.check(reader).await?;
        let member = reader.member;
        match destination {
            SubscribeTo::Room(room) => {
                services.rooms.access(room, member).await?;
                Ok(Self::Log(Topic::Room(room), DestinationView::Room))
            }
            SubscribeTo::Events(room) => {
                services.rooms.access(room, member).await?;
                Ok(Self::Events(Topic::Room(room)))
            }
            SubscribeTo::Alarms(of) if of != member => Err(ClientError::FORBIDDEN),
            SubscribeTo::Alarms(of) => Ok(Self::Log(Topic::Inbox(of), DestinationView::Alarms)),
            SubscribeTo::Notices => Ok(Self::Log(Topic::Inbox(member), DestinationView::Notices)),
            SubscribeTo::Errors => Ok(Self::Errors),
            SubscribeTo::System => Ok(Self::System),
        }
    }
}

/// Follows the destination in the hub and finds the position to begin at.
pub(super) async fn begin(
    services: Arc<Services>,
    request: SubscribeRequest,
    wake_queue: Arc<WakeQueue>,
    slot: Slot,
) -> Result<Begun, ClientError> {
    let SubscribeRequest {
        destination,
        reader,
        start,
    } = request;
    let member = reader.member;
    let target = Target::authorise(&services, destination, &reader).await?;
    let (topic, part) = match target {
        Target::Log(topic, _) => (topic, Part::Log),
        Target::Events(topic) => (topic, Part::Events),
        Target::Errors | Target::System => {
            let (cursor, head) = (Seq::ZERO, Seq::ZERO);
            return Ok(Begun {
                target,
                following: None,
                cursor,
                head,
                recovered: true,
                running: Vec::new(),
            });
        }
    };
    let start = match (start, target) {
        (StartAt::Now, Target::Log(Topic::Room(room), _)) if services.config.replay_unread => {
            StartAt::Position(services.rooms.last_read(member, room).await?)
        }
        (start, _) => start,
    };
    let following = services.hub.follow(topic, part, wake_queue, slot).await?;
    // After that: an alarm that begins from here on is delivered from the log.
    let running = match (start, destination) {
        (StartAt::Now, SubscribeTo::Alarms(member)) => services.inboxes.running(member).await?,
        _ => Vec::new(),
    };
    let head = following.topic().head();
    let (cursor, recovered) = find_start(&services, following.topic(), start, head).await?;
    // The hub may lag behind the store, from which the cursor may be: entries between the two are on
    // their way and will not be delivered to this subscription.
    let head = head.max(cursor);
    Ok(Begun {
        target,
        following: Some(following),
        cursor,
        head,
        recovered,
        running,
    })
}

/// The cursor to begin with, and whether everything after the requested position is there.
async fn find_start(
    services: &Services,
    live: &LiveTopic,
    start: StartAt,
    head: Seq,
) -> Result<(Seq, bool), ClientError> {
    let topic = live.topic();
    let wanted = match start {
        StartAt::Now => return Ok((head, true)),
        StartAt::Last(count) => return Ok((last(services, topic, count, head).await?, true)),
        // A mark beyond the head is one of a log that was restored from a backup.
        StartAt::Position(seq) => return Ok((seq.min(head), true)),
        StartAt::After(None) => Seq::ZERO,
        StartAt::After(Some(id)) => topic.seq_of(id).ok_or(ClientError::OTHER_TOPIC)?,
    };
    let mut head = head;
    if wanted > head {
        // The hub may lag: only the store shows whether something was lost.
        head = services.store.head(topic, ReadConsistency::Serial).await?;
        if wanted > head {
            return Ok((head, false));
        }
    }
    let is_start = wanted == Seq::ZERO && matches!(topic, Topic::Room(_));
    let is_whole = is_start || wanted == head || live.keeps(wanted);
    Ok((
        wanted,
        is_whole || is_complete_after(services, topic, wanted).await?,
    ))
}

/// The position `count` entries before the head; positions that jumps have left out do not count.
async fn last(
    services: &Services,
    topic: Topic,
    count: u32,
    head: Seq,
) -> Result<Seq, ClientError> {
    let (mut end, mut left) = (head, count);
    for jump in services.store.jumps(topic).await?.into_iter().rev() {
        let since = end.since(jump.saturating_sub(1));
        if jump > end || left <= since {
            continue;
        }
        left -= since;
        let before = jump.saturating_sub(1);
        let earlier = services.store.nearest(topic, before, Seq::FIRST).await?;
        end = earlier.unwrap_or(Seq::ZERO);
    }
    Ok(end.saturating_sub(left))
}

/// Whether the log is complete after a position: the entry there or the one after it exists. (Older
/// entries expire earlier.)
///
/// If neither exists, those of an inbox have expired, or the position is from before a backup was
/// restored: then the log has jumped over it (see `store::epoch`) and does not contain what the client
/// has seen.
async fn is_complete_after(
    services: &Services,
    topic: Topic,
    seq: Seq,
) -> Result<bool, ClientError> {
    let (store, next) = (&services.store, seq.saturating_add(1));
    for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
        if !store.read(topic, seq, next, view).await?.is_empty() {
            return Ok(true);
        }
    }
    if seq > Seq::ZERO {
        return Ok(false);
    }
    // From the start of an inbox: nothing has expired if it begins with a jump.
    let jumps = store.jumps(topic).await?;
    Ok(match jumps.last() {
        Some(_) => {
            let oldest = store.nearest(topic, next, Seq::MAX).await?;
            oldest.is_some_and(|oldest| jumps.contains(&oldest))
        }
        None => false,
    })
}
