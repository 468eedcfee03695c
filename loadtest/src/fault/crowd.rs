//! Crowd: starts the members of a run, gives them orders, and collects their histories.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use shared::clock::{Clock as _, SystemClock};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::board::{Board, State};
use super::error::FaultError;
use super::judge::RoomHistory;
use super::member::{Member, Order, Parts};
use super::record::Memory;
use super::whispers::{Whispers, quiet_rooms};

/// Rooms that each member is in. With half as many rooms as members a room has six.
pub(crate) const ROOMS_EACH: u32 = 3;

/// Orders queued for a member.
const ORDERS_MAX: usize = 16;

/// How long all members may take to connect, and every room to deliver again after a fault.
pub(crate) const BEGIN_MAX: Duration = Duration::from_secs(60);

/// How long every room may take to deliver for the first time: replicas that have just started are
/// slow.
const FIRST_MAX: Duration = Duration::from_secs(240);

/// How long every send may take to be settled after traffic has stopped.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// How long a burst may take until all its sends have receipts.
const BURST_MAX: Duration = Duration::from_secs(300);

/// The members of a run.
#[derive(Debug)]
pub(crate) struct Crowd {
    pub(crate) board: Board,
    orders: BTreeMap<u32, mpsc::Sender<Order>>,
    tasks: JoinSet<Memory>,
}

/// Parameters of a crowd.
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
    /// Starts the members: they connect, and none sends yet.
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

    /// Waits until all members are connected and every room delivers.
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

    /// Waits until all members have all subscriptions confirmed.
    pub(crate) async fn until_connected(&self) -> Result<(), FaultError> {
        let all = self.orders.len();
        let connected = |s: &State| s.node_of.len() == all;
        self.board
            .until("everybody is connected", BEGIN_MAX, connected)
            .await
    }

    /// Waits until no send is without a receipt, and all members of a room have seen the same
    /// position.
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

    /// Gives an order to the members that `picks` selects.
    pub(crate) async fn order(&self, order: Order, picks: impl Fn(u32) -> bool) {
        for (_, member) in self.orders.iter().filter(|(member, _)| picks(**member)) {
            // A member whose task has ended has panicked, which `finish` reports.
            member.send(order).await.ok();
        }
    }

    /// Orders the selected members to send so many messages each, and waits until all of them have
    /// receipts. There is no other traffic meanwhile.
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

    /// The orders for the last messages of quiet rooms.
    pub(crate) fn whispers(&self) -> Whispers {
        Whispers {
            board: self.board.clone(),
            orders: self.orders.clone(),
        }
    }

    /// Orders the selected members to disconnect, and waits until they have.
    pub(crate) async fn leave(&self, picks: impl Fn(u32) -> bool) -> Result<(), FaultError> {
        self.order(Order::Leave, &picks).await;
        let gone = |s: &State| !s.node_of.keys().any(|member| picks(*member));
        self.board.until("members have left", BEGIN_MAX, gone).await
    }

    /// Ends the crowd and returns what was seen and sent, by room, without the store's part.
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
