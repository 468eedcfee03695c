//! The chat server: STOMP over WebSocket on a log per topic.
//!
//! A module uses only modules of lower rank; the tidy test (`shared/tests/tidy`) reads this table.
//! Not all of them exist yet, but every one that exists is listed.
//!
//! | rank | modules | do |
//! |---|---|---|
//! | 11 | main | telemetry, config, build, serve, drain, exit code |
//! | 10 | app | the only module that names concrete adapters |
//! | 9 | transport, http | bytes to frames and back; REST |
//! | 8 | stopping | the phases of a stop, before the drain of tasks |
//! | 7 | connection | one task per connection |
//! | 6 | events, push | trade events in; push notices out |
//! | 5 | rooms, members, inbox | who may read and write; read marks |
//! | 4 | hub | the live half of a topic: ring, subscriptions, cursors |
//! | 3 | append, config | batches and de-duplicates what goes to the store; settings |
//! | 2 | bus, store, auth, wire | traits and their adapters; the JSON of the wire |
//! | 1 | metrics, log, destination, health, dev_token, tls | counters; the words of the log; whom to trust |

pub mod app;
pub mod append;
pub mod auth;
pub mod bus;
pub mod config;
pub mod connection;
pub mod destination;
pub mod dev_token;
pub mod health;
pub mod http;
pub mod hub;
pub mod log;
pub mod members;
pub mod metrics;
pub mod rooms;
pub mod stopping;
pub mod store;
pub mod tls;
pub mod transport;
pub mod wire;
