//! Where the newest buckets of topics in use were. Hints only: nothing depends on their being
//! right.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::log::Topic;

/// Topics of one generation: with two of them about 2 MiB, more topics than a node has busy at a
/// time. A topic without a hint costs a few more reads.
const GENERATION_TOPICS_MAX: usize = 65_536;

/// Two generations: what was not used while the young one filled is forgotten with the old one.
#[derive(Debug, Default)]
pub(super) struct Hints {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Topic, u32>,
    old: HashMap<Topic, u32>,
}

impl Hints {
    /// The newest bucket seen.
    pub(super) fn get(&self, topic: Topic) -> Option<u32> {
        self.with(|generations| generations.get(topic))
    }

    pub(super) fn put(&self, topic: Topic, bucket: u32) {
        self.with(|generations| generations.put(topic, bucket));
    }

    fn with<T>(&self, act: impl FnOnce(&mut Generations) -> T) -> T {
        // Plain assignments under the lock: a panic elsewhere leaves nothing half done.
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        act(&mut generations)
    }
}

impl Generations {
    fn get(&mut self, topic: Topic) -> Option<u32> {
        if let Some(bucket) = self.young.get(&topic) {
            return Some(*bucket);
        }
        let bucket = self.old.get(&topic).copied()?;
        self.put(topic, bucket);
        Some(bucket)
    }

    fn put(&mut self, topic: Topic, bucket: u32) {
        if self.young.len() >= GENERATION_TOPICS_MAX && !self.young.contains_key(&topic) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(topic, bucket);
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::RoomId;

    use super::*;

    fn topic(number: usize) -> Topic {
        Topic::Room(RoomId::try_from(number as u64 + 1).unwrap())
    }

    #[test]
    fn used_hints_stay_and_others_go() {
        let hints = Hints::default();
        hints.put(topic(0), 7);
        hints.put(topic(1), 8);
        for number in 2..3 * GENERATION_TOPICS_MAX {
            hints.put(topic(number), 1);
            assert_eq!(hints.get(topic(0)), Some(7));
        }
        assert_eq!(hints.get(topic(1)), None);
        hints.with(|g| assert!(g.young.len() + g.old.len() <= 2 * GENERATION_TOPICS_MAX));
    }
}
