//! Two cases about the last message of a room: its append is stored while the steps after an append
//! do not run.

use std::time::Duration;

use futures_util::future::join;
use tokio::time::sleep;

use super::board::Whisper;
use super::error::FaultError;
use super::stage::{Stage, VICTIM};

/// Longer than a node waits for one answer of the store (1.5 s), shorter than a send may take (5 s).
const LATE: Duration = Duration::from_millis(2_500);

/// Until a message is on its way to a store that does not answer; shorter than a node waits for an
/// answer.
const UNDER_WAY: Duration = Duration::from_millis(700);

/// Pause between messages into empty rooms: an append takes a few of these.
const STEP: Duration = Duration::from_millis(2);

/// The store freezes with appends in flight, and answers them after the nodes have timed out. A
/// room with a message is hit for certain: its node knows the head of the log and appends at once.
/// The first append of a room follows a read of the head, so only some of these are hit, by chance.
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

/// The node is killed while its appends wait in a frozen store: they are stored, and only the nodes
/// to which the senders repeat their sends can update the lists.
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
