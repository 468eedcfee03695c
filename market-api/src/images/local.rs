//! Object store in a folder on this computer, for the embedded mode.
//!
//! It replaces S3: the upload URL is signed and expires, the public URL is open. Its routes are not part of
//! the OpenAPI document, just as those of an object store are not.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Path, Query, Request, State};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde::Deserialize;
use shared::clock::{Clock, UnixMillis};
use shared::web::{ErrorCode, Log, cors, guarded, logged};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{HEAD_BYTES, Head, IMAGE_BYTES_MAX, Key, ObjectStore, StoreError, UPLOAD_TIME};
use crate::http::keep_from_sniffing;

/// Path of the store's routes.
const PATH: &str = "/api/images/files";

/// A folder of pictures.
#[derive(Debug)]
pub struct LocalImages {
    folder: PathBuf,
    base_url: String,
    secret: hmac::Key,
    clock: Arc<dyn Clock>,
}

impl LocalImages {
    /// A store in a folder, whose URLs begin with `base_url`. The signing secret is random: upload URLs become
    /// invalid when the process ends.
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

    /// The routes behind its URLs, for pages of these origins and the server's own.
    pub fn router(self: Arc<Self>, allowed_origins: &[String], log: Log) -> Router {
        let bytes_max = usize::try_from(IMAGE_BYTES_MAX).unwrap_or(usize::MAX);
        let routes = Router::new()
            .route(
                &format!("{PATH}/{{member}}/{{name}}"),
                get(read_file).put(put_file),
            )
            .layer(DefaultBodyLimit::max(bytes_max));
        let routes = guarded(routes, bytes_max)
            .layer(cors(allowed_origins))
            .layer(from_fn(keep_from_sniffing));
        logged(routes, log).with_state(self)
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.to_string())
    }

    fn upload_path(&self, key: &Key) -> PathBuf {
        self.folder.join(key.upload_place())
    }

    /// True if the picture was checked and published.
    async fn is_used(&self, key: &Key) -> bool {
        tokio::fs::try_exists(self.path(key)).await.unwrap_or(false)
    }

    fn text(key: &Key, expires: i64) -> String {
        format!("PUT {key} {expires}")
    }

    /// The last uploaded file, with its size and tag. An upload replaces the file and never writes into it.
    async fn uploaded(&self, key: &Key) -> io::Result<Option<(File, u64, String)>> {
        let file = match File::open(self.upload_path(key)).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let data = file.metadata().await?;
        let tag = format!("{}-{}-{}", data.ino(), data.mtime(), data.mtime_nsec());
        Ok(Some((file, data.len(), tag)))
    }
}

/// Writes a file atomically: to a draft, then by a rename.
async fn write(path: &std::path::Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let draft = path.with_extension(format!("{:016x}", rand::random::<u64>()));
    let written = async {
        let mut file = File::create_new(&draft).await?;
        file.write_all(bytes).await?;
        // Otherwise a power failure could leave an empty file under the name.
        file.sync_all().await?;
        tokio::fs::rename(&draft, path).await
    };
    let written = written.await;
    if written.is_err() {
        // The draft would take space on a disk that may be full.
        tokio::fs::remove_file(&draft).await.ok();
    }
    written
}

async fn remove(path: &std::path::Path) -> Result<(), StoreError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn failed(error: impl ToString) -> StoreError {
    StoreError(error.to_string())
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
        let Some((file, size, tag)) = self.uploaded(key).await.map_err(failed)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let mut beginning = file.take(HEAD_BYTES as u64);
        beginning.read_to_end(&mut bytes).await.map_err(failed)?;
        Ok(Some(Head { bytes, size, tag }))
    }

    async fn publish(&self, key: &Key, seen: &Head, _: UnixMillis) -> Result<bool, StoreError> {
        let Some((file, size, tag)) = self.uploaded(key).await.map_err(failed)? else {
            return Ok(false);
        };
        if (size, &tag) != (seen.size, &seen.tag) {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        let mut whole = file.take(IMAGE_BYTES_MAX);
        whole.read_to_end(&mut bytes).await.map_err(failed)?;
        if !bytes.starts_with(&seen.bytes) {
            return Ok(false);
        }
        write(&self.path(key), &bytes).await.map_err(failed)?;
        Ok(true)
    }

    async fn remove_upload(&self, key: &Key, _: UnixMillis) -> Result<(), StoreError> {
        remove(&self.upload_path(key)).await
    }

    async fn remove(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError> {
        self.remove_upload(key, now).await?;
        remove(&self.path(key)).await
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
    request: Request,
) -> Result<StatusCode, ErrorCode> {
    let key = parse(&member, &name)?;
    let (Some(expires), Some(signature)) = (signed.expires, signed.signature) else {
        return Err(ErrorCode::Forbidden);
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
    let text = LocalImages::text(&key, expires);
    let is_ours = hmac::verify(&images.secret, text.as_bytes(), &signature).is_ok();
    if !is_ours || images.clock.unix_millis().get() >= expires {
        return Err(ErrorCode::Forbidden);
    }
    let unavailable = |error: String| {
        tracing::error!("picture not written: {error}");
        ErrorCode::Unavailable
    };
    // Checked before the body is read, so that a refused upload costs nothing.
    if images.is_used(&key).await {
        return Err(ErrorCode::Forbidden);
    }
    let body = Bytes::from_request(request, &()).await;
    let body = body.map_err(|_too_large| ErrorCode::BodyTooLarge)?;
    let upload = images.upload_path(&key);
    let written = write(&upload, &body).await;
    written.map_err(|error| unavailable(error.to_string()))?;
    // Published meanwhile: its upload is already removed, and nothing else would remove this one.
    if images.is_used(&key).await {
        remove(&upload)
            .await
            .map_err(|error| unavailable(error.0))?;
        return Err(ErrorCode::Forbidden);
    }
    Ok(StatusCode::OK)
}

async fn read_file(
    State(images): State<Arc<LocalImages>>,
    Path((member, name)): Path<(String, String)>,
) -> Result<Response, ErrorCode> {
    let key = parse(&member, &name).map_err(|_no_key| ErrorCode::RouteUnknown)?;
    let read = tokio::fs::read(images.path(&key)).await;
    let bytes = read.map_err(|error| {
        let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
        if absent.contains(&error.kind()) {
            return ErrorCode::RouteUnknown;
        }
        tracing::error!("picture not read: {error}");
        ErrorCode::Unavailable
    })?;
    let media_type = key
        .format()
        .map_or("application/octet-stream", |f| f.media_type());
    // Although the file was checked, these headers keep a browser from treating it as anything but a picture.
    let headers = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    Ok((headers, bytes).into_response())
}

fn parse(member: &str, name: &str) -> Result<Key, ErrorCode> {
    format!("images/{member}/{name}")
        .parse()
        .map_err(|_invalid| ErrorCode::InvalidParameter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failed_rename_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let taken = folder.path().join("1").join("picture.png");
        tokio::fs::create_dir_all(&taken).await.unwrap();
        write(&taken, b"bytes").await.unwrap_err();
        let left = std::fs::read_dir(folder.path().join("1")).unwrap();
        assert_eq!(left.count(), 1);
        let free = folder.path().join("2").join("picture.png");
        write(&free, b"bytes").await.unwrap();
        assert_eq!(std::fs::read(&free).unwrap(), b"bytes");
    }
}
