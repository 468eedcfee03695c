//! The market API: members, offers, trades and payments over REST.
//!
//! A module uses only modules of lower rank; the tidy test (`shared/tests/tidy`) reads this table.
//! Not all of them exist yet, but every one that exists is listed.
//!
//! | rank | modules | do |
//! |---|---|---|
//! | 9 | main | telemetry, config, build, serve, drain, exit code |
//! | 8 | app | the only module that names concrete adapters |
//! | 7 | reviews, reports, admin | |
//! | 6 | trades, wifi | purchases, history; bookings |
//! | 5 | payments, scrap | the gateway; quotes |
//! | 4 | cash, products, plans | wallets and books; offers; what a member's plan gives |
//! | 3 | members | logins, tokens, profiles |
//! | 2 | outbox, idempotency, cache, schedule, images | |
//! | 1 | config, metrics, db, http, auth | settings; counters; transactions; envelope, errors, pages; who asks |

pub mod db;
