//! Members who block each other: the routes, and what becomes of offers.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::site::{Answer, Cookies, Site};
use crate::support::On;

on_both! {
    blocks_are_idempotent_listed_and_reported_once,
    block_of_one_does_not_end_with_that_of_the_other,
    member_blocks_at_most_500,
}

async fn block(site: &Site, by: &Cookies, other: u64) -> Answer {
    let path = format!("/api/members/{other}/block");
    site.ask(Method::POST, &path).by(by).send().await
}

async fn unblock(site: &Site, by: &Cookies, other: u64) -> Answer {
    let path = format!("/api/members/{other}/block");
    site.ask(Method::DELETE, &path).by(by).send().await
}

/// The events of a kind, in their order.
async fn events(site: &Site, kind: &str) -> Vec<Value> {
    let mut connection = site.market.db().read().await.unwrap();
    let rows = sqlx::query("select body from outbox where kind = $1 order by aggregate, id")
        .bind(kind)
        .fetch_all(&mut *connection)
        .await
        .unwrap();
    let bodies = rows.iter().map(|row| {
        let body: String = sqlx::Row::try_get(row, 0).unwrap();
        serde_json::from_str(&body).unwrap()
    });
    bodies.collect()
}

async fn blocks_are_idempotent_listed_and_reported_once(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let others = [("google", 2), ("naver", 3), ("kakao", 5)];
    let mut ids = Vec::new();
    for (provider, person) in others {
        let other = site.log_in(provider, person).await;
        ids.push(site.id(&other).await);
    }
    let me = site.id(&one).await;
    block(&site, &one, me).await.is(400, 1006);
    unblock(&site, &one, me).await.is(400, 1006);
    for odd in [0, 2_147_483_648] {
        block(&site, &one, odd).await.is(400, 1006);
    }
    block(&site, &one, 777).await.is(400, 2005);
    unblock(&site, &one, 777).await.is(400, 2005);
    // A blocked account may be blocked, too.
    site.sql(&format!(
        "update member set blocked = 1 where id = {}",
        ids[1]
    ))
    .await;
    for _ in 0..2 {
        for id in &ids {
            block(&site, &one, *id).await.is(200, 0);
        }
    }
    let first = site.data(&one, "/api/members/blocked").await;
    let row = |nth: usize, name: &str| {
        json!({
            "memberId": ids[nth], "name": name, "profileImageUrl": null,
            "blockedAt": "2026-11-15T12:00:00.000",
        })
    };
    assert_eq!(first["data"].as_array().unwrap().len(), 2);
    assert_eq!(first["data"][0]["memberId"], ids[2]);
    assert_eq!(first["data"][1]["memberId"], ids[1]);
    assert_eq!(first["pageInfo"]["hasNext"], true);
    let cursor = &first["pageInfo"]["nextCursorId"];
    let path = format!("/api/members/blocked?size=5&cursorId={cursor}");
    let second = site.data(&one, &path).await;
    assert_eq!(second["data"], json!([row(0, "사람 2")]));
    assert_eq!(second["pageInfo"]["hasNext"], false);

    for _ in 0..2 {
        unblock(&site, &one, ids[0]).await.is(200, 0);
    }
    let separated = events(&site, "members.separated").await;
    assert_eq!(separated.len(), 3, "{separated:?}");
    for (event, id) in separated.iter().zip(&ids) {
        assert_eq!(event["data"], json!({"blockerId": me, "blockedId": id}));
        assert_eq!(event["members"], json!([me, id]));
        assert_eq!(event["aggregate"], format!("member:{me}"));
    }
    let reunited = events(&site, "members.reunited").await;
    assert_eq!(reunited.len(), 1, "{reunited:?}");
    assert_eq!(
        reunited[0]["data"],
        json!({"blockerId": me, "blockedId": ids[0]})
    );
}

async fn block_of_one_does_not_end_with_that_of_the_other(on: On) {
    let site = Site::start(on).await;
    let (one, other) = (
        site.log_in("kakao", 1).await,
        site.log_in("google", 2).await,
    );
    let (one_id, other_id) = (site.id(&one).await, site.id(&other).await);
    let (first, second) = tokio::join!(block(&site, &one, other_id), block(&site, &other, one_id));
    first.is(200, 0);
    second.is(200, 0);
    unblock(&site, &one, other_id).await.is(200, 0);
    let list = async |who| site.data(who, "/api/members/blocked").await["data"].clone();
    assert_eq!(list(&one).await, json!([]));
    assert_eq!(list(&other).await[0]["memberId"], one_id);
    assert_eq!(site.number("select count(*) from member_block").await, 1);
}

async fn member_blocks_at_most_500(on: On) {
    let site = Site::start(on).await;
    let one = site.log_in("kakao", 1).await;
    let me = site.id(&one).await;
    for text in crate::support::crowd(1_000, 1_501, 0) {
        site.sql(&text).await;
    }
    site.sql(&format!(
        "insert into member_block (blocker_id, blocked_id, created_at) \
         select {me}, id, 1 from member where id between 1000 and 1498"
    ))
    .await;
    // One place is left for two requests at once.
    let (first, second) = tokio::join!(block(&site, &one, 1_499), block(&site, &one, 1_500));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 429], "{first:?} {second:?}");
    block(&site, &one, 1_501).await.is(429, 1009);
    // Again is no other block.
    block(&site, &one, 1_000).await.is(200, 0);
    unblock(&site, &one, 1_000).await.is(200, 0);
    block(&site, &one, 1_501).await.is(200, 0);
    // It does not count who blocks this member.
    site.sql(&format!(
        "insert into member_block (blocker_id, blocked_id, created_at) \
         select id, {me}, 1 from member where id between 1000 and 1501"
    ))
    .await;
    unblock(&site, &one, 1_501).await.is(200, 0);
    block(&site, &one, 1_501).await.is(200, 0);
}
