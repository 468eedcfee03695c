//! Notifications between instances that share a database: LISTEN and NOTIFY of PostgreSQL.
//!
//! They are hints: one that is sent while a listener reconnects is lost, so its receiver polls as well. On SQLite
//! there is one instance, and nothing is sent.
//!
//! What this module does not do: notify inside of a transaction. PostgreSQL holds a lock on the whole server from the
//! NOTIFY of a transaction to the end of its COMMIT, so concurrent COMMITs would wait for each other.

use std::future::pending;

use sqlx::postgres::PgListener;
use sqlx::query;
use tokio::sync::Notify;

use super::{Db, DbError};

impl Db {
    /// Notifies the listeners of a channel.
    ///
    /// # Errors
    /// The database's.
    pub async fn notify(&self, channel: &str) -> Result<(), DbError> {
        if self.0.listen_url.is_none() {
            return Ok(());
        }
        let mut connection = self.read().await?;
        query("select pg_notify($1, '')")
            .bind(channel)
            .execute(&mut *connection)
            .await?;
        Ok(())
    }

    /// Passes the notifications of a channel on, on a connection of its own, until the database is closed. On SQLite
    /// it waits for ever.
    ///
    /// # Errors
    /// The connection failed; those that are sent until the next call are lost.
    pub async fn listen(&self, channel: &str, notified: &Notify) -> Result<(), DbError> {
        let Some(url) = &self.0.listen_url else {
            return pending().await;
        };
        let listening = async {
            let mut listener = PgListener::connect(url.expose()).await?;
            listener.listen(channel).await?;
            loop {
                // `None`: reconnected, and notifications may have been missed.
                drop(listener.try_recv().await?);
                notified.notify_one();
            }
        };
        tokio::select! {
            () = self.0.readers.close_event() => Ok(()),
            ended = listening => {
                let failed: Result<(), sqlx::Error> = ended;
                Ok(failed?)
            }
        }
    }
}
