//! The file of a stand-in's books: JSON lines that are only appended, so that the books outlive a restart.
//!
//! A line is the whole record as of then, the last one of a record counts. A line that a kill cut short is
//! dropped at the next start. At a start, and once it is long, the file is rewritten without superseded records. It
//! is not made for many records: each of this takes all of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Lines that are appended before the file is due to be rewritten.
const APPENDED_MAX: usize = 65_536;

/// The file, or none: books in memory.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<(PathBuf, File)>,
    /// Lines since the file was rewritten.
    appended: usize,
    is_broken: bool,
}

impl Journal {
    /// The lines of a file, which may not exist yet.
    pub(crate) fn read<L: DeserializeOwned>(path: &Path) -> io::Result<Vec<L>> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            text => text?,
        };
        // What follows the last line feed was cut short.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = complete.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).map_err(io::Error::from))
            .collect()
    }

    /// Replaces the file by these lines, and appends to it from now on.
    pub(crate) fn rewrite<L: Serialize>(path: &Path, lines: &[L]) -> io::Result<Self> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        shared::files::place(path, &text)?;
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self {
            file: Some((path.to_owned(), file)),
            appended: 0,
            is_broken: false,
        })
    }

    /// Appends a record. After a failure nothing is appended any more.
    pub(crate) fn append<L: Serialize>(&mut self, line: &L) {
        let Some((_, file)) = self.file.as_mut().filter(|_| !self.is_broken) else {
            return;
        };
        self.appended += 1;
        let written = serde_json::to_vec(line).map_err(io::Error::from);
        let written = written.and_then(|mut text| {
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_data()
        });
        self.is_broken = written.is_err();
    }

    /// Rewrites the file without superseded records, once there are enough of them.
    pub(crate) fn compact<L: Serialize>(&mut self, lines: impl FnOnce() -> Vec<L>) {
        if self.appended < APPENDED_MAX || self.is_broken {
            return;
        }
        let Some((path, _)) = &self.file else {
            return;
        };
        match Self::rewrite(path, &lines()) {
            Ok(fresh) => *self = fresh,
            Err(_unwritten) => self.is_broken = true,
        }
    }

    /// Whether a record could not be written: the books are not to be trusted after a restart.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_rewritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books");
        let mut journal = Journal::rewrite(&path, &[1, 2]).unwrap();
        journal.append(&3);
        journal.compact(|| vec![4]);
        assert_eq!(Journal::read::<u8>(&path).unwrap(), [1, 2, 3]);
        journal.appended = APPENDED_MAX;
        journal.compact(|| vec![4]);
        journal.append(&5);
        assert_eq!(Journal::read::<u8>(&path).unwrap(), [4, 5]);
        assert!(!journal.is_broken());
    }

    #[test]
    fn after_a_failure_nothing_is_appended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("books");
        drop(Journal::rewrite(&path, &[1]).unwrap());
        let read_only = File::open(&path).unwrap();
        let mut journal = Journal {
            file: Some((path.clone(), read_only)),
            ..Journal::default()
        };
        journal.append(&2);
        assert!(journal.is_broken());
        assert_eq!(Journal::read::<u8>(&path).unwrap(), [1]);
    }
}
