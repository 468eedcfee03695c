//! Check of fjall's journals before fjall opens them.
//!
//! fjall takes unreadable bytes for the end of a journal, or refuses to open. A write torn by a
//! kill or a power failure cannot be distinguished from damage by itself, only by what follows it.
//! A torn write is the last thing of the last journal, so behind it no whole batch can lie: it was
//! never acknowledged, and is cut off. Where whole batches follow, what is damaged was
//! acknowledged: then the store is not opened, and the error names file and byte.
//!
//! The form of journals is that of fjall 3 (its `journal/entry.rs`): a batch is a start with the
//! number of its items and its sequence number, the items, and an end with their checksum.
//!
//! It does not detect a journal that lost its end between two batches, which
//! [`acknowledged`](super::acknowledged) does, and does not read values.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, fadvise};
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use crate::store::{RECORD_KEY_BYTES_MAX, StoreError};

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

/// Closes a batch: the name and version of the form.
const MAGIC: &[u8] = b"FJL\x03";

/// Sequence numbers rise by one or a few from batch to batch: a larger step is damage, and so is
/// one back.
const SEQNO_STEP_MAX: u64 = 1 << 32;

/// fjall begins another journal when one is longer than this.
const SEALED_BYTES_MIN: usize = 64_000_000;

/// A sealed journal may be shorter by a batch that failed: the most that one round writes.
const BATCH_BYTES_MAX: usize = 33 << 20;

/// The keys of our tables have up to 80 bytes, those of member records (`RECORD_KEY_BYTES_MAX` and the
/// member). A longer one that reaches past the end of the file is taken for damage.
const KEY_BYTES_MAX: usize = 4 + RECORD_KEY_BYTES_MAX;

const CHUNK_BYTES: usize = 1 << 20;

/// Where the journals end, for error texts.
#[derive(Debug)]
pub(super) struct JournalEnd {
    path: PathBuf,
    offset: usize,
}

impl fmt::Display for JournalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ends at byte {}", self.path.display(), self.offset)
    }
}

/// Checks all journals of `folder` and cuts a torn write off; `None` if there are none.
pub(super) fn check(folder: &Path) -> Result<Option<JournalEnd>, StoreError> {
    let paths = journals(folder)?;
    let (mut seqno, mut last) = (0, None);
    for (at, path) in paths.iter().enumerate() {
        let bytes = read(path).map_err(|error| unreadable(path, &error))?;
        let mut walk = Walk::new(&bytes, seqno);
        let stopped = walk.advance_to_end();
        seqno = walk.seqno;
        let later = &paths[at + 1..];
        if let Some(why) = stopped {
            let end = walk.at;
            if let Some(found) = whole_batch_after(&bytes, end, seqno, path, later)? {
                return Err(damaged(folder, path, end, why, &found));
            }
            cut(path, &bytes, end).map_err(|error| unreadable(path, &error))?;
        } else if !later.is_empty() && walk.at + BATCH_BYTES_MAX < SEALED_BYTES_MIN {
            // All zeros from here on, in a journal that was full.
            let found = (later[0].clone(), 0);
            return Err(damaged(folder, path, walk.at, "it ends too early", &found));
        }
        last = Some(JournalEnd {
            path: path.clone(),
            offset: walk.at,
        });
    }
    Ok(last)
}

/// The journals, oldest first. They follow on each other: fjall removes the oldest first.
fn journals(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut ids = Vec::new();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    for entry in entries {
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let id = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl"));
        ids.extend(id.and_then(|id| id.parse::<u64>().ok()));
    }
    ids.sort_unstable();
    let path = |id: u64| folder.join(format!("{id}.jnl"));
    if let Some(gap) = ids.windows(2).find(|pair| pair[0] + 1 != pair[1]) {
        return Err(StoreError::Corrupt(format!(
            "{} is missing: restore it, or the whole folder, from a backup",
            path(gap[0] + 1).display()
        )));
    }
    Ok(ids.into_iter().map(path).collect())
}

/// The bytes of a file without the zeros at its end: fjall allocates 64 MiB at once.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    // After a sync that failed the page cache may hold what the disk has not: read the disk. An
    // advice that is not taken costs nothing but that.
    fadvise(&file, 0, None, Advice::DontNeed).ok();
    let (mut bytes, mut zeros) = (Vec::new(), 0);
    let mut chunk = vec![0; CHUNK_BYTES];
    let nothing = vec![0; CHUNK_BYTES];
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            break;
        }
        let part = &chunk[..count];
        if part == &nothing[..count] {
            zeros += count;
            continue;
        }
        bytes.resize(bytes.len() + zeros, 0);
        bytes.extend_from_slice(part);
        zeros = 0;
    }
    let end = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |at| at + 1);
    bytes.truncate(end);
    Ok(bytes)
}

/// Cuts off what lies behind `end` and keeps it beside the journal.
fn cut(path: &Path, bytes: &[u8], end: usize) -> io::Result<()> {
    let torn = &bytes[end..];
    let aside = path.with_extension("torn");
    let kept = match fs::write(&aside, torn) {
        Ok(()) => format!("it is kept in {}", aside.display()),
        Err(error) => format!("it cannot be kept: {error}"),
    };
    warn!(
        "the last write to {} was torn and is dropped, {} bytes from {end} on: it was never \
         acknowledged; {kept}",
        path.display(),
        torn.len()
    );
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(end as u64)?;
    file.sync_all()
}

/// The first whole batch behind an unreadable part.
fn whole_batch_after(
    bytes: &[u8],
    end: usize,
    seqno: u64,
    path: &Path,
    later: &[PathBuf],
) -> Result<Option<(PathBuf, usize)>, StoreError> {
    let from = behind_content(bytes, end);
    if let Some(at) = find_batch(bytes, from, seqno).or_else(|| find_out_of_order(bytes, end)) {
        return Ok(Some((path.to_owned(), at)));
    }
    for path in later {
        let bytes = read(path).map_err(|error| unreadable(path, &error))?;
        if let Some(at) = find_batch(&bytes, 0, seqno) {
            return Ok(Some((path.clone(), at)));
        }
    }
    Ok(None)
}

/// Behind the items of a torn batch, as far as they can be walked. What clients wrote is in them,
/// which may look like a batch.
fn behind_content(bytes: &[u8], at: usize) -> usize {
    let mut rest = Rest::new(bytes, at);
    let is_start = rest.number::<1>() == Some(u64::from(START));
    let (Some(items), Some(_seqno), true) = (rest.number::<4>(), rest.number::<8>(), is_start)
    else {
        return at + 1;
    };
    for _ in 0..items {
        let begun = rest.at;
        if rest.skip_item().is_none() {
            return if rest.overran { bytes.len() } else { begun };
        }
    }
    rest.at
}

/// The first whole batch at `from` or later.
fn find_batch(bytes: &[u8], from: usize, seqno: u64) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let starts = memchr::memchr_iter(START, rest).map(|at| from + at);
    let mut whole = starts.filter(|at| {
        let batch = parse(bytes, *at);
        batch.is_ok_and(|batch| is_next(seqno, batch.seqno))
    });
    whole.next()
}

/// The batch behind one that is whole but for its sequence number, which no checksum covers.
fn find_out_of_order(bytes: &[u8], at: usize) -> Option<usize> {
    let end = parse(bytes, at).ok()?.end;
    parse(bytes, end).ok().map(|_| end)
}

/// Whether a batch of this number may follow.
///
/// The oldest journal that is left may begin with any number.
fn is_next(before: u64, seqno: u64) -> bool {
    before == 0 || (seqno >= before && seqno - before < SEQNO_STEP_MAX)
}

/// Goes from batch to batch.
struct Walk<'a> {
    bytes: &'a [u8],
    /// Behind the last whole batch.
    at: usize,
    /// That of the last whole batch.
    seqno: u64,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], seqno: u64) -> Self {
        Self {
            bytes,
            at: 0,
            seqno,
        }
    }

    /// Walks to the end; why it stopped before, if it did.
    fn advance_to_end(&mut self) -> Option<&'static str> {
        while self.at < self.bytes.len() {
            let batch = match parse(self.bytes, self.at) {
                Ok(batch) => batch,
                Err(why) => return Some(why),
            };
            if !is_next(self.seqno, batch.seqno) {
                return Some("a sequence number out of order");
            }
            (self.at, self.seqno) = (batch.end, batch.seqno);
        }
        None
    }
}

/// A whole batch.
struct Batch {
    seqno: u64,
    end: usize,
}

/// Reads the batch that begins at `at`.
fn parse(bytes: &[u8], at: usize) -> Result<Batch, &'static str> {
    const SHORT: &str = "a batch is cut short";
    let mut rest = Rest::new(bytes, at);
    if rest.number::<1>().ok_or(SHORT)? != u64::from(START) {
        return Err("no batch begins here");
    }
    let items = rest.number::<4>().ok_or(SHORT)?;
    let seqno = rest.number::<8>().ok_or(SHORT)?;
    let first = rest.at;
    for _ in 0..items {
        rest.skip_item().ok_or("an item cannot be read")?;
    }
    let checksum = bytes.get(first..rest.at).map(xxh3_64).ok_or(SHORT)?;
    if items == 0 || rest.number::<1>().ok_or(SHORT)? != u64::from(END) {
        return Err("a batch does not end where it should");
    }
    if rest.number::<8>().ok_or(SHORT)? != checksum {
        return Err("the checksum of a batch does not match");
    }
    if rest.take(MAGIC.len()).ok_or(SHORT)? != MAGIC {
        return Err("the end of a batch cannot be read");
    }
    Ok(Batch {
        seqno,
        end: rest.at,
    })
}

/// What is not read yet.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The last item begins well, but the file ends within it.
    overran: bool,
}

impl<'a> Rest<'a> {
    fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            overran: false,
        }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    /// A little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Option<u64> {
        let taken = self.take(N)?.iter().rev();
        Some(taken.fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn length<const N: usize>(&mut self) -> Option<usize> {
        self.number::<N>()?.try_into().ok()
    }

    fn skip_item(&mut self) -> Option<()> {
        let tag = self.take(1)?[0];
        if tag == CLEAR {
            return self.take(8).map(drop);
        }
        let (kind, compression) = (self.take(1)?[0], self.take(1)?[0]);
        // A value or a mark of its removal, as it is or compressed.
        if tag != ITEM || kind > 2 || compression > 1 {
            return None;
        }
        self.take(8)?;
        let (key, value, stored) = (
            self.length::<2>()?,
            self.length::<4>()?,
            self.length::<4>()?,
        );
        if compression == 0 && value != stored {
            return None;
        }
        let taken = self.take(key.checked_add(stored)?);
        let is_sane = key <= KEY_BYTES_MAX && stored <= BATCH_BYTES_MAX;
        self.overran = is_sane && taken.is_none();
        taken.map(drop)
    }
}

fn unreadable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("{}: {error}", path.display()))
}

fn damaged(
    folder: &Path,
    path: &Path,
    at: usize,
    why: &str,
    (next_path, next): &(PathBuf, usize),
) -> StoreError {
    let (path, next_path) = (path.display(), next_path.display());
    StoreError::Corrupt(format!(
        "{path} is damaged at byte {at}: {why}. Writes that were acknowledged follow it (at byte \
         {next} of {next_path}), so it is no torn write. Nothing was changed. Restore the folder from \
         a backup; to go on without everything from there on instead, copy the folder, cut the file \
         (truncate -s {at} {path}), move later .jnl files and {}/{} away",
        folder.display(),
        super::acknowledged::NAME
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(seqno: u64, value: &[u8]) -> Vec<u8> {
        let mut item = vec![ITEM, 0, 0];
        item.extend([0; 8]);
        item.extend(1_u16.to_le_bytes());
        let length = u32::try_from(value.len()).unwrap().to_le_bytes();
        item.extend([length, length].as_flattened());
        item.push(b'k');
        item.extend(value);
        let mut batch = vec![START];
        batch.extend(1_u32.to_le_bytes());
        batch.extend(seqno.to_le_bytes());
        batch.extend(&item);
        batch.push(END);
        batch.extend(xxh3_64(&item).to_le_bytes());
        batch.extend(MAGIC);
        batch
    }

    /// What the check makes of these journals: the length of the last one, or where it is damaged.
    fn checked(journals: &[Vec<u8>]) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        for (id, journal) in journals.iter().enumerate() {
            fs::write(folder.path().join(format!("{id}.jnl")), journal).unwrap();
        }
        let last = folder.path().join(format!("{}.jnl", journals.len() - 1));
        let end = check(folder.path()).map_err(|error| error.to_string())?;
        let end = end.unwrap();
        assert_eq!(end.path, last);
        let length = fs::metadata(&last).unwrap().len();
        assert!(end.offset as u64 <= length);
        Ok(end.offset)
    }

    #[test]
    fn torn_batch_at_the_end_is_cut_off() {
        let whole = [batch(5, b"one"), batch(6, &[7; 3_000])].concat();
        let last = batch(7, &[1; 2_000]);
        for piece in (0..last.len()).step_by(100) {
            let mut torn = last.clone();
            let end = torn.len().min(piece + 512);
            torn[piece..end].fill(0);
            let journal = [whole.clone(), torn, vec![0; 5_000]].concat();
            assert_eq!(checked(&[journal]), Ok(whole.len()), "{piece}");
        }
    }

    #[test]
    fn damage_before_a_whole_batch_is_refused_with_its_place() {
        let batches = [batch(5, b"one"), batch(6, &[7; 3_000]), batch(7, b"three")];
        let starts = [0, batches[0].len(), batches[0].len() + batches[1].len()];
        let whole = batches.concat();
        for at in 0..starts[2] {
            let mut journal = whole.clone();
            journal[at] ^= 0x55;
            let found = checked(&[journal]);
            let Err(why) = found else {
                // The low bytes of a number that still rises are the same as before.
                let in_batch = at - starts.iter().rfind(|start| **start <= at).unwrap();
                assert!((5..13).contains(&in_batch), "{at} is passed: {found:?}");
                continue;
            };
            let is_named = starts
                .iter()
                .any(|start| why.contains(&format!("at byte {start}")));
            assert!(is_named, "{at}: {why}");
        }
    }

    #[test]
    fn content_that_looks_like_a_batch_does_not_make_a_torn_write_damage() {
        let whole = [batch(5, b"one"), batch(6, b"two")].concat();
        let fake = batch(8, b"checks like one");
        let last = batch(7, &[&[7; 100][..], &fake, &[7; 1_000]].concat());
        for end in (150 + fake.len()..last.len()).step_by(50) {
            let journal = [&whole, &last[..end]].concat();
            assert_eq!(checked(&[journal]), Ok(whole.len()), "{end}");
        }
    }

    #[test]
    fn oldest_journal_may_begin_with_any_number() {
        let late = 1 << 40;
        let journal = [batch(late, b"one"), batch(late + 1, b"two")].concat();
        let length = journal.len();
        assert_eq!(checked(&[journal]), Ok(length));
    }

    #[test]
    fn sealed_journal_that_ends_early_or_is_missing_is_refused() {
        let (first, second) = (batch(1, b"one"), batch(2, b"two"));
        assert!(checked(&[first.clone(), second.clone()]).is_err());
        let torn = first[..first.len() - 3].to_vec();
        assert!(checked(&[torn.clone(), second]).is_err());
        assert_eq!(checked(&[torn, Vec::new()]), Ok(0));
    }
}
