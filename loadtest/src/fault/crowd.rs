//! The members of a run: who they are, what they are told to do, and what they bring home.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use shared::clock::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::board::{Board, State};
use super::error::FaultError;
use super::judge::RoomHistory;
use super::member::{Member, Memory, Order, Parts};
use super::whispers::{Whispers, quiet_rooms};

/// Rooms that each member is in. With half as many rooms as members a room has six.
pub(crate) const ROOMS_EACH: u32 = 3;

/// Orders a member has not followed yet.
const ORDERS_MAX: usize = 16;

/// How long everybody may take to connect, and after a fault until every room delivers again.
pub(crate) const BEGIN_MAX: Duration = Duration::from_secs(60);

/// How long it may take until every room delivers for the first time: replicas that have just
/// started are slow.
const FIRST_MAX: Duration = Duration::from_secs(240);

/// How long it may take, after traffic has stopped, until every send is settled.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// How long it may take until everything of a burst has a receipt.
const BURST_MAX: Duration = Duration::from_secs(300);

/// See the module.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) board: Board,
    orders: BTreeMap<u32, mpsc::Sender<Order>>,
    tasks: JoinSet<Memory>,
}

/// What makes a crowd.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    /// Their tokens; members count from 1.
    pub(crate) tokens: &'a [String],
    /// Rooms: the first, and how many.
    pub(crate) first_room: u32,
    pub(crate) rooms: u32,
    pub(crate) address: SocketAddr,
    pub(crate) send_every: Duration,
}

/// The rooms of a member, counted from the first.
pub(crate) fn rooms_of(member: u32, rooms: u32) -> Vec<u32> {
    let first = (member - 1) * ROOMS_EACH;
    let mut own: Vec<u32> = (first..first + ROOMS_EACH)
        .map(|room| room % rooms)
        .collect();
    own.sort_unstable();
    own.dedup();
    own
}

impl Crowd {
    /// They connect; nobody sends yet.
    pub(crate) fn start(plan: &Plan<'_>) -> Self {
        let board = Board::default();
        let quiet = quiet_rooms(plan.rooms).map(|room| plan.first_room + room);
        board.with(|s| s.quiet = quiet.collect());
        let mut orders = BTreeMap::new();
        let mut tasks = JoinSet::new();
        for (number, token) in (1..).zip(plan.tokens) {
            let rooms = rooms_of(number, plan.rooms).into_iter();
            let rooms: Vec<u32> = rooms.map(|room| plan.first_room + room).collect();
            board.with(|s| {
                for room in &rooms {
                    s.members_of.entry(*room).or_default().push(number);
                }
            });
            let (give, take) = mpsc::channel(ORDERS_MAX);
            orders.insert(number, give);
            let member = Member::new(Parts {
                number,
                token: token.clone(),
                address: plan.address,
                rooms,
                send_every: plan.send_every,
                board: board.clone(),
                orders: take,
            });
            tasks.spawn(member.run());
        }
        Self {
            board,
            orders,
            tasks,
        }
    }

    /// Everybody is connected and every room delivers.
    pub(crate) async fn until_begun(&self) -> Result<(), FaultError> {
        self.until_connected().await?;
        self.board.with(|s| {
            s.traffic = true;
            s.watch_deliveries(SystemClock.now());
        });
        self.board
            .until("every room delivers", FIRST_MAX, State::all_deliver)
            .await
    }

    /// Everybody has all subscriptions confirmed.
    pub(crate) async fn until_connected(&self) -> Result<(), FaultError> {
        let all = self.orders.len();
        let connected = |s: &State| s.node_of.len() == all;
        self.board
            .until("everybody is connected", BEGIN_MAX, connected)
            .await
    }

    /// Nobody has a send without a receipt, and everybody in a room has seen equally much of it.
    pub(crate) async fn until_level(&self) -> Result<(), FaultError> {
        let level = |s: &State| {
            s.open.is_empty()
                && s.bursting + s.whispering == 0
                && s.members_of.iter().all(|(room, members)| {
                    let seen = |member: &u32| s.seen.get(&(*member, *room));
                    let mut all = members.iter().map(seen);
                    let first = all.next();
                    all.all(|other| Some(other) == first)
                })
        };
        self.board
            .until("everybody is level", SETTLE_MAX, level)
            .await
    }

    /// Tells those that the condition picks.
    pub(crate) async fn order(&self, order: Order, picks: impl Fn(u32) -> bool) {
        for (_, member) in self.orders.iter().filter(|(member, _)| picks(**member)) {
            // A member that is gone has panicked, which its end will show.
            member.send(order).await.ok();
        }
    }

    /// Makes those send so many messages each, and waits until all of them have receipts. Nobody
    /// sends of his own accord meanwhile.
    pub(crate) async fn burst(
        &self,
        count: u32,
        picks: impl Fn(u32) -> bool,
    ) -> Result<(), FaultError> {
        let writers: BTreeSet<u32> = self
            .orders
            .keys()
            .copied()
            .filter(|member| picks(*member))
            .collect();
        let all = writers.len() as u64 * u64::from(count);
        let traffic = self.board.with(|s| {
            s.bursting += all;
            std::mem::replace(&mut s.traffic, false)
        });
        self.order(Order::Burst(count), &picks).await;
        let written = |s: &State| s.bursting == 0 && s.open.keys().all(|m| !writers.contains(m));
        self.board
            .until("a burst is written", BURST_MAX, written)
            .await?;
        self.board.with(|s| s.traffic = traffic);
        Ok(())
    }

    /// Who has the last messages of quiet rooms said.
    pub(crate) fn whispers(&self) -> Whispers {
        Whispers {
            board: self.board.clone(),
            orders: self.orders.clone(),
        }
    }

    /// Makes those go away, and waits until they are gone.
    pub(crate) async fn leave(&self, picks: impl Fn(u32) -> bool) -> Result<(), FaultError> {
        self.order(Order::Leave, &picks).await;
        let gone = |s: &State| !s.node_of.keys().any(|member| picks(*member));
        self.board.until("members have left", BEGIN_MAX, gone).await
    }

    /// Ends it: what was seen and sent, by room, without what the store has.
    ///
    /// # Errors
    /// A member was lost.
    pub(crate) async fn finish(mut self) -> Result<BTreeMap<u32, RoomHistory>, FaultError> {
        self.orders.clear();
        let mut rooms: BTreeMap<u32, RoomHistory> = BTreeMap::new();
        while let Some(memory) = self.tasks.join_next().await {
            let memory = memory.map_err(|_lost| FaultError::Unfit("a member panicked"))?;
            for (room, view) in memory.views {
                rooms.entry(room).or_default().views.push(view);
            }
            for (room, sent) in memory.sent {
                rooms.entry(room).or_default().sent.push(sent);
            }
        }
        Ok(rooms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_as_many_rooms_as_members_have_six_each() {
        let mut members = BTreeMap::<u32, u32>::new();
        for room in (1..=200).flat_map(|member| rooms_of(member, 100)) {
            *members.entry(room).or_default() += 1;
        }
        assert_eq!(members.len(), 100);
        assert!(members.values().all(|count| *count == 6), "{members:?}");
    }
}
