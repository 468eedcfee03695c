//! Periodic reconciliation: finds entries whose publication was lost by comparing each topic's head
//! with the store.
//!
//! While the bus is up, each tick compares a slice of the topics with the heads that are noted on the
//! bus, and reads the store where they differ. A bus that lost its memory has no heads noted, so the
//! store is read for every topic once in a while, too. While the bus is away, the store is read for
//! all topics at each tick.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::Seq;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::State;
use super::heads::read_heads;
use super::topic::LiveTopic;
use crate::bus::BusState;
use crate::log::Topic;
use crate::metrics::HeadRead;

/// Time between two polls while the bus is away, by which entries of other nodes are late then.
/// While the bus is up, the time of one slice.
pub const WATCH_TICK: Duration = Duration::from_secs(2);

/// The topics are checked in so many slices: each once a minute, with a tick of two seconds.
const SLICES: u32 = 30;

/// In one of so many rounds the store is read for a topic whatever the bus has: once in 10 min.
const ROUNDS: u32 = 10;

/// Topics of one request to the bus.
const GROUP_MAX: usize = 500;

/// Selects the topics of one tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    slice: u32,
    round: u32,
}

impl Turn {
    pub(super) fn next(self) -> Self {
        match self.slice + 1 {
            SLICES => Self {
                slice: 0,
                round: (self.round + 1) % ROUNDS,
            },
            slice => Self { slice, ..self },
        }
    }

    fn is_for(self, topic: Topic) -> bool {
        topic.owner_id() % SLICES == self.slice
    }

    /// Whether the store is read for the topic whatever the bus has.
    fn is_thorough_for(self, topic: Topic) -> bool {
        self.is_for(topic) && topic.owner_id() / SLICES % ROUNDS == self.round
    }
}

/// Reconciles at every tick, for ever.
pub(super) async fn watch(state: &Arc<State>, tick: Duration) {
    let mut due = interval(tick);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turn = Turn::default();
    loop {
        due.tick().await;
        match state.parts.bus.state() {
            BusState::Up => {
                check_slice(state, turn).await;
                turn = turn.next();
            }
            BusState::Away => poll_heads(state).await,
        }
    }
}

/// Reads the heads of all topics from the store. Those it does not answer for are read next time.
async fn poll_heads(state: &Arc<State>) {
    let unknown = read_heads(state, state.topics.all(), HeadRead::Poll).await;
    unknown.iter().for_each(|live| live.require_head_check());
}

/// Checks the topics whose turn it is.
pub(super) async fn check_slice(state: &Arc<State>, turn: Turn) {
    let mut topics = state.topics.all();
    topics.retain(|live| turn.is_for(live.topic()));
    for group in topics.chunks(GROUP_MAX) {
        let suspects = suspects(state, group, turn).await;
        let unknown = read_heads(state, suspects, HeadRead::Check).await;
        unknown.iter().for_each(|live| live.require_head_check());
    }
}

/// Those of the group for which the store has to be read.
async fn suspects(state: &State, group: &[Arc<LiveTopic>], turn: Turn) -> Vec<Arc<LiveTopic>> {
    let names: Vec<Topic> = group.iter().map(|live| live.topic()).collect();
    let noted = match state.parts.bus.heads(&names).await {
        Ok(noted) => noted,
        Err(error) => {
            debug!("noted heads unknown: {error}");
            Vec::new()
        }
    };
    // Without an answer of the bus nothing follows, not even that no head is noted.
    let noted = noted.into_iter().map(Some);
    let noted = noted.chain(std::iter::repeat(None));
    let suspects = group.iter().zip(noted).filter(|(live, noted)| {
        let differs = noted.is_some_and(|noted: Option<Seq>| live.observe_noted_head(noted));
        let is_required = live.take_head_check();
        differs || is_required || turn.is_thorough_for(live.topic())
    });
    suspects.map(|(live, _)| Arc::clone(live)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use shared::ids::RoomId;

    use super::*;

    #[test]
    fn every_topic_has_a_turn_a_minute_and_a_thorough_one_in_ten() {
        let topic = |id: u32| Topic::Room(RoomId::try_from(u64::from(id)).unwrap());
        let (mut turn, mut turns) = (Turn::default(), HashMap::<u32, (u32, u32)>::new());
        let mut busiest = 0;
        for _ in 0..SLICES * ROUNDS {
            let of_slice = (1..=3_000).filter(|id| turn.is_for(topic(*id)));
            let of_slice: Vec<u32> = of_slice.collect();
            busiest = busiest.max(of_slice.len());
            for id in of_slice {
                let counts = turns.entry(id).or_default();
                counts.0 += 1;
                counts.1 += u32::from(turn.is_thorough_for(topic(id)));
            }
            turn = turn.next();
        }
        assert_eq!(turn, Turn::default(), "and from the beginning again");
        assert_eq!(turns.len(), 3_000);
        assert!(turns.values().all(|counts| *counts == (ROUNDS, 1)));
        assert_eq!(busiest, 100, "spread evenly");
        let [minute, ten] = [SLICES, SLICES * ROUNDS].map(|ticks| WATCH_TICK * ticks);
        assert_eq!((minute.as_secs(), ten.as_secs()), (60, 600));
    }
}
