//! `/api/members`, `/api/auth/logout`, `/api/images/presign`, `/.well-known/jwks.json`.

#![expect(
    unused_qualifications,
    reason = "utoipa's macro writes the path of a type of parameters in full"
)]

use axum::Json;
use axum::extract::State;
use axum::response::AppendHeaders;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use shared::claims::{Jwk, Jwks};
use shared::clock::LocalDateTime;
use shared::ids::MemberId;
use shared::money::{Units, Won};
use shared::web::{
    CommonError, Credentials, Done, Envelope, FailureBody, InBody, InQuery, done, is_own_page,
    parameter, success,
};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export::Export;
use super::{Info, Members};
use crate::auth::{Auth, Caller, InfoCaller};
use crate::http::{ApiError, Language};
use crate::images::{Images, PlaceError};

/// The longest picture URL that is looked at.
const URL_BYTES_MAX: usize = 2_048;

/// Public keys may be kept for five minutes: a new one is published before it signs, and whoever
/// meets an unknown one asks again.
const KEYS_AGE: HeaderValue = HeaderValue::from_static("public, max-age=300");

#[derive(Clone, Debug)]
struct Api {
    members: Members,
    images: Images,
    auth: Auth,
    allowed_origins: Arc<[String]>,
}

/// The routes.
pub fn routes(
    members: Members,
    images: Images,
    auth: Auth,
    allowed_origins: Arc<[String]>,
) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(info))
        .routes(routes!(become_member))
        .routes(routes!(cash))
        .routes(routes!(buying_data))
        .routes(routes!(selling_data))
        .routes(routes!(sold_data))
        .routes(routes!(profile_image))
        .routes(routes!(language))
        .routes(routes!(export))
        .routes(routes!(presign))
        .routes(routes!(log_out))
        .routes(routes!(keys))
        .with_state(Api {
            members,
            images,
            auth,
            allowed_origins,
        })
}

/// Whose information.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
struct InfoQuery {
    /// The member; oneself where it is missing.
    #[param(value_type = Option<u32>, minimum = 1)]
    member_id: Option<String>,
}

/// What everybody may know of a member.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct MemberInfo {
    #[schema(value_type = u32)]
    member_id: MemberId,
    /// The name shown to others.
    name: String,
    /// Their picture.
    profile_image_url: Option<String>,
    /// The day, in Korea.
    #[schema(example = "2025-08-07")]
    joined_at: String,
    /// From 1.0 to 5.0; 0 without ratings.
    average_rating: f64,
    /// Ratings.
    review_count: u64,
    /// Purchases.
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

/// Stars with one decimal, of a sum of tenths.
fn mean(tenths: i64, count: u64) -> f64 {
    let (Ok(count), Ok(tenths)) = (u32::try_from(count), i32::try_from(tenths)) else {
        return 0.0;
    };
    if count == 0 {
        return 0.0;
    }
    (f64::from(tenths) / f64::from(count)).round() / 10.0
}

/// What everybody may know of a member, or of oneself.
///
/// Here alone a refresh token is taken in the access cookie.
#[utoipa::path(
    get, path = "/api/members/info", tag = "members", params(InfoQuery),
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "It is this", body = Envelope<MemberInfo>),
        (status = 400, description = "No such member (2005), or no member id (1006)",
            body = FailureBody),
    ),
)]
async fn info(
    State(api): State<Api>,
    InfoCaller(caller): InfoCaller,
    InQuery(query): InQuery<InfoQuery>,
) -> Result<Json<Envelope<MemberInfo>>, ApiError> {
    let asked: Option<MemberId> = parameter(query.member_id.as_deref())?;
    let info = api.members.info(asked.unwrap_or(caller.member)).await?;
    Ok(success(info.into()))
}

/// Onboarding is over: a new member becomes a member. For others nothing happens.
#[utoipa::path(
    post, path = "/api/members/role", tag = "members", security(("access" = []), ("bearer" = [])),
    responses((status = 204, description = "Done")),
)]
async fn become_member(State(api): State<Api>, caller: Caller) -> Result<StatusCode, ApiError> {
    api.members.become_member(caller.member).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a member can spend.
#[derive(Debug, Serialize, ToSchema)]
struct Cash {
    /// In won.
    #[schema(value_type = i64)]
    cash: Won,
}

/// What I can spend.
#[utoipa::path(
    get, path = "/api/members/cash", tag = "members", security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "It is this", body = Envelope<Cash>)),
)]
async fn cash(State(api): State<Api>, caller: Caller) -> Result<Json<Envelope<Cash>>, ApiError> {
    let cash = api.members.cash(caller.member).await?;
    Ok(success(Cash { cash }))
}

/// An amount of data.
#[derive(Debug, Serialize, ToSchema)]
struct Data {
    /// Gigabytes with one decimal.
    #[schema(value_type = f64, example = 1.5)]
    data: Units,
}

/// What I bought this month.
#[utoipa::path(
    get, path = "/api/members/buying-data", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "It is this", body = Envelope<Data>)),
)]
async fn buying_data(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = api.members.this_month(caller.member).await?.bought;
    Ok(success(Data { data }))
}

/// What I offered this month, sold or not.
#[utoipa::path(
    get, path = "/api/members/selling-data", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "It is this", body = Envelope<Data>)),
)]
async fn selling_data(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = api.members.this_month(caller.member).await?.listed;
    Ok(success(Data { data }))
}

/// What I sold this month.
#[utoipa::path(
    get, path = "/api/members/selling-data/sold", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "It is this", body = Envelope<Data>)),
)]
async fn sold_data(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Envelope<Data>>, ApiError> {
    let data = api.members.this_month(caller.member).await?.sold;
    Ok(success(Data { data }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct NewImage {
    /// The `publicUrl` of a picture that was uploaded.
    image_url: String,
}

/// A picture that I uploaded becomes mine for everybody.
#[utoipa::path(
    post, path = "/api/members/profile-image", tag = "members", request_body = NewImage,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 400, description = "No picture of mine that can be used (3013), or no body (1006)",
            body = FailureBody),
    ),
)]
async fn profile_image(
    State(api): State<Api>,
    caller: Caller,
    InBody(new): InBody<NewImage>,
) -> Result<Json<Done>, ApiError> {
    if new.image_url.len() > URL_BYTES_MAX {
        return Err(ApiError::ImageFormat);
    }
    api.members
        .set_profile_image(caller.member, new.image_url)
        .await?;
    Ok(done())
}

#[derive(Debug, Deserialize, ToSchema)]
struct NewLanguage {
    /// `ko` or `en`.
    #[schema(pattern = "^(ko|en)$")]
    language: String,
}

/// In which language I want to be told, where a request does not say.
#[utoipa::path(
    post, path = "/api/members/language", tag = "members", request_body = NewLanguage,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "Done", body = Done),
        (status = 400, description = "Another language, or no body (1006)", body = FailureBody),
    ),
)]
async fn language(
    State(api): State<Api>,
    caller: Caller,
    InBody(new): InBody<NewLanguage>,
) -> Result<Json<Done>, ApiError> {
    let language = Language::parse(&new.language).ok_or(CommonError::Parameter)?;
    api.members.set_language(caller.member, language).await?;
    Ok(done())
}

/// Everything that is kept of me.
#[utoipa::path(
    get, path = "/api/members/export", tag = "members",
    security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "It is this", body = Envelope<Export>)),
)]
async fn export(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Envelope<Export>>, ApiError> {
    Ok(success(api.members.export(caller.member).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
struct Files {
    /// 1 to 10 names that end in `.jpg`, `.jpeg` or `.png`.
    #[schema(min_items = 1, max_items = 10)]
    filenames: Vec<String>,
}

/// A place for a picture.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Presigned {
    /// The name that was asked for.
    filename: String,
    /// Where to PUT the file, within 5 minutes.
    url: String,
    /// Where it can be read then.
    public_url: String,
    /// Where it lies.
    key: String,
}

/// Places for pictures.
#[utoipa::path(
    post, path = "/api/images/presign", tag = "images", request_body = Files,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "They are these, in the order of the names",
            body = Envelope<Vec<Presigned>>),
        (status = 400, description = "Not pictures (3013), none or too many, or no body (1006)",
            body = FailureBody),
    ),
)]
async fn presign(
    State(api): State<Api>,
    caller: Caller,
    InBody(files): InBody<Files>,
) -> Result<Json<Envelope<Vec<Presigned>>>, ApiError> {
    let places = api.images.place(caller.member, &files.filenames).await?;
    let presigned = files.filenames.into_iter().zip(places);
    let presigned = presigned.map(|(filename, place)| Presigned {
        filename,
        url: place.upload_url,
        public_url: place.public_url,
        key: place.key.to_string(),
    });
    Ok(success(presigned.collect()))
}

impl From<PlaceError> for ApiError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Format => Self::ImageFormat,
            PlaceError::Count => Self::Web(CommonError::Parameter),
            PlaceError::TooMany => Self::Web(CommonError::TooMany),
            PlaceError::Db(error) => error.into(),
        }
    }
}

type LoggedOut = (AppendHeaders<Vec<(HeaderName, HeaderValue)>>, Json<Done>);

/// Ends this login at once; its tokens are worth nothing from now on.
///
/// A blocked member may leave, too, and so may one whose access token has expired.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "login", security(("access" = []), ("bearer" = [])),
    responses((status = 200, description = "Done; the cookies are removed", body = Done)),
)]
async fn log_out(State(api): State<Api>, headers: HeaderMap) -> Result<LoggedOut, ApiError> {
    let credentials = Credentials::from_headers(&headers);
    // Another page could otherwise throw members out.
    let by_cookie = credentials.bearer.is_none() && credentials.has_cookies();
    if by_cookie && !is_own_page(&headers, &api.allowed_origins) {
        return Err(CommonError::Forbidden.into());
    }
    let cookies = api.auth.end(&credentials).await?;
    let cookies = cookies.into_iter().map(|cookie| (SET_COOKIE, cookie));
    Ok((AppendHeaders(cookies.collect()), done()))
}

/// The public keys that tokens are checked with (RFC 7517), the signing one first.
#[derive(Debug, Serialize, ToSchema)]
struct PublicKeys {
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Jwk>,
}

/// The public keys that tokens are checked with.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "login",
    responses((status = 200, description = "They are these", body = PublicKeys)),
)]
async fn keys(State(api): State<Api>) -> ([(HeaderName, HeaderValue); 1], Json<PublicKeys>) {
    let Jwks { keys } = api.auth.keys().published();
    ([(CACHE_CONTROL, KEYS_AGE)], Json(PublicKeys { keys }))
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
