//! Sabotage: damages one thing before judging, to test that the judge finds it.

use std::collections::BTreeMap;

use clap::ValueEnum;

use super::error::FaultError;
use super::judge::{RoomHistory, SendId, Sent};
use super::store::Store;

/// The damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// A receipt is counted for a send that never left.
    Receipt,
    /// An entry that all members received is removed from the store.
    Entry,
    /// One received message is removed from a member's history.
    Message,
    /// A room's row for the lists gets another time than its newest message, in a way that servers
    /// cannot correct.
    ListRow,
}

impl Sabotage {
    /// Lists are judged before a log is spoiled: they would differ from that one, too.
    pub(crate) fn is_of_lists(self) -> bool {
        match self {
            Self::ListRow => true,
            Self::Receipt | Self::Entry | Self::Message => false,
        }
    }
}

const OUT_OF_REACH: FaultError = FaultError::Unfit("only CQL reaches into the store");

/// Damages one thing, in the first room that has enough data.
pub(crate) async fn spoil(
    sabotage: Sabotage,
    rooms: &mut BTreeMap<u32, RoomHistory>,
    store: &Store,
) -> Result<(), FaultError> {
    let nothing = FaultError::Unfit("there is nothing to spoil");
    let enough = |history: &RoomHistory| history.views.iter().any(|view| view.seen.len() > 2);
    let found = rooms.iter_mut().find(|(_, history)| enough(history));
    let (room, history) = found.ok_or(nothing)?;
    let longest = history.views.iter_mut().max_by_key(|view| view.seen.len());
    let Some(view) = longest else { return Ok(()) };
    match sabotage {
        Sabotage::Receipt => {
            let id = SendId {
                member: view.member,
                number: u32::MAX,
            };
            history.sent.push(Sent { id, receipt: true });
            Ok(())
        }
        Sabotage::Message => {
            view.seen.remove(1);
            Ok(())
        }
        Sabotage::Entry => match store {
            Store::Cql(cql) => cql.take_out(*room, view.seen[1].seq).await,
            Store::Embedded { .. } => Err(OUT_OF_REACH),
        },
        Sabotage::ListRow => match (store, history.stored.last()) {
            (Store::Cql(cql), Some(newest)) => cql.age_list_row(*room, *newest).await,
            (Store::Cql(_), None) => Err(FaultError::Unfit("there is nothing to spoil")),
            (Store::Embedded { .. }, _) => Err(OUT_OF_REACH),
        },
    }
}
