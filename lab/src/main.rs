//! See for yourself what makes a thread, and what makes a process.

fn main() {}
