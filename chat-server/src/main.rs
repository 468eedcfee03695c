//! The chat server as a program.
fn main() {}
