//! Reviews that race with each other, with purchases and with changes of offers, and the sums that they leave.

use futures_util::future::{join, join_all, join3};
use market_api::db::Abort;
use market_api::members;
use market_api::products::{Kind, NewSpot};
use market_api::reviews::{self, Removed, ReviewError};
use rand::RngExt as _;
use shared::ids::ReviewId;

use crate::bookings;
use crate::fixtures::{SEOUL, member, new_data, random, spot_form};
use crate::on_both;
use crate::shop::{Shop, combination, unless_busy};
use crate::support::On;

on_both!(
    defect_24_a_thousand_edits_do_not_drift,
    reviews_of_one_seller_at_once_leave_the_sum_of_their_rows,
    two_sellers_who_review_each_other_at_once_wait_for_no_one_in_a_circle,
    one_trade_reviewed_many_times_at_once_has_one_review,
    review_edited_and_deleted_at_once_moves_the_sum_once,
    removed_review_leaves_the_rating_and_locks_the_author,
    combination_is_reviewed_if_one_member_sold_it,
);

/// Sum, count, and the rate of the member's active offers, if all have one.
async fn rating(shop: &Shop, id: i64) -> (i64, i64) {
    let sum = format!("select rating_sum from member where id = {id}");
    let count = format!("select rating_count from member where id = {id}");
    (shop.market.int(&sum).await, shop.market.int(&count).await)
}

async fn reviews(shop: &Shop) -> i64 {
    shop.market.int("select count(*) from review").await
}

/// The first site kept a mean, to which an edit added what it took for the difference. Three reviews, edited in turn.
async fn defect_24_a_thousand_edits_do_not_drift(on: On) {
    let shop = Shop::open(on).await;
    shop.members(4, 10_000).await;
    let offer = shop.market.offer_as(1, 2_000, 20, true).await.unwrap();
    let mut written = Vec::new();
    for buyer in 2..=4 {
        let trade = shop.buy(buyer, offer, Some(1)).await.unwrap();
        let review = shop.review(buyer, trade.get().into(), 3.3).await.unwrap();
        written.push((buyer, review));
    }
    for nth in 0..1_000_u32 {
        let (by, review) = written[usize::try_from(nth % 3).unwrap()];
        let tenths = 10 + (nth * 7) % 41;
        let stars = f64::from(tenths) / 10.0;
        shop.edit_review(by, review, stars).await.unwrap();
    }
    for ((by, review), stars) in written.iter().zip([4.1, 4.9, 3.7]) {
        shop.edit_review(*by, *review, stars).await.unwrap();
    }
    assert_eq!(rating(&shop, 1).await, (41 + 49 + 37, 3));
    let rate = format!("select seller_rate from product where id = {offer}");
    assert_eq!(shop.market.int(&rate).await, 4_233);
    for (by, review) in written {
        shop.delete_review(by, review).await.unwrap();
    }
    assert_eq!(rating(&shop, 1).await, (0, 0));
    assert_eq!(shop.market.int(&rate).await, 0);
    shop.close().await;
}

/// 40 members review a seller, edit, delete and review again, while others buy from the same offers, and the seller
/// changes them and makes new ones.
async fn reviews_of_one_seller_at_once_leave_the_sum_of_their_rows(on: On) {
    const REVIEWERS: i64 = 40;
    let shop = Shop::open(on).await;
    shop.crowd(1, 2 + REVIEWERS + 10, 10_000).await;
    let market = &shop.market;
    let data = market.offer_as(1, 1_000, 10, true).await.unwrap();
    let edited = market.offer_as(1, 500, 5, false).await.unwrap();
    let mut trades = Vec::new();
    for nth in 0..4 {
        let spot = market.spot(1, 500, SEOUL).await;
        for buyer in 3 + nth * 10..13 + nth * 10 {
            let order = bookings::order(spot, "13:00", "13:30");
            let reply = shop.buy_time(buyer, order, None).await.unwrap();
            trades.push((buyer, i64::from(crate::shop::trade_of(&reply).get())));
        }
    }
    let mut rng = random();
    let stars: Vec<_> = (0..3 * REVIEWERS)
        .map(|_| f64::from(rng.random_range(10..=50)) / 10.0)
        .collect();
    let reviewing = (0..).zip(&trades).map(async |(nth, (buyer, trade))| {
        let stars = &stars[3 * nth..3 * nth + 3];
        let review = shop.review(*buyer, *trade, stars[0]).await.unwrap();
        shop.edit_review(*buyer, review, stars[1]).await.unwrap();
        if nth % 3 == 0 {
            shop.delete_review(*buyer, review).await.unwrap();
        }
        if nth % 6 == 0 {
            shop.review(*buyer, *trade, stars[2]).await.unwrap();
        }
    });
    let buying = (0..10).map(async |nth| {
        let buyer = 3 + REVIEWERS + nth;
        shop.buy(buyer, data, Some(1)).await.unwrap();
    });
    let selling = async {
        for nth in 0..10 {
            let change = async || market.edit(edited, new_data(1, 500 + nth, 5, false)).await;
            unless_busy(change).await.unwrap();
            let spot = || NewSpot::parse(member(1), Kind::Wifi, spot_form(500, SEOUL)).unwrap();
            let offer = async || market.products.offer_spot(spot()).await;
            unless_busy(offer).await.unwrap();
        }
    };
    join3(join_all(reviewing), join_all(buying), selling).await;
    let mut expected = (0, 0);
    for nth in 0..usize::try_from(REVIEWERS).unwrap() {
        let kept = match nth {
            _ if nth % 6 == 0 => 2,
            _ if nth % 3 == 0 => continue,
            _ => 1,
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a whole number of tenths from 10 to 50"
        )]
        let tenths = (stars[3 * nth + kept] * 10.0).round() as i64;
        expected = (expected.0 + tenths, expected.1 + 1);
    }
    assert_eq!(rating(&shop, 1).await, expected);
    let rates =
        "select count(distinct seller_rate) from product where member_id = 1 and state = 'ACTIVE'";
    assert_eq!(market.int(rates).await, 1);
    shop.close().await;
}

/// 1 and 2 sell to each other, and both sides of each trade are reviewed.
async fn two_sellers_who_review_each_other_at_once_wait_for_no_one_in_a_circle(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let one = shop.market.offer_as(1, 1_000, 20, true).await.unwrap();
    let two = shop.market.offer_as(2, 1_000, 20, true).await.unwrap();
    let mut sides = Vec::new();
    for (buyer, offer) in [(1, two), (2, one)] {
        for _ in 0..10 {
            let purchase = shop.buy(buyer, offer, Some(1)).await.unwrap();
            let sale = format!("select id from trade where purchase_id = {purchase}");
            sides.push((buyer, i64::from(purchase.get())));
            sides.push((3 - buyer, shop.market.int(&sale).await));
        }
    }
    let reviewing = sides.iter().map(async |(by, trade)| {
        let review = shop.review(*by, *trade, 4.0).await.unwrap();
        shop.edit_review(*by, review, 2.0).await.unwrap();
    });
    join_all(reviewing).await;
    assert_eq!(rating(&shop, 1).await, (20 * 20, 20));
    assert_eq!(rating(&shop, 2).await, (20 * 20, 20));
    shop.close().await;
}

async fn one_trade_reviewed_many_times_at_once_has_one_review(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    let trade = shop.buy(2, offer, Some(1)).await.unwrap();
    let trade = i64::from(trade.get());
    let reviewing = (0..30).map(|_| shop.review(2, trade, 4.5));
    let done = join_all(reviewing).await;
    let written = done.iter().filter(|done| done.is_ok()).count();
    assert_eq!(written, 1);
    for refused in done.into_iter().filter_map(Result::err) {
        assert_eq!(refused, ReviewError::Repeated);
    }
    assert_eq!((reviews(&shop).await, rating(&shop, 1).await), (1, (45, 1)));
    shop.close().await;
}

async fn review_edited_and_deleted_at_once_moves_the_sum_once(on: On) {
    let shop = Shop::open(on).await;
    shop.members(2, 10_000).await;
    let offer = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    for round in 0..10 {
        let trade = shop.buy(2, offer, Some(1)).await.unwrap();
        let review = shop.review(2, trade.get().into(), 4.5).await.unwrap();
        let edits = join_all((0..5).map(|nth| shop.edit_review(2, review, f64::from(nth + 1))));
        let deletions = join_all((0..3).map(|_| shop.delete_review(2, review)));
        let (edits, deletions) = join(edits, deletions).await;
        let deleted = deletions.iter().filter(|done| done.is_ok()).count();
        assert_eq!(deleted, 1, "{round}");
        let refused = deletions.into_iter().chain(edits).filter_map(Result::err);
        assert!(
            refused
                .into_iter()
                .all(|refused| refused == ReviewError::Unknown)
        );
        assert_eq!((reviews(&shop).await, rating(&shop, 1).await), (0, (0, 0)));
    }
    shop.close().await;
}

async fn remove(shop: &Shop, review: ReviewId, author: i64) -> Option<Removed> {
    let db = &shop.market.base.db;
    let removed = db.write((review, member(author)), |(review, author), tx| {
        Box::pin(async move {
            let removed = reviews::remove_in(tx, *review, Some(*author)).await?;
            // In the order of locks, whichever id is the lower.
            members::lock_in(tx, *author).await?;
            Ok::<_, Abort<()>>(removed)
        })
    });
    removed.await.unwrap()
}

async fn removed_review_leaves_the_rating_and_locks_the_author(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 10_000).await;
    let offer = shop.market.offer_as(2, 1_000, 10, true).await.unwrap();
    shop.market.spot(2, 500, SEOUL).await;
    let mut written = Vec::new();
    for (buyer, stars) in [(1, 1.0), (3, 4.0)] {
        let trade = shop.buy(buyer, offer, Some(1)).await.unwrap();
        let review = shop.review(buyer, trade.get().into(), stars).await.unwrap();
        written.push((buyer, trade, review));
    }
    assert_eq!(rating(&shop, 2).await, (50, 2));
    for (author, trade, review) in written {
        let mut connection = shop.market.base.db.read().await.unwrap();
        let stored = reviews::review(&mut connection, review).await.unwrap();
        drop(connection);
        let removed = remove(&shop, review, author).await.unwrap();
        assert_eq!(Some(&removed.review), stored.as_ref());
        let of = (removed.review.reviewer, removed.review.reviewee);
        assert_eq!(of, (member(author), member(2)));
        assert_eq!(removed.review.trade, trade);
        let lists = [Kind::MobileData, Kind::Wifi].map(Kind::namespace);
        assert_eq!(removed.changed, lists);
        assert_eq!(remove(&shop, review, author).await, None);
        shop.verify().await;
    }
    assert_eq!((reviews(&shop).await, rating(&shop, 2).await), (0, (0, 0)));
    shop.close().await;
}

async fn combination_is_reviewed_if_one_member_sold_it(on: On) {
    let shop = Shop::open(on).await;
    shop.members(3, 10_000).await;
    let one = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    let more = shop.market.offer_as(1, 1_000, 10, true).await.unwrap();
    let other = shop.market.offer_as(2, 1_000, 10, true).await.unwrap();
    let same = combination(&[(one, 1), (more, 1)], 2, 200).unwrap();
    let same = shop.buy_scrap(3, same).await.unwrap();
    let mixed = combination(&[(one, 1), (other, 1)], 2, 200).unwrap();
    let mixed = shop.buy_scrap(3, mixed).await.unwrap();
    let refused = shop.review(3, mixed.get().into(), 5.0).await;
    assert_eq!(refused, Err(ReviewError::NotReviewable));
    shop.review(3, same.get().into(), 4.0).await.unwrap();
    assert_eq!(rating(&shop, 1).await, (40, 1));
    assert_eq!(rating(&shop, 2).await, (0, 0));
    let product = "select product_id from review";
    assert_eq!(shop.market.int(product).await, one);
    // Each of its sales has one buyer.
    let sale = format!("select id from trade where purchase_id = {mixed} and member_id = 2");
    let sale = shop.market.int(&sale).await;
    shop.review(2, sale, 3.0).await.unwrap();
    assert_eq!(rating(&shop, 3).await, (30, 1));
    shop.close().await;
}
