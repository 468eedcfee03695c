//! Pictures of members: upload slots, and a check of each uploaded file before it is published.
//!
//! The browser uploads the file directly to the object store, by a signed URL. When the picture is used, this
//! server checks its owner, its size and the format by its first bytes, then copies exactly that file to
//! the public key, to which no upload URL leads: a second upload changes nothing. The upload is then removed,
//! and unused uploads are removed after a day.
//!
//! ```text
//! uploads/… ─► checked ─► exactly the checked file is copied to images/… ─► public
//! OPEN ─► USED (checked and copied; removed with the account only)
//!   └───► DOOMED (a day old; cannot be used any more) ─► files removed ─► row deleted
//!            ▲ also the files of a closed account, except pictures of spots that were bought
//! ```
//!
//! What this module does not do: remove a published picture that is no longer displayed, or prevent a second
//! PUT to a bucket, whose upload URL stays valid for a few minutes: that needs a lifecycle rule of the bucket
//! (`infra/docs/front-end.md`).

mod http;
mod key;
pub mod local;
mod repo;
pub mod s3;
mod sniff;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use shared::clock::{Clock, UnixMillis};
use shared::ids::MemberId;

use crate::db::{Abort, Db, DbError, Tx, WriteError};
use crate::members;
use crate::metrics::Metrics;

pub use http::routes;
use key::extension;
pub use key::{InvalidKey, Key};
use repo::Use;
pub use repo::doom_all_of_in;
pub use sniff::{Format, HEAD_BYTES};

/// Lifetime of an upload URL.
pub const UPLOAD_TIME: Duration = Duration::from_secs(5 * 60);

/// Bound of a file. 5 MiB: a phone's photograph, scaled down by the page.
pub const IMAGE_BYTES_MAX: u64 = 5 << 20;

/// Bound of files per request: a form takes 10.
pub const FILENAMES_MAX: usize = 10;

/// Bound of unused upload slots per member, so that an abandoned form can be started again.
const OPEN_MAX: i64 = 60;

/// Age at which an unused upload is removed: filling in a form takes less than a day.
const UNUSED_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The scheduled job that sweeps.
pub const SWEEPING: &str = "unused-images";

/// Bound of files removed per sweep.
const SWEEP_MAX: i64 = 100;

/// Metadata and first bytes of an uploaded file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The first bytes, up to [`HEAD_BYTES`].
    pub bytes: Vec<u8>,
    /// The size of the whole file, in bytes.
    pub size: u64,
    /// The store's entity tag: another upload to the same key has another one.
    pub tag: String,
}

/// The object store failed. A retry may succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the object store does not answer: {0}")]
pub struct StoreError(pub String);

/// An object store.
///
/// Contract: an upload URL permits uploads to its key until it expires, and nothing else; uploads are not
/// readable. `head` reads the last upload, `None` while there is none. `publish` copies the file that `head`
/// has returned to the public URL, with the content type of its key, and refuses any other file. The public
/// URL needs no credentials. Removing a missing file is no error.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// The URL for a browser's PUT, valid for [`UPLOAD_TIME`] from `now`.
    fn upload_url(&self, key: &Key, now: UnixMillis) -> String;

    /// The public URL of the published file.
    fn public_url(&self, key: &Key) -> String;

    /// The key behind a public URL of this store.
    fn key_of(&self, public_url: &str) -> Option<Key>;

    /// Reads the last upload to the key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self, key: &Key, now: UnixMillis) -> Result<Option<Head>, StoreError>;

    /// Publishes the file `seen`; false if it is no longer there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn publish(&self, key: &Key, seen: &Head, now: UnixMillis) -> Result<bool, StoreError>;

    /// Removes the upload of the key, but not the published file.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_upload(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError>;

    /// Removes the upload of the key and the published file.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError>;
}

/// An upload slot: permission to upload one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The URL for the PUT.
    pub upload_url: String,
    /// The URL of the published file.
    pub public_url: String,
    /// The object key.
    pub key: Key,
}

/// Why no upload slot was created.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A file name does not end like a picture's.
    #[error("not the name of a picture")]
    Format,
    /// No file names, or more than [`FILENAMES_MAX`].
    #[error("not 1 to {FILENAMES_MAX} names")]
    Count,
    /// The member has too many unused slots.
    #[error("too many uploads at a time")]
    TooMany,
    /// The account was closed meanwhile.
    #[error("the account is closed")]
    Closed,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// Not a URL of this store, another member's, missing, too large, or not a picture.
    #[error("not a picture that this member has uploaded")]
    NotUsable,
    /// The object store failed during the check.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a sweep ended early.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The object store failed to remove a file.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Members' pictures.
#[derive(Clone, Debug)]
pub struct Images {
    store: Arc<dyn ObjectStore>,
    db: Db,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Images {
    /// Pictures in this store.
    #[must_use]
    pub fn new(
        store: Arc<dyn ObjectStore>,
        db: Db,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            db,
            clock,
            metrics,
        }
    }

    /// Creates an upload slot for each of these file names.
    ///
    /// # Errors
    /// See [`PlaceError`].
    pub async fn place(
        &self,
        member: MemberId,
        names: &[String],
    ) -> Result<Vec<Place>, PlaceError> {
        if !(1..=FILENAMES_MAX).contains(&names.len()) {
            return Err(PlaceError::Count);
        }
        let keys: Option<Vec<Key>> = names
            .iter()
            .map(|name| extension(name).map(|(_, ending)| Key::new(member, ending)))
            .collect();
        let keys = keys.ok_or(PlaceError::Format)?;
        self.note(member, keys.clone()).await?;
        let now = self.clock.unix_millis();
        let place = |key: Key| Place {
            upload_url: self.store.upload_url(&key, now),
            public_url: self.store.public_url(&key),
            key,
        };
        Ok(keys.into_iter().map(place).collect())
    }

    async fn note(&self, member: MemberId, keys: Vec<Key>) -> Result<(), PlaceError> {
        let noted = self.db.write((member, keys), |(member, keys), tx| {
            Box::pin(async move {
                members::lock_in(tx, *member).await?;
                if !members::is_open_in(tx, *member).await? {
                    return Err(Abort::Refused(PlaceError::Closed));
                }
                let open = repo::count_open(tx, *member).await?;
                let wanted = i64::try_from(keys.len()).unwrap_or(i64::MAX);
                if open.saturating_add(wanted) > OPEN_MAX {
                    return Err(Abort::Refused(PlaceError::TooMany));
                }
                for key in keys {
                    repo::insert_upload(tx, key).await?;
                }
                Ok(())
            })
        });
        noted.await.map_err(WriteError::into_domain)
    }

    /// Checks that a member may use the picture at this public URL: uploaded by that member to one of their
    /// slots, small enough, and of the format that its extension declares. Publishes it; from then on it is
    /// immutable and not removed.
    ///
    /// # Errors
    /// See [`UseError`].
    pub async fn check(&self, member: MemberId, public_url: &str) -> Result<(), UseError> {
        let key = self.store.key_of(public_url);
        let key = key.filter(|key| key.member() == member);
        let key = key.ok_or(UseError::NotUsable)?;
        match repo::use_of(&self.db, &key).await? {
            Some(Use::Open) => {}
            Some(Use::Used) => return Ok(()),
            None => return Err(UseError::NotUsable),
        }
        let now = self.clock.unix_millis();
        let head = self.store.head(&key, now).await?;
        let is_usable = |head: &Head| {
            let found = Format::of(&head.bytes);
            head.size <= IMAGE_BYTES_MAX && found.is_some() && found == key.format()
        };
        let head = head.filter(is_usable).ok_or(UseError::NotUsable)?;
        if !self.store.publish(&key, &head, now).await? {
            return Err(UseError::NotUsable);
        }
        // Marked as used before it is displayed anywhere: a concurrent sweep dooms it before, or skips it.
        if self.mark_used(key.clone()).await? {
            if let Err(error) = self.store.remove_upload(&key, now).await {
                // A leftover upload only takes space: the picture is published.
                tracing::warn!("upload {key} not removed: {error}");
                self.metrics.uploads_left.inc();
            }
            return Ok(());
        }
        self.store.remove(&key, now).await?;
        Err(UseError::NotUsable)
    }

    /// Removes uploads that were not used within a day, up to a bound; returns their number.
    ///
    /// # Errors
    /// See [`SweepError`]. What was removed by then stays removed.
    pub async fn sweep(&self) -> Result<usize, SweepError> {
        let doomed = self.db.write((), |(), tx| Box::pin(doom_in(tx))).await;
        let doomed = doomed.map_err(DbError::from)?;
        for key in &doomed {
            self.store.remove(key, self.clock.unix_millis()).await?;
            let forgotten = self.db.write(key.clone(), |key, tx| {
                Box::pin(async move { Ok::<_, Never>(repo::forget(tx, key).await?) })
            });
            forgotten.await.map_err(DbError::from)?;
        }
        Ok(doomed.len())
    }

    async fn mark_used(&self, key: Key) -> Result<bool, DbError> {
        let marked = self.db.write(key, |key, tx| {
            Box::pin(async move { Ok::<_, Never>(repo::mark_used(tx, key).await?) })
        });
        marked.await.map_err(DbError::from)
    }
}

/// An abort by the database only.
type Never = Abort<Infallible>;

async fn doom_in(tx: &mut Tx<'_>) -> Result<Vec<Key>, Never> {
    let before = tx.now().saturating_sub(UNUSED_MAX);
    Ok(repo::doom(tx, before, SWEEP_MAX).await?)
}
