//! Stored state of members: the account status.

use serde::{Deserialize, Serialize};

/// Whether a member may use the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    /// The member may use the site.
    #[default]
    Good,
    /// An administrator has blocked the account.
    Blocked,
}
