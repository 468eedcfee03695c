//! Sabotage: alters one record before judging, to test that the judge finds it.

use clap::ValueEnum;

use super::judge::{Inbox, Report, Trades, judge};
use crate::fault::FaultError;

/// What is altered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// A notification is removed from what the REST API listed
    Listed,
    /// An entry is stored twice
    Doubled,
    /// A message that a socket received is removed
    Live,
    /// Start and end of a booking change places, in the log and everywhere else
    Order,
    /// A purchase counts as confirmed that was never made
    Purchase,
}

/// Alters one record.
pub(crate) fn spoil(
    sabotage: Sabotage,
    inboxes: &mut [Inbox],
    trades: &mut Trades,
) -> Result<(), FaultError> {
    const NOTHING: FaultError = FaultError::Unfit("there is nothing to spoil");
    let full = |inbox: &&mut Inbox| inbox.listed.len() > 2 && inbox.live.len() > 2;
    if sabotage == Sabotage::Purchase {
        trades.acknowledged.insert(u32::MAX);
        return Ok(());
    }
    if sabotage == Sabotage::Order {
        return inboxes.iter_mut().find_map(turn_booking).ok_or(NOTHING);
    }
    let inbox = inboxes.iter_mut().find(full).ok_or(NOTHING)?;
    match sabotage {
        Sabotage::Listed => drop(inbox.listed.remove(1)),
        Sabotage::Live => drop(inbox.live.remove(1)),
        Sabotage::Doubled => {
            let mut again = inbox.log[0].clone();
            again.id = inbox
                .log
                .iter()
                .map(|entry| entry.id)
                .max()
                .unwrap_or_default()
                + 1;
            inbox.log.push(again);
        }
        Sabotage::Order | Sabotage::Purchase => {}
    }
    Ok(())
}

/// What a judge of these records passes over although it was altered. The records are those of a run
/// that broke no promise.
pub(crate) fn passed_over(inboxes: &[Inbox], trades: &Trades) -> Result<Vec<Sabotage>, FaultError> {
    let mut passed = Vec::new();
    for sabotage in Sabotage::value_variants() {
        let (mut inboxes, mut trades) = (inboxes.to_vec(), trades.clone());
        spoil(*sabotage, &mut inboxes, &mut trades)?;
        if judge(&inboxes, &trades).is_empty() {
            passed.push(*sabotage);
        }
    }
    Ok(passed)
}

/// Exchanges the first start of a booking with its end.
fn turn_booking(inbox: &mut Inbox) -> Option<()> {
    let is_booking = |report: &&Report| matches!(report, Report::Booking(..));
    let chain = inbox.expected.chains.iter();
    let mut bookings = chain.filter(|chain| chain.iter().filter(is_booking).count() == 2);
    let chain: Vec<Report> = bookings
        .next()?
        .iter()
        .filter(is_booking)
        .cloned()
        .collect();
    let [start, end] = <[Report; 2]>::try_from(chain).ok()?;
    for entries in [&mut inbox.listed, &mut inbox.log, &mut inbox.live] {
        for entry in entries {
            if entry.report == start {
                entry.report = end.clone();
            } else if entry.report == end {
                entry.report = start.clone();
            }
        }
    }
    Some(())
}
