//! The contract of `RecordStore`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_server::store::{NewRecord, RECORD_BYTES_MAX, RECORD_RANKS};
use tokio::time::{sleep, timeout};

use super::make::fresh_member;
use super::store::Store;

fn record(key: &str, value: impl AsRef<[u8]>, stamp: u64) -> NewRecord {
    NewRecord {
        key: key.into(),
        value: Bytes::copy_from_slice(value.as_ref()),
        stamp,
        rank: 0,
        time_to_live: None,
    }
}

async fn keys(store: &Arc<dyn Store>, of: shared::ids::MemberId, prefix: &str) -> Vec<String> {
    let records = store.records(of, prefix).await.unwrap();
    records
        .iter()
        .map(|record| record.key.to_string())
        .collect()
}

pub(crate) async fn record_is_what_was_put(store: Arc<dyn Store>) {
    let (of, other) = (fresh_member(), fresh_member());
    assert_eq!(store.record(of, "a").await.unwrap(), None);
    let large = vec![0xff; RECORD_BYTES_MAX];
    store.put_record(of, record("a", [0], 1)).await.unwrap();
    store.put_record(of, record("b", &large, 1)).await.unwrap();
    assert_eq!(store.record(of, "a").await.unwrap().unwrap()[..], [0]);
    assert_eq!(store.record(of, "b").await.unwrap().unwrap(), large);
    assert_eq!(store.record(other, "a").await.unwrap(), None);
}

pub(crate) async fn record_of_the_greatest_stamp_wins_in_any_order(store: Arc<dyn Store>) {
    let of = fresh_member();
    for (value, stamp, expected) in [("five", 5, "five"), ("four", 4, "five"), ("six", 6, "six")] {
        store
            .put_record(of, record("k", value, stamp))
            .await
            .unwrap();
        assert_eq!(store.record(of, "k").await.unwrap().unwrap(), expected);
    }
    store.put_record(of, record("k", "", 8)).await.unwrap();
    assert_eq!(store.record(of, "k").await.unwrap(), None);
    store.put_record(of, record("k", "late", 7)).await.unwrap();
    assert_eq!(store.record(of, "k").await.unwrap(), None, "removed later");
    store.put_record(of, record("k", "nine", 9)).await.unwrap();
    assert_eq!(store.record(of, "k").await.unwrap().unwrap(), "nine");
}

/// Of one millisecond the later write wins, in any order; the next millisecond wins over all of it.
pub(crate) async fn record_of_the_greatest_rank_wins_among_those_of_one_stamp(
    store: Arc<dyn Store>,
) {
    let of = fresh_member();
    let ranked = |value: &str, stamp, rank| NewRecord {
        rank,
        ..record("k", value, stamp)
    };
    let last = RECORD_RANKS - 1;
    for (value, stamp, rank, expected) in [
        ("set", 5, 1, Some("set")),
        ("", 5, 2, None),
        ("set", 5, 1, None),
        ("again", 5, last, Some("again")),
        ("", 5, 2, Some("again")),
        ("", 6, 0, None),
        ("set", 5, last, None),
    ] {
        let put = store.put_record(of, ranked(value, stamp, rank));
        put.await.unwrap();
        let found = store.record(of, "k").await.unwrap();
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{rank}");
    }
}

pub(crate) async fn records_of_a_prefix_are_listed_by_key(store: Arc<dyn Store>) {
    let of = fresh_member();
    for key in ["s:b", "s", "s:a", "s:~", "t:a", "r", "s:c"] {
        store.put_record(of, record(key, key, 1)).await.unwrap();
    }
    store.put_record(of, record("s:c", "", 2)).await.unwrap();
    assert_eq!(keys(&store, of, "s:").await, ["s:a", "s:b", "s:~"]);
    assert_eq!(keys(&store, of, "t").await, ["t:a"]);
    assert_eq!(keys(&store, of, "x").await, [""; 0]);
    assert_eq!(keys(&store, fresh_member(), "").await, [""; 0]);
}

pub(crate) async fn record_expires(store: Arc<dyn Store>) {
    let of = fresh_member();
    let mut short = record("short", "1", 1);
    short.time_to_live = Some(Duration::from_secs(1));
    let mut long = record("long", "1", 1);
    long.time_to_live = Some(Duration::from_secs(14 * 86_400));
    store.put_record(of, long).await.unwrap();
    store.put_record(of, short).await.unwrap();
    let gone = async {
        while store.record(of, "short").await.unwrap().is_some() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(keys(&store, of, "").await, ["long"]);
}
