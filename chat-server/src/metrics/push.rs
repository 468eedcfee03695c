//! Metrics of push notifications and their labels.

use std::time::Duration;

use prometheus::Histogram;

use super::CountersBy;
use super::labels::by_label;
use super::make::Make;

/// What was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushKind {
    /// A chat message, for all members of its room.
    Chat,
    /// A notification of one member.
    Notice,
}

/// Why something was not pushed although it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushDrop {
    /// A queue was full.
    Queue,
    /// The service did not take it in time.
    Age,
    /// The store did not answer.
    Store,
    /// This node stops.
    Stop,
}

/// Why a member got no push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushSkip {
    /// The member has a live connection.
    Online,
    /// The member does not want it.
    Preference,
    /// The member has muted the room.
    Muted,
    /// The member got a push of this room a moment ago.
    Quiet,
    /// The member has no target.
    NoTarget,
    /// The member is blocked.
    Blocked,
}

/// The push services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushVia {
    /// Firebase Cloud Messaging.
    Fcm,
    /// Web Push.
    Web,
}

/// The outcome of one request to a push service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Accepted.
    Delivered,
    /// The target is gone.
    Gone,
    /// To be retried.
    Retry,
    /// Refused.
    Refused,
}

/// Why a target was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetRemoval {
    /// The service reported it gone.
    Gone,
    /// Another member saved it.
    Moved,
    /// The member has newer ones.
    Limit,
}

const VIA: [(PushVia, &str); 2] = [(PushVia::Fcm, "fcm"), (PushVia::Web, "web")];

const OUTCOMES: [(PushOutcome, &str); 4] = [
    (PushOutcome::Delivered, "delivered"),
    (PushOutcome::Gone, "gone"),
    (PushOutcome::Retry, "retry"),
    (PushOutcome::Refused, "refused"),
];

/// Metrics of push notifications.
#[derive(Debug)]
pub struct PushMetrics {
    /// Offered messages and notifications.
    pub offered: CountersBy<PushKind>,
    /// Dropped ones, by reason.
    pub dropped: CountersBy<PushDrop>,
    /// Members that got none, by reason.
    pub skipped: CountersBy<PushSkip>,
    /// Requests to push services, by outcome.
    pub deliveries: PushDeliveries,
    /// Targets removed, by reason.
    pub targets_removed: CountersBy<TargetRemoval>,
}

/// Requests by service and outcome, and their durations by service.
#[derive(Debug)]
pub struct PushDeliveries {
    counts: Vec<(PushVia, CountersBy<PushOutcome>)>,
    seconds: Vec<(PushVia, Histogram)>,
}

impl PushDeliveries {
    /// Notes a request.
    pub fn note(&self, via: PushVia, outcome: PushOutcome, took: Duration) {
        if let Some((_, counts)) = self.counts.iter().find(|(one, _)| *one == via) {
            counts.count(outcome);
        }
        if let Some((_, seconds)) = self.seconds.iter().find(|(one, _)| *one == via) {
            seconds.observe(took.as_secs_f64());
        }
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self, via: PushVia, outcome: PushOutcome) -> u64 {
        let counts = self.counts.iter().find(|(one, _)| *one == via);
        counts.map_or(0, |(_, counts)| counts.get(outcome))
    }
}

impl PushMetrics {
    pub(super) fn new(make: &Make) -> Self {
        let by_reason = |name: &str, help: &str| make.counters(name, help, "reason");
        let requests = make.counters_of(
            "chat_push_deliveries_total",
            "Requests to push services",
            &["service", "outcome"],
        );
        let seconds = make.histograms(
            "chat_push_duration_seconds",
            "Duration of requests to push services",
            "service",
        );
        let outcomes = |text: &str| {
            let child = |outcome: &str| requests.with_label_values(&[text, outcome]);
            CountersBy::of(OUTCOMES.map(|(outcome, name)| (outcome, child(name))))
        };
        let deliveries = PushDeliveries {
            counts: VIA.map(|(via, text)| (via, outcomes(text))).into(),
            seconds: VIA
                .map(|(via, text)| (via, seconds.with_label_values(&[text])))
                .into(),
        };
        Self {
            offered: by_label(
                &make.counters("chat_push_offered_total", "Offered for push", "kind"),
                [(PushKind::Chat, "chat"), (PushKind::Notice, "notice")],
            ),
            dropped: by_label(
                &by_reason(
                    "chat_push_dropped_total",
                    "Dropped before they were delivered",
                ),
                [
                    (PushDrop::Queue, "queue"),
                    (PushDrop::Age, "age"),
                    (PushDrop::Store, "store"),
                    (PushDrop::Stop, "stop"),
                ],
            ),
            skipped: by_label(
                &by_reason("chat_push_skipped_total", "Members that got no push"),
                [
                    (PushSkip::Online, "online"),
                    (PushSkip::Preference, "preference"),
                    (PushSkip::Muted, "muted"),
                    (PushSkip::Quiet, "quiet"),
                    (PushSkip::NoTarget, "no_target"),
                    (PushSkip::Blocked, "blocked"),
                ],
            ),
            deliveries,
            targets_removed: by_label(
                &by_reason("chat_push_targets_removed_total", "Push targets removed"),
                [
                    (TargetRemoval::Gone, "gone"),
                    (TargetRemoval::Moved, "moved"),
                    (TargetRemoval::Limit, "limit"),
                ],
            ),
        }
    }
}
