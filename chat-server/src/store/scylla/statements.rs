//! Prepared statements, each with its consistency, time-out and retry policy.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::errors::PrepareError;
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::prepared::PreparedStatement;

use super::cql::{self, LogCql};
use super::settings::{DataCenters, ScyllaSettings};
use crate::log::Topic;

/// After this time the request is sent to another server, too. Answers take a millisecond or two;
/// ten times what a busy server takes costs little, and a frozen one then costs no more than this.
const ASK_ANOTHER_AFTER: Duration = Duration::from_millis(100);

/// Servers tried besides the first: one of three may be away.
const ASK_OTHERS_MAX: usize = 2;

/// Execution profiles of the kinds of requests.
#[derive(Clone, Debug)]
struct Profiles {
    /// Reads, and writes that carry their timestamp: any number of times, anywhere.
    plain: ExecutionProfileHandle,
    /// Reads that finish appends under way: once, one server. Two that do so at a time hold each
    /// other up.
    settled: ExecutionProfileHandle,
    /// Appends: once. The caller knows how to repeat it.
    append: ExecutionProfileHandle,
}

impl Profiles {
    fn new(settings: &ScyllaSettings) -> Self {
        let (quorum, serial, read_serial) = match settings.reach {
            DataCenters::LocalQuorum => (
                Consistency::LocalQuorum,
                SerialConsistency::LocalSerial,
                Consistency::LocalSerial,
            ),
            DataCenters::Quorum => (
                Consistency::Quorum,
                SerialConsistency::Serial,
                Consistency::Serial,
            ),
        };
        let another = SimpleSpeculativeExecutionPolicy {
            max_retry_count: ASK_OTHERS_MAX,
            retry_interval: ASK_ANOTHER_AFTER,
        };
        let base = ExecutionProfile::builder()
            .request_timeout(Some(settings.answer_wait))
            .serial_consistency(Some(serial));
        let once = base.clone().retry_policy(Arc::new(FallthroughRetryPolicy));
        let plain = base
            .consistency(quorum)
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .speculative_execution_policy(Some(Arc::new(another)));
        Self {
            plain: plain.build().into_handle(),
            settled: once.clone().consistency(read_serial).build().into_handle(),
            append: once.consistency(quorum).build().into_handle(),
        }
    }
}

/// The statements of one kind of log.
#[derive(Debug)]
pub(super) struct LogStatements {
    pub(super) begin: PreparedStatement,
    pub(super) extend: PreparedStatement,
    pub(super) insert: PreparedStatement,
    pub(super) head: PreparedStatement,
    pub(super) head_settled: PreparedStatement,
    pub(super) read: PreparedStatement,
    pub(super) read_settled: PreparedStatement,
    pub(super) positions_settled: PreparedStatement,
    pub(super) find: PreparedStatement,
    pub(super) delete: PreparedStatement,
}

/// All statements, prepared once.
#[derive(Debug)]
pub(super) struct Statements {
    messages: LogStatements,
    inbox: LogStatements,
    pub(super) append_profile: ExecutionProfileHandle,
    pub(super) room: PreparedStatement,
    pub(super) put_room: PreparedStatement,
    pub(super) room_to_follow: PreparedStatement,
    pub(super) forget_left: PreparedStatement,
    pub(super) show_membership: PreparedStatement,
    pub(super) hide_membership: PreparedStatement,
    pub(super) memberships: PreparedStatement,
    pub(super) last_read: PreparedStatement,
    pub(super) mark_read: PreparedStatement,
    pub(super) room_head: PreparedStatement,
    pub(super) note_head: PreparedStatement,
    pub(super) status: PreparedStatement,
    pub(super) set_account_status: PreparedStatement,
    pub(super) record: PreparedStatement,
    pub(super) records: PreparedStatement,
    pub(super) put_record: PreparedStatement,
    pub(super) epoch: PreparedStatement,
    pub(super) set_epoch: PreparedStatement,
    pub(super) jumps: PreparedStatement,
    pub(super) note_jump: PreparedStatement,
}

impl Statements {
    /// Prepares them; the keyspace and its tables are there.
    #[expect(clippy::too_many_lines, reason = "a table, three lines each statement")]
    pub(super) async fn prepare(
        session: &Session,
        settings: &ScyllaSettings,
    ) -> Result<Self, PrepareError> {
        let keyspace = &settings.address.keyspace;
        let profiles = Profiles::new(settings);
        let plain = [
            cql::ROOM,
            cql::PUT_ROOM,
            cql::ROOM_TO_FOLLOW,
            cql::FORGET_LEFT,
            cql::SHOW_MEMBERSHIP,
            cql::HIDE_MEMBERSHIP,
            cql::MEMBERSHIPS,
            cql::LAST_READ,
            cql::MARK_READ,
            cql::ROOM_HEAD,
            cql::NOTE_HEAD,
            cql::ACCOUNT_STATUS,
            cql::SET_ACCOUNT_STATUS,
            cql::RECORD,
            cql::RECORDS,
            cql::PUT_RECORD,
            cql::EPOCH,
            cql::SET_EPOCH,
            cql::JUMPS,
            cql::NOTE_JUMP,
        ];
        let [
            room,
            put_room,
            room_to_follow,
            forget_left,
            show_membership,
            hide_membership,
            memberships,
            last_read,
            mark_read,
            room_head,
            note_head,
            status,
            set_account_status,
            record,
            records,
            put_record,
            epoch,
            set_epoch,
            jumps,
            note_jump,
        ] = prepare_all(session, keyspace, plain).await?;
        let plain = |statement| repeatable(statement, &profiles.plain);
        let log = |texts| LogStatements::prepare(session, keyspace, texts, &profiles);
        Ok(Self {
            messages: log(&cql::MESSAGES).await?,
            inbox: log(&cql::INBOX).await?,
            append_profile: profiles.append.clone(),
            room: plain(room),
            put_room: plain(put_room),
            room_to_follow: plain(room_to_follow),
            forget_left: plain(forget_left),
            show_membership: plain(show_membership),
            hide_membership: plain(hide_membership),
            memberships: plain(memberships),
            last_read: plain(last_read),
            mark_read: plain(mark_read),
            room_head: plain(room_head),
            note_head: plain(note_head),
            status: plain(status),
            set_account_status: plain(set_account_status),
            record: plain(record),
            records: plain(records),
            put_record: plain(put_record),
            epoch: plain(epoch),
            set_epoch: plain(set_epoch),
            jumps: plain(jumps),
            note_jump: plain(note_jump),
        })
    }

    /// Those of the topic's kind of log.
    pub(super) fn of(&self, topic: Topic) -> &LogStatements {
        match topic {
            Topic::Room(_) => &self.messages,
            Topic::Inbox(_) => &self.inbox,
        }
    }
}

impl LogStatements {
    async fn prepare(
        session: &Session,
        keyspace: &str,
        cql: &LogCql,
        profiles: &Profiles,
    ) -> Result<Self, PrepareError> {
        let texts = [
            cql.begin,
            cql.extend,
            cql.insert,
            cql.head,
            cql.read,
            cql.positions,
            cql.find,
            cql.delete,
        ];
        let [begin, extend, insert, head, read, positions, find, delete] =
            prepare_all(session, keyspace, texts).await?;
        Ok(Self {
            begin,
            extend,
            insert,
            head_settled: repeatable(head.clone(), &profiles.settled),
            head: repeatable(head, &profiles.plain),
            read_settled: repeatable(read.clone(), &profiles.settled),
            read: repeatable(read, &profiles.plain),
            positions_settled: repeatable(positions, &profiles.settled),
            find: repeatable(find, &profiles.plain),
            delete: repeatable(delete, &profiles.plain),
        })
    }
}

async fn prepare_all<const N: usize>(
    session: &Session,
    keyspace: &str,
    texts: [&'static str; N],
) -> Result<[PreparedStatement; N], PrepareError> {
    // Boxed: each of them is some kilobytes of state.
    let prepare =
        |text| -> BoxFuture<'_, _> { Box::pin(session.prepare(cql::within(keyspace, text))) };
    let prepared = try_join_all(texts.map(prepare)).await?;
    Ok(prepared.try_into().expect("as many as were asked for"))
}

fn repeatable(
    mut statement: PreparedStatement,
    profile: &ExecutionProfileHandle,
) -> PreparedStatement {
    statement.set_is_idempotent(true);
    statement.set_execution_profile_handle(Some(profile.clone()));
    statement
}
