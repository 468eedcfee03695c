//! Object store with the S3 API.
//!
//! URLs are signed in their query (AWS Signature Version 4, "Authenticating Requests: Using Query
//! Parameters") by `rusty-s3`; requests are sent here, because it has no copy and sends nothing.

use std::time::Duration;

use async_trait::async_trait;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE};
use jiff::Timestamp;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use rusty_s3::{Method, signing};
use shared::clock::UnixMillis;
use shared::config::Secret;

use super::{Format, HEAD_BYTES, Head, Key, ObjectStore, StoreError, UPLOAD_TIME};

/// Deadline of a request. The store takes milliseconds, and a page waits for the result.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// Bound of a response. 16 KiB: the one to a copy is a few lines.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Unreachable: a file name without a known extension gets no upload slot.
const UNKNOWN_TYPE: &str = "application/octet-stream";

/// Address and credentials of a bucket.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket's own address: `https://bucket.s3.ap-northeast-2.amazonaws.com`, or an address with the
    /// bucket as its path.
    pub bucket_url: Url,
    /// The public address of the pictures: the bucket's, or that of a CDN in front of it.
    pub public_url: Url,
    /// The region, such as `ap-northeast-2`.
    pub region: String,
    /// The id of the access key that signs requests.
    pub access_key: String,
    /// The secret of the access key.
    pub secret_key: Secret<String>,
}

/// A bucket of pictures.
#[derive(Debug)]
pub struct S3Images {
    settings: S3Settings,
    client: Client,
}

impl S3Images {
    /// A client of the bucket.
    ///
    /// # Errors
    /// The system's TLS settings cannot be used.
    pub fn new(settings: S3Settings) -> Result<Self, StoreError> {
        let client = Client::builder()
            .timeout(ANSWER_MAX)
            .redirect(Policy::none())
            .build()
            .map_err(|error| StoreError(error.to_string()))?;
        Ok(Self { settings, client })
    }

    fn signed(&self, method: Method, place: &str, headers: &[Header<'_>], now: UnixMillis) -> Url {
        let mut url = self.settings.bucket_url.clone();
        url.set_path(&at(&url, place));
        let request = UnsignedRequest {
            method,
            url,
            headers,
        };
        sign(&self.settings, request, now, UPLOAD_TIME)
    }

    /// The source of a copy within the bucket: `/bucket/key`.
    fn source(&self, place: &str) -> String {
        let url = &self.settings.bucket_url;
        let in_path = url.path().trim_matches('/');
        if !in_path.is_empty() {
            return format!("/{in_path}/{place}");
        }
        let host = url.host_str().unwrap_or_default();
        let bucket = [".s3.", ".s3-"]
            .iter()
            .find_map(|end| host.split_once(end))
            .or_else(|| host.split_once('.'));
        let bucket = bucket.map_or(host, |(bucket, _)| bucket);
        format!("/{bucket}/{place}")
    }

    async fn remove_at(&self, place: &str, now: UnixMillis) -> Result<(), StoreError> {
        let request = self
            .client
            .delete(self.signed(Method::Delete, place, &[], now));
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            status => Err(StoreError(format!("it answers {status}"))),
        }
    }
}

#[async_trait]
impl ObjectStore for S3Images {
    fn upload_url(&self, key: &Key, now: UnixMillis) -> String {
        self.signed(Method::Put, &key.upload_place(), &[], now)
            .into()
    }

    fn public_url(&self, key: &Key) -> String {
        let mut url = self.settings.public_url.clone();
        url.set_path(&at(&url, &key.to_string()));
        url.into()
    }

    fn key_of(&self, public_url: &str) -> Option<Key> {
        let base = self.settings.public_url.as_str().trim_end_matches('/');
        let rest = public_url.strip_prefix(base)?.strip_prefix('/')?;
        rest.parse().ok()
    }

    async fn head(&self, key: &Key, now: UnixMillis) -> Result<Option<Head>, StoreError> {
        let range = format!("bytes=0-{}", HEAD_BYTES - 1);
        let request = self
            .client
            .get(self.signed(Method::Get, &key.upload_place(), &[], now))
            .header(RANGE, range);
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {}
            StatusCode::NOT_FOUND => return Ok(None),
            // An empty file has no first byte.
            StatusCode::RANGE_NOT_SATISFIABLE => {
                return Ok(Some(Head {
                    bytes: Vec::new(),
                    size: 0,
                    tag: String::new(),
                }));
            }
            status => return Err(StoreError(format!("it answers {status}"))),
        }
        let size = size(response.headers()).ok_or(StoreError("it tells no size".to_owned()))?;
        let tag = response.headers().get(ETAG);
        let tag = tag.and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        let tag = tag.ok_or(StoreError("it tells no tag".to_owned()))?;
        let mut bytes = Vec::new();
        while bytes.len() < HEAD_BYTES {
            let Some(chunk) = response.chunk().await.map_err(failed)? else {
                break;
            };
            bytes.extend_from_slice(&chunk[..chunk.len().min(HEAD_BYTES - bytes.len())]);
        }
        Ok(Some(Head { bytes, size, tag }))
    }

    async fn publish(&self, key: &Key, seen: &Head, now: UnixMillis) -> Result<bool, StoreError> {
        let media_type = key.format().map_or(UNKNOWN_TYPE, Format::media_type);
        let source = self.source(&key.upload_place());
        // Sorted by name, as the signature requires.
        let headers = [
            ("content-type", media_type),
            ("x-amz-copy-source", source.as_str()),
            // Copy only the file that was checked.
            ("x-amz-copy-source-if-match", seen.tag.as_str()),
            // The content type is ours, not the uploader's.
            ("x-amz-metadata-directive", "REPLACE"),
        ];
        let mut request =
            self.client
                .put(self.signed(Method::Put, &key.to_string(), &headers, now));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::PRECONDITION_FAILED | StatusCode::NOT_FOUND => return Ok(false),
            status => return Err(StoreError(format!("it answers {status}"))),
        }
        // S3 reports an error during a copy in the body of a 200 response.
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(StoreError("its answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        if String::from_utf8_lossy(&body).contains("<CopyObjectResult") {
            Ok(true)
        } else {
            Err(StoreError("the copy failed".to_owned()))
        }
    }

    async fn remove_upload(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError> {
        self.remove_at(&key.upload_place(), now).await
    }

    async fn remove(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError> {
        self.remove_upload(key, now).await?;
        self.remove_at(&key.to_string(), now).await
    }
}

/// The URL holds a signature and must not appear in errors.
fn failed(error: reqwest::Error) -> StoreError {
    StoreError(error.without_url().to_string())
}

/// Appends an object key to the path of a URL.
fn at(url: &Url, place: &str) -> String {
    format!("{}/{place}", url.path().trim_end_matches('/'))
}

/// The size of the whole file: from `Content-Range: bytes 0-15/4711`, or from `Content-Length` if the
/// store ignored the range.
fn size(headers: &http::HeaderMap) -> Option<u64> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match text(CONTENT_RANGE) {
        Some(range) => range.rsplit_once('/')?.1.parse().ok(),
        None => text(CONTENT_LENGTH)?.parse().ok(),
    }
}

/// A header's name in lower case, and its value.
type Header<'a> = (&'a str, &'a str);

/// A request that is about to be signed.
struct UnsignedRequest<'a> {
    method: Method,
    url: Url,
    /// In the order of their names. S3 requires all `x-amz-` headers to be signed.
    headers: &'a [Header<'a>],
}

/// A URL that authorizes this one request until `lifetime` from `now`. Signs the host and the headers, and
/// not the body.
fn sign(
    settings: &S3Settings,
    request: UnsignedRequest<'_>,
    now: UnixMillis,
    lifetime: Duration,
) -> Url {
    let no_query = std::iter::empty();
    // No time of a clock is outside the range of a timestamp; a wrong time is refused by the store.
    let now = Timestamp::from_millisecond(now.get()).unwrap_or_default();
    signing::sign(
        &now,
        request.method,
        request.url,
        &settings.access_key,
        settings.secret_key.expose(),
        None,
        &settings.region,
        lifetime.as_secs(),
        no_query,
        request.headers.iter().copied(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Amazon's own documentation.
    #[test]
    fn the_published_example_gets_its_published_signature() {
        let url: Url = "https://examplebucket.s3.amazonaws.com/test.txt"
            .parse()
            .unwrap();
        let settings = S3Settings {
            bucket_url: url.clone(),
            public_url: url.clone(),
            region: "us-east-1".to_owned(),
            access_key: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned()),
        };
        let now = UnixMillis::from_seconds(1_369_353_600).unwrap();
        let request = UnsignedRequest {
            method: Method::Get,
            url,
            headers: &[],
        };
        let signed = sign(&settings, request, now, Duration::from_secs(86_400));
        assert_eq!(
            signed.as_str(),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_copy_names_its_bucket() {
        for (bucket_url, expected) in [
            (
                "https://my.pictures.s3.ap-northeast-2.amazonaws.com",
                "/my.pictures/x",
            ),
            (
                "https://pictures.s3-ap-northeast-2.amazonaws.com/",
                "/pictures/x",
            ),
            ("http://127.0.0.1:9000/pictures/", "/pictures/x"),
            ("https://pictures.objects.example", "/pictures/x"),
        ] {
            let bucket_url: Url = bucket_url.parse().unwrap();
            let settings = S3Settings {
                public_url: bucket_url.clone(),
                bucket_url,
                region: "us-east-1".to_owned(),
                access_key: "key".to_owned(),
                secret_key: Secret::new("hunter2".to_owned()),
            };
            let store = S3Images::new(settings).unwrap();
            assert_eq!(store.source("x"), expected);
        }
    }
}
