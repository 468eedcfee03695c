//! The adapters: one message to one target, and what each answer means.

use std::sync::Arc;
use std::time::Duration;

use chat_server::config::AccountSource;
use chat_server::push::fcm::{FcmService, Token};
use chat_server::push::web::{Endpoint, Subscription, SubscriptionKeys, WebPush, WebPushSettings};
use chat_server::push::{CollapseKey, Delivery, PushMessage, PushService, PushText, Target};
use fakes::fcm::Fault;
use fakes::web_push::PushSubscription;
use serde_json::json;
use shared::clock::{Clock, ManualClock, SystemClock};

use super::outside::Outside;

fn message() -> PushMessage {
    let text = PushText::new("김바다", "안녕하세요");
    let ttl = Duration::from_secs(60);
    PushMessage::new("e1".to_owned(), "chat.message".to_owned(), text, ttl)
        .with_data(json!({"chatRoomId": 7}))
        .with_collapse_key(CollapseKey::new("room-7".to_owned()))
}

fn fcm(outside: &Outside, clock: Arc<dyn Clock>) -> FcmService {
    let account = AccountSource::File(outside.path("account.json"));
    FcmService::open(&account, &outside.fcm_url, clock).unwrap()
}

fn token(text: &str) -> Target {
    Target::Fcm(Token::new(text.to_owned()).unwrap())
}

fn web_push(outside: &Outside, clock: Arc<dyn Clock>) -> WebPush {
    let settings = WebPushSettings {
        vapid_key: &outside.path("vapid.pem"),
        contact: "mailto:push@dapanda.example",
        test_url: Some(&outside.web_url),
    };
    WebPush::open(&settings, clock).unwrap()
}

fn browser(outside: &Outside, subscription: &PushSubscription) -> Target {
    let keys = &subscription.keys;
    Target::Web(Subscription {
        endpoint: Endpoint::parse(&subscription.endpoint, Some(&outside.web_url)).unwrap(),
        keys: SubscriptionKeys::parse(&keys.p256dh, &keys.auth).unwrap(),
    })
}

fn retry_after(seconds: u64) -> Delivery {
    Delivery::RetryAfter(Some(Duration::from_secs(seconds)))
}

#[tokio::test]
async fn fcm_takes_a_message_with_an_access_token_that_is_used_again() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let fcm = fcm(&outside, clock);
    for _ in 0..3 {
        let delivery = fcm.deliver(&message(), &token("a")).await;
        assert_eq!(delivery, Delivery::Delivered);
    }
    assert_eq!(outside.fcm.access_tokens(), 1);
    let messages = outside.fcm.messages();
    assert_eq!(messages.len(), 3);
    assert_eq!(messages[0]["token"], "a");
    let shown = json!({"title": "김바다", "body": "안녕하세요"});
    assert_eq!(messages[0]["notification"], shown);
    assert_eq!(messages[0]["android"]["collapse_key"], "room-7");
}

#[tokio::test]
async fn an_access_token_is_renewed_before_it_expires_and_once_when_it_is_refused() {
    let clock = Arc::new(ManualClock::new(SystemClock.unix_millis()));
    let outside = Outside::start(&(clock.clone() as Arc<dyn Clock>));
    let fcm = fcm(&outside, clock.clone());
    let deliver = async || fcm.deliver(&message(), &token("a")).await;
    assert_eq!(deliver().await, Delivery::Delivered);
    clock.advance(Duration::from_secs(3_570));
    assert_eq!(deliver().await, Delivery::Delivered);
    assert_eq!(outside.fcm.access_tokens(), 2);
    outside.fcm.revoke_access();
    assert_eq!(deliver().await, Delivery::Delivered);
    assert_eq!(outside.fcm.access_tokens(), 3);
    // Twice in one delivery: later, not for ever.
    outside.fcm.fail("a", &[Fault::Unauthenticated; 2]);
    assert_eq!(deliver().await, Delivery::RetryAfter(None));
    assert_eq!(deliver().await, Delivery::Delivered);
}

#[tokio::test]
async fn each_fault_of_fcm_has_its_outcome() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let fcm = fcm(&outside, clock);
    let deliver = async || fcm.deliver(&message(), &token("a")).await;
    let faults = [
        Fault::Throttled(Some(7)),
        Fault::Unavailable(Some(8)),
        Fault::Unavailable(None),
        Fault::Refused,
    ];
    outside.fcm.fail("a", &faults);
    assert_eq!(deliver().await, retry_after(7));
    assert_eq!(deliver().await, retry_after(8));
    assert_eq!(deliver().await, Delivery::RetryAfter(None));
    assert!(matches!(deliver().await, Delivery::Refused(_)));
    outside.fcm.kill("a");
    assert_eq!(deliver().await, Delivery::Gone);
    let other = fcm.deliver(&message(), &token("b")).await;
    assert_eq!(other, Delivery::Delivered);
}

#[tokio::test]
async fn a_service_that_is_away_is_retried() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let (fcm, web) = (fcm(&outside, clock.clone()), web_push(&outside, clock));
    let browser = browser(&outside, &outside.web.subscribe().unwrap());
    outside.stop().await;
    let none = Delivery::RetryAfter(None);
    assert_eq!(fcm.deliver(&message(), &token("a")).await, none);
    assert_eq!(web.deliver(&message(), &browser).await, none);
}

#[tokio::test]
async fn a_browser_decrypts_what_its_push_service_was_sent() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let web = web_push(&outside, clock);
    let subscription = outside.web.subscribe().unwrap();
    let browser = browser(&outside, &subscription);
    assert_eq!(web.deliver(&message(), &browser).await, Delivery::Delivered);
    let messages = outside.web.messages();
    assert_eq!(messages[0].payload, message().to_json());
    assert_eq!(messages[0].payload["tag"], "room-7");
    assert_eq!(messages[0].endpoint, subscription.endpoint);
    assert_eq!(
        (messages[0].ttl, messages[0].urgency.as_deref()),
        (60, Some("high"))
    );
    assert_eq!(messages[0].topic.as_deref(), Some("room-7"));
}

#[tokio::test]
async fn each_fault_of_a_push_service_has_its_outcome() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let web = web_push(&outside, clock);
    let subscription = outside.web.subscribe().unwrap();
    let browser = browser(&outside, &subscription);
    let deliver = async || web.deliver(&message(), &browser).await;
    let faults = [
        Fault::Throttled(Some(7)),
        Fault::Unavailable(None),
        Fault::Refused,
    ];
    outside.web.fail(&subscription.endpoint, &faults);
    assert_eq!(deliver().await, retry_after(7));
    assert_eq!(deliver().await, Delivery::RetryAfter(None));
    assert!(matches!(deliver().await, Delivery::Refused(_)));
    outside.web.unsubscribe(&subscription.endpoint);
    assert_eq!(deliver().await, Delivery::Gone);
}

#[tokio::test]
async fn an_endpoint_that_was_stored_under_other_settings_gets_no_request() {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let outside = Outside::start(&clock);
    let settings = WebPushSettings {
        vapid_key: &outside.path("vapid.pem"),
        contact: "mailto:push@dapanda.example",
        test_url: None,
    };
    let web = WebPush::open(&settings, clock).unwrap();
    let browser = browser(&outside, &outside.web.subscribe().unwrap());
    let delivery = web.deliver(&message(), &browser).await;
    assert!(matches!(delivery, Delivery::Refused(_)), "{delivery:?}");
    assert_eq!(outside.web.requests(), 0);
}
