//! The `shmx` command.
fn main() {}
