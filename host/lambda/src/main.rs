//! `bootstrap`: Damper's Lambda function. This file only begins the program.

fn main() {}
