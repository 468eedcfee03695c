//! Members who block each other: the routes, and what becomes of offers.

use http::Method;
use serde_json::{Value, json};

use crate::chats::{Chat, ChatPort};
use crate::on_both;
use crate::products::{data, spot};
use crate::site::{Answer, Cookies, Site};
use crate::support::{On, eventually};
use crate::trades::{self, DATA, HOTSPOT, SCRAP, WIFI};

on_both! {
    blocks_are_idempotent_listed_and_reported_once,
    block_of_one_does_not_end_with_that_of_the_other,
    member_blocks_at_most_500,
    listings_of_a_blocked_account_are_hidden_from_everybody,
    separated_members_do_not_see_each_others_listings,
    pages_and_cursors_fit_around_hidden_rows,
    block_does_not_read_lists_of_others_again,
    purchase_made_before_a_block_is_still_answered,
    block_during_purchases_neither_deadlocks_nor_is_passed,
    lists_follow_a_block_whose_process_has_ended,
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

/// Two sellers with an offer of each kind: 1 to 3, and 4 to 6.
struct Stage {
    site: Site,
    seller: Cookies,
    other: Cookies,
    reader: Cookies,
    third: Cookies,
    seller_id: u64,
    _chat: Chat,
}

async fn offer(site: &Site, by: &Cookies, path: &str, form: &Value) {
    let ask = site.ask(Method::POST, path).by(by);
    ask.json(form).send().await.is(200, 0);
}

impl Stage {
    async fn set(on: On) -> Self {
        let port = ChatPort::bind().await;
        let site = Site::start_with(on, &[&port.flag]).await;
        let chat = port.serve(&site).await;
        let seller = site.log_in("kakao", 1).await;
        let stage = Self {
            seller_id: site.id(&seller).await,
            seller,
            other: site.log_in("google", 2).await,
            reader: site.log_in("naver", 3).await,
            third: site.log_in("kakao", 5).await,
            site,
            _chat: chat,
        };
        for by in [&stage.seller, &stage.other] {
            for (path, form) in [
                ("/api/products/mobile-data", data(1)),
                ("/api/products/wifi", spot(1)),
                ("/api/products/hotspot", spot(1)),
            ] {
                offer(&stage.site, by, path, &form.unwrap()).await;
            }
        }
        trades::give_cash(&stage.site, 100_000).await;
        stage
    }

    async fn id(&self, who: &Cookies) -> u64 {
        self.site.id(who).await
    }

    /// The offers 1 to 3 are in all lists, and in none that is hidden; the others are always.
    async fn check(&self, who: &Cookies, is_shown: bool) {
        for (path, of_seller, of_other) in lists() {
            let shown = walk(&self.site, who, &path, 1).await;
            assert!(shown.contains(&of_other), "{path}: {shown:?}");
            assert_eq!(shown.contains(&of_seller), is_shown, "{path}: {shown:?}");
            assert_eq!(walk(&self.site, who, &path, 50).await, shown, "{path}");
        }
        let quote = format!("{SCRAP}?dataAmount=0.1");
        let quote = self.site.data(who, &quote).await.to_string();
        assert!(quote.contains("\"productId\":4"), "{quote}");
        assert_eq!(quote.contains("\"productId\":1"), is_shown, "{quote}");
        let seller = self.seller_id;
        let path = format!("/api/members/{seller}/selling-products?productState=ACTIVE&size=9");
        let selling = self.site.data(who, &path).await;
        let count = if is_shown { 3 } else { 0 };
        assert_eq!(selling["count"], count);
        assert_eq!(selling["data"].as_array().unwrap().len(), count);
        for (kind, id) in [("mobile-data", 1), ("wifi", 2), ("hotspot", 3)] {
            for (id, is_shown) in [(id, is_shown), (id + 3, true)] {
                let path = format!("/api/products/{kind}/{id}");
                let answer = self.site.ask(Method::GET, &path).by(who).send().await;
                match is_shown {
                    true => answer.is(200, 0),
                    false => answer.is(400, 3003),
                }
            }
        }
        if !is_shown {
            self.check_refused(who).await;
        }
    }

    /// The offers 1 to 3 cannot be bought by this member, and no room about them is opened.
    async fn check_refused(&self, who: &Cookies) {
        let post = async |path: &str, form: Option<Value>| {
            let ask = self.site.ask(Method::POST, path).by(who);
            ask.json(&form.unwrap()).send().await
        };
        post(DATA, trades::purchase(1)).await.is(400, 3003);
        post(WIFI, trades::time(WIFI, 2, 10)).await.is(400, 3003);
        post(HOTSPOT, trades::time(HOTSPOT, 3, 10))
            .await
            .is(400, 3003);
        let scrap = post(SCRAP, trades::combination(1, 10)).await;
        scrap.is(409, 4003);
        assert!(!scrap.text.contains("\"productId\":1"), "{scrap:?}");
        for product in 1..=3 {
            let path = format!("/api/products/{product}/chat-room");
            let ask = self.site.ask(Method::POST, &path).by(who);
            ask.send().await.is(400, 3003);
        }
    }
}

/// Every list in every order, with the offers of the first and the second seller.
fn lists() -> Vec<(String, u64, u64)> {
    let mut lists = Vec::new();
    for sort in ["RECENT", "PRICE_ASC", "AMOUNT_ASC", "AMOUNT_DESC"] {
        for filter in ["", "&dataAmount=1.0"] {
            let path = format!("/api/products/mobile-data?productSortOption={sort}{filter}");
            lists.push((path, 1, 4));
        }
    }
    for sort in ["DISTANCE_ASC", "PRICE_ASC", "AVERAGE_RATE_DESC"] {
        for filter in ["", "&open=true"] {
            for (kind, first) in [("wifi", 2), ("hotspot", 3)] {
                let at = "latitude=37.5&longitude=127";
                let path = format!("/api/products/{kind}?productSortOption={sort}{filter}&{at}");
                lists.push((path, first, first + 3));
            }
        }
    }
    lists
}

/// The ids of a list, page by page. Every page but the last is full, and none but an only page is empty.
async fn walk(site: &Site, who: &Cookies, path: &str, size: usize) -> Vec<u64> {
    let (mut ids, mut cursor) = (Vec::new(), json!(0));
    loop {
        let page = site
            .data(who, &format!("{path}&size={size}&cursorId={cursor}"))
            .await;
        let rows = page["data"].as_array().unwrap();
        assert!(!rows.is_empty() || ids.is_empty(), "{path}: an empty page");
        ids.extend(rows.iter().map(|row| row["productId"].as_u64().unwrap()));
        cursor = page["pageInfo"]["nextCursorId"].clone();
        if cursor.is_null() {
            return ids;
        }
        assert_eq!(rows.len(), size, "{path}: {page}");
    }
}

async fn listings_of_a_blocked_account_are_hidden_from_everybody(on: On) {
    let stage = Stage::set(on).await;
    let (admin, seller) = (stage.site.admin().await, stage.seller_id);
    let order = async |what: &str| {
        let path = format!("/api/admin/members/{seller}/{what}");
        let ask = stage.site.ask(Method::POST, &path).by(&admin);
        ask.send().await.is(200, 0);
    };
    for _ in 0..2 {
        stage.check(&stage.reader, true).await;
        order("block").await;
        stage.check(&stage.reader, false).await;
        stage.check(&stage.third, false).await;
        order("unblock").await;
    }
    stage.check(&stage.reader, true).await;
}

async fn separated_members_do_not_see_each_others_listings(on: On) {
    let stage = Stage::set(on).await;
    let (reader, seller) = (stage.id(&stage.reader).await, stage.seller_id);
    // Twice, so that the cells of the map are cached, too.
    for _ in 0..2 {
        stage.check(&stage.third, true).await;
        stage.check(&stage.reader, true).await;
    }
    block(&stage.site, &stage.reader, seller).await.is(200, 0);
    stage.check(&stage.reader, false).await;
    stage.check(&stage.third, true).await;
    block(&stage.site, &stage.seller, reader).await.is(200, 0);
    unblock(&stage.site, &stage.reader, seller).await.is(200, 0);
    stage.check(&stage.reader, false).await;
    unblock(&stage.site, &stage.seller, reader).await.is(200, 0);
    stage.check(&stage.reader, true).await;
    // A sold-out offer is hidden, too, and says no more than others.
    block(&stage.site, &stage.seller, reader).await.is(200, 0);
    stage
        .site
        .sql("update product set state = 'SOLD_OUT', units_left = 0, units_sold = 10, sold_out_at = 1 \
             where id = 1")
        .await;
    let detail = stage.site.ask(Method::GET, "/api/products/mobile-data/1");
    detail.by(&stage.reader).send().await.is(400, 3003);
    let ask = stage.site.ask(Method::POST, DATA).by(&stage.reader);
    let ask = ask.json(&trades::purchase(1).unwrap());
    ask.send().await.is(400, 3003);
}

/// Whether an offer of [`offer_by_turns`] is of the seller who is hidden: the last of them hidden in one order,
/// and shown in the opposite one.
fn is_of_hidden(nth: u64) -> bool {
    [1, 2, 4, 7].contains(&nth)
}

/// Eight offers of data and as many spots of two sellers, mixed in every order.
async fn offer_by_turns(site: &Site, hidden: &Cookies, other: &Cookies) {
    for nth in 0..8_u32 {
        let by = match is_of_hidden(nth.into()) {
            true => hidden,
            false => other,
        };
        let mut form = data(1).unwrap();
        form["dataAmount"] = json!(0.1);
        form["price"] = json!(10 + nth);
        offer(site, by, "/api/products/mobile-data", &form).await;
        let mut form = spot(1).unwrap();
        form["price"] = json!(100 - nth);
        form["latitude"] = json!(37.5 + 0.001 * f64::from(nth));
        offer(site, by, "/api/products/wifi", &form).await;
        site.wait(std::time::Duration::from_millis(1));
    }
}

/// Offers of two sellers and a reader who is separated from one of them.
async fn pages_and_cursors_fit_around_hidden_rows(on: On) {
    let site = Site::start(on).await;
    let (hidden, other) = (
        site.log_in("kakao", 1).await,
        site.log_in("google", 2).await,
    );
    let (reader, third) = (site.log_in("naver", 3).await, site.log_in("kakao", 5).await);
    let (reader_id, hidden_id) = (site.id(&reader).await, site.id(&hidden).await);
    offer_by_turns(&site, &hidden, &other).await;
    let of_hidden = format!("select count(*) from product where member_id = {hidden_id}");
    assert_eq!(site.number(&of_hidden).await, 8);
    let lists = lists();
    let lists = lists.iter().map(|(path, _, _)| path.replace("1.0", "0.1"));
    let lists: Vec<_> = lists.filter(|path| !path.contains("hotspot")).collect();
    // The cursor of a page whose last row is hidden later.
    let first = site
        .data(
            &reader,
            "/api/products/mobile-data?productSortOption=PRICE_ASC&size=2",
        )
        .await;
    let cursor = first["pageInfo"]["nextCursorId"].clone();
    block(&site, &hidden, reader_id).await.is(200, 0);
    let rest =
        format!("/api/products/mobile-data?productSortOption=PRICE_ASC&size=9&cursorId={cursor}");
    let rest = site.data(&reader, &rest).await;
    let rest: Vec<_> = rest["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["price"])
        .collect();
    assert_eq!(rest, [13, 15, 16]);
    let check = async |who: &Cookies| {
        for path in &lists {
            let all = walk(&site, &third, path, 100).await;
            assert_eq!(all.len(), 8, "{path}");
            let expected: Vec<_> = all
                .into_iter()
                .filter(|id| !is_of_hidden((*id - 1) / 2))
                .collect();
            for size in 1..=5 {
                let shown = walk(&site, who, path, size).await;
                assert_eq!(shown, expected, "{path} {size}");
            }
        }
    };
    check(&reader).await;
    // A member whom more members block than a cached value has.
    let unloved = site.log_in("kakao", 6).await;
    let id = site.id(&unloved).await;
    for text in crate::support::crowd(1_000, 2_100, 0) {
        site.sql(&text).await;
    }
    site.sql(&format!(
        "insert into member_block (blocker_id, blocked_id, created_at) select id, {id}, 1 \
         from member where id between 1000 and 2100 or id = {hidden_id}"
    ))
    .await;
    check(&unloved).await;
}

async fn block_does_not_read_lists_of_others_again(on: On) {
    let stage = Stage::set(on).await;
    let seller = stage.seller_id;
    // Those by distance come from a cell, which is filtered, and lives for a minute only.
    let paths = lists().into_iter().map(|(path, ..)| path);
    let paths: Vec<_> = paths.filter(|path| !path.contains("DISTANCE")).collect();
    let read = async |who: &Cookies| {
        for path in &paths {
            walk(&stage.site, who, path, 50).await;
        }
    };
    // Changes are invalidated once more within two seconds; see `cache::changes`.
    eventually("nothing is left to be done", async || {
        let left = "select count(*) from list_change";
        stage.site.number(left).await == 0
    })
    .await;
    for who in [&stage.third, &stage.other, &stage.reader] {
        read(who).await;
    }
    block(&stage.site, &stage.reader, seller).await.is(200, 0);
    let before = stage.site.metric("market_list_queries_total").await;
    for who in [&stage.third, &stage.other] {
        read(who).await;
    }
    assert_eq!(stage.site.metric("market_list_queries_total").await, before);
    // The blocker's are read again where they show the other.
    read(&stage.reader).await;
    let own = stage.site.metric("market_list_queries_total").await - before;
    assert_eq!(own, u64::try_from(paths.len()).unwrap());
}

async fn purchase_made_before_a_block_is_still_answered(on: On) {
    let stage = Stage::set(on).await;
    let reader = stage.id(&stage.reader).await;
    let orders = [
        (DATA, trades::purchase(1)),
        (SCRAP, trades::combination(1, 10)),
        (WIFI, trades::time(WIFI, 2, 10)),
        (HOTSPOT, trades::time(HOTSPOT, 3, 10)),
    ];
    let buy = async |key: &str, path: &str, form: &Option<Value>| {
        let ask = stage.site.ask(Method::POST, path).by(&stage.reader);
        let ask = ask.header("idempotency-key", &format!("{key}{path}"));
        ask.json(form.as_ref().unwrap()).send().await
    };
    let mut answers = Vec::new();
    for (path, form) in &orders {
        let answer = buy("a", path, form).await;
        answer.is(200, 0);
        answers.push(answer.text);
    }
    block(&stage.site, &stage.seller, reader).await.is(200, 0);
    for ((path, form), first) in orders.iter().zip(&answers) {
        assert_eq!(&buy("a", path, form).await.text, first);
    }
    buy("b", DATA, &orders[0].1).await.is(400, 3003);
    // The same time is the same purchase, also under another key; another time is another.
    assert_eq!(buy("b", WIFI, &orders[2].1).await.text, answers[2]);
    buy("c", WIFI, &trades::time(WIFI, 2, 20))
        .await
        .is(400, 3003);
}

async fn block_during_purchases_neither_deadlocks_nor_is_passed(on: On) {
    let stage = Stage::set(on).await;
    let (reader, seller) = (stage.id(&stage.reader).await, stage.seller_id);
    let post = async |path: &str, form: Option<Value>| {
        let ask = stage.site.ask(Method::POST, path).by(&stage.reader);
        ask.json(&form.unwrap()).send().await
    };
    for round in 1..=6 {
        let (blocker, blocked) = match round % 2 {
            0 => (&stage.reader, seller),
            _ => (&stage.seller, reader),
        };
        let time = || trades::time(WIFI, 2, round);
        let (data, wifi, blocking) = tokio::join!(
            post(DATA, trades::purchase(1)),
            post(WIFI, time()),
            block(&stage.site, blocker, blocked),
        );
        blocking.is(200, 0);
        for answer in [&data, &wifi] {
            assert!([0, 3003].contains(&answer.code()), "{answer:?}");
        }
        // A purchase that begins after the block is refused.
        post(DATA, trades::purchase(1)).await.is(400, 3003);
        if wifi.code() == 3003 {
            post(WIFI, time()).await.is(400, 3003);
        }
        unblock(&stage.site, blocker, blocked).await.is(200, 0);
    }
    let metrics = format!("{}/metrics", stage.site.admin_base);
    let page = stage.site.ask_url(Method::GET, &metrics).send().await.text;
    let mut reruns = page
        .lines()
        .filter(|line| line.contains("reruns_total{reason=\"deadlock\"}"));
    assert!(reruns.all(|line| line.ends_with(" 0")), "{page}");
}

/// A process that ends between its COMMIT and the invalidation: the rows change without one.
async fn lists_follow_a_block_whose_process_has_ended(on: On) {
    let stage = Stage::set(on).await;
    let (reader, seller) = (stage.id(&stage.reader).await, stage.seller_id);
    let path = "/api/products/mobile-data?productSortOption=RECENT";
    for (change, shown) in [
        (
            format!(
                "insert into member_block (blocker_id, blocked_id, created_at) \
                 values ({seller}, {reader}, 1)"
            ),
            vec![4],
        ),
        ("delete from member_block".to_owned(), vec![1, 4]),
        (
            format!("update member set blocked = 1 where id = {seller}"),
            vec![4],
        ),
        ("update member set blocked = 0".to_owned(), vec![1, 4]),
    ] {
        stage.site.sql(&change).await;
        eventually(&change, async || {
            walk(&stage.site, &stage.reader, path, 9).await == shown
        })
        .await;
    }
}
