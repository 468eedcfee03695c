//! The trades' SQL, one statement per function.

mod history;
mod price;
mod receipt;
mod write;

pub(super) use history::*;
pub(super) use price::*;
pub(super) use receipt::*;
pub(super) use write::*;
