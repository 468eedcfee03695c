//! Judge of room lists: compares each member's list of rooms with the log of each room.
//!
//! Pure, like `judge`: a list's row is derived from the log, so its contents can be computed.
//! Lateness is not judged here: the caller gives the servers time first.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::clock::LocalDateTime;

use super::judge::{At, RoomHistory};

/// Unread messages are counted up to this.
const UNREAD_MAX: usize = 100;

/// A room in a member's list.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) chat_room_id: u32,
    pub(crate) last_message: Option<String>,
    pub(crate) last_message_at: LocalDateTime,
    pub(crate) unread_count: usize,
}

/// Lists by member, each by room.
pub(crate) type Lists = BTreeMap<u32, BTreeMap<u32, Row>>;

/// Read marks that members have set, by member and room.
pub(crate) type Marks = BTreeMap<(u32, u32), u64>;

/// A difference between a list and a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unlike {
    /// The room has a message, and the member's list does not have the room.
    Lacks { member: u32 },
    /// Another message than the newest, or one where there is none.
    Text {
        member: u32,
        shown: Option<String>,
        newest: Option<At>,
    },
    /// Another time than the newest message's.
    Time { member: u32, newest: At },
    /// Another count than that of the messages of others after the mark and the member's own.
    Unread {
        member: u32,
        shown: usize,
        expected: usize,
    },
}

impl Unlike {
    /// The kind, as results count it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Lacks { .. } => "list_lacks",
            Self::Text { .. } => "list_text",
            Self::Time { .. } => "list_time",
            Self::Unread { .. } => "list_unread",
        }
    }
}

/// All differences between a member's list and a room's log.
pub(crate) fn judge_row(
    history: &RoomHistory,
    member: u32,
    mark: u64,
    row: Option<&Row>,
) -> Vec<Unlike> {
    let newest = history.stored.last();
    let Some(row) = row else {
        let lacks = newest.map(|_| Unlike::Lacks { member });
        return lacks.into_iter().collect();
    };
    let mut unlike = Vec::new();
    if row.last_message != newest.map(|newest| newest.at.id.to_string()) {
        unlike.push(Unlike::Text {
            member,
            shown: row.last_message.clone(),
            newest: newest.map(|newest| newest.at),
        });
    }
    if let Some(newest) = newest
        && row.last_message_at != LocalDateTime::from_unix(newest.sent_at)
    {
        let newest = newest.at;
        unlike.push(Unlike::Time { member, newest });
    }
    let expected = unread(history, member, mark);
    if row.unread_count != expected {
        unlike.push(Unlike::Unread {
            member,
            shown: row.unread_count,
            expected,
        });
    }
    unlike
}

/// Unread messages; sending implies having read.
fn unread(history: &RoomHistory, member: u32, mark: u64) -> usize {
    let newest_first = history.stored.iter().rev().map(|entry| entry.at);
    let unread = newest_first.take_while(|at| at.seq > mark && at.id.member != member);
    unread.take(UNREAD_MAX).count()
}

#[cfg(test)]
mod tests {
    use shared::clock::UnixMillis;

    use super::super::judge::{Entry, SendId};
    use super::*;

    fn at(seq: u64) -> At {
        // Members 1 and 2 in turn.
        let number = u32::try_from(seq).unwrap();
        let member = 2 - number % 2;
        let id = SendId { member, number };
        At { seq, id }
    }

    fn history(entries: u64) -> RoomHistory {
        let entry = |seq: u64| Entry {
            at: at(seq),
            sent_at: UnixMillis::try_from(i64::try_from(seq).unwrap()).unwrap(),
        };
        RoomHistory {
            stored: (1..=entries).map(entry).collect(),
            ..RoomHistory::default()
        }
    }

    /// The row that is right after so many entries.
    fn row(entries: u64, unread_count: usize) -> Row {
        let newest = history(entries).stored.last().copied();
        let sent_at = newest.map_or(UnixMillis::EPOCH, |newest| newest.sent_at);
        Row {
            chat_room_id: 1,
            last_message: newest.map(|newest| newest.at.id.to_string()),
            last_message_at: LocalDateTime::from_unix(sent_at),
            unread_count,
        }
    }

    fn check(entries: u64, member: u32, mark: u64, row: &Row, expected: &[Unlike]) {
        let unlike = judge_row(&history(entries), member, mark, Some(row));
        assert_eq!(unlike, expected);
    }

    #[test]
    fn a_row_that_agrees_with_the_log_is_right() {
        check(4, 1, 0, &row(4, 1), &[]);
        check(4, 2, 0, &row(4, 0), &[]);
        check(4, 1, 4, &row(4, 0), &[]);
        check(4, 3, 1, &row(4, 3), &[]);
        check(0, 1, 0, &row(0, 0), &[]);
        check(120, 3, 5, &row(120, 100), &[]);
    }

    #[test]
    fn a_row_that_an_update_did_not_reach_is_wrong_in_everything() {
        let (member, newest) = (3, at(4));
        let text = Unlike::Text {
            member,
            shown: Some(at(3).id.to_string()),
            newest: Some(newest),
        };
        let time = Unlike::Time { member, newest };
        let unread = Unlike::Unread {
            member,
            shown: 3,
            expected: 4,
        };
        check(4, member, 0, &row(3, 3), &[text, time, unread]);
    }

    #[test]
    fn a_room_with_a_message_is_in_the_list() {
        let lacks = |entries| judge_row(&history(entries), 3, 0, None);
        assert_eq!(lacks(1), [Unlike::Lacks { member: 3 }]);
        assert_eq!(lacks(0), []);
    }
}
