//! The rules of a server's session, one test per rule, in virtual time.
//!
//! Names begin with the row of the conformance checklist that they prove; `row_` is what other
//! servers do and this one should.
//!
//! | row | rule: C connecting |
//! |---|---|
//! | C1 | STOMP is handled as CONNECT |
//! | C2 | a missing `accept-version` means 1.0 |
//! | C3 | CONNECTED names the highest common version, whatever the order of the list |
//! | C4 | no common version: ERROR with the list of ours, then close |
//! | C5 | CONNECTED has `version`, `session`, `server`, `heart-beat` |
//! | C6 | `host` may be missing |
//! | C7 | a refused login: ERROR, then close |
//! | C8 | a second CONNECT: ERROR, then close |
//! | C9 | any other frame before CONNECT: ERROR, then close |
//! | C10 | CONNECTED has `user-name` |
//!
//! | row | rule: H heart-beats |
//! |---|---|
//! | H1 | the header is two non-negative integers; missing means `0,0` |
//! | H2 | each direction uses the greater of both numbers, or none if one is 0 |
//! | H3 | the server sends an EOL when it sends nothing else |
//! | H4 | any data counts as a sign of life |
//! | H5 | a client is dead after twice its interval |
//! | H6 | the server sends at 0.8 of its interval |
//! | H7 | absurd values are clamped |
//!
//! | row | rule: D what clients send |
//! |---|---|
//! | D1 | SEND needs `destination`; a `content-type` is a MIME type (1.2) |
//! | D2 | SUBSCRIBE needs `destination`, and `id` from 1.1 on |
//! | D3 | subscription ids are unique within the session |
//! | D4 | `ack` is one of the version's modes; the default is `auto` |
//! | D5 | `client` is cumulative within one subscription, `client-individual` is not |
//! | D6 | what is unacknowledged ends with its subscription |
//! | D7 | UNSUBSCRIBE names the `id`, in 1.0 also the destination |
//! | D8 | ACK and NACK name the message as their version does; NACK does not exist in 1.0 |
//! | D9 | BEGIN, COMMIT and ABORT need `transaction`; bound frames wait for COMMIT |
//! | D10 | any frame but CONNECT may have a `receipt`; RECEIPT follows when it is carried out |
//! | D11 | DISCONNECT with a receipt: RECEIPT, then close |
//! | D12 | nothing after DISCONNECT is read |
//! | D13 | an unknown command, or a server's: ERROR, then close |
//! | D14 | frames received before a fault or a loss are carried out |
//!
//! | row | rule: E what the server sends |
//! |---|---|
//! | E1 | MESSAGE has `destination`, `message-id`, `subscription`; `ack` in the client modes of 1.2 |
//! | E2 | its `destination` is the subscribed one |
//! | E3 | MESSAGE and ERROR have `content-length` |
//! | E4 | ERROR has `message`, `code`, the refused frame's `receipt-id`, and closes |
//! | E5 | RECEIPT and CONNECTED have no body |

// By this attribute clippy knows that helpers may panic, too.
#[cfg(test)]
mod session;
