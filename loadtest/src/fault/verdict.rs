//! Verdict of a repetition: reads logs and lists, applies sabotage if requested, and judges all
//! promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use shared::clock::{Clock as _, SystemClock};
use tokio::time::sleep;

use super::cases::Demands;
use super::error::FaultError;
use super::judge::{RoomHistory, judge};
use super::lists::{Lists, Marks, Row, judge_row};
use super::report::Outcome;
use super::rest::Rest;
use super::sabotage::{Sabotage, spoil};
use super::store::Store;

/// How long lists may take to agree with the logs after everything has come to rest.
const LISTS_MAX: Duration = Duration::from_secs(30);

/// Pause between two reads of lists that do not agree yet.
const LISTS_PAUSE: Duration = Duration::from_millis(500);

/// Evidence of a repetition.
pub(crate) struct Evidence<'a> {
    /// Histories without the store's part.
    pub(crate) rooms: BTreeMap<u32, RoomHistory>,
    pub(crate) marks: Marks,
    pub(crate) store: &'a Store,
    pub(crate) rest: &'a Rest,
}

/// A difference between a list and a log.
struct Unlikeness {
    /// The member of the list; `None` if no list could be read.
    member: Option<u32>,
    kind: &'static str,
    words: String,
}

impl Evidence<'_> {
    /// Reads the evidence and records every broken promise.
    pub(crate) async fn judge(
        mut self,
        sabotage: &[Sabotage],
        outcome: &mut Outcome,
    ) -> Result<(), FaultError> {
        self.read_logs().await?;
        let (lists, logs): (Vec<Sabotage>, Vec<Sabotage>) =
            sabotage.iter().partition(|one| one.is_of_lists());
        for one in lists {
            spoil(one, &mut self.rooms, self.store).await?;
        }
        self.judge_lists(outcome).await;
        for one in &logs {
            spoil(*one, &mut self.rooms, self.store).await?;
        }
        if !logs.is_empty() {
            self.read_logs().await?;
        }
        for (room, history) in &self.rooms {
            outcome.stored += history.stored.len();
            let receipts = history.sent.iter().filter(|sent| sent.receipt);
            outcome.receipts += receipts.count();
            for violation in judge(history) {
                outcome.violate(violation.kind(), format!("room {room}: {violation:?}"));
            }
        }
        Ok(())
    }

    async fn read_logs(&mut self) -> Result<(), FaultError> {
        for (room, history) in &mut self.rooms {
            let reader = history.views.first().map_or(1, |view| view.member);
            history.stored = self.store.room(*room, reader).await?;
        }
        Ok(())
    }

    /// Reads lists until they agree with the logs, or the time is over.
    async fn judge_lists(&self, outcome: &mut Outcome) {
        let began = SystemClock.now();
        let views = self.rooms.values().flat_map(|history| &history.views);
        let mut members: BTreeSet<u32> = views.map(|view| view.member).collect();
        loop {
            let lists = self.rest.lists(members.iter().copied().collect()).await;
            let took = SystemClock.now().saturating_duration_since(began);
            let unlike = match lists {
                Ok(lists) => self.compare(&lists),
                // All lists are read again.
                Err(error) => vec![Unlikeness {
                    member: None,
                    kind: "list_unreadable",
                    words: error.to_string(),
                }],
            };
            if unlike.is_empty() {
                outcome.lists_ms = took.as_millis();
                return;
            }
            if took > LISTS_MAX {
                for one in unlike {
                    outcome.violate(one.kind, one.words);
                }
                return;
            }
            // Lists that agree are not read again.
            if unlike.iter().all(|one| one.member.is_some()) {
                members = unlike.iter().filter_map(|one| one.member).collect();
            }
            sleep(LISTS_PAUSE).await;
        }
    }

    fn compare(&self, lists: &Lists) -> Vec<Unlikeness> {
        let mut all = Vec::new();
        for (room, history) in &self.rooms {
            for member in history.views.iter().map(|view| view.member) {
                let Some(list) = lists.get(&member) else {
                    continue;
                };
                let mark = self.marks.get(&(member, *room)).copied().unwrap_or(0);
                let row: Option<&Row> = list.get(room);
                for unlike in judge_row(history, member, mark, row) {
                    all.push(Unlikeness {
                        member: Some(member),
                        kind: unlike.kind(),
                        words: format!("room {room}: {unlike:?}"),
                    });
                }
            }
        }
        all
    }
}

/// Demands on the run as a whole.
pub(crate) fn hold_to(demands: Demands, rss_mib_max: u64, outcome: &mut Outcome) {
    let counts = outcome.counts.clone();
    for what in &counts.odd {
        outcome.violate("odd", what.clone());
    }
    if counts.unrecovered > 0 {
        let what = format!("{} subscriptions were not recovered", counts.unrecovered);
        outcome.violate("unrecovered", what);
    }
    if demands != Demands::Promises && !counts.connects_failed.is_empty() {
        outcome.violate("failed_connect", format!("{:?}", counts.connects_failed));
    }
    let left = !counts.closes.is_empty() || counts.turned_away > 0;
    if demands == Demands::EveryConnection && left {
        let (closes, turned_away) = (&counts.closes, counts.turned_away);
        outcome.violate("closed", format!("{closes:?}, {turned_away} turned away"));
    }
    if outcome.rss_max_mib.iter().any(|mib| *mib > rss_mib_max) {
        outcome.violate("memory", format!("more than {rss_mib_max} MiB"));
    }
}
