//! The embedded store on files that were damaged while it was closed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chat_server::log::Topic;
use chat_server::store::embedded::{EmbeddedStore, NodeContext};
use chat_server::store::{Append, MessageStore, ReadConsistency, RoomStore, StoreError, SyncMode};
use shared::ids::Seq;
use tempfile::TempDir;

use crate::contract::make::{batch, member, room, seq};

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
        let head = store
            .head(topic(number), ReadConsistency::Quorum)
            .await
            .unwrap();
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
fn last_batch(folder: &Path) -> usize {
    let journal = std::fs::read(folder.join("0.jnl")).unwrap();
    let uid = u128::from(BATCHES - 1).to_le_bytes();
    let place = journal
        .windows(16)
        .rposition(|window| window == uid)
        .unwrap();
    // The version byte, the item's head and key, and the start of the batch.
    place - 1 - (1 + 1 + 1 + 8 + 2 + 4 + 4 + 9) - (1 + 4 + 8)
}

/// Opens the store on a changed journal: all acknowledged entries are there, or the store refuses
/// to open and names file and byte. Returns whether it opened.
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
        let read = store.read(topic(number), seq(1), Seq::MAX, ReadConsistency::Serial);
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
    let last = last_batch(folder);
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
    let last = last_batch(folder.path());
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

/// Moves what is in the journal into tables, and makes the folder small enough to be copied often.
fn flush(folder: &Path) {
    let db = fjall::Database::builder(folder).open().unwrap();
    for name in ["log", "marks"] {
        let table = db.keyspace(name, fjall::KeyspaceCreateOptions::default);
        table.unwrap().rotate_memtable_and_wait().unwrap();
    }
    drop(db);
    // A start removes what is no longer needed.
    drop(fjall::Database::builder(folder).open().unwrap());
    let journal = folder.join("0.jnl");
    let bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    std::fs::write(&journal, &bytes[..end]).unwrap();
    for mark in ["copy-mark", "copy-seal"] {
        std::fs::remove_file(folder.join(mark)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

/// The files below `keyspaces` that are needed, relative to the folder.
fn table_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("keyspaces")];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false if is_old_version(&path) => {}
                false => files.push(path.strip_prefix(folder).unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

fn is_old_version(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.starts_with('v') && {
        let current = std::fs::read(path.with_file_name("current")).unwrap();
        let id = u64::from_le_bytes(*current.first_chunk().unwrap());
        name != format!("v{id}")
    }
}

/// Opens the store after `damage`: it is refused with the file and advice, or what is missing of
/// its rooms is counted. How many entries are missing; none if it was refused.
async fn opened_after(folder: &Path, damage: impl FnOnce(&Path), what: &str) -> Option<usize> {
    let copied = tempfile::tempdir().unwrap();
    let copied = copied.path();
    copy(folder, copied);
    damage(copied);
    let context = NodeContext::default();
    let metrics = Arc::clone(&context.metrics);
    let store = match EmbeddedStore::open_in(copied, SyncMode::Always, context) {
        Ok(store) => store,
        Err(StoreError::Corrupt(why)) => {
            let has_advice = why.contains("keyspaces") && why.contains("from a backup");
            assert!(has_advice, "{what}: {why}");
            return None;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let (mut missing, mut inner) = (0, 0);
    for number in 0..3 {
        let read = store.read(topic(number), seq(1), Seq::MAX, ReadConsistency::Serial);
        let read = read.await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let uids: Vec<_> = read.iter().map(|entry| entry.draft.uid.0).collect();
        let all = (0..BATCHES).filter(|n| n % 3 == number).map(u128::from);
        let lost: Vec<_> = all.filter(|uid| !uids.contains(uid)).collect();
        missing += lost.len();
        // After the last one that can be read nothing shows that there was more.
        inner += u64::from(lost.iter().any(|uid| Some(uid) < uids.last()));
    }
    let counted = metrics.store_holes.get();
    assert!(counted >= inner, "{what}: {inner} rooms, {counted} counted");
    store.close().unwrap();
    Some(missing)
}

#[tokio::test]
async fn damaged_table_is_refused_with_its_file_unless_only_messages_are_hit() {
    let folder = written().await;
    let folder = folder.path();
    flush(folder);
    assert_eq!(opened_after(folder, |_| (), "no damage").await, Some(0));
    let (mut refused, mut with_holes) = (0, 0);
    for file in table_files(folder) {
        let length = std::fs::metadata(folder.join(&file)).unwrap().len();
        let length = usize::try_from(length).unwrap();
        let places = (0..length).step_by((length / 12).max(4));
        for at in places {
            let what = format!("{} is flipped at {at} of {length}", file.display());
            let flip = |folder: &Path| {
                let mut bytes = std::fs::read(folder.join(&file)).unwrap();
                bytes[at] ^= 0xf1;
                std::fs::write(folder.join(&file), bytes).unwrap();
            };
            match opened_after(folder, flip, &what).await {
                None => refused += 1,
                Some(missing) => {
                    assert!((missing as u64) < BATCHES, "{what}");
                    with_holes += usize::from(missing > 0);
                }
            }
        }
        let what = format!("{} is cut", file.display());
        let cut = |folder: &Path| {
            let bytes = std::fs::read(folder.join(&file)).unwrap();
            std::fs::write(folder.join(&file), &bytes[..length / 2]).unwrap();
        };
        assert_eq!(opened_after(folder, cut, &what).await, None, "{what}");
        let what = format!("{} is missing", file.display());
        let remove = |folder: &Path| std::fs::remove_file(folder.join(&file)).unwrap();
        assert_eq!(opened_after(folder, remove, &what).await, None, "{what}");
    }
    assert!(refused > 0 && with_holes > 0, "{refused}, {with_holes}");
}

#[tokio::test]
async fn open_store_is_not_checked_by_a_second_process() {
    let folder = written().await;
    let store = EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
    let journal = folder.path().join("0.jnl");
    // As a write under way looks to others.
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    bytes.truncate(end);
    bytes.push(1);
    std::fs::write(&journal, &bytes).unwrap();
    let second = EmbeddedStore::open(folder.path(), SyncMode::Always);
    let Err(StoreError::Unavailable(why)) = second else {
        panic!("{second:?}");
    };
    assert!(why.contains("is in use"), "{why}");
    assert_eq!(std::fs::read(&journal).unwrap(), bytes);
    drop(store);
}

#[tokio::test]
async fn folder_put_back_whole_starts_and_in_part_is_refused_with_advice() {
    let older = written().await;
    let newer = tempfile::tempdir().unwrap();
    copy(older.path(), newer.path());
    let store = EmbeddedStore::open(newer.path(), SyncMode::Always).unwrap();
    for uid in [100, 101] {
        store.enter(topic(0)).await.unwrap();
        let head = store.head(topic(0), ReadConsistency::Quorum).await.unwrap();
        let append = store.append(topic(0), head, batch(head, 1, uid));
        assert_eq!(append.await.unwrap(), Append::Applied);
    }
    store.close().unwrap();
    let put_back = tempfile::tempdir().unwrap();
    copy(older.path(), put_back.path());
    let mark = |folder: &Path| folder.join("acknowledged");
    std::fs::copy(mark(newer.path()), mark(put_back.path())).unwrap();
    let refused = EmbeddedStore::open(put_back.path(), SyncMode::Always);
    let Err(StoreError::Corrupt(why)) = refused else {
        panic!("{refused:?}");
    };
    let has_advice = why.contains("from a backup, whole") && why.contains("acknowledged away");
    assert!(has_advice, "{why}");
    std::fs::copy(mark(older.path()), mark(put_back.path())).unwrap();
    let store = EmbeddedStore::open(put_back.path(), SyncMode::Always).unwrap();
    let read = store.read(topic(0), seq(1), Seq::MAX, ReadConsistency::Serial);
    assert_eq!(read.await.unwrap().len(), 8);
}
