//! damper
fn main() {}
