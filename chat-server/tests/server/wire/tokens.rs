//! Who a connection belongs to, and until when.

use std::sync::Arc;
use std::time::Duration;

use shared::claims::MemberToken;
use stomp::Command;

use crate::support::TestNode;
use crate::support::clock::MovableClock;
use crate::support::raw::{CLOSE, PING, PONG, Raw};
use crate::wire::start::{receipt, refused, rooms, say, sent_away, session};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A node by a clock that the test moves, and whose timers go often.
async fn movable(settings: &[&str]) -> (TestNode, Arc<MovableClock>) {
    let clock = Arc::new(MovableClock::new());
    let settings = [settings, &["--heart-beat", "10,0"]].concat();
    let node = TestNode::start_by(clock.clone(), &settings).await;
    rooms(&node).await;
    (node, clock)
}

/// Logs in with heart-beats, which make the server look at its clock every few milliseconds.
async fn log_in(raw: &mut Raw, headers: &str) {
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nheart-beat:0,10\n{headers}\n\0"
    ))
    .await;
    raw.expect(Command::Connected).await;
}

/// A session that logged in with this token.
async fn by_token(node: &TestNode, token: &str) -> Raw {
    let mut raw = Raw::open(node.address).await;
    log_in(&mut raw, &format!("Authorization:Bearer {token}\n")).await;
    raw
}

/// Time passes, more than a connection may be silent: the server looks at its clock, and asks
/// whether the peer is there. Only once on a node: its timers go by real time.
async fn stays(clock: &MovableClock, raw: &mut Raw, time: Duration) {
    clock.advance(time);
    loop {
        let frame = raw.ws_frame().await.expect("the connection to stay");
        assert_ne!(frame.first, CLOSE, "{frame:?}");
        if frame.first == PING {
            raw.ws(PONG, &frame.payload).await;
            return say(raw, "still here").await;
        }
    }
}

/// Time passes, and the connection ends with 4401 and without an ERROR.
async fn ends(clock: &MovableClock, raw: &mut Raw, time: Duration) {
    clock.advance(time);
    let ending = raw.ending().await;
    assert_eq!((ending.frames.len(), ending.code), (0, Some(4401)));
}

/// The connection that this opens stays for almost this time, and then ends.
async fn check_ends_at(settings: &[&str], open: impl AsyncFn(&TestNode) -> Raw, time: Duration) {
    let (node, clock) = movable(settings).await;
    stays(&clock, &mut open(&node).await, time - MINUTE).await;
    let (node, clock) = movable(settings).await;
    ends(&clock, &mut open(&node).await, time).await;
}

#[tokio::test]
async fn a_token_ends_its_connection() {
    let open = async |node: &TestNode| by_token(node, &node.token(1)).await;
    check_ends_at(&[], open, HOUR).await;
}

/// SEND of a token to the connection.
async fn send_token(raw: &mut Raw, token: &str) {
    raw.text(&format!(
        "SEND\ndestination:/app/token\nreceipt:t\n\n{token}\0"
    ))
    .await;
}

#[tokio::test]
async fn a_fresh_token_extends_the_connection() {
    let open = async |node: &TestNode| {
        let old = node.token_made(1, MemberToken::Access, 50 * MINUTE);
        let mut raw = by_token(node, &old).await;
        send_token(&mut raw, &format!(" {}\n", node.token(1))).await;
        receipt(&mut raw, "t").await;
        raw
    };
    check_ends_at(&[], open, HOUR).await;
}

#[tokio::test]
async fn an_older_token_counts_too() {
    let open = async |node: &TestNode| {
        let mut raw = by_token(node, &node.token(1)).await;
        let older = node.token_made(1, MemberToken::Access, 30 * MINUTE);
        send_token(&mut raw, &older).await;
        receipt(&mut raw, "t").await;
        raw
    };
    check_ends_at(&[], open, 30 * MINUTE).await;
}

#[tokio::test]
async fn a_token_of_another_member_or_a_bad_one_extends_nothing() {
    let (node, _clock) = movable(&[]).await;
    let refresh = node.refresh_token(1);
    let lapsed = node.token_made(1, MemberToken::Access, HOUR);
    for token in [&*node.token(2), &refresh, &lapsed, "", "a.b.c"] {
        let mut raw = session(&node, 1).await;
        send_token(&mut raw, token).await;
        let error = refused(&mut raw, "2007", "Invalid or expired login", 1008).await;
        assert_eq!(error.header("receipt-id"), Some("t"));
    }
}

#[tokio::test]
async fn a_token_that_has_lapsed_does_not_log_in() {
    let (node, _clock) = movable(&[]).await;
    let lapsed = node.token_made(1, MemberToken::Access, HOUR);
    let mut raw = Raw::open(node.address).await;
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {lapsed}\n\n\0"
    ))
    .await;
    refused(&mut raw, "2007", "Authentication failed", 1008).await;
}

/// A WebSocket whose upgrade carries this access cookie and this refresh cookie.
async fn with_cookies(node: &TestNode, access: Option<&str>, refresh: Option<&str>) -> Raw {
    let cookie = |name: &str, value: Option<&str>| value.map(|value| format!("{name}={value}"));
    let cookies = [
        Some("theme=dark".to_owned()),
        cookie("accessToken", access),
        cookie("refreshToken", refresh),
    ];
    let cookies = cookies.into_iter().flatten().collect::<Vec<_>>().join("; ");
    let (raw, answer) = Raw::upgrade(node.address, &[("Cookie", &*cookies)]).await;
    assert_eq!(answer.status, 101);
    raw
}

/// A session of member 1 by cookies: whether there is an access token, and how old it is; the same
/// of the refresh token.
async fn by_cookies(node: &TestNode, access: Option<Duration>, refresh: Option<Duration>) -> Raw {
    let family = "login".parse().unwrap();
    let token = |kind, ago: Option<Duration>| ago.map(|ago| node.token_of(&family, 1, kind, ago));
    let access = token(MemberToken::Access, access);
    let refresh = token(MemberToken::Refresh, refresh);
    let mut raw = with_cookies(node, access.as_deref(), refresh.as_deref()).await;
    log_in(&mut raw, "").await;
    raw
}

#[tokio::test]
async fn a_connection_by_cookies_ends_with_the_refresh_token() {
    let long = &["--connection-age-max", "30d"];
    for access in [Some(Duration::ZERO), Some(2 * HOUR), None] {
        let open = async |node: &TestNode| by_cookies(node, access, Some(4 * DAY)).await;
        check_ends_at(long, open, 10 * DAY).await;
    }
}

#[tokio::test]
async fn a_connection_by_the_access_cookie_alone_ends_with_it() {
    let open = async |node: &TestNode| by_cookies(node, Some(20 * MINUTE), None).await;
    check_ends_at(&[], open, 40 * MINUTE).await;
}

#[tokio::test]
async fn a_connection_by_cookie_ends_at_its_greatest_age() {
    let short = &["--connection-age-max", "12h"];
    let fresh = Some(Duration::ZERO);
    let (node, clock) = movable(short).await;
    let mut raw = by_cookies(&node, fresh, fresh).await;
    stays(&clock, &mut raw, 12 * HOUR - MINUTE).await;
    let (node, clock) = movable(short).await;
    let mut raw = by_cookies(&node, fresh, fresh).await;
    clock.advance(12 * HOUR);
    // Nothing is wrong with its cookies: it is to come again.
    sent_away(&mut raw).await;
}

#[tokio::test]
async fn the_token_of_connect_wins_over_cookies() {
    let (node, _clock) = movable(&[]).await;
    let (access, other) = (node.token(1), node.token(2));
    let mut raw = with_cookies(&node, Some(&access), None).await;
    raw.text(&format!(
        "CONNECT\naccept-version:1.2\nAuthorization:Bearer {other}\n\n\0"
    ))
    .await;
    let connected = raw.expect(Command::Connected).await;
    assert_eq!(connected.header("user-name"), Some("2"));
    let mut raw = with_cookies(&node, Some(&access), None).await;
    raw.text("CONNECT\naccept-version:1.2\nAuthorization:Bearer x\n\n\0")
        .await;
    refused(&mut raw, "2007", "Authentication failed", 1008).await;
}

#[tokio::test]
async fn cookies_must_hold_what_they_are_named_after() {
    let (node, _clock) = movable(&[]).await;
    let (access, refresh) = (node.token(1), node.refresh_token(1));
    let old = node.token_made(1, MemberToken::Refresh, 14 * DAY);
    for (access, refresh) in [
        (Some(&*refresh), None),
        (None, Some(&*access)),
        (None, Some(&*old)),
        (Some("x"), Some("y")),
    ] {
        let mut raw = with_cookies(&node, access, refresh).await;
        raw.text("CONNECT\naccept-version:1.2\n\n\0").await;
        refused(&mut raw, "2007", "Authentication failed", 1008).await;
    }
}

#[tokio::test]
async fn a_bearer_token_may_come_with_the_upgrade() {
    let (node, _clock) = movable(&[]).await;
    let bearer = format!("Bearer {}", node.token(2));
    let (mut raw, _) = Raw::upgrade(node.address, &[("Authorization", &*bearer)]).await;
    raw.text("CONNECT\naccept-version:1.2\n\n\0").await;
    let connected = raw.expect(Command::Connected).await;
    assert_eq!(connected.header("user-name"), Some("2"));
}
