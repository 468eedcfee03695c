//! The chat server: STOMP over WebSocket on a log per topic.
//!
//! A module uses only modules of lower rank; the tidy test (`shared/tests/tidy`) reads this table.
//! Each stands as low as its imports allow.
//!
//! | rank | modules | do |
//! |---|---|---|
//! | 11 | main | telemetry, settings, exit code |
//! | 10 | app | builds everything and serves until the drain is over; alone names concrete adapters |
//! | 9 | http | REST for the site, for the market, for operators |
//! | 8 | transport, stopping, events | sockets from the upgrade on; the phases of a stop; events of the market in |
//! | 7 | connection, push | one task per connection; push notifications out |
//! | 6 | rooms, inbox | rooms, their lists and read marks, permission to read and write; notifications and alarms |
//! | 5 | hub | topics with subscribers here: cache, fan-out, reconciliation |
//! | 4 | wake_queue | events queued for a connection |
//! | 3 | append, members, config | sends to log entries; blocked members; settings |
//! | 2 | bus, presence, store | traits and their adapters |
//! | 1 | aged_cache, auth, destination, dev_token, health, log, metrics, tls, wakers, websocket_frame, websocket_reader, wire | tokens, counters, words of the log, bytes on the wire |

// For the file that unit tests share with the programs in `tests` (`store/mod.rs`).
#[cfg(test)]
extern crate self as chat_server;

mod aged_cache;
pub mod app;
pub mod append;
pub mod auth;
pub mod bus;
pub mod config;
pub mod connection;
pub mod destination;
pub mod dev_token;
pub mod events;
pub mod health;
pub mod http;
pub mod hub;
pub mod inbox;
pub mod log;
pub mod members;
pub mod metrics;
pub mod presence;
pub mod push;
pub mod rooms;
pub mod stopping;
pub mod store;
pub mod tls;
pub mod transport;
pub mod wake_queue;
pub mod wakers;
pub mod websocket_frame;
pub mod websocket_reader;
pub mod wire;
