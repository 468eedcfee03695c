//! Where a subscription begins: now, after a message, or some messages back.

use std::sync::Arc;

use shared::ids::{MemberId, MessageId, Seq};

use super::Services;
use super::failure::ClientError;
use crate::destination::SubscribeTo;
use crate::hub::{DestinationView, Following, LiveTopic, Part};
use crate::log::Topic;
use crate::store::ReadConsistency;
use crate::wake_queue::{Slot, WakeQueue};

/// StartAt where a client wants to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartAt {
    /// StartAt now on.
    Now,
    /// Everything after this message; `None`: from the start.
    After(Option<MessageId>),
    /// The last so many, then live.
    Last(u32),
    /// Everything after this position of the topic.
    Position(Seq),
}

/// What a destination stands for, once it is allowed.
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
    /// `None` for what is no topic.
    pub(super) following: Option<Following>,
    pub(super) cursor: Seq,
    pub(super) head: Seq,
    /// Whether everything after the wanted position will come.
    pub(super) recovered: bool,
}

impl StartAt {
    /// Reads the headers `resume-after` and `history`.
    pub(super) fn read(frame: &stomp::Frame) -> Result<Self, ClientError> {
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
    /// What `hear` stands for, if this member may hear it.
    pub(super) async fn authorise(
        services: &Services,
        hear: SubscribeTo,
        member: MemberId,
    ) -> Result<Self, ClientError> {
        services.members.check(member).await?;
        match hear {
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

/// Follows the target and finds the position to begin at.
pub(super) async fn begin(
    services: Arc<Services>,
    (hear, member, from): (SubscribeTo, MemberId, StartAt),
    wake_queue: Arc<WakeQueue>,
    slot: Slot,
) -> Result<Begun, ClientError> {
    let target = Target::authorise(&services, hear, member).await?;
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
            });
        }
    };
    let from = match (from, target) {
        (StartAt::Now, Target::Log(Topic::Room(room), _)) if services.config.replay_unread => {
            StartAt::Position(services.rooms.last_read(member, room).await?)
        }
        (from, _) => from,
    };
    let following = services.hub.follow(topic, part, wake_queue, slot).await?;
    let head = following.topic().head();
    let (cursor, recovered) = start(&services, following.topic(), from, head).await?;
    // The hub may lag behind the store, where the cursor may come from: what lies between the two is
    // on its way and will not come to this subscription.
    let head = head.max(cursor);
    Ok(Begun {
        target,
        following: Some(following),
        cursor,
        head,
        recovered,
    })
}

/// The cursor to begin with, and whether nothing that was asked for is lost.
async fn start(
    services: &Services,
    live: &LiveTopic,
    from: StartAt,
    head: Seq,
) -> Result<(Seq, bool), ClientError> {
    let topic = live.topic();
    let wanted = match from {
        StartAt::Now => return Ok((head, true)),
        StartAt::Last(count) => return Ok((last(services, topic, count, head).await?, true)),
        // A mark beyond the head is one of a log that was restored from a backup.
        StartAt::Position(seq) => return Ok((seq.min(head), true)),
        StartAt::After(None) => Seq::ZERO,
        StartAt::After(Some(id)) => topic.seq_of(id).ok_or(ClientError::OTHER_TOPIC)?,
    };
    let mut head = head;
    if wanted > head {
        // The hub may lag; before saying that something was lost, ask the store itself.
        head = services.store.head(topic, ReadConsistency::Serial).await?;
        if wanted > head {
            return Ok((head, false));
        }
    }
    let is_start = wanted == Seq::ZERO && matches!(topic, Topic::Room(_));
    let is_whole = is_start || wanted == head || live.keeps(wanted);
    Ok((
        wanted,
        is_whole || goes_on_from(services, topic, wanted).await?,
    ))
}

/// The position `count` entries before the head, over what jumps have passed over.
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

/// Whether a mark names a place of this log, and all that came after it is there: the entry itself is
/// there or the one after it. (What is older expires earlier.)
///
/// If neither is, an inbox's have expired, or the mark is one of before a backup was put back: then the
/// log has jumped over it (see `store::epoch`), and what the client has seen is not in it.
async fn goes_on_from(services: &Services, topic: Topic, seq: Seq) -> Result<bool, ClientError> {
    let (store, next) = (&services.store, seq.saturating_add(1));
    for view in [ReadConsistency::Quorum, ReadConsistency::Serial] {
        if !store.read(topic, seq, next, view).await?.is_empty() {
            return Ok(true);
        }
    }
    if seq > Seq::ZERO {
        return Ok(false);
    }
    // StartAt the start of an inbox: nothing has expired if it begins with a jump.
    let jumps = store.jumps(topic).await?;
    Ok(match jumps.last() {
        Some(_) => {
            let oldest = store.nearest(topic, next, Seq::MAX).await?;
            oldest.is_some_and(|oldest| jumps.contains(&oldest))
        }
        None => false,
    })
}
