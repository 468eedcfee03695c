//! Whether Redis still answers: what a node says to itself must come back.
//!
//! The client library notices a closed connection, but never one to a server that stands still
//! while nothing is asked of it, and listening asks nothing.

use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Shared;
use super::link::{CommandConnection, LinkError};
use super::message;

impl Shared {
    /// Says something on each of these channels again and again; ends when it did not come back.
    pub(super) async fn probe(
        &self,
        connection: &CommandConnection,
        channels: &[String],
    ) -> LinkError {
        let mut heard = self.probes_heard.subscribe();
        let mut due = interval(self.tuning.probe_every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0;
        loop {
            due.tick().await;
            round += 1;
            let ask = async {
                for (place, channel) in (0..).zip(channels) {
                    let message = message::probe(self.node, place, round);
                    connection.publish(channel.clone(), message).await?;
                }
                let all_back = |rounds: &Vec<u64>| rounds.iter().all(|heard| *heard >= round);
                // Fails if the sender is gone, which this bus holds.
                heard.wait_for(all_back).await.ok();
                Ok(())
            };
            let answer = timeout(self.tuning.probe_max, ask).await;
            let error = match answer {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => LinkError::Client(error),
                Err(_) => LinkError::Silent(self.tuning.probe_max),
            };
            self.metrics.bus_probe_failures.inc();
            return error;
        }
    }

    pub(super) fn probe_came_back(&self, place: u32, round: u64) {
        self.probes_heard.send_if_modified(|rounds| {
            let known = usize::try_from(place)
                .ok()
                .and_then(|place| rounds.get_mut(place));
            known.is_some_and(|known| std::mem::replace(known, round) != round)
        });
    }
}
