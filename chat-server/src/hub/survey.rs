//! Figures of a node's topics for operators.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::task::yield_now;

use super::ring::RingSize;
use super::topic::LiveTopic;
use crate::log::Topic;

/// Topics counted before other tasks have their turn: some 100 µs with a few subscriptions each.
const TOPICS_AT_ONCE: usize = 128;

/// A node's topics, counted one after the other.
#[derive(Clone, Debug, Default)]
pub struct HubSurvey {
    /// Topics with subscriptions here.
    pub topics: usize,
    /// Subscriptions to logs.
    pub followers: usize,
    /// Subscriptions to events that are not stored.
    pub listeners: usize,
    /// What all rings have in memory together.
    pub rings: RingSize,
    /// Subscriptions that have something to pull.
    pub behind: usize,
    /// The topics with the greatest lag, greatest first.
    pub topics_behind: Vec<BehindTopic>,
    /// Entries that each connection that is behind has to pull, over all its subscriptions.
    pub connections_behind: HashMap<u64, u64>,
}

/// A topic that a subscription has not pulled to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehindTopic {
    /// Its name.
    pub topic: Topic,
    /// Entries that the subscription furthest behind has to pull.
    pub lag_max: u32,
    /// Subscriptions that have something to pull.
    pub behind: usize,
    /// All subscriptions to the log.
    pub followers: usize,
    /// What its ring has in memory.
    pub ring: RingSize,
}

impl HubSurvey {
    /// Counts these topics, yielding to other tasks now and then; lists up to `limit` of those with
    /// the greatest lag. A topic is locked only while it is counted.
    pub(super) async fn of(topics: Vec<Arc<LiveTopic>>, limit: usize) -> Self {
        let mut survey = Self::default();
        for (at, live) in topics.into_iter().enumerate() {
            if at % TOPICS_AT_ONCE == TOPICS_AT_ONCE - 1 {
                yield_now().await;
            }
            survey.count(&live);
        }
        let order = |one: &BehindTopic| (Reverse(one.lag_max), one.topic);
        survey.topics_behind.sort_unstable_by_key(order);
        survey.topics_behind.truncate(limit);
        survey
    }

    fn count(&mut self, live: &LiveTopic) {
        let (followers, listeners) = live.followers_count();
        let ring = live.ring_size();
        self.topics += 1;
        self.followers += followers;
        self.listeners += listeners;
        self.rings.entries += ring.entries;
        self.rings.bytes += ring.bytes;
        self.rings.held += ring.held;
        let (mut behind, mut lag_max) = (0, 0);
        live.each_behind(|owner, lag| {
            behind += 1;
            lag_max = lag_max.max(lag);
            if let Some(owner) = owner {
                let sum = self.connections_behind.entry(owner.connection);
                *sum.or_default() += u64::from(lag);
            }
        });
        self.behind += behind;
        if behind > 0 {
            self.topics_behind.push(BehindTopic {
                topic: live.topic(),
                lag_max,
                behind,
                followers,
                ring,
            });
        }
    }
}
