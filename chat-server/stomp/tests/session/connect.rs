//! C1 to C10: from the first byte to an accepted or refused login.

use bytes::Bytes;
use stomp::{Output, SessionConfig, Version};

use super::support::{Application, Peer, authentication_failed, fault, fault_of_r};

fn check(input: &str, expected: &[&str]) {
    let mut peer = Peer::new(SessionConfig::default(), Application::Answers);
    assert_eq!(peer.receive(input), expected, "{input:?}");
}

fn connected(version: &str) -> [String; 2] {
    let beat = if version == "1.0" {
        "0,0"
    } else {
        "1000,25000"
    };
    let server = SessionConfig::default().server;
    [
        format!("login {version}"),
        format!(
            "CONNECTED version:{version} heart-beat:{beat} session:s1 server:{server} user-name:7"
        ),
    ]
}

fn check_connected(input: &str, version: &str) {
    check(input, &connected(version).each_ref().map(String::as_str));
}

#[test]
fn c1_stomp_is_handled_as_connect() {
    check_connected("STOMP\n\n\0", "1.0");
    check_connected("STOMP\naccept-version:1.1\n\n\0", "1.1");
    check_connected("STOMP\naccept-version:1.2\n\n\0", "1.2");
}

#[test]
fn c2_a_missing_accept_version_means_1_0() {
    check_connected("CONNECT\n\n\0", "1.0");
    check_connected("CONNECT\nlogin:a\npasscode:b\n\n\0", "1.0");
}

#[test]
fn c3_the_highest_common_version_is_answered_in_any_order() {
    for (list, version) in [
        ("1.0", "1.0"),
        ("1.0,1.1", "1.1"),
        ("1.0,1.1,1.2", "1.2"),
        ("1.2,1.1,1.0", "1.2"),
        ("1.1,9.9", "1.1"),
        ("1.2, 1.1", "1.2"),
    ] {
        check_connected(&format!("CONNECT\naccept-version:{list}\n\n\0"), version);
    }
}

#[test]
fn c4_no_common_version_is_refused_with_the_list_of_ours() {
    let error =
        "ERROR message:supported versions are 1.0,1.1,1.2 code:1006 version:1.0,1.1,1.2".to_owned();
    let close = "close 1002 supported versions are 1.0,1.1,1.2".to_owned();
    for list in ["9.9", "", "1.3,2.0"] {
        let input = format!("CONNECT\naccept-version:{list}\n\n\0");
        check(&input, &[&error, &close]);
    }
}

#[test]
fn c5_connected_names_version_session_server_and_heart_beat() {
    let config = SessionConfig {
        server: "ours/1 (test)".into(),
        ..SessionConfig::default()
    };
    let mut peer = Peer::new(config, Application::Waits);
    peer.receive("CONNECT\naccept-version:1.2\nhost:h\n\n\0");
    peer.session.accept_login("s:1", "7", peer.now);
    let Some(Output::Transmit(bytes)) = peer.session.poll_output() else {
        panic!("CONNECTED is missing");
    };
    // Byte for byte: nothing is escaped, and there is no body and no content-length.
    let expected = "CONNECTED\nversion:1.2\nheart-beat:1000,25000\nsession:s:1\n\
                    server:ours/1 (test)\nuser-name:7\n\n\0";
    assert_eq!(bytes, expected);
}

#[test]
fn c5_a_1_0_client_is_offered_no_heart_beat() {
    check_connected("CONNECT\nheart-beat:1000,1000\n\n\0", "1.0");
}

#[test]
fn c6_host_may_be_missing_or_anything() {
    for version in ["1.0", "1.1", "1.2"] {
        let connect = format!("CONNECT\naccept-version:{version}\n");
        check_connected(&format!("{connect}\n\0"), version);
        check_connected(&format!("{connect}host:\n\n\0"), version);
        check_connected(&format!("{connect}host:/a:b\n\n\0"), version);
    }
}

#[test]
fn c7_the_application_sees_the_credentials_as_they_were_sent() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.receive("CONNECT\naccept-version:1.2\nlogin:a\\n\npasscode: b:c \n\n\0");
    let Some(Output::Login(login)) = peer.waiting.pop_front() else {
        panic!("no login");
    };
    assert_eq!(login.frame.header("login"), Some("a\\n"));
    assert_eq!(login.frame.header("passcode"), Some(" b:c "));
    assert!(
        !format!("{:?}", peer.session).contains("b:c"),
        "Debug shows the passcode"
    );
}

#[test]
fn c7_a_refused_login_is_told_exactly_so_and_closed() {
    for version in Version::ALL {
        let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
        let login = peer.receive(format!("CONNECT\naccept-version:{version}\n\n\0"));
        assert_eq!(login, [format!("login {version}")]);
        peer.session.refuse(authentication_failed());
        let expected = [
            "ERROR message:Authentication failed code:1001",
            "close 1008 Authentication failed",
        ];
        assert_eq!(peer.outputs(), expected);
        peer.answer_all();
        assert_eq!(peer.outputs(), [""; 0], "accepted after it was refused");
    }
}

#[test]
fn c7_the_text_front_ends_test_stands_in_the_bytes() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.session.refuse(authentication_failed());
    let Some(Output::Transmit(bytes)) = peer.session.poll_output() else {
        panic!("ERROR is missing");
    };
    let expected = "ERROR\nmessage:Authentication failed\ncode:1001\ncontent-type:text/plain\n\
                    content-length:21\n\nAuthentication failed\0";
    assert_eq!(bytes, expected);
}

#[test]
fn c8_a_second_connect_is_refused() {
    for version in Version::ALL {
        for command in ["CONNECT", "STOMP"] {
            let mut peer = Peer::connected(version);
            let lines = peer.receive(format!("{command}\naccept-version:1.2\nreceipt:r\n\n\0"));
            assert_eq!(lines, fault_of_r("already connected"));
        }
    }
}

#[test]
fn c9_any_other_frame_has_to_wait_for_connect() {
    for command in [
        "SEND",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "ACK",
        "NACK",
        "BEGIN",
        "COMMIT",
        "ABORT",
        "DISCONNECT",
        "CONNECTED",
        "MESSAGE",
        "RECEIPT",
        "ERROR",
    ] {
        let mut peer = Peer::new(SessionConfig::default(), Application::Answers);
        let lines = peer.receive(format!("{command}\ndestination:/a\nreceipt:r\n\n\0"));
        assert_eq!(lines, fault_of_r("CONNECT has to come first"), "{command}");
    }
}

#[test]
fn c9_a_bad_frame_before_connect_is_refused() {
    check(
        "GET / HTTP/1.1\r\n\r\n",
        &[
            "ERROR message:unknown command code:1006",
            "close 1002 unknown command",
        ],
    );
}

#[test]
fn c10_connected_names_the_user_and_nothing_can_be_slipped_in() {
    for version in Version::ALL {
        let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
        peer.receive(format!("CONNECT\naccept-version:{version}\n\n\0"));
        peer.session
            .accept_login("s\r\nadmin:1", "7\n\n\0ERROR\n\n\0", peer.now);
        let lines = peer.outputs();
        let [line] = &*lines else {
            panic!("{lines:?}");
        };
        assert!(line.contains(" session:s  admin:1 "), "{line}");
        assert!(line.ends_with(" user-name:7   ERROR   "), "{line}");
    }
}

#[test]
fn line_ends_before_and_after_connect_are_heart_beats() {
    check_connected("\n\r\n\nCONNECT\naccept-version:1.2\n\n\0\n\n", "1.2");
    check_connected("CONNECT\r\naccept-version:1.2\r\n\r\n\0", "1.2");
}

#[test]
fn frames_behind_connect_wait_for_the_decision() {
    let pipelined = "CONNECT\naccept-version:1.2\n\n\0SUBSCRIBE\nid:0\ndestination:/a\n\n\0";
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    assert_eq!(peer.receive(pipelined), ["login 1.2"]);
    assert_eq!(peer.receive("SEND\ndestination:/a\n\nhi\0"), [""; 0]);
    assert!(!peer.session.is_open() && !peer.session.is_closed());

    peer.answer_all();
    assert!(peer.session.is_open());
    let expected = [&connected("1.2")[1], "subscribe #0 /a auto", "send /a hi"];
    assert_eq!(peer.outputs(), expected);
}

#[test]
fn frames_behind_connect_are_read_in_the_version_agreed_on() {
    for (version, body) in [("1.0", "a\\cb"), ("1.1", "a:b"), ("1.2", "a:b")] {
        let input = format!("CONNECT\naccept-version:{version}\n\n\0SEND\ndestination:a\\cb\n\n\0");
        let [login, answer] = connected(version);
        check(&input, &[&login, &answer, &format!("send {body} ")]);
    }
}

#[test]
fn frames_behind_a_refused_connect_are_never_read() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.receive("CONNECT\naccept-version:1.2\n\n\0SEND\ndestination:/a\nreceipt:r\n\nhi\0");
    peer.session.refuse(authentication_failed());
    assert_eq!(peer.outputs().len(), 2);
    assert_eq!(peer.session.buffered_bytes(), 0);
}

#[test]
fn a_second_connect_behind_the_first_is_found_after_the_decision() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Answers);
    let lines = peer.receive("CONNECT\n\n\0CONNECT\n\n\0");
    assert_eq!(lines[..2], connected("1.0"));
    assert_eq!(lines[2..], fault("already connected"));
}

#[test]
fn a_login_is_accepted_once_and_only_when_asked() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.session.accept_login("s1", "7", peer.now);
    assert_eq!(peer.outputs(), [""; 0]);
    peer.receive("CONNECT\n\n\0");
    peer.session.accept_login("s1", "7", peer.now);
    peer.session.accept_login("s2", "8", peer.now);
    assert_eq!(peer.outputs(), [connected("1.0")[1].as_str()]);
}

#[test]
fn the_version_is_known_from_connect_on() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    assert_eq!(peer.session.version(), None);
    peer.session
        .handle_input(Bytes::from("CONNECT\naccept-version:1.1\n\n\0"), peer.now);
    assert_eq!(peer.outputs(), ["login 1.1"]);
    assert_eq!(peer.session.version(), Some(Version::V1_1));
}
