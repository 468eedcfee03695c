//! A topic while somebody on this node follows it: its ring and who pulls from it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use shared::ids::Seq;
use tokio::sync::OnceCell;

use super::frame::Form;
use super::mailbox::{Letter, Mailbox, Slot};
use super::ring::{Pulled, Ring, Taken};
use crate::log::{Entry, Topic};

/// Who follows, by a place that stays the same.
#[derive(Debug, Default)]
struct Places {
    places: Vec<Option<(Arc<Mailbox>, Slot)>>,
    free: Vec<usize>,
}

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
}

/// A subscription's place at a topic; dropping it leaves the topic.
#[derive(Debug)]
pub struct Following {
    topic: Arc<LiveTopic>,
    part: Part,
    place: usize,
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
        };
        Self {
            topic,
            ring: Mutex::new(Ring::new(topic)),
            followers: Mutex::new(followers),
            begun: OnceCell::new(),
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

    /// Gives frames after `cursor` to `sink` until it breaks off; see [`Pulled`].
    pub fn pull(
        &self,
        cursor: &mut Seq,
        form: &Arc<Form>,
        sink: impl FnMut(&Entry, Option<Bytes>) -> ControlFlow<()>,
    ) -> Pulled {
        self.ring().pull(cursor, form, sink)
    }

    pub(super) fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the ring, then wakes those who have something to pull.
    pub(super) fn change(&self, change: impl FnOnce(&mut Ring) -> Taken) {
        let taken = change(&mut self.ring());
        if taken == Taken::Grew {
            for (mailbox, slot) in self.followers().log.places.iter().flatten() {
                mailbox.mark(*slot);
            }
        }
    }

    /// Leaves an event with everybody who listens; returns how many were too full for it.
    pub(super) fn post_event(&self, body: &Bytes) -> u64 {
        let followers = self.followers();
        let listening = followers.events.places.iter().flatten();
        let missed = listening.filter(|(mailbox, slot)| !mailbox.post_event(*slot, body.clone()));
        missed.count() as u64
    }

    /// Leaves a letter with everybody who follows anything of the topic.
    pub(super) fn post_all(&self, letter: impl Fn() -> Letter) {
        let followers = self.followers();
        let all = followers.log.places.iter().chain(&followers.events.places);
        for (mailbox, _) in all.flatten() {
            mailbox.post(letter());
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

impl Places {
    fn add(&mut self, mailbox: Arc<Mailbox>, slot: Slot) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.places[place] = Some((mailbox, slot));
                place
            }
            None => {
                self.places.push(Some((mailbox, slot)));
                self.places.len() - 1
            }
        }
    }

    fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl Joining {
    pub(super) fn topic(&self) -> &Arc<LiveTopic> {
        &self.topic
    }

    /// Ends the join with a follower.
    pub(super) fn add(self, mailbox: Arc<Mailbox>, slot: Slot, part: Part) -> Following {
        let place = self.topic.followers().part(part).add(mailbox, slot);
        Following {
            topic: Arc::clone(&self.topic),
            part,
            place,
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
}

impl Drop for Following {
    fn drop(&mut self) {
        self.topic.followers().part(self.part).remove(self.place);
    }
}
