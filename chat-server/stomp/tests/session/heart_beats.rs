//! H1 to H7, and the time a login may take.

use std::time::Duration;

use proptest::prelude::*;
use stomp::{HeartBeat, Output, SessionConfig, Version};

use super::support::{Application, Peer, fault};

const MISSED: &str = "heart-beat missed";

/// Ours is `can_send_ms,wants_ms`, the client's is `header`.
fn agreed(ours: (u64, u64), version: Version, header: &str) -> Peer {
    let config = SessionConfig {
        heart_beat: HeartBeat {
            can_send_ms: ours.0,
            wants_ms: ours.1,
        },
        ..SessionConfig::default()
    };
    let mut peer = Peer::new(config, Application::Answers);
    peer.receive(format!("CONNECT\naccept-version:{version}\n{header}\n\0"));
    assert!(peer.session.is_open(), "{header}");
    peer
}

/// Both sides beat: we every second at most, the client every two.
fn beating() -> Peer {
    agreed((1_000, 1_000), Version::V1_2, "heart-beat:2000,500\n")
}

#[test]
fn h1_a_missing_header_means_none() {
    for version in Version::ALL {
        assert_eq!(agreed((1_000, 1_000), version, "").due(), None);
        assert_eq!(
            agreed((1_000, 1_000), version, "heart-beat:0,0\n").due(),
            None
        );
    }
}

#[test]
fn h1_the_header_is_two_non_negative_integers() {
    for value in ["", "1", "1,", ",1", "-1,0", "1,2,3", "a,b", "1.5,0"] {
        for version in ["1.1", "1.2"] {
            let mut peer = Peer::new(SessionConfig::default(), Application::Answers);
            let lines = peer.receive(format!(
                "CONNECT\naccept-version:{version}\nheart-beat:{value}\n\n\0"
            ));
            let expected = fault("heart-beat has to be two numbers of milliseconds");
            assert_eq!(lines, expected, "{value:?}");
        }
    }
}

#[test]
fn h2_each_direction_takes_the_slower_side_or_none() {
    // What we offer, what the client offers, when we beat, when its silence is too long.
    for (ours, header, beat, silence) in [
        ((1_000, 25_000), "4000,4000", Some(3_200), Some(8_000)),
        ((1_000, 25_000), "30000,0", None, Some(60_000)),
        ((1_000, 1_000), "10,10", Some(800), Some(2_000)),
        ((1_000, 1_000), "3000,0", None, Some(6_000)),
        ((1_000, 1_000), "0,3000", Some(2_400), None),
        ((0, 1_000), "3000,3000", None, Some(6_000)),
        ((1_000, 0), "3000,3000", Some(2_400), None),
        ((0, 0), "3000,3000", None, None),
    ] {
        for version in [Version::V1_1, Version::V1_2] {
            let peer = agreed(ours, version, &format!("heart-beat:{header}\n"));
            let expected = [beat, silence].into_iter().flatten().min();
            assert_eq!(peer.due_ms(), expected, "{ours:?} {header}");
        }
    }
}

#[test]
fn h2_a_1_0_session_has_none() {
    let peer = agreed((1_000, 1_000), Version::V1_0, "heart-beat:1000,1000\n");
    assert_eq!(peer.due(), None);
    let peer = agreed((1_000, 1_000), Version::V1_0, "heart-beat:nonsense\n");
    assert_eq!(peer.due(), None);
}

#[test]
fn h3_an_eol_is_sent_when_nothing_else_was() {
    let mut peer = agreed((1_000, 0), Version::V1_2, "heart-beat:0,1000\n");
    for _ in 0..3 {
        assert_eq!(peer.pass_ms(799), [""; 0]);
        assert_eq!(peer.pass_ms(1), ["beat"]);
    }
}

#[test]
fn h3_what_was_sent_puts_the_beat_off() {
    let mut peer = agreed((1_000, 0), Version::V1_2, "heart-beat:0,1000\n");
    assert_eq!(peer.pass_ms(500), [""; 0]);
    peer.session.handle_sent(peer.now);
    assert_eq!(peer.due_ms(), Some(800));
    assert_eq!(peer.pass_ms(799), [""; 0]);
    assert_eq!(peer.pass_ms(1), ["beat"]);
}

#[test]
fn h3_what_waits_to_be_sent_stands_for_the_beat() {
    let mut peer = agreed((1_000, 0), Version::V1_2, "heart-beat:0,1000\n");
    peer.application = Application::Waits;
    peer.receive("SEND\ndestination:/a\nreceipt:r\n\nhi\0");
    peer.answer_all(); // the RECEIPT waits to be polled
    assert_eq!(peer.pass_ms(800), ["RECEIPT receipt-id:r"]);
    assert_eq!(peer.pass_ms(800), ["beat"]);
}

#[test]
fn h3_what_waits_but_is_not_sent_does_not_stand_for_the_beat() {
    let mut peer = agreed((1_000, 0), Version::V1_2, "heart-beat:0,1000\n");
    peer.application = Application::Waits;
    peer.receive("SUBSCRIBE\nid:0\ndestination:/a\nack:client\n\n\0BEGIN\ntransaction:t\n\n\0");
    peer.deliver(0, 5);
    peer.receive("ACK\nid:5@0\ntransaction:t\n\n\0");
    peer.receive("SEND\ndestination:/a\ntransaction:t\n\nhi\0COMMIT\ntransaction:t\n\n\0");
    peer.answer_all(); // the acknowledgement is for the application, not for the client
    assert_eq!(peer.pass_ms(800), ["acknowledged #0 5", "beat"]);
}

#[test]
fn h3_beats_go_on_until_the_disconnect_is_answered() {
    let mut peer = agreed((1_000, 1_000), Version::V1_2, "heart-beat:1000,1000\n");
    peer.application = Application::Waits;
    assert_eq!(peer.receive("DISCONNECT\n\n\0"), ["disconnect"]);
    for _ in 0..5 {
        assert_eq!(peer.pass_ms(800), ["beat"], "its silence is no fault now");
    }
    peer.answer_all();
    assert_eq!(peer.outputs(), ["close 1000 "]);
    assert_eq!(peer.due(), None);
}

#[test]
fn h4_part_of_a_message_of_the_transport_counts_as_life() {
    let mut peer = agreed((0, 1_000), Version::V1_2, "heart-beat:1000,0\n");
    for _ in 0..5 {
        assert_eq!(peer.pass_ms(1_999), [""; 0]);
        peer.session.handle_received(peer.now);
    }
    assert_eq!(peer.pass_ms(2_000), fault(MISSED));
}

#[test]
fn line_ends_that_stand_for_nothing_are_counted() {
    let mut peer = Peer::connected(Version::V1_2);
    peer.receive("\n\r\n");
    assert_eq!(peer.session.take_idle_eols(), 0, "two behind CONNECT");
    peer.receive("\n".repeat(5));
    assert_eq!(peer.session.take_idle_eols(), 5);
    assert_eq!(peer.session.take_idle_eols(), 0, "once");
    peer.receive("SEND\ndestination:/a\n\nhi\0\n\n".repeat(50));
    assert_eq!(peer.session.take_idle_eols(), 0);
}

#[test]
fn h4_any_data_counts_as_life() {
    for data in ["\n", "\r\n", "SEND\ndestination:/a\n\nhi\0", "SE"] {
        let mut peer = agreed((0, 1_000), Version::V1_2, "heart-beat:1000,0\n");
        peer.pass_ms(1_999);
        peer.receive(data);
        assert_eq!(peer.due_ms(), Some(2_000), "{data:?}");
        assert_eq!(peer.pass_ms(1_999), [""; 0], "{data:?}");
        assert_eq!(peer.pass_ms(1), fault(MISSED), "{data:?}");
    }
}

#[test]
fn h5_a_client_is_dead_after_twice_the_interval() {
    let mut peer = agreed((0, 25_000), Version::V1_1, "heart-beat:4000,0\n");
    assert_eq!(peer.pass_ms(7_999), [""; 0], "it was asked for its 4 s");
    assert_eq!(peer.pass_ms(1), fault(MISSED));
    assert_eq!(peer.due(), None);
    let mut peer = agreed((0, 25_000), Version::V1_1, "heart-beat:40000,0\n");
    assert_eq!(peer.pass_ms(79_999), [""; 0]);
    assert_eq!(peer.pass_ms(1), fault(MISSED));
}

#[test]
fn h5_our_own_beats_do_not_keep_the_client_alive() {
    let mut peer = beating();
    for _ in 0..4 {
        assert_eq!(peer.pass_ms(800), ["beat"]);
    }
    assert_eq!(peer.pass_ms(799), [""; 0]);
    assert_eq!(peer.pass_ms(1), fault(MISSED), "the later of both matters");
}

#[test]
fn h6_we_beat_at_eight_tenths_of_the_interval() {
    for (wants, micros) in [(1, 800), (7, 5_600), (1_250, 1_000_000), (4_000, 3_200_000)] {
        let peer = agreed((1, 0), Version::V1_2, &format!("heart-beat:0,{wants}\n"));
        assert_eq!(peer.due(), Some(Duration::from_micros(micros)), "{wants}");
    }
}

#[test]
fn h7_absurd_wishes_are_clamped() {
    let hour = 60 * 60 * 1_000;
    let huge = "99999999999999999999999";
    let peer = agreed((1, 1), Version::V1_2, &format!("heart-beat:0,{huge}\n"));
    assert_eq!(peer.due_ms(), Some(hour * 8 / 10));
    let peer = agreed((1, 1), Version::V1_2, &format!("heart-beat:{huge},0\n"));
    assert_eq!(peer.due_ms(), None);
    let peer = agreed((1, 1), Version::V1_2, "heart-beat:3600000,0\n");
    assert_eq!(peer.due_ms(), Some(hour * 2));
}

#[test]
fn heart_beats_start_when_the_login_is_accepted() {
    let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
    peer.receive("CONNECT\naccept-version:1.2\nheart-beat:1000,1000\n\n\0");
    assert_eq!(peer.pass_ms(9_000), [""; 0]);
    assert_eq!(peer.due_ms(), Some(1_000), "only the login is waited for");
    peer.answer_all();
    assert_eq!(peer.due_ms(), Some(800));
}

#[test]
fn a_login_takes_ten_seconds_at_most() {
    let late = [
        "ERROR message:login took too long code:1006",
        "close 1008 login took too long",
    ];
    // Its CONNECT came in time: the decision of the server is late.
    let undecided = [
        "ERROR message:the login could not be decided on in time, try again code:1010",
        "close 1013 the login could not be decided on in time, try again",
    ];
    for (sent, expected) in [
        ("", late),
        ("\n", late),
        ("CONNECT\naccept-version:1.2\n", late),
        ("CONNECT\n\n\0", undecided),
    ] {
        let mut peer = Peer::new(SessionConfig::default(), Application::Waits);
        assert_eq!(peer.due_ms(), Some(10_000));
        peer.pass_ms(5_000);
        peer.receive(sent);
        assert_eq!(peer.due_ms(), Some(5_000), "{sent:?} buys no time");
        assert_eq!(peer.pass_ms(4_999), [""; 0], "{sent:?}");
        assert_eq!(peer.pass_ms(1), expected, "{sent:?}");
        peer.answer_all();
        assert_eq!(peer.outputs(), [""; 0], "accepted too late");
    }
}

#[test]
fn a_login_in_time_has_no_deadline_any_more() {
    let mut peer = Peer::connected(Version::V1_2);
    assert_eq!(peer.due(), None);
    assert_eq!(peer.pass_ms(1_000_000), [""; 0]);
    assert!(peer.session.is_open());
}

/// One thing that can happen between two timeouts.
#[derive(Clone, Copy, Debug)]
enum Event {
    Sent,
    Received,
    Early(u64),
    Due,
    Late(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        1 => Just(Event::Sent),
        2 => Just(Event::Received),
        1 => (0..3_000_u64).prop_map(Event::Early),
        4 => Just(Event::Due),
        1 => (0..3_000_u64).prop_map(Event::Late),
    ];
    proptest::collection::vec(event, 1..40)
}

fn interval() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(1), 1..20_u64, 1..3_000_u64, Just(u64::MAX)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever sleeps until `poll_timeout` and then calls `handle_timeout` never spins: each such
    /// call beats or closes, and the next one is due later.
    #[test]
    fn each_timeout_makes_progress(
        (ours, theirs) in ((interval(), interval()), (interval(), interval())),
        events in events(),
    ) {
        let header = format!("heart-beat:{},{}\n", theirs.0, theirs.1);
        let mut peer = agreed(ours, Version::V1_2, &header);
        for event in events {
            match event {
                Event::Sent => peer.session.handle_sent(peer.now),
                Event::Received => prop_assert_eq!(peer.receive("\n"), [""; 0]),
                Event::Early(ms) => {
                    let due = peer.due().unwrap_or(Duration::MAX);
                    let early = Duration::from_millis(ms).min(due / 2);
                    let lines = peer.pass(early);
                    prop_assert!(lines.is_empty(), "{:?} before it is due", lines);
                }
                Event::Due | Event::Late(_) => {
                    let Some(due) = peer.due() else { continue };
                    let late = if let Event::Late(ms) = event { ms } else { 0 };
                    let lines = peer.pass(due + Duration::from_millis(late));
                    prop_assert!(lines == ["beat"] || lines == fault(MISSED), "{:?}", lines);
                    prop_assert!(peer.due() != Some(Duration::ZERO), "due again at once");
                    prop_assert_eq!(peer.due().is_none(), peer.session.is_closed());
                }
            }
        }
    }
}

#[test]
fn a_beat_is_one_lf() {
    let mut peer = agreed((1_000, 0), Version::V1_1, "heart-beat:0,1000\n");
    peer.session
        .handle_timeout(peer.now + Duration::from_millis(800));
    let Some(Output::Transmit(bytes)) = peer.session.poll_output() else {
        panic!("no beat");
    };
    assert_eq!(bytes, "\n");
}
