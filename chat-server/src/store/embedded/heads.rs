//! Cache of the heads of recently used topics.
//!
//! Only the writer puts heads in, after they were committed: a reader that put in what it had read
//! could put back a head that has moved since, and the writer would compare with it.

use std::collections::HashMap;

use shared::ids::Seq;

use crate::log::Topic;

/// Topics of one generation: with two of them about 4 MiB, and more topics than one process has
/// busy at a time. A topic that is not here costs a read of the disk.
const GENERATION_TOPICS_MAX: usize = 65_536;

/// Two generations: what was not used while the young one filled is forgotten with the old one.
#[derive(Debug, Default)]
pub(super) struct Heads {
    young: HashMap<Topic, Seq>,
    old: HashMap<Topic, Seq>,
}

impl Heads {
    pub(super) fn get(&mut self, topic: Topic) -> Option<Seq> {
        if let Some(head) = self.young.get(&topic) {
            return Some(*head);
        }
        let head = self.old.get(&topic).copied()?;
        self.put(topic, head);
        Some(head)
    }

    pub(super) fn put(&mut self, topic: Topic, head: Seq) {
        if self.young.len() >= GENERATION_TOPICS_MAX && !self.young.contains_key(&topic) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(topic, head);
    }
}

#[cfg(test)]
mod tests {
    use shared::ids::RoomId;

    use super::*;

    fn topic(number: usize) -> Topic {
        Topic::Room(RoomId::try_from(number as u64 + 1).unwrap())
    }

    fn seq(number: u64) -> Seq {
        Seq::try_from(number).unwrap()
    }

    #[test]
    fn unused_heads_are_forgotten_and_used_ones_are_not() {
        let mut heads = Heads::default();
        heads.put(topic(0), seq(1));
        heads.put(topic(1), seq(1));
        for number in 2..3 * GENERATION_TOPICS_MAX {
            heads.put(topic(number), seq(1));
            assert_eq!(heads.get(topic(0)), Some(seq(1)));
        }
        assert_eq!(heads.get(topic(1)), None);
        assert!(heads.young.len() + heads.old.len() <= 2 * GENERATION_TOPICS_MAX);
    }

    #[test]
    fn newer_head_hides_the_old_generation() {
        let mut heads = Heads::default();
        heads.put(topic(0), seq(1));
        for number in 1..=GENERATION_TOPICS_MAX {
            heads.put(topic(number), seq(1));
        }
        heads.put(topic(0), seq(2));
        assert_eq!(heads.get(topic(0)), Some(seq(2)));
        for number in 1..=GENERATION_TOPICS_MAX {
            heads.put(topic(number), seq(1));
        }
        assert_eq!(heads.get(topic(0)), Some(seq(2)));
    }
}
