//! Routes of Wi-Fi and hotspot spots, which have the same form.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use shared::ids::ProductId;
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InPath, InQuery, Page, PageInfo,
    PageSize, done, parameter, success,
};
use utoipa::{IntoParams, ToSchema};

use super::super::{Cursor, Filter, Kind, ListQuery, NewSpot, Position};
use super::data::{after, sort};
use super::spot_view::{ChangeForm, OfferForm, SpotRow, SpotView};
use super::{Api, Changed};
use crate::auth::Caller;
use crate::images::UseError;

/// Parameters of a list of spots.
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
    /// The sort order: by distance, by price for ten minutes, by the seller's rating.
    #[param(inline, value_type = Option<SpotSort>, default = "DISTANCE_ASC")]
    product_sort_option: Option<String>,
    /// Filter: `true` for spots that are open now.
    #[param(value_type = Option<bool>)]
    open: Option<String>,
    /// The latitude of the caller, in degrees.
    #[param(required = true, value_type = f64, minimum = -90, maximum = 90)]
    latitude: Option<String>,
    /// The longitude of the caller, in degrees.
    #[param(required = true, value_type = f64, minimum = -180, maximum = 180)]
    longitude: Option<String>,
}

/// The sort orders of spots.
// Only for the document: `Sort::parse` reads them.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "SCREAMING_SNAKE_CASE")]
#[expect(dead_code, reason = "stands for a text in the document")]
enum SpotSort {
    DistanceAsc,
    PriceAsc,
    AverageRateDesc,
}

async fn list(
    api: &Api,
    caller: &Caller,
    kind: Kind,
    asked: &ListParameters,
) -> Result<Json<Envelope<Page<SpotRow>>>, ApiError> {
    let size = PageSize::parse_required(asked.size.as_deref())?;
    let degrees = |text: Option<&str>| parameter::<f64>(text)?.ok_or(ErrorCode::InvalidParameter);
    let latitude = degrees(asked.latitude.as_deref())?;
    let longitude = degrees(asked.longitude.as_deref())?;
    let at = Position::new(latitude, longitude).ok_or(ErrorCode::InvalidParameter)?;
    let open: Option<bool> = parameter(asked.open.as_deref())?;
    let query = ListQuery {
        reader: caller.member,
        kind,
        sort: sort(kind, asked.product_sort_option.as_deref())?,
        filter: if open == Some(true) {
            Filter::Open
        } else {
            Filter::None
        },
        size,
        after: after(asked.cursor_id.as_deref())?,
        at: Some(at),
    };
    let page = api.products.lists().list(query).await?;
    Ok(success(Page {
        data: page.rows.into_iter().filter_map(SpotRow::new).collect(),
        page_info: PageInfo::new(page.next.map(Cursor::get), size),
    }))
}

async fn offer(
    api: &Api,
    caller: &Caller,
    kind: Kind,
    form: OfferForm,
) -> Result<Json<Done>, ApiError> {
    let form = form.spot.with(form.images);
    let images = form.images.clone();
    let spot = NewSpot::parse(caller.member, kind, form)?;
    check_images(api, caller, &images, &[]).await?;
    api.products.offer_spot(spot).await?;
    Ok(done())
}

async fn change(
    api: &Api,
    caller: &Caller,
    kind: Kind,
    form: ChangeForm,
) -> Result<Json<Envelope<Changed>>, ApiError> {
    let product_id = form.product_id;
    let form = form.spot.with(form.image_urls);
    let images = form.images.clone();
    let spot = NewSpot::parse(caller.member, kind, form)?;
    let shown = api
        .products
        .details()
        .spot(caller.member, kind, product_id)
        .await?;
    if !shown.mine {
        return Err(ErrorCode::NotMyProduct.into());
    }
    check_images(api, caller, &images, &shown.images).await?;
    api.products.change_spot(product_id, spot).await?;
    Ok(success(Changed { product_id }))
}

/// Checks new pictures: uploaded by the member, in the declared format. At most ten (`form`).
async fn check_images(
    api: &Api,
    caller: &Caller,
    images: &[String],
    shown: &[String],
) -> Result<(), UseError> {
    for image in images.iter().filter(|image| !shown.contains(image)) {
        api.images.check(caller.member, image).await?;
    }
    Ok(())
}

/// Lists the Wi-Fi spots that can be bought.
#[utoipa::path(
    get, path = "/api/products/wifi", tag = "products", params(ListParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<SpotRow>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter or a cursor of \
            another list (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list_wifi(
    State(api): State<Api>,
    caller: Caller,
    InQuery(asked): InQuery<ListParameters>,
) -> Result<Json<Envelope<Page<SpotRow>>>, ApiError> {
    list(&api, &caller, Kind::Wifi, &asked).await
}

/// The details of a Wi-Fi spot.
#[utoipa::path(
    get, path = "/api/products/wifi/{id}", tag = "products",
    params(("id" = u32, Path, description = "The product", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<SpotView>),
        (status = 400, description = "No such product (3002), not Wi-Fi (3010), no longer available \
            (3003), invalid product id (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn wifi(
    State(api): State<Api>,
    caller: Caller,
    InPath(id): InPath<ProductId>,
) -> Result<Json<Envelope<SpotView>>, ApiError> {
    let detail = api
        .products
        .details()
        .spot(caller.member, Kind::Wifi, id)
        .await?;
    Ok(success(detail.into()))
}

/// Offers a Wi-Fi spot.
#[utoipa::path(
    post, path = "/api/products/wifi", tag = "products", request_body = OfferForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is listed.", body = Done),
        (status = 400, description = "The start is after the end (3007), unusable picture (3013), \
            invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn offer_wifi(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<OfferForm>,
) -> Result<Json<Done>, ApiError> {
    offer(&api, &caller, Kind::Wifi, form).await
}

/// Changes a Wi-Fi spot. Its bookings stay unchanged.
#[utoipa::path(
    put, path = "/api/products/wifi", tag = "products", request_body = ChangeForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is changed.", body = Envelope<Changed>),
        (status = 400, description = "No such product (3002), not Wi-Fi (3010), another member's \
            (3004), no longer available (3003); else as for a new offer.", body = ErrorBody),
    ),
)]
pub(super) async fn change_wifi(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<ChangeForm>,
) -> Result<Json<Envelope<Changed>>, ApiError> {
    change(&api, &caller, Kind::Wifi, form).await
}

/// Lists the hotspots that can be bought.
#[utoipa::path(
    get, path = "/api/products/hotspot", tag = "products", params(ListParameters),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. One page.", body = Envelope<Page<SpotRow>>),
        (status = 400, description = "Unknown sort option (3000), invalid parameter or a cursor of \
            another list (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn list_hotspots(
    State(api): State<Api>,
    caller: Caller,
    InQuery(asked): InQuery<ListParameters>,
) -> Result<Json<Envelope<Page<SpotRow>>>, ApiError> {
    list(&api, &caller, Kind::Hotspot, &asked).await
}

/// The details of a hotspot.
#[utoipa::path(
    get, path = "/api/products/hotspot/{id}", tag = "products",
    params(("id" = u32, Path, description = "The product", minimum = 1)),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<SpotView>),
        (status = 400, description = "No such product (3002), not a hotspot (3010), no longer \
            available (3003), invalid product id (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn hotspot(
    State(api): State<Api>,
    caller: Caller,
    InPath(id): InPath<ProductId>,
) -> Result<Json<Envelope<SpotView>>, ApiError> {
    let detail = api
        .products
        .details()
        .spot(caller.member, Kind::Hotspot, id)
        .await?;
    Ok(success(detail.into()))
}

/// Offers a hotspot.
#[utoipa::path(
    post, path = "/api/products/hotspot", tag = "products", request_body = OfferForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is listed.", body = Done),
        (status = 400, description = "The start is after the end (3007), unusable picture (3013), \
            invalid parameter (1006).", body = ErrorBody),
    ),
)]
pub(super) async fn offer_hotspot(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<OfferForm>,
) -> Result<Json<Done>, ApiError> {
    offer(&api, &caller, Kind::Hotspot, form).await
}

/// Changes a hotspot. Its bookings stay unchanged.
#[utoipa::path(
    put, path = "/api/products/hotspot", tag = "products", request_body = ChangeForm,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The offer is changed.", body = Envelope<Changed>),
        (status = 400, description = "No such product (3002), not a hotspot (3010), another member's \
            (3004), no longer available (3003); else as for a new offer.", body = ErrorBody),
    ),
)]
pub(super) async fn change_hotspot(
    State(api): State<Api>,
    caller: Caller,
    InBody(form): InBody<ChangeForm>,
) -> Result<Json<Envelope<Changed>>, ApiError> {
    change(&api, &caller, Kind::Hotspot, form).await
}
