//! NodeControl of operators and of other nodes, and the look at who is connected that makes up for
//! orders that were lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::ids::{MemberId, RoomId};
use stomp::CloseCode;
use tokio::sync::mpsc;

use super::Connections;
use super::failure::BLOCKED;
use crate::bus::{Bus, Control};
use crate::members::{MemberError, Members};
use crate::metrics::{ControlKind, Metrics};
use crate::rooms::Rooms;
use crate::store::AccountStatus;

/// How often [`NodeControl::check_slice`] is to be called.
pub const MEMBERS_TICK: Duration = Duration::from_secs(5);

/// The members are looked at in so many slices: each once a minute.
const SLICES: u32 = 12;

/// Members and rooms read from the store at a time.
const READS_AT_ONCE: usize = 16;

/// Rooms and members that wait for a look because another node said so.
const CHECKS_MAX: usize = 1_024;

/// How connections end that an operator closes: 1012, after which clients come back.
const DISCONNECTED: (CloseCode, &str) = (CloseCode(1012), "disconnected");

/// What [`NodeControl`] uses.
#[derive(Debug)]
pub struct NodeControlParts {
    /// Who is in which room.
    pub rooms: Arc<Rooms>,
    /// Who is blocked.
    pub members: Arc<Members>,
    /// Who is connected.
    pub connections: Arc<Connections>,
    /// Tells the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Counts orders.
    pub metrics: Arc<Metrics>,
}

/// Carries orders out.
#[derive(Debug)]
pub struct NodeControl {
    parts: NodeControlParts,
    checks: mpsc::Sender<Check>,
}

/// PendingChecks that wait; see [`NodeControl::follow`].
#[derive(Debug)]
pub struct PendingChecks(mpsc::Receiver<Check>);

/// What has to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Room(RoomId),
    Member(MemberId),
}

impl NodeControl {
    /// What takes orders, and what has to be given to [`NodeControl::follow`].
    #[must_use]
    pub fn new(parts: NodeControlParts) -> (Self, PendingChecks) {
        let (checks, waiting) = mpsc::channel(CHECKS_MAX);
        (Self { parts, checks }, PendingChecks(waiting))
    }

    /// Takes an order of another node. What needs the store is done later, by [`NodeControl::follow`]:
    /// behind this call everything else waits that the bus brings.
    pub async fn take(&self, control: Control) {
        let parts = &self.parts;
        match control {
            Control::RoomChanged { room_id } => {
                parts
                    .metrics
                    .orders_received
                    .count(ControlKind::RoomChanged);
                parts.rooms.forget(room_id).await;
                self.check_later(Check::Room(room_id));
            }
            Control::AccountStatusChanged { member_id } => {
                parts
                    .metrics
                    .orders_received
                    .count(ControlKind::AccountStatusChanged);
                parts.members.forget(member_id).await;
                if parts.connections.has_member(member_id) {
                    self.check_later(Check::Member(member_id));
                }
            }
            Control::Disconnect { member_id } => {
                parts.metrics.orders_received.count(ControlKind::Disconnect);
                parts.connections.close_member(member_id, DISCONNECTED);
            }
        }
    }

    /// Anything may have been missed: nothing that is cached is believed any more.
    pub fn take_loss(&self) {
        self.parts.rooms.forget_all();
        self.parts.members.forget_all();
    }

    /// PendingChecks at rooms and members that others have changed, for ever.
    pub async fn follow(&self, checks: PendingChecks) {
        let PendingChecks(waiting) = checks;
        let each = stream::unfold(waiting, async |mut waiting| {
            let look = waiting.recv().await?;
            Some((look, waiting))
        });
        // What cannot be read now is read at the next periodic look.
        each.for_each_concurrent(READS_AT_ONCE, async |look| match look {
            Check::Room(room) => {
                self.parts.rooms.compare(room).await.ok();
            }
            Check::Member(member) => self.check(member).await,
        })
        .await;
    }

    /// Closes a member's connections, here and on all other nodes; how many they were here. The
    /// member may come back at once.
    pub fn disconnect(&self, member: MemberId) -> usize {
        tracing::info!(%member, "member {member} is disconnected by an operator");
        self.parts
            .metrics
            .orders_sent
            .count(ControlKind::Disconnect);
        let control = Control::Disconnect { member_id: member };
        self.parts.bus.publish_control(control);
        self.parts.connections.close_member(member, DISCONNECTED)
    }

    /// The member may, or may not, use the site from now on. Closes the connections of one who may
    /// not, here at once; other nodes are told, and find out by themselves within a minute. The
    /// standing that counts now, and how many connections were closed here.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store did not take it, or may have. Again is harmless.
    pub async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
    ) -> Result<(AccountStatus, usize), MemberError> {
        tracing::info!(%member, "an operator sets the status of member {member}: {status:?}");
        let counts = self.parts.members.set_now(member, status).await?;
        let closed = match counts {
            AccountStatus::Good => 0,
            AccountStatus::Blocked => self.close_blocked(member),
        };
        Ok((counts, closed))
    }

    /// PendingChecks anew at the standing of every twelfth of the members who are connected here. Called
    /// every [`MEMBERS_TICK`] with the next number, it leaves no blocked member connected for more
    /// than a minute, however idle. While the store is away everybody stays.
    pub async fn check_slice(&self, number: u32) {
        let slice = number % SLICES;
        let is_in = |member: MemberId| member.get() % SLICES == slice;
        let members = self.parts.connections.members(is_in);
        let checks = stream::iter(members);
        checks
            .for_each_concurrent(READS_AT_ONCE, |member| self.check(member))
            .await;
    }

    /// Closes the member's connections if the store says that they are blocked.
    async fn check(&self, member: MemberId) {
        match self.parts.members.check_now(member).await {
            Err(MemberError::Blocked(_)) => {
                self.close_blocked(member);
            }
            Ok(()) | Err(MemberError::Unavailable) => {}
        }
    }

    fn close_blocked(&self, member: MemberId) -> usize {
        self.parts.connections.close_member(member, BLOCKED)
    }

    fn check_later(&self, look: Check) {
        if self.checks.try_send(look).is_err() {
            self.parts.metrics.orders_dropped.inc();
        }
    }
}
