//! The file of a stand-in's books: JSON lines that are only appended, so that the books outlive a restart.
//!
//! A line is the whole record as of then, the last one of a record counts. A line that a kill cut short is
//! dropped at the next start, which also rewrites the file without what is outdated. It is not made for
//! many records: reading takes all of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The file, or none: books in memory.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    file: Option<File>,
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
            file: Some(file),
            is_broken: false,
        })
    }

    /// Appends a record. After a failure nothing is appended any more.
    pub(crate) fn append<L: Serialize>(&mut self, line: &L) {
        let Some(file) = self.file.as_mut().filter(|_| !self.is_broken) else {
            return;
        };
        let written = serde_json::to_vec(line).map_err(io::Error::from);
        let written = written.and_then(|mut text| {
            text.push(b'\n');
            file.write_all(&text)?;
            file.sync_data()
        });
        self.is_broken = written.is_err();
    }

    /// Whether a record could not be written: the books are not to be trusted after a restart.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken
    }
}
