//! Mark of the last acknowledged append but one, in a file beside the journal.
//!
//! A journal that lost its end at the border of two batches cannot be distinguished from one that
//! never was longer. So the store writes down which append it answered last but one, and a start
//! checks that it is there. Last but one, because the last write may be torn by a kill or a power
//! failure before it is answered, and a start must not refuse that.
//!
//! The mark is not synced: it costs a microsecond, survives a kill, and after a power failure may
//! be older than the truth, but never newer.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use shared::ids::{MemberId, RoomId, Seq};
use tracing::{debug, error};
use xxhash_rust::xxh3::xxh3_64;

use super::tables::Tables;
use crate::log::Topic;
use crate::store::StoreError;

/// The name of its file.
pub(super) const NAME: &str = "acknowledged";

/// Kind, owner, position; then the checksum.
const FIELDS: usize = 9;
const BYTES: usize = FIELDS + 8;

/// An append that was answered.
type Append = (Topic, Seq);

/// The file, and what goes into it next.
#[derive(Debug)]
pub(super) struct Acknowledged {
    file: Option<File>,
    last: Option<Append>,
}

impl Acknowledged {
    /// Without its file it does nothing, as in a folder that cannot be written to.
    pub(super) fn open(folder: &Path) -> Self {
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let file = options.open(folder.join(NAME));
        if let Err(error) = &file {
            debug!("the mark of acknowledged appends is not written: {error}");
        }
        Self {
            file: file.ok(),
            last: None,
        }
    }

    /// This append is stored; the one before it was so before this one began.
    pub(super) fn note(&mut self, topic: Topic, head: Seq) {
        let before = self.last.replace((topic, head));
        if let (Some(before), Some(file)) = (before, &self.file)
            && let Err(error) = file.write_all_at(&encode(before), 0)
        {
            // The mark stays older, which is as good as after a power failure.
            debug!("the mark of acknowledged appends is not written: {error}");
        }
    }
}

/// The mark of a folder; `None` if there is none, or none that can be read.
pub(super) fn read(folder: &Path) -> Option<Append> {
    let file = File::open(folder.join(NAME)).ok()?;
    read_file(&file).ok().flatten()
}

/// Checks that the marked append is there. `journal_end` describes where the journals end, for the
/// error.
///
/// # Errors
/// [`StoreError::Corrupt`] if it is not.
pub(super) fn check(folder: &Path, tables: &Tables, journal_end: &str) -> Result<(), StoreError> {
    let Some((topic, seq)) = read(folder) else {
        return Ok(());
    };
    match tables.head(topic) {
        Ok(head) if head < seq => {}
        // Its block is damaged: one room's fault, which reads of it find.
        Err(StoreError::Corrupt(why)) => {
            error!("the presence of the last acknowledged append cannot be checked: {why}");
            return Ok(());
        }
        found => return found.map(drop),
    }
    Err(StoreError::Corrupt(format!(
        "{folder}: the entry {seq} of {topic} was acknowledged and is not there; {journal_end}. A part of the \
         folder may be older than the rest: restore the folder from a backup, whole; to go on without \
         what is lost instead, move {folder}/{NAME} away",
        folder = folder.display(),
    )))
}

fn read_file(file: &File) -> io::Result<Option<Append>> {
    let mut bytes = [0; BYTES];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(decode(&bytes))
}

fn encode((topic, seq): Append) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..FIELDS].copy_from_slice(&super::tables::log_key(topic, seq));
    let checksum = xxh3_64(&bytes[..FIELDS]);
    bytes[FIELDS..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; BYTES]) -> Option<Append> {
    let (fields, checksum) = bytes.split_at(FIELDS);
    if xxh3_64(fields).to_le_bytes() != checksum {
        return None;
    }
    let number = |bytes: &[u8]| Some(u64::from(u32::from_be_bytes(bytes.try_into().ok()?)));
    let (owner, seq) = (number(&fields[1..5])?, number(&fields[5..])?);
    let topic = match fields[0] {
        0 => Topic::Room(RoomId::try_from(owner).ok()?),
        1 => Topic::Inbox(MemberId::try_from(owner).ok()?),
        _ => return None,
    };
    Some((topic, Seq::try_from(seq).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_append_before_the_last_is_marked() {
        let folder = tempfile::tempdir().unwrap();
        let topic = Topic::Inbox(MemberId::try_from(7_u64).unwrap());
        let at = |seq: u64| Seq::try_from(seq).unwrap();
        let mut mark = Acknowledged::open(folder.path());
        assert_eq!(read(folder.path()), None);
        mark.note(topic, at(1));
        assert_eq!(read(folder.path()), None);
        mark.note(topic, at(3));
        assert_eq!(read(folder.path()), Some((topic, at(1))));
        mark.note(topic, at(4));
        assert_eq!(read(folder.path()), Some((topic, at(3))));
        std::fs::write(folder.path().join(NAME), [1; BYTES]).unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
