//! The real program, killed or stopped in mid-traffic and started again on the same folder; and
//! what its command line does.

mod disk;
mod epoch;
mod limits;
mod traffic;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::program::{End, program, run, server, start};
use crate::support::TestNode;
use crate::support::client::Client;
use serde_json::Value;
use traffic::{RECEIPTS, Reader, Traffic, message_id};

const ROUNDS: usize = 20;

/// Closed for a restart.
const RESTART: u16 = 1012;

async fn check_all_receipts_hold(sync: &str) {
    let mut traffic = Traffic::new().await;
    let folder = traffic.folder.clone();
    let settings = ["--sync", sync];
    for _ in 0..ROUNDS {
        let running = start(folder.path(), &settings).await;
        traffic.run(running, End::Kill).await;
    }
    let receipts: usize = traffic.writers.iter().map(|w| w.settled.len()).sum();
    assert!(receipts >= ROUNDS * RECEIPTS);

    let running = start(folder.path(), &settings).await;
    for writer in &mut traffic.writers {
        writer.settle(running.address).await;
    }
    check_logs(running.address, &mut traffic).await;
    // What had a receipt from a program that is no more is still known to be there.
    for writer in &mut traffic.writers {
        writer.repeat(running.address).await;
    }
    check_logs(running.address, &mut traffic).await;
}

/// The rooms contain the messages that got a receipt, once, in their writer's order, and no others;
/// readers that resumed in every round, new readers and the history get the same messages.
async fn check_logs(address: SocketAddr, traffic: &mut Traffic) {
    for reader in &mut traffic.readers {
        drop(reader.catch_up(address).await);
    }
    for reader in &traffic.readers {
        let (room, token) = (reader.room, &reader.token);
        let mut fresh = Reader::new(room, token.clone());
        drop(fresh.catch_up(address).await);
        check_log(&fresh.seen, traffic.writers_of(room));
        assert_eq!(reader.seen, fresh.seen, "read on over all rounds");
        assert_eq!(history(address, token, room).await, fresh.seen);
    }
}

fn check_log<'a>(log: &[String], writers: impl Iterator<Item = (&'a str, &'a [String])>) {
    let mut settled = 0;
    for (name, receipts) in writers {
        let receipts: BTreeSet<&String> = receipts.iter().collect();
        settled += receipts.len();
        let prefix = format!("{name}-");
        let numbers = log.iter().filter_map(|text| text.strip_prefix(&prefix));
        let numbers: Vec<usize> = numbers.map(|number| number.parse().unwrap()).collect();
        let all: Vec<usize> = (1..=receipts.len()).collect();
        assert_eq!(numbers, all, "what is in the log of {name}");
        for number in all {
            let id = format!("{prefix}{number}");
            assert!(receipts.contains(&id), "{id} is there without a receipt");
        }
    }
    assert_eq!(log.len(), settled, "there is more than was written");
}

/// The texts in a room, oldest first, by REST.
async fn history(address: SocketAddr, token: &str, room: i64) -> Vec<String> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut rows = Vec::new();
    let mut before = String::new();
    loop {
        let url = format!("http://{address}/api/chat-room/{room}/history?size=100{before}");
        let answer = client.get(url).bearer_auth(token).send().await.unwrap();
        let page = answer.json::<Value>().await.unwrap()["data"].take();
        rows.extend(page["data"].as_array().unwrap().clone());
        let Some(next) = page["pageInfo"]["nextCursorId"].as_i64() else {
            break;
        };
        before = format!("&cursorId={next}");
    }
    rows.reverse();
    let texts = rows.iter().enumerate().map(|(at, row)| {
        assert_eq!(row["chatMessageId"], message_id(room, at + 1));
        assert_eq!(row["clientMessageId"], row["message"]);
        row["message"].as_str().unwrap().to_owned()
    });
    texts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_each_write_is_synced() {
    check_all_receipts_hold("always").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_hold_over_twenty_kills_when_writes_are_synced_later() {
    check_all_receipts_hold("50ms").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_the_program_well_and_what_had_no_receipt_is_not_stored() {
    let mut traffic = Traffic::new().await;
    let folder = traffic.folder.clone();
    // Short, so that the test is; in the order of the real ones.
    let soon = [
        ["--lame-duck", "100ms"],
        ["--notice-min", "500ms"],
        ["--notice-max", "500ms"],
    ];
    for (settings, end) in [
        (soon.as_flattened(), End::Terminate),
        (&[][..], End::TerminateTwice),
    ] {
        let running = start(folder.path(), settings).await;
        traffic.run(running, end).await;
        for writer in &traffic.writers {
            assert_eq!(writer.close_code, Some(RESTART));
        }
        let running = start(folder.path(), &[]).await;
        check_logs(running.address, &mut traffic).await;
        for writer in &mut traffic.writers {
            writer.settle(running.address).await;
        }
    }
}

#[tokio::test]
async fn a_stop_that_cannot_fit_into_its_budget_is_a_wrong_setting() {
    let ended = run(program(&["--stop-budget", "60s"])).await;
    assert_eq!(ended.status.code(), Some(64));
    let report = String::from_utf8(ended.stderr).unwrap();
    for part in ["--stop-budget", "150s or more", "--lame-duck"] {
        assert!(report.contains(part), "{part} is missing in: {report}");
    }
}

#[tokio::test]
async fn two_programs_do_not_share_a_folder() {
    let node = TestNode::start(&[]).await;
    let token = node.token(1);
    let folder = node.stop().await;
    let first = start(folder.path(), &[]).await;
    let second = run(server(folder.path(), &[])).await;
    assert_eq!(second.status.code(), Some(1));
    let log = String::from_utf8(second.stderr).unwrap();
    assert!(log.contains("is in use"), "{log}");
    drop(Client::login(first.address, &token).await);
}

#[tokio::test]
async fn help_shows_every_setting() {
    let asked = run(program(&["--help"])).await;
    assert_eq!(asked.status.code(), Some(0));
    let help = String::from_utf8(asked.stdout).unwrap();
    for part in [
        "--listen",
        "CHAT_STORE",
        "--sync",
        "--frame-bytes-max",
        "CHAT_LAME_DUCK",
        "token",
    ] {
        assert!(help.contains(part), "{part} is missing in: {help}");
    }
}

/// A value that no setting takes ends the start; the report names the setting and its variable.
#[tokio::test]
async fn wrong_setting_is_reported_and_nothing_starts() {
    let wrong: [(&[&str], &str, &str); 4] = [
        (
            &["--listen", "here"],
            "CHAT_OTHER",
            "--listen (CHAT_LISTEN)",
        ),
        (&["--store", "tape:"], "CHAT_OTHER", "--store (CHAT_STORE)"),
        (&["--colour", "red"], "CHAT_OTHER", "--colour"),
        (&[], "CHAT_SYNC", "CHAT_SYNC"),
    ];
    for (args, variable, part) in wrong {
        let mut program = program(args);
        program.env(variable, "never");
        let ended = run(program).await;
        assert_eq!(ended.status.code(), Some(64), "{args:?}");
        let report = String::from_utf8(ended.stderr).unwrap();
        assert!(report.contains(part), "{part} is missing in: {report}");
    }
}

#[tokio::test]
async fn settings_that_do_not_make_sense_are_told_at_once_too() {
    let wrong = ["--login-timeout", "1ms", "--frame-bytes-max", "1"];
    let ended = run(program(&wrong)).await;
    assert_eq!(ended.status.code(), Some(64));
    let report = String::from_utf8(ended.stderr).unwrap();
    for part in ["--login-timeout", "--frame-bytes-max"] {
        assert!(report.contains(part), "{part} is missing in: {report}");
    }
}

#[tokio::test]
async fn a_development_token_is_that_members_and_is_accepted() {
    let folder = TestNode::start(&[]).await.stop().await;
    let running = start(folder.path(), &[]).await;
    let mut sign = program(&["token", "--member", "3", "--dev-key"]);
    sign.arg(folder.path().join("key.pem"));
    let signed = run(sign).await;
    assert_eq!(signed.status.code(), Some(0));
    let token = String::from_utf8(signed.stdout).unwrap();
    let mut client = Client::login(running.address, token.trim()).await;
    client.subscribe("own", "/sub/alarm/3", &[]).await;
}

#[tokio::test]
async fn without_its_key_there_is_no_development_token() {
    let unsigned = run(program(&[
        "token",
        "--member",
        "3",
        "--dev-key",
        "none.pem",
    ]))
    .await;
    assert_eq!(unsigned.status.code(), Some(1));
    assert!(unsigned.stdout.is_empty());
    let log = String::from_utf8(unsigned.stderr).unwrap();
    assert!(log.contains("the development key cannot be read"), "{log}");
}
