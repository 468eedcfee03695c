//! Routes of mobile data offers.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::clock::LocalDateTime;
use shared::ids::ProductId;
use shared::money::{Units, Won};
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, InQuery, Page, PageInfo,
    PageSize, cursor, done, parameter, success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{
    Cursor, DataChange, DataDetail, Filter, Kind, ListQuery, ListedOffer, NewData, Price, Sale,
    Sort, listed_units,
};
use super::{Api, Changed, stars};
use crate::auth::Caller;

/// Parameters of a list of mobile data.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Maximum of rows on the page; above 100 counts as 100.
    #[param(required = true, value_type = u64, minimum = 1)]
    size: Option<String>,
    /// `nextCursorId` of the previous page; 0 or missing: the first page.
    #[param(value_type = Option<u64>)]
    cursor_id: Option<String>,
    /// The sort order: newest first, by price for 0.1 GB, by amount left.
    #[param(inline, value_type = Option<DataSort>, default = "RECENT")]
    product_sort_option: Option<String>,
    /// Filter: exactly this many gigabytes left.
    #[param(value_type = Option<f64>, example = 1.5)]
    data_amount: Option<String>,
}

/// The sort orders of mobile data.
// Only for the document: `Sort::parse` reads them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "stands for a text in the document")]
enum DataSort {
    Recent,
    PriceAsc,
    AmountAsc,
    AmountDesc,
}

/// An offer of mobile data in a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataRow {
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// The price of the amount left, in won.
    #[schema(value_type = i64)]
    price: Won,
    #[schema(value_type = u32)]
    item_id: ProductId,
    /// The name of the seller.
    member_name: String,
    /// The seller's profile picture.
    profile_image_url: Option<String>,
    /// The amount left, in gigabytes.
    #[schema(value_type = f64, example = 1.5)]
    remain_amount: Units,
    /// The price for 0.1 GB, in won.
    #[serde(rename = "pricePer100MB")]
    #[schema(value_type = i64)]
    unit_price: Won,
    /// Whether parts can be bought.
    split_type: bool,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
}

impl From<ListedOffer> for DataRow {
    fn from(offer: ListedOffer) -> Self {
        Self {
            product_id: offer.id,
            price: offer.price(),
            item_id: offer.id,
            remain_amount: offer.left(),
            unit_price: offer.unit_price(),
            split_type: offer.split(),
            updated_at: offer.updated_at(),
            member_name: offer.row.member_name,
            profile_image_url: offer.row.member_image,
        }
    }
}

/// Lists the offers of mobile data that can be bought.
#[utoipa::path(
    get, path = "/api/products/mobile-data", tag = "products", params(ListParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<DataRow>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter or a cursor of \
            another list (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(api): State<Api>,
    caller: Caller,
    InQuery(asked): InQuery<ListParameters>,
) -> Result<Json<Envelope<Page<DataRow>>>, ApiError> {
    let size = PageSize::parse_required(asked.size.as_deref())?;
    let amount: Option<Units> = parameter(asked.data_amount.as_deref())?;
    let query = ListQuery {
        reader: caller.member,
        kind: Kind::MobileData,
        sort: sort(Kind::MobileData, asked.product_sort_option.as_deref())?,
        filter: amount.map_or(Filter::None, Filter::Units),
        size,
        after: after(asked.cursor_id.as_deref())?,
        at: None,
    };
    let page = api.products.lists().list(query).await?;
    Ok(success(Page {
        data: page.rows.into_iter().map(DataRow::from).collect(),
        page_info: PageInfo::new(page.next.map(Cursor::get), size),
    }))
}

/// Parses an order's name; without one, the kind's default.
pub(super) fn sort(kind: Kind, name: Option<&str>) -> Result<Sort, ErrorCode> {
    match name.filter(|name| !name.is_empty()) {
        Some(name) => Sort::parse(kind, name).ok_or(ErrorCode::SortOptionUnknown),
        None => Sort::of(kind)
            .first()
            .copied()
            .ok_or(ErrorCode::SortOptionUnknown),
    }
}

/// Parses the cursor parameter.
pub(super) fn after(text: Option<&str>) -> Result<Option<Cursor>, ErrorCode> {
    let number: Option<u64> = cursor(text)?;
    let place = number.map(|number| Cursor::parse(number).ok_or(ErrorCode::InvalidParameter));
    place.transpose()
}

/// The details of an offer of mobile data.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataView {
    #[schema(value_type = u32)]
    product_id: ProductId,
    #[schema(value_type = u32)]
    item_id: ProductId,
    /// The price of the amount left, in won.
    #[schema(value_type = i64)]
    price: Won,
    /// The seller.
    #[schema(value_type = u32)]
    member_id: shared::ids::MemberId,
    member_name: String,
    profile_image_url: Option<String>,
    /// The amount left, in gigabytes.
    #[schema(value_type = f64, example = 1.5)]
    remain_amount: Units,
    /// The price for 0.1 GB, in won.
    #[serde(rename = "pricePer100MB")]
    #[schema(value_type = i64)]
    unit_price: Won,
    /// The seller's mean rating, in stars; 0 without ratings.
    average_rate: f64,
    review_count: i64,
    /// Whether the caller is the seller.
    my_product: bool,
    /// Whether parts can be bought.
    split_type: bool,
    #[schema(value_type = String, example = "2025-08-07T12:34:56.789")]
    updated_at: LocalDateTime,
    /// `ACTIVE` or `SOLD_OUT`.
    product_state: &'static str,
}

impl From<DataDetail> for DataView {
    fn from(detail: DataDetail) -> Self {
        Self {
            product_id: detail.id,
            item_id: detail.id,
            price: detail.price,
            member_id: detail.seller.id,
            member_name: detail.seller.name,
            profile_image_url: detail.seller.image,
            remain_amount: detail.left,
            unit_price: detail.unit_price,
            average_rate: stars(detail.seller.rate),
            review_count: detail.seller.ratings,
            my_product: detail.mine,
            split_type: detail.sale == Sale::Split,
            updated_at: LocalDateTime::from_unix(detail.updated_at),
            product_state: detail.state.name(),
        }
    }
}

/// The details of an offer of mobile data.
#[utoipa::path(
    get, path = "/api/products/mobile-data/{id}", tag = "products",
    params(("id" = u32, Path, description = "The product", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<DataView>),
        (status = 400, description = "No such product (3002), not mobile data (3009), no longer \
            available (3003), invalid product id (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn detail(
    State(api): State<Api>,
    caller: Caller,
    InPath(id): InPath<ProductId>,
) -> Result<Json<Envelope<DataView>>, ApiError> {
    let detail = api.products.details().data(caller.member, id).await?;
    Ok(success(detail.into()))
}

/// The sale mode of a form's flag.
fn sale(is_split_type: bool) -> Sale {
    match is_split_type {
        false => Sale::Whole,
        true => Sale::Split,
    }
}

/// A new offer of mobile data.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataForm {
    /// The price of the whole amount, in won.
    #[schema(minimum = 1, maximum = 10_000_000)]
    price: i64,
    /// The amount, in gigabytes with one decimal, up to 2.
    #[schema(example = 1.5)]
    data_amount: f64,
    /// Whether parts can be bought.
    is_split_type: bool,
}

/// Offers mobile data until the end of the month.
#[utoipa::path(
    post, path = "/api/products/mobile-data", tag = "products", request_body = DataForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is listed.", body = Done),
        (status = 400, description = "More than 2 GB this month (3005), invalid amount (3006), no \
            mobile plan (3011), not enough data left in it (3014), invalid price (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn offer(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<DataForm>,
) -> Result<Json<Done>, ApiError> {
    let offer = NewData {
        member: caller.member,
        price: Price::parse(form.price)?,
        units: listed_units(form.data_amount)?,
        sale: sale(form.is_split_type),
    };
    api.products.offer_data(offer).await?;
    Ok(done())
}

/// The new terms of an offer of mobile data.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DataChangeForm {
    #[schema(value_type = u32)]
    product_id: ProductId,
    /// The price of the whole amount, in won.
    #[schema(minimum = 1, maximum = 10_000_000)]
    price: i64,
    /// The new amount, in gigabytes; not a difference.
    #[schema(example = 1.5)]
    changed_amount: f64,
    /// Whether parts can be bought.
    is_split_type: bool,
}

/// Changes an unsold offer of mobile data.
#[utoipa::path(
    put, path = "/api/products/mobile-data", tag = "products", request_body = DataChangeForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is changed.", body = Envelope<Changed>),
        (status = 400, description = "No such product (3002), not mobile data (3009), another \
            member's (3004), no longer available (3003), partly sold (3015); else as for a new \
            offer.",
            body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<DataChangeForm>,
) -> Result<Json<Envelope<Changed>>, ApiError> {
    let product_id = form.product_id;
    let to = NewData {
        member: caller.member,
        price: Price::parse(form.price)?,
        units: listed_units(form.changed_amount)?,
        sale: sale(form.is_split_type),
    };
    let change = DataChange {
        product: product_id,
        to,
    };
    api.products.change_data(change).await?;
    Ok(success(Changed { product_id }))
}
