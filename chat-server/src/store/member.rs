//! What is kept about members.

use serde::{Deserialize, Serialize};

/// Whether a member may use the site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccountStatus {
    /// They may.
    #[default]
    Good,
    /// An administrator has shut them out.
    Blocked,
}
