//! Charges whose confirmation the gateway never gets.

use fakes::toss::{FaultPlan, How, Rates, WebhookRates};
use market_api::payments::{ChargeAnswer, ChargeOrder};
use shared::money::Won;

use crate::fixtures::member;
use crate::on_both;
use crate::support::On;
use crate::till::{Till, order_id};

on_both!(unconfirmed_payment_ends_within_an_hour);

/// The gateway ends it after half an hour; the webhook that says so is lost.
async fn unconfirmed_payment_ends_within_an_hour(on: On) {
    let till = Till::open(on).await;
    till.shop.members(1, 0).await;
    till.toss.set_plan(FaultPlan {
        confirm: Rates {
            lost_before: 1_000,
            ..Rates::default()
        },
        webhooks: WebhookRates {
            lost: 1_000,
            ..WebhookRates::default()
        },
        ..FaultPlan::default()
    });
    let (order, amount) = (order_id("order-1"), Won::new(1_000));
    let saved = till.payments.save_order(member(1), order.clone(), amount);
    saved.await.unwrap();
    let key = till.toss.authorize("order-1", 1_000, How::Card);
    let answer = till.payments.charge(ChargeOrder {
        member: member(1),
        key: key.try_into().unwrap(),
        order,
        amount,
    });
    assert_eq!(answer.await.unwrap(), ChargeAnswer::BeingVerified);
    let states = "select state from charge";
    till.settle(29).await;
    assert_eq!(till.texts(states).await, ["UNKNOWN"]);
    till.settle(31).await;
    assert_eq!(till.texts(states).await, ["EXPIRED"]);
    assert_eq!(till.shop.cash(1).await, 0);
    till.close().await;
}
