//! Push tokens and stored notifications.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{interval, timeout};

use super::Person;
use super::browser::PATIENCE;
use super::shape::check_all;
use super::shapes::NOTIFICATION;

/// The seller was notified of the sales.
pub(crate) async fn walk(seller: &mut Person<'_>, buyer: &mut Person<'_>) {
    let token = json!({"token": "dK7example:APA91bExampleToken"});
    seller.post("/api/fcm/save", &token).await;
    let rows = seller.notifications("product.sold_out").await;
    let ids: Vec<_> = rows.iter().map(|row| row["id"].as_u64().unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a > b), "newest first: {ids:?}");

    let path = format!("/api/notifications/{}", ids[0]);
    assert_eq!(buyer.refused(Method::DELETE, &path).await, 1003);
    seller.call(Method::DELETE, &path, None).await;
    let rest = seller.get("/api/notifications").await;
    let rest = rest.as_array().unwrap();
    assert!(rest.iter().all(|row| row["id"] != ids[0]), "{rest:?}");
    let unknown = format!("/api/notifications/{}", (seller.id << 22) | 4_000_000);
    assert_eq!(seller.refused(Method::DELETE, &unknown).await, 9001);
}

impl Person<'_> {
    /// The list, once one of this kind is in it.
    async fn notifications(&mut self, kind: &str) -> Vec<Value> {
        let mut again = interval(Duration::from_millis(50));
        let come = async {
            loop {
                let rows = self.get("/api/notifications").await;
                if rows
                    .as_array()
                    .unwrap()
                    .iter()
                    .any(|row| row["kind"] == kind)
                {
                    check_all("notifications", &rows, NOTIFICATION);
                    return rows.as_array().unwrap().clone();
                }
                again.tick().await;
            }
        };
        timeout(PATIENCE, come).await.expect("a notification")
    }
}
