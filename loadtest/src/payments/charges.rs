//! `loadtest payments charges`: customers charge while the gateway fails, for an hour of a clock that the run moves.

use std::time::{Duration, Instant};

use clap::Args;
use fakes::toss::{Call, FaultPlan, Rates, WebhookRates};
use futures_util::{StreamExt as _, stream};
use market_api::ledger;
use shared::clock::{Clock as _, SystemClock, UnixMillis};
use tokio::time::sleep;

use super::books::Books;
use super::customer::{AT_ONCE, Customers};
use super::habit::Visit;
use super::judge::judge;
use super::records::{Arrival, Records, Rigour};
use super::report::{print_progress, print_records, print_verdict};
use super::sabotage::{passed_over, spoil};
use super::stage::Stage;
use super::{Common, PaymentsError};
use crate::market::client::since;

/// Charges of the short form.
const SHORT: usize = 300;

/// While customers are there, the clock moves so many times as fast as real time, in steps of about this much of it. A
/// step that takes longer is cut, so that the reconciler misses none of its times.
const HASTE: u32 = 30;
const TICK: Duration = Duration::from_millis(50);
const TICK_MAX: Duration = Duration::from_secs(20);

/// Afterwards, steps of this much.
const STEP: Duration = Duration::from_secs(5);

/// Minutes after the last customer until those who are late come, and until the judge comes.
const LATE_MINUTES: u64 = 12;
const MINUTES: u64 = 60;

/// `loadtest payments charges`
#[derive(Clone, Debug, Args)]
pub(crate) struct Charges {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Charges
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    count: usize,

    /// 300 charges
    #[arg(long)]
    short: bool,
}

/// Faults of every call and of webhooks.
pub(crate) fn faults(seed: u64) -> FaultPlan {
    let calls = Rates {
        delay: 10,
        lost_before: 50,
        lost_after: 50,
        server_error: 50,
        server_error_after: 5,
        too_many_requests: 5,
        malformed: 10,
        ..Rates::default()
    };
    FaultPlan {
        seed,
        confirm: calls,
        cancel: calls,
        get: Rates { delay: 1, ..calls },
        webhooks: WebhookRates {
            lost: 200,
            duplicated: 300,
            reordered: 200,
            contradictory: 10,
        },
        delay_max: Duration::from_millis(1_200),
    }
}

impl Charges {
    /// # Errors
    /// The run could not be completed, or a promise was broken.
    pub(crate) async fn run(&self) -> Result<(), PaymentsError> {
        let count = if self.short { SHORT } else { self.count };
        let begun = self.common.begin(&format!("{count} charges")).await?;
        // At most 100 orders of a member: the market takes 200 within a day.
        let members = (count / 50).max(2);
        let stage = Stage::open(begun.database, &begun.run, members).await?;
        let judged = Box::pin(self.judged(&stage, begun.seed, count, begun.at)).await;
        stage.close().await?;
        judged
    }

    async fn judged(
        &self,
        stage: &Stage,
        seed: u64,
        count: usize,
        begun: Instant,
    ) -> Result<(), PaymentsError> {
        stage.toss.set_plan(faults(seed));
        let customers = Customers::new(stage);
        let visits = Visit::draw(seed, count, &stage.members);
        let start = stage.now();
        let all = stream::iter(&visits);
        let all = all.for_each_concurrent(AT_ONCE, |visit| customers.visit(visit));
        meanwhile(stage, &customers, all).await?;
        let minutes = |from| stage.now().saturating_since(from).as_secs_f64() / 60.0;
        let what = format!(
            "the last customer was there, {:.0} min after the first",
            minutes(start)
        );
        print_progress(begun, &what)?;

        let last = stage.now();
        let after = |minutes| last.saturating_add(Duration::from_secs(minutes * 60));
        // Some of them wait eight seconds, as a page does.
        if !self.short {
            meanwhile(stage, &customers, customers.reload(true)).await?;
        }
        pass(stage, &customers, after(LATE_MINUTES), STEP).await?;
        meanwhile(stage, &customers, customers.come_late()).await?;
        pass(stage, &customers, after(MINUTES), STEP).await?;
        let what = format!(
            "{:.0} min after the last customer, with faults",
            minutes(last)
        );
        print_progress(begun, &what)?;
        let records = collect(stage, &customers).await?;
        let mut violations = judge(&records, Rigour::Webhooks);

        // What others changed, and no webhook reported, is found once a query is due.
        stage.toss.set_plan(FaultPlan::default());
        for order in customers.changed() {
            let body = format!(r#"{{"data":{{"orderId":"{order}"}}}}"#);
            stage.payments.notify(body.as_bytes()).await?;
        }
        for _ in 0..3 {
            stage.step(STEP).await?;
        }
        customers.reload(false).await;
        let mut records = collect(stage, &customers).await?;
        print_records(&records)?;
        for one in &self.common.sabotage {
            spoil(*one, &mut records)?;
        }
        violations.extend(judge(&records, Rigour::All));
        if violations.is_empty() {
            // The judge is tested with the records of this run, too.
            if let Some(sabotage) = passed_over(&records, Rigour::All)?.first() {
                print_progress(begun, &format!("{sabotage:?} was not found"))?;
                return Err(PaymentsError::Broken(1));
            }
        }
        print_progress(begun, "judged")?;
        print_verdict(&violations)
    }
}

/// Moves the clock on until `work` is done.
pub(crate) async fn meanwhile(
    stage: &Stage,
    customers: &Customers<'_>,
    work: impl Future<Output = ()>,
) -> Result<(), PaymentsError> {
    let ticking = async {
        let mut last = SystemClock.now();
        loop {
            sleep(TICK).await;
            customers.act();
            let passed = (since(last) * HASTE).min(TICK_MAX);
            last = SystemClock.now();
            if let Err(error) = Box::pin(stage.step(passed)).await {
                return error;
            }
        }
    };
    tokio::select! {
        () = work => {}
        error = ticking => return Err(error),
    }
    // A step that was cut short.
    stage.settle().await
}

/// Lets the time pass until then.
pub(crate) async fn pass(
    stage: &Stage,
    customers: &Customers<'_>,
    until: UnixMillis,
    step: Duration,
) -> Result<(), PaymentsError> {
    while stage.now() < until {
        customers.act();
        Box::pin(stage.step(step)).await?;
    }
    Ok(())
}

pub(crate) async fn collect(
    stage: &Stage,
    customers: &Customers<'_>,
) -> Result<Records, PaymentsError> {
    let queries = stage.toss.requests_seen().into_iter();
    let queries = queries
        .filter(|one| one.call == Call::Get)
        .map(|one| Arrival {
            order: one.order_id,
            at: one.at.get(),
        });
    let ledger = ledger::verify(&stage.db).await?;
    Ok(Records {
        orders: customers.orders(),
        requests: Vec::new(),
        books: Books::read(&stage.db).await?,
        gateway: stage.toss.book(),
        payouts: stage.payout.book(),
        queries: queries.collect(),
        webhooks: stage.arrivals(),
        ledger: ledger.iter().map(ToString::to_string).collect(),
        now: stage.now().get(),
    })
}
