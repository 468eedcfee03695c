//! D5, D6, D8: acknowledgement in each version, and the window it opens.

use stomp::{SessionConfig, Version};

use super::support::{Peer, fault_of_r};

const UNKNOWN: &str = "no such message to acknowledge";

/// A session with subscription `0` on /a in the mode, on which 1, 2, 3 and 4 went out.
fn delivered(version: Version, mode: &str) -> Peer {
    let config = SessionConfig {
        unacknowledged_max: 4,
        ..SessionConfig::default()
    };
    let mut peer = Peer::connected_with(config, version);
    peer.receive(format!("SUBSCRIBE\nid:0\ndestination:/a\nack:{mode}\n\n\0"));
    for message_id in 1..=4 {
        peer.deliver(0, message_id);
    }
    peer
}

/// ACK or NACK of a message on subscription `0`, as the version writes it.
fn settle(command: &str, version: Version, message_id: u64) -> String {
    match version {
        Version::V1_0 => format!("{command}\nmessage-id:{message_id}\nreceipt:r\n\n\0"),
        Version::V1_1 => {
            format!("{command}\nmessage-id:{message_id}\nsubscription:0\nreceipt:r\n\n\0")
        }
        Version::V1_2 => format!("{command}\nid:{message_id}@0\nreceipt:r\n\n\0"),
    }
}

fn ack(version: Version, message_id: u64) -> String {
    settle("ACK", version, message_id)
}

fn nack(version: Version, message_id: u64) -> String {
    settle("NACK", version, message_id)
}

fn acknowledged(message_id: u64) -> [String; 2] {
    [
        format!("acknowledged #0 {message_id}"),
        "RECEIPT receipt-id:r".into(),
    ]
}

#[test]
fn d5_client_is_cumulative() {
    for version in Version::ALL {
        let mut peer = delivered(version, "client");
        assert_eq!(peer.receive(ack(version, 3)), acknowledged(3));
        assert_eq!(peer.window(0), Some(3));
        assert_eq!(peer.receive(ack(version, 4)), acknowledged(4));
        assert_eq!(peer.window(0), Some(4));
    }
}

#[test]
fn d5_what_a_cumulative_ack_covered_waits_no_longer() {
    for version in Version::ALL {
        let mut peer = delivered(version, "client");
        peer.receive(ack(version, 3));
        assert_eq!(peer.receive(ack(version, 2)), fault_of_r(UNKNOWN));
    }
}

#[test]
fn d5_client_individual_is_not_cumulative() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = delivered(version, "client-individual");
        for (message_id, window) in [(3, 1), (1, 2), (4, 3), (2, 4)] {
            assert_eq!(
                peer.receive(ack(version, message_id)),
                acknowledged(message_id)
            );
            assert_eq!(peer.window(0), Some(window));
        }
    }
}

#[test]
fn d5_cumulative_means_within_one_subscription() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = delivered(version, "client");
        peer.receive("SUBSCRIBE\nid:1\ndestination:/b\nack:client\n\n\0");
        peer.deliver(1, 2);
        peer.receive(ack(version, 4));
        assert_eq!((peer.window(0), peer.window(1)), (Some(4), Some(3)));
    }
}

#[test]
fn d6_what_is_unacknowledged_is_dropped_with_the_subscription() {
    for version in Version::ALL {
        let mut peer = delivered(version, "client");
        assert_eq!(peer.receive("UNSUBSCRIBE\nid:0\n\n\0"), ["unsubscribe #0"]);
        assert_eq!(peer.window(0), Some(0));
        peer.deliver(0, 5);
        assert_eq!(peer.receive(ack(version, 1)), fault_of_r(UNKNOWN));
    }
}

#[test]
fn d6_a_new_subscription_of_the_same_id_starts_empty() {
    let mut peer = delivered(Version::V1_2, "client");
    peer.receive("UNSUBSCRIBE\nid:0\n\n\0SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    assert_eq!((peer.window(0), peer.window(1)), (Some(0), Some(4)));
    assert_eq!(peer.receive(ack(Version::V1_2, 1)), fault_of_r(UNKNOWN));
}

#[test]
fn d8_1_0_names_the_message_alone() {
    let mut peer = delivered(Version::V1_0, "client");
    peer.receive("SUBSCRIBE\ndestination:/b\nack:client\n\n\0");
    peer.deliver(1, 9);
    let found = peer.receive("ACK\nmessage-id:9\n\n\0");
    assert_eq!(found, ["acknowledged #1 9"]);
    let named = peer.receive("ACK\nmessage-id:2\nsubscription:0\n\n\0");
    assert_eq!(named, ["acknowledged #0 2"]);
    let wrong = peer.receive("ACK\nmessage-id:3\nsubscription:9\nreceipt:r\n\n\0");
    assert_eq!(wrong, fault_of_r(UNKNOWN));
}

#[test]
fn d8_each_version_needs_its_headers() {
    for (version, headers, missing) in [
        (Version::V1_0, "id:1@0\n", "message-id"),
        (Version::V1_0, "message-id:\n", "message-id"),
        (Version::V1_1, "subscription:0\n", "message-id"),
        (Version::V1_1, "message-id:1\n", "subscription"),
        (
            Version::V1_1,
            "message-id:1\nsubscription:\n",
            "subscription",
        ),
        (Version::V1_1, "id:1@0\n", "message-id"),
        (Version::V1_2, "message-id:1\nsubscription:0\n", "id"),
        (Version::V1_2, "id:\n", "id"),
    ] {
        let mut peer = delivered(version, "client");
        let lines = peer.receive(format!("ACK\n{headers}receipt:r\n\n\0"));
        let expected = fault_of_r(&format!("ACK needs the header {missing}"));
        assert_eq!(lines, expected, "{version} {headers:?}");
    }
}

#[test]
fn d8_an_ack_of_nothing_is_refused() {
    for version in Version::ALL {
        let mut peer = delivered(version, "client");
        assert_eq!(peer.receive(ack(version, 5)), fault_of_r(UNKNOWN));
        let mut peer = delivered(version, "auto");
        assert_eq!(peer.receive(ack(version, 1)), fault_of_r(UNKNOWN));
    }
    for id in [
        "1",
        "1@",
        "1@1",
        "@0",
        "x@0",
        "-1@0",
        "18446744073709551616@0",
    ] {
        let mut peer = delivered(Version::V1_2, "client");
        let lines = peer.receive(format!("ACK\nid:{id}\nreceipt:r\n\n\0"));
        assert_eq!(lines, fault_of_r(UNKNOWN), "{id}");
    }
}

#[test]
fn d8_nack_does_not_exist_in_1_0() {
    let mut peer = delivered(Version::V1_0, "client");
    let expected = fault_of_r("NACK does not exist in STOMP 1.0");
    assert_eq!(peer.receive(nack(Version::V1_0, 1)), expected);
}

#[test]
fn d8_the_ack_header_of_1_2_works_for_any_subscription_id() {
    for (written, id) in [("a@b", "a@b"), ("@", "@"), ("a\\cb\\n\\\\", "a:b\n\\")] {
        let mut peer = Peer::connected(Version::V1_2);
        peer.receive(format!(
            "SUBSCRIBE\nid:{written}\ndestination:/a\nack:client\n\n\0"
        ));
        peer.deliver(0, u64::MAX);
        let ack_id = stomp::ack_id(u64::MAX, id);
        let ack = stomp::FrameWriter::new(stomp::Command::Ack, Version::V1_2);
        let lines = peer.receive(ack.header("id", &ack_id).end());
        assert_eq!(lines, [format!("acknowledged #0 {}", u64::MAX)], "{id:?}");
    }
}

#[test]
fn nack_redelivers_once_then_rejects() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = delivered(version, "client-individual");
        let receipt = "RECEIPT receipt-id:r";
        assert_eq!(peer.receive(nack(version, 2)), ["redeliver #0 2", receipt]);
        assert_eq!(peer.window(0), Some(0), "it still waits");
        peer.deliver(0, 2);
        assert_eq!(peer.window(0), Some(0), "and is not counted twice");
        assert_eq!(peer.receive(nack(version, 2)), ["rejected #0 2", receipt]);
        assert_eq!(peer.window(0), Some(1));
        assert_eq!(peer.receive(nack(version, 2)), fault_of_r(UNKNOWN));
    }
}

#[test]
fn a_redelivered_message_can_be_acknowledged() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = delivered(version, "client-individual");
        peer.receive(nack(version, 2));
        peer.deliver(0, 2);
        assert_eq!(peer.receive(ack(version, 2)), acknowledged(2));
    }
}

#[test]
fn a_nack_in_mode_client_covers_the_earlier_messages_too() {
    for version in [Version::V1_1, Version::V1_2] {
        let mut peer = delivered(version, "client");
        peer.receive(nack(version, 2));
        assert_eq!(
            peer.receive(nack(version, 3)),
            [
                "rejected #0 1",
                "rejected #0 2",
                "redeliver #0 3",
                "RECEIPT receipt-id:r"
            ]
        );
        assert_eq!(peer.window(0), Some(2));
        assert_eq!(peer.receive(ack(version, 4)), acknowledged(4));
        assert_eq!(peer.window(0), Some(4));
    }
}

#[test]
fn the_window_closes_at_the_limit_and_opens_with_acks() {
    for version in Version::ALL {
        let config = SessionConfig {
            unacknowledged_max: 2,
            ..SessionConfig::default()
        };
        let mut peer = Peer::connected_with(config, version);
        peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
        for (message_id, window) in [(10, 1), (20, 0), (30, 0)] {
            peer.deliver(0, message_id);
            assert_eq!(peer.window(0), Some(window));
        }
        peer.receive(ack(version, 10));
        assert_eq!(peer.window(0), Some(0), "one too many went out");
        peer.receive(ack(version, 30));
        assert_eq!(peer.window(0), Some(2));
    }
}

#[test]
fn auto_has_no_window() {
    for version in Version::ALL {
        let mut peer = delivered(version, "auto");
        for message_id in 5..100 {
            peer.deliver(0, message_id);
        }
        assert_eq!(peer.window(0), None);
    }
}

#[test]
fn a_message_counts_once_however_often_it_goes_out() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0");
    for message_id in [1, 2, 2, 1] {
        peer.deliver(0, message_id);
    }
    assert_eq!(peer.window(0), Some(998));
    assert_eq!(peer.receive(ack(Version::V1_2, 2)), acknowledged(2));
    assert_eq!(peer.window(0), Some(1_000));
}
