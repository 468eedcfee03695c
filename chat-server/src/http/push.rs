//! Push targets: tokens of apps, subscriptions of browsers.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::web::{ApiError, Done, Envelope, ErrorBody, ErrorCode, InBody, done, success};
use utoipa::ToSchema;

use super::HttpState;
use super::extract::Caller;
use crate::push::fcm::Token;
use crate::push::web::{Endpoint, Subscription, SubscriptionKeys};
use crate::push::{Target, TargetDigest};

/// A registration token of Firebase Cloud Messaging.
#[derive(Deserialize, ToSchema)]
pub(super) struct TokenBody {
    /// 1 to 1,024 visible ASCII characters.
    token: String,
}

impl TokenBody {
    fn target(self) -> Result<Target, ErrorCode> {
        let token = Token::new(self.token).ok_or(ErrorCode::InvalidParameter)?;
        Ok(Target::Fcm(token))
    }
}

/// A browser's `PushSubscription`, as its `toJSON` returns it.
#[derive(Deserialize, ToSchema)]
pub(super) struct SubscriptionBody {
    /// An https URL on port 443 with a public host name.
    endpoint: String,
    /// The keys that messages are encrypted with.
    keys: KeysBody,
}

/// Keys of a subscription, in base64url.
#[derive(Deserialize, ToSchema)]
pub(super) struct KeysBody {
    /// The browser's public key.
    p256dh: String,
    /// The shared secret.
    auth: String,
}

/// The subscription that ends.
#[derive(Deserialize, ToSchema)]
pub(super) struct EndpointBody {
    /// Its endpoint.
    endpoint: String,
}

/// The key for subscriptions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct VapidKeyRow {
    /// The `applicationServerKey`, in base64url. Missing if this site has no push to browsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<String>,
}

/// The caller's app gets push notifications. The ten newest targets of a member, apps and browsers together,
/// remain; a token that another member saved before is that member's no longer.
#[utoipa::path(
    post, path = "/api/fcm/save", tag = "push", request_body = TokenBody,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. Repeating it changes nothing.", body = Done),
        (status = 400, description = "Invalid token (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn save_token(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<TokenBody>,
) -> Result<Json<Done>, ApiError> {
    let target = body.target()?;
    state.push.targets.save(caller.member, &target).await?;
    Ok(done())
}

/// The caller's app gets no push notifications any more: at a logout.
#[utoipa::path(
    delete, path = "/api/fcm", tag = "push", request_body = TokenBody,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK, also if there was no such token.", body = Done),
        (status = 400, description = "Invalid token (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn remove_token(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<TokenBody>,
) -> Result<Json<Done>, ApiError> {
    let digest = body.target()?.digest();
    state.push.targets.remove(caller.member, &digest).await?;
    Ok(done())
}

/// The caller's browser gets push notifications; see `POST /api/fcm/save`.
#[utoipa::path(
    post, path = "/api/push/subscriptions", tag = "push", request_body = SubscriptionBody,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. Repeating it changes nothing.", body = Done),
        (status = 400, description = "Invalid keys, or an endpoint that is not allowed (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn subscribe(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<SubscriptionBody>,
) -> Result<Json<Done>, ApiError> {
    let invalid = ErrorCode::InvalidParameter;
    let targets = &state.push.targets;
    let subscription = Subscription {
        endpoint: Endpoint::parse(&body.endpoint, targets.test_url())
            .map_err(|_invalid| invalid)?,
        keys: SubscriptionKeys::parse(&body.keys.p256dh, &body.keys.auth)
            .map_err(|_invalid| invalid)?,
    };
    let target = Target::Web(subscription);
    targets.save(caller.member, &target).await?;
    Ok(done())
}

/// The caller's browser gets no push notifications any more.
#[utoipa::path(
    delete, path = "/api/push/subscriptions", tag = "push", request_body = EndpointBody,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK, also if there was no such subscription.", body = Done),
        (status = 400, description = "An endpoint that is not allowed (1006).", body = ErrorBody),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "Request of a foreign page (1003), or the member is blocked (2012).", body = ErrorBody),
        (status = 413, description = "Request body too large (1008).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn unsubscribe(
    State(state): State<HttpState>,
    Caller(caller): Caller,
    InBody(body): InBody<EndpointBody>,
) -> Result<Json<Done>, ApiError> {
    let targets = &state.push.targets;
    let endpoint = Endpoint::parse(&body.endpoint, targets.test_url());
    let endpoint = endpoint.map_err(|_invalid| ErrorCode::InvalidParameter)?;
    let digest = TargetDigest::of_endpoint(&endpoint);
    targets.remove(caller.member, &digest).await?;
    Ok(done())
}

/// The public key for browsers' subscriptions.
#[utoipa::path(
    get, path = "/api/push/vapid-key", tag = "push",
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK.", body = Envelope<VapidKeyRow>),
        (status = 401, description = "No login (2014), or an invalid or expired one (2007).", body = ErrorBody),
        (status = 403, description = "The member is blocked (2012).", body = ErrorBody),
        (status = 503, description = "The store (8007), or the server (1010), is unavailable.", body = ErrorBody),
    ),
)]
pub(super) async fn vapid_key(
    State(state): State<HttpState>,
    _: Caller,
) -> Json<Envelope<VapidKeyRow>> {
    let public_key = state.push.vapid_key.as_deref().map(str::to_owned);
    success(VapidKeyRow { public_key })
}
