//! Probes: messages of a node to itself, which show that Redis still delivers.
//!
//! The client library notices a closed connection, but never one to a server that hangs while no
//! command is sent, and a subscribed connection sends none.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::RedisTuning;
use super::link::CommandConnection;
use super::message;
use crate::metrics::Metrics;
use shared::redis::link::LinkError;

/// The probes of a node, one per channel, in numbered rounds.
pub(super) struct Probes {
    node: u64,
    tuning: RedisTuning,
    /// Of each channel, the newest round that was received.
    received: watch::Sender<Vec<u64>>,
    metrics: Arc<Metrics>,
}

impl Probes {
    pub(super) fn new(node: u64, tuning: RedisTuning, metrics: Arc<Metrics>) -> Self {
        Self {
            node,
            tuning,
            received: watch::Sender::default(),
            metrics,
        }
    }

    /// Forgets the rounds of earlier sessions; a new one has so many channels.
    pub(super) fn reset(&self, channels: usize) {
        self.received.send_replace(vec![0; channels]);
    }

    /// Publishes a probe on each of these channels, round after round; returns once a round was not
    /// received in time.
    pub(super) async fn run(
        &self,
        connection: &CommandConnection,
        channels: &[String],
    ) -> LinkError {
        let mut received = self.received.subscribe();
        let mut due = interval(self.tuning.probe_every);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut round = 0;
        loop {
            due.tick().await;
            round += 1;
            let probe = async {
                for (place, channel) in (0..).zip(channels) {
                    let message = message::probe(self.node, place, round);
                    connection.publish(channel.clone(), message).await?;
                }
                let all_back = |rounds: &Vec<u64>| rounds.iter().all(|newest| *newest >= round);
                // Fails if the sender is gone, which this bus holds.
                received.wait_for(all_back).await.ok();
                Ok(())
            };
            let error = match timeout(self.tuning.probe_max, probe).await {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => error,
                Err(_) => LinkError::Silent(self.tuning.probe_max),
            };
            self.metrics.bus_probe_failures.inc();
            return error;
        }
    }

    /// A probe on the channel with this number was received.
    pub(super) fn receive(&self, channel: u32, round: u64) {
        self.received.send_if_modified(|rounds| {
            let newest = usize::try_from(channel)
                .ok()
                .and_then(|channel| rounds.get_mut(channel));
            newest.is_some_and(|newest| std::mem::replace(newest, round) != round)
        });
    }
}
