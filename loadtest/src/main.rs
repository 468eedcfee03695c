//! Load runs.
fn main() {}
