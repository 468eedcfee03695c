//! A topic with subscriptions on this node: its ring, its subscriptions, and the flags of head checks.
//!
//! It reads neither the store nor the bus.

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
use super::ring::{Pulled, Ring, RingSize, Taken};
use super::subscription_table::{Subscription, SubscriptionTable};
use crate::log::{Entry, Topic};
use crate::wake_queue::{CloseReason, ConnectionEvent, Owner, Slot, WakeQueue};
use crate::wakers::Wakers;

/// How the connections end that have seen entries of a log that was restored: 1012, as after a
/// restart; when they resume, they learn that their position is gone.
const WENT_BACK: CloseReason = CloseReason {
    code: CloseCode(1012),
    text: "log restored",
};

/// The part of a topic that a subscription follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its log.
    Log,
    /// Its events, which are not stored.
    Events,
}

/// A topic with subscriptions on this node.
#[derive(Debug)]
pub struct LiveTopic {
    topic: Topic,
    ring: Mutex<Ring>,
    followers: Mutex<Followers>,
    /// Done once the bus has the subscription and the head was read.
    pub(super) begun: OnceCell<()>,
    /// The bus had a head noted at the last check.
    was_noted: AtomicBool,
    /// The head noted there was another one than is shown here.
    was_noted_wrong: AtomicBool,
    /// The head has to be read from the store, whatever the bus has noted.
    needs_head_check: AtomicBool,
    /// Up to here the room's record for lists was checked.
    checked: AtomicU32,
}

#[derive(Debug)]
struct Followers {
    log: SubscriptionTable,
    events: SubscriptionTable,
    /// Joins under way: the topic is not removed meanwhile.
    joining: usize,
    /// Since when sweeps have found no subscription; a join resets it.
    idle_since: Option<Instant>,
    /// A task is reading missing entries.
    filling: bool,
    /// The topic was reset: connections that still join are closed.
    is_gone: bool,
    /// When the subscribers were last compared with the members of the room.
    compared_at: Option<Instant>,
}

/// The registration of a subscription at a topic; dropping it unsubscribes.
#[derive(Debug)]
pub struct Following {
    topic: Arc<LiveTopic>,
    part: Part,
    index: usize,
    position: Arc<AtomicU32>,
}

/// A join under way; dropping it cancels it, as a connection that ends meanwhile does.
#[derive(Debug)]
pub(super) struct Joining {
    topic: Arc<LiveTopic>,
}

impl LiveTopic {
    pub(super) fn new(topic: Topic) -> Self {
        let followers = Followers {
            log: SubscriptionTable::default(),
            events: SubscriptionTable::default(),
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
            needs_head_check: AtomicBool::new(false),
            checked: AtomicU32::new(0),
        }
    }

    /// Its name.
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

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring, then wakes the subscriptions that have something to pull.
    pub(super) fn change(&self, change: impl FnOnce(&mut Ring) -> Taken, wakers: &mut Wakers) {
        let taken = change(&mut self.ring());
        if taken == Taken::Grew {
            for subscription in self.followers().log.all() {
                subscription.wake_queue.mark(subscription.slot, wakers);
            }
        }
    }

    /// Posts an event to all subscriptions to events; returns how many had no room for it.
    pub(super) fn post_event(&self, body: &Bytes) -> u64 {
        let followers = self.followers();
        let listening = followers.events.all();
        let missed = listening.filter(|subscription| {
            !subscription
                .wake_queue
                .post_event(subscription.slot, body.clone())
        });
        missed.count() as u64
    }

    /// Posts an event to the connections of all subscriptions.
    pub(super) fn post_all(&self, event: impl Fn() -> ConnectionEvent) {
        let followers = self.followers();
        for subscription in followers.log.all().chain(followers.events.all()) {
            subscription.wake_queue.post(event());
        }
    }

    /// Closes the connections of all subscriptions, and of those that are joining: the log is not the
    /// one that they have seen.
    pub(super) fn close_gracefully(&self) {
        self.followers().is_gone = true;
        self.post_all(|| ConnectionEvent::Close(WENT_BACK));
    }

    /// The members with any subscription to the topic.
    pub(super) fn members(&self) -> HashSet<MemberId> {
        let followers = self.followers();
        let all = followers.log.all().chain(followers.events.all());
        all.filter_map(Subscription::owner)
            .map(|owner| owner.member)
            .collect()
    }

    /// Ends the subscriptions of these members, who have left the room.
    pub(super) fn evict(&self, room: RoomId, members: &HashSet<MemberId>) {
        let followers = self.followers();
        for subscription in followers.log.all().chain(followers.events.all()) {
            if let Some(Owner { member, .. }) = subscription.owner()
                && members.contains(&member)
            {
                subscription
                    .wake_queue
                    .post(ConnectionEvent::Left { room, member });
            }
        }
    }

    /// When the subscribers were last compared with the members of the room.
    pub(super) fn compared_at(&self) -> Option<Instant> {
        self.followers().compared_at
    }

    pub(super) fn set_compared_at(&self, at: Instant) {
        self.followers().compared_at = Some(at);
    }

    /// Requires that the next check reads the head from the store.
    pub(super) fn require_head_check(&self) {
        self.needs_head_check.store(true, Ordering::Relaxed);
    }

    /// Whether that is required; the caller does it.
    pub(super) fn take_head_check(&self) -> bool {
        self.needs_head_check.swap(false, Ordering::Relaxed)
    }

    /// Whether the room's record for lists was not checked at this head yet; the caller checks it.
    pub(super) fn take_unchecked(&self, head: Seq) -> bool {
        self.checked.fetch_max(head.get(), Ordering::Relaxed) < head.get()
    }

    /// Compares the head that is noted on the bus with the one that is shown; whether the store has to
    /// be read: the bus has another one noted, or has lost the one that it had.
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

    /// Whether the head noted on the bus was another one than is shown; the caller corrects it.
    pub(super) fn take_wrong_note(&self) -> bool {
        self.was_noted_wrong.swap(false, Ordering::Relaxed)
    }

    /// Sizes of the ring.
    pub(super) fn ring_size(&self) -> RingSize {
        self.ring().size()
    }

    /// Calls `see` with the owner and the lag of each subscription to the log that is behind.
    pub(super) fn each_behind(&self, mut see: impl FnMut(Option<Owner>, u32)) {
        let head = self.head().get();
        for subscription in self.followers().log.all() {
            let position = subscription.position.load(Ordering::Relaxed);
            let lag = head.saturating_sub(position);
            if lag > 0 {
                see(subscription.owner(), lag);
            }
        }
    }

    /// Begins a join; the topic is not removed before it ends.
    pub(super) fn join(self: &Arc<Self>) -> Joining {
        let mut followers = self.followers();
        followers.joining += 1;
        followers.idle_since = None;
        drop(followers);
        Joining {
            topic: Arc::clone(self),
        }
    }

    /// Time since the first call that found no subscription; `None` while there is one.
    pub(super) fn idle_for(&self, now: Instant) -> Option<Duration> {
        let mut followers = self.followers();
        let idle =
            followers.joining == 0 && followers.log.is_empty() && followers.events.is_empty();
        idle.then(|| {
            let since = *followers.idle_since.get_or_insert(now);
            now.saturating_duration_since(since)
        })
    }

    /// Whether the caller has to read the missing entries: no other task does.
    pub(super) fn start_filling(&self) -> bool {
        !std::mem::replace(&mut self.followers().filling, true)
    }

    pub(super) fn stop_filling(&self) {
        self.followers().filling = false;
    }

    /// Number of subscriptions to the log and to the events.
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
    fn part(&mut self, part: Part) -> &mut SubscriptionTable {
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

    /// Completes the join with a subscription.
    pub(super) fn add(self, wake_queue: Arc<WakeQueue>, slot: Slot, part: Part) -> Following {
        let position = match part {
            Part::Log => self.topic.ring().join(),
            Part::Events => self.topic.head(),
        };
        let position = Arc::new(AtomicU32::new(position.get()));
        let mut followers = self.topic.followers();
        if followers.is_gone {
            wake_queue.post(ConnectionEvent::Close(WENT_BACK));
        }
        let index = followers.part(part).add(Subscription {
            wake_queue,
            slot,
            position: Arc::clone(&position),
        });
        drop(followers);
        Following {
            topic: Arc::clone(&self.topic),
            part,
            index,
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

    /// Gives frames after `cursor` to `sink` until it breaks off; see [`Pulled`]. Notes the position.
    pub fn pull(
        &self,
        cursor: &mut Seq,
        variant: &Arc<FrameVariant>,
        sink: impl FnMut(&Entry, Option<Bytes>) -> ControlFlow<()>,
    ) -> Pulled {
        let mut ring = self.topic.ring();
        let pulled = ring.pull(cursor, variant, sink);
        self.move_to(&mut ring, *cursor);
        pulled
    }

    /// Notes how far the subscription has read: the ring drops what all have read.
    pub fn note_position(&self, position: Seq) {
        if self.position() != position {
            self.move_to(&mut self.topic.ring(), position);
        }
    }

    fn move_to(&self, ring: &mut Ring, position: Seq) {
        let before = self.position();
        self.position.store(position.get(), Ordering::Relaxed);
        ring.note_moved(before, position);
    }

    fn position(&self) -> Seq {
        let position = self.position.load(Ordering::Relaxed);
        Seq::try_from(u64::from(position)).unwrap_or(Seq::ZERO)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if self.part == Part::Log {
            self.topic.ring().leave(self.position());
        }
        self.topic.followers().part(self.part).remove(self.index);
    }
}
