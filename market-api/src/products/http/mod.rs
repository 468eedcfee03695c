//! Routes of `/api/products` and `/api/selling-products`.

mod data;
mod error;
mod selling;
mod spot_view;
mod spots;

use std::sync::Arc;

use serde::Serialize;
use shared::ids::ProductId;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Products;
use crate::images::Images;

/// Behind one pointer: every layer around a route copies the route's state for each request.
type Api = Arc<Services>;

#[derive(Debug)]
struct Services {
    products: Products,
    images: Images,
}

/// The routes.
pub fn routes(products: Products, images: Images) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(data::list, data::offer, data::change))
        .routes(routes!(data::detail))
        .routes(routes!(
            spots::list_wifi,
            spots::offer_wifi,
            spots::change_wifi
        ))
        .routes(routes!(spots::wifi))
        .routes(routes!(
            spots::list_hotspots,
            spots::offer_hotspot,
            spots::change_hotspot
        ))
        .routes(routes!(spots::hotspot))
        .routes(routes!(selling::delete))
        .routes(routes!(selling::own))
        .routes(routes!(selling::of_member))
        .with_state(Arc::new(Services { products, images }))
}

/// The changed product.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Changed {
    #[schema(value_type = u32)]
    product_id: ProductId,
}

/// A mean rating in stars, as displayed.
fn stars(thousandths: i64) -> f64 {
    let thousandths = i32::try_from(thousandths).expect("at most 5,000 by a CHECK");
    f64::from(thousandths) / 1_000.0
}
