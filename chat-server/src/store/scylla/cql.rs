//! CQL texts of the store, all in one file, so that a test can check them against the syntax that
//! both ScyllaDB and Apache Cassandra accept.
//!
//! Tables are named as `{keyspace}.table`, and [`within`] puts the keyspace in: a statement that is
//! prepared without one means another table wherever the session uses another keyspace, of which
//! Cassandra warns with each. Values are `?` markers, bound by position, never null. Only
//! [`LogCql::begin`] and [`LogCql::extend`] are conditional.

/// Created in this order, each `IF NOT EXISTS`; a start reads the names of existing tables first.
///
/// All have `speculative_retry = '50ms'`, which both servers support: a server that waits for
/// another one sends the request to a third after that time. By default it does so after a share of
/// past latencies, or, of a table that is not busy, after half its own time-out, later than a node
/// waits. With one of three frozen or just dead that made all appends fail until the others had
/// noticed, which takes ten seconds; the driver cannot help, as conditional requests go to one
/// server alone.
pub(super) const TABLES: [(&str, &str); 9] = [
    (
        "messages",
        "CREATE TABLE IF NOT EXISTS {keyspace}.messages (room_id int, bucket int, seq int, \
         head int static, uid blob, kind tinyint, sender_id int, client_message_id text, \
         headers frozen<list<frozen<tuple<text, text>>>>, content_type text, body blob, \
         sent_at timestamp, deleted boolean, PRIMARY KEY ((room_id, bucket), seq)) \
         WITH CLUSTERING ORDER BY (seq DESC) AND speculative_retry = '50ms'",
    ),
    (
        "inbox",
        "CREATE TABLE IF NOT EXISTS {keyspace}.inbox (member_id int, bucket int, seq int, \
         head int static, uid blob, kind tinyint, sender_id int, client_message_id text, \
         headers frozen<list<frozen<tuple<text, text>>>>, content_type text, body blob, \
         sent_at timestamp, deleted boolean, PRIMARY KEY ((member_id, bucket), seq)) \
         WITH CLUSTERING ORDER BY (seq DESC) AND speculative_retry = '50ms'",
    ),
    (
        "rooms",
        // One cell is the whole room: of two that are put at once one stays whole, also if their
        // timestamps are the same, where several cells would be decided one by one.
        "CREATE TABLE IF NOT EXISTS {keyspace}.rooms (room_id int PRIMARY KEY, room blob, \
         once_in set<int>) WITH speculative_retry = '50ms'",
    ),
    (
        "room_heads",
        "CREATE TABLE IF NOT EXISTS {keyspace}.room_heads (room_id int PRIMARY KEY, seq int, body text, \
         sent_at timestamp) WITH speculative_retry = '50ms'",
    ),
    (
        "rooms_by_member",
        "CREATE TABLE IF NOT EXISTS {keyspace}.rooms_by_member (member_id int, room_id int, \
         role tinyint, hidden boolean, last_read int, PRIMARY KEY ((member_id), room_id)) \
         WITH speculative_retry = '50ms'",
    ),
    (
        "members",
        "CREATE TABLE IF NOT EXISTS {keyspace}.members (member_id int PRIMARY KEY, name text, image text, \
         blocked boolean) WITH speculative_retry = '50ms'",
    ),
    (
        "member_records",
        "CREATE TABLE IF NOT EXISTS {keyspace}.member_records (member_id int, key text, value blob, \
         PRIMARY KEY ((member_id), key)) WITH speculative_retry = '50ms'",
    ),
    (
        "epochs",
        "CREATE TABLE IF NOT EXISTS {keyspace}.epochs (id int PRIMARY KEY, epoch bigint) \
         WITH speculative_retry = '50ms'",
    ),
    (
        "log_jumps",
        "CREATE TABLE IF NOT EXISTS {keyspace}.log_jumps (kind tinyint, owner int, epoch bigint, \
         target int, head int, PRIMARY KEY ((kind, owner), epoch)) \
         WITH speculative_retry = '50ms'",
    ),
];

/// Which tables of a keyspace are there.
pub(super) const TABLE_NAMES: &str =
    "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ?";

/// The server's release.
pub(super) const RELEASE: &str = "SELECT release_version FROM system.local WHERE key = 'local'";

/// A text with the keyspace put in, whose name has been checked: small letters, digits and `_`.
pub(super) fn within(keyspace: &str, text: &str) -> String {
    text.replace("{keyspace}", keyspace)
}

/// Before the names of data centres with their factors, as [`keyspace`] writes them.
const CREATE_KEYSPACE: &str = "CREATE KEYSPACE IF NOT EXISTS ";
const REPLICATION: &str = " WITH replication = {'class': 'NetworkTopologyStrategy'";

/// Only for ScyllaDB, whose conditional statements need a keyspace without tablets before 2025.4;
/// Cassandra rejects the option.
const SCYLLA_OVERLAY: &str = " AND tablets = {'enabled': false}";

/// On which server a keyspace is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// CQL that both servers accept.
    Common,
    /// With options that only ScyllaDB accepts.
    Scylla,
}

/// The statement that creates a keyspace. The names have been checked: they are letters, digits,
/// `_`, `-` and `.`.
pub(super) fn keyspace(name: &str, factors: &[(String, u8)], dialect: Dialect) -> String {
    let mut text = format!("{CREATE_KEYSPACE}{name}{REPLICATION}");
    for (datacenter, factor) in factors {
        text.push_str(&format!(", '{datacenter}': {factor}"));
    }
    text.push('}');
    if dialect == Dialect::Scylla {
        text.push_str(SCYLLA_OVERLAY);
    }
    text
}

/// The statements of one kind of log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogCql {
    /// The head of an append that is the first of its bucket.
    pub(super) begin: &'static str,
    /// The head of every other append.
    pub(super) extend: &'static str,
    /// An entry of an append.
    pub(super) insert: &'static str,
    /// A bucket's head.
    pub(super) head: &'static str,
    /// Entries of a bucket, newest first.
    pub(super) read: &'static str,
    /// Which positions of a bucket have an entry, newest first.
    pub(super) positions: &'static str,
    /// Whether an entry is there, and how long yet.
    pub(super) find: &'static str,
    /// Marks an entry; a time to live of 0 is none.
    pub(super) delete: &'static str,
}

macro_rules! log_cql {
    ($table:literal, $owner:literal, $using:literal) => {
        LogCql {
            begin: concat!(
                "UPDATE {keyspace}.",
                $table,
                " SET head = ? WHERE ",
                $owner,
                " = ? AND bucket = ? \
                 IF head = null"
            ),
            extend: concat!(
                "UPDATE {keyspace}.",
                $table,
                " SET head = ? WHERE ",
                $owner,
                " = ? AND bucket = ? \
                 IF head = ?"
            ),
            insert: concat!(
                "INSERT INTO {keyspace}.",
                $table,
                " (",
                $owner,
                ", bucket, seq, uid, kind, sender_id, \
                 client_message_id, headers, content_type, body, sent_at) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                $using
            ),
            head: concat!(
                "SELECT DISTINCT head FROM {keyspace}.",
                $table,
                " WHERE ",
                $owner,
                " = ? AND bucket = ?"
            ),
            read: concat!(
                "SELECT seq, uid, kind, sender_id, client_message_id, headers, content_type, body, \
                 sent_at, deleted FROM {keyspace}.",
                $table,
                " WHERE ",
                $owner,
                " = ? AND bucket = ? \
                 AND seq >= ? AND seq <= ?"
            ),
            positions: concat!(
                "SELECT seq, uid FROM {keyspace}.",
                $table,
                " WHERE ",
                $owner,
                " = ? AND bucket = ? \
                 AND seq >= ? AND seq <= ?"
            ),
            find: concat!(
                "SELECT uid, TTL(uid) AS seconds_left FROM {keyspace}.",
                $table,
                " WHERE ",
                $owner,
                " = ? \
                 AND bucket = ? AND seq = ?"
            ),
            delete: concat!(
                "UPDATE {keyspace}.",
                $table,
                " USING TIMESTAMP ? AND TTL ? SET deleted = true WHERE ",
                $owner,
                " = ? AND bucket = ? AND seq = ?"
            ),
        }
    };
}

/// The entries of rooms, without an expiry.
pub(super) const MESSAGES: LogCql = log_cql!("messages", "room_id", "");

/// Notices and alarms: 90 days. `head` has no time to live, so that positions are not given twice.
pub(super) const INBOX: LogCql = log_cql!("inbox", "member_id", " USING TTL 7776000");

/// A room.
pub(super) const ROOM: &str = "SELECT room FROM {keyspace}.rooms WHERE room_id = ?";

/// Writes a room and adds its members to the set of all it ever had.
pub(super) const PUT_ROOM: &str = "UPDATE {keyspace}.rooms USING TIMESTAMP ? \
     SET room = ?, once_in = once_in + ? WHERE room_id = ?";

/// The room, its write time, and the members whose memberships may have to follow it.
pub(super) const ROOM_TO_FOLLOW: &str =
    "SELECT room, WRITETIME(room) AS written, once_in FROM {keyspace}.rooms WHERE room_id = ?";

/// Removes members whose memberships are hidden from that set.
pub(super) const FORGET_LEFT: &str =
    "UPDATE {keyspace}.rooms USING TIMESTAMP ? SET once_in = once_in - ? WHERE room_id = ?";

/// A membership of a current member.
pub(super) const SHOW_MEMBERSHIP: &str = "UPDATE {keyspace}.rooms_by_member USING TIMESTAMP ? \
     SET role = ?, hidden = false WHERE member_id = ? AND room_id = ?";

/// A membership of a former member. The row stays, for its read mark.
pub(super) const HIDE_MEMBERSHIP: &str = "UPDATE {keyspace}.rooms_by_member USING TIMESTAMP ? \
     SET hidden = true WHERE member_id = ? AND room_id = ?";

/// The rooms of a member.
pub(super) const MEMBERSHIPS: &str =
    "SELECT room_id, role, hidden, last_read FROM {keyspace}.rooms_by_member WHERE member_id = ?";

/// A read mark.
pub(super) const LAST_READ: &str =
    "SELECT last_read FROM {keyspace}.rooms_by_member WHERE member_id = ? AND room_id = ?";

/// Moves a read mark; its timestamp is the position, so the greatest wins. The only statement that
/// writes this column.
pub(super) const MARK_READ: &str = "UPDATE {keyspace}.rooms_by_member USING TIMESTAMP ? \
     SET last_read = ? WHERE member_id = ? AND room_id = ?";

/// A room's newest message.
pub(super) const ROOM_HEAD: &str =
    "SELECT seq, body, sent_at FROM {keyspace}.room_heads WHERE room_id = ?";

/// Notes a room's newest message; its timestamp is the position, so the greatest wins.
pub(super) const NOTE_HEAD: &str = "UPDATE {keyspace}.room_heads USING TIMESTAMP ? \
     SET seq = ?, body = ?, sent_at = ? WHERE room_id = ?";

/// Whether a member is shut out.
pub(super) const ACCOUNT_STATUS: &str =
    "SELECT blocked FROM {keyspace}.members WHERE member_id = ?";

/// Sets it; its timestamp is when it was decided, so the latest wins.
pub(super) const SET_ACCOUNT_STATUS: &str =
    "UPDATE {keyspace}.members USING TIMESTAMP ? SET blocked = ? WHERE member_id = ?";

/// A record of a member.
pub(super) const RECORD: &str =
    "SELECT value FROM {keyspace}.member_records WHERE member_id = ? AND key = ?";

/// The records of a member between two keys, at most so many.
pub(super) const RECORDS: &str = "SELECT key, value FROM {keyspace}.member_records \
     WHERE member_id = ? AND key >= ? AND key < ? LIMIT ?";

/// Writes one; the greatest timestamp wins. A row exists while its value does.
pub(super) const PUT_RECORD: &str = "UPDATE {keyspace}.member_records USING TIMESTAMP ? AND TTL ? \
     SET value = ? WHERE member_id = ? AND key = ?";

/// The store's epoch.
pub(super) const EPOCH: &str = "SELECT epoch FROM {keyspace}.epochs WHERE id = ?";

/// Sets it; its timestamp is the epoch, so the greatest wins.
pub(super) const SET_EPOCH: &str =
    "UPDATE {keyspace}.epochs USING TIMESTAMP ? SET epoch = ? WHERE id = ?";

/// Where a log has jumped.
pub(super) const JUMPS: &str =
    "SELECT epoch, target, head FROM {keyspace}.log_jumps WHERE kind = ? AND owner = ?";

/// Notes where a log jumps to; its timestamp falls with the target, so the smallest wins.
pub(super) const NOTE_JUMP: &str = "UPDATE {keyspace}.log_jumps USING TIMESTAMP ? \
     SET target = ?, head = ? WHERE kind = ? AND owner = ? AND epoch = ?";

#[cfg(test)]
mod tests {
    use super::*;

    fn of_log(log: LogCql) -> Vec<&'static str> {
        let LogCql {
            begin,
            extend,
            insert,
            head,
            read,
            positions,
            find,
            delete,
        } = log;
        vec![begin, extend, insert, head, read, positions, find, delete]
    }

    /// The texts of this file that statements are made of. `nothing_else_is_sent` sees to it that
    /// they are all.
    fn all() -> Vec<String> {
        let factors = [("dc-1".to_owned(), 3), ("dc.2".to_owned(), 2)];
        let tables = TABLES.iter().map(|(_, text)| *text);
        let logs = [MESSAGES, INBOX].into_iter().flat_map(of_log);
        let others = [
            TABLE_NAMES,
            RELEASE,
            ROOM,
            PUT_ROOM,
            ROOM_TO_FOLLOW,
            FORGET_LEFT,
            SHOW_MEMBERSHIP,
            HIDE_MEMBERSHIP,
            MEMBERSHIPS,
            LAST_READ,
            MARK_READ,
            ROOM_HEAD,
            NOTE_HEAD,
            ACCOUNT_STATUS,
            SET_ACCOUNT_STATUS,
            RECORD,
            RECORDS,
            PUT_RECORD,
            EPOCH,
            SET_EPOCH,
            JUMPS,
            NOTE_JUMP,
        ];
        let mut all: Vec<String> = tables
            .chain(logs)
            .chain(others)
            .map(str::to_owned)
            .collect();
        all.push(keyspace("chat", &factors, Dialect::Common));
        all
    }

    fn is_conditional(text: &str) -> bool {
        text.contains(" IF ") && !text.contains(" IF NOT EXISTS ")
    }

    #[test]
    fn statements_stay_within_what_both_servers_know() {
        // Each with why: one server lacks it, they differ in it, or it is a trap in both.
        let denied = [
            "ALLOW FILTERING",
            "COUNTER",
            "MATERIALIZED VIEW",
            "CREATE INDEX",
            "CUSTOM INDEX",
            "SIMPLESTRATEGY",
            "PERCENTILE",
            "DEFAULT_TIME_TO_LIVE",
            "GC_GRACE_SECONDS",
            "READ_REPAIR",
            "CACHING",
            "MEMTABLE",
            "PER_PARTITION_RATE_LIMIT",
            "SYNCHRONOUS_UPDATES",
            "BYPASS CACHE",
            "USING TIMEOUT",
            "TABLETS",
            "UNIFIEDCOMPACTIONSTRATEGY",
            "VECTOR<",
            "MASKED",
            "TRIGGER",
            "FUNCTION",
            "AGGREGATE",
            "DELETE ",
            "TRUNCATE",
            "DROP ",
            " IN (",
            "TOKEN(",
            "LIKE ",
            ":",
            "= NULL WHERE",
        ];
        for text in all() {
            let upper = text.to_uppercase();
            // The colons of a map are no named markers.
            let upper = upper.replace("': ", "' ");
            for word in denied {
                assert!(!upper.contains(word), "{word} in: {text}");
            }
        }
    }

    #[test]
    fn every_table_is_named_with_its_keyspace() {
        let before_a_table = [
            "FROM ",
            "UPDATE ",
            "INSERT INTO ",
            "CREATE TABLE IF NOT EXISTS ",
        ];
        for text in all() {
            let tables = before_a_table
                .into_iter()
                .flat_map(|words| text.split(words).skip(1));
            for table in tables {
                let is_whole = table.starts_with("{keyspace}.") || table.starts_with("system");
                assert!(is_whole, "{text}");
            }
        }
        assert_eq!(
            within("chat", ROOM),
            "SELECT room FROM chat.rooms WHERE room_id = ?"
        );
    }

    #[test]
    fn servers_do_not_wait_for_one_another() {
        for (table, text) in TABLES {
            assert!(text.ends_with("speculative_retry = '50ms'"), "{table}");
        }
    }

    #[test]
    fn conditional_statements_are_those_of_the_append_alone() {
        let conditional: Vec<_> = all()
            .into_iter()
            .filter(|text| is_conditional(text))
            .collect();
        let of_appends = [MESSAGES, INBOX].map(|log| [log.begin.to_owned(), log.extend.to_owned()]);
        assert_eq!(conditional, of_appends.concat());
    }

    #[test]
    fn plain_writes_name_their_timestamp() {
        for text in all() {
            let is_write = text.starts_with("UPDATE") || text.starts_with("INSERT");
            let is_of_append = is_conditional(&text) || text.starts_with("INSERT");
            if is_write {
                let says = text.contains("USING TIMESTAMP ?");
                assert_eq!(says, !is_of_append, "{text}");
            }
        }
    }

    #[test]
    fn only_the_mark_writes_read_marks() {
        let marks: Vec<_> = all()
            .into_iter()
            .filter(|text| text.starts_with("UPDATE") && text.contains("last_read"))
            .collect();
        assert_eq!(marks, [MARK_READ]);
    }

    #[test]
    fn overlay_is_for_scylla_only() {
        let factors = [("dc1".to_owned(), 3)];
        assert_eq!(
            keyspace("chat", &factors, Dialect::Scylla),
            "CREATE KEYSPACE IF NOT EXISTS chat WITH replication = \
             {'class': 'NetworkTopologyStrategy', 'dc1': 3} AND tablets = {'enabled': false}"
        );
    }

    #[test]
    fn nothing_else_is_sent() {
        // Statements are made of this file's constants; no other file of the store has CQL in it.
        let others = [
            include_str!("../scylla.rs"),
            include_str!("epochs.rs"),
            include_str!("fault.rs"),
            include_str!("gaps.rs"),
            include_str!("logs.rs"),
            include_str!("members.rs"),
            include_str!("rooms.rs"),
            include_str!("route.rs"),
            include_str!("rows.rs"),
            include_str!("schema.rs"),
            include_str!("search.rs"),
            include_str!("session.rs"),
            include_str!("settings.rs"),
            include_str!("statements.rs"),
        ];
        for word in ["SELECT ", "UPDATE ", "INSERT ", "CREATE ", "ALTER ", "USE "] {
            for file in others {
                let code = file
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                let quoted = format!("\"{word}");
                assert!(
                    code.clone().all(|line| !line.contains(&quoted)),
                    "{word}: {}",
                    &file[..60]
                );
            }
        }
        // And those of this file are in `all`.
        let here = include_str!("cql.rs");
        let code = here.split("#[cfg(test)]").next().unwrap();
        let written = code.matches("pub(super) const ").count();
        let in_all = ["TABLES", "MESSAGES", "INBOX"].len() + 22;
        assert_eq!(written, in_all, "a new constant has to be added to `all`");
    }
}
