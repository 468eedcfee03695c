//! Development key: signs members' and services' tokens of this program.
//!
//! It is stored in `dev-key.pem` of the data folder; the first server or `dapanda token` creates
//! it. The public half is beside it for the chat server's key source.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use shared::claims::{
    FamilyId, InvalidPrivateKey, Jwks, KeyGenerationFailed, MemberGrant, MemberToken, Role,
    ServiceGrant, SignError, Signer, TokenId, TokenScope, generate_key,
};
use shared::clock::UnixMillis;
use shared::config::Secret;
use shared::files;
use shared::ids::MemberId;

/// `iss` and `aud` of every token here.
pub(crate) const SITE: &str = "dapanda";

/// The name under which this program calls its own server.
const SERVICE: &str = "dapanda";

/// The family of the tokens that `dapanda token` prints.
const DEVELOPER: &str = "dapanda-token";

/// The private key's file in the data folder.
const FILE: &str = "dev-key.pem";

/// 16 KiB: a key takes 250 bytes.
const KEY_BYTES_MAX: u64 = 16 << 10;

/// The key of a data folder.
#[derive(Debug)]
pub(crate) struct DevKey {
    folder: PathBuf,
    signer: Signer,
}

/// Why the key is not available.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    /// The folder or a file in it cannot be used.
    #[error("{} cannot be used", .path.display())]
    File {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no key yet.
    #[error("{folder} holds no key, so no server runs on it: name the server's folder with --data")]
    Missing {
        /// The data folder.
        folder: String,
    },
    /// The file is not a key.
    #[error("{} holds no key; move it away to get a new one", .path.display())]
    Invalid {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: InvalidPrivateKey,
    },
    /// The operating system gave no randomness.
    #[error(transparent)]
    Generation(#[from] KeyGenerationFailed),
}

impl DevKey {
    /// The key of this data folder; missing folder and key are created. Two processes may do this
    /// at once: both get the same key.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(crate) fn open(folder: &Path) -> Result<Self, KeyError> {
        files::make_folder(folder).map_err(at(folder))?;
        if let Some(key) = Self::find(folder)? {
            return Ok(key);
        }
        let fresh = generate_key()?.private_pem;
        let path = folder.join(FILE);
        files::place_once(&path, fresh.expose().as_bytes()).map_err(at(&path))?;
        Self::existing(folder)
    }

    /// The key of this data folder, if a server or `dapanda token` has created it.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub(crate) fn existing(folder: &Path) -> Result<Self, KeyError> {
        let folder_shown = folder.display().to_string();
        Self::find(folder)?.ok_or(KeyError::Missing {
            folder: folder_shown,
        })
    }

    fn find(folder: &Path) -> Result<Option<Self>, KeyError> {
        let path = folder.join(FILE);
        let pem = match read(&path) {
            Ok(pem) => Secret::new(pem),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        let scope = TokenScope {
            issuer: SITE.to_owned(),
            audience: SITE.to_owned(),
        };
        let signer =
            Signer::from_pem(&pem, scope).map_err(|source| KeyError::Invalid { path, source })?;
        let folder = folder.to_owned();
        Ok(Some(Self { folder, signer }))
    }

    /// The public half, as it is published.
    pub(crate) fn jwks(&self) -> Jwks {
        Jwks {
            keys: vec![self.signer.public_key().clone()],
        }
    }

    /// Writes the public half into the folder and returns where it is.
    ///
    /// # Errors
    /// [`KeyError::File`].
    pub(crate) fn publish(&self) -> Result<PathBuf, KeyError> {
        let path = self.folder.join("jwks.json");
        let text = serde_json::to_vec(&self.jwks()).map_err(io::Error::other);
        let written = text.and_then(|text| match std::fs::read(&path) {
            // Nothing is written if the content is the same, so a start on a full or read-only disk
            // works.
            Ok(there) if there == text => Ok(()),
            Ok(_) | Err(_) => files::place(&path, &text),
        });
        match written {
            Ok(()) => Ok(path),
            Err(source) => Err(KeyError::File { path, source }),
        }
    }

    /// An access token without a session, which both servers of this folder accept until it
    /// expires.
    ///
    /// # Errors
    /// See [`SignError`].
    pub(crate) fn access_token(
        &self,
        member: MemberId,
        now: UnixMillis,
    ) -> Result<Secret<String>, SignError> {
        let grant = MemberGrant {
            member,
            role: Role::Member,
            token: MemberToken::Access,
            family: developer_family(),
            token_id: TokenId::random(&mut rand::rng()),
        };
        self.signer.member_token(grant, now)
    }

    /// A token for calling the internal API.
    ///
    /// # Errors
    /// See [`SignError`].
    pub(crate) fn service_token(&self, now: UnixMillis) -> Result<Secret<String>, SignError> {
        let grant = ServiceGrant {
            service: SERVICE.parse().expect("the constant is a service's name"),
            token_id: TokenId::random(&mut rand::rng()),
        };
        self.signer.service_token(grant, now)
    }
}

/// The token family without sessions: every owner of the folder's key may create such tokens.
pub(crate) fn developer_family() -> FamilyId {
    DEVELOPER.parse().expect("the constant is a family's name")
}

/// Adds the path to an error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::File { path, source }
}

fn read(path: &Path) -> io::Result<String> {
    use io::Read as _;

    let mut text = String::new();
    File::open(path)?
        .take(KEY_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::thread;

    use shared::claims::{KeySet, TokenError, Verifier};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_who_come_first_get_one_key() {
        const FIRST: usize = 16;
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("new");
        let start = Barrier::new(FIRST);
        let open = || {
            start.wait();
            DevKey::open(&folder).unwrap().jwks()
        };
        let keys: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..FIRST).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
        assert_eq!(names(&folder), ["dev-key.pem"]);
        let mode = fs::metadata(folder.join("dev-key.pem"))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
    }

    #[test]
    fn the_published_key_checks_the_tokens() {
        let data = tempfile::tempdir().unwrap();
        let key = DevKey::open(data.path()).unwrap();
        let path = key.publish().unwrap();
        assert_eq!(key.publish().unwrap(), path, "twice is as good as once");
        let jwks: Jwks = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let scope = TokenScope {
            issuer: SITE.to_owned(),
            audience: SITE.to_owned(),
        };
        let verifier = Verifier::new(KeySet::from_jwks(&jwks), scope);
        let now = UnixMillis::EPOCH;
        let member = "3".parse().unwrap();
        let access = key.access_token(member, now).unwrap();
        let access = verifier.member(access.expose(), MemberToken::Access, now);
        assert_eq!(access.unwrap().member, member);
        let service = key.service_token(now).unwrap();
        assert!(verifier.service(service.expose(), now).is_ok());

        let other = DevKey::open(&data.path().join("other")).unwrap();
        let foreign = other.access_token(member, now).unwrap();
        let refused = verifier.member(foreign.expose(), MemberToken::Access, now);
        assert!(matches!(refused, Err(TokenError::UnknownKey { .. })));
    }

    #[test]
    fn what_is_no_key_stays_and_is_named() {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("dev-key.pem");
        fs::write(&path, "not a key").unwrap();
        let error = DevKey::open(data.path()).unwrap_err().to_string();
        assert!(error.contains("dev-key.pem holds no key"), "{error}");
        assert_eq!(fs::read_to_string(path).unwrap(), "not a key");
    }
}
