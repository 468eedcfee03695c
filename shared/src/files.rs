//! Files that only their owner may read: keys, databases, messages.
//!
//! A key file is written atomically on any file system: under another name, synced, renamed. Of two
//! processes that create the same file, a lock on the folder lets one through; a hard link would
//! not do, which many file systems lack.
//!
//! What this module does not do: read files, or change the mode of a folder that is not ours.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// The sticky bit: everybody may create files in such a folder and remove only their own (`/tmp`).
const STICKY: u32 = 0o1000;

/// Creating a key takes milliseconds; a lock that is held for 5 s has another cause.
const LOCK_TRIES: u32 = 500;
const LOCK_RETRY: Duration = Duration::from_millis(10);

/// Files and folders whose mode is corrected at a start. Beyond that the folder above protects
/// them.
const ENTRIES_MAX: usize = 100_000;

/// Sets the umask: files and folders that this process creates are closed to others.
pub fn keep_to_owner() {
    let _before = rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

/// Creates a folder, and those above it, closed to others.
///
/// # Errors
/// The operating system's.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Removes the permissions of others from our folder and, recursively, from those of its entries
/// whose names begin with one of `names`. It corrects what an earlier version or a copy left open.
///
/// A folder of another user, a shared one (`/tmp`), or one with other contents keeps its mode.
/// Modes that cannot be changed (a read-only disk) stay as they are.
///
/// # Errors
/// The folder cannot be read.
pub fn close_to_others(folder: &Path, names: &[&str]) -> io::Result<()> {
    let about = fs::metadata(folder)?;
    let is_named = |name: &OsStr| {
        let begins = |start: &&str| name.as_bytes().starts_with(start.as_bytes());
        names.iter().any(begins)
    };
    let is_ours = about.uid() == rustix::process::geteuid().as_raw();
    let mut entries = fs::read_dir(folder)?.flatten();
    let is_alone = entries.all(|entry| is_named(&entry.file_name()));
    if is_ours && is_alone && about.mode() & STICKY == 0 {
        close(folder, &about);
    }
    let mut budget = ENTRIES_MAX;
    let mut folders = close_entries(folder, is_named, &mut budget)?;
    while let Some(next) = folders.pop() {
        // It may have been removed meanwhile.
        folders.extend(close_entries(&next, |_| true, &mut budget).unwrap_or_default());
    }
    Ok(())
}

/// Closes the entries of a folder; returns the folders among them.
fn close_entries(
    folder: &Path,
    is_meant: impl Fn(&OsStr) -> bool,
    budget: &mut usize,
) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(folder)?.flatten().take(*budget) {
        *budget -= 1;
        // The metadata of a link itself, so that its target is not changed.
        let Ok(about) = entry.metadata() else {
            continue;
        };
        if about.is_symlink() || !is_meant(&entry.file_name()) {
            continue;
        }
        close(&entry.path(), &about);
        if about.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

fn close(path: &Path, about: &fs::Metadata) {
    if about.mode() & OTHERS == 0 {
        return;
    }
    let mut permissions = about.permissions();
    permissions.set_mode(about.mode() & !OTHERS);
    if let Err(error) = fs::set_permissions(path, permissions) {
        tracing::warn!("{} stays open to others: {error}", path.display());
    }
}

/// Creates a file atomically, unless it exists: an existing file stays. Of several concurrent
/// processes one wins; read the file afterwards.
///
/// # Errors
/// The operating system's.
pub fn place_once(path: &Path, content: &[u8]) -> io::Result<()> {
    let lock = lock(folder_of(path))?;
    let placed = match path.try_exists()? {
        true => Ok(()),
        false => place(path, content),
    };
    drop(lock);
    placed
}

/// Replaces a file atomically; writes nothing if it has this content already.
///
/// # Errors
/// The operating system's.
pub fn place(path: &Path, content: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", rand::random::<u64>()));
    let draft = PathBuf::from(name);
    let placed = write(&draft, content).and_then(|()| fs::rename(&draft, path));
    if let Err(error) = placed {
        fs::remove_file(&draft).ok();
        return Err(error);
    }
    File::open(folder_of(path))?.sync_all()
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Locks the folder until the result is dropped or the process ends.
fn lock(folder: &Path) -> io::Result<File> {
    let file = File::open(folder)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => pause(),
            // A file system without locks: two processes that start within the same milliseconds
            // may use different keys until the second one is restarted.
            Err(TryLockError::Error(_unsupported)) => return Ok(file),
        }
    }
    let what = format!("{} is locked by another process", folder.display());
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

#[expect(
    clippy::disallowed_methods,
    reason = "at a start, before anything is served"
)]
fn pause() {
    std::thread::sleep(LOCK_RETRY);
}

fn folder_of(path: &Path) -> &Path {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own, which ends with this value.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            let name = format!("dapanda-files-{:016x}", rand::random::<u64>());
            let folder = std::env::temp_dir().join(name);
            make_folder(&folder).unwrap();
            Self(folder)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).ok();
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn of_many_at_once_one_places_the_file() {
        let scratch = Scratch::new();
        let path = &scratch.0.join("key.pem");
        let contents: Vec<_> = std::thread::scope(|scope| {
            let place = |n: u8| {
                scope.spawn(move || {
                    place_once(path, &[n; 200]).unwrap();
                    fs::read(path).unwrap()
                })
            };
            let threads: Vec<_> = (0..8).map(place).collect();
            threads.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert!(contents.windows(2).all(|two| two[0] == two[1]));
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
        assert_eq!(mode(path), 0o600);
    }

    #[test]
    fn the_same_content_is_not_written_again() {
        let scratch = Scratch::new();
        let path = scratch.0.join("jwks.json");
        place(&path, b"one").unwrap();
        let first = fs::metadata(&path).unwrap().ino();
        place(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), first);
        place(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(&scratch.0).unwrap().count(), 1);
    }

    #[test]
    fn what_was_open_is_closed_and_what_is_not_ours_left() {
        let scratch = Scratch::new();
        let at = |name: &str| scratch.0.join(name);
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        make_folder(&at("chat/deep")).unwrap();
        for file in ["market.db-wal", "chat/deep/1", "notes.txt"] {
            fs::write(at(file), "x").unwrap();
            open(&at(file), 0o644);
        }
        std::os::unix::fs::symlink(at("notes.txt"), at("chat/link")).unwrap();
        open(&at("chat/deep"), 0o755);
        open(&scratch.0, 0o755);
        close_to_others(&scratch.0, &["market.db", "chat"]).unwrap();
        for (path, expected) in [
            ("", 0o755),
            ("chat/deep", 0o700),
            ("chat/deep/1", 0o600),
            ("market.db-wal", 0o600),
            ("notes.txt", 0o644),
        ] {
            assert_eq!(mode(&at(path)), expected, "{path}");
        }
        fs::remove_file(at("notes.txt")).unwrap();
        close_to_others(&scratch.0, &["market.db", "chat"]).unwrap();
        assert_eq!(mode(&scratch.0), 0o700, "nothing of others is in it");
    }
}
