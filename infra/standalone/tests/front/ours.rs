//! What this site has beyond the first front end, once each: its pages and apps use it.

use reqwest::Method;
use serde_json::{Value, json};

use super::Person;
use super::buying::Bought;
use super::chatting::Talk;
use super::offering::Offers;
use super::refusals;
use super::shape::{check, check_all};
use super::shapes::{BLOCKED, PAGE, REASONS};
use super::sites::Site;

/// The hotspot, the receipt, the export, and what a chat has besides.
pub(crate) async fn walk(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    talk: &Talk,
    bought: &Bought,
) {
    seller
        .post("/api/members/language", &json!({"language": "ko"}))
        .await;
    hotspot(seller, buyer).await;
    let receipt = buyer
        .get(&format!("/api/trades/{}/receipt", bought.wifi))
        .await;
    assert_eq!(receipt["tradeId"], bought.wifi);
    let export = buyer.get("/api/members/export").await;
    assert_eq!(export["account"]["memberId"], buyer.id);
    chat(seller, buyer, talk).await;
    notifications(seller).await;
}

async fn hotspot(seller: &mut Person<'_>, buyer: &mut Person<'_>) {
    let path = "/api/products/hotspot";
    let mut form = json!({
        "price": 120, "title": "역 앞 핫스팟", "content": "점심시간에 켜요", "address": "서울 강남구 어딘가 2",
        "latitude": 37.5012, "longitude": 127.0396,
        "startTime": "2026-11-29T00:00:00", "endTime": "2026-11-30T00:00:00", "images": [],
    });
    seller.post(path, &form).await;
    let list = format!("{path}?size=20&latitude=37.5012&longitude=127.0396");
    let rows = buyer.get(&list).await;
    let offer = rows["data"][0]["productId"].as_u64().unwrap();
    form["productId"] = offer.into();
    form["price"] = 110.into();
    form["imageUrls"] = json!([]);
    seller.call(Method::PUT, path, Some(&form)).await;
    let view = buyer.get(&format!("{path}/{offer}")).await;
    assert_eq!(
        (&view["price"], &view["memberId"]),
        (&json!(110), &json!(seller.id))
    );
    let [start, end] = super::buying::minutes([60, 90]);
    let time = json!({"productId": offer, "hotspotId": offer, "startTime": start, "endTime": end});
    let traded = buyer.post("/api/trades/hotspot", &time).await;
    assert_eq!(traded["price"], 330);
}

async fn chat(seller: &mut Person<'_>, buyer: &mut Person<'_>, talk: &Talk) {
    let room = format!("/api/chat-room/{}", talk.room);
    let members = buyer.get(&format!("{room}/members")).await;
    assert_eq!(members.as_array().map(Vec::len), Some(2), "{members}");
    let mute = format!("{room}/mute");
    buyer.post(&mute, &json!({"minutes": 60})).await;
    buyer.call(Method::DELETE, &mute, None).await;
    let message = format!("/api/chat-messages/{}", talk.message);
    assert_eq!(buyer.refused(Method::DELETE, &message).await, 1003);
    seller.call(Method::DELETE, &message, None).await;
}

/// One blocks the other, and takes it back.
pub(crate) async fn separate(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    offers: &Offers,
    talk: &Talk,
) {
    let view = format!("/api/products/wifi/{}", offers.wifi);
    buyer.get(&view).await;
    let stomp = buyer.open_chat().await;
    let path = format!("/api/members/{}/block", seller.id);
    buyer.call(Method::POST, &path, None).await;
    let blocked = buyer.get("/api/members/blocked?size=2").await;
    check("blocked", &blocked, PAGE);
    check_all("blocked", &blocked["data"], BLOCKED);
    assert_eq!(buyer.refused(Method::GET, &view).await, 3003);
    let sold = format!(
        "/api/members/{}/selling-products?productState=ACTIVE&size=2",
        seller.id
    );
    assert_eq!(buyer.get(&sold).await["count"], 0);
    assert_eq!(
        stomp.say_until_refused(talk.room, "아직 있어요?").await,
        "8011"
    );
    let own = format!("/api/members/{}/block", buyer.id);
    assert_eq!(buyer.refused(Method::POST, &own).await, 1006);
    buyer.call(Method::DELETE, &path, None).await;
    buyer.get(&view).await;
}

/// Who has cash stays; who has nothing leaves, and is asked to log in.
pub(crate) async fn leave(site: &Site, buyer: &mut Person<'_>, talk: &Talk) {
    let path = "/api/members/me";
    let answer = buyer.ask(Method::DELETE, path, None).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["code"]), (409, &json!(2015)));
    check("reasons", &json["data"], REASONS);
    let reasons = json["data"]["reasons"].as_array().unwrap();
    assert!(reasons.contains(&json!("CASH")), "{json}");
    let mut guest = Person::join(site, "google", 5).await;
    refusals::keep_out(&mut guest, talk).await;
    guest.call(Method::DELETE, path, None).await;
    assert!(guest.browser.cookie("localhost", "accessToken").is_none());
    assert_eq!(guest.refused(Method::GET, "/api/members/info").await, 2014);
}

async fn notifications(seller: &mut Person<'_>) {
    let unread = seller.get("/api/notifications/unread-count").await;
    assert!(
        unread["unreadCount"]
            .as_u64()
            .is_some_and(|count| count > 0),
        "{unread}"
    );
    let rows = seller.get("/api/notifications").await;
    let up_to = json!({"upTo": rows[0]["id"]});
    seller.post("/api/notifications/read", &up_to).await;
    let path = "/api/notifications/preferences";
    let preferences = seller.get(path).await;
    assert_eq!(preferences["chat"], "push");
    let changed = json!({"marketing": "none"});
    seller.call(Method::PUT, path, Some(&changed)).await;
    let token = json!({"token": "dK7example:APA91bExampleToken"});
    seller.call(Method::DELETE, "/api/fcm", Some(&token)).await;
    let key: Value = seller.get("/api/push/vapid-key").await;
    assert!(key.is_object(), "{key}");
}
