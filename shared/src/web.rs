//! The HTTP conventions that both servers keep.
//!
//! ```text
//! listener ─► logged: a name, a line in the log ─► cors ─► guarded: time, body, panics ─► handlers
//! ```
//!
//! Handlers take their input through [`InPath`], [`InQuery`] and [`InBody`], answer with
//! [`success`], [`done`] or a page, and refuse with a row of a table: [`Refusal`] holds the rows
//! that both servers have, each server's own table the others (both make [`Row`]s).
//!
//! What this module does not do: know who asks (each server checks tokens in its own way;
//! [`Credentials`] only reads them), routes, documents, limits on how often somebody asks.

mod credentials;
mod crowded;
mod envelope;
mod extract;
mod guard;
mod health;
mod listener;
mod page;

pub use credentials::{ACCESS_COOKIE, Credentials, REFRESH_COOKIE, cookie};
pub use envelope::{
    Done, Envelope, FailureBody, Refusal, Row, Told, done, failure, failure_with, success,
};
pub use extract::{InBody, InPath, InQuery, is_own_page, parameter};
pub use guard::{Log, REQUEST_ID, RequestIds, cors, guarded, logged, unknown_path};
pub use health::Health;
pub use listener::{Peer, listen, serve};
pub use page::{CountPage, Page, PageInfo, PageSize, ReceiverPage, cursor};
