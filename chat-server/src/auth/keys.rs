//! Cache of the market's public keys, and their fetching.
//!
//! One fetch at a time, which concurrent callers share. Any client can send a token with an unknown
//! key, so the minimum pause between fetches protects the market.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use shared::claims::{Jwks, KeySet, TokenScope, Verifier};
use shared::clock::Clock;
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex as Gate;

use super::KeySource;
use super::verified::CachedVerifier;

/// Minimum pause between fetches caused by tokens.
pub(super) const FETCH_PAUSE: Duration = Duration::from_secs(10);

/// The same while there is no key at all, so that no login succeeds.
pub(super) const FIRST_FETCH_PAUSE: Duration = Duration::from_secs(1);

/// Time-out of a fetch.
const FETCH_MAX: Duration = Duration::from_secs(3);

/// 64 KiB: a key takes 250 bytes, and [`KeySet::KEYS_MAX`] of them are read.
const JWKS_BYTES_MAX: usize = 64 << 10;

/// Why no authenticator was created.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address is no usable URL.
    #[error("{url} is no http or https address")]
    InvalidUrl {
        /// The address.
        url: String,
    },
    /// The file cannot be read, or has no key of our kind.
    #[error("no keys in {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: FetchError,
    },
    /// The system's TLS settings cannot be used.
    #[error("no HTTP client could be made")]
    Client(#[source] reqwest::Error),
}

/// Why keys were not fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer, or an error.
    #[error("no good answer")]
    Http(#[source] reqwest::Error),
    /// The file cannot be read.
    #[error("not readable")]
    File(#[source] std::io::Error),
    /// More than [`JWKS_BYTES_MAX`].
    #[error("more than {JWKS_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the JSON of a JWKS.
    #[error("not a JWKS")]
    NoJwks(#[source] serde_json::Error),
    /// A JWKS without a usable key: it never replaces keys that work.
    #[error("no usable key")]
    Empty,
}

/// Whether the keys are fresh, after a token named an unknown one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// Fetched within the last [`FETCH_PAUSE`].
    Fresh,
    /// The last fetch failed.
    Stale,
}

#[derive(Debug)]
enum Source {
    Url { client: Client, url: Url },
    File(PathBuf),
}

/// Counts replacements of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Generation(u64);

#[derive(Debug)]
struct Attempt {
    ended_at: Instant,
    freshness: Freshness,
}

#[derive(Debug)]
pub(super) struct Keys {
    source: Source,
    clock: Arc<dyn Clock>,
    current: RwLock<(Arc<CachedVerifier>, Generation, bool)>,
    /// Held over a fetch; the last one that ended.
    attempt: Gate<Option<Attempt>>,
}

impl Keys {
    pub(super) async fn open(
        source: KeySource,
        scope: TokenScope,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let source = match source {
            KeySource::Url(url) => open_url(url)?,
            KeySource::File(path) => Source::File(path),
        };
        let keys = match &source {
            Source::Url { .. } => KeySet::default(),
            Source::File(path) => read_file(path).await.map_err(|source| OpenError::File {
                path: path.clone(),
                source,
            })?,
        };
        let has_keys = !keys.is_empty();
        let verifier = CachedVerifier::new(Verifier::new(keys, scope));
        let verifier = Arc::new(verifier);
        Ok(Self {
            source,
            clock,
            current: RwLock::new((verifier, Generation(0), has_keys)),
            attempt: Gate::new(None),
        })
    }

    /// The checker with the keys at hand.
    pub(super) fn current(&self) -> (Arc<CachedVerifier>, Generation) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (Arc::clone(&current.0), current.1)
    }

    /// Fetches keys because those of `seen` lack one, unless newer ones have come meanwhile or the
    /// last fetch was a moment ago.
    pub(super) async fn fetch_after(&self, seen: Generation) -> Freshness {
        let mut attempt = self.attempt.lock().await;
        if self.current().1 != seen {
            return Freshness::Fresh;
        }
        let pause = if self.has_keys() {
            FETCH_PAUSE
        } else {
            FIRST_FETCH_PAUSE
        };
        let now = self.clock.now();
        if let Some(last) = attempt.as_ref()
            && now.saturating_duration_since(last.ended_at) < pause
        {
            return last.freshness;
        }
        self.fetch(&mut attempt).await
    }

    /// Fetches keys whatever happened before.
    pub(super) async fn fetch_now(&self) {
        let mut attempt = self.attempt.lock().await;
        self.fetch(&mut attempt).await;
    }

    fn has_keys(&self) -> bool {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .2
    }

    /// If the caller is dropped meanwhile, the attempt is not noted and the next caller fetches
    /// again.
    async fn fetch(&self, attempt: &mut Option<Attempt>) -> Freshness {
        let fetched = match &self.source {
            Source::Url { client, url } => ask(client, url).await,
            Source::File(path) => read_file(path).await,
        };
        let freshness = match fetched {
            Ok(keys) => {
                self.replace(keys);
                Freshness::Fresh
            }
            Err(error) => {
                let causes = causes(&error);
                tracing::warn!("public keys not fetched, the present ones stay in use: {causes}");
                Freshness::Stale
            }
        };
        *attempt = Some(Attempt {
            ended_at: self.clock.now(),
            freshness,
        });
        freshness
    }

    fn replace(&self, keys: KeySet) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let generation = Generation(current.1.0.wrapping_add(1));
        let verifier = match current.0.with_keys(keys) {
            Some(verifier) => Arc::new(verifier),
            None => Arc::clone(&current.0),
        };
        *current = (verifier, generation, true);
    }
}

fn open_url(text: String) -> Result<Source, OpenError> {
    let url = Url::parse(&text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(OpenError::InvalidUrl { url: text });
    };
    // No redirect and no proxy: the address is the operator's, inside their network.
    let mut client = Client::builder()
        .timeout(FETCH_MAX)
        .redirect(Policy::none())
        .no_proxy();
    if url.scheme() == "http" {
        // Without TLS the system's certificates, which a small image lacks, are not needed.
        client = client.tls_certs_only([]);
    }
    let client = client.build().map_err(OpenError::Client)?;
    Ok(Source::Url { client, url })
}

async fn ask(client: &Client, url: &Url) -> Result<KeySet, FetchError> {
    let response = client.get(url.clone()).send().await;
    let mut response = response
        .and_then(reqwest::Response::error_for_status)
        .map_err(FetchError::Http)?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(FetchError::Http)? {
        if body.len() + chunk.len() > JWKS_BYTES_MAX {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    parse(&body)
}

async fn read_file(path: &Path) -> Result<KeySet, FetchError> {
    let file = tokio::fs::File::open(path)
        .await
        .map_err(FetchError::File)?;
    let mut body = Vec::new();
    // One byte more than the maximum distinguishes a file that is too large from one that just
    // fits.
    let mut bounded = file.take(JWKS_BYTES_MAX as u64 + 1);
    bounded
        .read_to_end(&mut body)
        .await
        .map_err(FetchError::File)?;
    if body.len() > JWKS_BYTES_MAX {
        return Err(FetchError::TooLarge);
    }
    parse(&body)
}

fn parse(body: &[u8]) -> Result<KeySet, FetchError> {
    let jwks: Jwks = serde_json::from_slice(body).map_err(FetchError::NoJwks)?;
    let keys = KeySet::from_jwks(&jwks);
    if keys.is_empty() {
        return Err(FetchError::Empty);
    }
    Ok(keys)
}

/// The error with what caused it, for the log.
fn causes(error: &FetchError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
