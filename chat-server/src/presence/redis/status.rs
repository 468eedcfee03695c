//! Connection state of the registry: the connection while there is one.

use std::sync::Arc;

use tokio::sync::watch;

use super::connection::Connection;
use crate::metrics::Metrics;
use crate::presence::PresenceError;

/// The connection that callers share with the session.
pub(super) struct Status {
    connection: watch::Sender<Option<Connection>>,
    metrics: Arc<Metrics>,
}

impl Status {
    /// Away.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            connection: watch::Sender::new(None),
            metrics,
        }
    }

    /// The connection.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn connection(&self) -> Result<Connection, PresenceError> {
        let connection = self.connection.borrow().clone();
        connection.ok_or_else(|| PresenceError("away".to_owned()))
    }

    pub(super) fn states(&self) -> watch::Receiver<Option<Connection>> {
        self.connection.subscribe()
    }

    /// A caller found the connection broken: the session ends.
    pub(super) fn give_up(&self) {
        if let Some(connection) = &*self.connection.borrow() {
            connection.over.cancel();
        }
    }

    pub(super) fn go_up(&self, connection: Connection) {
        self.connection.send_replace(Some(connection));
        self.metrics.presence.connects.inc();
        tracing::info!("the presence registry is up");
    }

    /// The session is over.
    pub(super) fn go_away(&self) {
        if self.connection.send_replace(None).is_some() {
            self.metrics.presence.disconnects.inc();
        }
    }
}
