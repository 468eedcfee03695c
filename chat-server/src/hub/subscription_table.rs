//! Table of the subscriptions to a part of a topic; the index of a subscription stays the same
//! until it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::wake_queue::{Owner, Slot, WakeQueue};

/// Subscriptions by index; freed indexes are used again.
#[derive(Debug, Default)]
pub(super) struct SubscriptionTable {
    subscriptions: Vec<Option<Subscription>>,
    free: Vec<usize>,
}

/// A connection's subscription to the part.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) wake_queue: Arc<WakeQueue>,
    pub(super) slot: Slot,
    /// How far it has read; here only for the figures of operators.
    pub(super) position: Arc<AtomicU32>,
}

impl SubscriptionTable {
    pub(super) fn add(&mut self, subscription: Subscription) -> usize {
        match self.free.pop() {
            Some(index) => {
                self.subscriptions[index] = Some(subscription);
                index
            }
            None => {
                self.subscriptions.push(Some(subscription));
                self.subscriptions.len() - 1
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Subscription> {
        self.subscriptions.iter().flatten()
    }

    pub(super) fn remove(&mut self, index: usize) {
        self.subscriptions[index] = None;
        self.free.push(index);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.subscriptions.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl Subscription {
    pub(super) fn owner(&self) -> Option<Owner> {
        self.wake_queue.owner()
    }
}
