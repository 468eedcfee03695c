//! Reports of members: what they are about, the block that follows from several, the administrators' queue.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use shared::ids::RoomId;

use crate::chats::ChatPort;
use crate::contract::{committed, operations};
use crate::on_both;
use crate::products::{data, spot};
use crate::site::{Answer, Cookies, Site};
use crate::support::{On, eventually};
use crate::trace::client::Client;

on_both! {
    report_is_about_what_the_reporter_has_seen,
    report_keeps_the_text_of_its_subject,
    reason_is_required_and_kept_as_text,
    report_is_made_once,
    reports_of_a_day_are_limited,
    fifth_reporter_who_knows_the_member_blocks,
    twenty_reporters_at_once_block_once,
    unblocking_begins_a_new_count,
    closed_account_cannot_be_unblocked,
    names_of_closed_accounts_leave_reports,
    message_is_reported_by_members_of_its_room,
    queue_is_worked_oldest_first,
    decision_is_made_once,
    upheld_report_blocks_and_removes,
    upheld_report_of_a_review_removes_it,
    dismissed_report_no_longer_counts,
    only_administrators_see_who_reported,
    audit_log_is_listed_newest_first,
    metrics_count_reports_and_blocks,
}

/// The members 1 (a seller with the offers 1 and 2), 2 and so on, each logged in.
struct Stage {
    site: Site,
    members: Vec<Cookies>,
}

impl Stage {
    async fn set(on: On, members: u64) -> Self {
        Self::set_with(on, members, &[]).await
    }

    async fn set_with(on: On, count: u64, flags: &[&str]) -> Self {
        let site = Site::start_with(on, flags).await;
        let mut members = Vec::new();
        for person in 1..=count {
            let cookies = site.log_in("kakao", person).await;
            assert_eq!(site.id(&cookies).await, person);
            members.push(cookies);
        }
        for (path, form) in [("mobile-data", data(1)), ("wifi", spot(2))] {
            let path = format!("/api/products/{path}");
            let ask = site.ask(Method::POST, &path).by(&members[0]);
            ask.json(&form.unwrap()).send().await.is(200, 0);
        }
        Self { site, members }
    }

    /// The cookies of a member.
    fn member(&self, id: u64) -> &Cookies {
        &self.members[usize::try_from(id - 1).unwrap()]
    }

    /// A room with this id, about an offer of member 1.
    async fn room(&self, id: u64, product: u64, buyer: u64) {
        let text = format!(
            "insert into chat_room (id, product_id, buyer_id, seller_id, created_at) \
             values ({id}, {product}, {buyer}, 1, 1)"
        );
        self.site.sql(&text).await;
    }

    /// Rooms of these buyers with member 1.
    async fn rooms(&self, buyers: impl IntoIterator<Item = u64>) {
        for buyer in buyers {
            self.room(1_000 + buyer, 2, buyer).await;
        }
    }

    /// A trade in which `buyer` bought from `seller`, reviewed by the buyer under the trade's id.
    async fn reviewed_trade(&self, id: u64, buyer: u64, seller: u64) {
        let sale = id + 1;
        for text in [
            format!(
                "insert into trade (id, member_id, kind, price, minutes, month, created_at) \
                 values ({id}, {buyer}, 'PURCHASE_WIFI', 500, 10, 202611, 1)"
            ),
            format!(
                "insert into trade (id, member_id, kind, price, minutes, purchase_id, month, \
                 created_at) values ({sale}, {seller}, 'SALE_WIFI', 500, 10, {id}, 202611, 1)"
            ),
            format!(
                "insert into review (id, trade_id, reviewer_id, reviewee_id, product_id, rating, \
                 comment, created_at, updated_at) \
                 values ({id}, {id}, {buyer}, {seller}, 2, 30, '별로예요', 1, 1)"
            ),
        ] {
            self.site.sql(&text).await;
        }
    }

    async fn report(&self, who: u64, category: &str, target: u64) -> Answer {
        let form = json!({"reason": "욕설", "targetCategory": category});
        self.report_with(who, target, &form).await
    }

    async fn report_with(&self, who: u64, target: u64, form: &Value) -> Answer {
        let path = format!("/api/report/{target}");
        let ask = self.site.ask(Method::POST, &path).by(self.member(who));
        ask.json(form).send().await
    }

    /// The last report: its subject, the id of that, the member, and whether the reporter knew them.
    async fn last(&self) -> (String, i64, i64, bool) {
        let last = "where id = (select max(id) from report)";
        let name = |number| ["MEMBER", "PRODUCT", "REVIEW", "CHAT"][number];
        let subject = format!(
            "select case subject when 'MEMBER' then 0 when 'PRODUCT' then 1 when 'REVIEW' then 2 \
             else 3 end + 0 from report {last}"
        );
        let number = usize::try_from(self.number(&subject).await).unwrap();
        let column = async |name: &str| {
            let text = format!("select {name} from report {last}");
            self.number(&text).await
        };
        (
            name(number).to_owned(),
            column("subject_id").await,
            column("member_id").await,
            column("known").await == 1,
        )
    }

    /// Makes a report and compares what it is about.
    async fn check(&self, who: u64, (category, target): (&str, u64), expected: Expected) {
        self.report(who, category, target).await.is(200, 0);
        let (subject, id, member, known) = expected;
        let expected = (subject.to_owned(), id, member, known);
        assert_eq!(self.last().await, expected, "{who} {category} {target}");
    }

    /// A number, cast for PostgreSQL, whose integers are not all of one size.
    async fn number(&self, text: &str) -> i64 {
        let cast = format!("select cast(({text}) as bigint)");
        self.site.number(&cast).await
    }

    async fn is_blocked(&self, member: u64) -> bool {
        let text = format!("select blocked from member where id = {member}");
        self.number(&text).await == 1
    }

    async fn events(&self, kind: &str) -> i64 {
        let text = format!("select count(*) from outbox where kind = '{kind}'");
        self.number(&text).await
    }

    async fn audited(&self, action: &str) -> i64 {
        let text = format!("select count(*) from audit where action = '{action}'");
        self.number(&text).await
    }

    async fn decide(&self, admin: &Cookies, report: i64, form: Value) -> Answer {
        let path = format!("/api/admin/reports/{report}/decide");
        let ask = self.site.ask(Method::POST, &path).by(admin);
        ask.json(&form).send().await
    }

    async fn queue(&self, admin: &Cookies, query: &str) -> Value {
        let path = format!("/api/admin/reports?{query}");
        self.site.data(admin, &path).await
    }

    async fn unblock(&self, admin: &Cookies, member: u64) -> Answer {
        let path = format!("/api/admin/members/{member}/unblock");
        self.site.ask(Method::POST, &path).by(admin).send().await
    }
}

/// A valid request for each operation, of an administrator: member 1 is another member.
pub(crate) fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let report = json!({"reason": "r", "targetCategory": "MEMBER"});
    let decision = json!({"decision": "DISMISS"});
    vec![
        (Method::POST, "/api/report/1", Some(report)),
        (Method::GET, "/api/admin/reports?size=2", None),
        (Method::POST, "/api/admin/reports/1/decide", Some(decision)),
        (Method::GET, "/api/admin/audit?size=2", None),
    ]
}

/// The documented refusals after those requests.
pub(crate) async fn refusals(site: &Site, admin: &Cookies) {
    for (method, path, body) in routes() {
        if let Some(body) = body {
            let ask = site.ask(method, path).by(admin);
            let answer = ask.json(&body).send().await;
            assert!([7001, 7004].contains(&answer.code()), "{path} {answer:?}");
        }
    }
    for path in ["/api/admin/reports?size=0", "/api/admin/audit?size=0"] {
        let answer = site.ask(Method::GET, path).by(admin).send().await;
        answer.is(400, 1006);
    }
}

/// Subject, its id, the member, whether the reporter knew them.
type Expected = (&'static str, i64, i64, bool);

async fn report_is_about_what_the_reporter_has_seen(on: On) {
    let stage = Stage::set(on, 7).await;
    // Room 6 of 2 and 1: its id is that of a member, too. Room 2 is member 3's.
    stage.room(6, 1, 2).await;
    stage.room(2, 1, 3).await;
    // Member 4 bought from 1, and reviewed it as 40.
    stage.reviewed_trade(40, 4, 1).await;

    // MEMBER.
    stage.check(2, ("MEMBER", 1), ("MEMBER", 1, 1, true)).await;
    stage.check(4, ("MEMBER", 1), ("MEMBER", 1, 1, true)).await;
    stage.check(5, ("MEMBER", 1), ("MEMBER", 1, 1, false)).await;
    stage.report(2, "MEMBER", 6).await.is(409, 7001); // room 6 is 1's again
    stage.check(1, ("MEMBER", 6), ("MEMBER", 2, 2, true)).await;
    stage.check(3, ("MEMBER", 2), ("MEMBER", 1, 1, true)).await;
    stage.check(5, ("MEMBER", 6), ("MEMBER", 6, 6, false)).await;
    stage.report(5, "MEMBER", 5).await.is(400, 7002);
    stage.report(5, "MEMBER", 77).await.is(400, 2005);
    stage.report(5, "MEMBER", (1 << 53) - 1).await.is(400, 2005);

    // PRODUCT. A review with the id of an offer: of the reporter's buyer.
    stage.reviewed_trade(2, 5, 6).await;
    stage
        .check(2, ("PRODUCT", 2), ("PRODUCT", 2, 1, true))
        .await;
    stage.check(6, ("PRODUCT", 2), ("REVIEW", 2, 5, true)).await;
    stage
        .check(7, ("PRODUCT", 2), ("PRODUCT", 2, 1, false))
        .await;
    stage
        .check(1, ("PRODUCT", 40), ("REVIEW", 40, 4, true))
        .await;
    stage
        .check(7, ("PRODUCT", 40), ("REVIEW", 40, 4, false))
        .await;
    stage.report(1, "PRODUCT", 2).await.is(400, 7002);
    stage.report(4, "PRODUCT", 40).await.is(400, 7002);
    stage.report(7, "PRODUCT", 77).await.is(400, 3002);

    // REVIEW.
    stage
        .check(6, ("REVIEW", 40), ("REVIEW", 40, 4, false))
        .await;
    stage.report(1, "REVIEW", 40).await.is(409, 7001);
    stage.report(4, "REVIEW", 40).await.is(400, 7002);
    stage.report(1, "REVIEW", 77).await.is(400, 6002);
    for odd in ["0", "x", "-1", "1.0", "9007199254740992", "%20"] {
        let ask = stage.site.ask(Method::POST, &format!("/api/report/{odd}"));
        let form = json!({"reason": "r", "targetCategory": "MEMBER"});
        let answer = ask.by(stage.member(1)).json(&form).send().await;
        answer.is(400, 1006);
    }
}

async fn report_keeps_the_text_of_its_subject(on: On) {
    let stage = Stage::set(on, 4).await;
    stage.reviewed_trade(40, 4, 1).await;
    for (category, target) in [
        ("MEMBER", 1),
        ("PRODUCT", 1),
        ("PRODUCT", 2),
        ("REVIEW", 40),
    ] {
        stage.report(2, category, target).await.is(200, 0);
    }
    stage.site.sql("update member set name = 'renamed'").await;
    stage.site.sql("update spot set title = 'renamed'").await;
    stage
        .site
        .sql("update review set comment = 'renamed'")
        .await;
    let admin = stage.site.admin().await;
    let page = stage.queue(&admin, "size=9&state=OPEN").await;
    let rows = page["data"].as_array().unwrap();
    let texts: Vec<_> = rows.iter().map(|row| &row["excerpt"]).collect();
    assert_eq!(texts, ["사람 1", "데이터 1.0GB 100원", "t", "별로예요"]);
}

async fn reason_is_required_and_kept_as_text(on: On) {
    let stage = Stage::set(on, 2).await;
    let odd = [
        json!({"targetCategory": "MEMBER"}),
        json!({"reason": "r"}),
        json!({"reason": "", "targetCategory": "MEMBER"}),
        json!({"reason": " \n\u{200b}", "targetCategory": "MEMBER"}),
        json!({"reason": "가".repeat(101), "targetCategory": "MEMBER"}),
        json!({"reason": "a\u{0}b", "targetCategory": "MEMBER"}),
        json!({"reason": "r", "targetCategory": "member"}),
        json!({"reason": "r", "targetCategory": "ROOM"}),
        json!({"reason": 7, "targetCategory": "MEMBER"}),
    ];
    for form in odd {
        stage.report_with(2, 1, &form).await.is(400, 1006);
    }
    let text = format!("{}'; drop table report; --\n<b>", "가".repeat(60));
    let form = json!({"reason": format!(" {text} "), "targetCategory": "MEMBER",
        "state": "UPHELD", "known": 1, "memberId": 2});
    stage.report_with(2, 1, &form).await.is(200, 0);
    let admin = stage.site.admin().await;
    let page = stage.queue(&admin, "state=OPEN").await;
    assert_eq!(page["data"][0]["reason"], text);
    assert_eq!(page["data"][0]["known"], false);
}

async fn report_is_made_once(on: On) {
    let stage = Stage::set(on, 2).await;
    let ten = (0..10).map(|_| stage.report(2, "MEMBER", 1));
    let answers = join_all(ten).await;
    let made = answers.iter().filter(|answer| answer.status == 200);
    assert_eq!(made.count(), 1);
    let refused = answers.iter().filter(|answer| answer.status != 200);
    refused.for_each(|answer| answer.is(409, 7001));
    assert_eq!(stage.number("select count(*) from report").await, 1);
    // Under another category it is another report.
    stage.report(2, "PRODUCT", 1).await.is(200, 0);
}

async fn reports_of_a_day_are_limited(on: On) {
    let stage = Stage::set(on, 3).await;
    stage
        .site
        .sql(
            "insert into member (provider, provider_id, name, role, created_at, updated_at) \
             with recursive crowd (id) as (select 1 union all select id + 1 from crowd where id < 30) \
             select 'NAVER', 'crowd ' || id, 'crowd', 'ROLE_MEMBER', 1, 1 from crowd",
        )
        .await;
    let all = (4..24).map(|member| stage.report(2, "MEMBER", member));
    for answer in join_all(all).await {
        answer.is(200, 0);
    }
    stage.report(2, "MEMBER", 24).await.is(429, 1009);
    stage.report(2, "MEMBER", 4).await.is(409, 7001);
    stage.report(3, "MEMBER", 24).await.is(200, 0);
    stage.site.wait(Duration::from_secs(24 * 3_600));
    let again = stage.site.log_in("kakao", 2).await;
    let form = json!({"reason": "r", "targetCategory": "MEMBER"});
    let ask = stage.site.ask(Method::POST, "/api/report/24").by(&again);
    ask.json(&form).send().await.is(200, 0);
}

async fn fifth_reporter_who_knows_the_member_blocks(on: On) {
    let stage = Stage::set(on, 16).await;
    let cash = async || {
        let ask = stage.site.ask(Method::GET, "/api/members/cash");
        ask.by(stage.member(1)).send().await
    };
    // Strangers, and several reports of one member, do not add up.
    for stranger in 8..=16 {
        stage.report(stranger, "MEMBER", 1).await.is(200, 0);
    }
    stage.rooms(2..=7).await;
    for reporter in 2..=5 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
        stage.report(reporter, "PRODUCT", 2).await.is(200, 0);
    }
    cash().await.is(200, 0);
    assert_eq!(stage.events("member.blocked").await, 0);

    stage.report(6, "PRODUCT", 1).await.is(200, 0);
    cash().await.is(403, 2012);
    stage.report(7, "MEMBER", 1).await.is(200, 0);
    stage.report(2, "PRODUCT", 1).await.is(200, 0);
    assert_eq!(stage.events("member.blocked").await, 1);
    assert_eq!(stage.audited("member.block.reports").await, 1);
    let entry = "select count(*) from audit where actor_id = 0 and target = 'member:1' \
                 and request_id is not null";
    assert_eq!(stage.number(entry).await, 1);

    // An administrator is not blocked by reports.
    stage
        .site
        .sql("update member set blocked = 0, role = 'ROLE_ADMIN' where id = 1")
        .await;
    stage.report(3, "PRODUCT", 1).await.is(200, 0);
    assert!(!stage.is_blocked(1).await);
}

async fn twenty_reporters_at_once_block_once(on: On) {
    let stage = Stage::set(on, 21).await;
    stage.rooms(2..=21).await;
    let all = (2..=21).map(|reporter| stage.report(reporter, "MEMBER", 1));
    for answer in join_all(all).await {
        answer.is(200, 0);
    }
    assert!(stage.is_blocked(1).await);
    assert_eq!(stage.events("member.blocked").await, 1);
    assert_eq!(stage.audited("member.block.reports").await, 1);
    let admin = stage.site.admin().await;
    let page = stage.queue(&admin, "state=OPEN&size=100").await;
    let rows = page["data"].as_array().unwrap();
    assert_eq!(rows.len(), 20);
    for row in rows {
        assert_eq!(
            (&row["memberReports"], &row["memberBlocked"]),
            (&json!(20), &json!(true))
        );
    }
}

async fn unblocking_begins_a_new_count(on: On) {
    let stage = Stage::set(on, 11).await;
    stage.rooms(2..=11).await;
    let admin = stage.site.admin().await;
    for reporter in 2..=6 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    assert!(stage.is_blocked(1).await);
    stage.site.wait(Duration::from_secs(1));
    stage.unblock(&admin, 1).await.is(200, 0);
    for reporter in 7..=10 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    assert!(!stage.is_blocked(1).await);
    // Without effect, and without a new count.
    stage.site.wait(Duration::from_secs(1));
    stage.unblock(&admin, 1).await.is(200, 0);
    stage.report(11, "MEMBER", 1).await.is(200, 0);
    assert!(stage.is_blocked(1).await);
    assert_eq!(stage.events("member.blocked").await, 2);
}

async fn closed_account_cannot_be_unblocked(on: On) {
    let stage = Stage::set(on, 2).await;
    let admin = stage.site.admin().await;
    stage
        .site
        .sql("update member set blocked = 1, closed_at = 1 where id = 1")
        .await;
    stage.unblock(&admin, 1).await.is(400, 2005);
    assert!(stage.is_blocked(1).await);
    assert_eq!(stage.audited("member.unblock").await, 0);
}

/// H3.
async fn names_of_closed_accounts_leave_reports(on: On) {
    let stage = Stage::set(on, 3).await;
    stage.report(2, "MEMBER", 1).await.is(200, 0);
    stage.report(2, "MEMBER", 3).await.is(200, 0);
    let ask = stage
        .site
        .ask(Method::DELETE, "/api/members/me")
        .by(stage.member(1));
    ask.send().await.is(200, 0);
    let admin = stage.site.admin().await;
    let page = stage.queue(&admin, "state=OPEN").await;
    let texts = (&page["data"][0]["excerpt"], &page["data"][1]["excerpt"]);
    assert_eq!(texts, (&Value::Null, &json!("사람 3")));
    let kept = "select count(*) from report where excerpt = '사람 1'";
    eventually("the hourly job has run", async || {
        stage.site.wait(Duration::from_secs(3_600));
        stage.number(kept).await == 0
    })
    .await;
    let kept = "select count(*) from report where excerpt = '사람 3'";
    assert_eq!(stage.number(kept).await, 1);
}

async fn message_is_reported_by_members_of_its_room(on: On) {
    let port = ChatPort::bind().await;
    let stage = Stage::set_with(on, 3, &[&port.flag]).await;
    let site = &stage.site;
    // Nobody serves the port yet.
    stage.report(2, "CHAT", (1 << 22) + 1).await.is(503, 1010);
    let chat = port.serve(site).await;
    let ask = site
        .ask(Method::POST, "/api/products/2/chat-room")
        .by(stage.member(2));
    let room = ask.send().await.json()["data"]["chatRoomId"]
        .as_u64()
        .unwrap();
    let address = chat.base.strip_prefix("http://").unwrap();
    let token = stage.member(1).access.as_ref().unwrap();
    let mut seller = Client::login(address.parse().unwrap(), token).await;
    seller.say(room, "욕설이다", "r-1").await;
    let receipt = |frame: &stomp::Frame| frame.command() == stomp::Command::Receipt;
    seller.until(receipt).await;

    let message = (room << 22) + 1;
    stage
        .check(
            2,
            ("CHAT", message),
            ("CHAT", i64::try_from(message).unwrap(), 1, true),
        )
        .await;
    stage.report(2, "CHAT", message).await.is(409, 7001);
    stage.report(1, "CHAT", message).await.is(400, 7002);
    stage.report(3, "CHAT", message).await.is(400, 8002);
    stage.report(2, "CHAT", message + 1).await.is(400, 8004);
    let free = u64::from(RoomId::FIRST_ALLOCATED_BY_CHAT.get());
    for unknown in [1, 1 << 22, (free << 22) + 1, (1 << 53) - 1] {
        stage.report(2, "CHAT", unknown).await.is(400, 8004);
    }
    let admin = site.admin().await;
    let page = stage.queue(&admin, "").await;
    let row = &page["data"][0];
    assert_eq!(
        (&row["excerpt"], &row["subjectId"]),
        (&json!("욕설이다"), &json!(message))
    );
}

async fn queue_is_worked_oldest_first(on: On) {
    let stage = Stage::set(on, 5).await;
    stage.rooms([2]).await;
    let admin = stage.site.admin().await;
    let admin_id = stage.site.id(&admin).await;
    for reporter in 2..=5 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    let ids = |page: &Value| -> Vec<i64> {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["reportId"].as_i64().unwrap()).collect()
    };
    let page = stage.queue(&admin, "state=OPEN&size=3").await;
    assert_eq!(ids(&page), [1, 2, 3]);
    assert_eq!(
        page["pageInfo"],
        json!({"nextCursorId": 3, "hasNext": true, "size": 3})
    );
    let page = stage.queue(&admin, "state=OPEN&size=3&cursorId=3").await;
    assert_eq!(ids(&page), [4]);
    let form = json!({"decision": "UPHOLD", "note": " 경고함 "});
    stage.decide(&admin, 1, form).await.is(200, 0);
    stage
        .decide(&admin, 3, json!({"decision": "DISMISS"}))
        .await
        .is(200, 0);
    assert_eq!(ids(&stage.queue(&admin, "state=OPEN&size=9").await), [2, 4]);
    assert_eq!(ids(&stage.queue(&admin, "state=DISMISSED").await), [3]);
    assert_eq!(ids(&stage.queue(&admin, "").await), [4, 3]);
    assert_eq!(ids(&stage.queue(&admin, "cursorId=3").await), [2, 1]);

    let page = stage.queue(&admin, "state=UPHELD").await;
    let now = page["data"][0]["decidedAt"].clone();
    let expected = json!({
        "reportId": 1, "targetCategory": "MEMBER", "targetId": 1, "subject": "MEMBER",
        "subjectId": 1, "reason": "욕설", "excerpt": "사람 1", "state": "UPHELD",
        "createdAt": now, "reporterId": 2, "reporterName": "사람 2", "memberId": 1,
        "memberName": "사람 1", "memberBlocked": false, "memberReports": 1, "known": true,
        "decidedAt": now, "decidedBy": admin_id, "note": "경고함",
    });
    assert_eq!(page["data"][0], expected);
    assert!(now.as_str().unwrap().starts_with("2026-11-15T12:"), "{now}");
    for odd in ["state=DONE", "size=0", "cursorId=x"] {
        let path = format!("/api/admin/reports?{odd}");
        let ask = stage.site.ask(Method::GET, &path).by(&admin);
        ask.send().await.is(400, 1006);
    }
}

async fn decision_is_made_once(on: On) {
    let stage = Stage::set(on, 3).await;
    let admin = stage.site.admin().await;
    stage.report(2, "MEMBER", 1).await.is(200, 0);
    stage.report(3, "MEMBER", 1).await.is(200, 0);
    let odd = [
        json!({}),
        json!({"decision": "OPEN"}),
        json!({"decision": "DISMISS", "block": true}),
        json!({"decision": "DISMISS", "remove": true}),
        json!({"decision": "UPHOLD", "remove": true}), // a member
        json!({"decision": "UPHOLD", "note": "가".repeat(201)}),
        json!({"decision": "UPHOLD", "note": "a\u{0}"}),
        json!({"decision": "UPHOLD", "block": "yes"}),
    ];
    for form in odd {
        stage.decide(&admin, 1, form).await.is(400, 1006);
    }
    stage
        .decide(&admin, 77, json!({"decision": "UPHOLD"}))
        .await
        .is(400, 7003);
    assert_eq!(stage.number("select count(*) from audit").await, 0);

    let ten = (0..10).map(|nth| {
        let verdict = if nth % 2 == 0 { "UPHOLD" } else { "DISMISS" };
        stage.decide(&admin, 1, json!({"decision": verdict}))
    });
    let answers = join_all(ten).await;
    assert_eq!(
        answers.iter().filter(|answer| answer.status == 200).count(),
        1
    );
    let refused = answers.iter().filter(|answer| answer.status != 200);
    refused.for_each(|answer| answer.is(409, 7004));
    let decided = stage.audited("report.uphold").await + stage.audited("report.dismiss").await;
    assert_eq!((decided, stage.events("report.decided").await), (1, 1));
    // The reporter is notified, nobody else.
    let of_reporter = "select count(*) from outbox where kind = 'report.decided' \
                       and aggregate = 'member:2' and body like '%\"members\":[2]%'";
    assert_eq!(stage.number(of_reporter).await, 1);
}

async fn upheld_report_blocks_and_removes(on: On) {
    let stage = Stage::set(on, 2).await;
    let admin = stage.site.admin().await;
    let admin_id = stage.site.id(&admin).await;
    for (category, target) in [("PRODUCT", 1), ("PRODUCT", 2), ("MEMBER", admin_id)] {
        stage.report(2, category, target).await.is(200, 0);
    }
    let oneself = json!({"decision": "UPHOLD", "block": true});
    stage.decide(&admin, 3, oneself).await.is(403, 1003);
    let listed = async || {
        let page = stage
            .site
            .data(stage.member(2), "/api/products/mobile-data?size=9")
            .await;
        page["data"].as_array().unwrap().len()
    };
    assert_eq!(listed().await, 1);
    let remove = json!({"decision": "UPHOLD", "remove": true});
    stage.decide(&admin, 1, remove).await.is(200, 0);
    assert_eq!(listed().await, 0);
    assert!(!stage.is_blocked(1).await);
    // What was offered is the seller's again.
    let own = stage
        .site
        .data(stage.member(1), "/api/members/selling-data")
        .await;
    assert_eq!(own, json!({"data": 0.0}));

    let both = json!({"decision": "UPHOLD", "block": true, "remove": true});
    stage.decide(&admin, 2, both).await.is(200, 0);
    let ask = stage
        .site
        .ask(Method::GET, "/api/members/cash")
        .by(stage.member(1));
    ask.send().await.is(403, 2012);
    let deleted = "select count(*) from product where state = 'DELETED'";
    assert_eq!(stage.number(deleted).await, 2);
    for (action, count) in [
        ("report.uphold", 2),
        ("product.remove", 2),
        ("member.block", 1),
    ] {
        assert_eq!(stage.audited(action).await, count, "{action}");
    }
    assert_eq!(stage.events("member.blocked").await, 1);
    // An offer that is gone is no reason to fail.
    stage.report(2, "MEMBER", 1).await.is(200, 0);
    stage
        .site
        .sql(
            "update report set subject = 'PRODUCT', subject_id = 1, reporter_id = 1 \
        where id = 4",
        )
        .await;
    let remove = json!({"decision": "UPHOLD", "remove": true});
    stage.decide(&admin, 4, remove).await.is(200, 0);
    assert_eq!(stage.audited("product.remove").await, 2);
}

async fn upheld_report_of_a_review_removes_it(on: On) {
    let stage = Stage::set(on, 3).await;
    // Authors with a lower and a higher id than the member they reviewed.
    stage.reviewed_trade(40, 2, 1).await;
    stage.reviewed_trade(42, 1, 3).await;
    let rated = "update member set rating_sum = 30, rating_count = 1 where id <> 2";
    stage.site.sql(rated).await;
    let admin = stage.site.admin().await;
    for review in [40, 42] {
        stage
            .report(3 - u64::from(review == 42), "REVIEW", review)
            .await
            .is(200, 0);
    }
    for report in [1, 2] {
        let both = json!({"decision": "UPHOLD", "block": true, "remove": true});
        stage.decide(&admin, report, both).await.is(200, 0);
    }
    assert_eq!(stage.number("select count(*) from review").await, 0);
    let rated = "select count(*) from member where rating_count <> 0 or rating_sum <> 0";
    assert_eq!(stage.number(rated).await, 0);
    for action in ["review.remove", "member.block", "report.uphold"] {
        assert_eq!(stage.audited(action).await, 2, "{action}");
    }
    assert!(stage.is_blocked(1).await && stage.is_blocked(2).await);
    // A review that is gone is no reason to fail.
    stage
        .site
        .sql("update report set state = 'OPEN', decided_at = null")
        .await;
    let remove = json!({"decision": "UPHOLD", "remove": true});
    stage.decide(&admin, 1, remove).await.is(200, 0);
    assert_eq!(stage.audited("review.remove").await, 2);
}

async fn dismissed_report_no_longer_counts(on: On) {
    let stage = Stage::set(on, 8).await;
    stage.rooms(2..=8).await;
    let admin = stage.site.admin().await;
    for reporter in 2..=5 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    stage
        .decide(&admin, 1, json!({"decision": "DISMISS"}))
        .await
        .is(200, 0);
    stage
        .decide(&admin, 2, json!({"decision": "UPHOLD"}))
        .await
        .is(200, 0);
    stage.report(6, "MEMBER", 1).await.is(200, 0);
    assert!(!stage.is_blocked(1).await);
    stage.report(7, "MEMBER", 1).await.is(200, 0);
    assert!(stage.is_blocked(1).await);
    // A block that has happened is undone by its own command.
    stage
        .decide(&admin, 3, json!({"decision": "DISMISS"}))
        .await
        .is(200, 0);
    assert!(stage.is_blocked(1).await);
}

/// B3 and B4: the reports, and who made them.
async fn only_administrators_see_who_reported(on: On) {
    let stage = Stage::set(on, 3).await;
    let secret = "a-reason-of-member-2";
    let form = json!({"reason": secret, "targetCategory": "MEMBER"});
    stage.report_with(2, 1, &form).await.is(200, 0);
    let admin = stage.site.admin().await;
    let admin_id = stage.site.id(&admin).await;
    assert!(stage.queue(&admin, "").await.to_string().contains(secret));

    let document = committed();
    for (method, path, _) in operations(&document) {
        if method != Method::GET || path.starts_with("/login") || path.starts_with("/oauth2") {
            continue;
        }
        let path = path.replace("{id}", "1");
        let path = format!("{path}?size=9&productState=ACTIVE&year=2026&month=11&dataAmount=1");
        for reader in [1, 3] {
            let ask = stage.site.ask(Method::GET, &path).by(stage.member(reader));
            let answer = ask.send().await;
            assert!(!answer.text.contains(secret), "{path}: {answer:?}");
        }
    }
    // The token was signed for an administrator, whose role was then revoked.
    let admin = stage.site.log_in("kakao", 40).await;
    let demote = format!("update member set role = 'ROLE_MEMBER' where id = {admin_id}");
    stage.site.sql(&demote).await;
    for path in ["/api/admin/reports", "/api/admin/audit"] {
        let answer = stage.site.ask(Method::GET, path).by(&admin).send().await;
        answer.is(403, 1003);
    }
    stage
        .decide(&admin, 1, json!({"decision": "DISMISS"}))
        .await
        .is(403, 1003);
}

/// G3.
async fn audit_log_is_listed_newest_first(on: On) {
    let stage = Stage::set(on, 6).await;
    stage.rooms(2..=6).await;
    let admin = stage.site.admin().await;
    let admin_id = stage.site.id(&admin).await;
    for reporter in 2..=6 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    let path = "/api/admin/members/1/unblock";
    let ask = stage.site.ask(Method::POST, path).by(&admin);
    ask.header("x-request-id", "the-order")
        .send()
        .await
        .is(200, 0);
    let page = stage.site.data(&admin, "/api/admin/audit?size=1").await;
    let row = &page["data"][0];
    let expected = json!({
        "auditId": 2, "actorId": admin_id, "action": "member.unblock", "target": "member:1",
        "requestId": "the-order", "createdAt": row["createdAt"],
    });
    assert_eq!(*row, expected);
    assert_eq!(
        page["pageInfo"],
        json!({"nextCursorId": 2, "hasNext": true, "size": 1})
    );
    let page = stage
        .site
        .data(&admin, "/api/admin/audit?size=1&cursorId=2")
        .await;
    let row = &page["data"][0];
    let found = (&row["actorId"], &row["action"]);
    assert_eq!(found, (&json!(null), &json!("member.block.reports")));
    assert_eq!(page["pageInfo"]["hasNext"], false);
    let ask = stage
        .site
        .ask(Method::GET, "/api/admin/audit?size=x")
        .by(&admin);
    ask.send().await.is(400, 1006);
}

async fn metrics_count_reports_and_blocks(on: On) {
    let stage = Stage::set(on, 6).await;
    stage.rooms(2..=6).await;
    for reporter in 2..=6 {
        stage.report(reporter, "MEMBER", 1).await.is(200, 0);
    }
    stage.report(2, "PRODUCT", 2).await.is(200, 0);
    let url = format!("{}/metrics", stage.site.admin_base);
    let metrics = stage.site.ask_url(Method::GET, &url).send().await.text;
    for line in [
        r#"market_reports_total{subject="MEMBER"} 5"#,
        r#"market_reports_total{subject="PRODUCT"} 1"#,
        "market_report_blocks_total 1",
        "market_reports_open 6",
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}
