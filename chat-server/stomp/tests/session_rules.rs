//! The rules of a server's session, one test per rule, in virtual time.
//!
//! Names begin with the row of the conformance checklist they prove: C connecting, H heart-beats,
//! D what clients send, E what the server sends, `row_` what other servers do and ours should.

// By this attribute clippy knows that helpers may panic, too.
#[cfg(test)]
mod session;
