//! What one member is separated from, cached: lists ask at every page.
//!
//! A value is used only under the current version of its namespace, which every block and its undoing
//! replaces for both members, so no list shows a page cached before a block after it.
//!
//! What this module does not do: filter. Pages are read again in the database.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use shared::ids::MemberId;

use super::{Blocks, repo};
use crate::cache::{Namespace, Seen};
use crate::db::DbError;

/// Bound of the ids in a value. A member blocks at most 500, but may be blocked by any number.
const FEW_MAX: usize = 1_000;

/// Maximum lifetime of a cached value: with a cache in the process, another instance may take so long to
/// notice a block.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// The members whose listings a reader must not see, and who must not see the reader's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Separated {
    /// These, in ascending order; mostly none.
    Few(Vec<MemberId>),
    /// More than a value may have: any other may be among them.
    Many,
}

impl Separated {
    /// True if nobody's listings are hidden.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        match self {
            Self::Few(ids) => ids.is_empty(),
            Self::Many => false,
        }
    }

    /// True if this seller's listings are hidden, or may be.
    #[must_use]
    pub fn may_hide(&self, seller: MemberId) -> bool {
        match self {
            Self::Few(ids) => ids.binary_search(&seller).is_ok(),
            Self::Many => true,
        }
    }
}

impl Blocks {
    /// What a member is separated from, as of the call or later.
    ///
    /// # Errors
    /// The database's.
    pub async fn separated(&self, member: MemberId) -> Result<Separated, DbError> {
        let (key, kept) = match self.cache.seen(Namespace::blocks_of(member)).await {
            Seen::Version(version) => (format!("blocks:v{version}:{member}"), true),
            Seen::Away(changes) => (format!("blocks:away{changes}:{member}"), false),
        };
        if kept && let Some(bytes) = self.cache.get(&key).await {
            let value = postcard::from_bytes(&bytes);
            if let Ok(value) = value {
                return Ok(value);
            }
        }
        let (own, looked_up) = (self.clone(), key.clone());
        let look_up = async move {
            let value = own.read(member).await?;
            if kept && let Ok(bytes) = postcard::to_stdvec(&value) {
                own.cache.set(&looked_up, bytes.into(), KEPT).await;
            }
            Ok(value)
        };
        let found = self.single_flight.join(key, look_up).await;
        found.map_or_else(
            || {
                let why = "a look-up panicked or took too long";
                Err(DbError::Unavailable(why.to_owned()))
            },
            |found| found.into_inner(),
        )
    }

    async fn read(&self, member: MemberId) -> Result<Separated, DbError> {
        let mut connection = self.db.read().await?;
        let ids = repo::separated_from(&mut connection, member, FEW_MAX + 1).await?;
        Ok(match ids.len() > FEW_MAX {
            true => Separated::Many,
            false => Separated::Few(ids),
        })
    }
}
