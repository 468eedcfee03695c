//! The clockwork of healing: what the bus did not tell is found in the store all the same.
//!
//! While the bus carries something, a check asks it for the heads last noted, a slice of the topics
//! at each tick, and the store where they differ from what is shown; what a bus that lost its
//! memory cannot know is found by asking the store for every topic in a while. While the bus is
//! away, the store is asked for all of them at each tick.

use std::sync::Arc;
use std::time::Duration;

use shared::ids::Seq;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use super::Hub;
use super::topic::LiveTopic;
use crate::bus::BusState;
use crate::log::Topic;
use crate::metrics::HeadRead;

/// Between two looks while the bus is away: what other nodes store comes this much later then.
/// While it is not, the time of one slice.
pub const WATCH_TICK: Duration = Duration::from_secs(2);

/// The topics are checked in so many slices: each once a minute, with a tick of two seconds.
const SLICES: u32 = 30;

/// In one of so many rounds the store is asked for a topic whatever the bus says: once in 10 min.
const ROUNDS: u32 = 10;

/// Topics of one question to the bus.
const GROUP_MAX: usize = 500;

/// Which topics are looked at next.
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

    /// Whether the store is asked for the topic whatever the bus says.
    fn is_thorough_for(self, topic: Topic) -> bool {
        self.is_for(topic) && topic.owner_id() / SLICES % ROUNDS == self.round
    }
}

impl Hub {
    /// PendingChecks for what was missed, at every tick ([`WATCH_TICK`]), for ever.
    pub async fn watch(&self, tick: Duration) {
        let mut due = interval(tick);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = Turn::default();
        loop {
            due.tick().await;
            match self.parts.bus.state() {
                BusState::Up => {
                    self.check_slice(turn).await;
                    turn = turn.next();
                }
                BusState::Away => self.poll_heads().await,
            }
        }
    }

    /// Whether the bus carries anything.
    #[must_use]
    pub fn bus_state(&self) -> BusState {
        self.parts.bus.state()
    }

    /// Asks the store for the heads of all topics. What it does not answer now is asked next time.
    async fn poll_heads(&self) {
        let all = self.all_live();
        let unknown = self.read_heads(all, HeadRead::Poll).await;
        unknown.iter().for_each(|live| live.require_head_check());
    }

    /// Checks the topics whose turn it is, and those that are owed a look.
    pub(super) async fn check_slice(&self, turn: Turn) {
        let mut topics = self.all_live();
        topics.retain(|live| turn.is_for(live.topic()));
        for group in topics.chunks(GROUP_MAX) {
            let suspects = self.suspects(group, turn).await;
            let unknown = self.read_heads(suspects, HeadRead::Check).await;
            unknown.iter().for_each(|live| live.require_head_check());
        }
    }

    /// Those of the group for which the store has to be asked.
    async fn suspects(&self, group: &[Arc<LiveTopic>], turn: Turn) -> Vec<Arc<LiveTopic>> {
        let names: Vec<Topic> = group.iter().map(|live| live.topic()).collect();
        let noted = match self.parts.bus.heads(&names).await {
            Ok(noted) => noted,
            Err(error) => {
                debug!("noted heads unknown: {error}");
                Vec::new()
            }
        };
        // Of what the bus does not answer for nothing is known, not even that nothing is noted.
        let noted = noted.into_iter().map(Some);
        let noted = noted.chain(std::iter::repeat(None));
        let suspects = group.iter().zip(noted).filter(|(live, noted)| {
            let differs = noted.is_some_and(|noted: Option<Seq>| live.observe_noted_head(noted));
            let is_owed = live.take_head_check();
            differs || is_owed || turn.is_thorough_for(live.topic())
        });
        suspects.map(|(live, _)| Arc::clone(live)).collect()
    }
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
