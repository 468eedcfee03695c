//! Tests of the authenticator, against keys served by a real listener.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::get;
use http::StatusCode;
use shared::claims::{
    ACCESS_LIFETIME, MemberGrant, REFRESH_LIFETIME, ServiceGrant, Signer, TokenId, generate_key,
};
use shared::clock::ManualClock;
use shared::drain::Drain;

use super::keys::{FETCH_PAUSE, FIRST_FETCH_PAUSE};
use super::*;

/// A stub of the market that returns the answer set by a test and counts the requests.
struct Market {
    answer: Arc<Mutex<(StatusCode, String)>>,
    asked: Arc<AtomicUsize>,
    url: String,
    drain: Drain,
}

impl Market {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new((StatusCode::OK, "{}".to_owned())));
        let asked = Arc::new(AtomicUsize::new(0));
        let (given, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let keys = get(async move || {
            count.fetch_add(1, Ordering::Relaxed);
            given.lock().unwrap().clone()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let drain = Drain::new();
        let server = axum::serve(listener, Router::new().route("/keys", keys));
        drop(drain.spawn("market", async { server.await }));
        Self {
            answer,
            asked,
            url,
            drain,
        }
    }

    fn publish(&self, signers: &[&Signer]) {
        *self.answer.lock().unwrap() = (StatusCode::OK, jwks(signers));
    }

    fn fail(&self, status: StatusCode, body: &str) {
        *self.answer.lock().unwrap() = (status, body.to_owned());
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Market {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

fn jwks(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public_key()).collect();
    serde_json::json!({ "keys": keys }).to_string()
}

fn scope() -> TokenScope {
    TokenScope {
        issuer: "market".to_owned(),
        audience: "dapanda".to_owned(),
    }
}

fn signer() -> Signer {
    Signer::from_pem(&generate_key().unwrap().private_pem, scope()).unwrap()
}

fn start() -> UnixMillis {
    UnixMillis::from_seconds(1_754_537_696).unwrap()
}

fn member(id: u64) -> MemberId {
    id.try_into().unwrap()
}

fn token(signer: &Signer, id: u64, token: MemberToken, now: UnixMillis) -> Secret<String> {
    let grant = MemberGrant {
        member: member(id),
        role: Role::Member,
        token,
        family: "family".parse().unwrap(),
        token_id: "token".parse().unwrap(),
    };
    signer.member_token(grant, now).unwrap()
}

fn bearer(token: Secret<String>) -> Credentials {
    Credentials {
        bearer: Some(token),
        ..Credentials::default()
    }
}

fn cookies(access: Option<Secret<String>>, refresh: Option<Secret<String>>) -> Credentials {
    Credentials {
        bearer: None,
        access_cookies: access.into_iter().collect(),
        refresh_cookies: refresh.into_iter().collect(),
    }
}

/// An authenticator that fetches the keys of this market, with a clock of its own.
async fn asking(market: &Market) -> (Authenticator, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(start()));
    let source = KeySource::Url(market.url.clone());
    let auth = Authenticator::open(source, scope(), clock.clone());
    (auth.await.unwrap(), clock)
}

/// An authenticator with the keys of this signer in a file.
async fn knowing(signer: &Signer) -> (Authenticator, Arc<ManualClock>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, jwks(&[signer])).unwrap();
    let clock = Arc::new(ManualClock::new(start()));
    let auth = Authenticator::open(KeySource::File(path), scope(), clock.clone());
    (auth.await.unwrap(), clock, folder)
}

#[tokio::test]
async fn a_bearer_wins_and_must_be_an_access_token() {
    use MemberToken::{Access, Refresh};
    let signer = signer();
    let (auth, _clock, _folder) = knowing(&signer).await;
    let all = Credentials {
        bearer: Some(token(&signer, 1, Access, start())),
        ..cookies(
            Some(token(&signer, 2, Access, start())),
            Some(token(&signer, 2, Refresh, start())),
        )
    };
    let found = auth.member(&all).await.unwrap();
    assert_eq!((found.member, found.origin), (member(1), Origin::Bearer));
    assert_eq!(found.ends_at, start().saturating_add(ACCESS_LIFETIME));

    let wrong = Credentials {
        bearer: Some(token(&signer, 1, Refresh, start())),
        ..all
    };
    assert_eq!(auth.member(&wrong).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn cookies_end_with_the_refresh_token_of_the_same_member() {
    use MemberToken::{Access, Refresh};
    let signer = signer();
    let (auth, _clock, _folder) = knowing(&signer).await;
    let access_end = start().saturating_add(ACCESS_LIFETIME);
    let refresh_end = start().saturating_add(REFRESH_LIFETIME);
    let access = || Some(token(&signer, 1, Access, start()));
    let refresh = |id| Some(token(&signer, id, Refresh, start()));
    for (shown, expected) in [
        (cookies(access(), refresh(1)), Ok((1, refresh_end))),
        (cookies(access(), refresh(2)), Ok((1, access_end))),
        (cookies(access(), None), Ok((1, access_end))),
        (cookies(None, refresh(2)), Ok((2, refresh_end))),
        // Each cookie is valid under its own name only.
        (cookies(refresh(1), None), Err(AuthError::Refused)),
        (cookies(None, access()), Err(AuthError::Refused)),
        (cookies(None, None), Err(AuthError::Missing)),
    ] {
        let found = auth.member(&shown).await;
        let expected = expected.map(|(id, ends_at)| (member(id), ends_at));
        assert_eq!(
            found.map(|found| (found.member, found.ends_at)),
            expected,
            "{shown:?}"
        );
    }
}

#[tokio::test]
async fn any_good_cookie_of_a_name_counts() {
    use MemberToken::{Access, Refresh};
    let signer = signer();
    let (auth, clock, _folder) = knowing(&signer).await;
    let early = |kind| token(&signer, 1, kind, start());
    let (old_access, old_refresh) = (early(Access), early(Refresh));
    clock.advance(ACCESS_LIFETIME);
    let now = start().saturating_add(ACCESS_LIFETIME);
    let (access, refresh) = (
        token(&signer, 1, Access, now),
        token(&signer, 1, Refresh, now),
    );
    let odd = Secret::new("x".to_owned());
    let node_control = [
        vec![old_access.clone(), access.clone(), odd.clone()],
        vec![access, odd, old_access],
    ];
    for access_cookies in node_control {
        let mut shown = Credentials {
            access_cookies,
            ..Credentials::default()
        };
        let found = auth.member(&shown).await.unwrap();
        assert_eq!(found.ends_at, now.saturating_add(ACCESS_LIFETIME));
        shown.refresh_cookies = vec![old_refresh.clone(), refresh.clone()];
        let found = auth.member(&shown).await.unwrap();
        assert_eq!(found.ends_at, now.saturating_add(REFRESH_LIFETIME));
        shown.access_cookies.clear();
        let found = auth.member(&shown).await.unwrap();
        assert_eq!(found.ends_at, now.saturating_add(REFRESH_LIFETIME));
    }
}

#[tokio::test]
async fn a_lapsed_access_cookie_leaves_the_refresh_cookie() {
    use MemberToken::{Access, Refresh};
    let signer = signer();
    let (auth, clock, _folder) = knowing(&signer).await;
    let shown = cookies(
        Some(token(&signer, 1, Access, start())),
        Some(token(&signer, 1, Refresh, start())),
    );
    clock.advance(ACCESS_LIFETIME);
    let found = auth.member(&shown).await.unwrap();
    assert_eq!(
        (found.member, found.ends_at),
        (member(1), start().saturating_add(REFRESH_LIFETIME))
    );
    clock.advance(REFRESH_LIFETIME);
    assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
}

#[tokio::test]
async fn services_and_members_do_not_pass_for_each_other() {
    let signer = signer();
    let (auth, _clock, _folder) = knowing(&signer).await;
    let grant = ServiceGrant {
        service: "market-api".parse().unwrap(),
        token_id: TokenId::try_from("t".to_owned()).unwrap(),
    };
    let service = signer.service_token(grant, start()).unwrap();
    let access = token(&signer, 1, MemberToken::Access, start());
    let found = auth.service(Some(&service)).await.unwrap();
    assert_eq!(found.service.as_str(), "market-api");
    assert_eq!(auth.service(Some(&access)).await, Err(AuthError::Refused));
    assert_eq!(auth.service(None).await, Err(AuthError::Missing));
    let as_member = auth.member(&bearer(service)).await;
    assert_eq!(as_member, Err(AuthError::Refused));
}

#[tokio::test]
async fn keys_are_fetched_when_the_first_token_comes() {
    let (signer, market) = (signer(), Market::start().await);
    let (auth, clock) = asking(&market).await;
    let shown = bearer(token(&signer, 1, MemberToken::Access, start()));
    assert_eq!(market.asked(), 0);

    market.fail(StatusCode::SERVICE_UNAVAILABLE, "");
    let unavailable = Err(AuthError::KeysUnavailable);
    assert_eq!(auth.member(&shown).await, unavailable);
    market.publish(&[&signer]);
    assert_eq!(auth.member(&shown).await, unavailable);
    assert_eq!(market.asked(), 1);

    clock.advance(FIRST_FETCH_PAUSE);
    assert!(auth.member(&shown).await.is_ok());
    assert!(auth.member(&shown).await.is_ok());
    assert_eq!(market.asked(), 2);
}

#[tokio::test]
async fn unknown_keys_cause_one_fetch_in_ten_seconds() {
    let (old, new, market) = (signer(), signer(), Market::start().await);
    let (auth, clock) = asking(&market).await;
    market.publish(&[&old]);
    auth.refresh().await;
    let shown = bearer(token(&new, 1, MemberToken::Access, start()));

    for _ in 0..3 {
        assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
    }
    assert_eq!(market.asked(), 1);
    clock.advance(FETCH_PAUSE);
    for _ in 0..3 {
        assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
    }
    assert_eq!(market.asked(), 2);
    market.publish(&[&new, &old]);
    clock.advance(FETCH_PAUSE);
    assert!(auth.member(&shown).await.is_ok());
    assert_eq!(market.asked(), 3);
}

#[tokio::test]
async fn those_who_need_keys_at_once_share_a_fetch() {
    let (signer, market) = (signer(), Market::start().await);
    let (auth, _clock) = asking(&market).await;
    market.publish(&[&signer]);
    let shown = bearer(token(&signer, 1, MemberToken::Access, start()));
    let found = futures_util::future::join_all((0..50).map(|_| auth.member(&shown))).await;
    assert!(found.iter().all(Result::is_ok));
    assert_eq!(market.asked(), 1);
}

#[tokio::test]
async fn a_bad_answer_keeps_the_keys_at_hand() {
    let (signer, market) = (signer(), Market::start().await);
    let (auth, _clock) = asking(&market).await;
    market.publish(&[&signer]);
    auth.refresh().await;
    let shown = bearer(token(&signer, 1, MemberToken::Access, start()));
    let too_long = format!("{}{}", jwks(&[&signer]), " ".repeat(64 << 10));
    for (status, body) in [
        (StatusCode::INTERNAL_SERVER_ERROR, ""),
        (StatusCode::OK, ""),
        (StatusCode::OK, "[]"),
        (StatusCode::OK, r#"{"keys":[]}"#),
        (StatusCode::OK, &too_long),
        (StatusCode::FOUND, ""),
    ] {
        market.fail(status, body);
        auth.refresh().await;
        assert!(auth.member(&shown).await.is_ok(), "{status} {body:.20}");
    }
    assert_eq!(market.asked(), 7);
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten() {
    let (old, new, market) = (signer(), signer(), Market::start().await);
    let (auth, _clock) = asking(&market).await;
    market.publish(&[&old]);
    auth.refresh().await;
    market.publish(&[&new]);
    auth.refresh().await;
    let shown = bearer(token(&old, 1, MemberToken::Access, start()));
    assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
}

/// What was verified before is as good as new: until its expiry, as what it was, and with its key.
#[tokio::test]
async fn a_token_that_comes_again_is_checked_again() {
    let (old, new, market) = (signer(), signer(), Market::start().await);
    let (auth, clock) = asking(&market).await;
    market.publish(&[&old]);
    auth.refresh().await;
    let access = token(&old, 1, MemberToken::Access, start());
    let shown = bearer(access.clone());
    let first = auth.member(&shown).await.unwrap();
    // The same keys again keep what they have verified.
    auth.refresh().await;
    assert_eq!(auth.member(&shown).await, Ok(first));
    let as_refresh = cookies(None, Some(access));
    assert_eq!(auth.member(&as_refresh).await, Err(AuthError::Refused));
    clock.advance(ACCESS_LIFETIME - Duration::from_millis(1));
    assert!(auth.member(&shown).await.is_ok());
    clock.advance(Duration::from_millis(1));
    assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
    assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));

    let now = start().saturating_add(ACCESS_LIFETIME);
    let shown = bearer(token(&old, 2, MemberToken::Access, now));
    assert!(auth.member(&shown).await.is_ok());
    market.publish(&[&old, &new]);
    auth.refresh().await;
    assert!(auth.member(&shown).await.is_ok());
    market.publish(&[&new]);
    auth.refresh().await;
    assert_eq!(auth.member(&shown).await, Err(AuthError::Refused));
}

/// Each bit of a verified token counts when a similar one comes.
#[tokio::test]
async fn a_token_like_a_verified_one_is_not_verified() {
    let signer = signer();
    let (auth, _clock, _folder) = knowing(&signer).await;
    let good = token(&signer, 1, MemberToken::Access, start());
    assert!(auth.member(&bearer(good.clone())).await.is_ok());
    for place in (0..good.expose().len()).step_by(7) {
        let mut text = good.expose().clone().into_bytes();
        text[place] = if text[place] == b'A' { b'B' } else { b'A' };
        let other = bearer(Secret::new(String::from_utf8(text).unwrap()));
        assert!(auth.member(&other).await.is_err(), "{place}");
    }
    let longer = bearer(Secret::new(format!("{}A", good.expose())));
    assert!(auth.member(&longer).await.is_err());
}

#[tokio::test]
async fn what_cannot_be_a_source_is_refused_at_once() {
    let clock = || Arc::new(ManualClock::new(start()));
    for url in ["", "keys", "ftp://localhost/keys", "file:///keys"] {
        let opened = Authenticator::open(KeySource::Url(url.to_owned()), scope(), clock()).await;
        assert!(matches!(opened, Err(OpenError::InvalidUrl { .. })), "{url}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    for content in [None, Some(r#"{"keys":[]}"#), Some("no json")] {
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let opened = Authenticator::open(KeySource::File(path.clone()), scope(), clock()).await;
        assert!(matches!(opened, Err(OpenError::File { .. })), "{content:?}");
    }
    let https = KeySource::Url("https://localhost/keys".to_owned());
    assert!(Authenticator::open(https, scope(), clock()).await.is_ok());
}
