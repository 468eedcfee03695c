//! `cargo +nightly fuzz run decode fuzz/corpus/decode fuzz/seeds/decode`

#![no_main]

#[path = "../bodies/decode.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::decode(data));
