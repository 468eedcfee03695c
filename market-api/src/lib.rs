//! The market API: members, offers, trades and payments over REST.
//!
//! A module uses only modules of lower rank; the tidy test (`shared/tests/tidy`) reads this table.
//! Not all of them exist yet, but every one that exists is listed.
//!
//! | rank | modules | do |
//! |---|---|---|
//! | 12 | main | telemetry, config, build, serve, drain, exit code |
//! | 11 | app | the only module that names concrete adapters |
//! | 10 | reviews, reports, admin, ops, config | ; ; what administrators do to members; health and metrics; settings |
//! | 9 | trades, wifi | purchases, history; bookings |
//! | 8 | payments, scrap, chats | the gateway; quotes; rooms about offers |
//! | 7 | cash, products | wallets and books; offers |
//! | 6 | members | logins, profiles |
//! | 5 | plans | what a member's plan gives |
//! | 4 | auth | who asks: keys, tokens, sessions |
//! | 3 | outbox, idempotency, cache, schedule, images | |
//! | 2 | http | what surrounds routes: failures, limits, documents |
//! | 1 | db, fakes | transactions; who stands in for others |
//! | 0 | metrics | counters |

pub mod admin;
pub mod app;
pub mod auth;
pub mod cache;
pub mod chats;
pub mod config;
pub mod db;
pub mod fakes;
pub mod http;
pub mod idempotency;
pub mod images;
pub mod login;
pub mod members;
pub mod metrics;
pub mod ops;
pub mod outbox;
pub mod plans;
pub mod products;
pub mod schedule;
