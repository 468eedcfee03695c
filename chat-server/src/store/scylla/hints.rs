//! What is remembered of topics in use: where their newest bucket was, and whether the last server
//! asked did not answer. Hints only: nothing depends on their being right.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::log::Topic;

/// Topics of one generation: with two of them about 3 MiB, more topics than a node has busy at a
/// time. One that is not here costs a few more questions.
const GENERATION_TOPICS_MAX: usize = 65_536;

/// What is remembered of one topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hint {
    /// The newest bucket seen; `None` while none was.
    pub(super) bucket: Option<u32>,
    /// Questions since the last answer: the next one goes to another server.
    pub(super) unanswered: u8,
}

/// Two generations: what was not used while the young one filled is forgotten with the old one.
#[derive(Debug, Default)]
pub(super) struct Hints {
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Topic, Hint>,
    old: HashMap<Topic, Hint>,
}

impl Hints {
    pub(super) fn get(&self, topic: Topic) -> Hint {
        self.with(|generations| *generations.entry(topic))
    }

    /// The topic's newest bucket is this, and a server answered.
    pub(super) fn put(&self, topic: Topic, bucket: u32) {
        self.with(|generations| {
            *generations.entry(topic) = Hint {
                bucket: Some(bucket),
                unanswered: 0,
            };
        });
    }

    /// A question about the topic was not answered in time.
    pub(super) fn note_unanswered(&self, topic: Topic) {
        self.with(|generations| {
            let hint = generations.entry(topic);
            hint.unanswered = hint.unanswered.wrapping_add(1);
        });
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
    fn entry(&mut self, topic: Topic) -> &mut Hint {
        if self.young.len() >= GENERATION_TOPICS_MAX && !self.young.contains_key(&topic) {
            self.old = std::mem::take(&mut self.young);
        }
        let before = self.old.get(&topic).copied();
        self.young
            .entry(topic)
            .or_insert_with(|| before.unwrap_or_default())
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
            assert_eq!(hints.get(topic(0)).bucket, Some(7));
        }
        assert_eq!(hints.get(topic(1)), Hint::default());
        hints.with(|g| assert!(g.young.len() + g.old.len() <= 2 * GENERATION_TOPICS_MAX));
    }

    #[test]
    fn an_answer_ends_the_counting() {
        let hints = Hints::default();
        hints.note_unanswered(topic(0));
        hints.note_unanswered(topic(0));
        assert_eq!(hints.get(topic(0)).unanswered, 2);
        hints.put(topic(0), 3);
        assert_eq!(hints.get(topic(0)).unanswered, 0);
    }
}
