//! D11, and how a session ends: the last output is Close, and nothing comes after it.

use std::time::Duration;

use bytes::Bytes;
use stomp::{CloseCode, ProtocolError, Version};

use super::support::{Application, Peer, authentication_failed, fault};

/// Everything that can be called; a closed session ignores it all.
fn check_silent(peer: &mut Peer) {
    assert!(peer.session.is_closed() && !peer.session.is_open());
    let session = &mut peer.session;
    for input in [
        "CONNECT\n\n\0",
        "SEND\ndestination:/a\n\nhi\0",
        "JUMP\n",
        "\n",
    ] {
        session.handle_input(Bytes::from(input), peer.now);
        assert_eq!(session.buffered_bytes(), 0);
    }
    session.handle_message_too_large();
    session.handle_sent(peer.now);
    session.handle_timeout(peer.now + Duration::from_secs(1_000_000));
    session.accept_login("s", "7", peer.now);
    session.refuse(authentication_failed());
    session.close(CloseCode::NORMAL, "again");
    session.finish(None);
    for key in &peer.keys {
        session.handle_delivered(*key, 9);
        assert_eq!(session.delivery_window(*key), Some(0));
    }
    assert_eq!(session.poll_timeout(), None);
    peer.answer_all();
    assert_eq!(peer.outputs(), [""; 0]);
    assert!(peer.session.is_closed());
}

/// A session with a request of each kind under way.
fn busy(version: Version) -> Peer {
    let mut peer = Peer::connected(version);
    peer.application = Application::Waits;
    let lines = peer.receive(
        "SUBSCRIBE\nid:0\ndestination:/a\nack:client\nreceipt:1\n\n\0\
         SEND\ndestination:/a\nreceipt:2\n\none\0BEGIN\ntransaction:t\n\n\0\
         SEND\ndestination:/a\ntransaction:t\nreceipt:3\n\ntwo\0COMMIT\ntransaction:t\n\n\0",
    );
    assert_eq!(lines.len(), 3);
    peer.deliver(0, 5);
    peer
}

#[test]
fn d11_disconnect_with_a_receipt_is_confirmed_then_closed() {
    for version in Version::ALL {
        let mut peer = busy(version);
        assert_eq!(
            peer.receive("DISCONNECT\nreceipt:d\n\n\0"),
            ["disconnect receipt:d"]
        );
        assert!(!peer.session.is_open() && !peer.session.is_closed());
        peer.answer_all();
        let expected = [
            "RECEIPT receipt-id:1",
            "RECEIPT receipt-id:2",
            "RECEIPT receipt-id:3",
            "RECEIPT receipt-id:d",
            "close 1000 ",
        ];
        assert_eq!(peer.outputs(), expected);
        check_silent(&mut peer);
    }
}

#[test]
fn d11_disconnect_without_a_receipt_is_just_closed() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        let lines = peer.receive("DISCONNECT\n\n\0");
        assert_eq!(lines, ["disconnect", "close 1000 "]);
        check_silent(&mut peer);
    }
}

#[test]
fn finish_ends_an_open_session_normally() {
    let mut peer = busy(Version::V1_2);
    peer.session.finish(None);
    assert_eq!(peer.outputs(), ["close 1000 "]);
    check_silent(&mut peer);
}

#[test]
fn close_sends_no_error() {
    for version in Version::ALL {
        let mut peer = busy(version);
        peer.session.close(CloseCode(4401), "token expired");
        assert_eq!(peer.outputs(), ["close 4401 token expired"]);
        check_silent(&mut peer);
    }
}

#[test]
fn close_works_before_login_and_while_it_is_decided() {
    for input in ["", "CONNECT\naccept-ver", "CONNECT\n\n\0"] {
        let mut peer = Peer::new(stomp::SessionConfig::default(), Application::Waits);
        peer.receive(input);
        peer.session.close(CloseCode(1012), "restart");
        assert_eq!(peer.outputs(), ["close 1012 restart"], "{input:?}");
        check_silent(&mut peer);
    }
}

#[test]
fn what_was_said_before_the_end_is_still_given_out() {
    let mut peer = busy(Version::V1_2);
    peer.answer_all();
    peer.session.close(CloseCode(1012), "restart");
    let expected = [
        "RECEIPT receipt-id:1",
        "RECEIPT receipt-id:2",
        "RECEIPT receipt-id:3",
        "close 1012 restart",
    ];
    assert_eq!(peer.outputs(), expected);
    check_silent(&mut peer);
}

#[test]
fn nothing_follows_a_fault() {
    for version in Version::ALL {
        let mut peer = busy(version);
        let lines = peer.receive("JUMP\n\n\0SEND\ndestination:/a\nreceipt:r\n\n\0");
        assert_eq!(lines, fault("unknown command"));
        check_silent(&mut peer);
    }
}

#[test]
fn nothing_follows_a_refusal() {
    let mut peer = busy(Version::V1_2);
    peer.session
        .handle_input(Bytes::from("SEND\ndestination:/a\n\nhi\0"), peer.now);
    peer.session.refuse(authentication_failed());
    assert_eq!(peer.outputs().len(), 2);
    check_silent(&mut peer);
}

#[test]
fn each_fault_has_its_code_and_close() {
    for (error, code, close) in [
        (ProtocolError::NotConnected, 1006, 1002),
        (ProtocolError::HeartBeatMissed, 1006, 1002),
        (ProtocolError::LoginTimeout, 1006, 1008),
        (ProtocolError::LoginUndecided, 1010, 1013),
        (ProtocolError::MessageTooLarge, 1008, 1009),
        (ProtocolError::TransactionTooLarge, 1008, 1009),
        (ProtocolError::NameTooLong { max: 1 }, 1008, 1009),
    ] {
        assert_eq!(
            (error.code(), error.close_code().0),
            (code, close),
            "{error}"
        );
    }
}
