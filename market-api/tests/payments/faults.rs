//! Refunds of many members while the gateway, the provider and the webhooks fail at random, operators cancel, and two
//! instances work on what is due. When all is quiet the sums agree to the won.

use std::time::Duration;

use fakes::payout::PayoutPlan;
use fakes::toss::{FaultPlan, Rates, WebhookRates};
use futures_util::future::{join, join_all};
use market_api::payments::RefundError;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

use crate::fixtures::random;
use crate::on_both;
use crate::shop::unless_busy;
use crate::support::On;
use crate::till::{Captured, Till};

on_both!(refunds_under_faults_agree_to_the_won);

/// Members, each with some charges and some earned cash.
const MEMBERS: i64 = 12;

/// Rounds of refunds and operators' cancels.
const ROUNDS: usize = 12;

fn plan(rng: &mut StdRng) -> FaultPlan {
    let rates = Rates {
        lost_before: 60,
        lost_after: 60,
        server_error: 40,
        server_error_after: 40,
        too_many_requests: 20,
        malformed: 20,
        ..Rates::default()
    };
    FaultPlan {
        seed: rng.next_u64(),
        cancel: Rates {
            refused: 80,
            cancel_pending: 40,
            ..rates
        },
        get: rates,
        webhooks: WebhookRates {
            lost: 200,
            duplicated: 300,
            reordered: 200,
            contradictory: 10,
        },
        ..FaultPlan::default()
    }
}

impl Till {
    /// Cancels that the gateway has not decided are given back or given up.
    fn decide_cancels(&self, rng: &mut StdRng) {
        use fakes::toss::CancelStatus::{Aborted, Done, InProgress};
        for payment in self.toss.book() {
            let open = payment.cancels.iter();
            for cancel in open.filter(|cancel| cancel.status == InProgress) {
                let outcome = if rng.random_bool(0.7) { Done } else { Aborted };
                let key = &payment.payment_key;
                self.toss
                    .finish_cancel(key, &cancel.transaction_key, outcome);
            }
        }
    }

    /// Ends the faults and works on until nothing is due.
    async fn end_faults(&self, rng: &mut StdRng) {
        self.toss.set_plan(FaultPlan::default());
        self.payout.set_plan(PayoutPlan::default());
        // Webhooks that were lost: what the nightly comparison would query.
        self.decide_cancels(rng);
        self.shop
            .market
            .sql(vec![format!(
                "update charge set next_check_at = {} where state = 'CAPTURED'",
                self.shop.market.now_ms()
            )])
            .await;
        self.settle(4 * 60).await;
    }

    /// Two instances work on what is due.
    async fn both_work(&self, other: &market_api::payments::Payments) {
        for _ in 0..5 {
            self.toss.run_webhooks().await;
            let (one, two) = join(self.payments.run_due(), other.run_due()).await;
            if one.unwrap() + two.unwrap() == 0 {
                return;
            }
        }
    }
}

/// Every refund has an outcome, and no transaction of the gateway is in the books twice.
async fn assert_all_ended(till: &Till) {
    let open = "select count(*) from refund where state = 'OPEN'";
    assert_eq!(
        till.shop.market.int(open).await,
        0,
        "{:?}",
        till.legs().await
    );
    let twice = "select count(*) from (select transaction_key from gateway_cancel \
                 group by transaction_key having count(*) > 1) as twice";
    assert_eq!(till.shop.market.int(twice).await, 0);
    let done = "select count(*) from refund_leg where state = 'DONE'";
    assert!(till.shop.market.int(done).await > 20);
}

async fn refunds_under_faults_agree_to_the_won(on: On) {
    let till = Till::open(on).await;
    let other = till.instance();
    let mut rng = random();
    till.shop.members(MEMBERS, 5_000).await;
    let mut charges: Vec<Captured> = Vec::new();
    for id in 1..=MEMBERS {
        for nth in 0..3 {
            let amount = rng.random_range(100..3_000);
            charges.push(till.charge(id, &format!("order-{id}-{nth}"), amount).await);
        }
    }
    till.settle(1).await;
    till.toss.set_plan(plan(&mut rng));
    till.payout.set_plan(PayoutPlan {
        seed: rng.next_u64(),
        lost_before: 60,
        lost_after: 60,
        server_error: 40,
        refused: 80,
    });
    for round in 0..ROUNDS {
        let wanted: Vec<_> = (0..6)
            .map(|nth| {
                let (id, amount) = (rng.random_range(1..=MEMBERS), rng.random_range(1..2_500));
                (id, format!("{round}-{nth}"), amount)
            })
            .collect();
        let refunds = wanted.iter().map(async |(id, request, amount)| {
            let refund = || till.refund(*id, request, *amount);
            match unless_busy(async || refund().await).await {
                Ok(_) | Err(RefundError::Amount) => {}
                Err(error) => panic!("{error:?}"),
            }
        });
        join(join_all(refunds), till.both_work(&other)).await;
        if rng.random_bool(0.5) {
            let charge = &charges[rng.random_range(0..charges.len())];
            till.toss
                .dashboard_cancel(&charge.key, rng.random_range(1..1_000));
        }
        till.decide_cancels(&mut rng);
        let seconds = rng.random_range(1..90);
        let clock = &till.shop.market.base.clock;
        clock.advance(Duration::from_secs(seconds));
        till.both_work(&other).await;
        till.shop.verify().await;
    }
    till.end_faults(&mut rng).await;
    assert_all_ended(&till).await;
    drop(other);
    till.close().await;
}
