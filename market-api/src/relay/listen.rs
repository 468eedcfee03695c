//! Task that passes notifications of other instances to the relay.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::db::Db;

/// Pause before a lost connection for notifications is opened again. Polls bridge it.
const LISTEN_RETRY: Duration = Duration::from_secs(2);

/// Passes notifications for this instance on, on a connection that is opened again whenever it fails.
pub(super) async fn listen(db: Db, channel: String, notified: Arc<Notify>) {
    let mut is_away = false;
    // `Ok` at the end of the database.
    while let Err(error) = db.listen(&channel, &notified).await {
        if !is_away {
            tracing::warn!("no notifications of other instances, polling instead: {error}");
        }
        is_away = true;
        sleep(LISTEN_RETRY).await;
    }
}
