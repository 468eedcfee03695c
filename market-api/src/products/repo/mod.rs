//! The offers' SQL, one statement per function.

mod list;
mod near;
mod place;
mod read;
mod write;

pub(super) use list::*;
pub(super) use near::*;
pub(super) use place::*;
pub(super) use read::*;
pub(super) use write::*;
