//! The embedded store on files that were damaged while it was closed.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::Topic;
use chat_server::store::embedded::EmbeddedStore;
use chat_server::store::{Append, MessageStore, RoomStore, StoreError, SyncMode, View};
use shared::ids::Seq;
use tempfile::TempDir;

use super::contract::make::{batch, member, room, seq};

/// Batches in the journal; the last one stands for one that was not acknowledged.
const BATCHES: u64 = 23;

fn topic(number: u64) -> Topic {
    Topic::Room(room(number % 3 + 1))
}

/// A closed store of appends of all sizes to three rooms, with other writes between.
async fn written() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
    for number in 0..BATCHES {
        let head = store.head(topic(number), View::Quorum).await.unwrap();
        let mut entries = batch(head, 1, number.into());
        // Some are so large that the journal compresses them.
        let size = [10, 100, 700, 5_000][usize::try_from(number % 4).unwrap()];
        let body: Vec<u8> = (0..size)
            .map(|at| u8::try_from(at * at / 8 % 251_u32).unwrap())
            .collect();
        Arc::make_mut(&mut entries[0]).draft.body = Bytes::from(body);
        let outcome = store.append(topic(number), head, entries).await.unwrap();
        assert_eq!(outcome, Append::Applied);
        if number % 5 == 0 && number + 1 < BATCHES {
            store
                .mark_read(member(1), room(1), seq(number + 1))
                .await
                .unwrap();
        }
    }
    store.close().unwrap();
    folder
}

/// Where the last batch begins: what the journal was before it.
async fn last_batch(folder: &Path) -> usize {
    let journal = std::fs::read(folder.join("0.jnl")).unwrap();
    let uid = u128::from(BATCHES - 1).to_le_bytes();
    let place = journal
        .windows(16)
        .rposition(|window| window == uid)
        .unwrap();
    // The version byte, the item's head and key, and the start of the batch.
    place - 1 - (1 + 1 + 1 + 8 + 2 + 4 + 4 + 9) - (1 + 4 + 8)
}

/// Opens the store on a changed journal: all acknowledged entries are there, or it is refused with
/// file and place. Whether it opened.
async fn check(folder: &Path, journal: &[u8], what: &str) -> bool {
    let path = folder.join("0.jnl");
    std::fs::write(&path, journal).unwrap();
    let store = match EmbeddedStore::open(folder, SyncMode::Always) {
        Ok(store) => store,
        Err(StoreError::Corrupt(why)) => {
            let names = why.contains("0.jnl") && why.contains("at byte ");
            assert!(names && why.contains("from a backup"), "{what}: {why}");
            return false;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    for number in 0..3 {
        let read = store.read(topic(number), seq(1), Seq::MAX, View::Settled);
        let uids: Vec<_> = read
            .await
            .unwrap()
            .iter()
            .map(|entry| entry.draft.uid.0)
            .collect();
        let all: Vec<_> = (0..BATCHES)
            .filter(|n| n % 3 == number)
            .map(u128::from)
            .collect();
        let acknowledged = all.len() - usize::from(all.contains(&u128::from(BATCHES - 1)));
        assert!(
            uids == all || uids == all[..acknowledged],
            "{what}: room {number} has {uids:?}"
        );
    }
    store.close().unwrap();
    true
}

#[tokio::test]
async fn damaged_journal_is_refused_with_its_place_unless_only_the_last_batch_is_hit() {
    let folder = written().await;
    let folder = folder.path();
    let whole = std::fs::read(folder.join("0.jnl")).unwrap();
    let end = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let whole = &whole[..end];
    let last = last_batch(folder).await;
    let mark = std::fs::read(folder.join("acknowledged")).unwrap();
    // One step for all, so that all offsets within batches come up; more at the end.
    let places = (0..last).step_by(571).chain((last..end).step_by(31));
    let (mut opened, mut refused) = (0, 0);
    for at in places {
        let filled = |count: usize, with: fn(u8) -> u8| {
            let mut journal = whole.to_vec();
            let hit = at..end.min(at + count);
            journal[hit].iter_mut().for_each(|byte| *byte = with(*byte));
            journal.extend([0; 9_000]);
            journal
        };
        let damaged = [
            ("a byte is flipped", filled(1, |byte| byte ^ 0x41)),
            ("512 bytes are zero", filled(512, |_| 0)),
            ("a page is zero", filled(4_096, |_| 0)),
            (
                "a page is of another file",
                filled(4_096, |byte| byte.wrapping_mul(7).wrapping_add(1)),
            ),
            ("the file is cut", whole[..at].to_vec()),
        ];
        for (what, journal) in damaged {
            std::fs::write(folder.join("acknowledged"), &mark).unwrap();
            let is_open = check(folder, &journal, &format!("at {at} of {end}, {what}")).await;
            (opened, refused) = (opened + u32::from(is_open), refused + u32::from(!is_open));
            assert!(
                is_open || at < last,
                "at {at}: {what}, in what was not acknowledged"
            );
        }
    }
    assert!(
        opened > 0 && refused > 0,
        "{opened} opened, {refused} refused"
    );
}

#[tokio::test]
async fn journal_that_lost_its_end_between_two_batches_is_refused() {
    let folder = written().await;
    let path = folder.path().join("0.jnl");
    let whole = std::fs::read(&path).unwrap();
    let last = last_batch(folder.path()).await;
    assert!(check(folder.path(), &whole[..last], "without the last batch").await);
    // Where the batch before it begins; nothing of the file shows that it was longer.
    let uid = u128::from(BATCHES - 2).to_le_bytes();
    let place = whole.windows(16).rposition(|window| window == uid).unwrap();
    let start = whole[..place].iter().rposition(|byte| *byte == 1);
    let candidates = start
        .into_iter()
        .flat_map(|near| near.saturating_sub(60)..=near);
    for cut in candidates {
        assert!(!check(folder.path(), &whole[..cut], &format!("cut at {cut}")).await);
    }
}
