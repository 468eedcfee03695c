//! The embedded store in a process that is killed, or whose disk fails, in the middle of appends.
//!
//! The child is this test binary again: the tests named `child_…` do nothing unless the environment
//! says what they are to do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chat_server::log::Topic;
use chat_server::store::embedded::{EmbeddedStore, NodeContext};
use chat_server::store::{Append, MessageStore, ReadConsistency, StoreError, SyncMode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use shared::ids::Seq;
use tokio::task::JoinSet;

use crate::contract::make::{batch, room, seq};

/// Where the child keeps its store; with it the child knows that it is one.
const FOLDER: &str = "STORE_CONTRACT_FOLDER";
/// `always` or `every`.
const SYNC: &str = "STORE_CONTRACT_SYNC";

const TOPICS: u64 = 6;
/// Tasks that crowd each topic.
const CROWD: u64 = 3;

#[expect(
    clippy::disallowed_methods,
    reason = "libtest takes no arguments of ours"
)]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// This binary, about to run one test as a child.
fn child(program: &str, arguments: &[&str], test: &str, folder: &Path, sync: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .env(SYNC, sync)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

fn this_binary() -> String {
    std::env::current_exe()
        .unwrap()
        .into_os_string()
        .into_string()
        .unwrap()
}

fn open_in_child(folder: &str) -> EmbeddedStore {
    let sync = match setting(SYNC).as_deref() {
        Some("always") => SyncMode::Always,
        _ => SyncMode::Every(Duration::from_secs(3600)),
    };
    EmbeddedStore::open(folder, sync).unwrap()
}

/// Appends to a few crowded topics and prints `ack topic first count uid` for each that was applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_appends_until_it_is_killed() {
    let Some(folder) = setting(FOLDER) else {
        return;
    };
    let store = Arc::new(open_in_child(&folder));
    let mut tasks = JoinSet::new();
    for task in 0..TOPICS * CROWD {
        tasks.spawn(append_for_ever(Arc::clone(&store), task % TOPICS + 1));
    }
    tasks.join_all().await;
}

async fn append_for_ever(store: Arc<EmbeddedStore>, number: u64) {
    let topic = Topic::Room(room(number));
    let mut head = store.head(topic, ReadConsistency::Quorum).await.unwrap();
    loop {
        let count = rand::rng().random_range(1..=5);
        // Half the range, so that those of the batch that follow it do not overflow.
        let uid = rand::rng().random::<u128>() / 2;
        head = match store
            .append(topic, head, batch(head, count, uid))
            .await
            .unwrap()
        {
            Append::Conflict(found) => found,
            Append::Applied => {
                let line = format!("ack {number} {head} {count} {uid}\n");
                std::io::stdout().write_all(line.as_bytes()).unwrap();
                seq(u64::from(head.get() + count))
            }
        };
    }
}

/// The appends that the store acknowledged to the child: topic, position, uid.
type Acked = BTreeMap<(u64, Seq), u128>;

/// Reads the child's acks, kills it after so many, reads on to the end of what it had printed.
fn collect_and_kill(mut child: Child, kill_after: usize, acked: &mut Acked) {
    let output = BufReader::new(child.stdout.take().unwrap());
    let mut count = 0;
    for line in output.lines() {
        let line = line.unwrap();
        // libtest prints "test … ..." without a new line before the first.
        let Some((_, ack)) = line.split_once("ack ") else {
            continue;
        };
        let numbers: Vec<u128> = ack.split(' ').map(|word| word.parse().unwrap()).collect();
        let [topic, head, entries, uid] = numbers[..] else {
            panic!("{line}")
        };
        for nth in 0..entries {
            let at = seq(u64::try_from(head + nth + 1).unwrap());
            let before = acked.insert((u64::try_from(topic).unwrap(), at), uid + nth);
            assert_eq!(before, None, "room {topic} gave position {at} twice");
        }
        count += 1;
        if count == kill_after {
            // SIGKILL: nothing in the child runs after it.
            child.kill().unwrap();
        }
    }
    let status = child.wait().unwrap();
    assert!(
        count >= kill_after,
        "the child ended by itself after {count} appends: {status}"
    );
}

async fn assert_all_there(folder: &Path, acked: &Acked) {
    let store = EmbeddedStore::open(folder, SyncMode::Always).unwrap();
    for number in 1..=TOPICS {
        let topic = Topic::Room(room(number));
        let head = store.head(topic, ReadConsistency::Serial).await.unwrap();
        let mut uids = BTreeMap::new();
        while uids.len() < head.get() as usize {
            let first = seq(uids.len() as u64 + 1);
            let page = store
                .read(topic, first, head, ReadConsistency::Serial)
                .await
                .unwrap();
            assert_eq!(page[0].seq, first);
            uids.extend(page.iter().map(|entry| (entry.seq, entry.draft.uid.0)));
        }
        let mut distinct: Vec<u128> = uids.values().copied().collect();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(
            distinct.len(),
            uids.len(),
            "room {number} has an entry twice"
        );
        for ((_, at), uid) in acked.range((number, Seq::ZERO)..=(number, Seq::MAX)) {
            assert_eq!(
                uids.get(at),
                Some(uid),
                "room {number} lost or changed {at}"
            );
        }
    }
    store.close().unwrap();
}

#[expect(clippy::print_stderr, reason = "a random test prints its seed")]
async fn check_kills(sync: &str) {
    let seed = rand::rng().random();
    eprintln!("seed of the kills: {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut acked = Acked::new();
    for _ in 0..5 {
        let test = "store_contract::crash::child_that_appends_until_it_is_killed";
        let child = child(&this_binary(), &[], test, folder.path(), sync)
            .spawn()
            .unwrap();
        collect_and_kill(child, random.random_range(1..2_000), &mut acked);
        assert_all_there(folder.path(), &acked).await;
    }
}

#[tokio::test]
async fn acknowledged_appends_survive_kill_9_when_synced() {
    check_kills("always").await;
}

#[tokio::test]
async fn acknowledged_appends_survive_kill_9_when_buffered() {
    check_kills("every").await;
}

/// The journal as far as it is written; the rest is zeros, allocated in advance.
fn written_journal(folder: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(folder.join("0.jnl")).unwrap();
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1);
    bytes.truncate(end);
    bytes
}

/// A kill or a power loss may leave any part of the last write, before zeros or the end of the file.
#[tokio::test]
async fn journal_cut_at_any_byte_loses_only_what_was_being_appended() {
    let folder = tempfile::tempdir().unwrap();
    let open = || EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
    let topic = Topic::Room(room(1));
    let store = open();
    store
        .append(topic, Seq::ZERO, batch(Seq::ZERO, 3, 1))
        .await
        .unwrap();
    let before = written_journal(folder.path()).len();
    store
        .append(topic, seq(3), batch(seq(3), 2, 4))
        .await
        .unwrap();
    store.close().unwrap();
    let whole = written_journal(folder.path());

    for (cut, zeros) in (before..whole.len()).flat_map(|cut| [(cut, 0), (cut, 100)]) {
        let journal = [&whole[..cut], &vec![0; zeros]].concat();
        std::fs::write(folder.path().join("0.jnl"), journal).unwrap();
        let store = open();
        let entries = store
            .read(topic, seq(1), Seq::MAX, ReadConsistency::Serial)
            .await
            .unwrap();
        assert_eq!(
            entries,
            batch(Seq::ZERO, 3, 1),
            "cut at {cut} of {}, {zeros} zeros",
            whole.len()
        );
        let again = store
            .append(topic, seq(3), batch(seq(3), 1, 9))
            .await
            .unwrap();
        assert_eq!(again, Append::Applied);
        store.close().unwrap();
        if cut % 16 == 0 {
            assert_eq!(
                open().head(topic, ReadConsistency::Serial).await.unwrap(),
                seq(4),
                "cut at {cut}"
            );
        }
    }
}

/// Appends, makes its own disk fail, and appends again.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn child_whose_disk_fails() {
    let Some(folder) = setting(FOLDER) else {
        return;
    };
    let store = open_in_child(&folder);
    let topic = Topic::Room(room(1));
    let append = async |head: u64| {
        store
            .append(topic, seq(head), batch(seq(head), 1, head.into()))
            .await
    };
    assert_eq!(append(0).await.unwrap(), Append::Applied);

    // From here on files may not grow beyond a byte: the journal's next write fails as on a full disk.
    limit_files("1:");

    let first = append(1).await;
    assert!(matches!(first, Err(StoreError::Unknown(_))), "{first:?}");
    for _ in 0..3 {
        let later = append(1).await;
        assert!(
            matches!(later, Err(StoreError::Unavailable(_))),
            "{later:?}"
        );
    }
    assert_eq!(
        store.head(topic, ReadConsistency::Quorum).await.unwrap(),
        seq(1)
    );
    assert_eq!(
        store
            .read(topic, seq(1), Seq::MAX, ReadConsistency::Quorum)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(matches!(store.close(), Err(StoreError::Unavailable(_))));
    println!("ended well");
}

/// How long the files of this process may be: `soft:`, the hard limit staying as it is.
#[cfg(target_os = "linux")]
fn limit_files(limit: &str) {
    let me = std::process::id().to_string();
    let limit = format!("--fsize={limit}");
    let limited = Command::new("prlimit")
        .args([&limit, "--pid", &me])
        .status();
    assert!(limited.unwrap().success());
}

/// Appends, makes its own disk fail for a while, and goes on.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_whose_disk_is_full_for_a_while() {
    let Some(folder) = setting(FOLDER) else {
        return;
    };
    let sync = match setting(SYNC).as_deref() {
        Some("always") => SyncMode::Always,
        _ => SyncMode::Every(Duration::from_millis(1)),
    };
    let context = NodeContext::default();
    let (health, metrics) = (Arc::clone(&context.health), Arc::clone(&context.metrics));
    health.set_started();
    let store = EmbeddedStore::open_in(&folder, sync, context).unwrap();
    let topic = Topic::Room(room(1));
    let append = async |head: Seq| {
        store
            .append(topic, head, batch(head, 1, head.get().into()))
            .await
    };
    let mut acked = 0;
    for outage in 1..=3 {
        let head = store.head(topic, ReadConsistency::Serial).await.unwrap();
        assert_eq!(append(head).await.unwrap(), Append::Applied);
        acked += 1;

        limit_files("1:");
        let head = store.head(topic, ReadConsistency::Serial).await.unwrap();
        let failed = append(head).await;
        assert!(matches!(failed, Err(StoreError::Unknown(_))), "{failed:?}");
        assert!(!health.is_ready());
        assert!(
            health.reasons()[0].starts_with("store: "),
            "{:?}",
            health.reasons()
        );
        let page = store
            .read(topic, seq(1), head, ReadConsistency::Quorum)
            .await
            .unwrap();
        assert_eq!(page.len(), head.get() as usize, "reads are served on");

        limit_files("unlimited:");
        let going_on = async {
            while store.head(topic, ReadConsistency::Serial).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let going_on = tokio::time::timeout(Duration::from_secs(60), going_on).await;
        going_on.expect("it is opened again");
        assert!(health.is_ready(), "{:?}", health.reasons());
        assert_eq!(metrics.store_outages.get(), outage);
        assert_eq!(metrics.store_reopens.get(), outage);
        // What was unknown is stored or not, for good, and is said by heads and reads alike.
        let head = store.head(topic, ReadConsistency::Quorum).await.unwrap();
        assert_eq!(
            head,
            store.head(topic, ReadConsistency::Serial).await.unwrap()
        );
        let page = store
            .read(topic, seq(1), Seq::MAX, ReadConsistency::Quorum)
            .await
            .unwrap();
        assert_eq!(page.len(), head.get() as usize);
        assert!(page.len() >= acked, "{} of {acked} are left", page.len());
        acked = page.len();
    }
    store.close().unwrap();
    println!("ended well");
}

/// Runs a test of this file as a child whose files may not grow, and expects it to end well.
#[cfg(target_os = "linux")]
fn check_ends_well(test: &str, folder: &Path, sync: &str) {
    // The signal for a file that may not grow would end the child before it sees the error.
    let script = r#"trap "" XFSZ; exec "$0" "$@""#;
    let binary = this_binary();
    let test = format!("store_contract::crash::{test}");
    let output = child("sh", &["-c", script, &binary], &test, folder, sync)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("ended well"),
        "{output:?}"
    );
}

/// RLIMIT_FSIZE stands for a full disk: it needs no mount. It does not show a disk that is full
/// only when the page cache is written back.
#[cfg(target_os = "linux")]
#[test]
fn store_is_opened_again_after_a_full_disk_and_keeps_what_was_acknowledged() {
    for sync in ["always", "every"] {
        let folder = tempfile::tempdir().unwrap();
        check_ends_well("child_whose_disk_is_full_for_a_while", folder.path(), sync);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn failed_commit_is_unknown_and_ends_all_writing_until_reopened() {
    for sync in ["always", "every"] {
        let folder = tempfile::tempdir().unwrap();
        check_ends_well("child_whose_disk_fails", folder.path(), sync);

        let store = EmbeddedStore::open(folder.path(), SyncMode::Always).unwrap();
        let topic = Topic::Room(room(1));
        let head = store.head(topic, ReadConsistency::Quorum).await.unwrap();
        assert!(
            [seq(1), seq(2)].contains(&head),
            "the second was unknown: {head}"
        );
        assert_eq!(
            store.append(topic, head, batch(head, 1, 9)).await.unwrap(),
            Append::Applied
        );
    }
}
