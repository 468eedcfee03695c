//! Check of fjall's table files before fjall opens them.
//!
//! fjall trusts some of what it reads at its start: a flipped bit in a count makes it allocate
//! hundreds of gigabytes, which ends the process, and a tree without its file `current` is taken
//! for one that was never finished, and removed. So all metadata is checked first: `current`, the
//! version it names, and of each table the contents, the index, the filter and what describes it.
//! The messages themselves are checked block by block as they are read, for there a damaged block
//! need not cost the others.
//!
//! The forms are those of lsm-tree 3: `version/persist.rs`, `table/block/header.rs`, and of sfa 1
//! for the contents of a file.
//!
//! It does not read the blocks of messages, and repairs nothing.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::acknowledged;
use crate::store::StoreError;

/// The keyspace of fjall's own, which names the others: all of it is needed.
const OWN: &str = "0";

/// Versions name their tables: 33 bytes each.
const VERSION_BYTES_MAX: u64 = 64 << 20;

/// A file has ten sections at most.
const CONTENTS_BYTES_MAX: u64 = 64 << 10;

/// Magic, version, kind of checksum; checksum, offset and length of the contents.
const TRAILER_BYTES: usize = 4 + 1 + 1 + 16 + 8 + 8;

/// Magic, kind, checksum, length, length uncompressed; checksum of these.
const HEADER_BYTES: usize = HEADER_FIELDS + 4;
const HEADER_FIELDS: usize = 4 + 1 + 16 + 4 + 4;

/// What of a table is checked: each holds one block or more.
const NEEDED: [&[u8]; 5] = [b"tli", b"index", b"filter_tli", b"filter", b"meta"];

/// Checks what is needed of all tables of `folder`.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let keyspaces = folder.join("keyspaces");
    // All keyspaces are made before anything is acknowledged.
    let is_complete = acknowledged::read(folder).is_some();
    let mut trees = Vec::new();
    for name in names(&keyspaces)? {
        // Keyspaces have numbers; fjall passes over everything else, too.
        if name.parse::<u64>().is_err() {
            continue;
        }
        let tree = keyspaces.join(&name);
        if tree.join("current").exists() {
            trees.push((name, tree));
        } else if is_complete || !names(&tree.join("tables"))?.is_empty() {
            return Err(damaged(&tree.join("current"), "it is missing"));
        }
    }
    if trees.is_empty() {
        return Ok(()); // a new store, or one that was never finished
    }
    if !trees.iter().any(|(name, _)| name == OWN) {
        return Err(damaged(
            &keyspaces.join(OWN).join("current"),
            "it is missing",
        ));
    }
    let version = folder.join("version");
    if !version.exists() {
        return Err(damaged(&version, "it is missing"));
    }
    trees
        .iter()
        .try_for_each(|(name, tree)| check_tree(tree, name == OWN))
}

/// Refuses a folder in which no store was ever made: another one was meant.
pub(super) fn require_store(folder: &Path) -> Result<(), StoreError> {
    if names(&folder.join("keyspaces"))?.is_empty() {
        return Err(StoreError::Unavailable(format!(
            "{} holds no messages: name the folder of a chat server (of dapanda: `chat` in its data \
             folder)",
            folder.display()
        )));
    }
    Ok(())
}

/// What is in a folder, which need not be there.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into());
    let names: io::Result<_> = entries.map(name).collect();
    names.map_err(|error| unreadable(folder, &error))
}

fn check_tree(tree: &Path, is_own: bool) -> Result<(), StoreError> {
    let current = tree.join("current");
    let content = fs::read(&current).map_err(|error| unreadable(&current, &error))?;
    let mut rest = Rest(&content);
    let (Some(id), Some(checksum), Some(0), true) = (
        rest.number::<8>(),
        rest.take(16),
        rest.number::<1>(),
        rest.0.is_empty(),
    ) else {
        return Err(damaged(&current, "it is no name of a version"));
    };
    let path = tree.join(format!("v{id}"));
    let version = Checked::open(&path)?;
    if version.length > VERSION_BYTES_MAX {
        return Err(damaged(&path, "it is too long"));
    }
    let all = version.read(0, version.length)?;
    if xxh3_128(&all).to_le_bytes() != checksum {
        return Err(damaged(&path, "its checksum does not match"));
    }
    let tables = version
        .sections()?
        .into_iter()
        .find(|it| it.name == b"tables");
    let tables = tables.and_then(|it| tables_of(&version.read(it.at, it.length).ok()?));
    let Some(tables) = tables else {
        return Err(damaged(&path, "its tables cannot be read"));
    };
    for (id, checksum) in tables {
        let path = tree.join("tables").join(id.to_string());
        let table = Checked::open(&path)?;
        if is_own && xxh3_128(&table.read(0, table.length)?) != checksum {
            return Err(damaged(table.path, "its checksum does not match"));
        }
        for section in table.sections()? {
            if NEEDED.contains(&&*section.name) {
                table.check_blocks(&section)?;
            }
        }
    }
    Ok(())
}

/// Numbers and checksums of the tables of a version.
fn tables_of(section: &[u8]) -> Option<Vec<(u64, u128)>> {
    let mut rest = Rest(section);
    let mut tables = Vec::new();
    for _level in 0..rest.number::<1>()? {
        for _run in 0..rest.number::<1>()? {
            for _table in 0..rest.number::<4>()? {
                let id = rest.number::<8>()?;
                rest.number::<1>().filter(|kind| *kind == 0)?;
                let checksum = rest.take(16)?.try_into().ok()?;
                rest.take(8)?;
                tables.push((id, u128::from_le_bytes(checksum)));
            }
        }
    }
    Some(tables)
}

/// A file that is being checked.
struct Checked<'a> {
    path: &'a Path,
    file: File,
    length: u64,
}

/// A part of it.
struct Section {
    name: Vec<u8>,
    at: u64,
    length: u64,
}

impl<'a> Checked<'a> {
    fn open(path: &'a Path) -> Result<Self, StoreError> {
        let opened = File::open(path).and_then(|file| {
            let length = file.metadata()?.len();
            Ok(Self { path, file, length })
        });
        opened.map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                damaged(path, "it is missing")
            } else {
                unreadable(path, &error)
            }
        })
    }

    /// No more than the file has.
    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, StoreError> {
        let inside = at.checked_add(length).filter(|end| *end <= self.length);
        let length = inside.and_then(|_| usize::try_from(length).ok());
        let length = length.ok_or_else(|| damaged(self.path, "it is too short"))?;
        let mut bytes = vec![0; length];
        let read = self.file.read_exact_at(&mut bytes, at);
        read.map_err(|error| unreadable(self.path, &error))?;
        Ok(bytes)
    }

    fn sections(&self) -> Result<Vec<Section>, StoreError> {
        let no = || damaged(self.path, "its contents cannot be read");
        let trailer_at = self
            .length
            .checked_sub(TRAILER_BYTES as u64)
            .ok_or_else(no)?;
        let trailer = self.read(trailer_at, TRAILER_BYTES as u64)?;
        let mut rest = Rest(&trailer);
        let is_known = rest.take(6) == Some(b"SFA!\x01\x00");
        let checksum = rest.take(16).ok_or_else(no)?;
        let (at, length) = (rest.number::<8>(), rest.number::<8>());
        let (at, length) = at.zip(length).ok_or_else(no)?;
        let is_whole = at.checked_add(length) == Some(trailer_at);
        if !is_known || !is_whole || length > CONTENTS_BYTES_MAX {
            return Err(no());
        }
        let contents = self.read(at, length)?;
        if xxh3_128(&contents).to_le_bytes() != checksum {
            return Err(no());
        }
        let sections = sections_of(&contents).ok_or_else(no)?;
        let is_before = |it: &Section| it.at.checked_add(it.length).is_some_and(|end| end <= at);
        match sections.iter().all(is_before) {
            true => Ok(sections),
            false => Err(no()),
        }
    }

    /// Block after block.
    fn check_blocks(&self, section: &Section) -> Result<(), StoreError> {
        let bytes = self.read(section.at, section.length)?;
        let mut rest = Rest(&bytes);
        while !rest.0.is_empty() {
            let at = section.at + section.length - rest.0.len() as u64;
            if skip_block(&mut rest).is_none() {
                let name = String::from_utf8_lossy(&section.name);
                return Err(damaged(
                    self.path,
                    &format!("its block at byte {at}, of its section {name}, cannot be read"),
                ));
            }
        }
        Ok(())
    }
}

fn sections_of(contents: &[u8]) -> Option<Vec<Section>> {
    let mut rest = Rest(contents);
    rest.take(4).filter(|magic| magic == b"TOC!")?;
    let mut sections = Vec::new();
    for _ in 0..rest.number::<4>()? {
        let (at, length) = (rest.number::<8>()?, rest.number::<8>()?);
        let name = usize::try_from(rest.number::<2>()?).ok()?;
        let name = rest.take(name)?.to_vec();
        sections.push(Section { name, at, length });
    }
    Some(sections)
}

/// A whole block.
fn skip_block(rest: &mut Rest<'_>) -> Option<()> {
    let header = rest.take(HEADER_BYTES)?;
    let (fields, checksum) = header.split_at(HEADER_FIELDS);
    // The lower half of the lower half.
    if xxh3_128(fields).to_le_bytes()[..4] != *checksum {
        return None;
    }
    let mut fields = Rest(fields);
    fields.take(5).filter(|magic| magic[..4] == *b"LSM\x03")?;
    let checksum = fields.take(16)?;
    let length = usize::try_from(fields.number::<4>()?).ok()?;
    let data = rest.take(length)?;
    (xxh3_128(data).to_le_bytes() == checksum).then_some(())
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Option<u64> {
        let taken = self.take(N)?.iter().rev();
        Some(taken.fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "{} is damaged: {why}. Nothing was changed. The messages cannot be read without it: restore \
         the folder from a backup, whole",
        path.display()
    ))
}
