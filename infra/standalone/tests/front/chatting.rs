//! From an offer into a conversation, over REST and STOMP.

use reqwest::Method;
use serde_json::{Value, json};
use stomp::Command;

use super::Person;
use super::offering::Offers;
use super::shape::{check, check_all};
use super::shapes::{HISTORY, PAGE, ROOM, ROOM_MADE};
use super::stomp_page::Stomp;

/// A room with messages.
#[derive(Debug)]
pub(crate) struct Talk {
    pub(crate) room: u64,
    /// The seller's.
    pub(crate) message: u64,
}

/// The buyer asks about an offer, both talk, a connection is lost, and all is read.
pub(crate) async fn walk(seller: &mut Person<'_>, buyer: &mut Person<'_>, offers: &Offers) -> Talk {
    let room = buyer.ask_seller(offers.wifi).await;
    assert_eq!(
        buyer.ask_seller(offers.wifi).await,
        room,
        "one room for one offer"
    );
    let other = buyer.ask_seller(offers.data).await;
    assert_ne!(other, room);
    let path = format!("/api/products/{}/chat-room", offers.wifi);
    assert_eq!(seller.refused(Method::POST, &path).await, 8000);
    let unknown = "/api/products/2000000000/chat-room";
    assert_eq!(buyer.refused(Method::POST, unknown).await, 3002);

    let new = buyer.room(room, "BUYER").await;
    assert_eq!(new["lastMessage"], Value::Null, "{new}");
    assert_eq!(new["lastMessageAt"], new["createdAt"]);
    let offer = buyer
        .get(&format!("/api/products/wifi/{}", offers.wifi))
        .await;
    for name in ["productId", "itemId"] {
        assert_eq!(new[name], offer[name], "{new}");
    }
    assert_eq!(new["senderId"], seller.id);
    assert_eq!(new["senderName"], offer["memberName"]);
    let (mut of_buyer, mut of_seller) = (buyer.open_chat().await, seller.open_chat().await);

    // The sender receives its own message, too.
    of_buyer.say(room, "아직 되나요?").await;
    let (own, asked) = (of_buyer.message(room).await, of_seller.message(room).await);
    assert_eq!(own, asked);
    assert_eq!(
        (&own["message"], &own["senderId"]),
        (&json!("아직 되나요?"), &json!(buyer.id))
    );
    seller.check_row(room, "SELLER", &own, 1).await;
    seller.read(&own).await;
    seller.check_row(room, "SELLER", &own, 0).await;
    of_seller.say(room, "네!").await;
    let (own, answer) = (of_seller.message(room).await, of_buyer.message(room).await);
    assert_eq!(own, answer);
    buyer.check_row(room, "BUYER", &answer, 1).await;
    seller.check_row(room, "SELLER", &answer, 0).await;
    buyer.check_history(room, &[&answer, &asked]).await;

    of_buyer = buyer.lose_connection(of_buyer, seller.id).await;
    of_seller.say(room, "오세요").await;
    let last = of_buyer.message(room).await;
    assert_eq!(of_seller.message(room).await, last);
    buyer.read(&last).await;
    buyer.check_row(room, "BUYER", &last, 0).await;
    buyer.check_history(room, &[&last, &answer, &asked]).await;

    let missing = format!(
        "/api/chat-messages/{}/read-status",
        (room << 22) | 4_000_000
    );
    assert_eq!(buyer.refused(Method::POST, &missing).await, 8004);
    assert_eq!(
        buyer
            .refused(Method::GET, "/api/chat-room/2000000000/history")
            .await,
        8001
    );
    Talk {
        room,
        message: last["chatMessageId"].as_u64().unwrap(),
    }
}

impl Person<'_> {
    async fn ask_seller(&mut self, offer: u64) -> u64 {
        let path = format!("/api/products/{offer}/chat-room");
        let made = self.call(Method::POST, &path, None).await;
        check("a room", &made, ROOM_MADE);
        made["chatRoomId"].as_u64().unwrap()
    }

    /// The rooms, page by page, as the list of chats asks for them.
    async fn rooms(&mut self, option: &str) -> Vec<Value> {
        let path = format!("/api/chat-room?size=2&chatRoomReadOption={option}");
        let rows = self.pages(&path, "").await;
        for row in &rows {
            // Groups are not the front end's.
            if row["productId"].is_u64() {
                check("a room", row, ROOM);
            }
        }
        rows
    }

    /// One room, and as the front end asks for it that was opened without a product.
    async fn room(&mut self, room: u64, option: &str) -> Value {
        let rows = self.rooms(option).await;
        let row = rows.iter().find(|row| row["chatRoomId"] == room);
        let row = row.unwrap_or_else(|| panic!("room {room} is not among {rows:?}"));
        let other = if option == "BUYER" { "SELLER" } else { "BUYER" };
        let others = self.rooms(other).await;
        assert!(others.iter().all(|row| row["chatRoomId"] != room));
        let size = room.max(101);
        let all = self.get(&format!("/api/chat-room?size={size}")).await;
        check("rooms", &all, PAGE);
        let all = all["data"].as_array().unwrap();
        assert!(all.contains(row), "{row} is not among {all:?}");
        row.clone()
    }

    async fn check_row(&mut self, room: u64, option: &str, last: &Value, unread: u32) {
        let row = self.room(room, option).await;
        assert_eq!(row["lastMessage"], last["message"]);
        assert_eq!(row["lastMessageAt"], last["createdAt"]);
        assert_eq!(row["unreadCount"], unread, "{row}");
    }

    /// Connects, and subscribes to every room and to alarms.
    pub(crate) async fn open_chat(&mut self) -> Stomp {
        let opened = Stomp::connect(&self.browser, self.site).await;
        let mut stomp = opened.unwrap_or_else(|error| panic!("{error:?}"));
        for row in self.rooms("ALL").await {
            stomp
                .subscribe(&format!("/sub/{}", row["chatRoomId"]))
                .await;
        }
        stomp.subscribe(&format!("/sub/alarm/{}", self.id)).await;
        stomp
    }

    /// What is not allowed is answered by ERROR and the end; the front end comes back and subscribes
    /// again.
    async fn lose_connection(&mut self, mut stomp: Stomp, other: u64) -> Stomp {
        stomp.ask_for(&format!("/sub/alarm/{other}")).await;
        let error = stomp.next().await.expect("ERROR");
        assert_eq!(error.command(), Command::Error, "{error:?}");
        assert_ne!(error.header("message"), Some("Authentication failed"));
        assert!(stomp.next().await.is_none(), "the end");
        self.open_chat().await
    }

    async fn read(&mut self, message: &Value) {
        let path = format!(
            "/api/chat-messages/{}/read-status",
            message["chatMessageId"]
        );
        self.call(Method::POST, &path, None).await;
    }

    /// The newest first, in pages of two and in one.
    async fn check_history(&mut self, room: u64, expected: &[&Value]) {
        let path = format!("/api/chat-room/{room}/history");
        let paged = self.pages(&format!("{path}?size=2"), "").await;
        let page = self.get(&path).await;
        check("history", &page, PAGE);
        check_all("history", &page["data"], HISTORY);
        assert_eq!(page["memberId"], self.id);
        assert_eq!(page["pageInfo"]["size"], 20);
        assert_eq!(page["data"].as_array().unwrap(), &paged);
        assert_eq!(paged.len(), expected.len());
        for (row, message) in paged.iter().zip(expected) {
            for name in ["chatMessageId", "message", "createdAt"] {
                assert_eq!(row[name], message[name], "{row}");
            }
            assert_eq!(row["isMine"], message["senderId"] == self.id, "{row}");
        }
    }
}
