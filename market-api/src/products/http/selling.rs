//! Routes for products of every kind.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::{MemberId, ProductId};
use shared::money::Units;
use shared::web::{
    ApiError, CountPage, Done, Envelope, ErrorBody, ErrorCode, InPath, InQuery, PageInfo, PageSize,
    cursor, done, success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{SellingQuery, SellingRow, State as ProductState};
use super::Api;
use crate::auth::Caller;

/// Deletes an offer of the caller.
#[utoipa::path(
    delete, path = "/api/products/{id}", tag = "products",
    params(("id" = u32, Path, description = "The product", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is deleted.", body = Done),
        (status = 400, description = "No such product (3002), another member's (3004), already \
            deleted (3008), sold out or expired (3003), invalid product id (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    InPath(id): InPath<ProductId>,
) -> Result<Json<Done>, ApiError> {
    api.products.delete(caller.member, id).await?;
    Ok(done())
}

/// Parameters of a list of a seller's offers.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct SellingParameters {
    /// Filter: the state of the offers.
    #[param(inline, required = true, value_type = StateName)]
    product_state: Option<String>,
    /// Maximum of rows on the page; above 100 counts as 100.
    #[param(required = true, value_type = u64, minimum = 1)]
    size: Option<String>,
    /// `nextCursorId` of the previous page; 0 or missing: the first page.
    #[param(value_type = Option<u32>)]
    cursor_id: Option<String>,
}

/// The states of an offer.
// Only for the document: `State::parse` reads them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "stands for a text in the document")]
enum StateName {
    Active,
    SoldOut,
    Hidden,
    Deleted,
}

/// An offer in a list of a seller's offers.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct SellingView {
    #[schema(value_type = u32)]
    product_id: ProductId,
    #[serde(rename = "type")]
    kind: &'static str,
    state: &'static str,
    /// Mobile data: the offered amount, in gigabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 1.5)]
    data_amount: Option<Units>,
    /// Mobile data: the amount left, in gigabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, example = 1.5)]
    remain_amount: Option<Units>,
    /// Spots: the opening hours; only the time of day counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2025-08-07T09:00:00.000")]
    start_time: Option<LocalDateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "2025-08-08T18:00:00.000")]
    end_time: Option<LocalDateTime>,
    /// Spots: the title.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Spots: the first picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    product_image_url: Option<String>,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    created_at: LocalDateTime,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
}

impl From<SellingRow> for SellingView {
    fn from(row: SellingRow) -> Self {
        let (start_time, end_time) = row.hours.unzip();
        Self {
            product_id: row.id,
            kind: row.kind.name(),
            state: row.state.name(),
            data_amount: row.listed,
            remain_amount: row.left,
            start_time,
            end_time,
            created_at: row.created_at,
            updated_at: row.updated_at,
            title: row.title,
            product_image_url: row.image,
        }
    }
}

/// Lists the caller's offers.
#[utoipa::path(
    get, path = "/api/selling-products", tag = "products", params(SellingParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<CountPage<SellingView>>),
        (status = 400, description = "Invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn own(
    State(api): State<Api>,
    caller: Caller,
    InQuery(asked): InQuery<SellingParameters>,
) -> Result<Json<Envelope<CountPage<SellingView>>>, ApiError> {
    selling(&api, caller.member, caller.member, &asked).await
}

/// Lists a member's offers that can be bought or are sold out.
#[utoipa::path(
    get, path = "/api/members/{id}/selling-products", tag = "products",
    params(("id" = u32, Path, description = "The member", minimum = 1), SellingParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page, newest first.", body = Envelope<CountPage<SellingView>>),
        (status = 400, description = "No such member (2005), invalid parameter (1006).",
            body = ErrorBody),
    ),
)]
pub(super) async fn of_member(
    State(api): State<Api>,
    caller: Caller,
    InPath(id): InPath<MemberId>,
    InQuery(asked): InQuery<SellingParameters>,
) -> Result<Json<Envelope<CountPage<SellingView>>>, ApiError> {
    selling(&api, caller.member, id, &asked).await
}

async fn selling(
    api: &Api,
    reader: MemberId,
    seller: MemberId,
    asked: &SellingParameters,
) -> Result<Json<Envelope<CountPage<SellingView>>>, ApiError> {
    let state = asked.product_state.as_deref().and_then(ProductState::parse);
    let size = PageSize::parse_required(asked.size.as_deref())?;
    let query = SellingQuery {
        seller,
        reader,
        state: state.ok_or(ErrorCode::InvalidParameter)?,
        size,
        after: cursor(asked.cursor_id.as_deref())?,
    };
    let page = api.products.details().selling(&query).await?;
    let rows: Vec<SellingView> = page.rows.into_iter().map(SellingView::from).collect();
    let last = rows.last().filter(|_| page.has_next);
    let next = last.map(|row| u64::from(row.product_id.get()));
    Ok(success(CountPage {
        data: rows,
        page_info: PageInfo::new(next, size),
        count: page.count,
    }))
}
