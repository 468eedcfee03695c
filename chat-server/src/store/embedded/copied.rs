//! Detection of a folder that was restored from a copy.
//!
//! Two small files: the mark, and the seal, which records what no copy has in common with the file
//! it was made from: the inode and the time of its birth. Where the mark is not one that was
//! sealed, the folder is a copy. Both are made anew at every start and end, so that a tool that
//! skips files of equal size and time (`rsync`) finds these changed.
//!
//! Two files cannot be replaced at once. So the seal is replaced first and accepts both the mark
//! that is there and the one that follows: a kill, a power failure or a full disk between any two
//! steps does not make a copy of the folder.
//!
//! It cannot detect the restoration of a whole disk (a snapshot of a volume or of a virtual
//! machine); for that there is `chat-server new-epoch`. A folder that was moved to another disk
//! counts as a copy, which costs its readers one reading of the history and its logs some
//! positions.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const MARK: &str = "copy-mark";
const SEAL: &str = "copy-seal";

/// What a seal accepts while the first mark of a folder is made.
const NO_MARK: &str = "none";

/// Whether there is a mark and it is not one that was sealed. A folder from before there were marks
/// is none.
pub(super) fn is_copy(folder: &Path) -> io::Result<bool> {
    match fs::read_to_string(folder.join(SEAL)) {
        Ok(seal) => {
            let mark = identity(&folder.join(MARK))?;
            Ok(!seal.lines().any(|accepted| accepted == mark))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => folder.join(MARK).try_exists(),
        Err(error) => Err(error),
    }
}

/// Makes a new mark and seals it.
pub(super) fn seal(folder: &Path) -> io::Result<()> {
    STEPS.iter().try_for_each(|step| step(folder))
}

/// What one does is on the disk before the next begins.
const STEPS: [fn(&Path) -> io::Result<()>; 6] = [
    write_mark,
    write_seal_of_both,
    place_seal,
    place_mark,
    write_seal_of_placed,
    place_seal,
];

fn write_mark(folder: &Path) -> io::Result<()> {
    write_new(
        &folder.join(MARK),
        &format!("{:032x}\n", rand::random::<u128>()),
    )
}

fn write_seal_of_both(folder: &Path) -> io::Result<()> {
    let mark = folder.join(MARK);
    let (placed, next) = (identity(&mark)?, identity(&beside(&mark))?);
    write_new(&folder.join(SEAL), &format!("{placed}\n{next}\n"))
}

/// From here on no mark is no longer accepted, and where a file system has no times of birth the
/// mark has changed once more by being placed.
fn write_seal_of_placed(folder: &Path) -> io::Result<()> {
    let placed = identity(&folder.join(MARK))?;
    write_new(&folder.join(SEAL), &format!("{placed}\n"))
}

fn place_mark(folder: &Path) -> io::Result<()> {
    place(folder, MARK)
}

fn place_seal(folder: &Path) -> io::Result<()> {
    place(folder, SEAL)
}

/// [`NO_MARK`] if there is none.
fn identity(mark: &Path) -> io::Result<String> {
    let content = match fs::read_to_string(mark) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(NO_MARK.to_owned()),
        read => read?,
    };
    let metadata = fs::metadata(mark)?;
    let (inode, content) = (metadata.ino(), content.trim_end());
    Ok(format!("{inode} {} {content}", born(&metadata)))
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

/// The name of a file that is to replace this one.
fn beside(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// A new file, on the disk, beside the one that it replaces.
fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let new = beside(path);
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
    file.sync_all()
}

fn place(folder: &Path, name: &str) -> io::Result<()> {
    let path = folder.join(name);
    fs::rename(beside(&path), path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn copy(from: &Path, to: &Path) {
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        assert!(copied.unwrap().success());
    }

    #[test]
    fn a_copy_is_told_from_what_it_was_made_of() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, backup) = (parent.path().join("a"), parent.path().join("b"));
        fs::create_dir(&folder).unwrap();
        assert!(!is_copy(&folder).unwrap(), "nothing was marked yet");
        seal(&folder).unwrap();
        assert!(!is_copy(&folder).unwrap());
        copy(&folder, &backup);
        assert!(is_copy(&backup).unwrap());
        // A folder that was moved away and back is the same; a copy at its path is not.
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

    /// A process that ends after each step, in a new folder and in one that was sealed before.
    #[test]
    fn sealing_that_was_cut_short_makes_no_copy() {
        for sealed_before in [0, 2] {
            for steps in 0..=STEPS.len() {
                let parent = tempfile::tempdir().unwrap();
                let (folder, backup) = (parent.path().join("a"), parent.path().join("b"));
                fs::create_dir(&folder).unwrap();
                for _ in 0..sealed_before {
                    seal(&folder).unwrap();
                }
                for step in &STEPS[..steps] {
                    step(&folder).unwrap();
                }
                let place = format!("after step {steps}, sealed {sealed_before} times before");
                assert!(!is_copy(&folder).unwrap(), "{place}");
                copy(&folder, &backup);
                let has_mark = folder.join(MARK).exists();
                assert_eq!(is_copy(&backup).unwrap(), has_mark, "a copy {place}");
                // What was left lying does not disturb the next one.
                seal(&folder).unwrap();
                assert!(!is_copy(&folder).unwrap(), "sealed again {place}");
            }
        }
    }

    /// A disk that is full takes no new file; here a folder has the name of one.
    #[test]
    fn sealing_that_fails_makes_no_copy() {
        for name in [MARK, SEAL] {
            let folder = tempfile::tempdir().unwrap();
            seal(folder.path()).unwrap();
            fs::create_dir(beside(&folder.path().join(name))).unwrap();
            seal(folder.path()).unwrap_err();
            assert!(!is_copy(folder.path()).unwrap(), "{name} cannot be written");
        }
    }

    #[test]
    fn a_seal_of_an_earlier_version_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join(MARK);
        fs::write(&mark, "0123\n").unwrap();
        let metadata = fs::metadata(&mark).unwrap();
        let sealed = format!("{} {} 0123\n", metadata.ino(), born(&metadata));
        fs::write(folder.path().join(SEAL), sealed).unwrap();
        assert!(!is_copy(folder.path()).unwrap());
    }
}
