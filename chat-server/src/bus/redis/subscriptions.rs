//! Subscriptions of this node: topics wanted, topics confirmed, and the callers that wait.
//!
//! Callers change the set of wanted topics; one task (`session.rs`) subscribes and unsubscribes, a
//! batch at a time, which keeps the commands for one channel in order. Nothing here uses Redis.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::log::Topic;

/// The topics of a node. Everything is bounded by the number of topics in its hub.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the bus delivers.
    is_up: bool,
    wanted: HashSet<Topic>,
    /// Confirmed on the present connection, and not being left.
    heard: HashSet<Topic>,
    /// What may have to be subscribed or left; each once.
    changed: HashSet<Topic>,
    /// Callers that wait for the confirmation. A dropped sender ends their wait with an error.
    waiting: HashMap<Topic, Vec<oneshot::Sender<()>>>,
}

/// The state of a topic's subscription.
#[derive(Debug)]
pub(super) enum SubscribeState {
    /// It is confirmed.
    Heard,
    /// It will be subscribed once the bus is back.
    Away,
    /// It will be confirmed here; an error means that the bus went away.
    Soon(oneshot::Receiver<()>),
}

/// What is to be done next; nothing else is until it is [`Subscriptions::done`].
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) subscribe: Vec<Topic>,
    pub(super) leave: Vec<Topic>,
}

impl Subscriptions {
    pub(super) fn subscribe(&self, topic: Topic) -> SubscribeState {
        let mut state = self.lock();
        state.wanted.insert(topic);
        if state.is_up && state.heard.contains(&topic) {
            return SubscribeState::Heard;
        }
        state.changed.insert(topic);
        if !state.is_up {
            return SubscribeState::Away;
        }
        let (sender, receiver) = oneshot::channel();
        let waiting = state.waiting.entry(topic).or_default();
        waiting.retain(|other| !other.is_closed());
        waiting.push(sender);
        drop(state);
        self.changed.notify_one();
        SubscribeState::Soon(receiver)
    }

    pub(super) fn unsubscribe(&self, topic: Topic) {
        let mut state = self.lock();
        state.wanted.remove(&topic);
        state.waiting.remove(&topic);
        state.changed.insert(topic);
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn wants(&self, topic: Topic) -> bool {
        self.lock().wanted.contains(&topic)
    }

    /// Ends when [`take`](Self::take) may have something.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What to do next, about so many topics at most.
    pub(super) fn take(&self, topics_max: usize) -> Option<Plan> {
        let mut state = self.lock();
        let mut plan = Plan::default();
        while !state.changed.is_empty() && plan == Plan::default() {
            let batch: Vec<Topic> = state.changed.iter().take(topics_max).copied().collect();
            for topic in batch {
                state.changed.remove(&topic);
                state.plan(topic, &mut plan);
            }
        }
        (plan != Plan::default()).then_some(plan)
    }

    /// The plan was carried out and confirmed.
    pub(super) fn done(&self, plan: Plan) {
        let mut state = self.lock();
        for topic in plan.subscribe {
            state.heard.insert(topic);
            state.confirm(topic);
        }
    }

    /// No subscription is left: everything wanted has to be subscribed anew.
    pub(super) fn begin_anew(&self) {
        let mut state = self.lock();
        state.heard.clear();
        state.changed = state.wanted.clone();
    }

    /// The bus delivers from now on, if everything wanted is confirmed; returns whether it is.
    pub(super) fn go_up(&self) -> bool {
        let mut state = self.lock();
        state.is_up = state.changed.is_empty();
        state.is_up
    }

    /// The bus delivers nothing; the wanted topics stay.
    pub(super) fn go_away(&self) {
        let mut state = self.lock();
        state.is_up = false;
        state.heard.clear();
        state.waiting.clear();
    }

    pub(super) fn wants_nothing(&self) -> bool {
        self.lock().wanted.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each step leaves consistent sets: a topic in `changed` is planned again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn plan(&mut self, topic: Topic, plan: &mut Plan) {
        match (self.wanted.contains(&topic), self.heard.contains(&topic)) {
            (true, true) => self.confirm(topic),
            (true, false) => plan.subscribe.push(topic),
            (false, true) => {
                self.heard.remove(&topic);
                plan.leave.push(topic);
            }
            (false, false) => {}
        }
    }

    fn confirm(&mut self, topic: Topic) {
        for waiting in self.waiting.remove(&topic).into_iter().flatten() {
            // Fails if the caller is gone, which then needs no answer.
            waiting.send(()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::RoomId;

    use super::*;

    fn topic(number: u64) -> Topic {
        Topic::Room(RoomId::try_from(number).unwrap())
    }

    fn up() -> Subscriptions {
        let subscriptions = Subscriptions::default();
        assert!(subscriptions.go_up());
        subscriptions
    }

    fn soon(asked: SubscribeState) -> oneshot::Receiver<()> {
        match asked {
            SubscribeState::Soon(receiver) => receiver,
            SubscribeState::Heard | SubscribeState::Away => {
                panic!("expected to wait, got {asked:?}")
            }
        }
    }

    /// The next plan subscribes and leaves just these.
    fn take(subscriptions: &Subscriptions, subscribe: &[Topic], leave: &[Topic]) -> Plan {
        let plan = subscriptions.take(512).unwrap();
        assert_eq!((&*plan.subscribe, &*plan.leave), (subscribe, leave));
        plan
    }

    #[test]
    fn confirmed_when_done_and_at_once_from_then_on() {
        let subscriptions = up();
        let (mut first, mut second) = (
            soon(subscriptions.subscribe(topic(1))),
            soon(subscriptions.subscribe(topic(1))),
        );
        let plan = take(&subscriptions, &[topic(1)], &[]);
        assert!(first.try_recv().is_err());
        subscriptions.done(plan);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(matches!(
            subscriptions.subscribe(topic(1)),
            SubscribeState::Heard
        ));
        assert_eq!(subscriptions.take(512), None);
    }

    #[test]
    fn left_and_wanted_again_meanwhile_is_subscribed_again() {
        let subscriptions = up();
        drop(subscriptions.subscribe(topic(1)));
        subscriptions.done(take(&subscriptions, &[topic(1)], &[]));
        subscriptions.unsubscribe(topic(1));
        let leaving = take(&subscriptions, &[], &[topic(1)]);
        let mut again = soon(subscriptions.subscribe(topic(1)));
        subscriptions.done(leaving);
        assert!(again.try_recv().is_err(), "the leaving confirms nothing");
        subscriptions.done(take(&subscriptions, &[topic(1)], &[]));
        assert!(again.try_recv().is_ok());
    }

    #[test]
    fn left_while_being_subscribed_is_left_afterwards() {
        let subscriptions = up();
        drop(subscriptions.subscribe(topic(1)));
        let plan = take(&subscriptions, &[topic(1)], &[]);
        subscriptions.unsubscribe(topic(1));
        assert!(!subscriptions.wants(topic(1)));
        subscriptions.done(plan);
        take(&subscriptions, &[], &[topic(1)]);
    }

    #[test]
    fn going_away_fails_who_waits_and_keeps_what_is_wanted() {
        let subscriptions = up();
        let mut waiting = soon(subscriptions.subscribe(topic(1)));
        subscriptions.go_away();
        assert!(matches!(
            waiting.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        ));
        assert!(matches!(
            subscriptions.subscribe(topic(2)),
            SubscribeState::Away
        ));
        subscriptions.begin_anew();
        assert!(!subscriptions.go_up(), "not before all is heard");
        let mut plan = subscriptions.take(512).unwrap();
        plan.subscribe.sort();
        assert_eq!(plan.subscribe, [topic(1), topic(2)]);
        subscriptions.done(plan);
        assert!(subscriptions.go_up());
        assert!(matches!(
            subscriptions.subscribe(topic(2)),
            SubscribeState::Heard
        ));
    }

    #[test]
    fn plans_are_no_larger_than_asked() {
        let subscriptions = up();
        (1..=1_000).for_each(|number| drop(subscriptions.subscribe(topic(number))));
        let sizes: Vec<_> = std::iter::from_fn(|| subscriptions.take(512))
            .map(|plan| plan.subscribe.len())
            .collect();
        assert_eq!(sizes, [512, 488]);
    }
}
