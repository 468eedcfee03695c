//! Offers: made, listed, looked at, changed, withdrawn.

use reqwest::Method;
use serde_json::{Value, json};

use super::Person;
use super::shape::check;
use super::shapes::{
    CHANGED, DATA_ROW, DATA_VIEW, MARKET_PRICE, MEMBER, SELLING, WIFI_ROW, WIFI_VIEW,
};

/// Where the seller's Wi-Fi is.
const PLACE: (f64, f64) = (37.5012, 127.0396);

/// What a seller has offered.
pub(crate) struct Offers {
    pub(crate) data: u64,
    pub(crate) wifi: u64,
}

fn wifi_list(sort: &str, size: u32) -> String {
    let (latitude, longitude) = PLACE;
    format!(
        "/api/products/wifi?size={size}&productSortOption={sort}&open=false\
         &latitude={latitude}&longitude={longitude}"
    )
}

fn data_list(sort: &str, size: u32) -> String {
    format!("/api/products/mobile-data?size={size}&productSortOption={sort}")
}

fn id(row: &Value) -> u64 {
    row["productId"].as_u64().unwrap()
}

impl Person<'_> {
    pub(crate) async fn offer(&mut self) -> Offers {
        let before: Vec<u64> = self.selling("ACTIVE").await.iter().map(id).collect();
        let data = json!({"price": 1_000, "dataAmount": 0.1, "isSplitType": false});
        self.post("/api/products/mobile-data", &data).await;
        let picture = self.upload("shop.png").await;
        let wifi = json!({
            "price": 900, "title": "역 앞 카페", "content": "창가 자리가 좋아요",
            "latitude": PLACE.0, "longitude": PLACE.1, "address": "서울 강남구 어딘가 1",
            "startTime": "2026-11-29T00:00:00", "endTime": "2026-11-30T00:00:00",
            "images": [picture],
        });
        self.post("/api/products/wifi", &wifi).await;

        let rows = self.selling("ACTIVE").await;
        let new = |kind: &str| {
            let mut new = rows
                .iter()
                .filter(|row| row["type"] == kind && !before.contains(&id(row)));
            let row = new
                .next()
                .unwrap_or_else(|| panic!("{kind} is not among {rows:?}"));
            assert!(new.next().is_none(), "{rows:?}");
            id(row)
        };
        let offers = Offers {
            data: new("MOBILE_DATA"),
            wifi: new("WIFI"),
        };
        let row = rows.iter().find(|row| id(row) == offers.wifi).unwrap();
        super::check_picture(&row["productImageUrl"]).await;
        offers
    }

    /// Another offer of data: its id.
    pub(crate) async fn offer_data(&mut self, price: u64, amount: f64, is_split: bool) -> u64 {
        let data = json!({"price": price, "dataAmount": amount, "isSplitType": is_split});
        self.post("/api/products/mobile-data", &data).await;
        id(&self.selling("ACTIVE").await[0])
    }

    /// "My sales": the front end asks for the first page with cursor 0, and for two rows at a time.
    async fn selling(&mut self, state: &str) -> Vec<Value> {
        let path = format!("/api/selling-products?productState={state}&size=2");
        self.rows_of_sales(&path).await
    }

    async fn rows_of_sales(&mut self, path: &str) -> Vec<Value> {
        let rows = self.pages(path, "&cursorId=0").await;
        for row in &rows {
            check("a sale", row, SELLING);
        }
        let page = self.get(&format!("{path}&cursorId=0")).await;
        assert_eq!(page["count"], rows.len(), "{page}");
        rows
    }

    pub(crate) async fn look_at_lists(&mut self, offers: &Offers) {
        for sort in ["RECENT", "PRICE_ASC", "AMOUNT_ASC", "AMOUNT_DESC"] {
            let rows = self.pages(&data_list(sort, 20), "").await;
            self.check_list(sort, &rows, DATA_ROW, offers.data);
        }
        for sort in ["PRICE_ASC", "AVERAGE_RATE_DESC", "DISTANCE_ASC"] {
            let rows = self.pages(&wifi_list(sort, 20), "").await;
            self.check_list(sort, &rows, WIFI_ROW, offers.wifi);
            let row = rows.iter().find(|row| id(row) == offers.wifi).unwrap();
            let hours = ["startTime", "endTime"].map(|name| {
                // As the front end cuts it.
                let text = row[name].as_str().unwrap();
                text.get(11..16).unwrap().to_owned()
            });
            assert_eq!(hours, ["00:00", "00:00"]);
        }
        let first = self
            .get(&format!("{}&cursorId=0", data_list("RECENT", 2)))
            .await;
        let same = self.get(&data_list("RECENT", 2)).await;
        assert_eq!(first, same, "0 is the first page");
        // A size above the maximum is clamped.
        let many = self.get(&data_list("RECENT", 1_000)).await;
        assert_eq!(many["pageInfo"]["size"], 100, "{many}");
        self.look_at_details(offers).await;
        for kind in ["MOBILE_DATA", "WIFI"] {
            let path = format!("/api/products/market-price?productType={kind}");
            check(kind, &self.get(&path).await, MARKET_PRICE);
        }
    }

    fn check_list(&self, sort: &str, rows: &[Value], fields: &[super::shape::Field], own: u64) {
        for row in rows {
            check(sort, row, fields);
        }
        let mut ids: Vec<u64> = rows.iter().map(id).collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all, "{sort}: no row comes twice");
        assert!(ids.contains(&own), "{sort}: no row is left out");
    }

    async fn look_at_details(&mut self, offers: &Offers) {
        let data = self
            .get(&format!("/api/products/mobile-data/{}", offers.data))
            .await;
        check("data", &data, DATA_VIEW);
        let wifi = self
            .get(&format!("/api/products/wifi/{}", offers.wifi))
            .await;
        check("wifi", &wifi, WIFI_VIEW);
        for view in [&data, &wifi] {
            assert_eq!(
                (&view["myProduct"], &view["memberId"]),
                (&json!(true), &json!(self.id))
            );
        }
        assert_eq!(wifi["imageUrls"].as_array().map(Vec::len), Some(1));
    }

    pub(crate) async fn change(&mut self, offers: &Offers) {
        let data = json!({
            "productId": offers.data, "price": 900, "changedAmount": 0.1, "isSplitType": true,
        });
        let path = "/api/products/mobile-data";
        let changed = self.call(Method::PUT, path, Some(&data)).await;
        check("a change", &changed, CHANGED);
        let before = self
            .get(&format!("/api/products/wifi/{}", offers.wifi))
            .await;
        let wifi = json!({
            "productId": offers.wifi, "price": 700, "title": "역 앞 카페", "content": "2층",
            "latitude": PLACE.0, "longitude": PLACE.1, "address": "서울 강남구 어딘가 1",
            "startTime": before["startTime"], "endTime": before["endTime"],
            "imageUrls": before["imageUrls"],
        });
        let changed = self
            .call(Method::PUT, "/api/products/wifi", Some(&wifi))
            .await;
        assert_eq!(changed["productId"], offers.wifi);
        let data = self.get(&format!("{path}/{}", offers.data)).await;
        assert_eq!(
            (&data["price"], &data["splitType"]),
            (&json!(900), &json!(true))
        );
        let wifi = self
            .get(&format!("/api/products/wifi/{}", offers.wifi))
            .await;
        assert_eq!(
            (&wifi["price"], &wifi["content"]),
            (&json!(700), &json!("2층"))
        );
        assert_eq!(wifi["imageUrls"], before["imageUrls"]);
    }

    /// Somebody else's page, and what they sell.
    pub(crate) async fn look_at_seller(&mut self, seller: &Person<'_>, offers: &Offers) {
        let info = self
            .get(&format!("/api/members/info?memberId={}", seller.id))
            .await;
        check("the seller", &info, MEMBER);
        assert_eq!(info["memberId"], seller.id);
        let path = format!(
            "/api/members/{}/selling-products?productState=ACTIVE&size=2",
            seller.id
        );
        let sold: Vec<u64> = self.rows_of_sales(&path).await.iter().map(id).collect();
        assert!(
            sold.contains(&offers.data) && sold.contains(&offers.wifi),
            "{sold:?}"
        );
        let path = format!("/api/products/mobile-data/{}", offers.data);
        assert_eq!(self.get(&path).await["myProduct"], false);
    }

    pub(crate) async fn withdraw(&mut self, offers: &Offers) {
        for (kind, offer) in [("mobile-data", offers.data), ("wifi", offers.wifi)] {
            let path = format!("/api/products/{offer}");
            self.call(Method::DELETE, &path, None).await;
            assert!(
                self.browser
                    .asked
                    .contains(&format!("DELETE {}{path}", self.site.api))
            );
            assert_eq!(self.refused(Method::DELETE, &path).await, 3008);
            let path = format!("/api/products/{kind}/{offer}");
            assert_eq!(self.refused(Method::GET, &path).await, 3003);
        }
    }
}
