//! Reading backwards through a room.

use serde_json::Value;

use crate::rest::site::{Site, message};

fn ids(page: &Value) -> Vec<u64> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["chatMessageId"].as_u64().unwrap())
        .collect()
}

/// The ids that such a request gives, and its next cursor.
async fn check(site: &Site, query: &str, expected: &[u64], next: Option<u64>) {
    let page = site
        .data(1, &format!("/api/chat-room/1/history{query}"))
        .await;
    let expected: Vec<_> = expected.iter().map(|seq| message(1, *seq)).collect();
    assert_eq!(ids(&page), expected, "{query}");
    let info = &page["pageInfo"];
    assert_eq!(
        info["nextCursorId"].as_u64(),
        next.map(|seq| message(1, seq)),
        "{query}"
    );
    assert_eq!(info["hasNext"], next.is_some(), "{query}");
    assert_eq!(page["memberId"], 1);
}

#[tokio::test]
async fn pages_end_where_they_should() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    check(&site, "", &[], None).await;
    for number in 1..=22 {
        site.say(1, 1, &format!("{number}")).await;
    }
    let twenty: Vec<_> = (3..=22).rev().collect();
    check(&site, "", &twenty, Some(3)).await;
    check(&site, "?size=", &twenty, Some(3)).await;
    check(
        &site,
        &format!("?cursorId={}", message(1, 3)),
        &[2, 1],
        None,
    )
    .await;
    check(
        &site,
        &format!("?cursorId={}&size=2", message(1, 3)),
        &[2, 1],
        None,
    )
    .await;
    check(
        &site,
        &format!("?cursorId={}&size=1", message(1, 3)),
        &[2],
        Some(2),
    )
    .await;
    check(&site, &format!("?cursorId={}", message(1, 1)), &[], None).await;
    // Past the end of the log: from its end.
    check(
        &site,
        &format!("?cursorId={}&size=2", message(1, 23)),
        &[22, 21],
        Some(21),
    )
    .await;
    check(
        &site,
        &format!("?cursorId={}&size=2", message(1, 900)),
        &[22, 21],
        Some(21),
    )
    .await;
    let all: Vec<_> = (1..=22).rev().collect();
    check(&site, "?size=22", &all, None).await;
    check(&site, "?size=100", &all, None).await;
    // More than a page has; the first page.
    check(&site, "?size=1073741823&cursorId=0", &all, None).await;
}

#[tokio::test]
async fn bad_parameters_are_told() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    for query in [
        "size=0",
        "size=%2B5",
        "size=x",
        "size=1&size=2",
        "cursorId=00",
        "cursorId=-1",
        "cursorId=x",
        "cursorId=01",
        "cursorId=1",
        // Another room's message.
        &format!("cursorId={}", message(2, 1)),
    ] {
        let answer = site
            .get(1, &format!("/api/chat-room/1/history?{query}"))
            .await;
        assert_eq!((answer.status, answer.code()), (400, 1006), "{query}");
    }
    check(&site, "?unknown=1", &[], None).await;
}

/// New messages arrive during the walk; a reader that walks backwards gets the messages that
/// existed at its start.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_skips_and_repeats_nothing_while_others_write() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    for number in 0..60 {
        site.say(1, 2, &format!("before {number}")).await;
    }
    let write = async {
        for number in 0..200 {
            site.say(1, 2, &format!("meanwhile {number}")).await;
        }
    };
    let walk = async {
        let (mut seen, mut query) = (Vec::new(), String::new());
        for _ in 0..200 {
            let page = site
                .data(1, &format!("/api/chat-room/1/history?size=7{query}"))
                .await;
            seen.extend(ids(&page));
            let Some(next) = page["pageInfo"]["nextCursorId"].as_u64() else {
                return seen;
            };
            query = format!("&cursorId={next}");
        }
        panic!("a walk without end: {} messages", seen.len());
    };
    let ((), seen) = tokio::join!(write, walk);
    let newest = seen[0] & 0x3f_ffff;
    let expected: Vec<_> = (1..=newest).rev().map(|seq| message(1, seq)).collect();
    assert!(newest >= 60);
    assert_eq!(seen, expected);
}
