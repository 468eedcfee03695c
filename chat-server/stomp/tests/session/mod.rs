//! Support, and the tests by noun.

mod support;

mod acks;
mod client_frames;
mod connect;
mod endings;
mod heart_beats;
mod limits;
mod peers;
mod server_frames;
mod transactions;
