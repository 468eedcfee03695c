//! Lock of the folder, taken before anything in it is read or changed.
//!
//! fjall has one too, but takes it after the journals were checked: a second process would take
//! what the first is writing for a torn write, and cut it off.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::store::StoreError;

/// The name of its file.
pub(super) const NAME: &str = "process.lock";

/// A child that is being started holds the lock of its parent until it has its own program.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(100);

/// Held for as long as the store is open; the system ends it with the process.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Makes the folder if there is none.
    #[expect(clippy::disallowed_methods, reason = "opening a store blocks anyway")]
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        std::fs::create_dir_all(folder).map_err(|error| unavailable(folder, &error))?;
        let path = folder.join(NAME);
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let file = options
            .open(&path)
            .map_err(|error| unavailable(&path, &error))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Err(in_use(folder)),
                Err(TryLockError::Error(error)) => return Err(unavailable(&path, &error)),
            }
        }
        // A process of a version without this lock has only fjall's.
        if let Ok(theirs) = File::open(folder.join("lock"))
            && matches!(theirs.try_lock(), Err(TryLockError::WouldBlock))
        {
            return Err(in_use(folder));
        }
        Ok(Self { _file: file })
    }
}

/// Another process has it.
pub(super) fn in_use(folder: &Path) -> StoreError {
    StoreError::Unavailable(format!(
        "{} is in use: another process keeps its messages there; stop it or choose another folder",
        folder.display()
    ))
}

fn unavailable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!(
        "{}: {error}; the folder of the messages must be on a disk that takes writes, also where they are \
         only read",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folder_that_takes_no_files_is_refused_with_its_path() {
        // Also for root.
        let refused = Lock::take(Path::new("/proc/self")).unwrap_err();
        assert!(
            matches!(&refused, StoreError::Unavailable(why) if why.contains("/proc/self/process.lock")),
            "{refused}"
        );
        assert!(refused.to_string().contains("takes writes"), "{refused}");
    }
}
