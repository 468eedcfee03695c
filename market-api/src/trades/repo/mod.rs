//! The trades' SQL, one statement per function.

mod history;
mod price;
mod write;

pub(super) use history::*;
pub(super) use price::*;
pub(super) use write::*;
