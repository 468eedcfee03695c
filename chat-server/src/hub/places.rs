//! Table of the subscriptions to a part of a topic; the index of a subscription stays the same
//! until it ends.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use crate::wake_queue::{Owner, Slot, WakeQueue};

/// Subscriptions by index.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: Vec<Option<Place>>,
    free: Vec<usize>,
}

/// An element of the table: a subscription.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) wake_queue: Arc<WakeQueue>,
    pub(super) slot: Slot,
    /// How far it has pulled; only for the figures of operators.
    pub(super) position: Arc<AtomicU32>,
}

impl Places {
    pub(super) fn add(&mut self, follower: Place) -> usize {
        match self.free.pop() {
            Some(place) => {
                self.places[place] = Some(follower);
                place
            }
            None => {
                self.places.push(Some(follower));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().flatten()
    }

    pub(super) fn remove(&mut self, place: usize) {
        self.places[place] = None;
        self.free.push(place);
        if self.is_empty() {
            *self = Self::default();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }
}

impl Place {
    pub(super) fn owner(&self) -> Option<Owner> {
        self.wake_queue.owner()
    }
}
