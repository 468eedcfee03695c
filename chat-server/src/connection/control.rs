//! Commands of administrators and of other nodes for the connections of this node, and the periodic
//! check of account statuses and ended sessions that makes up for commands that were lost.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use shared::ids::{MemberId, RoomId};
use stomp::CloseCode;
use tokio::sync::mpsc;
use tracing::debug;

use super::registry::Connections;
use crate::bus::{Bus, Control};
use crate::members::{MemberError, Members, StatusChange};
use crate::metrics::{ControlKind, Metrics};
use crate::rooms::Rooms;
use crate::store::AccountStatus;
use crate::wake_queue::CloseReason;

/// Time between two calls of [`NodeControl::check_slice`].
pub const MEMBERS_TICK: Duration = Duration::from_secs(5);

/// The members are checked in so many slices: each once a minute.
const SLICES: u32 = 12;

/// Members and rooms read from the store at a time.
const READS_AT_ONCE: usize = 16;

/// Rooms and members that wait for a check that another node has requested.
const CHECKS_MAX: usize = 1_024;

/// How connections end that an administrator closes: 1012, after which clients reconnect.
const DISCONNECTED: CloseReason = CloseReason {
    code: CloseCode(1012),
    text: "disconnected",
};

/// What [`NodeControl::new`] needs.
#[derive(Debug)]
pub struct NodeControlParts {
    /// Memberships.
    pub rooms: Arc<Rooms>,
    /// Account statuses.
    pub members: Arc<Members>,
    /// The list of all connections.
    pub connections: Arc<Connections>,
    /// Carries commands to the other nodes.
    pub bus: Arc<dyn Bus>,
    /// Counts commands.
    pub metrics: Arc<Metrics>,
}

/// Carries commands out.
#[derive(Debug)]
pub struct NodeControl {
    parts: NodeControlParts,
    checks: mpsc::Sender<Check>,
}

/// Checks that wait; see [`NodeControl::follow`].
#[derive(Debug)]
pub struct PendingChecks(mpsc::Receiver<Check>);

/// What has to be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Room(RoomId),
    Member(MemberId),
}

impl NodeControl {
    /// The receiver of commands, and the queue for [`NodeControl::follow`].
    #[must_use]
    pub fn new(parts: NodeControlParts) -> (Self, PendingChecks) {
        let (checks, waiting) = mpsc::channel(CHECKS_MAX);
        (Self { parts, checks }, PendingChecks(waiting))
    }

    /// Takes a command of another node. Reads from the store are left to [`NodeControl::follow`]: all
    /// other events of the bus wait for this call.
    pub async fn take(&self, control: Control) {
        let parts = &self.parts;
        match control {
            Control::RoomChanged { room_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::RoomChanged);
                parts.rooms.forget(room_id).await;
                self.check_later(Check::Room(room_id));
            }
            Control::AccountStatusChanged { member_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::AccountStatusChanged);
                self.take_standing(member_id).await;
            }
            Control::SessionRevoked { member_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::SessionRevoked);
                self.take_standing(member_id).await;
            }
            Control::ProfileChanged { member_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::ProfileChanged);
                parts.members.forget_profile(member_id).await;
            }
            Control::SeparationsChanged { member_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::SeparationsChanged);
                parts.members.forget_separations(member_id).await;
            }
            Control::Disconnect { member_id } => {
                parts
                    .metrics
                    .control_received
                    .count(ControlKind::Disconnect);
                parts.connections.close_member(member_id, DISCONNECTED);
            }
        }
    }

    /// Another node has blocked the member, or ended one of their sessions.
    async fn take_standing(&self, member: MemberId) {
        self.parts.members.forget_standing(member).await;
        if self.parts.connections.has_member(member) {
            self.check_later(Check::Member(member));
        }
    }

    /// Any command may have been missed: invalidates the caches.
    pub fn take_loss(&self) {
        self.parts.rooms.forget_all();
        self.parts.members.forget_all();
    }

    /// Checks rooms and members that other nodes have changed, for ever.
    pub async fn follow(&self, checks: PendingChecks) {
        let PendingChecks(waiting) = checks;
        let each = stream::unfold(waiting, async |mut waiting| {
            let check = waiting.recv().await?;
            Some((check, waiting))
        });
        // What cannot be read now is read at the next periodic check.
        each.for_each_concurrent(READS_AT_ONCE, async |check| match check {
            Check::Room(room) => {
                self.parts.rooms.reconciler().compare(room).await.ok();
            }
            Check::Member(member) => self.check(member).await,
        })
        .await;
    }

    /// Closes a member's connections, here and on all other nodes; how many there were here. The
    /// member may reconnect at once.
    pub fn disconnect(&self, member: MemberId) -> usize {
        tracing::info!(%member, "member {member} is disconnected by an administrator");
        self.parts
            .metrics
            .control_sent
            .count(ControlKind::Disconnect);
        let control = Control::Disconnect { member_id: member };
        self.parts.bus.publish_control(control);
        self.parts.connections.close_member(member, DISCONNECTED)
    }

    /// Sets a member's account status. The connections of a blocked member are closed, here at once;
    /// other nodes get the command, or detect the status within a minute.
    ///
    /// # Errors
    /// [`MemberError::Unavailable`]: the store has not stored it, or may have. A retry is harmless.
    pub async fn set_account_status(
        &self,
        member: MemberId,
        status: AccountStatus,
    ) -> Result<StatusChange, MemberError> {
        tracing::info!(%member, "an administrator sets the status of member {member}: {status:?}");
        self.parts.members.set_now(member, status).await
    }

    /// Reads the account status and the ended sessions of a twelfth of the members connected here.
    /// Called every [`MEMBERS_TICK`] with the next number, it leaves no blocked member and no ended
    /// session connected for more than a minute, however idle. While the store is unavailable no
    /// member is disconnected.
    pub async fn check_slice(&self, number: u32) {
        let slice = number % SLICES;
        let is_in = |member: MemberId| member.get() % SLICES == slice;
        let members = self.parts.connections.members(is_in);
        let checks = stream::iter(members);
        checks
            .for_each_concurrent(READS_AT_ONCE, |member| self.check(member))
            .await;
    }

    /// Closes those of the member's connections that the store says must not go on.
    async fn check(&self, member: MemberId) {
        let sessions = self.parts.connections.sessions(member);
        match self.parts.members.ended(member, sessions).await {
            Ok(ended) => {
                for ended in ended {
                    self.parts.connections.end(&ended);
                }
            }
            Err(error) => debug!(%member, "member {member} is checked again later: {error}"),
        }
    }

    fn check_later(&self, check: Check) {
        if self.checks.try_send(check).is_err() {
            self.parts.metrics.control_dropped.inc();
        }
    }
}
