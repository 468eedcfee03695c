//! Members' views of themselves and of one another.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::site::{Cookies, Site};
use crate::support::On;

on_both! {
    onboarding_makes_a_member_once,
    information_of_oneself_and_of_others,
    cash_is_both_buckets_and_what_is_not_folded_yet,
    amounts_of_data_are_this_months,
    plan_balance_counts_purchases_and_offers,
    only_the_public_profile_of_a_member_is_shown_to_others,
    messages_come_in_the_readers_language,
    profile_and_language_are_reported_whole_at_every_change,
    export_contains_all_stored_data,
    text_comes_back_as_it_was,
}

async fn post(site: &Site, who: &Cookies, path: &str, body: &Value) -> crate::site::Answer {
    site.ask(Method::POST, path).by(who).json(body).send().await
}

async fn onboarding_makes_a_member_once(on: On) {
    let site = Site::start(on).await;
    let (admin, member) = (site.admin().await, site.log_in("kakao", 1).await);
    for _ in 0..2 {
        for who in [&admin, &member] {
            let answer = site
                .ask(Method::POST, "/api/members/role")
                .by(who)
                .send()
                .await;
            assert_eq!((answer.status, answer.text.as_str()), (204, ""));
        }
    }
    let count = async |role: &str| {
        let text = format!("select count(*) from member where role = '{role}'");
        site.number(&text).await
    };
    assert_eq!(count("ROLE_MEMBER").await, 1);
    assert_eq!(count("ROLE_ADMIN").await, 1);
}

async fn information_of_oneself_and_of_others(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (site.log_in("kakao", 1).await, site.log_in("kakao", 5).await);
    let id = site.id(&one).await;
    site.sql(&format!(
        "update member set rating_sum = 145, rating_count = 3 where id = {id}"
    ))
    .await;
    for (kind, n) in [
        ("PURCHASE_MOBILE_SINGLE", 1),
        ("PURCHASE_MOBILE_COMPOSITE", 2),
        ("PURCHASE_WIFI", 3),
        ("SALE_WIFI", 4),
        ("CHARGE", 5),
    ] {
        site.sql(&format!(
            "insert into trade (member_id, kind, price, month, created_at) \
             values ({id}, '{kind}', {n}, 202611, {n})"
        ))
        .await;
    }
    let expected = json!({
        "memberId": id, "name": "사람 1", "profileImageUrl": null, "joinedAt": "2026-11-15",
        "averageRating": 4.8, "reviewCount": 3, "tradeCount": 3,
    });
    assert_eq!(site.data(&one, "/api/members/info").await, expected);
    assert_eq!(
        site.data(&one, "/api/members/info?memberId=").await,
        expected
    );
    let path = format!("/api/members/info?memberId={id}");
    assert_eq!(site.data(&other, &path).await, expected);
    let ask = |id: &str| {
        let path = format!("/api/members/info?memberId={id}");
        site.ask(Method::GET, &path).by(&one).send()
    };
    ask("777").await.is(400, 2005);
    for odd in ["0", "-1", "x", "1.0", "2147483648", "1%20", "1&memberId=2"] {
        ask(odd).await.is(400, 1006);
    }
}

async fn cash_is_both_buckets_and_what_is_not_folded_yet(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    site.sql(&format!(
        "update wallet set charged = 1000, earned = 200 where member_id = {id}"
    ))
    .await;
    for (ref_id, amount, folded) in [(1, 30, 0), (2, 4, 0), (3, 500, 1)] {
        site.sql(&format!(
            "insert into journal (kind, ref_id, created_at) values ('sale', {ref_id}, 1)"
        ))
        .await;
        site.sql(&format!(
            "insert into credit (journal_id, member_id, amount, folded) \
             select id, {id}, {amount}, {folded} from journal where ref_id = {ref_id}"
        ))
        .await;
    }
    let cash = site.data(&one, "/api/members/cash").await;
    assert_eq!(cash, json!({"cash": 1_234}));
}

/// An offer of this many units, with this many sold and returned. It does not expire during the test, since the
/// server's own job would hide it.
async fn offer(site: &Site, id: u64, month: i64, state: &str, units: (u32, u32, u32)) {
    let (listed, sold, returned) = units;
    let left = listed - sold - returned;
    site.sql(&format!(
        "insert into product (member_id, kind, state, price, unit_price, split, units_listed, \
         units_left, units_sold, units_returned, month, expires_at, created_at, updated_at) \
         values ({id}, 'MOBILE_DATA', '{state}', 100, 10, 1, {listed}, {left}, {sold}, \
         {returned}, {month}, 4102444800000, 1, 1)"
    ))
    .await;
}

async fn amounts_of_data_are_this_months(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    let check = async |bought: f64, listed: f64, sold: f64| {
        for (path, expected) in [
            ("buying-data", bought),
            ("selling-data", listed),
            ("selling-data/sold", sold),
        ] {
            let data = site.data(&one, &format!("/api/members/{path}")).await;
            assert_eq!(data, json!({ "data": expected }), "{path}");
        }
    };
    check(0.0, 0.0, 0.0).await;
    for month in [202_610, 202_611] {
        site.sql(&format!(
            "insert into member_month (member_id, month, providing, bought) \
             values ({id}, {month}, 100, {})",
            month - 202_600
        ))
        .await;
    }
    offer(&site, id, 202_610, "SOLD_OUT", (9, 9, 0)).await;
    offer(&site, id, 202_611, "SOLD_OUT", (5, 5, 0)).await;
    offer(&site, id, 202_611, "ACTIVE", (3, 1, 0)).await;
    offer(&site, id, 202_611, "DELETED", (4, 2, 2)).await;
    check(1.1, 0.8, 0.8).await;
    // The month turns at midnight in Seoul, without any job.
    site.wait(std::time::Duration::from_secs(16 * 86_400));
    let one = site.log_in("kakao", 1).await;
    for path in ["buying-data", "selling-data", "selling-data/sold"] {
        let data = site.data(&one, &format!("/api/members/{path}")).await;
        assert_eq!(data, json!({"data": 0.0}), "{path}");
    }
}

async fn plan_balance_counts_purchases_and_offers(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    site.sql("update plan set providing = 100, name = '요금제', monthly_price = 9000")
        .await;
    let check = async |current: f64, providing: f64| {
        let plan = site.data(&one, "/api/plans/my-data").await;
        let expected = json!({"name": "요금제", "currentDataAmount": current,
            "providingDataAmount": providing, "monthlyPrice": 9_000});
        assert_eq!(plan, expected);
    };
    check(10.0, 10.0).await;
    offer(&site, id, 202_611, "ACTIVE", (20, 3, 0)).await;
    check(8.0, 10.0).await;
    offer(&site, id, 202_611, "DELETED", (10, 4, 6)).await;
    check(7.6, 10.0).await;
    site.sql(&format!(
        "insert into member_month (member_id, month, providing, bought) \
         values ({id}, 202611, 50, 7)"
    ))
    .await;
    check(3.3, 5.0).await;
    site.sql("delete from plan").await;
    let answer = site
        .ask(Method::GET, "/api/plans/my-data")
        .by(&one)
        .send()
        .await;
    answer.is(400, 3011);
}

/// B3.
async fn only_the_public_profile_of_a_member_is_shown_to_others(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (
        site.log_in("kakao", 1).await,
        site.log_in("google", 2).await,
    );
    let id = site.id(&one).await;
    let path = format!("/api/members/info?memberId={id}");
    let info = site.data(&other, &path).await;
    let fields: Vec<_> = info
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let everybody_may = [
        "averageRating",
        "joinedAt",
        "memberId",
        "name",
        "profileImageUrl",
        "reviewCount",
        "tradeCount",
    ];
    assert_eq!(fields, everybody_may);
    // Routes about oneself accept no other member's id.
    for path in ["cash", "buying-data", "selling-data", "export"] {
        let path = format!("/api/members/{path}?memberId={id}&id={id}");
        let answer = site.ask(Method::GET, &path).by(&other).send().await;
        assert!(!answer.text.contains("person1@example.com"), "{answer:?}");
    }
}

async fn profile_and_language_are_reported_whole_at_every_change(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    let english = json!({"language": "en"});
    post(&site, &one, "/api/members/language", &english)
        .await
        .is(200, 0);
    // A login that changes nothing reports nothing.
    site.log_in("kakao", 1).await;
    let all = format!(
        "select count(*) from outbox where kind = 'member.updated' and aggregate = 'member:{id}'"
    );
    assert_eq!(site.number(&all).await, 2);
    for (number, language) in [(1, "ko"), (2, "en")] {
        let count = format!(
            "{all} and aggregate_seq = {number} \
             and body like '%\"data\":{{\"language\":\"{language}\",\"name\":\"사람 1\"}}%'"
        );
        assert_eq!(site.number(&count).await, 1, "{language}");
    }
}

async fn messages_come_in_the_readers_language(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let message = async |header: Option<&str>| {
        let mut ask = site
            .ask(Method::GET, "/api/members/info?memberId=777")
            .by(&one);
        if let Some(header) = header {
            ask = ask.header("accept-language", header);
        }
        let answer = ask.send().await;
        answer.is(400, 2005);
        answer.json()["message"].as_str().unwrap().to_owned()
    };
    let (ko, en) = ("존재하지 않는 회원입니다.", "No such member.");
    assert_eq!(message(None).await, ko);
    assert_eq!(message(Some("en-GB, ko;q=0.5")).await, en);
    for (language, expected) in [("en", en), ("ko", ko)] {
        let body = json!({ "language": language });
        post(&site, &one, "/api/members/language", &body)
            .await
            .is(200, 0);
        assert_eq!(message(None).await, expected);
        assert_eq!(message(Some("ko")).await, ko);
    }
    for odd in [
        json!({"language": "fr"}),
        json!({}),
        json!([]),
        json!({"language": 7}),
    ] {
        post(&site, &one, "/api/members/language", &odd)
            .await
            .is(400, 1006);
    }
    // Refusals before authentication.
    let ask = site
        .ask(Method::GET, "/api/nowhere")
        .header("accept-language", "en");
    let answer = ask.send().await;
    assert_eq!(answer.json()["message"], "No such route.");
}

async fn export_contains_all_stored_data(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (
        site.log_in("kakao", 1).await,
        site.log_in("google", 2).await,
    );
    let id = site.id(&one).await;
    offer(&site, id, 202_611, "ACTIVE", (3, 1, 0)).await;
    site.sql(&format!(
        "insert into trade (member_id, kind, price, units, month, created_at) \
         values ({id}, 'SALE_MOBILE_DATA', 10, 1, 202611, 1)"
    ))
    .await;
    site.sql(&format!(
        "insert into booking (trade_id, product_id, buyer_id, wanted_start, wanted_end, starts_at, \
         ends_at, capacity) values (1, 1, {id}, 0, 600000, 0, 600000, 1)"
    ))
    .await;
    let places = json!({"filenames": ["a.png"]});
    post(&site, &one, "/api/images/presign", &places)
        .await
        .is(200, 0);
    let export = site.data(&one, "/api/members/export").await;
    let times = ["startTime", "endTime"].map(|name| &export["trades"][0][name]);
    let expected = ["1970-01-01T09:00:00.000", "1970-01-01T09:10:00.000"];
    assert_eq!(times, expected);
    assert_eq!(export["account"]["email"], "person1@example.com");
    assert_eq!(export["account"]["provider"], "KAKAO");
    assert_eq!(export["offers"][0]["kind"], "MOBILE_DATA");
    assert_eq!(export["trades"][0]["price"], 10);
    for rows in ["logins", "offers", "trades", "uploads"] {
        assert_eq!(export[rows].as_array().unwrap().len(), 1, "{rows}");
    }
    let export = site.data(&other, "/api/members/export").await;
    assert_eq!(export["account"]["memberId"], site.id(&other).await);
    assert_eq!(export["offers"], json!([]));
}

/// F1: a display name chosen at the provider.
async fn text_comes_back_as_it_was(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let id = site.id(&one).await;
    for text in [
        "'; drop table member; --",
        "%_\\",
        "<script>alert(1)</script>",
        "\u{202e}gnirts\u{202c}",
        "😀 𝕏",
        "=1+1",
    ] {
        let quoted = text.replace('\'', "''");
        site.sql(&format!(
            "update member set name = '{quoted}' where id = {id}"
        ))
        .await;
        let info = site.data(&one, "/api/members/info").await;
        assert_eq!(info["name"], text);
    }
    for odd in ["%27", "1%27--", "%00", "1;drop"] {
        let path = format!("/api/members/info?memberId={odd}");
        site.ask(Method::GET, &path)
            .by(&one)
            .send()
            .await
            .is(400, 1006);
    }
    let long = "가".repeat(20_000);
    let body = json!({ "language": long });
    post(&site, &one, "/api/members/language", &body)
        .await
        .is(400, 1006);
    let body = json!({"imageUrl": "'; drop table member; --\u{0}"});
    post(&site, &one, "/api/members/profile-image", &body)
        .await
        .is(400, 3013);
}
