//! Judge: compares each member's inbox with the committed trades.
//!
//! Pure: records in, violations out, so that tests can feed it altered records. It does not judge durations.

use std::collections::{BTreeMap, BTreeSet};

/// Which side of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Buyer,
    Seller,
}

/// Start or end of a booking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Start,
    End,
}

/// What an entry reports, as far as the database can confirm it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Report {
    /// The buyer's side of a purchase, by the buyer's trade.
    Bought(u32),
    /// A seller's side of a purchase, by the seller's trades, ascending.
    Sold(Vec<u32>),
    /// An offer without anything left.
    SoldOut(u32),
    /// A notification about a booking, by the buyer's trade.
    Booking(u32, Side, Phase),
    /// The timer of a booking, on the destination of alarms.
    Alarm(u32, Phase),
    /// Anything else, as text.
    Other(String),
}

/// An entry of an inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The message id: the member and the position.
    pub(crate) id: u64,
    pub(crate) report: Report,
}

impl Entry {
    pub(crate) fn is_alarm(&self) -> bool {
        matches!(self.report, Report::Alarm(..))
    }
}

/// What the committed trades say about one inbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Each of them once.
    pub(crate) reports: BTreeSet<Report>,
    /// Reports of one trade, in the order of its events.
    pub(crate) chains: Vec<Vec<Report>>,
}

/// One member's inbox, read in three ways.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inbox {
    pub(crate) member: u32,
    pub(crate) expected: Expected,
    /// Over REST: notifications only, oldest first.
    pub(crate) listed: Vec<Entry>,
    /// By subscriptions from the start, after the run: notifications and alarms, each ascending.
    pub(crate) log: Vec<Entry>,
    /// What the member's sockets received during the run, in order of arrival, over all connections.
    pub(crate) live: Vec<Entry>,
}

/// The trades of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trades {
    /// Purchases that the market has answered with success.
    pub(crate) acknowledged: BTreeSet<u32>,
    /// Purchases in the database.
    pub(crate) committed: BTreeSet<u32>,
}

/// How an inbox was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    Listed,
    Log,
    Live,
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A committed trade has an event that is not in the inbox.
    Missing {
        member: u32,
        view: View,
        report: Report,
    },
    /// The same event more than once.
    Doubled {
        member: u32,
        view: View,
        report: Report,
    },
    /// An entry that no committed trade of this member explains.
    Unexpected {
        member: u32,
        view: View,
        entry: Entry,
    },
    /// Ids on one destination rise.
    Order {
        member: u32,
        view: View,
        after: u64,
        entry: Entry,
    },
    /// The events of a trade come in the order in which they happened.
    TradeOrder {
        member: u32,
        view: View,
        later: Report,
        earlier: Report,
    },
    /// The id names another member's inbox.
    Foreign {
        member: u32,
        view: View,
        entry: Entry,
    },
    /// Positions of the log are dense from 1.
    Hole { member: u32, seq: u64 },
    /// The same id was read as two different entries.
    Differs {
        member: u32,
        view: View,
        entry: Entry,
    },
    /// The market has confirmed a purchase that is not in its database.
    NotCommitted { trade: u32 },
    /// A purchase that nobody was answered: a request was done twice.
    NotAcknowledged { trade: u32 },
}

impl Violation {
    /// The kind, as the report counts it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Doubled { .. } => "doubled",
            Self::Unexpected { .. } => "unexpected",
            Self::Order { .. } => "order",
            Self::TradeOrder { .. } => "trade_order",
            Self::Foreign { .. } => "foreign",
            Self::Hole { .. } => "hole",
            Self::Differs { .. } => "differs",
            Self::NotCommitted { .. } => "not_committed",
            Self::NotAcknowledged { .. } => "not_acknowledged",
        }
    }
}

/// Bits of a message id below the member (`(memberId << 22) | seq`).
const SEQ_BITS: u32 = crate::fault::session::SEQ_BITS;

/// Every promise that these records break.
pub(crate) fn judge(inboxes: &[Inbox], trades: &Trades) -> Vec<Violation> {
    let found = inboxes.iter().flat_map(judge_inbox);
    judge_trades(trades).into_iter().chain(found).collect()
}

fn judge_trades(trades: &Trades) -> Vec<Violation> {
    let Trades {
        acknowledged,
        committed,
    } = trades;
    let lost = acknowledged.difference(committed);
    let lost = lost.map(|trade| Violation::NotCommitted { trade: *trade });
    let extra = committed.difference(acknowledged);
    let extra = extra.map(|trade| Violation::NotAcknowledged { trade: *trade });
    lost.chain(extra).collect()
}

/// Every promise that this inbox breaks.
fn judge_inbox(inbox: &Inbox) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (view, entries) in [
        (View::Listed, &inbox.listed),
        (View::Log, &inbox.log),
        (View::Live, &inbox.live),
    ] {
        judge_reports(inbox, view, entries, &mut violations);
        judge_ids(inbox, view, entries, &mut violations);
        judge_chains(inbox, view, entries, &mut violations);
    }
    judge_density(inbox, &mut violations);
    violations
}

fn judge_reports(inbox: &Inbox, view: View, entries: &[Entry], violations: &mut Vec<Violation>) {
    let member = inbox.member;
    let mut counts = BTreeMap::<&Report, usize>::new();
    for entry in entries {
        *counts.entry(&entry.report).or_default() += 1;
        if !inbox.expected.reports.contains(&entry.report) {
            let entry = entry.clone();
            violations.push(Violation::Unexpected {
                member,
                view,
                entry,
            });
        }
    }
    for report in &inbox.expected.reports {
        let is_shown = view != View::Listed || !matches!(report, Report::Alarm(..));
        if is_shown && !counts.contains_key(report) {
            let report = report.clone();
            violations.push(Violation::Missing {
                member,
                view,
                report,
            });
        }
    }
    for (report, _) in counts.into_iter().filter(|(_, count)| *count > 1) {
        let report = report.clone();
        violations.push(Violation::Doubled {
            member,
            view,
            report,
        });
    }
}

/// Ids rise on each destination, name this inbox, and mean the same entry in every view.
fn judge_ids(inbox: &Inbox, view: View, entries: &[Entry], violations: &mut Vec<Violation>) {
    let member = inbox.member;
    let stored: BTreeMap<u64, &Report> = inbox.log.iter().map(|e| (e.id, &e.report)).collect();
    let mut last = [0, 0];
    for entry in entries {
        let after = &mut last[usize::from(entry.is_alarm())];
        if entry.id <= *after {
            violations.push(Violation::Order {
                member,
                view,
                after: *after,
                entry: entry.clone(),
            });
        }
        *after = entry.id;
        if entry.id >> SEQ_BITS != u64::from(member) {
            let entry = entry.clone();
            violations.push(Violation::Foreign {
                member,
                view,
                entry,
            });
        } else if stored
            .get(&entry.id)
            .is_none_or(|other| **other != entry.report)
        {
            let entry = entry.clone();
            violations.push(Violation::Differs {
                member,
                view,
                entry,
            });
        }
    }
}

/// Judged by position in each view: what comes later in a trade must not come earlier here.
fn judge_chains(inbox: &Inbox, view: View, entries: &[Entry], violations: &mut Vec<Violation>) {
    let first = entries.iter().enumerate().rev();
    let places: BTreeMap<&Report, usize> = first.map(|(at, e)| (&e.report, at)).collect();
    for chain in &inbox.expected.chains {
        for pair in chain.windows(2) {
            let [earlier, later] = pair else { continue };
            let places = places.get(earlier).zip(places.get(later));
            if places.is_some_and(|(earlier, later)| earlier > later) {
                violations.push(Violation::TradeOrder {
                    member: inbox.member,
                    view,
                    earlier: earlier.clone(),
                    later: later.clone(),
                });
            }
        }
    }
}

fn judge_density(inbox: &Inbox, violations: &mut Vec<Violation>) {
    let seqs = inbox
        .log
        .iter()
        .map(|entry| entry.id & ((1 << SEQ_BITS) - 1));
    let seqs: BTreeSet<u64> = seqs.collect();
    let head = seqs.last().copied().unwrap_or_default();
    let holes = (1..=head).filter(|seq| !seqs.contains(seq));
    let member = inbox.member;
    violations.extend(holes.map(|seq| Violation::Hole { member, seq }));
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMBER: u32 = 7;

    fn entry(seq: u64, report: Report) -> Entry {
        let id = u64::from(MEMBER) << SEQ_BITS | seq;
        Entry { id, report }
    }

    /// A purchase of data, a booking, and a sale.
    fn inbox() -> Inbox {
        let chain = [
            Report::Bought(11),
            Report::Booking(11, Side::Buyer, Phase::Start),
            Report::Booking(11, Side::Buyer, Phase::End),
        ];
        let alarms = [
            Report::Alarm(11, Phase::Start),
            Report::Alarm(11, Phase::End),
        ];
        let others = [
            Report::Bought(9),
            Report::SoldOut(3),
            Report::Sold(vec![10]),
        ];
        let all = chain.iter().chain(&alarms).chain(&others).cloned();
        let log = vec![
            entry(1, others[0].clone()),
            entry(2, chain[0].clone()),
            entry(3, alarms[0].clone()),
            entry(4, chain[1].clone()),
            entry(5, others[1].clone()),
            entry(6, others[2].clone()),
            entry(7, alarms[1].clone()),
            entry(8, chain[2].clone()),
        ];
        Inbox {
            member: MEMBER,
            expected: Expected {
                reports: all.collect(),
                chains: vec![chain.to_vec(), alarms.to_vec()],
            },
            listed: log.iter().filter(|one| !one.is_alarm()).cloned().collect(),
            live: log.clone(),
            log,
        }
    }

    fn check(alter: impl FnOnce(&mut Inbox), expected: &[&str]) {
        let mut inbox = inbox();
        alter(&mut inbox);
        let found = judge_inbox(&inbox);
        let mut kinds: Vec<_> = found.iter().map(Violation::kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        assert_eq!(kinds, expected, "{found:?}");
    }

    #[test]
    fn an_inbox_that_agrees_with_the_trades_breaks_nothing() {
        check(|_| {}, &[]);
    }

    #[test]
    fn every_altered_record_is_found() {
        check(|inbox| drop(inbox.listed.remove(0)), &["missing"]);
        check(|inbox| drop(inbox.live.remove(2)), &["missing"]);
        check(
            |inbox| drop(inbox.log.remove(3)),
            &["differs", "hole", "missing"],
        );
        check(|inbox| drop(inbox.log.pop()), &["differs", "missing"]);
        check(
            |inbox| inbox.log.push(entry(9, Report::Bought(9))),
            &["doubled"],
        );
        check(
            |inbox| inbox.live.insert(1, inbox.live[0].clone()),
            &["doubled", "order"],
        );
        check(|inbox| inbox.live.swap(0, 4), &["order"]);
        check(
            |inbox| inbox.log.push(entry(9, Report::Bought(12))),
            &["unexpected"],
        );
        check(
            |inbox| inbox.listed[0].id += 1 << SEQ_BITS,
            &["foreign", "order"],
        );
        check(
            |inbox| inbox.listed[0].report = Report::SoldOut(3),
            &["differs", "doubled", "missing"],
        );
        check(
            |inbox| {
                inbox.expected.reports.insert(Report::Sold(vec![99]));
            },
            &["missing"],
        );
    }

    #[test]
    fn an_end_before_its_start_is_found_although_both_are_stored_so() {
        check(
            |inbox| {
                let (start, end) = (inbox.log[3].report.clone(), inbox.log[7].report.clone());
                let views = [&mut inbox.log, &mut inbox.listed, &mut inbox.live];
                for entry in views.into_iter().flatten() {
                    if entry.report == start {
                        entry.report = end.clone();
                    } else if entry.report == end {
                        entry.report = start.clone();
                    }
                }
            },
            &["trade_order"],
        );
    }

    #[test]
    fn confirmed_and_committed_purchases_are_the_same() {
        let trades = Trades {
            acknowledged: [1, 2].into(),
            committed: [2, 3].into(),
        };
        let found = judge_trades(&trades);
        let lost = Violation::NotCommitted { trade: 1 };
        let extra = Violation::NotAcknowledged { trade: 3 };
        assert_eq!(found, [lost, extra]);
    }
}
