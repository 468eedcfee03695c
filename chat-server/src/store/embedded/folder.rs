//! Opening the folder of a store: the lock, the checks of its files, the tables.
//!
//! The order matters: fjall repairs and removes files while it opens a database, so the files are
//! checked before, and what was acknowledged is compared with the tables after.

use std::path::Path;

use super::lock::Lock;
use super::tables::Tables;
use super::{acknowledged, files, journal};
use crate::store::StoreError;

/// Opens or creates the database in `folder`.
///
/// # Errors
/// [`StoreError::Corrupt`] also if an acknowledged append is missing.
pub(super) fn open(folder: &Path) -> Result<Tables, StoreError> {
    let lock = Lock::take(folder)?;
    files::check(folder)?;
    let end = journal::check(folder)?;
    let tables = Tables::open(folder, lock)?;
    let end = end.map_or_else(|| "there is no journal".to_owned(), |end| end.to_string());
    acknowledged::check(folder, &tables, &end)?;
    Ok(tables)
}
