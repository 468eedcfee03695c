//! The market API: members, offers, trades and payments over REST.
//!
//! A module uses only modules of lower rank; the tidy test (`shared/tests/tidy`) reads this table.
//!
//! | rank | modules | do |
//! |---|---|---|
//! | 15 | main | telemetry, config, build, serve, drain, exit code |
//! | 14 | app | the only module that names concrete adapters |
//! | 13 | admin, ops, config, ledger | administrators' commands about members; health, metrics and drain; settings; verification of the books |
//! | 12 | account, receipts, reports | pages about a member that join domains, the end of an account; receipts; complaints |
//! | 11 | payments, reviews | charges through the gateway, refunds, their reconciliation; ratings |
//! | 10 | trades | purchases, histories, market prices |
//! | 9 | scrap, bookings, chats, relay | the optimizer's quotes; Wi-Fi and hotspot time; rooms about offers; domain events to the chat server |
//! | 8 | products | offers and their lists |
//! | 7 | login, images, blocks | login with the providers; uploads of pictures; members who block each other |
//! | 6 | members | accounts and profiles |
//! | 5 | plans, cash, chat_api, payouts | mobile plans and their months; wallets and books; client of the chat server's internal API; seam to the payout provider |
//! | 4 | auth, gateway | signing keys, tokens and cookies, revocable sessions; seam to the payment gateway |
//! | 3 | outbox, idempotency, cache, schedule, audit | events to relay; deduplicated requests; cached lists; scheduled jobs; the audit log |
//! | 2 | http | the HTTP stack: errors, limits, the OpenAPI document |
//! | 1 | db, outgoing | transactions and typed columns; requests to other servers |
//! | 0 | metrics | counters |
//!
//! # Tables
//!
//! Each table has one owner: the module whose statements insert, update, delete or lock its rows. Others
//! call the owner's functions (`cash::lock_in`, `plans::lock_month_in`, `members::lock_rating_in`), or only
//! read. The tidy test checks the statements against this table.
//!
//! | module | tables |
//! |---|---|
//! | auth | token_family |
//! | members | member |
//! | plans | plan, member_month |
//! | cash | journal, posting, wallet, credit, debt_repayment |
//! | payments | charge, payment_key, refund, refund_leg, suspense_payment, gateway_cancel, webhook, gateway_difference |
//! | login | login_attempt |
//! | images | upload |
//! | products | product, product_image, spot, sort_key_history |
//! | chats | chat_room, chat_room_number |
//! | bookings | booking |
//! | trades | trade, trade_detail |
//! | blocks | member_block |
//! | reviews | review |
//! | reports | report |
//! | audit | audit |
//! | outbox | outbox, outbox_number, relay_lease |
//! | schedule | schedule |
//! | idempotency | idempotency |
//! | cache | list_change |

pub mod account;
pub mod admin;
pub mod app;
pub mod audit;
pub mod auth;
pub mod blocks;
pub mod bookings;
pub mod cache;
pub mod cash;
pub mod chat_api;
pub mod chats;
pub mod config;
pub mod db;
pub mod gateway;
pub mod http;
pub mod idempotency;
pub mod images;
pub mod ledger;
pub mod login;
pub mod members;
pub mod metrics;
pub mod ops;
pub mod outbox;
pub mod outgoing;
pub mod payments;
pub mod payouts;
pub mod plans;
pub mod products;
pub mod receipts;
pub mod relay;
pub mod reports;
pub mod reviews;
pub mod schedule;
pub mod scrap;
pub mod trades;
