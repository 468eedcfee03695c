//! The key ring: signing keys in the files of a folder, which is re-read while the server runs.
//!
//! A rotation is a new file (P-256, PKCS#8 in PEM, `*.pem`). Ordered by modification time, the newest key
//! signs, once it has been published for [`SETTLE`]; older keys stay published until their last tokens have
//! expired. Deleting a file revokes its key at the next read: the answer to a stolen key. Several servers
//! share the folder.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, UNIX_EPOCH};

use shared::claims::{
    InvalidPrivateKey, Jwks, KeyGenerationFailed, KeySet, MemberClaims, MemberGrant, MemberToken,
    REFRESH_LIFETIME, ServiceGrant, SignError, Signer, TokenError, TokenScope, Verifier,
    generate_key,
};
use shared::clock::{Clock, UnixMillis};
use shared::config::Secret;
use shared::files;

use super::verified::VerifiedTokens;

/// Interval between reads of the folder.
pub const REREAD_EVERY: Duration = Duration::from_secs(20);

/// A new key is published for this long before it signs: by then every market server has read it and
/// publishes it, too.
const SETTLE: Duration = Duration::from_secs(60);

/// Bound of a key file. 16 KiB: a key takes 250 bytes.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// Bound of files read: a rotation a day for two weeks, and some to spare.
const FILES_MAX: usize = 64;

/// The name of the first key file, created in an empty folder.
const FIRST: &str = "first.pem";

/// Why the keys could not be read or created.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file in it cannot be read or written.
    #[error("{} cannot be used", .path.display())]
    File {
        /// The folder or file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A file does not hold a P-256 private key.
    #[error("{} holds no key", .path.display())]
    Invalid {
        /// The invalid file.
        path: PathBuf,
        /// The parser's error.
        source: InvalidPrivateKey,
    },
    /// The folder is empty while the server runs.
    #[error("{} holds no key file (*.pem)", .folder.display())]
    Empty {
        /// The empty folder.
        folder: PathBuf,
    },
    /// The random number generator failed.
    #[error(transparent)]
    Generation(#[from] KeyGenerationFailed),
}

/// The keys of a folder, behind a lock.
#[derive(Debug)]
pub struct KeyRing {
    folder: PathBuf,
    scope: TokenScope,
    clock: Arc<dyn Clock>,
    current: RwLock<Arc<Ring>>,
}

/// The keys as of the last successful read.
#[derive(Debug)]
struct Ring {
    signer: Signer,
    verifier: Verifier,
    published: Jwks,
    verified: VerifiedTokens,
}

impl KeyRing {
    /// Opens the keys of this folder; creates it, and a first key, if there is none.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn open(
        folder: &Path,
        scope: TokenScope,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, KeysError> {
        files::make_folder(folder).map_err(at(folder))?;
        if key_files(folder)?.is_empty() {
            make_first(folder)?;
        }
        let ring = read(folder, &scope, clock.unix_millis())?;
        Ok(Self {
            folder: folder.to_owned(),
            scope,
            clock,
            current: RwLock::new(Arc::new(ring)),
        })
    }

    /// Reads the folder again. On an error the current keys stay in use.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn reread(&self) -> Result<(), KeysError> {
        let ring = read(&self.folder, &self.scope, self.clock.unix_millis())?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (before, after) = (current.signer.public_key().kid(), ring.signer.public_key());
        if before != after.kid() {
            tracing::info!(
                key.id = after.kid(),
                "tokens are signed with another key now"
            );
        }
        if before == after.kid() && current.published == ring.published {
            // With the tokens that were verified with these keys.
            return Ok(());
        }
        *current = Arc::new(ring);
        Ok(())
    }

    /// The public keys (JWKS), for `/.well-known/jwks.json`.
    #[must_use]
    pub fn published(&self) -> Jwks {
        self.ring().published.clone()
    }

    /// Signs a service token for calls to the chat server.
    ///
    /// # Errors
    /// The cryptographic library's.
    pub fn sign_service(
        &self,
        grant: ServiceGrant,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        self.ring().signer.service_token(grant, now)
    }

    pub(super) fn sign(
        &self,
        grant: MemberGrant,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        self.ring().signer.member_token(grant, now)
    }

    pub(super) fn check(
        &self,
        token: &Secret<String>,
        expected: MemberToken,
        now: UnixMillis,
    ) -> Result<MemberClaims, TokenError> {
        let ring = self.ring();
        ring.verified.check(token, expected, now, &ring.verifier)
    }

    fn ring(&self) -> Arc<Ring> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }
}

fn read(folder: &Path, scope: &TokenScope, now: UnixMillis) -> Result<Ring, KeysError> {
    let files = key_files(folder)?;
    let times: Vec<_> = files.iter().map(|(changed, _)| *changed).collect();
    let Some(signing) = signing(&times, now) else {
        let folder = folder.to_owned();
        return Err(KeysError::Empty { folder });
    };
    let mut signer = None;
    let mut published = Jwks::default();
    for (place, (_, path)) in files.iter().enumerate() {
        if !is_published(&times, place, now) {
            continue;
        }
        let one = read_signer(path, scope)?;
        published.keys.push(one.public_key().clone());
        if place == signing {
            signer = Some(one);
        }
    }
    published.keys.reverse();
    let keys = KeySet::from_jwks(&published);
    let signer = signer.ok_or_else(|| KeysError::Empty {
        folder: folder.to_owned(),
    })?;
    Ok(Ring {
        signer,
        verifier: Verifier::new(keys, scope.clone()),
        published,
        verified: VerifiedTokens::new(),
    })
}

/// When the key at this index begins to sign. The oldest signs at once.
fn signs_from(times: &[UnixMillis], place: usize) -> UnixMillis {
    match (place, times.get(place)) {
        (1.., Some(changed)) => changed.saturating_add(SETTLE),
        _ => UnixMillis::EPOCH,
    }
}

/// The index of the key that signs; `times` are ascending.
fn signing(times: &[UnixMillis], now: UnixMillis) -> Option<usize> {
    (0..times.len()).rfind(|place| signs_from(times, *place) <= now)
}

/// Whether tokens signed with the key at this index may still be valid.
fn is_published(times: &[UnixMillis], place: usize, now: UnixMillis) -> bool {
    let next = place + 1;
    next >= times.len() || now < signs_from(times, next).saturating_add(REFRESH_LIFETIME)
}

/// The key files with their modification times, oldest first, then by name.
fn key_files(folder: &Path) -> Result<Vec<(UnixMillis, PathBuf)>, KeysError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(at(folder))?.take(FILES_MAX) {
        let path = entry.map_err(at(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        let changed = fs::metadata(&path).and_then(|file| file.modified());
        let changed = changed.map_err(at(&path))?;
        let since = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
        found.push((UnixMillis::EPOCH.saturating_add(since), path));
    }
    found.sort();
    Ok(found)
}

fn read_signer(path: &Path, scope: &TokenScope) -> Result<Signer, KeysError> {
    let mut pem = String::new();
    let file = fs::File::open(path).map_err(at(path))?;
    let read = file.take(KEY_BYTES_MAX).read_to_string(&mut pem);
    read.map_err(at(path))?;
    Signer::from_pem(&Secret::new(pem), scope.clone()).map_err(|source| KeysError::Invalid {
        path: path.to_owned(),
        source,
    })
}

/// Creates the first key. Two servers may do so at once: both end up with the same key.
fn make_first(folder: &Path) -> Result<(), KeysError> {
    let key = generate_key()?.private_pem;
    let path = folder.join(FIRST);
    files::place_once(&path, key.expose().as_bytes()).map_err(at(&path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> KeysError {
    let path = path.to_owned();
    move |source| KeysError::File { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With keys modified at these seconds, these indices sign and are published after `now`.
    fn check(changed: &[i64], now: Duration, expected: (usize, &[usize])) {
        let times: Vec<_> = changed
            .iter()
            .map(|seconds| UnixMillis::from_seconds(*seconds).unwrap())
            .collect();
        let now = UnixMillis::EPOCH.saturating_add(now);
        let published: Vec<_> = (0..times.len())
            .filter(|place| is_published(&times, *place, now))
            .collect();
        let found = (signing(&times, now).unwrap(), &*published);
        assert_eq!(found, expected, "{changed:?} {now:?}");
    }

    #[test]
    fn a_new_key_is_published_first_then_signs_then_the_old_one_ends() {
        let second = Duration::from_secs(1);
        let changed = 1_000 * second;
        check(&[5], Duration::ZERO, (0, &[0]));
        check(&[5, 1_000], changed, (0, &[0, 1]));
        check(&[5, 1_000], changed + SETTLE - second, (0, &[0, 1]));
        check(&[5, 1_000], changed + SETTLE, (1, &[0, 1]));
        let last = changed + SETTLE + REFRESH_LIFETIME;
        check(&[5, 1_000], last - second, (1, &[0, 1]));
        check(&[5, 1_000], last, (1, &[1]));
    }

    #[test]
    fn two_servers_make_one_key() {
        let folder = tempfile::tempdir().unwrap();
        make_first(folder.path()).unwrap();
        let before = fs::read(folder.path().join(FIRST)).unwrap();
        make_first(folder.path()).unwrap();
        assert_eq!(fs::read(folder.path().join(FIRST)).unwrap(), before);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
