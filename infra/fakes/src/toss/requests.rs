//! The requests so far, for tests that judge how the gateway was used.

use std::collections::{HashMap, VecDeque};

use shared::clock::UnixMillis;

use super::faults::{Call, Fault, Faults};

/// Orders whose requests are counted; further ones are not.
const COUNTED_MAX: usize = 1_048_576;

/// A request to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRequest {
    /// Its kind.
    pub call: Call,
    /// The order; without one, what stands in its place in the request.
    pub order_id: String,
    /// The payment, if there is one.
    pub payment_key: Option<String>,
    /// Whether the secret key is right.
    pub authorized: bool,
    /// The header `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// The amount of a cancel, if it has one.
    pub cancel_amount: Option<i64>,
    /// The reason of a cancel.
    pub cancel_reason: Option<String>,
    /// When it came.
    pub at: UnixMillis,
    /// What goes wrong with it.
    pub fault: Option<Fault>,
}

/// The newest requests, and how many there were for each order.
#[derive(Debug)]
pub(super) struct Requests {
    counts: HashMap<(Call, String), u64>,
    seen: VecDeque<SeenRequest>,
    seen_max: usize,
}

impl Requests {
    /// Records so many requests.
    pub(super) fn new(seen_max: usize) -> Self {
        Self {
            counts: HashMap::new(),
            seen: VecDeque::new(),
            seen_max,
        }
    }

    pub(super) fn count(&self, call: Call, order_id: &str) -> u64 {
        let place = (call, order_id.to_owned());
        self.counts.get(&place).copied().unwrap_or(0)
    }

    pub(super) fn seen(&self) -> impl Iterator<Item = &SeenRequest> {
        self.seen.iter()
    }

    /// Adds a request; what goes wrong with it.
    pub(super) fn note(&mut self, mut request: SeenRequest, faults: &mut Faults) -> Option<Fault> {
        let before = self.count(request.call, &request.order_id);
        if before > 0 || self.counts.len() < COUNTED_MAX {
            let place = (request.call, request.order_id.clone());
            self.counts.insert(place, before + 1);
        }
        request.fault = faults.take(request.call, &request.order_id, before);
        let fault = request.fault;
        if self.seen.len() >= self.seen_max {
            self.seen.pop_front();
        }
        self.seen.push_back(request);
        fault
    }
}
