//! D9: frames that are held back until their COMMIT.

use bytes::Bytes;
use stomp::{Output, Version};

use super::support::{Application, Peer, fault_of_r};

const BEGIN: &str = "BEGIN\ntransaction:t\n\n\0";

fn check(version: Version, input: &str, expected: &[&str]) {
    let mut peer = Peer::connected(version);
    assert_eq!(peer.receive(input), expected, "{version}: {input:?}");
}

fn check_fault(input: &str, text: &str) {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        assert_eq!(
            peer.receive(input),
            fault_of_r(text),
            "{version}: {input:?}"
        );
    }
}

fn send(body: &str, receipt: &str) -> String {
    format!("SEND\ndestination:/a\ntransaction:t\nreceipt:{receipt}\n\n{body}\0")
}

fn commit(receipt: &str) -> String {
    format!("COMMIT\ntransaction:t\nreceipt:{receipt}\n\n\0")
}

#[test]
fn d9_each_frame_needs_the_transaction() {
    for command in ["BEGIN", "COMMIT", "ABORT"] {
        let text = format!("{command} needs the header transaction");
        check_fault(&format!("{command}\nreceipt:r\n\n\0"), &text);
        check_fault(&format!("{command}\ntransaction:\nreceipt:r\n\n\0"), &text);
    }
}

#[test]
fn d9_a_transaction_is_begun_once() {
    check_fault(
        &format!("{BEGIN}BEGIN\ntransaction:t\nreceipt:r\n\n\0"),
        "transaction is open already",
    );
}

#[test]
fn d9_an_id_is_free_again_afterwards() {
    for version in Version::ALL {
        for end in ["COMMIT", "ABORT"] {
            let input =
                format!("{BEGIN}{end}\ntransaction:t\n\n\0BEGIN\ntransaction:t\nreceipt:r\n\n\0");
            check(version, &input, &["RECEIPT receipt-id:r"]);
        }
    }
}

#[test]
fn d9_an_unknown_transaction_is_refused() {
    for frame in [
        "COMMIT\ntransaction:t\n",
        "ABORT\ntransaction:t\n",
        "SEND\ntransaction:t\ndestination:/a\n",
        "SEND\ntransaction:\ndestination:/a\n",
    ] {
        check_fault(&format!("{frame}receipt:r\n\n\0"), "no such transaction");
    }
}

#[test]
fn d9_an_ack_in_an_unknown_transaction_is_refused_and_not_carried_out() {
    let mut peer = with_subscription();
    assert_eq!(
        peer.receive("ACK\nid:1@0\ntransaction:t\nreceipt:r\n\n\0"),
        fault_of_r("no such transaction")
    );
}

#[test]
fn d9_commit_gives_the_sends_in_order_then_all_receipts() {
    for version in Version::ALL {
        let input = format!(
            "{BEGIN}{}{}{}",
            send("one", "1"),
            send("two", "2"),
            commit("c")
        );
        check(
            version,
            &input,
            &[
                "commit [send /a one, send /a two] receipt:c",
                "RECEIPT receipt-id:1",
                "RECEIPT receipt-id:2",
                "RECEIPT receipt-id:c",
            ],
        );
    }
}

#[test]
fn d9_nothing_happens_before_the_commit() {
    for version in Version::ALL {
        check(
            version,
            &format!("{BEGIN}{}{}", send("one", "1"), send("two", "2")),
            &[],
        );
    }
}

#[test]
fn d9_receipts_wait_for_the_store() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.application = Application::Waits;
    let lines = peer.receive(format!("{BEGIN}{}{}", send("one", "1"), commit("c")));
    assert_eq!(lines, ["commit [send /a one] receipt:c"]);
    peer.answer_all();
    let expected = ["RECEIPT receipt-id:1", "RECEIPT receipt-id:c"];
    assert_eq!(peer.outputs(), expected);
}

#[test]
fn d9_transactions_do_not_mix() {
    check(
        Version::V1_2,
        &format!(
            "{BEGIN}BEGIN\ntransaction:u\n\n\0{}SEND\ndestination:/b\ntransaction:u\n\ntwo\0\
             SEND\ndestination:/c\n\nthree\0COMMIT\ntransaction:u\n\n\0{}",
            send("one", "1"),
            commit("c")
        ),
        &[
            "send /c three",
            "commit [send /b two]",
            "commit [send /a one] receipt:c",
            "RECEIPT receipt-id:1",
            "RECEIPT receipt-id:c",
        ],
    );
}

#[test]
fn d9_abort_drops_the_frames_and_their_receipts() {
    for version in Version::ALL {
        check(
            version,
            &format!(
                "{BEGIN}{}ABORT\ntransaction:t\nreceipt:a\n\n\0",
                send("one", "1")
            ),
            &["RECEIPT receipt-id:a"],
        );
    }
}

#[test]
fn d9_an_empty_commit_is_confirmed_at_once() {
    for version in Version::ALL {
        let input = format!("{BEGIN}{}", commit("c"));
        check(version, &input, &["RECEIPT receipt-id:c"]);
    }
}

/// Subscription `0` in mode client, on which 1 and 2 went out.
fn with_subscription() -> Peer {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    peer.deliver(0, 1);
    peer.deliver(0, 2);
    peer
}

#[test]
fn d9_acks_take_effect_at_the_commit() {
    let mut peer = with_subscription();
    let bound = "ACK\nid:1@0\ntransaction:t\nreceipt:1\n\n\0NACK\nid:2@0\ntransaction:t\n\n\0";
    assert_eq!(peer.receive(format!("{BEGIN}{bound}")), [""; 0]);
    assert_eq!(peer.window(0), Some(998));
    assert_eq!(
        peer.receive(commit("c")),
        [
            "acknowledged #0 1",
            "redeliver #0 2",
            "RECEIPT receipt-id:1",
            "RECEIPT receipt-id:c"
        ]
    );
    assert_eq!(peer.window(0), Some(999));
}

#[test]
fn d9_acks_wait_for_the_sends_of_their_transaction() {
    let mut peer = with_subscription();
    peer.application = Application::Waits;
    peer.receive(format!("{BEGIN}ACK\nid:2@0\ntransaction:t\n\n\0"));
    peer.receive(format!("{}{}", send("one", "1"), commit("c")));
    assert_eq!(peer.window(0), Some(998));
    peer.answer_all();
    let expected = [
        "acknowledged #0 2",
        "RECEIPT receipt-id:1",
        "RECEIPT receipt-id:c",
    ];
    assert_eq!(peer.outputs(), expected);
}

#[test]
fn d9_an_abort_leaves_the_messages_waiting() {
    let mut peer = with_subscription();
    peer.receive(format!(
        "{BEGIN}ACK\nid:2@0\ntransaction:t\n\n\0ABORT\ntransaction:t\n\n\0"
    ));
    assert_eq!(peer.window(0), Some(998));
    assert_eq!(peer.receive("ACK\nid:2@0\n\n\0"), ["acknowledged #0 2"]);
}

#[test]
fn d9_an_ack_is_checked_when_it_comes() {
    let mut peer = with_subscription();
    assert_eq!(
        peer.receive(format!(
            "{BEGIN}ACK\nid:3@0\ntransaction:t\nreceipt:r\n\n\0"
        )),
        fault_of_r("no such message to acknowledge")
    );
}

#[test]
fn d9_an_ack_that_was_overtaken_does_nothing_more() {
    let mut peer = with_subscription();
    let bound = "ACK\nid:1@0\ntransaction:t\n\n\0";
    let overtaken = "ACK\nid:2@0\n\n\0";
    assert_eq!(
        peer.receive(format!("{BEGIN}{bound}{bound}{overtaken}{}", commit("c"))),
        ["acknowledged #0 2", "RECEIPT receipt-id:c"]
    );
    let mut peer = with_subscription();
    let gone = "UNSUBSCRIBE\nid:0\n\n\0";
    assert_eq!(
        peer.receive(format!("{BEGIN}{bound}{gone}{}", commit("c"))),
        ["unsubscribe #0", "RECEIPT receipt-id:c"]
    );
}

#[test]
fn d9_open_transactions_are_aborted_at_disconnect_and_at_a_fault() {
    for version in Version::ALL {
        check(
            version,
            &format!(
                "{BEGIN}{}DISCONNECT\nreceipt:d\n\n\0{}",
                send("one", "1"),
                commit("c")
            ),
            &[
                "disconnect receipt:d",
                "RECEIPT receipt-id:d",
                "close 1000 ",
            ],
        );
        let mut peer = Peer::connected(version);
        let lines = peer.receive(format!(
            "{BEGIN}{}JUMP\n\n\0{}",
            send("one", "1"),
            commit("c")
        ));
        assert_eq!(lines, super::support::fault("unknown command"));
    }
}

#[test]
fn d9_a_commit_under_way_is_confirmed_before_the_disconnect() {
    let mut peer = with_subscription();
    peer.application = Application::Waits;
    peer.receive(format!("{BEGIN}ACK\nid:2@0\ntransaction:t\n\n\0"));
    let lines = peer.receive(format!(
        "{}{}DISCONNECT\nreceipt:d\n\n\0",
        send("one", "1"),
        commit("c")
    ));
    let expected = ["commit [send /a one] receipt:c", "disconnect receipt:d"];
    assert_eq!(lines, expected);
    peer.answer_all();
    assert_eq!(
        peer.outputs(),
        [
            "acknowledged #0 2",
            "RECEIPT receipt-id:1",
            "RECEIPT receipt-id:c",
            "RECEIPT receipt-id:d",
            "close 1000 "
        ]
    );
}

#[test]
fn a_refused_commit_can_name_its_receipt() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.application = Application::Waits;
    peer.receive(format!("{BEGIN}{}{}", send("one", "1"), commit("c")));
    let Some(Output::Commit(commit)) = peer.waiting.pop_front() else {
        panic!("no commit");
    };
    peer.session.refuse(stomp::Refusal {
        code: 8007,
        message: "try again".into(),
        receipt: commit.receipt,
        close: stomp::CloseCode(1013),
    });
    let expected = [
        "ERROR message:try again code:8007 receipt-id:c",
        "close 1013 try again",
    ];
    assert_eq!(peer.outputs(), expected);
}

#[test]
fn a_bound_send_keeps_all_its_parts() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.application = Application::Waits;
    peer.receive(format!(
        "{BEGIN}SEND\ndestination:/a\ntransaction:t\nk\\cey:v\\n\ncontent-length:3\n\na\0b\0{}",
        commit("c")
    ));
    let Some(Output::Commit(commit)) = peer.waiting.pop_front() else {
        panic!("no commit");
    };
    let frame = &commit.sends[0].frame;
    let headers: Vec<_> = frame.headers().collect();
    let expected = [
        ("destination", "/a"),
        ("transaction", "t"),
        ("k:ey", "v\n"),
        ("content-length", "3"),
    ];
    assert_eq!(headers, expected);
    assert_eq!(frame.body()[..], b"a\0b"[..]);
}

/// A chunk may hold much more than the bound frame in it; while the transaction is open only the
/// frame may stay in memory.
#[test]
fn a_bound_frame_lets_go_of_the_chunk_it_came_in() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    peer.deliver(0, 1);
    peer.receive(BEGIN);
    let bound = [
        send("one", "1"),
        "ACK\nid:1@0\ntransaction:t\nreceipt:2\n\n\0".into(),
    ];
    for frame in bound {
        let chunk = Bytes::from(format!("{frame}{}", "\n".repeat(60_000)).into_bytes());
        peer.session.handle_input(chunk.clone(), peer.now);
        assert_eq!(peer.outputs(), [""; 0]);
        assert!(chunk.is_unique(), "{frame:?} is held back in its chunk");
    }
}
