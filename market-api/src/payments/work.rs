//! The scheduled jobs of payments.

use futures_util::FutureExt as _;

use super::Payments;
use super::webhook::STRAY;
use crate::schedule::{Handler, Worker};

/// Unknown orders that one instance looks up at once.
const STRAYS_AT_ONCE: usize = 4;

impl Payments {
    /// The workers of the jobs.
    #[must_use]
    pub fn workers(&self) -> Vec<Worker> {
        let payments = self.clone();
        let strays: Handler = Box::new(move |due| {
            let payments = payments.clone();
            async move { payments.run_stray(&due).await }.boxed()
        });
        vec![Worker {
            name: STRAY,
            at_once: STRAYS_AT_ONCE,
            handler: strays,
        }]
    }
}
