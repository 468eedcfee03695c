//! Reviews of a trade, and reports.

use reqwest::Method;
use serde_json::json;

use super::Person;
use super::buying::Bought;
use super::chatting::Talk;
use super::offering::Offers;
use super::shape::check;
use super::shapes::{REVIEW, REVIEW_MADE, REVIEW_RECEIVED, REVIEW_WROTE};

const SORTS: [&str; 4] = ["RECENT", "OLDEST", "RATING_DESC", "RATING_ASC"];

/// The buyer reviews the booked time, edits the review and takes it back; both report.
pub(crate) async fn walk(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    offers: &Offers,
    (bought, talk): (&Bought, &Talk),
) {
    let path = format!("/api/trades/{}/reviews", bought.wifi);
    let wrong = json!({"rating": 5.5, "comment": ""});
    assert_eq!(
        buyer.refused_with(Method::POST, &path, &wrong).await,
        (400, 1006)
    );
    let unknown = "/api/trades/2000000000/reviews";
    let review = json!({"rating": 4.5, "comment": ""});
    assert_eq!(
        buyer.refused_with(Method::POST, unknown, &review).await,
        (400, 4000)
    );
    assert_eq!(
        seller.refused_with(Method::POST, &path, &review).await,
        (400, 4001)
    );
    assert!(!buyer.has_reviewed(bought).await);
    let made = buyer.post(&path, &review).await;
    check("a review", &made, REVIEW_MADE);
    assert!(buyer.has_reviewed(bought).await);
    assert_eq!(
        buyer.refused_with(Method::POST, &path, &review).await,
        (409, 6003)
    );

    let id = made["reviewId"].as_u64().unwrap();
    let own = format!("/api/reviews/{id}");
    let view = buyer.get(&own).await;
    check("my review", &view, REVIEW);
    assert_eq!(
        (&view["rating"], &view["comment"]),
        (&json!(4.5), &json!(""))
    );
    assert_eq!(seller.refused(Method::GET, &own).await, 6001);
    lists(seller, buyer, id).await;
    ratings(seller, buyer, offers, 4.5, 1).await;
    reports(seller, buyer, talk, (offers.data, id)).await;

    let edited = json!({"rating": 5.0, "comment": "잘 썼어요"});
    let changed = buyer.call(Method::PATCH, &own, Some(&edited)).await;
    check("a change", &changed, REVIEW_MADE);
    ratings(seller, buyer, offers, 5.0, 1).await;
    assert_eq!(seller.refused(Method::DELETE, &own).await, 6001);
    buyer.call(Method::DELETE, &own, None).await;
    assert_eq!(buyer.refused(Method::GET, &own).await, 6002);
    ratings(seller, buyer, offers, 0.0, 0).await;
}

/// Both sides list it, in every order.
async fn lists(seller: &mut Person<'_>, buyer: &mut Person<'_>, review: u64) {
    for sort in SORTS {
        let query = format!("?size=2&reviewSortOption={sort}");
        let received = seller
            .pages(&format!("/api/reviews/received{query}"), "&cursorId=0")
            .await;
        let path = format!("/api/members/{}/reviews/received{query}", seller.id);
        assert_eq!(buyer.pages(&path, "").await, received);
        let wrote = buyer.pages(&format!("/api/reviews/wrote{query}"), "").await;
        assert_eq!(
            buyer
                .pages(&format!("/api/reviews/written{query}"), "")
                .await,
            wrote
        );
        for (rows, shape) in [(&received, REVIEW_RECEIVED), (&wrote, REVIEW_WROTE)] {
            assert_eq!(rows.len(), 1, "{rows:?}");
            check(sort, &rows[0], shape);
            assert_eq!(rows[0]["reviewId"], review);
            assert_eq!(rows[0]["reviewerId"], buyer.id);
        }
    }
    let unknown = "/api/reviews/received?size=2&reviewSortOption=BEST";
    assert_eq!(buyer.refused(Method::GET, unknown).await, 3000);
}

/// What is shown of the seller, there and on the offer.
async fn ratings(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    offers: &Offers,
    average: f64,
    count: u32,
) {
    let info = buyer
        .get(&format!("/api/members/info?memberId={}", seller.id))
        .await;
    assert_eq!(
        (&info["averageRating"], &info["reviewCount"]),
        (&json!(average), &json!(count))
    );
    let offer = buyer
        .get(&format!("/api/products/wifi/{}", offers.wifi))
        .await;
    assert_eq!(
        (&offer["averageRate"], &offer["reviewCount"]),
        (&json!(average), &json!(count))
    );
}

/// With the ids that the pages of the front end send.
async fn reports(
    seller: &mut Person<'_>,
    buyer: &mut Person<'_>,
    talk: &Talk,
    (offer, review): (u64, u64),
) {
    // From a chat: the member by the room's id, and a message of the other.
    buyer.report(talk.room, "MEMBER").await;
    buyer.report(talk.message, "CHAT").await;
    buyer.report(offer, "PRODUCT").await;
    seller.report(buyer.id, "MEMBER").await;
    seller.report(review, "REVIEW").await;
    // From a list of reviews: the review as a product, so it is the same report.
    let again = json!({"reason": "욕설", "targetCategory": "PRODUCT"});
    let path = format!("/api/report/{review}");
    assert_eq!(
        seller.refused_with(Method::POST, &path, &again).await,
        (409, 7001)
    );
    let body = json!({"reason": "욕설", "targetCategory": "CHAT"});
    let path = format!("/api/report/{}", talk.message);
    assert_eq!(
        buyer.refused_with(Method::POST, &path, &body).await,
        (409, 7001)
    );
    assert_eq!(
        seller.refused_with(Method::POST, &path, &body).await,
        (400, 7002)
    );
    for (category, code) in [("MEMBER", 2005), ("PRODUCT", 3002), ("REVIEW", 6002)] {
        let body = json!({"reason": "욕설", "targetCategory": category});
        let path = "/api/report/2000000000";
        assert_eq!(
            seller.refused_with(Method::POST, path, &body).await,
            (400, code)
        );
    }
}

impl Person<'_> {
    async fn has_reviewed(&mut self, bought: &Bought) -> bool {
        let rows = self.purchases().await;
        let row = rows.iter().find(|row| row["tradeId"] == bought.wifi);
        row.unwrap()["reviewed"].as_bool().unwrap()
    }

    async fn report(&mut self, target: u64, category: &str) {
        let body = json!({"reason": "욕설", "targetCategory": category});
        let path = format!("/api/report/{target}");
        self.post(&path, &body).await;
    }
}
