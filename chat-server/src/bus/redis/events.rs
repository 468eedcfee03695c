//! Events for the node: the sink that all tasks of the bus share, and the count of losses.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::bus::BusEvent;
use crate::bus::event_sink::EventSink;
use crate::metrics::Metrics;

/// The node's event queue.
pub(super) struct Events {
    /// Held for a few lines, and no other lock within.
    sink: Mutex<EventSink>,
    metrics: Arc<Metrics>,
}

impl Events {
    pub(super) fn new(sink: EventSink, metrics: Arc<Metrics>) -> Self {
        Self {
            sink: Mutex::new(sink),
            metrics,
        }
    }

    pub(super) fn push(&self, event: BusEvent) {
        self.sink().push(event);
    }

    /// Queues a `Lost`: anything may have been missed.
    pub(super) fn push_lost(&self) {
        self.metrics.bus_lost.inc();
        self.sink().push_lost();
    }

    fn sink(&self) -> MutexGuard<'_, EventSink> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
