//! What a client can make us hold, at the limit and beyond it.

use bytes::Bytes;
use stomp::{Limits, Session, SessionConfig, Version};

use super::support::{Application, Peer, excess, fault, fault_of_r};

const KIB: usize = 1 << 10;
const BEFORE_LOGIN: &str = "more than 65536 bytes before login";

fn stranger() -> Peer {
    Peer::new(SessionConfig::default(), Application::Waits)
}

#[test]
fn before_login_64_kib_are_taken_in_total() {
    let mut peer = stranger();
    assert_eq!(peer.receive("\n".repeat(64 * KIB)), [""; 0]);
    assert_eq!(peer.receive("\n"), excess(BEFORE_LOGIN));
    assert_eq!(
        stranger().receive("\n".repeat(64 * KIB + 1)),
        excess(BEFORE_LOGIN)
    );
}

#[test]
fn before_login_many_small_chunks_are_summed_up() {
    let mut peer = stranger();
    for _ in 0..64 * KIB / 64 {
        assert_eq!(peer.receive("\n".repeat(64)), [""; 0]);
    }
    assert_eq!(peer.receive("\n"), excess(BEFORE_LOGIN));
}

#[test]
fn while_the_login_is_decided_no_more_is_taken() {
    let connect = "CONNECT\naccept-version:1.2\n\n\0";
    let send = "SEND\ndestination:/a\n\nhi\0";
    let mut peer = stranger();
    assert_eq!(peer.receive(connect), ["login 1.2"]);
    let rest = 64 * KIB - connect.len();
    let frames = send.repeat(rest / send.len()) + &"\n".repeat(rest % send.len());
    for chunk in frames.as_bytes().chunks(100) {
        assert_eq!(peer.receive(chunk), [""; 0]);
    }
    assert_eq!(peer.session.buffered_bytes(), rest);

    // Exactly the limit: all of it is read once the login is accepted.
    peer.application = Application::Answers;
    peer.answer_all();
    let lines = peer.outputs();
    assert_eq!(lines.len(), 1 + rest / send.len());
    assert!(peer.session.is_open());
}

#[test]
fn while_the_login_is_decided_too_much_is_dropped_and_refused_after_it() {
    let mut peer = stranger();
    peer.receive("CONNECT\naccept-version:1.2\n\n\0SEND\ndestination:/a\n\nhi\0");
    for _ in 0..1_000 {
        assert_eq!(peer.receive("\n".repeat(KIB)), [""; 0]);
        assert!(peer.session.buffered_bytes() <= 64 * KIB);
    }
    peer.answer_all();
    let lines = peer.outputs();
    assert!(lines[0].starts_with("CONNECTED"), "{lines:?}");
    assert_eq!(
        lines[1], "send /a hi",
        "what lay within the limit is carried out"
    );
    assert_eq!(lines[2..], excess(BEFORE_LOGIN));
    assert_eq!(peer.session.buffered_bytes(), 0);
}

#[test]
fn after_login_there_is_no_total() {
    let mut peer = Peer::connected(Version::V1_2);
    for _ in 0..200 {
        assert_eq!(peer.receive("\n".repeat(KIB)), [""; 0]);
    }
}

#[test]
fn a_frame_is_limited_before_and_after_login() {
    let limits = Limits {
        frame_bytes_max: 60,
        total_bytes_max: None,
        ..Limits::before_login()
    };
    let config = SessionConfig {
        before_login: limits,
        after_login: Limits {
            frame_bytes_max: 70,
            ..limits
        },
        ..SessionConfig::default()
    };
    let connect = |bytes: usize| format!("CONNECT\nx:{}\n\n\0", "x".repeat(bytes - 13));
    let send = |bytes: usize| format!("SEND\ndestination:/a\n\n{}\0", "x".repeat(bytes - 22));
    let check_connect = |bytes| {
        let mut peer = Peer::new(config.clone(), Application::Waits);
        peer.receive(connect(bytes))
    };
    assert_eq!(check_connect(60), ["login 1.0"]);
    assert_eq!(check_connect(61), excess("frame larger than 60 bytes"));
    let mut peer = Peer::connected_with(config.clone(), Version::V1_0);
    assert_eq!(peer.receive(send(70)).len(), 1);
    assert_eq!(peer.receive(send(71)), excess("frame larger than 70 bytes"));
}

#[test]
fn an_endless_frame_is_refused_at_the_limit() {
    let mut peer = Peer::connected(Version::V1_2);
    assert_eq!(peer.receive("SEND\ndestination:/a\n\n"), [""; 0]);
    let lines = (0..1_000).map(|_| {
        assert!(peer.session.buffered_bytes() <= 64 * KIB);
        peer.receive("x".repeat(KIB))
    });
    let refused = lines.into_iter().find(|lines| !lines.is_empty());
    assert_eq!(refused, Some(excess("frame larger than 65536 bytes")));
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_before_it_arrives() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        let lines = peer.receive("SEND\nreceipt:r\ndestination:/a\ncontent-length:65536\n\n");
        let expected = [
            "ERROR message:frame larger than 65536 bytes code:1008 receipt-id:r",
            "close 1009 frame larger than 65536 bytes",
        ];
        assert_eq!(lines, expected);
    }
}

#[test]
fn subscriptions_are_limited() {
    for version in Version::ALL {
        let config = SessionConfig {
            subscriptions_max: 3,
            ..SessionConfig::default()
        };
        let mut peer = Peer::connected_with(config, version);
        let subscribe = |id: u32| format!("SUBSCRIBE\nid:{id}\ndestination:/a\nreceipt:r\n\n\0");
        for id in 0..3 {
            assert_eq!(peer.receive(subscribe(id)).len(), 2);
        }
        assert_eq!(peer.receive("UNSUBSCRIBE\nid:1\n\n\0"), ["unsubscribe #1"]);
        assert_eq!(peer.receive(subscribe(3)).len(), 2);
        assert_eq!(
            peer.receive(subscribe(4)),
            ["not subscribed, 3 at most receipt:r"]
        );
        assert!(peer.session.is_open(), "the others stay");
        assert_eq!(peer.receive("UNSUBSCRIBE\nid:4\n\n\0"), [""; 0]);
        assert_eq!(peer.receive("UNSUBSCRIBE\nid:3\n\n\0"), ["unsubscribe #3"]);
        assert_eq!(peer.receive(subscribe(4)).len(), 2);
    }
}

#[test]
fn names_that_are_kept_are_short() {
    let text = "subscription or transaction named with more than 256 bytes";
    for version in Version::ALL {
        for head in ["SUBSCRIBE\ndestination:/a\nid:", "BEGIN\ntransaction:"] {
            let mut peer = Peer::connected(version);
            let named = |bytes| format!("{head}{}\n\n\0", "x".repeat(bytes));
            assert!(!peer.receive(named(256)).join("").contains("ERROR"));
            assert_eq!(peer.receive(named(257)), excess(text));
        }
    }
    let mut peer = Peer::connected(Version::V1_0);
    let subscribe = format!("SUBSCRIBE\ndestination:/{}\n\n\0", "x".repeat(256));
    assert_eq!(peer.receive(subscribe), excess(text));
}

#[test]
fn a_message_too_large_for_the_transport_is_refused() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.session.handle_message_too_large();
        assert_eq!(peer.outputs(), excess("message too large"));
    }
    let mut peer = stranger();
    peer.session.handle_message_too_large();
    assert_eq!(peer.outputs(), excess("message too large"));
}

fn limited(set: impl FnOnce(&mut SessionConfig)) -> Peer {
    let mut config = SessionConfig::default();
    set(&mut config);
    Peer::connected_with(config, Version::V1_2)
}

#[test]
fn open_transactions_are_limited() {
    let mut peer = limited(|config| config.transactions_max = 2);
    assert_eq!(
        peer.receive("BEGIN\ntransaction:a\n\n\0BEGIN\ntransaction:b\n\n\0"),
        [""; 0]
    );
    assert_eq!(
        peer.receive("ABORT\ntransaction:a\n\n\0BEGIN\ntransaction:c\n\n\0"),
        [""; 0]
    );
    let lines = peer.receive("BEGIN\ntransaction:d\nreceipt:r\n\n\0");
    assert_eq!(lines, fault_of_r("more than 2 open transactions"));
}

#[test]
fn frames_of_a_transaction_are_limited() {
    let mut peer = limited(|config| config.transaction_frames_max = 2);
    let send = "SEND\ndestination:/a\ntransaction:t\n\n\0";
    assert_eq!(
        peer.receive(format!("BEGIN\ntransaction:t\n\n\0{send}{send}")),
        [""; 0]
    );
    assert_eq!(peer.receive(send), excess("transaction too large"));
}

#[test]
fn bytes_of_a_transaction_are_limited() {
    // Headers count with names and values: 11 + 2 + 11 + 1 = 25.
    let send = |bytes| {
        format!(
            "SEND\ndestination:/a\ntransaction:t\n\n{}\0",
            "x".repeat(bytes)
        )
    };
    let mut peer = limited(|config| config.transaction_bytes_max = 100);
    assert_eq!(
        peer.receive(format!(
            "BEGIN\ntransaction:t\n\n\0{}{}",
            send(25),
            send(25)
        )),
        [""; 0]
    );
    let mut full = limited(|config| config.transaction_bytes_max = 100);
    let lines = full.receive(format!(
        "BEGIN\ntransaction:t\n\n\0{}{}",
        send(25),
        send(26)
    ));
    assert_eq!(lines, excess("transaction too large"));
}

/// One NACK in mode `client` asks for every message it covers, but for each only twice, so what a
/// client can make us send again is bounded by what it was sent.
#[test]
fn nacks_give_at_most_two_outputs_per_message() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    for message_id in 1..=1_000 {
        peer.deliver(0, message_id);
    }
    assert_eq!(peer.window(0), Some(0));
    assert_eq!(peer.receive("NACK\nid:1000@0\n\n\0").len(), 1_000);
    assert_eq!(peer.receive("NACK\nid:1000@0\n\n\0").len(), 1_000);
    assert_eq!(peer.window(0), Some(1_000));
    let refused = fault("no such message to acknowledge");
    assert_eq!(peer.receive("NACK\nid:1000@0\n\n\0"), refused);
}

/// Whatever a client repeats, the session does not read on while outputs wait to be polled.
#[test]
fn unpolled_outputs_stay_few() {
    let mut peer = Peer::connected(Version::V1_2);
    let frames = "UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0".repeat(1_000);
    peer.session
        .handle_input(Bytes::from(frames.clone()), peer.now);
    peer.session.poll_output();
    let frame = frames.len() / 1_000;
    assert_eq!(peer.session.buffered_bytes(), frames.len() - frame);
}

/// A hundred thousand idle sessions should cost 50 MB, besides their subscriptions.
#[test]
fn a_session_is_small() {
    let bytes = size_of::<Session>();
    assert!(bytes <= 512, "{bytes} bytes");
}
