//! D1 to D4, D7, D10, D12 to D14: what each frame of a client does.

use stomp::Version;

use super::support::{Peer, fault, fault_of_r};

const SINCE_1_1: [Version; 2] = [Version::V1_1, Version::V1_2];

fn check(version: Version, input: &str, expected: &[&str]) {
    let mut peer = Peer::connected(version);
    assert_eq!(peer.receive(input), expected, "{version}: {input:?}");
}

/// The last frame of `input` has `receipt:r` and breaks the rule that `text` tells.
fn check_fault(version: Version, input: &str, text: &str) {
    let mut peer = Peer::connected(version);
    let lines = peer.receive(input);
    let expected = fault_of_r(text);
    assert!(
        lines.ends_with(&expected),
        "{version}: {input:?}: {lines:?}"
    );
    assert!(peer.session.is_closed());
}

#[test]
fn d1_send_needs_a_destination() {
    for version in Version::ALL {
        let text = "SEND needs the header destination";
        check_fault(version, "SEND\nreceipt:r\n\nhi\0", text);
        check_fault(version, "SEND\ndestination:\nreceipt:r\n\nhi\0", text);
        check(version, "SEND\ndestination:/a\n\nhi\0", &["send /a hi"]);
        check(version, "SEND\ndestination:/a\n\n\0", &["send /a "]);
    }
}

#[test]
fn d1_a_content_type_is_a_mime_type_in_1_2() {
    let send = |kind| format!("SEND\ndestination:/a\nreceipt:r\ncontent-type:{kind}\n\nhi\0");
    let taken = ["send /a hi receipt:r", "RECEIPT receipt-id:r"];
    for kind in [
        "text/plain",
        "application/json;charset=utf-8",
        "image/svg+xml",
    ] {
        for version in Version::ALL {
            check(version, &send(kind), &taken);
        }
    }
    for kind in ["", "text", "text/", "/plain", "a b/c", "a/b/c"] {
        let text = "content-type is not a MIME type";
        check_fault(Version::V1_2, &send(kind), text);
        check(Version::V1_0, &send(kind), &taken);
        check(Version::V1_1, &send(kind), &taken);
    }
}

#[test]
fn d2_subscribe_needs_a_destination() {
    for version in Version::ALL {
        let text = "SUBSCRIBE needs the header destination";
        check_fault(version, "SUBSCRIBE\nid:0\nreceipt:r\n\n\0", text);
        check_fault(
            version,
            "SUBSCRIBE\nid:0\ndestination:\nreceipt:r\n\n\0",
            text,
        );
    }
}

#[test]
fn d2_subscribe_needs_an_id_since_1_1() {
    for id in ["", "id:\n"] {
        let input = format!("SUBSCRIBE\n{id}destination:/a\nreceipt:r\n\n\0");
        for version in SINCE_1_1 {
            check_fault(version, &input, "SUBSCRIBE needs the header id");
        }
        let expected = ["subscribe #0 /a auto receipt:r", "RECEIPT receipt-id:r"];
        check(Version::V1_0, &input, &expected);
    }
}

#[test]
fn d3_a_duplicate_subscription_id_is_refused() {
    for version in Version::ALL {
        check_fault(
            version,
            "SUBSCRIBE\nid:0\ndestination:/a\n\n\0SUBSCRIBE\nid:0\ndestination:/b\nreceipt:r\n\n\0",
            "subscription id is in use",
        );
    }
}

#[test]
fn d3_in_1_0_a_destination_is_a_name_too_but_another_one() {
    let twice = "SUBSCRIBE\ndestination:/a\n\n\0SUBSCRIBE\ndestination:/a\nreceipt:r\n\n\0";
    check_fault(Version::V1_0, twice, "subscription id is in use");
    check(
        Version::V1_0,
        "SUBSCRIBE\ndestination:/a\n\n\0SUBSCRIBE\nid:/a\ndestination:/b\n\n\0",
        &["subscribe #0 /a auto", "subscribe #1 /b auto"],
    );
}

#[test]
fn d3_an_id_is_free_again_after_unsubscribe() {
    for version in Version::ALL {
        let subscribe = "SUBSCRIBE\nid:0\ndestination:/a\n\n\0";
        check(
            version,
            &format!("{subscribe}UNSUBSCRIBE\nid:0\n\n\0{subscribe}"),
            &[
                "subscribe #0 /a auto",
                "unsubscribe #0",
                "subscribe #1 /a auto",
            ],
        );
    }
}

#[test]
fn d4_each_version_knows_its_ack_modes() {
    let subscribe = |ack| format!("SUBSCRIBE\nid:0\ndestination:/a\n{ack}receipt:r\n\n\0");
    for version in Version::ALL {
        for (ack, mode) in [
            ("", "auto"),
            ("ack:auto\n", "auto"),
            ("ack:client\n", "client"),
        ] {
            let expected = format!("subscribe #0 /a {mode} receipt:r");
            check(
                version,
                &subscribe(ack),
                &[&expected, "RECEIPT receipt-id:r"],
            );
        }
        for ack in ["ack:bogus\n", "ack:\n", "ack:Client\n"] {
            check_fault(version, &subscribe(ack), "unknown ack mode");
        }
    }
    for version in SINCE_1_1 {
        check(
            version,
            &subscribe("ack:client-individual\n"),
            &[
                "subscribe #0 /a client-individual receipt:r",
                "RECEIPT receipt-id:r",
            ],
        );
    }
    check_fault(
        Version::V1_0,
        &subscribe("ack:client-individual\n"),
        "unknown ack mode",
    );
}

#[test]
fn d7_unsubscribe_ends_the_subscription_of_its_id() {
    for version in Version::ALL {
        check(
            version,
            "SUBSCRIBE\nid:0\ndestination:/a\n\n\0SUBSCRIBE\nid:1\ndestination:/a\n\n\0\
             UNSUBSCRIBE\nid:1\nreceipt:r\n\n\0",
            &[
                "subscribe #0 /a auto",
                "subscribe #1 /a auto",
                "unsubscribe #1",
                "RECEIPT receipt-id:r",
            ],
        );
    }
}

#[test]
fn d7_in_1_0_a_destination_ends_the_subscription_it_began() {
    for id in ["", "id:\n"] {
        let input = format!(
            "SUBSCRIBE\n{id}destination:/a\n\n\0UNSUBSCRIBE\n{id}destination:/a\nreceipt:r\n\n\0"
        );
        let expected = [
            "subscribe #0 /a auto",
            "unsubscribe #0",
            "RECEIPT receipt-id:r",
        ];
        check(Version::V1_0, &input, &expected);
    }
    let text = "UNSUBSCRIBE needs the header destination";
    check_fault(Version::V1_0, "UNSUBSCRIBE\nreceipt:r\n\n\0", text);
}

#[test]
fn d7_unsubscribe_needs_an_id_since_1_1() {
    for version in SINCE_1_1 {
        for id in ["", "id:\n"] {
            check_fault(
                version,
                &format!("UNSUBSCRIBE\n{id}destination:/a\nreceipt:r\n\n\0"),
                "UNSUBSCRIBE needs the header id",
            );
        }
    }
}

#[test]
fn d7_a_subscription_that_is_gone_is_no_fault() {
    for version in Version::ALL {
        check(
            version,
            "UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0",
            &["RECEIPT receipt-id:r"],
        );
    }
}

#[test]
fn d10_every_frame_can_have_a_receipt() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        for (at, (input, expected)) in [
            ("SUBSCRIBE\nid:0\ndestination:/a\n", "subscribe #0 /a auto"),
            ("SEND\ndestination:/a\n", "send /a "),
            ("UNSUBSCRIBE\nid:0\n", "unsubscribe #0"),
            ("BEGIN\ntransaction:t\n", ""),
            ("ABORT\ntransaction:t\n", ""),
            ("BEGIN\ntransaction:t\n", ""),
            ("COMMIT\ntransaction:t\n", ""),
        ]
        .into_iter()
        .enumerate()
        {
            let lines = peer.receive(format!("{input}receipt:r{at}\n\n\0"));
            let (receipt, before) = lines.split_last().expect("a receipt");
            assert_eq!(*receipt, format!("RECEIPT receipt-id:r{at}"), "{input:?}");
            assert!(before.concat().starts_with(expected), "{input:?}");
        }
        let expected = [
            "disconnect receipt:d",
            "RECEIPT receipt-id:d",
            "close 1000 ",
        ];
        assert_eq!(peer.receive("DISCONNECT\nreceipt:d\n\n\0"), expected);
    }
}

#[test]
fn d10_ack_and_nack_can_have_a_receipt() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    peer.deliver(0, 1);
    assert_eq!(
        peer.receive("NACK\nid:1@0\nreceipt:r\n\n\0ACK\nid:1@0\nreceipt:s\n\n\0"),
        [
            "redeliver #0 1",
            "RECEIPT receipt-id:r",
            "acknowledged #0 1",
            "RECEIPT receipt-id:s"
        ]
    );
}

#[test]
fn d10_connect_gets_connected_instead_of_a_receipt() {
    let mut peer = Peer::new(
        stomp::SessionConfig::default(),
        super::support::Application::Answers,
    );
    let lines = peer.receive("CONNECT\nreceipt:r\n\n\0");
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| !line.starts_with("RECEIPT")),
        "{lines:?}"
    );
}

#[test]
fn d10_a_receipt_id_comes_back_as_it_was() {
    for (version, written, read) in [
        (Version::V1_0, "a\\cb:c", "a\\\\cb:c"),
        (Version::V1_1, "a\\cb\\nc\\\\d", "a:b\\nc\\\\d"),
        (Version::V1_2, "a\\cb\\r\\nc:d ", "a:b\\r\\nc:d "),
        (Version::V1_2, "", ""),
    ] {
        let input = format!("UNSUBSCRIBE\nid:0\nreceipt:{written}\n\n\0");
        check(version, &input, &[&format!("RECEIPT receipt-id:{read}")]);
    }
}

#[test]
fn d12_nothing_after_disconnect_is_read() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        peer.application = super::support::Application::Waits;
        let input = "DISCONNECT\nreceipt:d\n\n\0SEND\ndestination:/a\nreceipt:r\n\nhi\0";
        assert_eq!(peer.receive(input), ["disconnect receipt:d"]);
        assert_eq!(peer.session.buffered_bytes(), 0);
        assert_eq!(peer.receive("SEND\ndestination:/a\n\nhi\0"), [""; 0]);
        assert_eq!(peer.receive("no frame at all\n"), [""; 0]);
        assert_eq!(peer.session.buffered_bytes(), 0);
        peer.session.handle_message_too_large();
        assert_eq!(peer.outputs(), [""; 0]);
        peer.answer_all();
        assert_eq!(peer.outputs(), ["RECEIPT receipt-id:d", "close 1000 "]);
        assert_eq!(peer.receive("SEND\ndestination:/a\n\nhi\0"), [""; 0]);
    }
}

#[test]
fn d13_an_unknown_command_is_refused() {
    for version in Version::ALL {
        for command in ["JUMP", "send", "SEND ", "\u{e9}"] {
            let lines = Peer::connected(version).receive(format!("{command}\nreceipt:r\n\n\0"));
            assert_eq!(lines, fault("unknown command"), "{command}");
        }
    }
}

#[test]
fn d13_a_servers_command_is_refused() {
    for version in Version::ALL {
        for command in ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"] {
            let text = format!("{command} is not a client's command");
            check_fault(version, &format!("{command}\nreceipt:r\n\n\0"), &text);
        }
    }
}

#[test]
fn d14_frames_received_before_a_fault_or_loss_are_still_carried_out() {
    for version in Version::ALL {
        let mut peer = Peer::connected(version);
        let sends = "SEND\ndestination:/a\n\none\0SEND\ndestination:/a\n\ntwo\0";
        let cut_off = peer.receive(format!("{sends}SEND\ndestination:/a\n\nthr"));
        assert_eq!(cut_off, ["send /a one", "send /a two"]);

        let mut peer = Peer::connected(version);
        let mut expected = vec!["send /a one".to_owned(), "send /a two".to_owned()];
        expected.extend(fault("unknown command"));
        assert_eq!(peer.receive(format!("{sends}JUMP\n\n\0")), expected);
    }
}

/// stompjs with `splitLargeFrames` sends a frame as several WebSocket messages.
#[test]
fn a_frame_may_come_in_many_messages() {
    for version in Version::ALL {
        let body = "x".repeat(40 << 10);
        let frame = format!("SEND\ndestination:/a\nreceipt:r\n\n{body}\0");
        let expected = [
            format!("send /a {body} receipt:r"),
            "RECEIPT receipt-id:r".into(),
        ];
        for size in [1 << 10, 8 << 10] {
            let mut peer = Peer::connected(version);
            let chunks = frame.as_bytes().chunks(size);
            let lines: Vec<_> = chunks.flat_map(|chunk| peer.receive(chunk)).collect();
            assert_eq!(lines, expected);
        }
    }
}

/// stompjs escapes for 1.2 only.
#[test]
fn raw_colons_are_taken_in_every_version() {
    for version in Version::ALL {
        check(version, "SEND\ndestination:a:b\n\nhi\0", &["send a:b hi"]);
    }
}

#[test]
fn line_ends_between_frames_mean_nothing() {
    for version in Version::ALL {
        let input = "\n\nSEND\ndestination:/a\n\none\0\n\nSEND\ndestination:/a\n\ntwo\0\n";
        check(version, input, &["send /a one", "send /a two"]);
    }
}

#[test]
fn frames_are_taken_in_one_at_a_time() {
    let mut peer = Peer::connected(Version::V1_2);
    let send = "SEND\ndestination:/a\n\nhi\0";
    peer.session
        .handle_input(bytes::Bytes::from(send.repeat(3)), peer.now);
    for left in [2, 1, 0] {
        assert!(peer.session.poll_output().is_some());
        assert_eq!(peer.session.buffered_bytes(), left * send.len());
    }
    assert!(peer.session.poll_output().is_none());
}
