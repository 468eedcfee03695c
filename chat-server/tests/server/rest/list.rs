//! The list of a member's rooms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chat_server::log::{Draft, Entry, Kind, Topic, Uid};
use chat_server::store::{Append, MessageStore as _};
use http::Method;
use serde_json::Value;
use shared::clock::Clock as _;

use crate::rest::site::{Site, group, member_id, message, room_id};

fn rooms(page: &Value) -> Vec<u64> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["chatRoomId"].as_u64().unwrap())
        .collect()
}

/// The rooms that such a request of member 1 gives.
async fn check(site: &Site, query: &str, expected: &[u64]) {
    let page = site.data(1, &format!("/api/chat-room?{query}")).await;
    assert_eq!(rooms(&page), expected, "{query}");
}

#[tokio::test]
async fn the_room_that_spoke_last_comes_first() {
    let site = Site::start().await;
    for room in 1..=4 {
        site.pair(room, 1, room + 1).await;
        site.wait(Duration::from_secs(1));
    }
    // None has spoken: the newest room first.
    check(&site, "size=10", &[4, 3, 2, 1]).await;
    check(&site, "", &[4, 3]).await;
    site.say(2, 1, "하나").await;
    check(&site, "size=10", &[2, 4, 3, 1]).await;
    site.wait(Duration::from_secs(1));
    // In the same millisecond: the newest room first.
    site.say(1, 1, "둘").await;
    site.say(3, 4, "셋").await;
    check(&site, "size=10", &[3, 1, 2, 4]).await;
    // A new room is sorted by the time of its creation.
    site.wait(Duration::from_secs(1));
    site.pair(9, 1, 2).await;
    check(&site, "size=10", &[9, 3, 1, 2, 4]).await;
    // A room that was opened without a product asks so: more than a page has, and the first page.
    check(&site, "size=1073741823", &[9, 3, 1, 2, 4]).await;
    check(&site, "size=10&cursorId=0", &[9, 3, 1, 2, 4]).await;
}

#[tokio::test]
async fn buyers_and_sellers_have_lists_of_their_own() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.wait(Duration::from_secs(1));
    site.pair(2, 2, 1).await;
    site.wait(Duration::from_secs(1));
    site.group(1 << 30, &[1, 2]).await;
    site.pair(3, 2, 3).await;
    check(&site, "size=10", &[1 << 30, 2, 1]).await;
    check(&site, "size=10&chatRoomReadOption=ALL", &[1 << 30, 2, 1]).await;
    check(&site, "size=10&chatRoomReadOption=", &[1 << 30, 2, 1]).await;
    check(&site, "size=10&chatRoomReadOption=BUYER", &[1]).await;
    check(&site, "size=10&chatRoomReadOption=SELLER", &[2]).await;
}

#[tokio::test]
async fn bad_parameters_are_told() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    for query in [
        "size=0",
        "size=%2B5",
        "size=-1",
        "size=x",
        "size=2&size=2",
        "chatRoomReadOption=all",
        "chatRoomReadOption=MEMBER",
        "cursorId=00",
        "cursorId=x",
        "cursorId=2147483648",
        // A room that the member is not in is not in the list.
        "cursorId=2",
        "cursorId=1&lastMessageAt=yesterday",
        "lastMessageAt=2025-13-01T00:00:00",
    ] {
        let answer = site.get(1, &format!("/api/chat-room?{query}")).await;
        assert_eq!((answer.status, answer.code()), (400, 1006), "{query}");
    }
    check(&site, "unknown=1", &[1]).await;
}

/// An entry that was stored by a node that ended before it had noted it for lists.
async fn store_unnoted(site: &Site, room: u64, seq: u64, text: &str) {
    let entry = Entry {
        seq: seq.try_into().unwrap(),
        deleted: false,
        draft: Draft {
            uid: Uid(rand::random()),
            kind: Kind::Chat,
            sender: Some(member_id(2)),
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: Bytes::copy_from_slice(text.as_bytes()),
            sent_at: site.clock.unix_millis(),
        },
    };
    let topic = Topic::Room(room_id(room));
    let head = (seq - 1).try_into().unwrap();
    let append = site.store.append(topic, head, vec![Arc::new(entry)]);
    assert_eq!(append.await.unwrap(), Append::Applied);
}

#[tokio::test]
async fn the_list_shows_what_the_log_has_though_its_record_is_behind() {
    let site = Site::start().await;
    for room in 1..=4 {
        site.pair(room, 1, 2).await;
        site.wait(Duration::from_secs(1));
    }
    site.say(1, 2, "하나").await;
    site.wait(Duration::from_secs(1));
    site.say(2, 2, "둘").await;
    site.wait(Duration::from_secs(1));
    // The first of a room that never spoke, and the second of the one that spoke first.
    store_unnoted(&site, 3, 1, "셋").await;
    site.wait(Duration::from_secs(1));
    store_unnoted(&site, 1, 2, "넷").await;
    let page = site.data(1, "/api/chat-room?size=10").await;
    assert_eq!(rooms(&page), [1, 3, 2, 4]);
    let shown = |at: usize| {
        let row = &page["data"][at];
        (row["lastMessage"].clone(), row["unreadCount"].clone())
    };
    assert_eq!(shown(0), ("넷".into(), 2.into()));
    assert_eq!(shown(1), ("셋".into(), 1.into()));
    // The record itself is mended, so that pages which do not show the row know of it as well.
    for (room, seq) in [(1, 2_u64), (3, 1)] {
        site.store
            .wait_for_note(room_id(room), seq.try_into().unwrap())
            .await;
    }
    check(&site, "size=1", &[1]).await;
}

/// A record far behind its log: more than one look at the log shows.
#[tokio::test]
async fn a_record_far_behind_is_mended_at_once() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.say(1, 2, "하나").await;
    for seq in 2..=300 {
        store_unnoted(&site, 1, seq, &seq.to_string()).await;
    }
    let page = site.data(1, "/api/chat-room").await;
    let row = &page["data"][0];
    assert_eq!(row["lastMessage"], "300");
    assert_eq!(row["unreadCount"], 100);
}

#[tokio::test]
async fn a_room_one_was_put_out_of_is_gone() {
    let site = Site::start().await;
    site.group(1 << 30, &[1, 2]).await;
    check(&site, "", &[1 << 30]).await;
    site.group(1 << 30, &[2]).await;
    check(&site, "", &[]).await;
}

#[tokio::test]
async fn what_was_taken_back_is_not_shown() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    site.say(1, 2, "처음").await;
    let last = site.say(1, 2, "실수").await;
    let row = async || site.data(1, "/api/chat-room").await["data"][0].clone();
    assert_eq!(
        (&row().await["lastMessage"], &row().await["unreadCount"]),
        (&"실수".into(), &2.into())
    );
    let path = format!("/api/chat-messages/{last}");
    assert_eq!(
        site.ask(Method::DELETE, &path).by(2).send().await.status,
        200
    );
    // The deleted message is empty both before and after the member has read it.
    assert_eq!(
        (&row().await["lastMessage"], &row().await["unreadCount"]),
        (&"".into(), &1.into())
    );
    let path = format!("{path}/read-status");
    assert_eq!(site.ask(Method::POST, &path).by(1).send().await.status, 200);
    assert_eq!(
        (&row().await["lastMessage"], &row().await["unreadCount"]),
        (&"".into(), &0.into())
    );
}

/// How a client walks.
#[derive(Clone, Copy, Debug)]
enum Cursor {
    /// With the one number the first front end knows.
    Room,
    /// With the last row's time as well.
    RoomAndTime,
}

/// Pages from the first to the last, `between` before each but the first.
async fn walk(
    site: &Site,
    cursor: Cursor,
    mut between: impl AsyncFnMut(usize, &[u64]),
) -> Vec<u64> {
    let (mut seen, mut query) = (Vec::new(), String::new());
    for pages in 1..100 {
        let page = site.data(1, &format!("/api/chat-room?size=3{query}")).await;
        let shown = rooms(&page);
        seen.extend(&shown);
        let Some(next) = page["pageInfo"]["nextCursorId"].as_u64() else {
            return seen;
        };
        assert_eq!((Some(&next), shown.len()), (shown.last(), 3));
        query = format!("&cursorId={next}");
        if matches!(cursor, Cursor::RoomAndTime) {
            let at = page["data"][2]["lastMessageAt"].as_str().unwrap();
            query = format!("{query}&lastMessageAt={at}");
        }
        between(pages, &shown).await;
    }
    panic!("a walk without end: {seen:?}");
}

/// Between pages rooms speak and rooms are made, among them each time the very room that the cursor
/// names; some rooms have all spoken in the same millisecond.
#[tokio::test]
async fn defect_17_one_cursor_skips_and_repeats_no_unchanged_room() {
    for cursor in [Cursor::Room, Cursor::RoomAndTime] {
        let site = Site::start().await;
        for room in 1..=20 {
            site.pair(room, 1, 2).await;
            if room > 10 {
                site.say(room, 2, "안녕").await;
            }
            if room % 4 == 0 {
                site.wait(Duration::from_millis(1));
            }
        }
        let changed = std::cell::RefCell::new(BTreeSet::new());
        let seen = walk(&site, cursor, async |pages, shown| {
            site.wait(Duration::from_secs(1));
            let mut speaking = vec![shown[2]];
            speaking.extend([5].iter().filter(|_| pages == 2));
            for room in speaking {
                site.say(room, 2, "새 소식").await;
                changed.borrow_mut().insert(room);
            }
            let made = 100 + u64::try_from(pages).unwrap();
            site.pair(made, 1, 2).await;
            changed.borrow_mut().insert(made);
        })
        .await;
        let changed = changed.into_inner();
        let unchanged: Vec<_> = seen.iter().filter(|room| !changed.contains(room)).collect();
        let expected: BTreeSet<_> = (1..=20).filter(|room| !changed.contains(room)).collect();
        let as_set: BTreeSet<_> = unchanged.iter().map(|room| **room).collect();
        assert_eq!(as_set, expected, "{cursor:?}");
        assert_eq!(unchanged.len(), expected.len(), "{cursor:?}: {seen:?}");
    }
}

/// Another node does not remember; with the time it need not.
#[tokio::test]
async fn a_walk_goes_on_at_another_node() {
    let site = Site::start().await;
    for room in 1..=4 {
        site.pair(room, 1, 2).await;
        site.wait(Duration::from_secs(1));
    }
    let other = site.second().await;
    let page = site.data(1, "/api/chat-room?size=2").await;
    assert_eq!(rooms(&page), [4, 3]);
    check(&other, "size=2&cursorId=3", &[2, 1]).await;
    let at = page["data"][1]["lastMessageAt"].as_str().unwrap();
    site.say(3, 2, "새 소식").await;
    check(
        &other,
        &format!("size=2&cursorId=3&lastMessageAt={at}"),
        &[2, 1],
    )
    .await;
    check(&site, "size=2&cursorId=3", &[2, 1]).await;
}

#[tokio::test]
async fn unread_is_what_others_said_since() {
    let site = Site::start().await;
    site.pair(1, 1, 2).await;
    let unread = async |member| {
        let page = site.data(member, "/api/chat-room").await;
        page["data"][0]["unreadCount"].as_u64().unwrap()
    };
    assert_eq!(unread(1).await, 0);
    for number in 1..=3 {
        site.say(1, 2, "안녕").await;
        assert_eq!((unread(1).await, unread(2).await), (number, 0));
    }
    let path = format!("/api/chat-messages/{}/read-status", message(1, 2));
    site.ask(Method::POST, &path).by(1).send().await;
    assert_eq!(unread(1).await, 1);
    // Who writes has read.
    site.say(1, 1, "네").await;
    assert_eq!((unread(1).await, unread(2).await), (0, 1));
    // Counted are at most 100, over any number of what does not count.
    for _ in 0..140 {
        let id = site.say(1, 2, "실수").await;
        let path = format!("/api/chat-messages/{id}");
        site.ask(Method::DELETE, &path).by(2).send().await;
    }
    assert_eq!(unread(1).await, 0);
    for number in 1..=99 {
        site.say(1, 2, &format!("{number}")).await;
    }
    assert_eq!(unread(1).await, 99);
    site.say(1, 2, "100").await;
    site.say(1, 2, "101").await;
    assert_eq!(unread(1).await, 100);
}

#[tokio::test]
async fn groups_have_no_other_member() {
    let site = Site::start().await;
    site.put(1 << 30, group(&[1, 2])).await;
    let page = site.data(1, "/api/chat-room").await;
    assert_eq!(page["data"][0]["senderId"], 2);
    site.put(1 << 30, group(&[1, 2, 3])).await;
    let page = site.data(1, "/api/chat-room").await;
    assert!(page["data"][0].get("senderId").is_none());
}
