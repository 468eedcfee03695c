//! Cache of the heads of recently used topics, for the writer to compare with and for reads of
//! heads. A topic that is not in it costs a read of the disk.
//!
//! Only the writer puts heads in, after they were committed: a reader that put in what it had read
//! could put back a head that has moved since, and the writer would compare with it.

use quick_cache::sync::Cache;
use shared::ids::Seq;

use crate::log::Topic;

/// About 6 MiB when full, and more topics than one process has busy at a time.
const TOPICS_MAX: usize = 80_000;

/// The newest committed position of each topic.
pub(super) type Heads = Cache<Topic, Seq>;

/// An empty cache.
pub(super) fn empty() -> Heads {
    Cache::new(TOPICS_MAX)
}

#[cfg(test)]
mod tests {
    use shared::ids::RoomId;

    use super::*;

    fn topic(number: usize) -> Topic {
        Topic::Room(RoomId::try_from(number as u64 + 1).unwrap())
    }

    /// An older head would let an append in behind entries that are there.
    #[test]
    fn cached_head_is_the_newest_or_none() {
        let heads = empty();
        for number in 1..3 * TOPICS_MAX {
            let head = Seq::try_from(number as u64).unwrap();
            heads.insert(topic(number), head);
            heads.insert(topic(number % 100), head);
            let cached = heads.get(&topic(number % 100));
            assert!(cached.is_none_or(|cached| cached == head));
        }
        assert!(heads.len() <= TOPICS_MAX);
    }
}
