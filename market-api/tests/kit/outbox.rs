//! The outbox: events are committed with their cause, and numbered without gaps.

use market_api::db::{Abort, Db, WriteError};
use market_api::outbox::{NewEvent, append, append_all};
use serde_json::{Value, json};
use shared::event::{Aggregate, Event, EventKind};
use shared::ids::MemberId;
use sqlx::{Row as _, query};
use tokio::task::JoinSet;

use crate::on_both;
use crate::support::{On, open};

on_both! {
    event_has_the_wire_format,
    events_of_an_aggregate_are_numbered_without_holes,
    aborted_write_appends_no_event,
    event_numbers_continue_after_sent_events_are_deleted,
    events_of_several_aggregates_are_appended_together,
}

fn event(aggregate: &str) -> NewEvent {
    NewEvent {
        event: Event::Untyped {
            kind: EventKind::TradeCompleted,
            data: serde_json::from_str(r#"{"why":"\"because\""}"#).unwrap(),
        },
        aggregate: Aggregate::try_from(aggregate.to_owned()).unwrap(),
        members: vec![MemberId::try_from(7_u64).unwrap()],
    }
}

async fn tell(db: &Db, aggregate: &str) {
    let told = db.write(event(aggregate), |event, tx| {
        Box::pin(async move {
            append(tx, event).await?;
            Ok::<_, Abort<()>>(())
        })
    });
    told.await.unwrap();
}

async fn bodies(db: &Db) -> Vec<Value> {
    let mut connection = db.read().await.unwrap();
    let rows = query("select body from outbox order by id").fetch_all(&mut *connection);
    let read = |row: &sqlx::any::AnyRow| {
        let text: String = row.try_get(0).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    rows.await.unwrap().iter().map(read).collect()
}

async fn event_has_the_wire_format(on: On) {
    let base = open(on).await;
    tell(&base.db, "member:7").await;
    let mut body = bodies(&base.db).await.remove(0);
    let id = body.as_object_mut().unwrap().remove("eventId").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 22);
    let expected = json!({
        "v": 1, "kind": "trade.completed", "aggregate": "member:7", "aggregateSeq": 1,
        "occurredAt": "2026-11-15T12:00:00.000", "members": [7], "data": {"why": "\"because\""},
    });
    assert_eq!(body, expected);
}

async fn events_of_an_aggregate_are_numbered_without_holes(on: On) {
    let base = open(on).await;
    let mut all = JoinSet::new();
    for n in 0..40 {
        let db = base.db.clone();
        all.spawn(async move { tell(&db, if n % 2 == 0 { "a" } else { "b" }).await });
    }
    all.join_all().await;
    for aggregate in ["a", "b"] {
        let told = bodies(&base.db).await;
        let mine = told.iter().filter(|body| body["aggregate"] == aggregate);
        let mut seqs: Vec<_> = mine
            .map(|body| body["aggregateSeq"].as_i64().unwrap())
            .collect();
        seqs.sort_unstable();
        assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    }
}

async fn aborted_write_appends_no_event(on: On) {
    let base = open(on).await;
    let refused = base.db.write(event("a"), |event, tx| {
        Box::pin(async move {
            append(tx, event).await?;
            Err::<(), _>(Abort::Refused("no"))
        })
    });
    assert!(matches!(refused.await, Err(WriteError::Refused("no"))));
    tell(&base.db, "a").await;
    let told = bodies(&base.db).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["aggregateSeq"], 1, "no hole");
}

async fn event_numbers_continue_after_sent_events_are_deleted(on: On) {
    let base = open(on).await;
    tell(&base.db, "a").await;
    let removed = base.db.write((), |(), tx| {
        Box::pin(async move {
            query("delete from outbox").execute(tx.connection()).await?;
            Ok::<_, Abort<()>>(())
        })
    });
    removed.await.unwrap();
    tell(&base.db, "a").await;
    assert_eq!(bodies(&base.db).await[0]["aggregateSeq"], 2);
}

async fn events_of_several_aggregates_are_appended_together(on: On) {
    let base = open(on).await;
    tell(&base.db, "b").await;
    let append = async |aggregates: &[&str]| {
        let events: Vec<_> = aggregates.iter().map(|one| event(one)).collect();
        let appended = base.db.write(events, |events, tx| {
            Box::pin(async move {
                append_all(tx, events).await?;
                Ok::<_, Abort<()>>(())
            })
        });
        appended.await
    };
    append(&["c", "b", "a"]).await.unwrap();
    append(&[]).await.unwrap();
    // Which number each of them has would be undefined.
    assert!(append(&["a", "d", "a"]).await.is_err());
    let bodies = bodies(&base.db).await;
    let numbered: Vec<_> = bodies
        .iter()
        .map(|body| {
            (
                body["aggregate"].as_str().unwrap(),
                body["aggregateSeq"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(numbered, [("b", 1), ("a", 1), ("b", 2), ("c", 1)]);
}
