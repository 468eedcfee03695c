//! Two cases that are made for the last message of a room: its append is stored while nobody gets to
//! do what follows an append.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::sleep;

use super::cases::{Stage, VICTIM};
use super::error::FaultError;
use super::whispers::Whisper;

/// Longer than a node waits for one answer of the store (1.5 s), shorter than a send may take (5 s).
const LATE: Duration = Duration::from_millis(2_500);

/// Until a message is on its way to the store, in which nobody answers; shorter than a node waits for
/// an answer.
const UNDER_WAY: Duration = Duration::from_millis(700);

/// Between messages into rooms without one: an append takes a few of these.
const STEP: Duration = Duration::from_millis(2);

/// The store freezes with appends in it, and answers them when the nodes have given up on it. A room
/// with a message is met for sure: its node knows the log's end and appends at once. The first append
/// of a room follows a question for that end, so only some are met, by chance.
pub(crate) async fn answer_late(stage: &mut Stage) -> Result<(), FaultError> {
    let whispers = stage.crowd.whispers();
    let (known, new): (Vec<Whisper>, Vec<Whisper>) =
        whispers.take().into_iter().partition(|one| one.follows);
    let replicas = stage.cluster.replicas()?;
    let freezing = replicas.freeze_at_once().await?;
    let saying = async {
        for whisper in new {
            whispers.say(whisper).await;
            sleep(STEP).await;
        }
    };
    let (frozen, ()) = join(freezing, saying).await;
    frozen?;
    for whisper in known {
        whispers.say(whisper).await;
    }
    sleep(LATE).await;
    replicas.thaw_all().await
}

/// The node is killed while its appends lie in a store that stands still: they are stored, and nobody
/// is left to bring the lists up to date but the nodes at which the senders send again.
pub(crate) async fn kill_before_list_row(stage: &mut Stage) -> Result<(), FaultError> {
    let whispers = stage.crowd.whispers();
    let last = whispers.take();
    let replicas = stage.cluster.replicas()?.clone();
    replicas.freeze_at_once().await?.await?;
    for whisper in last {
        whispers.say(whisper).await;
    }
    sleep(UNDER_WAY).await;
    let killed = stage.cluster.nodes[VICTIM].kill().await;
    replicas.thaw_all().await?;
    killed?;
    stage.crowd.until_connected().await
}
