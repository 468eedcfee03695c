//! What stands in for others in the embedded mode and in tests: real servers with books of their
//! own, which the real clients talk to over HTTP. No route of this server leads here; whoever wants
//! one serves it.

pub mod login;
