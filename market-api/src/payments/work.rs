//! The scheduled jobs of payments.

use futures_util::FutureExt as _;

use super::Payments;
use super::compare::{COMPARISON, Comparison};
use super::webhook::{STRAY, run_stray};
use crate::schedule::{Handler, Worker};

/// Unknown orders that one instance looks up at once.
const STRAYS_AT_ONCE: usize = 4;

/// The workers of the jobs.
pub(super) fn workers(payments: &Payments) -> Vec<Worker> {
    let comparison = Comparison {
        parts: payments.parts.clone(),
        status: payments.gateway_status.clone(),
    };
    let payments = payments.clone();
    let strays: Handler = Box::new(move |due| {
        let payments = payments.clone();
        async move { run_stray(&payments, &due).await }.boxed()
    });
    let comparisons: Handler = Box::new(move |due| {
        let comparison = comparison.clone();
        async move { comparison.run(due).await }.boxed()
    });
    vec![
        Worker {
            name: STRAY,
            at_once: STRAYS_AT_ONCE,
            handler: strays,
        },
        Worker {
            name: COMPARISON,
            at_once: 1,
            handler: comparisons,
        },
    ]
}
