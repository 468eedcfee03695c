//! The JSON envelope of successes. Errors have the same form: [`super::ErrorBody`].

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The message of every success; the front end reads the code only.
const DONE: &str = "요청을 처리했습니다.";

/// A successful response.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope<T> {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// A fixed text.
    message: &'static str,
    /// The result.
    data: T,
}

/// A successful response without data.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    /// Always 0.
    #[schema(example = 0)]
    code: u16,
    /// A fixed text.
    message: &'static str,
}

/// `data` in its envelope.
pub fn success<T>(data: T) -> Json<Envelope<T>> {
    Json(Envelope {
        code: 0,
        message: DONE,
        data,
    })
}

/// The envelope without data.
pub fn done() -> Json<Done> {
    Json(Done {
        code: 0,
        message: DONE,
    })
}
