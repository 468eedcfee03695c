//! Routes of `/api/images`: upload slots.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shared::web::{ApiError, Envelope, ErrorBody, ErrorCode, InBody, success};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Images, PlaceError, UseError};
use crate::auth::Caller;

/// The routes.
pub fn routes(images: Images) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(presign))
        .with_state(images)
}

#[derive(Debug, Deserialize, ToSchema)]
struct Files {
    /// 1 to 10 file names that end in `.jpg`, `.jpeg` or `.png`.
    #[schema(min_items = 1, max_items = 10)]
    filenames: Vec<String>,
}

/// An upload slot of a picture.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Presigned {
    /// The requested file name.
    filename: String,
    /// The URL for a PUT of the file, valid for 5 minutes.
    url: String,
    /// The public URL of the picture, once a profile or an offer uses it.
    public_url: String,
    /// The object key in the store.
    key: String,
}

/// Creates upload slots for pictures.
#[utoipa::path(
    post, path = "/api/images/presign", tag = "images", request_body = Files,
    security(("access" = []), ("bearer" = [])),
    responses(
        (status = 200, description = "OK. In the order of the names.",
            body = Envelope<Vec<Presigned>>),
        (status = 400, description = "Not names of pictures (3013); no names or too many, invalid \
            body (1006).",
            body = ErrorBody),
    ),
)]
async fn presign(
    State(images): State<Images>,
    caller: Caller,
    InBody(files): InBody<Files>,
) -> Result<Json<Envelope<Vec<Presigned>>>, ApiError> {
    let places = images.place(caller.member, &files.filenames).await?;
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
            PlaceError::Format => ErrorCode::ImageFormat.into(),
            PlaceError::Count => ErrorCode::InvalidParameter.into(),
            PlaceError::Closed => ErrorCode::TokenInvalid.into(),
            PlaceError::TooMany => ErrorCode::TooManyRequests.into(),
            PlaceError::Db(error) => error.into(),
        }
    }
}

impl From<UseError> for ApiError {
    fn from(error: UseError) -> Self {
        match error {
            UseError::NotUsable => ErrorCode::ImageFormat.into(),
            UseError::Store(error) => {
                tracing::warn!("{error}");
                ErrorCode::Unavailable.into()
            }
            UseError::Db(error) => error.into(),
        }
    }
}
