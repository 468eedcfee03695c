//! Judge: compares what members saw and were promised with the store.
//!
//! Pure: histories in, violations out, so that tests can feed it invented histories with every
//! violation. It is the same for all faults and does not judge durations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use shared::clock::UnixMillis;

/// One send of one member, the same however often it is sent again. Its text is the client message
/// id, the receipt id and the text of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SendId {
    pub(crate) member: u32,
    /// Counted from 1 per member.
    pub(crate) number: u32,
}

/// The text is not the name of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoSendId;

/// A message at one position of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) seq: u64,
    pub(crate) id: SendId,
}

/// An entry at one position of a room in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) at: At,
    pub(crate) sent_at: UnixMillis,
}

/// A send, and whether its sender holds a receipt for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) id: SendId,
    pub(crate) receipt: bool,
}

/// What one member received of a room, in order of arrival, over all its connections.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) member: u32,
    pub(crate) seen: Vec<At>,
}

/// The whole history of a room after the run has settled. Views begin at position 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct RoomHistory {
    /// In the order of the store.
    pub(crate) stored: Vec<Entry>,
    pub(crate) sent: Vec<Sent>,
    pub(crate) views: Vec<View>,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// Stored, but never delivered to the member.
    Missing { member: u32, at: At },
    /// Delivered twice to the same member.
    Doubled { member: u32, at: At },
    /// Positions on a subscription rise by one; this one did not follow the one before.
    OutOfOrder { member: u32, after: u64, at: At },
    /// The member received another message than the one stored at that position.
    Differs { member: u32, at: At },
    /// The member received a message that is not stored.
    Phantom { member: u32, at: At },
    /// A receipt for a message that is not stored.
    FalseReceipt { id: SendId },
    /// A send without any outcome after the run has settled.
    NoReceipt { id: SendId },
    /// Stored more than once.
    StoredTwice { id: SendId },
    /// The store's positions are not dense from 1.
    Hole { seq: u64 },
    /// Stored, but never sent to this room.
    Unsent { at: At },
    /// A member's sends to a room are stored in the order of sending; this one was sent before that
    /// one, and first stored after it.
    SendOrder { after: SendId, at: At },
    /// Times never fall within a room; this one is earlier than that of the entry before it.
    TimeFalls { seq: u64 },
}

impl fmt::Display for SendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}-{}", self.member, self.number)
    }
}

impl FromStr for SendId {
    type Err = NoSendId;

    fn from_str(text: &str) -> Result<Self, NoSendId> {
        let numbers = text.strip_prefix('m').and_then(|text| text.split_once('-'));
        let (member, number) = numbers.ok_or(NoSendId)?;
        match (member.parse(), number.parse()) {
            (Ok(member), Ok(number)) => Ok(Self { member, number }),
            _ => Err(NoSendId),
        }
    }
}

impl Violation {
    /// The kind, as results count it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Doubled { .. } => "doubled",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::Differs { .. } => "differs",
            Self::Phantom { .. } => "phantom",
            Self::FalseReceipt { .. } => "false_receipt",
            Self::NoReceipt { .. } => "no_receipt",
            Self::StoredTwice { .. } => "stored_twice",
            Self::Hole { .. } => "hole",
            Self::Unsent { .. } => "unsent",
            Self::SendOrder { .. } => "send_order",
            Self::TimeFalls { .. } => "time_falls",
        }
    }
}

/// Every promise that this room's history breaks.
pub(crate) fn judge(room: &RoomHistory) -> Vec<Violation> {
    let mut violations = Vec::new();
    judge_store(room, &mut violations);
    judge_order(room, &mut violations);
    judge_receipts(room, &mut violations);
    let stored = room.stored.iter().map(|entry| entry.at);
    let stored: BTreeMap<u64, SendId> = stored.map(|at| (at.seq, at.id)).collect();
    for view in &room.views {
        judge_view(view, &stored, &mut violations);
    }
    violations
}

fn judge_store(room: &RoomHistory, violations: &mut Vec<Violation>) {
    let sent: BTreeSet<SendId> = room.sent.iter().map(|sent| sent.id).collect();
    let mut known = BTreeSet::new();
    let mut next = 1;
    for Entry { at, .. } in &room.stored {
        if at.seq != next {
            violations.push(Violation::Hole { seq: next });
        }
        next = at.seq + 1;
        if !known.insert(at.id) {
            violations.push(Violation::StoredTwice { id: at.id });
        }
        if !sent.contains(&at.id) {
            violations.push(Violation::Unsent { at: *at });
        }
    }
}

/// Numbers of sends rise per member, and times rise or stay. An entry that is stored twice counts
/// at its first position.
fn judge_order(room: &RoomHistory, violations: &mut Vec<Violation>) {
    let mut known = BTreeSet::new();
    let mut newest = BTreeMap::<u32, SendId>::new();
    let mut latest = UnixMillis::EPOCH;
    for Entry { at, sent_at } in room.stored.iter().copied() {
        if sent_at < latest {
            violations.push(Violation::TimeFalls { seq: at.seq });
        }
        latest = latest.max(sent_at);
        if !known.insert(at.id) {
            continue;
        }
        let newest = newest.entry(at.id.member).or_insert(at.id);
        if at.id < *newest {
            violations.push(Violation::SendOrder { after: *newest, at });
        }
        *newest = at.id.max(*newest);
    }
}

fn judge_receipts(room: &RoomHistory, violations: &mut Vec<Violation>) {
    let stored: BTreeSet<SendId> = room.stored.iter().map(|entry| entry.at.id).collect();
    for Sent { id, receipt } in room.sent.iter().copied() {
        if !receipt {
            violations.push(Violation::NoReceipt { id });
        } else if !stored.contains(&id) {
            violations.push(Violation::FalseReceipt { id });
        }
    }
}

fn judge_view(view: &View, stored: &BTreeMap<u64, SendId>, violations: &mut Vec<Violation>) {
    let member = view.member;
    let mut known = BTreeSet::new();
    let mut after = 0;
    for at in view.seen.iter().copied() {
        if !known.insert(at.seq) {
            violations.push(Violation::Doubled { member, at });
            continue;
        }
        if at.seq != after + 1 {
            violations.push(Violation::OutOfOrder { member, after, at });
        }
        after = at.seq;
        match stored.get(&at.seq) {
            None => violations.push(Violation::Phantom { member, at }),
            Some(id) if *id != at.id => violations.push(Violation::Differs { member, at }),
            Some(_) => {}
        }
    }
    let missing = stored.iter().filter(|(seq, _)| !known.contains(seq));
    violations.extend(missing.map(|(seq, id)| Violation::Missing {
        member,
        at: At { seq: *seq, id: *id },
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> SendId {
        SendId { member: 1, number }
    }

    fn at(seq: u64, number: u32) -> At {
        At {
            seq,
            id: id(number),
        }
    }

    fn entry(at: At) -> Entry {
        let sent_at = UnixMillis::try_from(i64::try_from(at.seq).unwrap()).unwrap();
        Entry { at, sent_at }
    }

    /// Two members, four messages, nothing wrong.
    fn sound() -> RoomHistory {
        let stored: Vec<At> = (1..=4).map(|n| at(u64::from(n), n)).collect();
        let sent = (1..=4).map(|n| Sent {
            id: id(n),
            receipt: true,
        });
        let view = |member| View {
            member,
            seen: stored.clone(),
        };
        RoomHistory {
            sent: sent.collect(),
            views: vec![view(1), view(2)],
            stored: stored.iter().copied().map(entry).collect(),
        }
    }

    fn check(spoil: impl FnOnce(&mut RoomHistory), expected: &[Violation]) {
        let mut room = sound();
        spoil(&mut room);
        assert_eq!(judge(&room), expected);
    }

    #[test]
    fn a_sound_history_breaks_nothing() {
        check(|_| (), &[]);
        assert_eq!(judge(&RoomHistory::default()), []);
    }

    #[test]
    fn what_a_member_never_saw_is_missing() {
        let missing = Violation::Missing {
            member: 2,
            at: at(4, 4),
        };
        check(|room| room.views[1].seen.truncate(3), &[missing]);
    }

    #[test]
    fn a_member_who_saw_nothing_misses_everything() {
        let missing = |n| Violation::Missing {
            member: 1,
            at: at(n, u32::try_from(n).unwrap()),
        };
        check(
            |room| room.views[0].seen.clear(),
            &[missing(1), missing(2), missing(3), missing(4)],
        );
    }

    #[test]
    fn a_gap_that_is_never_filled_is_out_of_order_and_missing() {
        let out_of_order = Violation::OutOfOrder {
            member: 1,
            after: 1,
            at: at(3, 3),
        };
        let missing = Violation::Missing {
            member: 1,
            at: at(2, 2),
        };
        check(
            |room| room.views[0].seen.retain(|at| at.seq != 2),
            &[out_of_order, missing],
        );
    }

    #[test]
    fn what_comes_twice_is_doubled() {
        let doubled = Violation::Doubled {
            member: 2,
            at: at(2, 2),
        };
        check(|room| room.views[1].seen.insert(3, at(2, 2)), &[doubled]);
    }

    #[test]
    fn two_that_changed_places_are_out_of_order() {
        let wrong = |after, seq, number| Violation::OutOfOrder {
            member: 1,
            after,
            at: at(seq, number),
        };
        check(
            |room| room.views[0].seen.swap(1, 2),
            &[wrong(1, 3, 3), wrong(3, 2, 2), wrong(2, 4, 4)],
        );
    }

    #[test]
    fn another_message_at_a_position_differs_from_the_store() {
        let differs = Violation::Differs {
            member: 1,
            at: at(3, 2),
        };
        check(|room| room.views[0].seen[2].id = id(2), &[differs]);
    }

    #[test]
    fn what_the_store_does_not_have_is_a_phantom() {
        let phantom = Violation::Phantom {
            member: 2,
            at: at(5, 5),
        };
        check(|room| room.views[1].seen.push(at(5, 5)), &[phantom]);
    }

    #[test]
    fn a_receipt_without_an_entry_is_false() {
        let sent = Sent {
            id: id(9),
            receipt: true,
        };
        check(
            |room| room.sent.push(sent),
            &[Violation::FalseReceipt { id: id(9) }],
        );
    }

    #[test]
    fn an_entry_lost_after_it_was_shown_is_told_by_receipt_and_views() {
        let phantom = |member| Violation::Phantom {
            member,
            at: at(4, 4),
        };
        check(
            |room| room.stored.truncate(3),
            &[
                Violation::FalseReceipt { id: id(4) },
                phantom(1),
                phantom(2),
            ],
        );
    }

    #[test]
    fn a_send_nobody_answered_has_no_receipt() {
        check(
            |room| room.sent[1].receipt = false,
            &[Violation::NoReceipt { id: id(2) }],
        );
    }

    #[test]
    fn a_resend_that_was_stored_again_is_stored_twice() {
        let spoil = |room: &mut RoomHistory| {
            room.stored.push(entry(at(5, 1)));
            for view in &mut room.views {
                view.seen.push(at(5, 1));
            }
        };
        check(spoil, &[Violation::StoredTwice { id: id(1) }]);
    }

    #[test]
    fn a_position_the_store_lacks_is_a_hole() {
        let spoil = |room: &mut RoomHistory| {
            room.stored.remove(1);
            room.sent.remove(1);
            for view in &mut room.views {
                view.seen.remove(1);
            }
        };
        let out_of_order = |member| Violation::OutOfOrder {
            member,
            after: 1,
            at: at(3, 3),
        };
        check(
            spoil,
            &[Violation::Hole { seq: 2 }, out_of_order(1), out_of_order(2)],
        );
    }

    #[test]
    fn an_entry_that_nobody_sent_is_told() {
        let spoil = |room: &mut RoomHistory| {
            room.sent.pop();
        };
        check(spoil, &[Violation::Unsent { at: at(4, 4) }]);
    }

    #[test]
    fn a_later_send_that_is_stored_before_an_earlier_one_is_out_of_order() {
        let spoil = |room: &mut RoomHistory| {
            for (seq, number) in [(2, 3), (3, 2)] {
                room.stored[seq - 1].at.id = id(number);
                for view in &mut room.views {
                    view.seen[seq - 1].id = id(number);
                }
            }
        };
        let wrong = Violation::SendOrder {
            after: id(3),
            at: at(3, 2),
        };
        check(spoil, &[wrong]);
    }

    #[test]
    fn a_send_that_was_stored_twice_counts_where_it_came_first() {
        let spoil = |room: &mut RoomHistory| {
            room.stored.push(entry(at(5, 2)));
            for view in &mut room.views {
                view.seen.push(at(5, 2));
            }
        };
        check(spoil, &[Violation::StoredTwice { id: id(2) }]);
    }

    #[test]
    fn a_time_before_the_one_before_it_falls() {
        let same = |room: &mut RoomHistory| room.stored[2].sent_at = room.stored[1].sent_at;
        check(same, &[]);
        let earlier = |room: &mut RoomHistory| room.stored[2].sent_at = UnixMillis::EPOCH;
        check(earlier, &[Violation::TimeFalls { seq: 3 }]);
    }

    #[test]
    fn send_ids_are_read_as_they_are_written() {
        let id = SendId {
            member: 12,
            number: 345,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "m1", "1-2", "m1-", "m-1", "m1-2-3", "mx-1"] {
            assert_eq!(text.parse::<SendId>(), Err(NoSendId), "{text}");
        }
    }
}
