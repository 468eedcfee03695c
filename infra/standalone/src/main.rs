//! Both servers in one process.
fn main() {}
