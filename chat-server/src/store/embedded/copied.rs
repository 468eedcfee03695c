//! Whether a folder was put back from a copy.
//!
//! Two small files: the mark, and the seal, which records what no copy has in common with the file it
//! was made from: the inode and the time of its birth. Where the mark is not the one that was sealed,
//! the folder is a copy. Both are made anew at every start and end, so that a tool that passes over
//! files which look the same (`rsync`) finds these changed.
//!
//! What this cannot do: notice what puts back whole disks (a snapshot of a volume or of a virtual
//! machine). For that there is `chat-server new-epoch`. A folder that was moved to another disk counts
//! as a copy, which costs its readers one look at the history and its logs some positions.

use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::UNIX_EPOCH;

const MARK: &str = "copy-mark";
const SEAL: &str = "copy-seal";

/// Whether there is a mark and it is not the one that was sealed. A folder from before there were
/// marks is none.
pub(super) fn is_copy(folder: &Path) -> io::Result<bool> {
    let (mark, seal) = (folder.join(MARK), folder.join(SEAL));
    match (mark.try_exists()?, seal.try_exists()?) {
        (false, false) => Ok(false),
        (true, true) => Ok(fs::read_to_string(seal)? != identity(&mark)?),
        (true, false) | (false, true) => Ok(true),
    }
}

/// Makes a new mark and seals it.
pub(super) fn seal(folder: &Path) -> io::Result<()> {
    let mark = folder.join(MARK);
    replace(&mark, &format!("{:032x}\n", rand::random::<u128>()))?;
    replace(&folder.join(SEAL), &identity(&mark)?)
}

fn identity(mark: &Path) -> io::Result<String> {
    let content = fs::read_to_string(mark)?;
    let metadata = fs::metadata(mark)?;
    Ok(format!("{} {} {content}", metadata.ino(), born(&metadata)))
}

/// Where the file system does not know that, the last change of the inode: it may change without a
/// copy (`chown`), but does with one.
fn born(metadata: &Metadata) -> u128 {
    let born = metadata.created().ok();
    let born = born.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    born.map_or_else(
        || {
            let nanos = i128::from(metadata.ctime()) * 1_000_000_000;
            (nanos + i128::from(metadata.ctime_nsec())).unsigned_abs()
        },
        |since| since.as_nanos(),
    )
}

/// A new file in the place of the old one.
fn replace(path: &Path, content: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(content.as_bytes())?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_copy_is_told_from_what_it_was_made_of() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, backup) = (parent.path().join("a"), parent.path().join("b"));
        fs::create_dir(&folder).unwrap();
        assert!(!is_copy(&folder).unwrap(), "nothing was marked yet");
        seal(&folder).unwrap();
        assert!(!is_copy(&folder).unwrap());
        let copied = Command::new("cp")
            .arg("-a")
            .args([&folder, &backup])
            .status();
        assert!(copied.unwrap().success());
        assert!(is_copy(&backup).unwrap());
        // Moved away and back it is the same; the copy in its place is not.
        let aside = parent.path().join("c");
        fs::rename(&folder, &aside).unwrap();
        fs::rename(&backup, &folder).unwrap();
        assert!(is_copy(&folder).unwrap());
        seal(&folder).unwrap();
        assert!(!is_copy(&folder).unwrap());
        assert!(!is_copy(&aside).unwrap());
    }

    #[test]
    fn half_a_mark_is_a_copy() {
        for lost in [MARK, SEAL] {
            let folder = tempfile::tempdir().unwrap();
            seal(folder.path()).unwrap();
            fs::remove_file(folder.path().join(lost)).unwrap();
            assert!(is_copy(folder.path()).unwrap(), "without {lost}");
        }
    }
}
