//! E1 to E5: what the server's frames hold, and that nothing can be slipped into them.

use bytes::Bytes;
use stomp::{
    CloseCode, MessageTail, Output, Refusal, SessionConfig, Version, ack_id, message_head,
};

use super::support::{Application, Peer, Written};

/// A MESSAGE as the application sends it on a subscription.
fn message(
    version: Version,
    subscription: Option<&str>,
    ack: Option<&str>,
    body: &[u8],
) -> Written {
    let headers = [
        ("destination", "/sub/1"),
        ("message-id", "5"),
        ("a:b", "c\nd"),
    ];
    let tail = MessageTail::encode(version, headers, body);
    let mut bytes = message_head(version, subscription, ack).to_vec();
    bytes.extend_from_slice(tail.bytes());
    Written::parse(&bytes, version)
}

/// The next output, which has to be a frame.
fn written(peer: &mut Peer) -> Written {
    let version = peer.session.version().unwrap_or(Version::V1_0);
    match peer.session.poll_output() {
        Some(Output::Transmit(bytes)) => Written::parse(&bytes, version),
        other => panic!("{other:?} is no frame"),
    }
}

/// What could end a line, a head or a frame, or look like an escape.
const HOSTILE: &str = "a\r\n\nb:c\\n\0\nERROR\n\n\0";

/// How the hostile text arrives at a client of the version.
fn tamed(version: Version) -> &'static str {
    match version {
        Version::V1_0 => "a   b:c\\n  ERROR   ",
        Version::V1_1 | Version::V1_2 => "a\r\n\nb:c\\n \nERROR\n\n ",
    }
}

#[test]
fn e1_a_message_names_destination_id_and_subscription() {
    for version in Version::ALL {
        let message = message(version, Some("s:0"), None, b"hi");
        assert_eq!(message.command, "MESSAGE");
        assert_eq!(message.header("subscription"), Some("s:0"));
        assert_eq!(message.header("destination"), Some("/sub/1"));
        assert_eq!(message.header("message-id"), Some("5"));
        assert_eq!(message.header("ack"), None);
    }
    assert_eq!(
        message(Version::V1_0, None, None, b"").header("subscription"),
        None
    );
}

#[test]
fn e1_in_the_client_modes_of_1_2_it_has_the_ack_header_that_ack_takes() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:s\\c0\ndestination:/a\nack:client\n\n\0");
    peer.deliver(0, 5);
    let ack = ack_id(5, "s:0");
    let message = message(Version::V1_2, Some("s:0"), Some(&ack), b"hi");
    let ack = message.header("ack").expect("an ack header");
    let escaped = ack.replace(':', "\\c");
    assert_eq!(
        peer.receive(format!("ACK\nid:{escaped}\n\n\0")),
        ["acknowledged #0 5"]
    );
}

#[test]
fn e2_a_subscription_tells_the_destination_and_id_to_be_named() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.application = Application::Waits;
        peer.receive("SUBSCRIBE\nid:0\ndestination:/sub/1\n\n\0");
        let Some(Output::Subscribe(subscribe)) = peer.waiting.pop_front() else {
            panic!("no subscribe");
        };
        assert_eq!(
            (subscribe.destination(), subscribe.id()),
            ("/sub/1", Some("0"))
        );
    }
    let mut peer = Peer::connected(Version::V1_0);
    peer.application = Application::Waits;
    peer.receive("SUBSCRIBE\nid:\ndestination:/sub/1\n\n\0");
    let Some(Output::Subscribe(subscribe)) = peer.waiting.pop_front() else {
        panic!("no subscribe");
    };
    assert_eq!((subscribe.destination(), subscribe.id()), ("/sub/1", None));
}

#[test]
fn e3_message_and_error_always_have_a_content_length() {
    for version in Version::ALL {
        for body in [&b""[..], b"hi", b"a\0\n\n\0b", b"\xff\xfe"] {
            let message = message(version, Some("0"), None, body);
            let length = body.len().to_string();
            assert_eq!(message.header("content-length"), Some(&*length));
            assert_eq!(message.body, body);
        }
        let mut peer = Peer::connected(version);
        peer.session.handle_input(Bytes::from("JUMP\n"), peer.now);
        let error = written(&mut peer);
        assert_eq!(error.header("content-length"), Some("15"));
        assert_eq!(error.header("content-type"), Some("text/plain"));
        assert_eq!(error.body, b"unknown command");
    }
}

#[test]
fn e4_an_error_has_message_code_and_receipt_id_and_closes() {
    for version in Version::ALL {
        for receipt in ["", "receipt:r\n"] {
            let mut peer = Peer::connected(version);
            let input = format!("SEND\n{receipt}\nhi\0SEND\ndestination:/a\n\nlater\0");
            peer.session.handle_input(Bytes::from(input), peer.now);
            let error = written(&mut peer);
            let expected = (!receipt.is_empty()).then_some("r");
            assert_eq!(error.command, "ERROR");
            assert_eq!(error.header("receipt-id"), expected);
            assert_eq!(
                error.header("message"),
                Some("SEND needs the header destination")
            );
            assert_eq!(error.header("code"), Some("1006"));
            assert_eq!(
                peer.outputs(),
                ["close 1002 SEND needs the header destination"]
            );
        }
    }
}

#[test]
fn e4_an_application_can_refuse_a_frame_by_its_receipt() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.application = Application::Waits;
        peer.receive("SEND\ndestination:/a\nreceipt:r\n\nhi\0");
        let Some(Output::Send(send)) = peer.waiting.pop_front() else {
            panic!("no send");
        };
        peer.session.refuse(Refusal {
            code: 8005,
            message: "message too long".into(),
            receipt: send.receipt,
            close: CloseCode::POLICY,
        });
        let expected = [
            "ERROR message:message too long code:8005 receipt-id:r",
            "close 1008 message too long",
        ];
        assert_eq!(peer.outputs(), expected);
    }
}

#[test]
fn e5_receipt_and_connected_have_no_body() {
    for version in Version::ALL {
        let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
        peer.receive(format!("CONNECT\naccept-version:{version}\n\n\0"));
        peer.answer_all();
        let connected = written(&mut peer);
        peer.receive("UNSUBSCRIBE\nid:0\n\n\0SEND\ndestination:/a\nreceipt:r\n\n\0");
        peer.answer_all();
        let receipt = written(&mut peer);
        for frame in [connected, receipt] {
            assert_eq!(frame.header("content-length"), None);
            assert!(frame.body.is_empty(), "{frame:?}");
        }
    }
}

#[test]
fn a_receipt_can_carry_more_headers() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.application = Application::Waits;
    peer.receive("SEND\ndestination:/a\nreceipt:r\n\n\0");
    let Some(Output::Send(send)) = peer.waiting.pop_front() else {
        panic!("no send");
    };
    let headers = [("message-id", "5"), ("seq", "1")];
    peer.session.confirm_with(send.receipt, &headers);
    peer.session.confirm_with(None, &headers);
    assert_eq!(peer.outputs(), ["RECEIPT receipt-id:r message-id:5 seq:1"]);
}

#[test]
fn nothing_can_be_slipped_in_by_an_error_text() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.session.refuse(Refusal {
            code: 1,
            message: HOSTILE.into(),
            receipt: None,
            close: CloseCode::POLICY,
        });
        let error = written(&mut peer);
        assert_eq!(error.header("message"), Some(tamed(version)));
        assert_eq!(error.headers.len(), 4, "{error:?}");
        assert_eq!(error.body, HOSTILE.as_bytes());
    }
}

#[test]
fn nothing_can_be_slipped_in_before_a_version_is_agreed_on() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.session.refuse(Refusal {
        code: 1,
        message: HOSTILE.into(),
        receipt: None,
        close: CloseCode::POLICY,
    });
    let error = written(&mut peer);
    assert_eq!(error.header("message"), Some(tamed(Version::V1_0)));
    assert_eq!(error.headers.len(), 4, "{error:?}");
}

#[test]
fn nothing_can_be_slipped_in_by_a_receipt_header() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.application = Application::Waits;
        peer.receive("SEND\ndestination:/a\nreceipt:r\n\n\0");
        let Some(Output::Send(send)) = peer.waiting.pop_front() else {
            panic!("no send");
        };
        peer.session.confirm_with(send.receipt, &[("seq", HOSTILE)]);
        let receipt = written(&mut peer);
        assert_eq!(receipt.header("seq"), Some(tamed(version)));
        assert_eq!(receipt.headers.len(), 2, "{receipt:?}");
    }
}

#[test]
fn nothing_can_be_slipped_in_by_a_receipt_id() {
    // Raw in 1.0, where a backslash is a backslash; an escape elsewhere.
    let escapes = "x\\ny\\c\\nreceipt-id\\cz\\\\n";
    for (version, expected) in [
        (Version::V1_0, escapes),
        (Version::V1_1, "x\ny:\nreceipt-id:z\\n"),
        (Version::V1_2, "x\ny:\nreceipt-id:z\\n"),
    ] {
        for command in ["SEND\ndestination:/a", "SEND"] {
            let mut peer = Peer::connected(version);
            peer.application = Application::Waits;
            let input = format!("{command}\nreceipt:{escapes}\n\n\0");
            peer.session.handle_input(Bytes::from(input), peer.now);
            if command != "SEND" {
                peer.outputs();
                peer.answer_all();
            }
            let answer = written(&mut peer);
            assert_eq!(answer.header("receipt-id"), Some(expected), "{version}");
        }
    }
    // A CR is no line end in 1.0 and 1.1, and what 1.0 cannot write it gets as a space.
    for (version, expected) in [(Version::V1_0, "x y"), (Version::V1_1, "x\ry")] {
        let mut peer = Peer::connected(version);
        let input = "UNSUBSCRIBE\nid:0\nreceipt:x\ry\n\n\0";
        peer.session.handle_input(Bytes::from(input), peer.now);
        assert_eq!(written(&mut peer).header("receipt-id"), Some(expected));
    }
}
