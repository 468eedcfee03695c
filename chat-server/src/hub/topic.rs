//! A topic while somebody on this node follows it: its ring and who pulls from it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::ids::{MemberId, RoomId, Seq};
use stomp::CloseCode;
use tokio::sync::OnceCell;

use super::frame::FrameVariant;
use super::places::{Place, Places};
use super::ring::{Pulled, Ring, RingSize, Taken};
use crate::log::{Entry, Topic};
use crate::wake_queue::{CloseReason, ConnectionEvent, Owner, Slot, WakeQueue};

/// How the connections end that have seen what is not in the log any more: 1012, as after a
/// restart; they come back and are told.
const WENT_BACK: CloseReason = CloseReason {
    code: CloseCode(1012),
    text: "log restored",
};

/// What of a topic a subscription follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its log.
    Log,
    /// What happens beside it.
    Events,
}

/// The live half of a topic on this node.
#[derive(Debug)]
pub struct LiveTopic {
    topic: Topic,
    ring: Mutex<Ring>,
    followers: Mutex<Followers>,
    /// Done once the bus is heard and the head is known.
    pub(super) begun: OnceCell<()>,
    /// The bus had a head noted when it was asked last.
    was_noted: AtomicBool,
    /// The head noted there was another one than is shown here.
    was_noted_wrong: AtomicBool,
    /// The store has to be asked for the head, whatever the bus says.
    owes_look: AtomicBool,
    /// Up to here the room's record for lists was checked.
    checked: AtomicU32,
}

#[derive(Debug)]
struct Followers {
    log: Places,
    events: Places,
    /// Joins that are under way: the topic must not go meanwhile.
    joining: usize,
    /// Since when a sweep has found nobody here; joining ends it.
    idle_since: Option<Instant>,
    /// A task is reading missing entries.
    filling: bool,
    /// The topic was let go of: whoever still joins is told.
    is_gone: bool,
    /// When the followers were last compared with the members of the room.
    compared_at: Option<Instant>,
}

/// A subscription's place at a topic; dropping it leaves the topic.
#[derive(Debug)]
pub struct Following {
    topic: Arc<LiveTopic>,
    part: Part,
    place: usize,
    position: Arc<AtomicU32>,
}

/// A join under way; dropping it gives it up, as a connection that ends meanwhile does.
#[derive(Debug)]
pub(super) struct Joining {
    topic: Arc<LiveTopic>,
}

impl LiveTopic {
    pub(super) fn new(topic: Topic) -> Self {
        let followers = Followers {
            log: Places::default(),
            events: Places::default(),
            joining: 0,
            idle_since: None,
            filling: false,
            is_gone: false,
            compared_at: None,
        };
        Self {
            topic,
            ring: Mutex::new(Ring::new(topic)),
            followers: Mutex::new(followers),
            begun: OnceCell::new(),
            was_noted: AtomicBool::new(false),
            was_noted_wrong: AtomicBool::new(false),
            owes_look: AtomicBool::new(false),
            checked: AtomicU32::new(0),
        }
    }

    /// Which log this is.
    #[must_use]
    pub fn topic(&self) -> Topic {
        self.topic
    }

    /// The newest position visible here.
    #[must_use]
    pub fn head(&self) -> Seq {
        self.ring().head().unwrap_or(Seq::ZERO)
    }

    /// Whether the entry at a position is in memory here.
    #[must_use]
    pub fn keeps(&self, seq: Seq) -> bool {
        self.ring().keeps(seq)
    }

    /// Gives frames after `cursor` to `sink` until it breaks off; see [`Pulled`].
    pub fn pull(
        &self,
        cursor: &mut Seq,
        variant: &Arc<FrameVariant>,
        sink: impl FnMut(&Entry, Option<Bytes>) -> ControlFlow<()>,
    ) -> Pulled {
        self.ring().pull(cursor, variant, sink)
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring, then wakes those who have something to pull.
    pub(super) fn change(&self, change: impl FnOnce(&mut Ring) -> Taken) {
        let taken = change(&mut self.ring());
        if taken == Taken::Grew {
            for place in self.followers().log.all() {
                place.wake_queue.mark(place.slot);
            }
        }
    }

    /// Leaves an event with everybody who listens; returns how many were too full for it.
    pub(super) fn post_event(&self, body: &Bytes) -> u64 {
        let followers = self.followers();
        let listening = followers.events.all();
        let missed =
            listening.filter(|place| !place.wake_queue.post_event(place.slot, body.clone()));
        missed.count() as u64
    }

    /// Leaves a letter with everybody who follows anything of the topic.
    pub(super) fn post_all(&self, event: impl Fn() -> ConnectionEvent) {
        let followers = self.followers();
        for place in followers.log.all().chain(followers.events.all()) {
            place.wake_queue.post(event());
        }
    }

    /// Tells everybody who follows, or is about to, that this log is not the one they have seen.
    pub(super) fn close_gracefully(&self) {
        self.followers().is_gone = true;
        self.post_all(|| ConnectionEvent::Close(WENT_BACK));
    }

    /// The members who follow anything of the topic.
    pub(super) fn members(&self) -> HashSet<MemberId> {
        let followers = self.followers();
        let all = followers.log.all().chain(followers.events.all());
        all.filter_map(Place::owner)
            .map(|owner| owner.member)
            .collect()
    }

    /// Tells these members' connections that they are not in the room any more.
    pub(super) fn evict(&self, room: RoomId, members: &HashSet<MemberId>) {
        let followers = self.followers();
        for place in followers.log.all().chain(followers.events.all()) {
            if let Some(Owner { member, .. }) = place.owner()
                && members.contains(&member)
            {
                place
                    .wake_queue
                    .post(ConnectionEvent::Left { room, member });
            }
        }
    }

    /// When the followers were last compared with the members of the room.
    pub(super) fn compared_at(&self) -> Option<Instant> {
        self.followers().compared_at
    }

    pub(super) fn set_compared_at(&self, at: Instant) {
        self.followers().compared_at = Some(at);
    }

    /// The store has to be asked for the head at the next check.
    pub(super) fn require_head_check(&self) {
        self.owes_look.store(true, Ordering::Relaxed);
    }

    /// Whether that is so; whoever asks does it.
    pub(super) fn take_head_check(&self) -> bool {
        self.owes_look.swap(false, Ordering::Relaxed)
    }

    /// Whether the room's record for lists was not checked at this head yet; whoever asks does it.
    pub(super) fn take_unchecked(&self, head: Seq) -> bool {
        self.checked.fetch_max(head.get(), Ordering::Relaxed) < head.get()
    }

    /// Whether what the bus says of the head is reason to ask the store: it has another one noted,
    /// or has forgotten the one that it had.
    pub(super) fn observe_noted_head(&self, noted: Option<Seq>) -> bool {
        let was_noted = self.was_noted.swap(noted.is_some(), Ordering::Relaxed);
        match noted {
            Some(noted) => {
                let differs = self.ring().head() != Some(noted);
                self.was_noted_wrong.store(differs, Ordering::Relaxed);
                differs
            }
            None => was_noted,
        }
    }

    /// Whether the head that the bus has noted was another one than is shown; whoever asks mends it.
    pub(super) fn take_wrong_note(&self) -> bool {
        self.was_noted_wrong.swap(false, Ordering::Relaxed)
    }

    /// What the ring has in memory.
    pub(super) fn ring_size(&self) -> RingSize {
        self.ring().size()
    }

    /// Calls `see` with each subscription to the log that is behind: whose it is and how far.
    pub(super) fn each_behind(&self, mut see: impl FnMut(Option<Owner>, u32)) {
        let head = self.head().get();
        for place in self.followers().log.all() {
            let position = place.position.load(Ordering::Relaxed);
            let lag = head.saturating_sub(position);
            if lag > 0 {
                see(place.owner(), lag);
            }
        }
    }

    /// Begins a join; the topic stays at least until it ends.
    pub(super) fn join(self: &Arc<Self>) -> Joining {
        let mut followers = self.followers();
        followers.joining += 1;
        followers.idle_since = None;
        drop(followers);
        Joining {
            topic: Arc::clone(self),
        }
    }

    /// For how long nobody has followed, as far as this was asked; `None` while somebody does.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let mut followers = self.followers();
        let idle =
            followers.joining == 0 && followers.log.is_empty() && followers.events.is_empty();
        idle.then(|| {
            let since = *followers.idle_since.get_or_insert(now);
            now.saturating_duration_since(since)
        })
    }

    /// Whether this call is the one that has to read what is missing.
    pub(super) fn start_filling(&self) -> bool {
        !std::mem::replace(&mut self.followers().filling, true)
    }

    pub(super) fn stop_filling(&self) {
        self.followers().filling = false;
    }

    /// How many subscriptions follow the log and the events.
    #[must_use]
    pub fn followers_count(&self) -> (usize, usize) {
        let followers = self.followers();
        (followers.log.count(), followers.events.count())
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        self.followers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Followers {
    fn part(&mut self, part: Part) -> &mut Places {
        match part {
            Part::Log => &mut self.log,
            Part::Events => &mut self.events,
        }
    }
}

impl Joining {
    pub(super) fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Ends the join with a follower.
    pub(super) fn add(self, wake_queue: Arc<WakeQueue>, slot: Slot, part: Part) -> Following {
        let position = Arc::new(AtomicU32::new(self.topic.head().get()));
        let mut followers = self.topic.followers();
        if followers.is_gone {
            wake_queue.post(ConnectionEvent::Close(WENT_BACK));
        }
        let place = followers.part(part).add(Place {
            wake_queue,
            slot,
            position: Arc::clone(&position),
        });
        drop(followers);
        Following {
            topic: Arc::clone(&self.topic),
            part,
            place,
            position,
        }
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        self.topic.followers().joining -= 1;
    }
}

impl Following {
    /// The topic followed.
    #[must_use]
    pub fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Notes how far the subscription has pulled, for those who look at the node.
    pub fn note_position(&self, position: Seq) {
        self.position.store(position.get(), Ordering::Relaxed);
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.topic.followers().part(self.part).remove(self.place);
    }
}
