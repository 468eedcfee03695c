//! What two well-known servers do, and what ours should: one test per row of that table.

use stomp::{SessionConfig, Version};

use super::support::{Application, Peer, authentication_failed, excess, fault, fault_of_r};

/// What comes of `input` as the first bytes of a connection.
fn opened(input: impl Into<Vec<u8>>) -> Vec<String> {
    Peer::new(SessionConfig::default(), Application::Answers).receive(input)
}

fn is_connected(lines: &[String], version: &str) -> bool {
    let answer = format!("CONNECTED version:{version} ");
    matches!(lines, [_login, connected] if connected.starts_with(&answer))
}

fn check(input: &str, expected: &[&str]) {
    assert_eq!(
        Peer::connected(Version::V1_2).receive(input),
        expected,
        "{input:?}"
    );
}

fn check_lines(input: &str, expected: &[String]) {
    assert_eq!(
        Peer::connected(Version::V1_2).receive(input),
        expected,
        "{input:?}"
    );
}

#[test]
fn row_connect_without_accept_version_is_1_0() {
    assert!(is_connected(&opened("CONNECT\nhost:h\n\n\0"), "1.0"));
}

#[test]
fn row_accept_version_9_9_gets_the_list_and_is_closed() {
    let text = "supported versions are 1.0,1.1,1.2";
    assert_eq!(
        opened("CONNECT\naccept-version:9.9\nhost:h\n\n\0"),
        [
            format!("ERROR message:{text} code:1006 version:1.0,1.1,1.2"),
            format!("close 1002 {text}")
        ]
    );
}

#[test]
fn row_no_host_stomp_command_crlf_and_leading_eols_connect() {
    for input in [
        "CONNECT\naccept-version:1.2\n\n\0",
        "STOMP\naccept-version:1.2\nhost:h\n\n\0",
        "CONNECT\r\naccept-version:1.2\r\nhost:h\r\n\r\n\0",
        "\n\n\r\nCONNECT\naccept-version:1.2\nhost:h\n\n\0",
    ] {
        assert!(is_connected(&opened(input), "1.2"), "{input:?}");
    }
}

#[test]
fn row_a_bad_passcode_is_told_authentication_failed_and_closed() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.receive("CONNECT\naccept-version:1.2\nlogin:a\npasscode:b\n\n\0");
    peer.session.refuse(authentication_failed());
    let lines = peer.outputs();
    assert!(
        lines[0].starts_with("ERROR message:Authentication failed "),
        "{lines:?}"
    );
    assert!(lines[1].starts_with("close "), "{lines:?}");
}

#[test]
fn row_connect_twice_is_refused() {
    check_lines(
        "CONNECT\naccept-version:1.2\n\n\0",
        &fault("already connected"),
    );
}

#[test]
fn row_send_before_connect_is_refused() {
    let lines = opened("SEND\ndestination:/a\nreceipt:r\n\nhi\0");
    assert_eq!(lines, fault_of_r("CONNECT has to come first"));
}

#[test]
fn row_an_unknown_command_is_refused() {
    check_lines("JUMP\ndestination:/a\n\n\0", &fault("unknown command"));
}

#[test]
fn row_send_and_subscribe_without_destination_are_refused_with_receipt_id() {
    check_lines(
        "SEND\nreceipt:r\n\nhi\0",
        &fault_of_r("SEND needs the header destination"),
    );
    check_lines(
        "SUBSCRIBE\nid:0\nreceipt:r\n\n\0",
        &fault_of_r("SUBSCRIBE needs the header destination"),
    );
}

#[test]
fn row_subscribe_without_id_is_refused_since_1_1() {
    for version in [Version::V1_1, Version::V1_2] {
        let lines = Peer::connected(version).receive("SUBSCRIBE\ndestination:/a\nreceipt:r\n\n\0");
        assert_eq!(lines, fault_of_r("SUBSCRIBE needs the header id"));
    }
}

#[test]
fn row_subscribe_with_the_same_id_twice_is_refused() {
    let subscribe = "SUBSCRIBE\nid:0\ndestination:/a\n\n\0";
    let mut expected = vec!["subscribe #0 /a auto".to_owned()];
    expected.extend(fault("subscription id is in use"));
    check_lines(&subscribe.repeat(2), &expected);
}

#[test]
fn row_unsubscribe_unknown_is_tolerated_ack_and_commit_are_refused() {
    check(
        "UNSUBSCRIBE\nid:0\nreceipt:r\n\n\0",
        &["RECEIPT receipt-id:r"],
    );
    let ack = fault_of_r("no such message to acknowledge");
    check_lines("ACK\nid:5@0\nreceipt:r\n\n\0", &ack);
    let commit = fault_of_r("no such transaction");
    check_lines("COMMIT\ntransaction:t\nreceipt:r\n\n\0", &commit);
}

#[test]
fn row_send_in_an_unknown_transaction_is_refused() {
    check_lines(
        "SEND\ndestination:/a\ntransaction:t\nreceipt:r\n\nhi\0",
        &fault_of_r("no such transaction"),
    );
}

#[test]
fn row_the_escape_t_is_refused() {
    let text = "undefined escape sequence in a header";
    check_lines("SEND\ndestination:/a\\tb\n\nhi\0", &fault(text));
}

#[test]
fn row_a_raw_colon_in_a_value_is_accepted() {
    check("SEND\ndestination:/a:b\n\nhi\0", &["send /a:b hi"]);
}

#[test]
fn row_of_a_repeated_header_the_first_counts() {
    check(
        "SEND\ndestination:/a\ndestination:/b\n\nhi\0",
        &["send /a hi"],
    );
}

#[test]
fn row_a_header_with_spaces_is_kept() {
    check("SEND\ndestination: /a \n\nhi\0", &["send  /a  hi"]);
}

#[test]
fn row_a_body_on_subscribe_is_refused() {
    check_lines(
        "SUBSCRIBE\nid:0\ndestination:/a\nreceipt:r\n\nbody\0",
        &fault_of_r("SUBSCRIBE cannot have a body"),
    );
}

#[test]
fn row_a_wrong_content_length_is_refused() {
    let send = |length| format!("SEND\ndestination:/a\ncontent-length:{length}\n\nhello\0");
    check_lines(&send("2"), &fault("content-length does not match the body"));
    check_lines(&send("two"), &fault("content-length is not a number"));
}

#[test]
fn row_a_nul_in_a_body_with_content_length_is_kept() {
    check(
        "SEND\ndestination:/a\ncontent-length:3\n\na\0b\0",
        &["send /a a\0b"],
    );
}

#[test]
fn row_send_subscribe_unsubscribe_and_begin_get_receipts() {
    check(
        "SUBSCRIBE\nid:0\ndestination:/a\nreceipt:1\n\n\0SEND\ndestination:/a\nreceipt:2\n\nhi\0\
         UNSUBSCRIBE\nid:0\nreceipt:3\n\n\0BEGIN\ntransaction:t\nreceipt:4\n\n\0",
        &[
            "subscribe #0 /a auto receipt:1",
            "RECEIPT receipt-id:1",
            "send /a hi receipt:2",
            "RECEIPT receipt-id:2",
            "unsubscribe #0",
            "RECEIPT receipt-id:3",
            "RECEIPT receipt-id:4",
        ],
    );
}

#[test]
fn row_disconnect_with_receipt_gets_it_then_the_close() {
    check(
        "DISCONNECT\nreceipt:r\n\n\0",
        &[
            "disconnect receipt:r",
            "RECEIPT receipt-id:r",
            "close 1000 ",
        ],
    );
}

#[test]
fn row_disconnect_without_receipt_is_closed_1000() {
    check("DISCONNECT\n\n\0", &["disconnect", "close 1000 "]);
}

#[test]
fn row_heart_beat_2000_3000_is_asked_for_its_own_interval() {
    let lines = opened("CONNECT\naccept-version:1.2\nheart-beat:2000,3000\n\n\0");
    assert!(lines[1].contains(" heart-beat:1000,2000 "), "{lines:?}");
}

#[test]
fn row_ack_client_gets_an_ack_header() {
    let head = stomp::message_head(Version::V1_2, Some("0"), Some(&stomp::ack_id(5, "0")));
    assert_eq!(head, "MESSAGE\nsubscription:0\nack:5@0\n");
}

#[test]
fn row_ack_bogus_is_refused() {
    check_lines(
        "SUBSCRIBE\nid:0\ndestination:/a\nack:bogus\nreceipt:r\n\n\0",
        &fault_of_r("unknown ack mode"),
    );
}

#[test]
fn row_a_body_of_65537_bytes_is_refused_then_closed_1009() {
    let input = format!("SEND\ndestination:/a\n\n{}\0", "x".repeat(65_537));
    check_lines(&input, &excess("frame larger than 65536 bytes"));
}

#[test]
fn row_300_headers_are_refused() {
    let input = format!("SEND\ndestination:/a\n{}\nhi\0", "a:b\n".repeat(300));
    check_lines(&input, &fault("more than 100 headers"));
}
