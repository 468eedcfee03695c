//! `loadtest payments refunds`: members with several charges and earned cash get it back while the gateway and the
//! payout provider fail, for a day and more of a clock that the run moves.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use fakes::payout::{PayoutPlan, PayoutStatus};
use fakes::toss::{CancelStatus, FaultPlan, Rates};
use futures_util::{StreamExt as _, stream};
use market_api::payments::{RefundError, RefundOrder, RequestId};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use shared::ids::MemberId;
use shared::money::Won;

use super::charges::{collect, faults, meanwhile, pass};
use super::customer::{AT_ONCE, Customers};
use super::habit::Visit;
use super::judge::judge;
use super::records::{Records, RefundAnswer, Request, Rigour};
use super::report::{print_progress, print_records, print_verdict};
use super::sabotage::{passed_over, spoil};
use super::stage::Stage;
use super::{Common, PaymentsError};

/// Refunds of the short form.
const SHORT: usize = 100;

/// Charges and refunds of each member.
const CHARGES: usize = 4;
const REFUNDS: usize = 5;

/// Steps of the clock, each until so many minutes after the last request. Unknown outcomes are queried hourly at
/// last.
const STEPS: [(u64, Duration); 3] = [
    (60, Duration::from_secs(5)),
    (3 * 60, Duration::from_secs(60)),
    (26 * 60, Duration::from_secs(10 * 60)),
];

/// More than any member has.
const TOO_MUCH: i64 = 500_000_000;

/// `loadtest payments refunds`
#[derive(Clone, Debug, Args)]
pub(crate) struct Refunds {
    #[command(flatten)]
    pub(crate) common: Common,

    /// Refunds
    #[arg(long, default_value_t = 2_000, value_name = "COUNT")]
    count: usize,

    /// 100 refunds
    #[arg(long)]
    short: bool,
}

/// A refund to request.
#[derive(Clone, Debug)]
struct Wish {
    number: usize,
    member: MemberId,
    amount: i64,
    /// Further chance.
    lot: u32,
}

/// Members who want cash back.
#[derive(Debug)]
struct Members<'a> {
    stage: &'a Stage,
    requests: Mutex<Vec<Request>>,
}

impl Refunds {
    /// # Errors
    /// The run could not be completed, or a promise was broken.
    pub(crate) async fn run(&self) -> Result<(), PaymentsError> {
        let count = if self.short { SHORT } else { self.count };
        let begun = self.common.begin(&format!("{count} refunds")).await?;
        let members = (count / REFUNDS).max(2);
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
        let mut rng = StdRng::seed_from_u64(seed);
        let customers = Customers::new(stage);
        charge_all(stage, &customers, &mut rng).await?;
        print_progress(begun, "all members have charged")?;
        set_faults(stage, &customers, &mut rng, seed);
        let members = Members {
            stage,
            requests: Mutex::default(),
        };
        let wishes = draw(stage, &mut rng, count);
        let all = stream::iter(&wishes);
        let all = all.for_each_concurrent(AT_ONCE, |wish| members.request(wish));
        meanwhile(stage, &customers, all).await?;
        print_progress(begun, "all refunds are requested")?;
        let last = stage.now();
        for (minutes, step) in STEPS {
            let until = last.saturating_add(Duration::from_secs(minutes * 60));
            while stage.now() < until {
                finish_pending(stage, &customers, &mut rng);
                pass(stage, &customers, stage.now().saturating_add(step), step).await?;
            }
        }
        print_progress(begun, "26 h after the last request, with faults")?;
        let mut records = members.collect(&customers).await?;
        let mut violations = judge(&records, Rigour::Webhooks);

        stage.toss.set_plan(FaultPlan::default());
        stage.payout.set_plan(PayoutPlan::default());
        for order in customers.changed() {
            let body = format!(r#"{{"data":{{"orderId":"{order}"}}}}"#);
            stage.payments.notify(body.as_bytes()).await?;
        }
        for _ in 0..3 {
            stage.step(Duration::from_secs(60)).await?;
        }
        records = members.collect(&customers).await?;
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

/// Every member charges, without faults.
async fn charge_all(
    stage: &Stage,
    customers: &Customers<'_>,
    rng: &mut StdRng,
) -> Result<(), PaymentsError> {
    let numbers = 0..stage.members.len() * CHARGES;
    let visits: Vec<_> = numbers
        .map(|number| {
            let member = stage.members[number % stage.members.len()];
            Visit::by_card(number, member, rng.random_range(50..=500) * 100)
        })
        .collect();
    let all = stream::iter(&visits);
    all.for_each_concurrent(AT_ONCE, |visit| customers.visit(visit))
        .await;
    stage.step(Duration::from_secs(60)).await
}

/// From now on calls fail, some bank accounts are closed, and the gateway's operator cancels some payments.
fn set_faults(stage: &Stage, customers: &Customers<'_>, rng: &mut StdRng, seed: u64) {
    let plan = faults(seed);
    stage.toss.set_plan(FaultPlan {
        cancel: Rates {
            lost_before: 80,
            lost_after: 80,
            server_error: 50,
            server_error_after: 20,
            refused: 50,
            cancel_pending: 30,
            ..plan.cancel
        },
        ..plan
    });
    stage.payout.set_plan(PayoutPlan {
        seed,
        lost_before: 100,
        lost_after: 100,
        server_error: 50,
        refused: 100,
    });
    for member in &stage.members {
        if rng.random_range(0..20) == 0 {
            stage
                .payout
                .close_account(&format!("\"memberId\":{member}}}"));
        }
    }
    for number in 0..stage.members.len() * CHARGES {
        if rng.random_range(0..12) == 0 {
            let part = rng.random_bool(0.5).then(|| rng.random_range(1..=5_000));
            customers.cancel_later(number, rng.random_range(0..60), part);
        }
    }
}

fn draw(stage: &Stage, rng: &mut StdRng, count: usize) -> Vec<Wish> {
    let mut wish = |number: usize| Wish {
        number,
        member: stage.members[number % stage.members.len()],
        amount: match rng.random_range(0..100) {
            0..70 => rng.random_range(1_000..=60_000),
            70..85 => rng.random_range(100_000..=300_000),
            85..95 => 1,
            _ => TOO_MUCH,
        },
        lot: rng.random_range(0..100),
    };
    (0..count).map(&mut wish).collect()
}

/// Cancels in progress come to their end, and a bank sends some payouts back.
fn finish_pending(stage: &Stage, customers: &Customers<'_>, rng: &mut StdRng) {
    for payment in stage.toss.book() {
        for cancel in payment.cancels {
            let is_pending = cancel.status == CancelStatus::InProgress;
            if is_pending && rng.random_range(0..20) == 0 {
                let outcome = match rng.random_range(0..4) {
                    0 => CancelStatus::Aborted,
                    _ => CancelStatus::Done,
                };
                let (key, transaction) = (&payment.payment_key, &cancel.transaction_key);
                stage.toss.finish_cancel(key, transaction, outcome);
                customers.note_change(&payment.order_id);
            }
        }
    }
    for payout in stage.payout.book() {
        if payout.status == PayoutStatus::Accepted && rng.random_range(0..1_000) == 0 {
            stage.payout.reject(&payout.reference, "ACCOUNT_CLOSED");
        }
    }
}

impl Members<'_> {
    /// A member requests a refund, some in two tabs, some again with another amount.
    async fn request(&self, wish: &Wish) {
        let mut request = Request {
            member: wish.member.get(),
            request: format!("request-{}", wish.number),
            amount: wish.amount,
            answers: Vec::new(),
        };
        match wish.lot {
            0..25 => {
                let both = tokio::join!(
                    self.ask(wish, &request, wish.amount),
                    self.ask(wish, &request, wish.amount)
                );
                request.answers.extend([both.0, both.1]);
            }
            _ => {
                let answer = self.ask(wish, &request, wish.amount).await;
                request.answers.push(answer);
            }
        }
        let is_accepted = matches!(request.answers.first(), Some(RefundAnswer::Accepted(..)));
        if wish.lot >= 90 && is_accepted {
            let answer = self.ask(wish, &request, wish.amount + 1).await;
            let expected = RefundError::Repeated.to_string();
            let is_refused = matches!(&answer, RefundAnswer::Odd(text) if *text == expected);
            let answer = if is_refused {
                RefundAnswer::None
            } else {
                RefundAnswer::Odd(format!("another amount: {answer:?}"))
            };
            request.answers.push(answer);
        }
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        requests.push(request);
    }

    async fn ask(&self, wish: &Wish, request: &Request, amount: i64) -> RefundAnswer {
        let id = RequestId::try_from(request.request.clone()).expect("an id's form");
        let order = RefundOrder {
            member: wish.member,
            request: id,
            amount: Won::new(amount),
        };
        match self.stage.payments.refund(order).await {
            Ok(answer) => RefundAnswer::Accepted(answer.amount.get(), answer.remain.get()),
            Err(RefundError::Amount) => RefundAnswer::Refused,
            Err(error) => RefundAnswer::Odd(error.to_string()),
        }
    }

    async fn collect(&self, customers: &Customers<'_>) -> Result<Records, PaymentsError> {
        let requests = self.requests.lock();
        let requests = requests.unwrap_or_else(PoisonError::into_inner).clone();
        Ok(Records {
            requests,
            // The legs' queries have times of their own.
            queries: Vec::new(),
            ..collect(self.stage, customers).await?
        })
    }
}
