//! Probe of a silent Redis: a message that the node publishes to itself must come back.
//!
//! The client library detects a closed connection, but never one to a server that hangs while no
//! command is sent to it, and a subscriber sends none.

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Shared;
use super::link::{CommandConnection, LinkError};
use super::message;

/// Publishes a probe on each of these channels periodically; returns when one did not come back.
pub(super) async fn probe(
    shared: &Shared,
    connection: &CommandConnection,
    channels: &[String],
) -> LinkError {
    let mut received = shared.probes_heard.subscribe();
    let mut due = interval(shared.tuning.probe_every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0;
    loop {
        due.tick().await;
        round += 1;
        let probe = async {
            for (place, channel) in (0..).zip(channels) {
                let message = message::probe(shared.node, place, round);
                connection.publish(channel.clone(), message).await?;
            }
            let all_back = |rounds: &Vec<u64>| rounds.iter().all(|received| *received >= round);
            // Fails if the sender is gone, which this bus holds.
            received.wait_for(all_back).await.ok();
            Ok(())
        };
        let answer = timeout(shared.tuning.probe_max, probe).await;
        let error = match answer {
            Ok(Ok(())) => continue,
            Ok(Err(error)) => LinkError::Client(error),
            Err(_) => LinkError::Silent(shared.tuning.probe_max),
        };
        shared.metrics.bus_probe_failures.inc();
        return error;
    }
}

/// Notes a probe that has come back.
pub(super) fn note_probe(shared: &Shared, place: u32, round: u64) {
    shared.probes_heard.send_if_modified(|rounds| {
        let newest = usize::try_from(place)
            .ok()
            .and_then(|place| rounds.get_mut(place));
        newest.is_some_and(|newest| std::mem::replace(newest, round) != round)
    });
}
