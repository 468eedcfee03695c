//! What operators see of the topics of a node.

use std::cmp::Reverse;
use std::collections::HashMap;

use tokio::task::yield_now;

use super::Hub;
use super::ring::RingSize;
use crate::log::Topic;

/// Topics looked at before others have their turn: some 100 µs where each has a few followers.
const TOPICS_AT_ONCE: usize = 128;

/// A node's topics, as they were while they were looked at one after the other.
#[derive(Clone, Debug, Default)]
pub struct HubSurvey {
    /// Topics followed here.
    pub topics: usize,
    /// Subscriptions to logs.
    pub followers: usize,
    /// Subscriptions to what happens beside a log.
    pub listeners: usize,
    /// What all rings have in memory together.
    pub rings: RingSize,
    /// Subscriptions that have something to pull.
    pub behind: usize,
    /// The topics with the greatest lag, greatest first.
    pub topics_behind: Vec<BehindTopic>,
    /// How many entries each connection that is behind has to pull, over all its subscriptions.
    pub connections_behind: HashMap<u64, u64>,
}

/// A topic that somebody has not pulled to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BehindTopic {
    /// Which.
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

impl Hub {
    /// PendingChecks at all topics, giving way to others now and then; names up to `limit` of those with
    /// the greatest lag. A topic is locked only while it is looked at.
    pub async fn survey(&self, limit: usize) -> HubSurvey {
        let mut survey = HubSurvey::default();
        for (at, live) in self.all_live().into_iter().enumerate() {
            if at % TOPICS_AT_ONCE == TOPICS_AT_ONCE - 1 {
                yield_now().await;
            }
            let (followers, listeners) = live.followers_count();
            let ring = live.ring_size();
            survey.topics += 1;
            survey.followers += followers;
            survey.listeners += listeners;
            survey.rings.entries += ring.entries;
            survey.rings.bytes += ring.bytes;
            survey.rings.held += ring.held;
            let (mut behind, mut lag_max) = (0, 0);
            live.each_behind(|owner, lag| {
                behind += 1;
                lag_max = lag_max.max(lag);
                if let Some(owner) = owner {
                    let sum = survey.connections_behind.entry(owner.connection);
                    *sum.or_default() += u64::from(lag);
                }
            });
            survey.behind += behind;
            if behind > 0 {
                survey.topics_behind.push(BehindTopic {
                    topic: live.topic(),
                    lag_max,
                    behind,
                    followers,
                    ring,
                });
            }
        }
        let order = |one: &BehindTopic| (Reverse(one.lag_max), one.topic);
        survey.topics_behind.sort_unstable_by_key(order);
        survey.topics_behind.truncate(limit);
        survey
    }
}
