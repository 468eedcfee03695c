//! Heart-beats, pings, and connections that end without a close.

use std::sync::Arc;
use std::time::Duration;

use chat_server::log::{Draft, Kind, RoomEvent, Topic, Uid};
use shared::claims::MemberToken;
use stomp::Command;

use crate::support::clock::MovableClock;
use crate::support::raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, WsFrame, masked};
use crate::support::{TestNode, eventually};
use crate::wire::start::{connect, hello, node, receipt, refused, rooms, say, session, subscribe};

/// A close frame with this code.
fn close(code: u16) -> WsFrame {
    WsFrame {
        first: CLOSE,
        payload: code.to_be_bytes().to_vec(),
    }
}

/// The node has no connection left.
async fn all_gone(node: &TestNode) {
    let connections = &node.node.services.connections;
    eventually("no connection is left", || connections.count() == 0).await;
}

#[tokio::test]
async fn who_does_not_log_in_is_told_to_and_closed() {
    let node = node(&["--login-timeout", "1s"]).await;
    let (mut silent, mut chatty) = (Raw::open(node.address).await, Raw::open(node.address).await);
    chatty.text("\n\nCONN").await;
    for raw in [&mut silent, &mut chatty] {
        refused(raw, "1006", "login took too long", 1008).await;
    }
    all_gone(&node).await;
}

#[tokio::test]
async fn a_ping_is_answered_with_its_own_words() {
    let node = node(&[]).await;
    let mut raw = Raw::open(node.address).await;
    for payload in [&b""[..], b"a", &[0xff; 125]] {
        raw.ws(PING, payload).await;
        let pong = raw.ws_frame().await.unwrap();
        assert_eq!((pong.first, &*pong.payload), (PONG, payload));
    }
    raw.ws(PONG, b"unasked").await;
    raw.ws(PING, b"z").await;
    assert_eq!(raw.ws_frame().await.unwrap().payload, b"z");
}

#[tokio::test]
async fn a_silent_peer_is_pinged_and_then_given_up() {
    let node = node(&["--ping-interval", "1s"]).await;
    let (mut dead, mut alive) = (session(&node, 1).await, session(&node, 2).await);
    for _ in 0..3 {
        let ping = alive.ws_frame().await.unwrap();
        assert_eq!(ping.first, PING, "{ping:?}");
        alive.ws(PONG, &ping.payload).await;
    }
    assert_eq!(dead.ws_frame().await.unwrap().first, PING);
    assert_eq!(dead.ws_frame().await, None, "gone without a word");
    say(&mut alive, "still here").await;
    assert_eq!(node.node.services.metrics.heartbeats_missed.get(), 1);
}

#[tokio::test]
async fn heart_beats_come_as_agreed() {
    let node = node(&["--heart-beat", "20,0"]).await;
    let beating = "accept-version:1.2\nheart-beat:0,10\n";
    let (mut raw, connected) = connect(&node, 1, beating).await;
    assert_eq!(connected.header("heart-beat"), Some("20,0"));
    for _ in 0..5 {
        let beat = raw.ws_frame().await.unwrap();
        assert_eq!((beat.first, &*beat.payload), (TEXT, &b"\n"[..]));
    }
    say(&mut raw, "in between").await;
}

#[tokio::test]
async fn who_misses_its_heart_beats_is_closed() {
    let node = node(&["--heart-beat", "0,50"]).await;
    let beating = "accept-version:1.2\nheart-beat:50,0\n";
    let mut raw = connect(&node, 1, beating).await.0;
    refused(&mut raw, "1006", "heart-beat missed", 1002).await;
}

/// A page in the background: its timers hardly run, but the browser answers pings.
#[tokio::test]
async fn peer_that_answers_pings_may_be_late_with_heart_beats() {
    let node = node(&["--heart-beat", "0,2000"]).await;
    let beating = "accept-version:1.2\nheart-beat:2000,0\n";
    let mut raw = connect(&node, 1, beating).await.0;
    for _ in 0..2 {
        let ping = raw.ws_frame().await.unwrap();
        assert_eq!(ping.first, PING, "{ping:?}");
        raw.ws(PONG, &ping.payload).await;
        let soon = tokio::time::timeout(Duration::from_millis(500), raw.ws_frame()).await;
        assert!(soon.is_err(), "the pong was no sign of life: {soon:?}");
    }
    say(&mut raw, "still here").await;
    assert_eq!(node.node.services.metrics.heartbeats_missed.get(), 0);
}

#[tokio::test]
async fn every_byte_of_a_slow_frame_is_a_sign_of_life() {
    let node = node(&["--heart-beat", "0,2000"]).await;
    let beating = "accept-version:1.2\nheart-beat:2000,0\n";
    let mut raw = connect(&node, 1, beating).await.0;
    // The peer is given up after twice its interval; this frame takes longer.
    let frame = masked(TEXT, hello(1).as_bytes());
    let mut every = tokio::time::interval(Duration::from_millis(200));
    for part in frame.chunks(frame.len().div_ceil(25)) {
        every.tick().await;
        raw.bytes(part).await;
    }
    receipt(&mut raw, "1").await;
}

/// Pongs do not reach the peer's STOMP, so they stand for no heart-beat.
#[tokio::test]
async fn pings_do_not_put_heart_beats_off() {
    let node = node(&["--heart-beat", "100,0"]).await;
    let beating = "accept-version:1.2\nheart-beat:0,100\n";
    let mut raw = connect(&node, 1, beating).await.0;
    let mut every = tokio::time::interval(Duration::from_millis(25));
    let (mut seen, mut pings) = (0, 0);
    while seen < 3 {
        pings += 1;
        assert!(pings < 500, "nothing but pongs");
        every.tick().await;
        raw.ws(PING, b"").await;
        while raw.ws_frame().await.unwrap().first != PONG {
            seen += 1;
        }
    }
}

/// A peer that sends this, which carries nothing, over and over.
async fn check_flood(flood: Vec<u8>) {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.bytes(&flood).await;
    refused(&mut raw, "1009", "too many empty frames or line ends", 1008).await;
    let limited = &node.node.services.metrics.rate_limited;
    assert_eq!(limited.with_label_values(&["idle"]).get(), 1);
}

#[tokio::test]
async fn a_flood_of_nothing_is_refused() {
    const MANY: usize = 20_000;
    for nothing in [
        masked(PING, b""),
        masked(PONG, b"unasked"),
        masked(TEXT, b""),
        masked(BINARY, b""),
        masked(TEXT, b"\n"),
    ] {
        check_flood(nothing.repeat(MANY)).await;
    }
    check_flood(masked(TEXT, "\n".repeat(MANY).as_bytes()).repeat(2)).await;
    let (begun, empty) = (masked(0x01, b"\n"), masked(0x00, b""));
    check_flood([begun, empty.repeat(MANY)].concat()).await;
}

#[tokio::test]
async fn what_gathered_while_the_server_stood_still_is_no_flood() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.bytes(&masked(TEXT, b"\n").repeat(450)).await;
    raw.bytes(&masked(PONG, b"").repeat(450)).await;
    say(&mut raw, "still here").await;
    // Line ends behind frames are part of them.
    let frame = "UNSUBSCRIBE\nid:none\n\n\0\r\n\n".repeat(2_000);
    raw.text(&frame).await;
    say(&mut raw, "still here").await;
}

#[tokio::test]
async fn a_member_has_so_many_connections_and_no_more() {
    let node = node(&["--member-connections-max", "2"]).await;
    let (mut one, mut two) = (session(&node, 1).await, session(&node, 1).await);
    let token = node.token(1);
    let connect = format!("CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0");
    let mut third = Raw::open(node.address).await;
    third.text(&connect).await;
    let says = "too many connections of this member: 2 at most";
    refused(&mut third, "1009", says, 1013).await;
    let refused = &node.node.services.metrics.connections_refused;
    assert_eq!(refused.with_label_values(&["member"]).get(), 1);
    for raw in [&mut one, &mut two, &mut session(&node, 2).await] {
        say(raw, "still here").await;
    }
    drop(one);
    let connections = &node.node.services.connections;
    eventually("it has left", || connections.count() == 1).await;
    say(&mut session(&node, 1).await, "in its place").await;
}

#[tokio::test]
async fn a_close_is_answered_in_kind() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.ws(CLOSE, &close(1000).payload).await;
    assert_eq!(raw.ws_frame().await, Some(close(1000)));
    assert_eq!(raw.ws_frame().await, None);
    let mut raw = Raw::open(node.address).await;
    raw.ws(CLOSE, b"").await;
    assert_eq!(raw.ws_frame().await.unwrap().first, CLOSE);
    assert_eq!(raw.ws_frame().await, None);
    all_gone(&node).await;
}

#[tokio::test]
async fn what_came_before_a_sudden_end_is_carried_out() {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    let mut other = session(&node, 2).await;
    subscribe(&mut other, "s", "/sub/1", "").await;
    let hello = "SEND\ndestination:/pub/1\n\n{\"message\":\"x\"}\0";
    raw.text(&hello.repeat(30)).await;
    drop(raw);
    for _ in 0..30 {
        other.expect(Command::Message).await;
    }
    drop(other);
    all_gone(&node).await;
}

/// Bytes that are no WebSocket of a client end the connection with this code.
async fn check_malformed(bytes: &[u8], code: u16) {
    let node = node(&[]).await;
    let mut raw = session(&node, 1).await;
    raw.bytes(bytes).await;
    let ending = raw.ending().await;
    assert_eq!(ending.code, Some(code), "{bytes:x?}");
    assert_eq!(ending.frames.len(), 0, "no STOMP fault");
}

#[tokio::test]
async fn malformed_frames_are_closed_with_the_codes_of_the_protocol() {
    for bytes in [
        &b"\x81\x01x"[..],                     // not masked
        b"\xc1\x81\0\0\0\0x",                  // a reserved bit
        b"\x83\x81\0\0\0\0x",                  // a reserved opcode
        b"\x80\x81\0\0\0\0x",                  // a continuation of nothing
        b"\x09\x81\0\0\0\0x",                  // a ping in fragments
        b"\x01\x81\0\0\0\0x\x81\x81\0\0\0\0x", // a message within a message
    ] {
        check_malformed(bytes, 1002).await;
    }
    check_malformed(&masked(PING, &[0; 126]), 1002).await;
    check_malformed(&masked(CLOSE, &[0]), 1002).await;
    check_malformed(&masked(TEXT, b"\xff"), 1007).await;
}

#[tokio::test]
async fn a_length_beyond_the_limit_is_refused_before_its_bytes_come() {
    let node = node(&[]).await;
    for first in [TEXT, BINARY] {
        let mut raw = session(&node, 1).await;
        raw.bytes(&[
            first, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0,
        ])
        .await;
        refused(&mut raw, "1008", "message too large", 1009).await;
    }
}

/// A session of member 1 whose peer takes little in before it is read.
async fn narrow_session(node: &TestNode) -> Raw {
    let mut raw = Raw::connect_narrow(node.address).await;
    raw.ask_upgrade(node.address, &[]).await;
    let token = node.token(1);
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {token}\n\n\0"
    ))
    .await;
    raw.expect(Command::Connected).await;
    node.presence_shown().await;
    raw
}

/// Bodies of 10 MiB in all, for room 2: more than a connection's buffers and the ring hold.
async fn store_much(node: &TestNode) -> usize {
    const COUNT: usize = 320;
    let topic = Topic::Room(2_i64.try_into().unwrap());
    for number in 0..COUNT {
        let draft = Draft {
            uid: Uid(rand::random()),
            kind: Kind::Opaque,
            sender: None,
            client_message_id: None,
            headers: Vec::new(),
            content_type: None,
            body: vec![b'x'; (32 << 10) + number].into(),
            sent_at: node.clock.unix_millis(),
        };
        let sent = node.node.services.appender.send(topic, vec![draft]).await;
        sent.unwrap();
    }
    COUNT
}

#[tokio::test]
async fn who_reads_late_gets_everything_in_order() {
    let node = node(&["--sync", "50ms"]).await;
    let mut raw = narrow_session(&node).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    let count = store_much(&node).await;
    for number in 0..count {
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("seq"), Some(&*(number + 1).to_string()));
        assert_eq!(message.body().len(), (32 << 10) + number);
    }
    assert!(
        node.node.services.metrics.replayed.get() > 0,
        "from the store"
    );
}

#[tokio::test]
async fn who_takes_nothing_is_closed_and_can_resume() {
    let node = node(&["--sync", "50ms", "--send-time-limit", "1s"]).await;
    let mut raw = narrow_session(&node).await;
    subscribe(&mut raw, "s", "/sub/2", "").await;
    let count = store_much(&node).await;
    all_gone(&node).await;
    assert_eq!(node.node.services.metrics.slow_closed.get(), 1);
    let mut seen = 0;
    while let Some(frame) = raw.ws_frame().await {
        seen = frame.stomp().header("seq").unwrap().parse().unwrap();
    }
    assert!(seen < count, "the rest is not in anybody's memory");
    let mut raw = session(&node, 1).await;
    let after = format!(
        "resume-after:{}\n",
        if seen == 0 { 0 } else { (2 << 22) + seen }
    );
    subscribe(&mut raw, "s", "/sub/2", &after).await;
    for number in seen + 1..=count {
        let message = raw.expect(Command::Message).await;
        assert_eq!(message.header("seq"), Some(&*number.to_string()));
    }
}

#[tokio::test]
async fn events_do_not_pile_up_for_who_does_not_read() {
    const EVENTS: u64 = 60_000;
    let node = node(&[]).await;
    let mut raw = narrow_session(&node).await;
    subscribe(&mut raw, "s", "/sub/1/events", "").await;
    let services = &node.node.services;
    for number in 0..EVENTS {
        let member_id = 2_i64.try_into().unwrap();
        let event = RoomEvent::Typing { member_id };
        services.hub.publish_event(1_i64.try_into().unwrap(), event);
        if number % 16 == 0 {
            tokio::task::yield_now().await; // the connection has its turn
        }
    }
    raw.text("UNSUBSCRIBE\nid:s\nreceipt:r\n\n\0").await;
    let mut seen = 0;
    while raw.frame().await.command() == Command::Message {
        seen += 1;
    }
    let dropped = services.metrics.events_dropped.get();
    assert!(dropped > 0, "all {seen} were kept for it");
    assert_eq!(seen + dropped, EVENTS);
}

#[tokio::test]
async fn a_connection_that_waits_for_the_peers_close_sleeps() {
    let clock = Arc::new(MovableClock::new());
    let node = TestNode::start_by(clock.clone(), &[]).await;
    rooms(&node).await;
    // Wall time stands still, so the rest of the token's time begins with the login.
    let nearly = Duration::from_secs(60 * 60 - 1);
    let token = node.token_made(1, MemberToken::Access, nearly);
    let mut raw = Raw::open(node.address).await;
    raw.text(&format!("CONNECT\nAuthorization:Bearer {token}\n\n\0"))
        .await;
    raw.expect(Command::Connected).await;
    assert_eq!(raw.ws_frame().await.unwrap().close_code(), Some(4401));
    let before = clock.checks();
    // The close is not answered; the server waits for a while, and not by asking all the time.
    assert_eq!(raw.ws_frame().await, None);
    let checks = clock.checks() - before;
    assert!(checks < 1_000, "{checks} checks at the clock");
}
