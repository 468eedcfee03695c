//! `cargo +nightly fuzz run session fuzz/corpus/session fuzz/seeds/session`

#![no_main]

use std::time::Instant;

#[path = "../bodies/session.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::session(data, Instant::now()));
