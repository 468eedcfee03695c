//! HTTP conventions of both servers: envelope, errors, limits, CORS, request ids, access log.
//!
//! ```text
//! listener: places, time ─► conform: name, host, envelope ─► logged: a span, a line in the log ─► cors
//!          ─► guarded: time, body, panics ─► handlers
//! ```
//!
//! Handlers take their input through [`InPath`], [`InQuery`] and [`InBody`], answer with
//! [`success`], [`done`] or a page, and fail with an [`ApiError`] of one [`ErrorCode`]: both servers
//! have one table of codes.
//!
//! What this module does not do: authentication (each server verifies tokens in its own way;
//! [`Credentials`] only parses them), routes, documents, rate limits.

mod body;
mod codes;
mod conform;
mod cors;
mod credentials;
mod deadline;
mod envelope;
mod error;
mod extract;
mod guard;
pub mod headers;
mod health;
mod hosts;
mod linger;
mod listener;
mod page;
mod raw;
mod request_id;
mod seat;
mod set_cookie;
mod stream;

pub use codes::{ErrorCode, common_errors};
pub use cors::{CrossOrigin, CrossOriginService, cors};
pub use credentials::{ACCESS_COOKIE, Credentials, REFRESH_COOKIE, cookies};
pub use envelope::{Done, Envelope, done, success};
pub use error::{ApiError, ErrorBody};
pub use extract::{InBody, InBodyWithBytes, InPath, InQuery, is_own_page, parameter};
pub use guard::{Log, guarded, logged, unknown_path};
pub use health::Health;
pub use hosts::Hosts;
pub use listener::{IDLE_TIME, Peer, Serving, WRITE_TIME, bound_buffers, listen, serve};
pub use page::{CountPage, Page, PageInfo, PageParameters, PageSize, ReceiverPage, Rows, cursor};
pub use request_id::{REQUEST_ID, RequestIds};
pub use set_cookie::SetCookie;
pub use stream::HttpStream;
