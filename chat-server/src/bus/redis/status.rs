//! Connection state of the bus: up or away, and the connection for commands while there is one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::link::CommandConnection;
use crate::bus::{BusError, BusState};
use crate::metrics::Metrics;

/// The state that callers and the sender watch.
pub(super) struct Status {
    state: watch::Sender<BusState>,
    connection: watch::Sender<Option<CommandConnection>>,
    /// Whether it was ever up: a later session may have missed something before it.
    was_up: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Status {
    /// Away, without a connection.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            state: watch::Sender::new(BusState::Away),
            connection: watch::Sender::new(None),
            was_up: AtomicBool::new(false),
            metrics,
        }
    }

    pub(super) fn state(&self) -> BusState {
        *self.state.borrow()
    }

    pub(super) fn states(&self) -> watch::Receiver<BusState> {
        self.state.subscribe()
    }

    /// The connection for commands.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn connection(&self) -> Result<CommandConnection, BusError> {
        let connection = self.connection.borrow().clone();
        connection.ok_or_else(|| BusError("away".to_owned()))
    }

    pub(super) fn connections(&self) -> watch::Receiver<Option<CommandConnection>> {
        self.connection.subscribe()
    }

    /// A session has begun. Commands may be sent; nothing is subscribed yet.
    pub(super) fn connect(&self, connection: CommandConnection) {
        self.connection.send_replace(Some(connection));
    }

    /// Everything wanted is subscribed. Returns whether that is so for the first time.
    pub(super) fn go_up(&self) -> bool {
        let is_first = !self.was_up.swap(true, Ordering::AcqRel);
        if self.state.send_replace(BusState::Up) == BusState::Away {
            self.metrics.bus_connects.inc();
            tracing::info!("the bus is up");
        }
        is_first
    }

    /// The session is over. Returns whether the bus was up.
    pub(super) fn go_away(&self) -> bool {
        self.connection.send_replace(None);
        let was_up = self.state.send_replace(BusState::Away) == BusState::Up;
        if was_up {
            self.metrics.bus_disconnects.inc();
        }
        was_up
    }
}
