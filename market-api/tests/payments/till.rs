//! A market that takes charges and pays refunds, beside the gateway and the payout provider. All have one clock,
//! which stands still between the steps of a test.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use fakes::payout::FakePayout;
use fakes::toss::{FakeToss, How};
use market_api::gateway::OrderId;
use market_api::gateway::toss::{TossGateway, TossSettings, TossTimes};
use market_api::payments::{
    self, ChargeAnswer, ChargeOrder, Payments, PaymentsParts, RefundAnswer, RefundError,
    RefundOrder, RequestId, WebhookPath,
};
use market_api::payouts::http::{HttpPayouts, PayoutSettings};
use shared::config::Secret;
use shared::money::Won;
use sqlx::Row as _;
use tokio::net::TcpListener;

use crate::fixtures::member;
use crate::shop::Shop;
use crate::support::On;

/// The secret keys of the gateway and the provider, and the secret part of the webhook's path.
const SECRET: &str = "test_sk_of_the_till";

/// Rounds of due rows at one moment; more would be a loop.
const ROUNDS_MAX: usize = 200;

/// A market with its gateway.
pub(crate) struct Till {
    pub(crate) shop: Shop,
    pub(crate) payments: Payments,
    /// The client of the gateway, for what only others do there.
    pub(crate) gateway: Arc<TossGateway>,
    payouts: Arc<HttpPayouts>,
    pub(crate) toss: Arc<FakeToss>,
    pub(crate) payout: Arc<FakePayout>,
}

/// A captured charge, by the gateway's key of its payment.
pub(crate) struct Captured {
    pub(crate) key: String,
}

async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    base
}

pub(crate) fn order_id(text: &str) -> OrderId {
    OrderId::try_from(text.to_owned()).unwrap()
}

impl Till {
    pub(crate) async fn open(on: On) -> Self {
        Self::with_payouts(on, |payout| payout).await
    }

    /// With a provider that is set up so.
    pub(crate) async fn with_payouts(
        on: On,
        set_up: impl FnOnce(FakePayout) -> FakePayout,
    ) -> Self {
        let shop = Shop::open(on).await;
        let base = &shop.market.base;
        let toss = Arc::new(FakeToss::new(SECRET, Arc::clone(&base.clock) as _));
        let payout = FakePayout::new(SECRET, Arc::clone(&base.clock) as _);
        let payout = Arc::new(set_up(payout));
        let gateway = TossSettings {
            base: serve(Arc::clone(&toss).router()).await.parse().unwrap(),
            secret: Secret::new(SECRET.to_owned()),
            times: TossTimes::default(),
        };
        let payouts = PayoutSettings {
            base: serve(Arc::clone(&payout).router()).await.parse().unwrap(),
            key: Secret::new(SECRET.to_owned()),
            answer_max: PayoutSettings::ANSWER_MAX,
        };
        let metrics = || Arc::clone(&base.metrics);
        let gateway = TossGateway::new(gateway, Arc::clone(&base.clock) as _, metrics()).unwrap();
        let gateway = Arc::new(gateway);
        let payouts = Arc::new(HttpPayouts::new(payouts, metrics()).unwrap());
        let payments = Payments::new(PaymentsParts {
            db: base.db.clone(),
            gateway: Some(Arc::clone(&gateway) as _),
            payouts: Some(Arc::clone(&payouts) as _),
            metrics: metrics(),
            drain: base.drain.clone(),
        });
        let path = WebhookPath(Secret::new(SECRET.to_owned()));
        let (routes, _document) =
            payments::routes(payments.clone(), Some(path), None).split_for_parts();
        let site = serve(routes).await;
        toss.send_webhooks_to(&format!("{site}/hooks/toss/{SECRET}"))
            .unwrap();
        Self {
            shop,
            payments,
            gateway,
            payouts,
            toss,
            payout,
        }
    }

    /// Another instance of the market, with the same database, gateway and provider.
    pub(crate) fn instance(&self) -> Payments {
        let base = &self.shop.market.base;
        Payments::new(PaymentsParts {
            db: base.db.clone(),
            gateway: Some(Arc::clone(&self.gateway) as _),
            payouts: Some(Arc::clone(&self.payouts) as _),
            metrics: Arc::clone(&base.metrics),
            drain: base.drain.clone(),
        })
    }

    /// A charge of an order of that name, paid by card.
    pub(crate) async fn charge(&self, id: i64, order: &str, amount: i64) -> Captured {
        let (wanted, won) = (order_id(order), Won::new(amount));
        let saved = self.payments.save_order(member(id), wanted.clone(), won);
        saved.await.unwrap();
        let key = self.toss.authorize(order, amount, How::Card);
        let answer = self.payments.charge(ChargeOrder {
            member: member(id),
            key: key.clone().try_into().unwrap(),
            order: wanted,
            amount: won,
        });
        let answer = answer.await.unwrap();
        assert!(
            matches!(answer, ChargeAnswer::Captured { .. }),
            "{answer:?}"
        );
        Captured { key }
    }

    pub(crate) async fn refund(
        &self,
        id: i64,
        request: &str,
        amount: i64,
    ) -> Result<RefundAnswer, RefundError> {
        let order = RefundOrder {
            member: member(id),
            request: RequestId::try_from(request.to_owned())?,
            amount: Won::new(amount),
        };
        self.payments.refund(order).await
    }

    /// Works on what is due now, until nothing is.
    pub(crate) async fn work(&self) {
        for _ in 0..ROUNDS_MAX {
            let sent = self.toss.run_webhooks().await;
            if self.payments.run_due().await.unwrap() + sent == 0 {
                return;
            }
        }
        panic!("more than {ROUNDS_MAX} rounds at one moment");
    }

    /// So much time passes, in steps of some seconds at first.
    pub(crate) async fn settle(&self, minutes: u64) {
        self.work().await;
        let mut left = Duration::from_secs(60 * minutes);
        let mut passed = Duration::ZERO;
        while left > Duration::ZERO {
            let step = match passed.as_secs() {
                0..120 => Duration::from_secs(2),
                120..3_600 => Duration::from_secs(20),
                _ => Duration::from_secs(600),
            };
            let step = step.min(left);
            self.shop.market.base.clock.advance(step);
            self.work().await;
            left -= step;
            passed += step;
        }
    }

    /// The rows of a query as one text each.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let rows = self.shop.market.rows(sql.to_owned()).await;
        rows.iter().map(|row| row.try_get(0).unwrap()).collect()
    }

    /// The legs: name, kind, bucket, amount and state of each.
    pub(crate) async fn legs(&self) -> Vec<String> {
        self.texts(
            "select refund_id || '-' || n || ' ' || kind || ' ' || bucket || ' ' || amount || ' ' || state \
             from refund_leg order by refund_id, n",
        )
        .await
    }

    /// The states of the refunds, with what came back.
    pub(crate) async fn refunds(&self) -> Vec<String> {
        self.texts(
            "select state || ' ' || amount || ' ' || (returned_charged + returned_earned) \
             from refund order by id",
        )
        .await
    }

    /// The ledger holds, and both sides have the same sums.
    pub(crate) async fn verify(&self) {
        self.shop.verify().await;
        let account = async |name: &str| {
            let sum = format!(
                "select cast(coalesce(sum(amount), 0) as bigint) from posting where account = '{name}'"
            );
            self.shop.market.int(&sum).await
        };
        let gateway = self.toss.totals();
        assert_eq!(
            account("pg_receivable").await,
            gateway.captured - gateway.cancelled
        );
        assert_eq!(account("bank").await, -self.payout.total_paid());
    }

    /// As [`Self::verify`], and nothing deadlocked. It closes the database.
    pub(crate) async fn close(self) {
        self.verify().await;
        self.shop.close().await;
    }
}
