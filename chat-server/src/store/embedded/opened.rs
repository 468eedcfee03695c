//! Handle of the open tables, which the writer may close and open again while others read.

use std::sync::{Arc, PoisonError, RwLock};

use super::tables::Tables;
use crate::store::StoreError;

/// The open tables, or why there are none now.
pub(super) struct Opened {
    tables: RwLock<Result<Arc<Tables>, String>>,
}

impl Opened {
    pub(super) fn new(tables: Tables) -> Self {
        Self {
            tables: RwLock::new(Ok(Arc::new(tables))),
        }
    }

    /// For one operation: a handle that is held longer keeps the store from being opened again.
    pub(super) fn get(&self) -> Result<Arc<Tables>, StoreError> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        tables.clone().map_err(StoreError::Unavailable)
    }

    pub(super) fn put(&self, tables: Arc<Tables>) {
        self.set(Ok(tables));
    }

    /// Reads fail from now on, with this reason.
    pub(super) fn take_away(&self, why: &str) {
        self.set(Err(why.to_owned()));
    }

    fn set(&self, state: Result<Arc<Tables>, String>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *tables, state);
        drop(tables);
        // Dropping the last one closes the database, which takes its time.
        drop(before);
    }
}
