//! The lock order, by the functions that lock.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::StatusCode;
use market_api::db::{Abort, Tx, WriteError};
use market_api::idempotency::{Answer, IdempotentRequest, KeyState, begin_in, finish_in};
use market_api::outbox::{NewEvent, append};
use market_api::{cash, members, plans, products};
use shared::event::{Aggregate, Event};
use shared::ids::{MemberId, ProductId};
use sqlx::query;

use crate::support::{Base, On, open};
use crate::{member, on_both};

on_both! {
    locks_in_their_order_are_taken,
    every_lock_refuses_to_come_too_late,
    second_wallet_is_refused,
    members_and_outbox_numbers_are_locked_in_ascending_order,
    shared_row_is_not_locked_more_strongly,
}

/// Takes one lock in a transaction. No rows need to exist but those of the two members.
type Take = for<'t, 'c> fn(&'t mut Tx<'c>, [MemberId; 2]) -> BoxFuture<'t, ()>;

/// The locks taken by functions of the domains, in lock order.
const ORDER: [(&str, Take); 6] = [
    ("key", |tx, [me, _]| {
        Box::pin(async move {
            let once = IdempotentRequest::new(me, "POST /x", "k".to_owned(), b"");
            assert!(matches!(begin_in(tx, &once).await.unwrap(), KeyState::New));
            let answer = Answer {
                status: StatusCode::OK,
                body: "{}".to_owned(),
            };
            finish_in(tx, &once, &answer).await.unwrap();
        })
    }),
    ("offer", |tx, _| {
        Box::pin(async move {
            let offer = ProductId::try_from(1_u64).unwrap();
            products::lock_shared_in(tx, offer).await.unwrap();
        })
    }),
    ("wallet", |tx, [me, _]| {
        Box::pin(async move { cash::lock_in(tx, me).await.unwrap() })
    }),
    ("month", |tx, [me, _]| {
        Box::pin(async move {
            let month = tx.month();
            plans::lock_month_in(tx, me, month).await.unwrap();
        })
    }),
    ("members", |tx, both| {
        Box::pin(async move {
            members::lock_shared_in(tx, both).await.unwrap();
        })
    }),
    ("outbox number", |tx, _| Box::pin(tell(tx, "member:1"))),
];

async fn tell(tx: &mut Tx<'_>, aggregate: &str) {
    let event = NewEvent {
        event: Event::MemberUnblocked,
        aggregate: Aggregate::try_from(aggregate.to_owned()).unwrap(),
        members: Vec::new(),
    };
    append(tx, &event).await.unwrap();
}

/// Inserts two members, each with a wallet.
async fn two_members(base: &Base) -> [MemberId; 2] {
    let ids = [member(&base.db, "a").await, member(&base.db, "b").await];
    let ids = ids.map(|id| MemberId::try_from(id).unwrap());
    let opened = base.db.write(ids, |ids, tx| {
        Box::pin(async move {
            for id in ids {
                cash::open_in(tx, *id).await?;
            }
            Ok::<_, Abort<()>>(())
        })
    });
    opened.await.unwrap();
    ids
}

/// The message of the assertion that one of these steps fails with, if any. The transaction is rolled back.
async fn broken(base: &Base, members: [MemberId; 2], steps: &[Take]) -> Option<String> {
    let ended: Result<(), _> = base
        .db
        .write((members, steps.to_vec()), |(members, steps), tx| {
            Box::pin(async move {
                for step in steps {
                    let step = AssertUnwindSafe(step(tx, *members)).catch_unwind().await;
                    if let Err(panic) = step {
                        let message = panic.downcast_ref::<String>().cloned();
                        return Err(Abort::Refused(Some(message.unwrap())));
                    }
                }
                Err(Abort::Refused(None))
            })
        })
        .await;
    match ended {
        Err(WriteError::Refused(message)) => message,
        Ok(()) | Err(WriteError::Db(_)) => panic!("{ended:?}"),
    }
}

async fn locks_in_their_order_are_taken(on: On) {
    let base = open(on).await;
    let members = two_members(&base).await;
    let all = ORDER.map(|(_, take)| take);
    assert_eq!(broken(&base, members, &all).await, None);
    // A new attempt starts without locks.
    assert_eq!(broken(&base, members, &all).await, None);
}

async fn every_lock_refuses_to_come_too_late(on: On) {
    let base = open(on).await;
    let members = two_members(&base).await;
    for pair in ORDER.windows(2) {
        let [(earlier, first), (later, second)] = pair else {
            panic!("windows of two");
        };
        let message = broken(&base, members, &[*second, *first]).await;
        let message = message.unwrap_or_else(|| panic!("{earlier} may come after {later}"));
        assert!(message.starts_with("lock order: "), "{message}");
    }
}

async fn second_wallet_is_refused(on: On) {
    let base = open(on).await;
    let members = two_members(&base).await;
    let one: Take = |tx, [one, _]| Box::pin(async move { cash::lock_in(tx, one).await.unwrap() });
    let other: Take =
        |tx, [_, other]| Box::pin(async move { cash::lock_in(tx, other).await.unwrap() });
    assert_eq!(broken(&base, members, &[one, one]).await, None);
    assert!(broken(&base, members, &[one, other]).await.is_some());
}

async fn members_and_outbox_numbers_are_locked_in_ascending_order(on: On) {
    let base = open(on).await;
    let members = two_members(&base).await;
    let one: Take =
        |tx, [one, _]| Box::pin(async move { members::lock_in(tx, one).await.unwrap() });
    let other: Take =
        |tx, [_, other]| Box::pin(async move { members::lock_in(tx, other).await.unwrap() });
    assert_eq!(broken(&base, members, &[one, other]).await, None);
    assert!(broken(&base, members, &[other, one]).await.is_some());
    let [a, b]: [Take; 2] = [
        |tx, _| Box::pin(tell(tx, "a")),
        |tx, _| Box::pin(tell(tx, "b")),
    ];
    assert_eq!(broken(&base, members, &[a, b, a]).await, None);
    assert!(broken(&base, members, &[b, a]).await.is_some());
}

async fn shared_row_is_not_locked_more_strongly(on: On) {
    let base = open(on).await;
    let members = two_members(&base).await;
    let shared: Take = |tx, both| {
        Box::pin(async move {
            members::lock_shared_in(tx, both).await.unwrap();
        })
    };
    let alone: Take =
        |tx, [one, _]| Box::pin(async move { members::lock_in(tx, one).await.unwrap() });
    assert_eq!(broken(&base, members, &[alone, shared]).await, None);
    let message = broken(&base, members, &[shared, alone]).await;
    assert!(message.is_some_and(|message| message.contains("in another way")));
}

/// Only PostgreSQL reruns transactions: the second attempt may take locks in an order that the first one could
/// not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn locks_are_forgotten_when_an_attempt_begins_again() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let base = open(On::Postgres).await;
    let members = two_members(&base).await;
    let context = (members, AtomicBool::new(true));
    let written = base.db.write(context, |(members, is_first), tx| {
        Box::pin(async move {
            if is_first.swap(false, Ordering::Relaxed) {
                cash::lock_in(tx, members[0]).await?;
                query("do $$ begin raise exception using errcode = '40001'; end $$")
                    .execute(tx.connection())
                    .await?;
            }
            let offer = ProductId::try_from(1_u64).unwrap();
            products::lock_shared_in(tx, offer).await?;
            cash::lock_in(tx, members[1]).await?;
            Ok::<_, Abort<()>>(())
        })
    });
    written.await.unwrap();
    let reruns = base.metrics.db.reruns.with_label_values(&["serialization"]);
    assert_eq!(reruns.get(), 1);
}
