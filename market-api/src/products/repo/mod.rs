//! The offers' SQL, one statement per function.

pub(super) mod close;
mod list;
mod near;
pub(super) mod rates;
mod read;
mod sort_keys;
pub(super) mod stock;
mod write;

pub(super) use list::*;
pub(super) use near::*;
pub(super) use read::*;
pub(super) use sort_keys::*;
pub(super) use write::*;
