//! Idempotent requests: one effect per key, the stored response for each repetition.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use market_api::db::{Abort, Db, Tx, WriteError};
use market_api::idempotency::{
    Answer, IdempotencyError, IdempotentRequest, KeyState, begin_in, finish_in, forget_in, look_up,
};
use shared::ids::MemberId;
use sqlx::{Row as _, query};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::on_both;
use crate::support::{On, open};

on_both! {
    repetition_replays_the_first_response,
    concurrent_repetitions_have_one_effect,
    another_body_is_refused,
    keys_are_scoped_by_member_and_route,
    a_refusal_stores_nothing,
    answers_are_kept_for_a_day,
}

fn once(key: &str, body: &[u8]) -> IdempotentRequest {
    let member = MemberId::try_from(1_u64).unwrap();
    IdempotentRequest::new(member, "POST /api/trades", key.to_owned(), body)
}

/// The errors of the effect's domain.
#[derive(Debug)]
enum EffectError {
    Idempotency(IdempotencyError),
    SoldOut,
}

impl From<IdempotencyError> for EffectError {
    fn from(error: IdempotencyError) -> Self {
        Self::Idempotency(error)
    }
}

/// The effect: inserts one row. Its response contains the number of rows.
async fn effect(once: &IdempotentRequest, tx: &mut Tx<'_>) -> Result<Answer, Abort<EffectError>> {
    match begin_in(tx, once).await.map_err(Abort::widen)? {
        KeyState::Replay(answer) => return Ok(answer),
        KeyState::New => {}
    }
    query("insert into audit (actor_id, action, target, created_at) values (1, 'x', 'x', 1)")
        .execute(tx.connection())
        .await?;
    let row = query("select count(*) from audit")
        .fetch_one(tx.connection())
        .await?;
    let count: i64 = row.try_get(0)?;
    let answer = Answer {
        status: StatusCode::OK,
        body: format!("{{ \"count\":{count}}}"),
    };
    finish_in(tx, once, &answer).await?;
    Ok(answer)
}

async fn act(db: &Db, once: IdempotentRequest) -> Result<Answer, WriteError<EffectError>> {
    db.write(once, |once, tx| Box::pin(effect(once, tx))).await
}

async fn effects(db: &Db) -> i64 {
    let mut connection = db.read().await.unwrap();
    let row = query("select count(*) from audit").fetch_one(&mut *connection);
    row.await.unwrap().try_get(0).unwrap()
}

async fn repetition_replays_the_first_response(on: On) {
    let base = open(on).await;
    assert_eq!(look_up(&base.db, &once("k", b"b")).await.unwrap(), None);
    let first = act(&base.db, once("k", b"b")).await.unwrap();
    assert_eq!(first.body, "{ \"count\":1}");
    let again = act(&base.db, once("k", b"b")).await.unwrap();
    assert_eq!(again, first);
    assert_eq!(
        look_up(&base.db, &once("k", b"b")).await.unwrap(),
        Some(first)
    );
    assert_eq!(effects(&base.db).await, 1);
}

async fn concurrent_repetitions_have_one_effect(on: On) {
    let base = open(on).await;
    let mut all = JoinSet::new();
    for _ in 0..20 {
        let db = base.db.clone();
        all.spawn(async move { act(&db, once("k", b"b")).await.unwrap() });
    }
    let mut answers = all.join_all().await;
    answers.dedup();
    assert_eq!(answers.len(), 1);
    assert_eq!(effects(&base.db).await, 1);
}

async fn another_body_is_refused(on: On) {
    let base = open(on).await;
    act(&base.db, once("k", b"b")).await.unwrap();
    let other = act(&base.db, once("k", b"c")).await;
    assert!(
        matches!(
            other,
            Err(WriteError::Refused(EffectError::Idempotency(
                IdempotencyError::KeyReused
            )))
        ),
        "{other:?}"
    );
    let other = look_up(&base.db, &once("k", b"c")).await;
    assert_eq!(other, Err(IdempotencyError::KeyReused));
}

async fn keys_are_scoped_by_member_and_route(on: On) {
    let base = open(on).await;
    act(&base.db, once("k", b"b")).await.unwrap();
    let other = MemberId::try_from(2_u64).unwrap();
    let of = |member, route| IdempotentRequest::new(member, route, "k".to_owned(), b"b");
    act(&base.db, of(other, "POST /api/trades")).await.unwrap();
    let me = MemberId::try_from(1_u64).unwrap();
    act(&base.db, of(me, "POST /api/other")).await.unwrap();
    assert_eq!(effects(&base.db).await, 3);
}

async fn a_refusal_stores_nothing(on: On) {
    let base = open(on).await;
    let refused = base.db.write(once("k", b"b"), |once, tx| {
        Box::pin(async move {
            effect(once, tx).await?;
            Err::<(), _>(Abort::Refused(EffectError::SoldOut))
        })
    });
    assert!(matches!(
        refused.await,
        Err(WriteError::Refused(EffectError::SoldOut))
    ));
    act(&base.db, once("k", b"another body is fine"))
        .await
        .unwrap();
    assert_eq!(effects(&base.db).await, 1);
}

async fn answers_are_kept_for_a_day(on: On) {
    let base = open(on).await;
    act(&base.db, once("k", b"b")).await.unwrap();
    let forget = async || {
        let forgotten = base.db.write((), |(), tx| {
            Box::pin(async move {
                forget_in(tx).await?;
                Ok::<_, Abort<()>>(())
            })
        });
        forgotten.await.unwrap();
        look_up(&base.db, &once("k", b"b")).await.unwrap()
    };
    base.clock.advance(Duration::from_secs(86_400));
    assert!(forget().await.is_some());
    base.clock.advance(Duration::from_millis(1));
    assert!(forget().await.is_none());
}

/// Only PostgreSQL has two concurrent writers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_repetition_gets_key_running() {
    let base = open(On::Postgres).await;
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (db, gates) = (base.db.clone(), (Arc::clone(&entered), Arc::clone(&leave)));
    let first = async move {
        let acted = db.write((once("k", b"b"), gates), |(once, (entered, leave)), tx| {
            Box::pin(async move {
                let answer = effect(once, tx).await?;
                entered.notify_one();
                leave.notified().await;
                Ok::<_, Abort<EffectError>>(answer)
            })
        });
        acted.await.unwrap()
    };
    let second = async {
        entered.notified().await;
        let second = act(&base.db, once("k", b"b")).await;
        assert!(
            matches!(
                second,
                Err(WriteError::Refused(EffectError::Idempotency(
                    IdempotencyError::KeyRunning
                )))
            ),
            "{second:?}"
        );
        leave.notify_one();
    };
    let bounded = tokio::time::timeout(Duration::from_secs(20), async {
        tokio::join!(first, second)
    });
    bounded.await.unwrap();
    assert_eq!(effects(&base.db).await, 1);
}
