//! Routes of `/api/members` that join domains, and `/api/plans`.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::money::{Units, Won};
use shared::web::{
    ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, InQuery, done, parameter, success,
};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::Export;
use super::{Account, AccountError, CloseError, InUse, Info};
use crate::auth::{Caller, InfoCaller};
use crate::http::ResponseContext;

/// Bound of a picture URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// The routes.
pub fn routes(account: Account) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(my_data))
        .routes(routes!(buying_data))
        .routes(routes!(selling_data))
        .routes(routes!(sold_data))
        .routes(routes!(profile_image))
        .routes(routes!(export))
        .routes(routes!(close))
        .with_state(account)
}

/// Parameters of a public profile.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct InfoQuery {
    /// The member; by default the caller.
    #[param(value_type = Option<u32>, minimum = 1)]
    member_id: Option<String>,
}

/// A public profile.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemberInfo {
    #[schema(value_type = u32)]
    member_id: MemberId,
    /// The display name.
    name: String,
    /// The URL of the profile picture.
    profile_image_url: Option<String>,
    /// The day of registration, in Korean time.
    #[schema(example = "2025-08-07")]
    joined_at: String,
    /// The mean rating, from 1.0 to 5.0 stars; 0 without ratings.
    average_rating: f64,
    /// The number of ratings.
    review_count: u64,
    /// The number of purchases.
    trade_count: u64,
}

impl From<Info> for MemberInfo {
    fn from(info: Info) -> Self {
        let joined_at = LocalDateTime::from_unix(info.joined_at).to_string();
        Self {
            member_id: info.member,
            name: info.name,
            profile_image_url: info.image_url,
            joined_at: joined_at.split('T').next().unwrap_or_default().to_owned(),
            average_rating: mean(info.rating_sum, info.rating_count),
            review_count: info.rating_count,
            trade_count: info.purchases,
        }
    }
}

/// The average rating in stars, with one decimal, from a sum of tenths.
fn mean(tenths: i64, count: u64) -> f64 {
    let (Ok(count), Ok(tenths)) = (u32::try_from(count), i32::try_from(tenths)) else {
        return 0.0;
    };
    if count == 0 {
        return 0.0;
    }
    (f64::from(tenths) / f64::from(count)).round() / 10.0
}

/// The public profile of a member, by default the caller's.
///
/// Only this route accepts a refresh token in the access cookie.
#[utoipa::path(
    get, path = "/api/members/info", tag = "members", params(InfoQuery),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<MemberInfo>),
        (status = 400, description = "No such member (2005), invalid member id (1006).",
            body = ErrorBody),
    ),
)]
async fn info(
    State(account): State<Account>,
    InfoCaller(caller): InfoCaller,
    InQuery(query): InQuery<InfoQuery>,
) -> Result<Json<Envelope<MemberInfo>>, ApiError> {
    let wanted: Option<MemberId> = parameter(query.member_id.as_deref())?;
    let info = account.info(wanted.unwrap_or(caller.member)).await?;
    Ok(success(info.into()))
}

/// A mobile plan and the data left in it this month. Amounts are gigabytes with one decimal.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MyData {
    /// The plan's name.
    name: String,
    /// The data left this month.
    #[schema(value_type = f64, example = 1.5)]
    current_data_amount: Units,
    /// The data included per month.
    #[schema(value_type = f64, example = 10.0)]
    providing_data_amount: Units,
    /// The price of a month, in won.
    #[schema(value_type = i64)]
    monthly_price: Won,
}

/// The caller's plan and the data left in it this month.
#[utoipa::path(
    get, path = "/api/plans/my-data", tag = "plans", security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<MyData>),
        (status = 400, description = "The member has no mobile plan (3011).", body = ErrorBody),
    ),
)]
async fn my_data(
    State(account): State<Account>,
    caller: Caller,
) -> Result<Json<Envelope<MyData>>, ApiError> {
    let balance = account.plan(caller.member).await?;
    let balance = balance.ok_or(ErrorCode::PlanUnknown)?;
    Ok(success(MyData {
        name: balance.name,
        current_data_amount: balance.current,
        providing_data_amount: balance.providing,
        monthly_price: balance.monthly_price,
    }))
}

/// An amount of data.
#[derive(Debug, Serialize, ToSchema)]
struct Data {
    /// Gigabytes with one decimal.
    #[schema(value_type = f64, example = 1.5)]
    data: Units,
}

/// The data that the caller bought this month.
#[utoipa::path(
    get, path = "/api/members/buying-data", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK.", body = Envelope<Data>)),
)]
async fn buying_data(
    State(account): State<Account>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = account.this_month(caller.member).await?.bought;
    Ok(success(Data { data }))
}

/// The data that the caller offered this month, sold or not.
#[utoipa::path(
    get, path = "/api/members/selling-data", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK.", body = Envelope<Data>)),
)]
async fn selling_data(
    State(account): State<Account>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = account.this_month(caller.member).await?.listed;
    Ok(success(Data { data }))
}

/// The data that the caller sold this month.
#[utoipa::path(
    get, path = "/api/members/selling-data/sold", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK.", body = Envelope<Data>)),
)]
async fn sold_data(
    State(account): State<Account>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = account.this_month(caller.member).await?.sold;
    Ok(success(Data { data }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewImage {
    /// The `publicUrl` of an uploaded picture.
    image_url: String,
}

/// Makes an uploaded picture the caller's profile picture.
#[utoipa::path(
    post, path = "/api/members/profile-image", tag = "members", request_body = NewImage,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Done),
        (status = 400, description = "Not an uploaded picture of the caller (3013), invalid body \
            (1006).",
            body = ErrorBody),
    ),
)]
async fn profile_image(
    State(account): State<Account>,
    caller: Caller,
    InBody(new): InBody<NewImage>,
) -> Result<Json<Done>, ApiError> {
    if new.image_url.len() > URL_BYTES_MAX {
        return Err(ErrorCode::ImageFormat.into());
    }
    account
        .set_profile_image(caller.member, new.image_url)
        .await?;
    Ok(done())
}

/// Exports all personal data that is stored about the caller.
#[utoipa::path(
    get, path = "/api/members/export", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "OK.", body = Envelope<Export>)),
)]
async fn export(
    State(account): State<Account>,
    caller: Caller,
) -> Result<Json<Envelope<Export>>, ApiError> {
    Ok(success(account.export(caller.member).await?))
}

/// Closes the caller's account for ever.
///
/// Personal data is removed, active offers are deleted, all sessions end. The books, trades and reviews stay, under a
/// neutral name. The same person gets a new account at the next login. Refused while there is cash, a debt, a charge or
/// refund in progress, or booked time that has not ended, and for the last administrator; `data.reasons` names each:
/// `CASH`, `DEBT`, `CHARGE`, `REFUND`, `BOOKING`, `ADMIN`.
#[utoipa::path(
    delete, path = "/api/members/me", tag = "members", security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. The cookies are removed.", body = Done),
        (status = 409, description = "The account is in use (2015).", body = ErrorBody),
    ),
)]
async fn close(
    State(account): State<Account>,
    Extension(response_context): Extension<ResponseContext>,
    caller: Caller,
) -> Result<Json<Done>, ApiError> {
    account.close(caller.member).await?;
    // After those of a session that was renewed with this request.
    for cookie in account.cookies.clear() {
        response_context.set_cookie(cookie);
    }
    Ok(done())
}

impl From<CloseError> for ApiError {
    fn from(error: CloseError) -> Self {
        match error {
            CloseError::InUse(reasons) => {
                let names: Vec<_> = reasons.into_iter().map(InUse::name).collect();
                Self::from(ErrorCode::AccountInUse).with_data(json!({ "reasons": names }))
            }
            CloseError::Closed => ErrorCode::TokenInvalid.into(),
            CloseError::Moved => ErrorCode::Unavailable.into(),
            CloseError::Db(error) => error.into(),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::MemberUnknown => ErrorCode::MemberUnknown.into(),
            AccountError::Db(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_has_one_decimal() {
        for (tenths, count, expected) in [(0, 0, 0.0), (45, 1, 4.5), (100, 3, 3.3), (145, 3, 4.8)] {
            let found = mean(tenths, count);
            assert!(
                (found - expected).abs() < f64::EPSILON,
                "{tenths}/{count}: {found}"
            );
        }
    }
}
