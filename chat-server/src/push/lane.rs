//! Lanes: the deliveries to one push service each, with bounded concurrency and retries.
//!
//! Each service has a lane of its own, so that one that hangs does not hold up the other. A delivery is retried a few
//! times within ten minutes; a push that is later than that is of no use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use shared::clock::Clock;
use shared::drain::Drain;
use shared::ids::MemberId;
use tokio::select;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{sleep, timeout};

use super::targets::{SavedTarget, Targets};
use super::{Delivery, PushMessage, PushService, PushServices, Target};
use crate::metrics::{Metrics, PushDrop, PushOutcome, PushVia, TargetRemoval};

/// Deliveries that wait for a service.
const QUEUE_MAX: usize = 10_000;

/// Deliveries at a time. A service that answers in 100 ms takes 640 a second.
const AT_ONCE: usize = 64;

/// Deliveries that wait for their next attempt.
const RETRIES_MAX: usize = 10_000;

/// Attempts of a delivery.
const ATTEMPTS_MAX: u32 = 5;

/// Age of a delivery at most.
const AGE_MAX: Duration = Duration::from_secs(600);

/// Pause before the second attempt; each further one is four times as long.
const BACKOFF: Duration = Duration::from_secs(1);

/// Time for deliveries under way when this node stops.
const STOP_MAX: Duration = Duration::from_secs(2);

/// One message to one target.
#[derive(Debug)]
pub(super) struct Job {
    member: MemberId,
    target: SavedTarget,
    message: Arc<PushMessage>,
    since: Instant,
    attempts: u32,
}

impl Job {
    pub(super) const fn new(
        member: MemberId,
        target: SavedTarget,
        message: Arc<PushMessage>,
        now: Instant,
    ) -> Self {
        Self {
            member,
            target,
            message,
            since: now,
            attempts: 0,
        }
    }
}

/// The queues of the services that are configured.
pub(super) struct Lanes {
    fcm: Option<mpsc::Sender<Job>>,
    web: Option<mpsc::Sender<Job>>,
    metrics: Arc<Metrics>,
}

impl Lanes {
    pub(super) fn start(
        services: &PushServices,
        targets: &Arc<Targets>,
        clock: &Arc<dyn Clock>,
        (drain, metrics): (&Drain, &Arc<Metrics>),
    ) -> Self {
        let start = |via: PushVia, service: &Option<Arc<dyn PushService>>| {
            let service = Arc::clone(service.as_ref()?);
            let (queue, jobs) = mpsc::channel(QUEUE_MAX);
            let lane = Lane {
                via,
                service,
                targets: Arc::clone(targets),
                clock: Arc::clone(clock),
                drain: drain.clone(),
                metrics: Arc::clone(metrics),
            };
            drop(drain.spawn("push-lane", async move { lane.run(jobs).await }));
            Some(queue)
        };
        Self {
            fcm: start(PushVia::Fcm, &services.fcm),
            web: start(PushVia::Web, &services.web),
            metrics: Arc::clone(metrics),
        }
    }

    /// Never waits. A target of a service that is not configured is passed over.
    pub(super) fn put(&self, job: Job) {
        let queue = match &job.target.target {
            Target::Fcm(_) => &self.fcm,
            Target::Web(_) => &self.web,
        };
        let dropped = &self.metrics.push.dropped;
        match queue.as_ref().map(mpsc::Sender::try_reserve) {
            None => {}
            Some(Ok(place)) => place.send(job),
            Some(Err(TrySendError::Full(()))) => dropped.count(PushDrop::Queue),
            Some(Err(TrySendError::Closed(()))) => dropped.count(PushDrop::Stop),
        }
    }
}

struct Lane {
    via: PushVia,
    service: Arc<dyn PushService>,
    targets: Arc<Targets>,
    clock: Arc<dyn Clock>,
    drain: Drain,
    metrics: Arc<Metrics>,
}

impl Lane {
    async fn run(&self, mut jobs: mpsc::Receiver<Job>) {
        let soft = self.drain.soft();
        let dropped = &self.metrics.push.dropped;
        let (mut open, mut waiting) = (FuturesUnordered::new(), FuturesUnordered::new());
        // | arm | input | cancel-safe because |
        // |---|---|---|
        // | cancelled | the drain begins | a token |
        // | open.next | an attempt has ended | the futures stay in the set |
        // | waiting.next | a pause has ended | the same |
        // | jobs.recv | a delivery | documented |
        loop {
            let has_place = open.len() < AT_ONCE;
            select! {
                () = soft.cancelled() => break,
                Some(again) = open.next(), if !open.is_empty() => match again {
                    Some((job, pause)) if waiting.len() < RETRIES_MAX => {
                        waiting.push(async move { sleep(pause).await; job });
                    }
                    Some(_) => dropped.count(PushDrop::Queue),
                    None => {}
                },
                Some(job) = waiting.next(), if has_place && !waiting.is_empty() => {
                    open.push(self.attempt(job));
                }
                job = jobs.recv(), if has_place => match job {
                    Some(job) => open.push(self.attempt(job)),
                    None => break,
                },
            }
        }
        jobs.close();
        while jobs.try_recv().is_ok() {
            dropped.count(PushDrop::Stop);
        }
        let ending = async { while open.next().await.is_some() {} };
        let ended = timeout(STOP_MAX, ending).await;
        let left = if ended.is_ok() { 0 } else { open.len() };
        (0..left + waiting.len()).for_each(|_| dropped.count(PushDrop::Stop));
    }

    /// One attempt; what is to be attempted again after a pause.
    async fn attempt(&self, mut job: Job) -> Option<(Job, Duration)> {
        job.attempts += 1;
        let (member, digest) = (job.member, &job.target.digest);
        let delivery = match self.targets.is_owned(member, digest).await {
            Ok(true) => self.deliver(&job).await,
            Ok(false) => return None,
            Err(_unavailable) => Delivery::RetryAfter(None),
        };
        match delivery {
            Delivery::Delivered => None,
            Delivery::Gone => {
                // If it fails, the next message finds it gone again.
                let removed = self
                    .targets
                    .drop_target(member, digest, TargetRemoval::Gone);
                if let Err(error) = removed.await {
                    tracing::debug!("a dead target stays: {error}");
                }
                None
            }
            Delivery::RetryAfter(pause) => self.next_attempt(job, pause),
            Delivery::Refused(why) => {
                tracing::warn!(via = ?self.via, "a push service refuses a message: {why}");
                None
            }
        }
    }

    async fn deliver(&self, job: &Job) -> Delivery {
        let began = self.clock.now();
        let delivery = self.service.deliver(&job.message, &job.target.target).await;
        let took = self.clock.now().saturating_duration_since(began);
        let outcome = match &delivery {
            Delivery::Delivered => PushOutcome::Delivered,
            Delivery::Gone => PushOutcome::Gone,
            Delivery::RetryAfter(_) => PushOutcome::Retry,
            Delivery::Refused(_) => PushOutcome::Refused,
        };
        self.metrics.push.deliveries.note(self.via, outcome, took);
        delivery
    }

    fn next_attempt(&self, job: Job, wanted: Option<Duration>) -> Option<(Job, Duration)> {
        let backoff = BACKOFF * 4_u32.saturating_pow(job.attempts - 1);
        // Spread by up to a half, or all retries of an outage would come at once.
        let backoff = backoff.mul_f64(1.0 + job.target.digest.fraction() / 2.0);
        let pause = wanted.unwrap_or_default().max(backoff);
        let age = self.clock.now().saturating_duration_since(job.since);
        if job.attempts >= ATTEMPTS_MAX || age + pause > AGE_MAX {
            self.metrics.push.dropped.count(PushDrop::Age);
            return None;
        }
        Some((job, pause))
    }
}
