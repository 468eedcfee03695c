//! Publisher: sends the items of the outbox, a batch at a time.
//!
//! The commands of a batch go to Redis in order, and the next batch begins when all are answered.
//! While one is on its way the next gathers, so load makes batches larger.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::link::{Command, CommandConnection};
use super::names::Names;
use super::outbox::Item;
use super::{BusDirection, Shared};
use shared::redis::link::LinkError;

/// After a failure, unless a new connection comes sooner.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Until the outbox is closed and empty, or cannot be emptied.
///
/// | waits for | cancel-safe | then |
/// |---|---|---|
/// | another connection, or none | yes, a watch | reads the outbox |
/// | an item, or the end | yes, a notice that stays | reads the outbox |
/// | the pause after a failure | yes, a timer | reads the outbox |
pub(super) async fn run(shared: Arc<Shared>) {
    let mut connections = shared.status.connections();
    loop {
        let connection = connections.borrow_and_update().clone();
        let mut pause = None;
        if let Some(connection) = connection {
            let batch = shared.outbox.take();
            if !batch.is_empty() {
                match send(&shared, &connection, batch).await {
                    Sent::All => continue,
                    Sent::NotAll => pause = Some(RETRY_PAUSE),
                }
            }
        } else {
            let owed = shared.outbox.give_all_back();
            shared.metrics.bus_owed.inc_by(owed);
        }
        if shared.outbox.is_closed() && pause.is_none() {
            return;
        }
        tokio::select! {
            // Fails if the sender is gone, which `shared` holds.
            changed = connections.changed() => if changed.is_err() { return },
            () = shared.outbox.ready(), if pause.is_none() => {}
            () = sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

enum Sent {
    All,
    NotAll,
}

/// Sends a batch. Items that were not published go back to the outbox; an error after which the
/// connection is no longer usable ends the session.
async fn send(shared: &Shared, connection: &CommandConnection, items: Vec<Item>) -> Sent {
    let mut commands = Vec::with_capacity(2 * items.len());
    let mut commands_of = Vec::with_capacity(items.len());
    for item in &items {
        let before = commands.len();
        put(item, &shared.names, &mut commands);
        commands_of.push(commands.len() - before);
    }
    let started = shared.clock.now();
    let answers = connection.carry_out(commands).await;
    let took = shared.clock.now().saturating_duration_since(started);
    let metrics = &shared.metrics;
    metrics.bus_publish_seconds.observe(took.as_secs_f64());
    let whole = answers.len() == commands_of.iter().sum::<usize>();
    let mut errors = answers.iter().flat_map(|answer| answer.as_ref().err());
    if errors.any(LinkError::needs_another_connection) || !whole {
        connection.over.cancel();
    }
    let mut answers = answers.into_iter();
    let mut failed = Vec::new();
    for (item, commands) in items.into_iter().zip(commands_of) {
        // A head that was not noted is a hint less.
        let published = answers.by_ref().take(commands).last();
        match published {
            Some(Ok(_)) if whole => metrics.bus_messages.count(BusDirection::Out),
            Some(_) | None => failed.push(item),
        }
    }
    let sent = if failed.is_empty() {
        Sent::All
    } else {
        Sent::NotAll
    };
    metrics.bus_owed.inc_by(shared.outbox.give_back(failed));
    sent
}

/// Appends the commands of an item; the one that publishes it, if there is one, comes last.
fn put(item: &Item, names: &Names, commands: &mut Vec<Command>) {
    if let Item::Grown { topic, head, .. } | Item::Noted(topic, head) = item {
        let key = names.head_key(*topic);
        commands.push(Command::Note { key, head: *head });
    }
    let (channel, message) = match item {
        Item::Grown { topic, message, .. } | Item::Beside(topic, message) => {
            (names.channel(*topic), message)
        }
        Item::Control(message) | Item::Lost(message) => (names.control(), message),
        Item::Noted(..) => return,
    };
    let message = message.clone();
    commands.push(Command::Publish { channel, message });
}
