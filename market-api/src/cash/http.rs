//! Routes of `/api/members/cash`.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::money::Won;
use shared::web::{ApiError, Envelope, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Cash;
use crate::auth::Caller;

/// The routes.
pub fn routes(cash: Cash) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(balance))
        .with_state(cash)
}

/// A balance of cash.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Cash)]
struct Balance {
    /// The balance that can be spent, in won.
    #[schema(value_type = i64)]
    cash: Won,
}

/// The caller's balance of cash.
#[utoipa::path(
    get, path = "/api/members/cash", tag = "members", security(("access" = []), ("bearer" = [])),
    operation_id = "cash",
    responses((status = 200, description = "OK.", body = Envelope<Balance>)),
)]
async fn balance(
    State(cash): State<Cash>,
    caller: Caller,
) -> Result<Json<Envelope<Balance>>, ApiError> {
    let cash = cash.balance(caller.member).await?;
    Ok(success(Balance { cash }))
}
