//! Background tasks of a node. They end at the soft token; a task that ends before ends the
//! process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::auth::REFRESH_PERIOD;
use crate::bus::BusEvent;
use crate::connection::{MEMBERS_TICK, NodeControl, PendingChecks, Services};
use crate::health::{Health, Phase};
use crate::hub::WATCH_TICK;
use crate::presence::PresenceChange;
use crate::rooms::COMPARE_TICK;
use crate::wake_queue::CloseReason;

/// How often idle topics are dropped.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Starts them all.
pub(super) fn start(
    services: &Arc<Services>,
    node_control: &Arc<NodeControl>,
    checks: PendingChecks,
    health: &Arc<Health>,
    (heard, presence): (mpsc::Receiver<BusEvent>, mpsc::Receiver<PresenceChange>),
) {
    let drain = &services.drain;
    let soft = || drain.soft();
    let bus = take_from_bus(Arc::clone(services), Arc::clone(node_control), heard);
    drop(drain.spawn_vital("bus-events", soft().run_until_cancelled_owned(bus)));

    let own = Arc::clone(node_control);
    let follow = async move { own.follow(checks).await };
    drop(drain.spawn_vital("node_control", soft().run_until_cancelled_owned(follow)));

    let hub = services.hub.clone();
    let watch = async move { hub.watch(WATCH_TICK).await };
    drop(drain.spawn_vital("hub-watch", soft().run_until_cancelled_owned(watch)));

    let rooms = Arc::clone(&services.rooms);
    let compare = every(COMPARE_TICK, async move |_| {
        rooms.reconciler().compare_due().await
    });
    drop(drain.spawn_vital("rooms", soft().run_until_cancelled_owned(compare)));

    let feed = services.rooms.presence_feed().clone();
    let members = Arc::clone(&services.members);
    let show = async move { feed.follow(presence, &members).await };
    // Not vital: what it shows is a hint.
    drop(drain.spawn("presence-rooms", soft().run_until_cancelled_owned(show)));

    let own = Arc::clone(node_control);
    let check = every(MEMBERS_TICK, async move |number| {
        own.check_slice(number).await;
    });
    drop(drain.spawn_vital("members", soft().run_until_cancelled_owned(check)));

    let sweeper = Arc::clone(services);
    let sweep = every(SWEEP_EVERY, async move |_| {
        sweeper.hub.sweep().await;
        sweeper.appender.sweep();
    });
    drop(drain.spawn_vital("sweep", soft().run_until_cancelled_owned(sweep)));

    let auth = Arc::clone(&services.auth);
    let keys = every(REFRESH_PERIOD, async move |number| {
        // Not at once: the keys are fetched when they are needed.
        if number > 0 {
            auth.refresh().await;
        }
    });
    drop(drain.spawn_vital("keys", soft().run_until_cancelled_owned(keys)));

    let closing = Arc::clone(services);
    let health = Arc::clone(health);
    let soft = soft();
    drop(drain.spawn("close-connections", async move {
        soft.cancelled().await;
        health.enter(Phase::Flush);
        let state = &closing.metrics.drain_state;
        state.set(Phase::Flush.number().into());
        closing.close_all(CloseReason::RESTART);
    }));
}

/// Dispatches the events of the bus.
async fn take_from_bus(
    services: Arc<Services>,
    node_control: Arc<NodeControl>,
    mut heard: mpsc::Receiver<BusEvent>,
) {
    while let Some(event) = heard.recv().await {
        match event {
            BusEvent::Control(control) => node_control.take(control).await,
            BusEvent::Lost => {
                node_control.take_loss();
                services.hub.take_from_bus(BusEvent::Lost);
            }
            BusEvent::Entries(..) | BusEvent::Head(..) | BusEvent::Room(..) => {
                services.hub.take_from_bus(event);
            }
        }
    }
}

/// Calls `act` periodically, for ever, with the numbers from 0 on.
async fn every(period: Duration, mut act: impl AsyncFnMut(u32)) {
    let mut due = interval(period);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0_u32;
    loop {
        due.tick().await;
        act(number).await;
        number = number.wrapping_add(1);
    }
}
