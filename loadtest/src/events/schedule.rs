//! Schedule of faults: which part is killed or frozen, when and for how long, drawn from a seed.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use shared::clock::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::site::{CHAT_NODES, Site};
use crate::fault::FaultError;
use crate::fault::process::Signal;

/// How long some market node may take until it holds the relay's lease: longer than the lease of one
/// that was killed.
const LEASE_MAX: Duration = Duration::from_secs(20);

/// The part with the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// The market node that holds the relay's lease.
    Relay,
    /// This chat node.
    Chat(usize),
    Redis,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Deed {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT.
    Freeze,
}

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blow {
    /// The pause before it.
    pub(crate) after: Duration,
    pub(crate) part: Part,
    pub(crate) deed: Deed,
    pub(crate) lasts: Duration,
}

/// How many faults of each kind, and how long pauses are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rhythm {
    pub(crate) relay_kills: usize,
    /// Of each chat node.
    pub(crate) chat_kills: usize,
    pub(crate) redis_kills: usize,
    pub(crate) relay_freezes: usize,
    pub(crate) chat_freezes: usize,
    pub(crate) redis_freezes: usize,
    /// Bounds of the pause before a fault, in milliseconds.
    pub(crate) pause_ms: (u64, u64),
    /// Bounds of how long a killed part is away, in milliseconds.
    pub(crate) away_ms: (u64, u64),
}

/// Longer than the lease of the relay: another node has taken over when it wakes.
const RELAY_FREEZE: Duration = Duration::from_secs(15);

/// Longer than members and the balancer take to leave a chat node, or nodes to notice a frozen Redis.
const FREEZE: Duration = Duration::from_secs(9);

impl Rhythm {
    pub(crate) const FULL: Self = Self {
        relay_kills: 10,
        chat_kills: 4,
        redis_kills: 8,
        relay_freezes: 3,
        chat_freezes: 3,
        redis_freezes: 2,
        pause_ms: (2_000, 8_000),
        away_ms: (300, 4_000),
    };

    pub(crate) const SHORT: Self = Self {
        relay_kills: 2,
        chat_kills: 1,
        redis_kills: 1,
        relay_freezes: 1,
        chat_freezes: 0,
        redis_freezes: 0,
        pause_ms: (500, 1_500),
        away_ms: (300, 1_500),
    };

    /// The faults, in an order that the seed decides.
    pub(crate) fn draw(&self, seed: u64) -> Vec<Blow> {
        let mut rng = StdRng::seed_from_u64(seed);
        let chats = |count: usize| (0..count * CHAT_NODES).map(|nth| Part::Chat(nth % CHAT_NODES));
        let kills = std::iter::repeat_n(Part::Relay, self.relay_kills)
            .chain(chats(self.chat_kills))
            .chain(std::iter::repeat_n(Part::Redis, self.redis_kills))
            .map(|part| (part, Deed::Kill));
        let freezes = std::iter::repeat_n(Part::Relay, self.relay_freezes)
            .chain(chats(self.chat_freezes).take(self.chat_freezes))
            .chain(std::iter::repeat_n(Part::Redis, self.redis_freezes))
            .map(|part| (part, Deed::Freeze));
        let mut deeds: Vec<_> = kills.chain(freezes).collect();
        deeds.shuffle(&mut rng);
        let blows = deeds.into_iter().map(|(part, deed)| {
            let mut between = |(from, to)| Duration::from_millis(rng.random_range(from..=to));
            Blow {
                after: between(self.pause_ms),
                part,
                deed,
                lasts: match (deed, part) {
                    (Deed::Kill, _) => between(self.away_ms),
                    (Deed::Freeze, Part::Relay) => RELAY_FREEZE,
                    (Deed::Freeze, Part::Chat(_) | Part::Redis) => FREEZE,
                },
            }
        });
        blows.collect()
    }
}

/// What was done to which node.
pub(crate) type Log = Vec<(Deed, String)>;

/// Carries the faults out, one after the other; each part is back before the next fault.
pub(crate) async fn carry_out(blows: &[Blow], site: &mut Site) -> Result<Log, FaultError> {
    let mut log = Log::new();
    for blow in blows {
        sleep(blow.after).await;
        let what = strike(*blow, site).await?;
        log.push((blow.deed, what));
    }
    Ok(log)
}

async fn strike(blow: Blow, site: &mut Site) -> Result<String, FaultError> {
    match blow.part {
        Part::Relay => {
            let number = until_relaying(site).await;
            let market = &mut site.markets[number];
            match blow.deed {
                Deed::Kill => {
                    market.kill().await?;
                    sleep(blow.lasts).await;
                    market.start().await?;
                }
                Deed::Freeze => {
                    market.signal(Signal::Stop).await?;
                    sleep(blow.lasts).await;
                    market.signal(Signal::Continue).await?;
                }
            }
            Ok(format!("market {number}"))
        }
        Part::Chat(node) => {
            match blow.deed {
                Deed::Kill => {
                    site.cluster.nodes[node].kill().await?;
                    sleep(blow.lasts).await;
                    site.cluster.start_node(node).await?;
                }
                Deed::Freeze => {
                    site.cluster.nodes[node].signal(Signal::Stop).await?;
                    sleep(blow.lasts).await;
                    site.cluster.nodes[node].signal(Signal::Continue).await?;
                }
            }
            Ok(format!("chat {node}"))
        }
        Part::Redis => {
            let redis = site.cluster.redis()?;
            match blow.deed {
                Deed::Kill => {
                    redis.kill().await?;
                    sleep(blow.lasts).await;
                    redis.restart().await?;
                }
                Deed::Freeze => {
                    redis.signal(Signal::Stop).await?;
                    sleep(blow.lasts).await;
                    redis.signal(Signal::Continue).await?;
                }
            }
            Ok("Redis".to_owned())
        }
    }
}

/// The node that relays, once there is one; the first if none does, as after the last purchase.
async fn until_relaying(site: &Site) -> usize {
    let began = SystemClock.now();
    while SystemClock.now().saturating_duration_since(began) < LEASE_MAX {
        if let Some(number) = site.relaying().await {
            return number;
        }
        sleep(Duration::from_millis(100)).await;
    }
    0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn each_part_is_killed_as_often_as_the_form_says() {
        for (rhythm, kills) in [(Rhythm::FULL, 30), (Rhythm::SHORT, 6)] {
            let blows = rhythm.draw(7);
            assert_eq!(blows, rhythm.draw(7));
            let mut counts = BTreeMap::<Part, usize>::new();
            for blow in blows.iter().filter(|blow| blow.deed == Deed::Kill) {
                *counts.entry(blow.part).or_default() += 1;
            }
            assert_eq!(counts.values().sum::<usize>(), kills);
            assert_eq!(counts[&Part::Relay], rhythm.relay_kills);
            assert_eq!(counts[&Part::Redis], rhythm.redis_kills);
            for node in 0..CHAT_NODES {
                assert_eq!(counts[&Part::Chat(node)], rhythm.chat_kills);
            }
        }
    }
}
