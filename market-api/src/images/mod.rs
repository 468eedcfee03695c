//! Pictures that members upload: places to put them, and a look at what was put there.
//!
//! The file goes from the browser to the object store; this server hands out a URL for that, and
//! looks at the file when it is used: whose it is, how large, and by its first bytes what it is.
//! What was looked at is then copied to where everybody reads, and no upload URL leads there: a
//! second upload changes nothing of it. The upload itself is removed then, and what is not used is
//! removed after a day.
//!
//! ```text
//! uploads/… ─► checked ─► the very same file is copied to images/… ─► read by everybody
//! OPEN ─► USED (checked and copied; stays for good)
//!   └───► DOOMED (a day old; cannot be used any more) ─► files removed ─► place forgotten
//! ```
//!
//! What this module does not do: remove a picture that was used and is not shown any more, or keep
//! somebody from a second PUT to a bucket, whose upload URL lasts a few minutes longer: that wants a
//! rule of the bucket (`infra/docs/front-end.md`).

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
pub use sniff::{Format, HEAD_BYTES};

/// How long a place stays open.
pub const UPLOAD_TIME: Duration = Duration::from_secs(5 * 60);

/// 5 MiB: a photograph of a phone, made smaller by the page.
pub const IMAGE_BYTES_MAX: u64 = 5 << 20;

/// Files asked for at once: a form takes 10.
pub const FILENAMES_MAX: usize = 10;

/// Places of one member that are open at a time. A form that is begun again asks again.
const OPEN_MAX: i64 = 60;

/// What is not used by then is not used any more: nobody takes a day to fill in a form.
const UNUSED_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Files removed in one sweep.
const SWEEP_MAX: i64 = 100;

/// The beginning of a file that was put somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its first bytes, up to [`HEAD_BYTES`].
    pub bytes: Vec<u8>,
    /// How long the whole file is.
    pub size: u64,
    /// Which file it is, to the store: another upload to the same place has another tag.
    pub tag: String,
}

/// The object store does not do what it is asked. The same again may work.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the object store does not answer: {0}")]
pub struct StoreError(pub String);

/// Keeps files.
///
/// Contract: whoever has an upload URL may put files there until it ends, and nothing else; nobody
/// can read them. `head` looks at the last one, `None` while there is none. `publish` makes a file
/// that `head` has seen readable at the public URL, with the type of its key, and refuses another
/// one. Whoever knows a public URL may read. Removing what is not there is no error.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Where a browser may PUT the file, until [`UPLOAD_TIME`] from now.
    fn upload_url(&self, key: &Key, now: UnixMillis) -> String;

    /// Where everybody may read it.
    fn public_url(&self, key: &Key) -> String;

    /// The key behind a public URL of this store.
    fn key_of(&self, public_url: &str) -> Option<Key>;

    /// What was uploaded for the key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn head(&self, key: &Key, now: UnixMillis) -> Result<Option<Head>, StoreError>;

    /// Makes what was `seen` readable; whether it was still there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn publish(&self, key: &Key, seen: &Head, now: UnixMillis) -> Result<bool, StoreError>;

    /// Removes what was uploaded for the key, and not what is read there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove_upload(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError>;

    /// Removes what was uploaded for the key, and what is read there.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn remove(&self, key: &Key, now: UnixMillis) -> Result<(), StoreError>;
}

/// A place for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where to PUT it.
    pub upload_url: String,
    /// Where it can be read then.
    pub public_url: String,
    /// Where it lies.
    pub key: Key,
}

/// Why there is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// A name that is not of a picture.
    #[error("not the name of a picture")]
    Format,
    /// Too many names at once, or none.
    #[error("not 1 to {FILENAMES_MAX} names")]
    Count,
    /// Too many open places.
    #[error("too many uploads at a time")]
    TooMany,
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UseError {
    /// Not one of ours, not this member's, not there, too large, or no picture.
    #[error("not a picture that this member has uploaded")]
    NotUsable,
    /// It cannot be looked at now.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Why not everything was swept.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A file cannot be removed now.
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

    /// A place for each of these files, by their names.
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
        noted.await.map_err(|error| match error {
            WriteError::Refused(refusal) => refusal,
            WriteError::Db(error) => error.into(),
        })
    }

    /// Checks that a member may use the picture at this public URL: uploaded by them to a place
    /// they were given, small enough, and of the kind that its name says. From then on it stays, and
    /// stays what it is.
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
        // Marked before it is shown anywhere: a sweep comes before, and wins, or finds it used.
        if self.mark_used(key.clone()).await? {
            if let Err(error) = self.store.remove_upload(&key, now).await {
                // It takes room, and nothing else: the member has their picture.
                tracing::warn!("the upload of {key} was not removed: {error}");
                self.metrics.uploads_left.inc();
            }
            return Ok(());
        }
        self.store.remove(&key, now).await?;
        Err(UseError::NotUsable)
    }

    /// Removes files that nobody has used within a day, some at a time; how many.
    ///
    /// # Errors
    /// See [`SweepError`]. What was removed by then stays removed.
    pub async fn sweep(&self) -> Result<usize, SweepError> {
        let doomed = self.db.write((), |(), tx| Box::pin(doom_in(tx))).await;
        let doomed = doomed.map_err(written)?;
        for key in &doomed {
            self.store.remove(key, self.clock.unix_millis()).await?;
            let forgotten = self.db.write(key.clone(), |key, tx| {
                Box::pin(async move { Ok::<_, Never>(repo::forget(tx, key).await?) })
            });
            forgotten.await.map_err(written)?;
        }
        Ok(doomed.len())
    }

    async fn mark_used(&self, key: Key) -> Result<bool, DbError> {
        let marked = self.db.write(key, |key, tx| {
            Box::pin(async move { Ok::<_, Never>(repo::mark_used(tx, key).await?) })
        });
        marked.await.map_err(written)
    }
}

/// What only the database refuses.
type Never = Abort<Infallible>;

fn written(error: WriteError<Infallible>) -> DbError {
    match error {
        WriteError::Refused(never) => match never {},
        WriteError::Db(error) => error,
    }
}

async fn doom_in(tx: &mut Tx<'_>) -> Result<Vec<Key>, Never> {
    let before = tx.now().saturating_sub(UNUSED_MAX);
    Ok(repo::doom(tx, before, SWEEP_MAX).await?)
}
