//! What lies in the tables beside entries, and how long it stays.

use chat_server::log::Topic;
use chat_server::store::{Append, MessageStore};

use super::make::{batch, fresh_member, fresh_topic, seq};
use super::{append, connect, head, read, session, settings};

/// 90 days.
const INBOX_SECONDS: i32 = 7_776_000;

fn owner(topic: Topic) -> i32 {
    let number = match topic {
        Topic::Room(room) => room.get(),
        Topic::Inbox(member) => member.get(),
    };
    i32::try_from(number).unwrap()
}

#[tokio::test]
async fn row_without_an_entry_is_none() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 3).await, Append::Applied);
    let mark = "UPDATE messages SET deleted = true WHERE room_id = ? AND bucket = ? AND seq = ?";
    for (bucket, at) in [(0, 0), (0, 7), (0, 4_095), (1, 4_096)] {
        let values = (owner(topic), bucket, at);
        session().await.query_unpaged(mark, values).await.unwrap();
    }
    assert_eq!(head(&store, topic).await, 3);
    assert_eq!(read(&store, topic, 0, 4_194_303).await, batch(seq(0), 3, 1));
    assert_eq!(read(&store, topic, 4_000, 4_100).await, []);
    store.delete(topic, seq(7)).await.unwrap();
    assert_eq!(append(&store, topic, 3, 3).await, Append::Applied);
    assert_eq!(read(&store, topic, 1, 6).await, batch(seq(0), 6, 1));
}

#[tokio::test]
async fn inbox_entries_go_after_ninety_days_and_marks_with_them() {
    let store = connect(&settings()).await;
    let topic = Topic::Inbox(fresh_member());
    assert_eq!(append(&store, topic, 0, 2).await, Append::Applied);
    store.delete(topic, seq(1)).await.unwrap();
    let left = "SELECT TTL(body), TTL(deleted), TTL(head) FROM inbox \
                WHERE member_id = ? AND bucket = ? AND seq = ?";
    let rows = session()
        .await
        .query_unpaged(left, (owner(topic), 0, 1))
        .await
        .unwrap();
    let rows = rows.into_rows_result().unwrap();
    let (body, deleted, head) = rows
        .single_row::<(Option<i32>, Option<i32>, Option<i32>)>()
        .unwrap();
    let (body, deleted) = (body.unwrap(), deleted.unwrap());
    // The mark's time was taken from the entry's; both run.
    assert!((1..=INBOX_SECONDS).contains(&body) && (1..=INBOX_SECONDS).contains(&deleted));
    assert!(deleted <= body + 1, "{deleted} and {body}");
    assert_eq!(head, None, "positions are not given twice");
}

#[tokio::test]
async fn room_entries_stay() {
    let store = connect(&settings()).await;
    let topic = fresh_topic();
    assert_eq!(append(&store, topic, 0, 1).await, Append::Applied);
    store.delete(topic, seq(1)).await.unwrap();
    let left = "SELECT TTL(body), TTL(deleted), TTL(head) FROM messages \
                WHERE room_id = ? AND bucket = ? AND seq = ?";
    let rows = session()
        .await
        .query_unpaged(left, (owner(topic), 0, 1))
        .await
        .unwrap();
    let rows = rows.into_rows_result().unwrap();
    let left = rows
        .single_row::<(Option<i32>, Option<i32>, Option<i32>)>()
        .unwrap();
    assert_eq!(left, (None, None, None));
}

#[tokio::test]
async fn expired_inbox_entries_are_missing_and_the_head_stays() {
    let store = connect(&settings()).await;
    let topic = Topic::Inbox(fresh_member());
    assert_eq!(append(&store, topic, 0, 5).await, Append::Applied);
    // As if their time were over. An append's timestamps are the servers', so this one is later.
    let gone = "DELETE FROM inbox WHERE member_id = ? AND bucket = ? AND seq <= ?";
    session()
        .await
        .query_unpaged(gone, (owner(topic), 0, 3))
        .await
        .unwrap();
    assert_eq!(head(&store, topic).await, 5);
    assert_eq!(read(&store, topic, 1, 10).await, batch(seq(3), 2, 4));
    assert_eq!(append(&store, topic, 5, 1).await, Append::Applied);
    assert_eq!(read(&store, topic, 1, 10).await, batch(seq(3), 3, 4));
}
