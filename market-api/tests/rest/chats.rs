//! Chat rooms about offers, created in a chat server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::any;
use chat_server::app::Node;
use futures_util::future::join_all;
use http::{Method, StatusCode};
use market_api::db::Abort;
use market_api::outbox::{NewEvent, append};
use serde_json::{Value, json};
use shared::config::parse;
use shared::drain::Drain;
use shared::event::{Event, MemberUpdated};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::on_both;
use crate::products::{data, spot};
use crate::site::{Answer, Cookies, Site, address, bind, serve};
use crate::support::{On, eventually};
use crate::trades::{DATA, give_cash, purchase};

on_both! {
    a_product_and_a_buyer_have_one_room,
    room_is_opened_only_for_a_valid_offer_and_caller,
    unreachable_chat_server_loses_no_room,
    failed_call_is_retried_once_within_its_deadline,
    ids_that_the_chat_server_has_are_skipped,
    a_room_follows_its_hours,
    a_change_while_a_room_is_opened_reaches_it,
    a_purchase_notifies_buyer_and_seller_once,
}

/// A reserved port for a chat server, or for a stub in its place.
pub(crate) struct ChatPort {
    admin: TcpListener,
    pub(crate) flag: String,
}

/// A running chat server.
pub(crate) struct Chat {
    pub(crate) base: String,
    _node: Node,
    drain: Drain,
    _folder: tempfile::TempDir,
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl ChatPort {
    pub(crate) async fn bind() -> Self {
        let admin = bind().await;
        let flag = format!("--chat-url={}", address(&admin));
        Self { admin, flag }
    }

    /// Serves a chat server on the port; it accepts this market's tokens.
    pub(crate) async fn serve(self, site: &Site) -> Chat {
        let folder = tempfile::tempdir().unwrap();
        let store = format!("--store=file:{}", folder.path().join("chat").display());
        let jwks = format!("--jwks={}/.well-known/jwks.json", site.base);
        let config = parse(["chat-server", &store, &jwks]).unwrap();
        let drain = Drain::new();
        let node = Node::build(&config, site.clock.clone(), drain.clone());
        let node = node.await.unwrap();
        node.set_started();
        let public = bind().await;
        let base = address(&public);
        serve(&drain, public, node.public_router());
        serve(&drain, self.admin, node.admin_router());
        Chat {
            base,
            _node: node,
            drain,
            _folder: folder,
        }
    }

    /// Serves a stub on the port, which counts the calls about rooms, and takes no events.
    fn answer(self, with: impl Fn(usize) -> Response + Clone + Send + Sync + 'static) -> Peer {
        let (calls, drain) = (Arc::new(AtomicUsize::new(0)), Drain::new());
        let counted = Arc::clone(&calls);
        let answer = any(move || {
            let nth = counted.fetch_add(1, Ordering::Relaxed);
            let with = with.clone();
            async move { with(nth) }
        });
        let events = any(async || StatusCode::SERVICE_UNAVAILABLE);
        let routes = Router::new().route("/internal/events", events);
        serve(&drain, self.admin, routes.fallback(answer));
        Peer { calls, drain }
    }
}

struct Peer {
    calls: Arc<AtomicUsize>,
    drain: Drain,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.drain.hard().cancel();
    }
}

impl Chat {
    /// A member's room list.
    async fn rooms(&self, site: &Site, who: &Cookies) -> Vec<Value> {
        let url = format!("{}/api/chat-room?size=50", self.base);
        let answer = site.ask_url(Method::GET, &url).by(who).send().await;
        answer.is(200, 0);
        answer.json()["data"]["data"].as_array().unwrap().clone()
    }
}

/// The whole way: outbox, relay with a service token, receiver, inbox.
async fn a_purchase_notifies_buyer_and_seller_once(on: On) {
    let Stage {
        site,
        chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    give_cash(&site, 10_000).await;
    let ask = site.ask(Method::POST, DATA).by(&buyer);
    ask.json(&purchase(1).unwrap()).send().await.is(200, 0);
    eventually("the events are relayed", async || {
        // For a post that came before the chat server: its back-off is over.
        site.wait(Duration::from_millis(50));
        site.number("select count(*) from outbox").await == 0
    })
    .await;
    for who in [&buyer, &seller] {
        let url = format!("{}/api/notifications", chat.base);
        let answer = site.ask_url(Method::GET, &url).by(who).send().await;
        answer.is(200, 0);
        let shown = answer.json()["data"].clone();
        assert_eq!(shown.as_array().unwrap().len(), 1, "{shown}");
    }
}

/// A site with its chat server, a seller with an offer of data (1) and one of Wi-Fi (2), a buyer.
struct Stage {
    site: Site,
    chat: Chat,
    seller: Cookies,
    buyer: Cookies,
}

impl Stage {
    async fn set(on: On) -> Self {
        let port = ChatPort::bind().await;
        let site = Site::start_with(on, &[&port.flag]).await;
        let chat = port.serve(&site).await;
        let (seller, buyer) = offer(&site).await;
        Self {
            site,
            chat,
            seller,
            buyer,
        }
    }
}

/// A seller with two offers, and a buyer.
async fn offer(site: &Site) -> (Cookies, Cookies) {
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    for (path, form) in [
        ("/api/products/mobile-data", data(1)),
        ("/api/products/wifi", spot(2)),
    ] {
        let ask = site.ask(Method::POST, path).by(&seller);
        ask.json(&form.unwrap()).send().await.is(200, 0);
    }
    (seller, buyer)
}

async fn open(site: &Site, who: &Cookies, product: u32) -> Answer {
    let path = format!("/api/products/{product}/chat-room");
    site.ask(Method::POST, &path).by(who).send().await
}

/// The id of the opened room.
async fn opened(site: &Site, who: &Cookies, product: u32) -> u64 {
    let answer = open(site, who, product).await;
    answer.is(200, 0);
    answer.json()["data"]["chatRoomId"].as_u64().unwrap()
}

async fn a_product_and_a_buyer_have_one_room(on: On) {
    let Stage {
        site,
        chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    let room = opened(&site, &buyer, 2).await;
    assert_eq!(room, 1);
    assert_eq!(opened(&site, &buyer, 2).await, room);
    let other = site.log_in("kakao", 3).await;
    let at_once = join_all((0..10).map(|_| opened(&site, &other, 2))).await;
    assert!(at_once.iter().all(|id| *id == at_once[0]), "{at_once:?}");
    assert_ne!(at_once[0], room);
    assert_ne!(opened(&site, &buyer, 1).await, room);

    let rooms = chat.rooms(&site, &seller).await;
    assert_eq!(rooms.len(), 3, "{rooms:?}");
    let shown = rooms.iter().find(|one| one["chatRoomId"] == room).unwrap();
    let expected = json!({
        "senderId": site.id(&buyer).await, "senderName": "사람 2", "productId": 2, "itemId": 2,
        "itemType": "WIFI", "startTime": "2026-11-15T09:00:00.000",
        "endTime": "2026-11-15T18:00:00.000",
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field} {shown}");
    }
    let rooms = chat.rooms(&site, &buyer).await;
    let shown = rooms.iter().find(|one| one["chatRoomId"] == room).unwrap();
    assert_eq!(shown["senderId"], site.id(&seller).await);
    assert_eq!(chat.rooms(&site, &other).await.len(), 1);
}

async fn room_is_opened_only_for_a_valid_offer_and_caller(on: On) {
    let Stage {
        site,
        chat: _chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    open(&site, &seller, 1).await.is(400, 8000);
    open(&site, &buyer, 77).await.is(400, 3002);
    open(&site, &buyer, 0).await.is(400, 1006);
    let anonymous = site.ask(Method::POST, "/api/products/1/chat-room");
    anonymous.send().await.is(401, 2014);
    let elsewhere = site.ask(Method::POST, "/api/products/1/chat-room");
    let elsewhere = elsewhere.header("cookie", &buyer.header());
    elsewhere
        .header("origin", "https://evil.example")
        .send()
        .await
        .is(403, 1003);

    let id = site.id(&seller).await;
    let block = |blocked: u8| format!("update member set blocked = {blocked} where id = {id}");
    site.sql(&block(1)).await;
    open(&site, &buyer, 1).await.is(400, 3003);
    open(&site, &seller, 1).await.is(403, 2012);
    site.sql(&block(0)).await;
    assert_eq!(site.number("select count(*) from chat_room").await, 0);

    // The buyer of everything may have questions.
    let sold = "update product set state = 'SOLD_OUT', units_sold = units_left, units_left = 0 \
        where id = 1";
    site.sql(sold).await;
    opened(&site, &buyer, 1).await;
    let delete = site.ask(Method::DELETE, "/api/products/2").by(&seller);
    delete.send().await.is(200, 0);
    open(&site, &buyer, 2).await.is(400, 3003);

    let again = site
        .ask(Method::POST, "/api/products/mobile-data")
        .by(&seller);
    let one = json!({"price": 100, "dataAmount": 0.1, "isSplitType": false});
    again.json(&one).send().await.is(200, 0);
    site.sql("update product set expires_at = 1 where id = 3")
        .await;
    open(&site, &buyer, 3).await.is(400, 3003);
}

async fn unreachable_chat_server_loses_no_room(on: On) {
    let port = ChatPort::bind().await;
    let site = Site::start(on).await;
    let (seller, buyer) = offer(&site).await;
    let answer = open(&site, &buyer, 1).await;
    answer.is(503, 1010);
    let ready = site.ask_url(Method::GET, &format!("{}/readyz", site.admin_base));
    let ready = ready.send().await;
    assert!(ready.text.contains(r#""database":"ok""#), "{ready:?}");
    let metrics = site.ask_url(Method::GET, &format!("{}/metrics", site.admin_base));
    let metrics = metrics.send().await.text;
    assert!(metrics.contains(r#"market_chat_calls_total{outcome="away"} 2"#));
    let kept = site.number("select id from chat_room").await;

    let second = site.second(&[&port.flag]).await;
    let chat = port.serve(&second).await;
    assert_eq!(
        opened(&second, &buyer, 1).await,
        u64::try_from(kept).unwrap()
    );
    assert_eq!(chat.rooms(&second, &seller).await.len(), 1);
}

async fn failed_call_is_retried_once_within_its_deadline(on: On) {
    let check = async |answer: fn(usize) -> Response, expected: u16, calls: usize| {
        let port = ChatPort::bind().await;
        let site = Site::start_with(on, &[&port.flag]).await;
        let peer = port.answer(answer);
        let (_, buyer) = offer(&site).await;
        let answer = open(&site, &buyer, 1).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        assert_eq!(peer.calls.load(Ordering::Relaxed), calls);
    };
    let busy = |nth: usize| match nth {
        0 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => axum::Json(json!({"code": 0, "data": {"chatRoomId": 1}})).into_response(),
    };
    check(busy, 200, 2).await;
    check(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        503,
        2,
    )
    .await;
    check(
        |_| Redirect::temporary("/elsewhere").into_response(),
        503,
        1,
    )
    .await;
    check(|_| "x".repeat(1 << 20).into_response(), 503, 2).await;
    check(|_| StatusCode::OK.into_response(), 503, 1).await;

    // Accepts connections and never responds.
    let silent = bind().await;
    let flags = [
        format!("--chat-url={}", address(&silent)),
        "--chat-answer-time=50ms".to_owned(),
    ];
    let site = Site::start_with(on, &[&flags[0], &flags[1]]).await;
    let (_, buyer) = offer(&site).await;
    open(&site, &buyer, 1).await.is(503, 1010);
    drop(silent);
}

/// The market's database was restored from a backup older than the chat server's store.
async fn ids_that_the_chat_server_has_are_skipped(on: On) {
    let Stage {
        site,
        chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    let others = [site.log_in("kakao", 3).await, site.log_in("kakao", 4).await];
    for other in &others {
        opened(&site, other, 1).await;
        opened(&site, other, 2).await;
    }
    site.sql("delete from chat_room").await;
    site.sql("update chat_room_number set last = 0").await;
    let room = opened(&site, &buyer, 1).await;
    assert!(room > 4, "{room}");
    assert_eq!(opened(&site, &buyer, 1).await, room);
    assert_eq!(chat.rooms(&site, &seller).await.len(), 5);
    assert_eq!(chat.rooms(&site, &buyer).await.len(), 1);
}

async fn a_room_follows_its_hours(on: On) {
    let Stage {
        site,
        chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    opened(&site, &buyer, 2).await;
    let id = site.id(&seller).await;
    // A new name reaches the chat server as an event of the member, not with each of the rooms.
    let outdated = "select count(*) from chat_room where sent < version";
    site.sql(&format!(
        "update member set name = '새 이름', image_url = 'https://pictures.example/n.png' \
         where id = {id}"
    ))
    .await;
    assert_eq!(site.number(outdated).await, 0);
    let mut form = spot(2).unwrap();
    form["startTime"] = json!("2026-11-15T11:00:00");
    let change = site.ask(Method::PUT, "/api/products/wifi").by(&seller);
    change.json(&form).send().await.is(200, 0);
    assert_eq!(site.number(outdated).await, 1);
    site.wait(Duration::from_secs(60));
    eventually("the room is up to date", async || {
        site.number(outdated).await == 0
    })
    .await;
    let buyer = site.log_in("kakao", 2).await;
    let shown = chat.rooms(&site, &buyer).await[0].clone();
    assert_eq!(shown["startTime"], "2026-11-15T11:00:00.000");

    // A repeated request by the buyer is enough, too.
    form["startTime"] = json!("2026-11-15T12:00:00");
    let change = site.ask(Method::PUT, "/api/products/wifi").by(&seller);
    change.json(&form).send().await.is(200, 0);
    opened(&site, &buyer, 2).await;
    let shown = chat.rooms(&site, &buyer).await[0].clone();
    assert_eq!(shown["startTime"], "2026-11-15T12:00:00.000");
    assert_eq!(site.number(outdated).await, 0);
}

/// A name that changes while the room is opened is shown by the room, once its event has arrived.
async fn a_change_while_a_room_is_opened_reaches_it(on: On) {
    let Stage {
        site,
        chat,
        seller,
        buyer,
    } = Stage::set(on).await;
    for (who, product, name) in [(&seller, 1, "새 이름"), (&buyer, 2, "새 손님")] {
        let id = site.id(who).await;
        let text = format!("update member set name = '{name}' where id = {id}");
        let updated = MemberUpdated {
            name: name.to_owned(),
            image_url: None,
            language: None,
        };
        let event = NewEvent::of_member(id.try_into().unwrap(), Event::MemberUpdated(updated));
        let (changed, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let context = (text, event, Arc::clone(&changed), Arc::clone(&go_on));
        let change = site
            .market
            .db()
            .write(context, |(text, event, changed, go_on), tx| {
                Box::pin(async move {
                    sqlx::query(sqlx::AssertSqlSafe(text.clone()))
                        .execute(tx.connection())
                        .await?;
                    append(tx, event).await?;
                    changed.notify_one();
                    go_on.notified().await;
                    Ok::<_, Abort<()>>(())
                })
            });
        let commit = async {
            if matches!(on, On::Postgres) {
                let waiting = "select count(*) from pg_stat_activity \
                    where datname = current_database() and wait_event_type = 'Lock'";
                let made = format!("select count(*) from chat_room where product_id = {product}");
                eventually("the room waits for the change, or is made", async || {
                    site.number(waiting).await + site.number(&made).await > 0
                })
                .await;
            }
            go_on.notify_one();
        };
        let opening = async {
            changed.notified().await;
            tokio::join!(opened(&site, &buyer, product), commit)
        };
        let (changing, _) = tokio::join!(change, opening);
        changing.unwrap();
        let other = if product == 1 { &buyer } else { &seller };
        eventually("the room shows the name", async || {
            site.wait(Duration::from_millis(50));
            let rooms = chat.rooms(&site, other).await;
            let shown = rooms.iter().find(|room| room["productId"] == product);
            shown.unwrap()["senderName"] == name
        })
        .await;
    }
}
