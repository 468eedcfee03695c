//! Pictures in a folder of this computer, for the embedded mode.
//!
//! It stands where an object store stands otherwise: the upload URL is signed and ends, the public
//! one is open. Its routes are not part of the API's document, as those of an object store are not.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use serde::Deserialize;
use shared::clock::{Clock, UnixMillis};
use shared::web::{Refusal, guarded};
use tokio::io::AsyncReadExt as _;

use super::{HEAD_BYTES, Head, IMAGE_BYTES_MAX, Key, ObjectStore, StoreError, UPLOAD_TIME};

/// Where the routes are.
const PATH: &str = "/api/images/files";

/// Pictures in a folder.
#[derive(Debug)]
pub struct LocalImages {
    folder: PathBuf,
    base_url: String,
    secret: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl LocalImages {
    /// A folder, and under which URL this server is reached. The signatures' secret is random: open
    /// places end with the process.
    #[must_use]
    pub fn new(folder: PathBuf, base_url: &str, clock: Arc<dyn Clock>) -> Self {
        let secret: [u8; 32] = rand::random();
        Self {
            folder,
            base_url: base_url.trim_end_matches('/').to_owned(),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            clock,
        }
    }

    /// Where its URLs lead to.
    pub fn router(self: Arc<Self>) -> Router {
        let bytes_max = usize::try_from(IMAGE_BYTES_MAX).unwrap_or(usize::MAX);
        let routes = Router::new()
            .route(
                &format!("{PATH}/{{member}}/{{name}}"),
                get(read_file).put(put_file),
            )
            .layer(DefaultBodyLimit::max(bytes_max));
        guarded(routes, bytes_max).with_state(self)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.to_string())
    }

    fn text(key: &Key, expires: i64) -> String {
        format!("PUT {key} {expires}")
    }

    async fn write(&self, key: &Key, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(key);
        if let Some(folder) = path.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        // Whole or not at all.
        let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
        tokio::fs::write(&draft, bytes).await?;
        tokio::fs::rename(&draft, &path).await
    }
}

#[async_trait]
impl ObjectStore for LocalImages {
    fn upload_url(&self, key: &Key, now: UnixMillis) -> String {
        let expires = now.saturating_add(UPLOAD_TIME).get();
        let tag = hmac::sign(&self.secret, Self::text(key, expires).as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(tag);
        let place = self.public_url(key);
        format!("{place}?expires={expires}&signature={signature}")
    }

    fn public_url(&self, key: &Key) -> String {
        let key = key.to_string();
        let rest = key.trim_start_matches("images/");
        format!("{}{PATH}/{rest}", self.base_url)
    }

    fn key_of(&self, public_url: &str) -> Option<Key> {
        let path = public_url.strip_prefix(&self.base_url)?;
        let rest = path.strip_prefix(PATH)?.strip_prefix('/')?;
        format!("images/{rest}").parse().ok()
    }

    async fn head(&self, key: &Key, _: UnixMillis) -> Result<Option<Head>, StoreError> {
        let failed = |error: io::Error| StoreError(error.to_string());
        let file = match tokio::fs::File::open(self.path(key)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size = file.metadata().await.map_err(failed)?.len();
        let mut bytes = Vec::new();
        let mut beginning = file.take(HEAD_BYTES as u64);
        beginning.read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(Some(Head { bytes, size }))
    }

    async fn remove(&self, key: &Key, _: UnixMillis) -> Result<(), StoreError> {
        match tokio::fs::remove_file(self.path(key)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError(error.to_string()))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[derive(Debug, Deserialize)]
struct Signed {
    expires: Option<i64>,
    signature: Option<String>,
}

async fn put_file(
    State(images): State<Arc<LocalImages>>,
    Path((member, name)): Path<(String, String)>,
    Query(signed): Query<Signed>,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Result<StatusCode, Refusal> {
    let key = parse(&member, &name)?;
    let (Some(expires), Some(signature)) = (signed.expires, signed.signature) else {
        return Err(Refusal::Forbidden);
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let text = LocalImages::text(&key, expires);
    let is_ours = hmac::verify(&images.secret, text.as_bytes(), &signature).is_ok();
    if !is_ours || images.clock.unix_millis().get() >= expires {
        return Err(Refusal::Forbidden);
    }
    let body = body.map_err(|_too_large| Refusal::TooLarge)?;
    images.write(&key, &body).await.map_err(|error| {
        tracing::error!("a picture could not be written: {error}");
        Refusal::Unavailable
    })?;
    Ok(StatusCode::OK)
}

async fn read_file(
    State(images): State<Arc<LocalImages>>,
    Path((member, name)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let key = parse(&member, &name).map_err(|_no_key| Refusal::Path)?;
    let bytes = tokio::fs::read(images.path(&key)).await;
    let bytes = bytes.map_err(|_missing| Refusal::Path)?;
    let media_type = key
        .format()
        .map_or("application/octet-stream", |f| f.media_type());
    // Whatever somebody has put there, a browser shows it as a picture or not at all.
    let headers = [
        (CONTENT_TYPE, media_type),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    Ok((headers, bytes).into_response())
}

fn parse(member: &str, name: &str) -> Result<Key, Refusal> {
    format!("images/{member}/{name}")
        .parse()
        .map_err(|_invalid| Refusal::Parameter)
}
