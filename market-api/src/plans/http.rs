//! `/api/plans`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::clock::{Clock, LocalDateTime};
use shared::money::{Units, Won};
use shared::web::{Envelope, FailureBody, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Plans;
use crate::auth::Caller;
use crate::http::ApiError;

#[derive(Clone, Debug)]
struct Api {
    plans: Plans,
    clock: Arc<dyn Clock>,
}

/// The routes.
pub fn routes(plans: Plans, clock: Arc<dyn Clock>) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(my_data))
        .with_state(Api { plans, clock })
}

/// What is left of a plan this month. Amounts are gigabytes with one decimal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MyData {
    /// The plan's name.
    name: String,
    /// What is left of it.
    #[schema(value_type = f64, example = 1.5)]
    current_data_amount: Units,
    /// What it gave.
    #[schema(value_type = f64, example = 10.0)]
    providing_data_amount: Units,
    /// What it costs, in won.
    #[schema(value_type = i64)]
    monthly_price: Won,
}

/// What is left of my plan this month.
#[utoipa::path(
    get, path = "/api/plans/my-data", tag = "plans", security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is this", body = Envelope<MyData>),
        (status = 400, description = "No plan (3011)", body = FailureBody),
    ),
)]
async fn my_data(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Envelope<MyData>>, ApiError> {
    let month = LocalDateTime::from_unix(api.clock.unix_millis()).month_key();
    let balance = api.plans.balance(caller.member, month).await?;
    let balance = balance.ok_or(ApiError::PlanUnknown)?;
    Ok(success(MyData {
        name: balance.name,
        current_data_amount: balance.current,
        providing_data_amount: balance.providing,
        monthly_price: balance.monthly_price,
    }))
}
