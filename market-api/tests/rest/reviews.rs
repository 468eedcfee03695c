//! Reviews over HTTP, and their part of the contract. `tests/trades/reviews.rs` has races and the ledger.

use http::Method;
use serde_json::{Value, json};

use crate::on_both;
use crate::products;
use crate::site::{Answer, Cookies, Site};
use crate::support::On;
use crate::trades::{DATA, WIFI, give_cash, purchase, time};

on_both! {
    defect_21_rating_goes_to_the_seller_once_and_is_edited_from_the_applied_value,
    review_is_by_a_party_of_a_trade_with_one_other,
    ratings_and_comments_out_of_form_store_nothing,
    comment_comes_back_as_it_was_written,
    lists_have_four_orders_whose_pages_survive_changes,
    written_reviews_name_the_member_reviewed,
    purchase_history_shows_what_is_reviewed,
    lists_of_offers_follow_a_review,
    review_is_announced_to_the_member_reviewed,
}

/// A valid request for each operation; there is no trade 77, and no review.
pub(crate) fn routes() -> Vec<(Method, &'static str, Option<Value>)> {
    let form = || Some(json!({ "rating": 4.5, "comment": "c" }));
    let get = Method::GET;
    vec![
        (Method::POST, "/api/trades/77/reviews", form()),
        (get.clone(), "/api/reviews/1", None),
        (Method::PATCH, "/api/reviews/1", form()),
        (Method::DELETE, "/api/reviews/1", None),
        (get.clone(), "/api/reviews/received?size=2", None),
        (get.clone(), "/api/members/1/reviews/received?size=2", None),
        (get.clone(), "/api/reviews/wrote?size=2", None),
        (get, "/api/reviews/written?size=2", None),
    ]
}

/// The documented answers that need a trade: of the first purchase in the history of this buyer.
pub(crate) async fn answers(site: &Site, seller: &Cookies, buyer: &Cookies) {
    let history = site
        .data(buyer, "/api/trades/purchase-history?size=1")
        .await;
    let trade = history["trades"]["data"][0]["tradeId"].clone();
    let id = written(&review(site, buyer, &trade, 4.5, "c").await);
    review(site, buyer, &trade, 4.5, "c").await.is(409, 6003);
    let path = format!("/api/reviews/{id}");
    let of_review = async |method: Method, who: &Cookies| {
        let ask = site.ask(method.clone(), &path).by(who);
        let ask = match method {
            Method::PATCH => ask.json(&json!({ "rating": 3 })),
            _ => ask,
        };
        ask.send().await
    };
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        of_review(method.clone(), seller).await.is(400, 6001);
        of_review(method, buyer).await.is(200, 0);
    }
    for list in ["received", "wrote", "written"] {
        let path = format!("/api/reviews/{list}?reviewSortOption=BEST");
        site.ask(Method::GET, &path)
            .by(buyer)
            .send()
            .await
            .is(400, 3000);
    }
    let of_nobody = "/api/members/77/reviews/received";
    let ask = site.ask(Method::GET, of_nobody).by(buyer);
    ask.send().await.is(400, 2005);
}

/// A seller (person 1) and a buyer (person 2) with 100,000 won each.
async fn stage(on: On) -> (Site, Cookies, Cookies) {
    let site = Site::start(on).await;
    let (seller, buyer) = (site.log_in("kakao", 1).await, site.log_in("kakao", 2).await);
    give_cash(&site, 100_000).await;
    (site, seller, buyer)
}

async fn post(site: &Site, who: &Cookies, path: &str, form: &Value) -> Value {
    let answer = site.ask(Method::POST, path).by(who).json(form).send().await;
    answer.is(200, 0);
    answer.json()["data"].clone()
}

/// The id of a new offer.
async fn offer(site: &Site, seller: &Cookies, kind: &str, form: Option<Value>) -> u32 {
    let path = format!("/api/products/{kind}");
    post(site, seller, &path, &form.unwrap()).await;
    let id = site.number("select max(id) from product").await;
    u32::try_from(id).unwrap()
}

/// The buyer's trade of a purchase of 0.1 GB.
async fn buy(site: &Site, buyer: &Cookies, offer: u32) -> Value {
    let bought = post(site, buyer, DATA, &purchase(offer).unwrap()).await;
    bought["tradeId"].clone()
}

/// The seller's side of a purchase.
async fn sale_of(site: &Site, purchase: &Value) -> Value {
    let sale = format!("select id from trade where purchase_id = {purchase}");
    json!(site.number(&sale).await)
}

async fn send_review(site: &Site, who: &Cookies, trade: &Value, form: &str) -> Answer {
    let path = format!("/api/trades/{trade}/reviews");
    let ask = site.ask(Method::POST, &path).by(who);
    ask.body(form.to_owned()).send().await
}

async fn review(site: &Site, who: &Cookies, trade: &Value, rating: f64, comment: &str) -> Answer {
    let form = json!({ "rating": rating, "comment": comment });
    send_review(site, who, trade, &form.to_string()).await
}

/// The id in the answer of a written review.
fn written(answer: &Answer) -> u64 {
    answer.is(200, 0);
    answer.json()["data"]["reviewId"].as_u64().unwrap()
}

async fn edit(site: &Site, who: &Cookies, review: u64, rating: f64) {
    let path = format!("/api/reviews/{review}");
    let ask = site.ask(Method::PATCH, &path).by(who);
    let edited = ask.json(&json!({ "rating": rating })).send().await;
    assert_eq!(written(&edited), review);
}

async fn delete(site: &Site, who: &Cookies, review: u64) {
    let path = format!("/api/reviews/{review}");
    let ask = site.ask(Method::DELETE, &path).by(who);
    ask.send().await.is(200, 0);
}

/// Mean and number of a member's ratings, as others see them.
async fn rated(site: &Site, who: &Cookies) -> (f64, u64) {
    let info = site.data(who, "/api/members/info").await;
    let mean = info["averageRating"].as_f64().unwrap();
    (mean, info["reviewCount"].as_u64().unwrap())
}

/// The first site added the rating to the trade's owner, the reviewer; an edit recomputed the mean before it was
/// applied; a trade could be reviewed again and again.
async fn defect_21_rating_goes_to_the_seller_once_and_is_edited_from_the_applied_value(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let bought = buy(&site, &buyer, id).await;
    let first = written(&review(&site, &buyer, &bought, 4.0, "fast").await);
    assert_eq!(rated(&site, &seller).await, (4.0, 1));
    assert_eq!(rated(&site, &buyer).await, (0.0, 0));
    review(&site, &buyer, &bought, 1.0, "").await.is(409, 6003);
    assert_eq!(rated(&site, &seller).await, (4.0, 1));
    edit(&site, &buyer, first, 2.5).await;
    assert_eq!(rated(&site, &seller).await, (2.5, 1));
    edit(&site, &buyer, first, 2.5).await;
    assert_eq!(rated(&site, &seller).await, (2.5, 1));

    // The seller's side is a trade of its own.
    let sale = sale_of(&site, &bought).await;
    let of_buyer = written(&review(&site, &seller, &sale, 5.0, "").await);
    assert_eq!(rated(&site, &buyer).await, (5.0, 1));
    let again = buy(&site, &buyer, id).await;
    written(&review(&site, &buyer, &again, 4.5, "").await);
    assert_eq!(rated(&site, &seller).await, (3.5, 2));
    let offered = format!("/api/products/mobile-data/{id}");
    let offered = site.data(&buyer, &offered).await;
    assert_eq!(
        (&offered["averageRate"], &offered["reviewCount"]),
        (&json!(3.5), &json!(2))
    );

    delete(&site, &buyer, first).await;
    assert_eq!(rated(&site, &seller).await, (4.5, 1));
    delete(&site, &seller, of_buyer).await;
    assert_eq!(rated(&site, &buyer).await, (0.0, 0));
    written(&review(&site, &buyer, &bought, 3.5, "").await);
    assert_eq!(rated(&site, &seller).await, (4.0, 2));
}

/// C3: no review before there is a trade. C5: none of oneself.
async fn review_is_by_a_party_of_a_trade_with_one_other(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let stranger = site.log_in("kakao", 3).await;
    let refused = async |who: &Cookies, trade: &Value, code: u64| {
        review(&site, who, trade, 5.0, "").await.is(400, code);
    };
    refused(&buyer, &json!(1), 4000).await;
    for invalid in ["0", "-1", "2147483648", "one"] {
        let path = format!("/api/trades/{invalid}/reviews");
        let ask = site.ask(Method::POST, &path).by(&buyer);
        ask.json(&json!({ "rating": 5 })).send().await.is(400, 1006);
    }
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    refused(&buyer, &json!(1), 4000).await;
    let bought = buy(&site, &buyer, id).await;
    let sale = sale_of(&site, &bought).await;
    for (who, trade) in [(&stranger, &bought), (&seller, &bought), (&buyer, &sale)] {
        refused(who, trade, 4001).await;
    }
    let (one, other) = (site.id(&buyer).await, site.id(&seller).await);
    for (nth, kind) in [(100, "CHARGE"), (101, "REFUND")] {
        site.sql(&format!(
            "insert into trade (id, member_id, kind, price, month, created_at) \
             values ({nth}, {one}, '{kind}', 500, 202611, 1)"
        ))
        .await;
        refused(&buyer, &json!(nth), 6004).await;
    }
    // A combination of two offers of one seller, then of two sellers, then with oneself.
    let third = site.id(&stranger).await;
    for (nth, sellers, expected) in [
        (200, [other, other], 0),
        (210, [other, third], 6004),
        (220, [one, one], 6000),
    ] {
        site.sql(&format!(
            "insert into trade (id, member_id, kind, price, units, month, created_at) \
             values ({nth}, {one}, 'PURCHASE_MOBILE_COMPOSITE', 20, 2, 202611, 1)"
        ))
        .await;
        for (part, member) in (nth + 1..).zip(sellers) {
            site.sql(&format!(
                "insert into trade (id, member_id, kind, price, units, purchase_id, month, created_at) \
                 values ({part}, {member}, 'SALE_MOBILE_DATA', 10, 1, {nth}, 202611, 1)"
            ))
            .await;
            site.sql(&format!(
                "insert into trade_detail (trade_id, product_id, units, price) values ({part}, {id}, 1, 10)"
            ))
            .await;
        }
        let answer = review(&site, &buyer, &json!(nth), 4.0, "").await;
        assert_eq!(answer.code(), expected, "{nth} {answer:?}");
    }
    // A part of a combination has one buyer.
    written(&review(&site, &seller, &json!(211), 3.0, "").await);
    let all = site.number("select count(*) from review").await;
    assert_eq!((all, rated(&site, &seller).await), (2, (4.0, 1)));
}

async fn ratings_and_comments_out_of_form_store_nothing(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let bought = buy(&site, &buyer, id).await;
    let long = json!({ "rating": 4, "comment": "가".repeat(51) }).to_string();
    let refused = [
        "{}",
        r#"{"comment":"c"}"#,
        r#"{"rating":null}"#,
        r#"{"rating":"4"}"#,
        r#"{"rating":true}"#,
        r#"{"rating":[4]}"#,
        r#"{"rating":0}"#,
        r#"{"rating":0.9}"#,
        r#"{"rating":5.1}"#,
        r#"{"rating":4.55}"#,
        r#"{"rating":-4}"#,
        r#"{"rating":1e400}"#,
        r#"{"rating":NaN}"#,
        r#"{"rating":99999999999999999999}"#,
        r#"{"rating":4,"rating":5}"#,
        r#"{"rating":4,"comment":7}"#,
        r#"{"rating":4,"comment":"a\u0000b"}"#,
        r#"{"rating":4,"comment":"\u200b\u3164"}"#,
        &long,
    ];
    for form in refused {
        send_review(&site, &buyer, &bought, form)
            .await
            .is(400, 1006);
    }
    let all = site.number("select count(*) from review").await;
    assert_eq!((all, rated(&site, &seller).await), (0, (0.0, 0)));

    let first = written(&review(&site, &buyer, &bought, 4.0, "kept").await);
    let path = format!("/api/reviews/{first}");
    for form in refused {
        let ask = site.ask(Method::PATCH, &path).by(&buyer);
        ask.body(form.to_owned()).send().await.is(400, 1006);
    }
    let kept = json!({ "reviewId": first, "rating": 4.0, "comment": "kept" });
    assert_eq!(site.data(&buyer, &path).await, kept);
    assert_eq!(rated(&site, &seller).await, (4.0, 1));
    for unknown in ["/api/reviews/77", "/api/reviews/2147483647"] {
        for method in [Method::GET, Method::DELETE] {
            let ask = site.ask(method, unknown).by(&buyer);
            ask.send().await.is(400, 6002);
        }
    }
}

async fn comment_comes_back_as_it_was_written(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let bought = buy(&site, &buyer, id).await;
    // Without a comment, and with a whole number as the rating.
    let first = written(&send_review(&site, &buyer, &bought, r#"{"rating":4}"#).await);
    let path = format!("/api/reviews/{first}");
    let mine = site.data(&buyer, &path).await;
    assert_eq!(
        mine,
        json!({ "reviewId": first, "rating": 4.0, "comment": "" })
    );
    let emoji = "🎉".repeat(50);
    for comment in [
        emoji.as_str(),
        "'; drop table review; --",
        "<script>alert(1)</script>",
        "\u{202e}gnirts",
        "두 줄\n입니다",
        "{{7*7}} ${x} %_\\",
    ] {
        let ask = site.ask(Method::PATCH, &path).by(&buyer);
        let form = json!({ "rating": 3.7, "comment": comment });
        written(&ask.json(&form).send().await);
        let mine = site.data(&buyer, &path).await;
        assert_eq!(
            mine,
            json!({ "reviewId": first, "rating": 3.7, "comment": comment })
        );
        let list = site.data(&seller, "/api/reviews/received").await;
        assert_eq!(list["data"][0]["comment"], comment);
    }
    for empty in [json!(null), json!(""), json!("  ")] {
        let ask = site.ask(Method::PATCH, &path).by(&buyer);
        let form = json!({ "rating": 3.7, "comment": empty });
        written(&ask.json(&form).send().await);
        assert_eq!(site.data(&buyer, &path).await["comment"], "");
    }
}

/// Reviews of the seller with these ratings, in this order, by trades of the buyer's.
async fn with_reviews(on: On, ratings: &[f64]) -> (Site, Cookies, Cookies, Vec<u64>) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let mut reviews = Vec::new();
    for rating in ratings {
        let bought = buy(&site, &buyer, id).await;
        reviews.push(written(&review(&site, &buyer, &bought, *rating, "").await));
    }
    (site, seller, buyer, reviews)
}

/// The ids of a page, and the next cursor.
async fn page(site: &Site, who: &Cookies, path: &str, more: &str) -> (Vec<u64>, Value) {
    let page = site.data(who, &format!("{path}?{more}")).await;
    let rows = page["data"].as_array().unwrap().iter();
    let ids = rows.map(|row| row["reviewId"].as_u64().unwrap()).collect();
    let next = page["pageInfo"]["nextCursorId"].clone();
    assert_eq!(page["pageInfo"]["hasNext"], json!(!next.is_null()));
    (ids, next)
}

async fn lists_have_four_orders_whose_pages_survive_changes(on: On) {
    let (site, seller, buyer, ids) = with_reviews(on, &[4.0, 2.0, 4.0, 5.0, 1.0]).await;
    let of = |nth: &[usize]| -> Vec<u64> { nth.iter().map(|nth| ids[nth - 1]).collect() };
    let member = site.id(&seller).await;
    let of_member = format!("/api/members/{member}/reviews/received");
    let lists = [
        (&seller, "/api/reviews/received"),
        (&buyer, of_member.as_str()),
        (&buyer, "/api/reviews/wrote"),
        (&buyer, "/api/reviews/written"),
    ];
    for (who, path) in lists {
        for (sort, expected) in [
            ("", of(&[5, 4, 3, 2, 1])),
            ("RECENT", of(&[5, 4, 3, 2, 1])),
            ("OLDEST", of(&[1, 2, 3, 4, 5])),
            ("RATING_DESC", of(&[4, 3, 1, 2, 5])),
            ("RATING_ASC", of(&[5, 2, 1, 3, 4])),
        ] {
            let (mut walked, mut cursor) = (Vec::new(), json!(0));
            while !cursor.is_null() {
                let more = format!("reviewSortOption={sort}&size=2&cursorId={cursor}");
                let (ids, next) = page(&site, who, path, &more).await;
                assert!(next.as_u64().unwrap_or_default() < 1 << 53);
                walked.extend(ids);
                cursor = next;
            }
            assert_eq!(walked, expected, "{path} {sort}");
        }
        // Two rows without a size; another order's cursor, and none of any.
        assert_eq!(page(&site, who, path, "").await.0, of(&[5, 4]));
        for bad in [
            "cursorId=x",
            "cursorId=-1",
            "cursorId=2147483648",
            "cursorId=96636764167",
            "reviewSortOption=RATING_ASC&cursorId=7",
            "reviewSortOption=RATING_ASC&cursorId=9007199254740993",
            "size=0",
        ] {
            let ask = site.ask(Method::GET, &format!("{path}?{bad}")).by(who);
            ask.send().await.is(400, 1006);
        }
        let ask = site.ask(Method::GET, &format!("{path}?reviewSortOption=recent"));
        ask.by(who).send().await.is(400, 3000);
    }
    let list = "/api/reviews/received";
    let best = "reviewSortOption=RATING_DESC&size=2";
    let (first, cursor) = page(&site, &seller, list, best).await;
    assert_eq!(first, of(&[4, 3]));
    let second = format!("{best}&cursorId={cursor}");
    assert_eq!(page(&site, &seller, list, &second).await.0, of(&[1, 2]));
    // The row that the cursor is of moves ahead, then goes.
    edit(&site, &buyer, ids[2], 5.0).await;
    assert_eq!(page(&site, &seller, list, &second).await.0, of(&[1, 2]));
    delete(&site, &buyer, ids[2]).await;
    assert_eq!(page(&site, &seller, list, &second).await.0, of(&[1, 2]));
    let (_, cursor) = page(&site, &seller, list, "size=2").await;
    delete(&site, &buyer, ids[3]).await;
    let second = format!("size=2&cursorId={cursor}");
    assert_eq!(page(&site, &seller, list, &second).await.0, of(&[2, 1]));
    assert_eq!(page(&site, &buyer, list, "").await, (vec![], json!(null)));
}

/// The front end shows `reviewerName` if there is one, also in the list of what a member wrote.
async fn written_reviews_name_the_member_reviewed(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let data = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let spot = offer(&site, &seller, "wifi", products::spot(1)).await;
    let bought = buy(&site, &buyer, data).await;
    let first = written(&review(&site, &buyer, &bought, 4.5, "good").await);
    let minutes = post(&site, &buyer, WIFI, &time(WIFI, spot, 30).unwrap()).await;
    written(&review(&site, &buyer, &minutes["tradeId"], 3.0, "").await);
    let (one, other) = (site.id(&seller).await, site.id(&buyer).await);
    let name = async |who: &Cookies| site.data(who, "/api/members/info").await["name"].clone();
    let at = "2026-11-15T12:00:00.000";
    let mut row = json!({
        "reviewId": first, "rating": 4.5, "comment": "good", "createdAt": at, "updatedAt": at,
        "reviewerId": other, "reviewerName": name(&buyer).await, "tradeId": bought,
        "dataAmount": 0.1, "productId": data, "itemType": "MOBILE_DATA",
    });
    let oldest = "reviewSortOption=OLDEST";
    let received = format!("/api/reviews/received?{oldest}");
    let received = site.data(&seller, &received).await;
    assert_eq!(received["data"][0], row);
    let wifi = &received["data"][1];
    assert_eq!(
        (
            &wifi["timeAmount"],
            &wifi["itemType"],
            &wifi["productId"],
            wifi.get("dataAmount")
        ),
        (&json!(30), &json!("WIFI"), &json!(spot), None)
    );
    row.as_object_mut().unwrap().remove("reviewerName");
    row["revieweeId"] = json!(one);
    row["revieweeName"] = name(&seller).await;
    for list in ["wrote", "written"] {
        let path = format!("/api/reviews/{list}?{oldest}");
        assert_eq!(site.data(&buyer, &path).await["data"][0], row);
    }
    site.wait(std::time::Duration::from_secs(60));
    edit(&site, &buyer, first, 4.0).await;
    let path = format!("/api/reviews/wrote?{oldest}");
    let edited = &site.data(&buyer, &path).await["data"][0];
    assert_eq!(
        (
            &edited["createdAt"],
            &edited["updatedAt"],
            &edited["comment"]
        ),
        (&json!(at), &json!("2026-11-15T12:01:00.000"), &json!(""))
    );
}

async fn purchase_history_shows_what_is_reviewed(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let (first, second) = (buy(&site, &buyer, id).await, buy(&site, &buyer, id).await);
    let reviewed = async || {
        let path = "/api/trades/purchase-history?size=5";
        let history = site.data(&buyer, path).await;
        let rows = history["trades"]["data"].as_array().unwrap().clone();
        let of = |trade: &Value| {
            let mut rows = rows.iter();
            let row = rows.find(|row| row["tradeId"] == *trade).unwrap();
            row["reviewed"].as_bool().unwrap()
        };
        (of(&first), of(&second))
    };
    assert_eq!(reviewed().await, (false, false));
    let sale = sale_of(&site, &first).await;
    written(&review(&site, &seller, &sale, 5.0, "").await);
    assert_eq!(reviewed().await, (false, false));
    let written = written(&review(&site, &buyer, &first, 5.0, "").await);
    assert_eq!(reviewed().await, (true, false));
    delete(&site, &buyer, written).await;
    assert_eq!(reviewed().await, (false, false));
}

/// The list of spots is cached; the next one after a review is of the new rates.
async fn lists_of_offers_follow_a_review(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let other = site.log_in("kakao", 3).await;
    let spot = offer(&site, &seller, "wifi", products::spot(1)).await;
    let rival = offer(&site, &other, "wifi", products::spot(1)).await;
    let rates = async || {
        let path = "/api/products/wifi?size=5&latitude=37.5&longitude=127\
                    &productSortOption=AVERAGE_RATE_DESC";
        let page = site.data(&buyer, path).await;
        let rows = page["data"].as_array().unwrap().clone();
        let row = |row: &Value| {
            let id = row["productId"].as_u64().unwrap();
            (id, row["averageRate"].as_f64().unwrap())
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let (spot_id, rival_id) = (u64::from(spot), u64::from(rival));
    assert_eq!(rates().await, [(spot_id, 0.0), (rival_id, 0.0)]);
    let mut reviews = Vec::new();
    for (id, minutes, rating) in [(rival, 10, 4.0), (rival, 20, 5.0), (rival, 30, 4.0)] {
        let bought = post(&site, &buyer, WIFI, &time(WIFI, id, minutes).unwrap()).await;
        let answer = review(&site, &buyer, &bought["tradeId"], rating, "").await;
        reviews.push(written(&answer));
    }
    assert_eq!(rates().await, [(rival_id, 4.333), (spot_id, 0.0)]);
    let bought = post(&site, &buyer, WIFI, &time(WIFI, spot, 10).unwrap()).await;
    let best = written(&review(&site, &buyer, &bought["tradeId"], 4.5, "").await);
    assert_eq!(rates().await, [(spot_id, 4.5), (rival_id, 4.333)]);
    edit(&site, &buyer, best, 4.3).await;
    assert_eq!(rates().await, [(rival_id, 4.333), (spot_id, 4.3)]);
    delete(&site, &buyer, reviews[1]).await;
    assert_eq!(rates().await, [(spot_id, 4.3), (rival_id, 4.0)]);
    // A later offer begins with the rate of its seller.
    let late = offer(&site, &seller, "wifi", products::spot(1)).await;
    let late = (u64::from(late), 4.3);
    assert_eq!(rates().await, [(spot_id, 4.3), late, (rival_id, 4.0)]);
}

async fn review_is_announced_to_the_member_reviewed(on: On) {
    let (site, seller, buyer) = stage(on).await;
    let id = offer(&site, &seller, "mobile-data", products::data(1)).await;
    let bought = buy(&site, &buyer, id).await;
    let review_id = written(&review(&site, &buyer, &bought, 4.5, "").await);
    review(&site, &buyer, &bought, 4.5, "").await.is(409, 6003);
    edit(&site, &buyer, review_id, 4.0).await;
    let (member, sale) = (site.id(&seller).await, sale_of(&site, &bought).await);
    let announced = "select count(*) from outbox where kind = 'review.created'";
    assert_eq!(site.number(announced).await, 1);
    let exact = format!(
        "{announced} and aggregate = 'member:{member}' and body like '%\"members\":[{member}]%' \
         and body like '%\"reviewId\":{review_id}%' and body like '%\"tradeId\":{sale}%' \
         and body like '%\"rating\":4.5%'"
    );
    assert_eq!(site.number(&exact).await, 1);
}
