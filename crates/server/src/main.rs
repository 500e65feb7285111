//! The `multiraft` command.
fn main() {}
