//! `chat-server new-epoch`, as operators run it after a restored backup.

use std::path::Path;
use std::process::Output;

use chat_server::store::epoch::GAP_MIN;
use stomp::Command;

use crate::program::{program, run, start};
use crate::support::TestNode;
use crate::support::client::Client;

async fn new_epoch(folder: &Path) -> Output {
    let store = format!("file:{}", folder.display());
    run(program(&["new-epoch", "--store", &store])).await
}

/// The epoch that it prints.
async fn begun(folder: &Path) -> u64 {
    let done = new_epoch(folder).await;
    let said = String::from_utf8(done.stdout).unwrap();
    assert_eq!(done.status.code(), Some(0), "{said}");
    let epoch = said.strip_prefix("epoch ").unwrap().strip_suffix('\n');
    epoch.unwrap().parse().unwrap()
}

/// Says this in room 1; its position.
async fn say(client: &mut Client, text: &str) -> u64 {
    client.say(1, text, text).await;
    let message = client
        .until(|frame| frame.command() == Command::Message)
        .await;
    let id: u64 = message.header("message-id").unwrap().parse().unwrap();
    id - (1 << 22)
}

#[tokio::test(flavor = "multi_thread")]
async fn new_epoch_sends_the_next_message_far_ahead() {
    let node = TestNode::start(&[]).await;
    node.room(1, &[1, 2]).await;
    let token = node.token(1);
    let mut client = Client::login(node.address, &token).await;
    client.subscribe("own", "/sub/1", &[]).await;
    assert_eq!(say(&mut client, "m1").await, 1);
    drop(client);
    let folder = node.stop().await;
    let chat = folder.path().join("chat");
    let first = begun(&chat).await;
    assert!(begun(&chat).await > first, "twice is harmless");

    let running = start(folder.path(), &[]).await;
    let mut client = Client::login(running.address, &token).await;
    client.subscribe("own", "/sub/1", &[]).await;
    let next = say(&mut client, "m2").await;
    assert!(next > 1 + u64::from(GAP_MIN), "{next}");
    assert_eq!(say(&mut client, "m3").await, next + 1);

    // A store that a node has open is left alone.
    let refused = new_epoch(&chat).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stdout.is_empty());
    let log = String::from_utf8(refused.stderr).unwrap();
    assert!(log.contains("is in use"), "{log}");
    assert_eq!(say(&mut client, "m4").await, next + 2);
}

/// A folder that was never a store, that of `dapanda` instead of its `chat`, or none at all.
#[tokio::test(flavor = "multi_thread")]
async fn new_epoch_of_a_wrong_folder_is_refused_and_makes_nothing() {
    let folder = TestNode::start(&[]).await.stop().await;
    let listing = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = listing();
    for wrong in [folder.path().to_owned(), folder.path().join("caht")] {
        let refused = new_epoch(&wrong).await;
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stdout.is_empty());
        let log = String::from_utf8(refused.stderr).unwrap();
        let path = wrong.display().to_string();
        for part in [&path, "holds no messages"] {
            assert!(log.contains(part), "{part} is missing in: {log}");
        }
        assert_eq!(listing(), before);
    }
}
