//! Authorization matrix (B1) and visibility of members' data (B3), for every operation of the committed
//! document.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use fakes::toss::How;
use http::Method;
use serde_json::{Value, json};

use crate::chats::{Chat, ChatPort};
use crate::contract::{committed, operations, routes};
use crate::on_both;
use crate::payments;
use crate::products::{data, spot};
use crate::site::{Answer, Cookies, Site};
use crate::support::On;
use crate::tokens::claims;
use crate::trades;

on_both! {
    ownership_decides_about_access,
    others_see_public_fields_only,
}

/// The members allowed to run an operation.
#[derive(Clone, Copy, Debug)]
enum Right {
    Everybody,
    Operators,
    /// The owner only; all others, administrators included, get this refusal.
    Owner(u16, u64),
    /// All but the owner, who gets this refusal.
    NotOwner(u16, u64),
}

/// The resource that the id identifies.
#[derive(Clone, Copy, Debug)]
enum Thing {
    Member,
    Data,
    Wifi,
    Hotspot,
    Order,
    Trade,
    Report,
    Review,
}

use Right::{Everybody, NotOwner, Operators, Owner};
use Thing::{Data, Hotspot, Member, Order, Report, Review, Trade, Wifi};

const NOT_MINE: Right = Owner(400, 3004);
const OTHERS: Right = NotOwner(400, 8000);
const BUYERS: Right = NotOwner(400, 4002);
const NOT_ONESELF: Right = NotOwner(400, 1006);
const ACCUSERS: Right = NotOwner(400, 7002);
const HIDDEN: Right = Owner(403, 1003);
const PAYERS: Right = Owner(400, 5003);

/// The owner's order.
const ORDER: &str = "order-of-the-owner";
const NO_TRADE: Right = Owner(400, 4000);
const PARTY: Right = Owner(400, 4001);
const REVIEWER: Right = Owner(400, 6001);

type Operation = (&'static str, &'static str, Thing, Right);

/// Every operation with an id: method, path and query, resource, right. An operation of the document that is
/// missing here fails the test: a new one must be added with its right.
#[rustfmt::skip]
const OPERATIONS: [Operation; 35] = [
    ("GET", "/api/members/info?memberId={id}", Member, Everybody),
    ("GET", "/api/members/{id}/selling-products?size=9&productState=ACTIVE", Member, Everybody),
    ("GET", "/api/members/{id}/selling-products?size=9&productState=SOLD_OUT", Member, Everybody),
    ("GET", "/api/members/{id}/selling-products?size=9&productState=HIDDEN", Member, HIDDEN),
    ("GET", "/api/members/{id}/selling-products?size=9&productState=DELETED", Member, HIDDEN),
    ("POST", "/api/members/{id}/block", Member, NOT_ONESELF),
    ("DELETE", "/api/members/{id}/block", Member, NOT_ONESELF),
    ("POST", "/api/admin/members/{id}/block", Member, Operators),
    ("POST", "/api/admin/members/{id}/unblock", Member, Operators),
    // Before there is a room whose id is the owner's.
    ("POST", "/api/report/{id}", Member, ACCUSERS),
    ("POST", "/api/report/{id}", Wifi, ACCUSERS),
    ("POST", "/api/admin/reports/{id}/decide", Report, Operators),
    ("POST", payments::SAVE, Order, PAYERS),
    ("POST", payments::VERIFY, Order, Owner(200, 5003)),
    ("POST", payments::CHARGE, Order, PAYERS),
    ("POST", "/api/products/{id}/chat-room", Wifi, OTHERS),
    ("GET", "/api/products/mobile-data/{id}", Data, Everybody),
    ("GET", "/api/products/wifi/{id}", Wifi, Everybody),
    ("GET", "/api/products/hotspot/{id}", Hotspot, Everybody),
    ("PUT", "/api/products/mobile-data", Data, NOT_MINE),
    ("PUT", "/api/products/wifi", Wifi, NOT_MINE),
    ("PUT", "/api/products/hotspot", Hotspot, NOT_MINE),
    ("POST", "/api/trades/mobile-data/default", Data, BUYERS),
    ("POST", "/api/trades/mobile-data/scrap", Data, BUYERS),
    ("POST", "/api/trades/wifi", Wifi, BUYERS),
    ("POST", "/api/trades/hotspot", Hotspot, BUYERS),
    ("GET", "/api/trades/{id}/receipt", Trade, NO_TRADE),
    // The owner writes review 1.
    ("POST", "/api/trades/{id}/reviews", Trade, PARTY),
    ("GET", "/api/reviews/{id}", Review, REVIEWER),
    ("GET", "/api/members/{id}/reviews/received", Member, Everybody),
    ("PATCH", "/api/reviews/{id}", Review, REVIEWER),
    ("DELETE", "/api/reviews/{id}", Review, REVIEWER),
    ("DELETE", "/api/products/{id}", Data, NOT_MINE),
    ("DELETE", "/api/products/{id}", Wifi, NOT_MINE),
    ("DELETE", "/api/products/{id}", Hotspot, NOT_MINE),
];

/// The caller. The requests go out in this order, so that those that are refused come before those
/// that change something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Blocked,
    Stranger,
    Counterparty,
    Admin,
    Owner,
}

const DONE: (u16, u64) = (200, 0);

fn expected(right: Right, who: Who) -> (u16, u64) {
    match (who, right) {
        (Who::Anonymous, _) => (401, 2014),
        (Who::Blocked, _) => (403, 2012),
        (_, Everybody) | (Who::Owner, Owner(..)) | (Who::Admin, Operators) => DONE,
        (Who::Owner, NotOwner(status, code)) => (status, code),
        (_, NotOwner(..)) => DONE,
        (_, Operators) => (403, 1003),
        (_, Owner(status, code)) => (status, code),
    }
}

/// True if an operation identifies a resource by an id in its path, query or body. A cursor is a position in a
/// public list, a provider no resource, and a request id is each caller's own.
fn takes_an_id(document: &Value, operation: &Value) -> bool {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let mut names: BTreeSet<_> = parameters
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    let body = operation.pointer("/requestBody/content");
    fields(document, body.unwrap_or(&Value::Null), &mut names);
    let is_id = |name: &&str| *name == "id" || name.ends_with("Id") || name.ends_with("Ids");
    names
        .into_iter()
        .any(|name| is_id(&name) && !["cursorId", "requestId"].contains(&name))
}

/// The field names of a schema, recursively.
pub(crate) fn fields<'a>(document: &'a Value, schema: &'a Value, names: &mut BTreeSet<&'a str>) {
    match schema {
        Value::Object(parts) => {
            if let Some(Value::String(to)) = parts.get("$ref") {
                let to = document.pointer(to.trim_start_matches('#')).unwrap();
                fields(document, to, names);
            }
            if let Some(Value::Object(properties)) = parts.get("properties") {
                names.extend(properties.keys().map(String::as_str));
            }
            parts
                .values()
                .for_each(|part| fields(document, part, names));
        }
        Value::Array(parts) => parts.iter().for_each(|part| fields(document, part, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A market with three offers of one member, and other members.
struct Stage {
    site: Site,
    owner: Cookies,
    stranger: Cookies,
    counterparty: Cookies,
    blocked: Cookies,
    admin: Cookies,
    owner_id: u64,
    minute: AtomicU32,
    _chat: Chat,
}

impl Stage {
    async fn set(on: On) -> Self {
        let port = ChatPort::bind().await;
        let site = Site::start_with(on, &[&port.flag]).await;
        let chat = port.serve(&site).await;
        let owner = site.log_in("kakao", 1).await;
        let counterparty = site.log_in("google", 2).await;
        let (stranger, blocked) = (site.log_in("naver", 3).await, site.log_in("kakao", 6).await);
        let owner_id = site.id(&owner).await;
        for (path, form) in [
            ("/api/products/mobile-data", data(1)),
            ("/api/products/wifi", spot(2)),
            ("/api/products/hotspot", spot(3)),
        ] {
            let ask = site.ask(Method::POST, path).by(&owner);
            ask.json(&form.unwrap()).send().await.is(200, 0);
        }
        let (buyer, blocked_id) = (site.id(&counterparty).await, site.id(&blocked).await);
        site.sql(&format!(
            "update member set blocked = 1 where id = {blocked_id}"
        ))
        .await;
        site.sql(&format!(
            "insert into trade (member_id, kind, price, minutes, month, created_at) \
             values ({buyer}, 'PURCHASE_WIFI', 500, 10, 202611, 1)"
        ))
        .await;
        // The owner's side of it: a trade of its own, with the buyer as the counterparty.
        site.sql(&format!(
            "insert into trade (member_id, kind, price, minutes, purchase_id, month, created_at) \
             values ({owner_id}, 'SALE_WIFI', 500, 10, 1, 202611, 1)"
        ))
        .await;
        site.sql("insert into trade_detail (trade_id, product_id, price) values (1, 2, 500), (2, 2, 500)")
            .await;
        let admin = site.admin().await;
        trades::give_cash(&site, 1_000).await;
        let order = json!({"orderId": ORDER, "amount": 1_000});
        let ask = site.ask(Method::POST, payments::SAVE).by(&owner);
        ask.json(&order).send().await.is(200, 0);
        Self {
            site,
            owner,
            stranger,
            counterparty,
            blocked,
            admin,
            owner_id,
            minute: AtomicU32::new(9),
            _chat: chat,
        }
    }

    fn cookies(&self, who: Who) -> Option<&Cookies> {
        match who {
            Who::Anonymous => None,
            Who::Blocked => Some(&self.blocked),
            Who::Stranger => Some(&self.stranger),
            Who::Counterparty => Some(&self.counterparty),
            Who::Admin => Some(&self.admin),
            Who::Owner => Some(&self.owner),
        }
    }

    /// Runs the operation on the owner's resource.
    async fn act(&self, (method, path, thing, _): Operation, who: Who) -> Answer {
        let id = match thing {
            Member => self.owner_id.to_string(),
            Data => "1".to_owned(),
            Wifi => "2".to_owned(),
            Hotspot => "3".to_owned(),
            Order => ORDER.to_owned(),
            Trade => "2".to_owned(),
            Report => "1".to_owned(),
            Review => "1".to_owned(),
        };
        let ask = self
            .site
            .ask(method.parse().unwrap(), &path.replace("{id}", &id));
        let ask = match self.cookies(who) {
            Some(cookies) => ask.by(cookies),
            None => ask,
        };
        let purchase = match path {
            "/api/trades/mobile-data/default" => trades::purchase(1),
            // The offer's last change made it 77 won for 1.0 GB.
            trades::SCRAP => trades::combination(1, 8),
            // Other times in every request: the same are answered with the first purchase.
            trades::WIFI => trades::time(path, 2, self.next_minute()),
            trades::HOTSPOT => trades::time(path, 3, self.next_minute()),
            _ => None,
        };
        if let Some(form) = purchase {
            return ask.json(&form).send().await;
        }
        if matches!(thing, Order) {
            let key = self.site.toss.authorize(ORDER, 1_000, How::Card);
            let form = json!({"paymentKey": key, "orderId": ORDER, "amount": 1_000});
            return ask.json(&form).send().await;
        }
        let form = match path {
            "/api/report/{id}" => {
                let category = if matches!(thing, Member) {
                    "MEMBER"
                } else {
                    "PRODUCT"
                };
                Some(json!({"reason": "r", "targetCategory": category}))
            }
            "/api/admin/reports/{id}/decide" => Some(json!({"decision": "DISMISS"})),
            _ => None,
        };
        if let Some(form) = form {
            return ask.json(&form).send().await;
        }
        let form = match (method, thing) {
            ("PUT", Data) => data(1),
            ("PUT", Wifi) => spot(2),
            ("PUT", Hotspot) => spot(3),
            ("PATCH", Review) | ("POST", Trade) => Some(json!({ "rating": 4.5 })),
            _ => None,
        };
        let Some(mut form) = form else {
            return ask.send().await;
        };
        form["price"] = json!(77);
        ask.json(&form).send().await
    }

    /// The end of the next booking, after noon.
    fn next_minute(&self) -> u32 {
        self.minute.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Unblocks the member for the next operations.
    async fn let_in_again(&self) {
        let id = self.owner_id;
        let free = format!("update member set blocked = 0 where id = {id}");
        self.site.sql(&free).await;
    }

    /// The state that a refusal must leave unchanged.
    async fn state(&self) -> (Vec<i64>, i64, i64) {
        let mut prices = Vec::new();
        for id in 1..=3 {
            let price = format!(
                "select price + case when state = 'ACTIVE' then 0 else 1000000 end \
                 from product where id = {id}"
            );
            prices.push(self.site.number(&price).await);
        }
        let blocked = "select count(*) from member where blocked = 1";
        let noted = "select count(*) from audit";
        let reported = "select count(*) from report where state = 'OPEN'";
        prices.push(self.site.number(reported).await);
        let charged = "select count(*) from charge where state = 'CREATED' and amount = 1000";
        prices.push(self.site.number(charged).await);
        let rated = "select cast(sum(rating_sum) as bigint) from member";
        prices.push(self.site.number(rated).await);
        (
            prices,
            self.site.number(blocked).await,
            self.site.number(noted).await,
        )
    }
}

async fn ownership_decides_about_access(on: On) {
    let document = committed();
    let with_ids = operations(&document).into_iter();
    let with_ids = with_ids.filter(|(_, _, operation)| takes_an_id(&document, operation));
    let with_ids: BTreeSet<_> = with_ids.map(|(m, p, _)| (m.to_string(), p)).collect();
    let path = |path: &str| path.split('?').next().unwrap().to_owned();
    let known = OPERATIONS.map(|(method, at, _, _)| (method.to_owned(), path(at)));
    assert_eq!(BTreeSet::from(known), with_ids, "who may?");

    let stage = Stage::set(on).await;
    for operation in OPERATIONS {
        let mut before = stage.state().await;
        for who in [
            Who::Anonymous,
            Who::Blocked,
            Who::Stranger,
            Who::Counterparty,
            Who::Admin,
            Who::Owner,
        ] {
            let expected = expected(operation.3, who);
            let answer = stage.act(operation, who).await;
            let told = (answer.status, answer.code());
            assert_eq!(told, expected, "{operation:?} {who:?} {answer:?}");
            if expected == DONE {
                stage.let_in_again().await;
                before = stage.state().await;
            } else {
                let after = stage.state().await;
                assert_eq!(after, before, "{operation:?} {who:?}");
            }
        }
    }
    // Deleted offers can be neither read nor changed by anybody.
    for operation in OPERATIONS
        .into_iter()
        .filter(|(_, path, _, _)| !path.contains("report"))
        .filter(|(_, _, thing, _)| !matches!(thing, Member | Order | Trade | Report | Review))
    {
        let answer = stage.act(operation, Who::Owner).await;
        assert!(
            [3003, 3008, 4002, 8000].contains(&answer.code()),
            "{operation:?} {answer:?}"
        );
        let answer = stage.act(operation, Who::Stranger).await;
        assert!(
            [3003, 3004, 4003].contains(&answer.code()),
            "{operation:?} {answer:?}"
        );
    }
}

/// Fields of responses, except the export of one's own data. A new one must be added here, as public or as
/// visible to the member only.
#[rustfmt::skip]
const KNOWN_FIELDS: [&str; 140] = [
    "action", "actorId", "address", "amount", "approvedAt", "auditId", "available", "averagePrice", "averageRate",
    "averageRating", "blockedAt", "canceled", "candidates", "cash", "cashHistoryMonthlySummary", "cashHistorySummary",
    "charge", "charged", "chatRoomId", "classification", "code", "combinations", "comment", "content", "count",
    "counterparty", "createdAt", "currentDataAmount", "data", "dataAmount", "decidedAt", "decidedBy", "description",
    "distanceKm", "dueAt", "earned", "endTime", "excerpt", "expiresAt", "fee", "filename", "greedy", "hasNext",
    "imageUrl", "imageUrls", "issuedAt", "itemId", "itemType", "joinedAt", "key", "keys", "kind", "known", "latitude",
    "legs", "lines", "longitude", "member", "memberBlocked", "memberId", "memberName", "memberReports", "message",
    "method", "mobileDataId", "monthlyPrice", "myProduct", "name", "nearestAbove", "nearestBelow", "nextCursorId",
    "note", "number", "open", "orderId", "pageInfo", "paid", "paidFrom", "paidOut", "payPage", "paymentId", "price",
    "pricePer100MB", "productId", "productImageUrl", "productState", "profileImageUrl", "providingDataAmount",
    "publicUrl", "purchaseAmount", "purchasePrice", "quoteId", "rating", "reason", "receiptUrl", "recentPrice",
    "refund", "refundId", "refundPrice", "remainAmount", "remainCash", "reportId", "reporterId", "reporterName",
    "requestId", "requested", "returned", "reviewCount", "reviewId", "reviewed", "revieweeId", "revieweeName",
    "reviewerId", "reviewerName", "size", "splitType", "startTime", "state", "subject", "subjectId", "target",
    "targetCategory", "targetId", "timeAmount", "title", "total", "totalAmount", "totalCharge", "totalPrice",
    "totalPurchase", "totalRefund", "totalSelling", "tradeCount", "tradeId", "tradeType", "trades", "type",
    "updatedAt", "url", "verifying",
];

async fn others_see_public_fields_only(on: On) {
    let document = committed();
    for (method, path, operation) in operations(&document) {
        let mut names = BTreeSet::new();
        fields(&document, &operation["responses"], &mut names);
        names.retain(|name| !KNOWN_FIELDS.contains(name));
        let is_export = path == "/api/members/export";
        assert!(names.is_empty() || is_export, "{method} {path}: {names:?}");
    }

    let stage = Stage::set(on).await;
    let (site, id) = (&stage.site, stage.owner_id);
    for change in [
        format!("update member set email = 'hidden-1@example.com' where id = {id}"),
        format!("update member set provider_id = 'hidden-2' where id = {id}"),
        format!(
            "update plan set name = 'hidden-3', monthly_price = 9987654 where member_id = {id}"
        ),
        format!("update wallet set charged = 998765432, earned = 0 where member_id = {id}"),
        "update product set state = 'HIDDEN' where id = 3".to_owned(),
        "update spot set title = 'hidden-4' where product_id = 3".to_owned(),
    ] {
        site.sql(&change).await;
    }
    let access = stage.owner.access.clone().unwrap();
    let session = claims(&access)["sid"].as_str().unwrap().to_owned();
    let secrets = ["hidden-", "9987654", "998765432", &session, &access];
    for (path, secret) in [("export", secrets[0]), ("cash", secrets[2])] {
        let own = site
            .data(&stage.owner, &format!("/api/members/{path}"))
            .await;
        assert!(own.to_string().contains(secret), "{own}");
    }
    for (method, path, form) in routes() {
        let ask = site.ask(method, path).by(&stage.stranger);
        let ask = match &form {
            Some(form) => ask.json(form),
            None => ask,
        };
        let told = format!("{:?}", ask.send().await);
        for secret in secrets {
            assert!(!told.contains(secret), "{path} tells {secret}: {told}");
        }
    }
}
