//! The store contract, for every store; and what only the embedded one can show: that it comes back.

#[path = "contract/scylla.rs"]
mod scylla;

use std::sync::Arc;

mod embedded {
    use std::path::Path;
    use std::time::Duration;

    use chat_server::log::Topic;
    use chat_server::store::embedded::{EmbeddedStore, NodeContext};
    use chat_server::store::{
        AccountStatus, Append, MemberStore, MessageStore, ReadConsistency, RoomHead, RoomStore,
        StoreError, SyncMode,
    };
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    use shared::ids::Seq;
    use tempfile::TempDir;
    use tokio::runtime::Runtime;

    use super::Arc;
    use crate::contract::make::{batch, entry, member, millis, room, seq};
    use crate::contract::model::{Model, Step, steps};
    use crate::contract::rooms::room_of;
    use crate::contract::store::{Subject, assert_corrupt, seqs};

    fn open_with(sync: SyncMode) -> Subject {
        let folder = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(folder.path(), sync).unwrap();
        Subject {
            store: Arc::new(store),
            _kept: Box::new(folder),
        }
    }

    mod synced {
        use std::future::{Ready, ready};

        use super::{Arc, SyncMode};
        use crate::contract::store::Subject;

        fn open() -> Ready<Subject> {
            ready(super::open_with(SyncMode::Always))
        }

        crate::store_contract!(open);
    }

    mod buffered {
        use std::future::{Ready, ready};

        use super::{Arc, Duration, SyncMode};
        use crate::contract::store::Subject;

        fn open() -> Ready<Subject> {
            ready(super::open_with(SyncMode::Every(Duration::from_millis(1))))
        }

        crate::store_contract!(open);
    }

    const TOPIC: fn() -> Topic = || Topic::Room(room(1));

    fn open(folder: &Path) -> EmbeddedStore {
        EmbeddedStore::open(folder, SyncMode::Every(Duration::from_secs(3600))).unwrap()
    }

    async fn walk(model: &mut Model, store: &EmbeddedStore, steps: &[Step]) {
        model.compare(store).await;
        for step in steps {
            model.step(store, step).await;
        }
        model.compare(store).await;
    }

    #[test]
    fn random_walk_equals_the_model_also_after_reopening() {
        let config = ProptestConfig {
            cases: 24,
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let runtime = Runtime::new().unwrap();
        // On failure proptest prints the shortest walk that fails, which is its own seed.
        let walks = (steps(), steps());
        TestRunner::new(config)
            .run(&walks, |(before, after)| {
                let mut model = Model::fresh();
                for steps in [before, after] {
                    let store = open(folder.path());
                    runtime.block_on(walk(&mut model, &store, &steps));
                    store.close().unwrap();
                }
                Ok(())
            })
            .unwrap();
    }

    #[tokio::test]
    async fn everything_is_there_after_a_clean_close() {
        let folder = tempfile::tempdir().unwrap();
        let put = room_of(room(3), &[]);
        let store = open(folder.path());
        store
            .append(TOPIC(), Seq::ZERO, batch(Seq::ZERO, 64, 1))
            .await
            .unwrap();
        store.put_room(&put).await.unwrap();
        store.mark_read(member(1), room(3), seq(5)).await.unwrap();
        store
            .set_account_status(member(1), AccountStatus::Blocked, millis(5))
            .await
            .unwrap();
        store.close().unwrap();

        let store = open(folder.path());
        assert_eq!(
            store.head(TOPIC(), ReadConsistency::Quorum).await.unwrap(),
            seq(64)
        );
        let entries = store
            .read(TOPIC(), seq(1), seq(64), ReadConsistency::Quorum)
            .await
            .unwrap();
        assert_eq!(entries, batch(Seq::ZERO, 64, 1));
        assert_eq!(store.room(room(3)).await.unwrap(), Some(put));
        assert_eq!(store.last_read(member(1), room(3)).await.unwrap(), seq(5));
        assert_eq!(
            store.heads(&[room(1), room(3)]).await.unwrap(),
            [RoomHead::of(room(1), &entry(seq(64), 64))]
        );
        assert_eq!(
            store.status(member(1)).await.unwrap(),
            AccountStatus::Blocked
        );
        let again = store
            .append(TOPIC(), Seq::ZERO, batch(Seq::ZERO, 1, 1))
            .await
            .unwrap();
        assert_eq!(again, Append::Conflict(seq(64)));
    }

    #[tokio::test]
    async fn drop_closes_and_keeps_what_was_applied() {
        let folder = tempfile::tempdir().unwrap();
        for nth in 0..3 {
            let store = open(folder.path());
            let head = seq(nth);
            let outcome = store
                .append(TOPIC(), head, batch(head, 1, nth.into()))
                .await
                .unwrap();
            assert_eq!(outcome, Append::Applied);
        }
    }

    #[tokio::test]
    async fn second_store_on_a_folder_is_told_why_it_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path());
        let second = EmbeddedStore::open(folder.path(), SyncMode::Always);
        let Err(StoreError::Unavailable(why)) = second else {
            panic!("{second:?}")
        };
        assert!(
            why.contains("in use") && why.contains(folder.path().to_str().unwrap()),
            "{why}"
        );
        first.close().unwrap();
        drop(open(folder.path()));
    }

    #[test]
    fn folder_that_cannot_be_made_is_unavailable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let store = EmbeddedStore::open(file.join("store"), SyncMode::Always);
        assert!(
            matches!(store, Err(StoreError::Unavailable(_))),
            "{store:?}"
        );
    }

    /// Puts `value` where the store keeps what `key` names.
    fn overwrite(folder: &TempDir, table: &str, key: &[u8], value: Option<&[u8]>) {
        let db = fjall::Database::builder(folder.path()).open().unwrap();
        let table = db
            .keyspace(table, fjall::KeyspaceCreateOptions::default)
            .unwrap();
        match value {
            Some(value) => table.insert(key, value).unwrap(),
            None => table.remove(key).unwrap(),
        }
    }

    const SECOND_ENTRY: [u8; 9] = [0, 0, 0, 0, 1, 0, 0, 0, 2];

    async fn three_entries() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store
            .append(TOPIC(), Seq::ZERO, batch(Seq::ZERO, 3, 1))
            .await
            .unwrap();
        store.close().unwrap();
        folder
    }

    #[tokio::test]
    async fn damaged_or_newer_entry_is_passed_over_and_cannot_be_deleted() {
        for value in [&b""[..], b"\x02", b"\x01\x00", &[0xff; 64]] {
            let folder = three_entries().await;
            overwrite(&folder, "log", &SECOND_ENTRY, Some(value));
            let store = open(folder.path());
            let rest = store.read(TOPIC(), seq(1), seq(3), ReadConsistency::Quorum);
            assert_eq!(seqs(&rest.await.unwrap()), [1, 3]);
            assert_corrupt(store.delete(TOPIC(), seq(2)).await);
            let third = store
                .read(TOPIC(), seq(3), seq(3), ReadConsistency::Quorum)
                .await
                .unwrap();
            assert_eq!(third, batch(seq(2), 1, 3));
            let next = store
                .append(TOPIC(), seq(3), batch(seq(3), 1, 4))
                .await
                .unwrap();
            assert_eq!(next, Append::Applied, "the writer goes on");
        }
    }

    #[tokio::test]
    async fn holes_are_passed_over_and_counted_once() {
        let folder = three_entries().await;
        overwrite(&folder, "log", &SECOND_ENTRY, None);
        let context = NodeContext::default();
        let metrics = Arc::clone(&context.metrics);
        let store = EmbeddedStore::open_in(folder.path(), SyncMode::Always, context).unwrap();
        for (first, last, expected) in
            [(1, 3, &[1, 3][..]), (2, 3, &[3]), (2, 2, &[]), (1, 2, &[1])]
        {
            let found = store.read(TOPIC(), seq(first), seq(last), ReadConsistency::Quorum);
            assert_eq!(seqs(&found.await.unwrap()), expected, "{first}..={last}");
            assert_eq!(metrics.store_holes.get(), 1);
        }
        // What is not there yet is no hole.
        assert!(
            store
                .read(TOPIC(), seq(4), seq(9), ReadConsistency::Serial)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(metrics.store_holes.get(), 1);
        for (from, to, expected) in [(2, 9, Some(3)), (2, 1, Some(1)), (2, 2, None), (4, 9, None)] {
            let found = store.nearest(TOPIC(), seq(from), seq(to)).await.unwrap();
            assert_eq!(found, expected.map(seq), "from {from} to {to}");
        }
    }

    #[tokio::test]
    async fn damaged_records_of_rooms_and_members_are_corrupt() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path()));
        let (room_1, member_1_room_1) = ([0, 0, 0, 1], [0, 0, 0, 1, 0, 0, 0, 1]);
        overwrite(&folder, "rooms", &room_1, Some(b"\x01{"));
        overwrite(&folder, "marks", &member_1_room_1, Some(b"\x01\x00"));
        overwrite(&folder, "memberships", &member_1_room_1, Some(b"\x01\x09"));
        overwrite(&folder, "members", &room_1, Some(b"\x01\x02"));
        let store = open(folder.path());
        assert_corrupt(store.room(room(1)).await);
        assert_corrupt(store.put_room(&room_of(room(1), &[])).await);
        assert_corrupt(store.last_read(member(1), room(1)).await);
        assert_corrupt(store.mark_read(member(1), room(1), seq(1)).await);
        assert_corrupt(store.memberships(member(1)).await);
        assert_corrupt(store.status(member(1)).await);
        let blocked = store.set_account_status(member(1), AccountStatus::Blocked, millis(5));
        assert_corrupt(blocked.await);
    }
}

#[cfg(unix)]
#[path = "contract/crash.rs"]
mod crash;

#[cfg(unix)]
#[path = "contract/damage.rs"]
mod damage;
