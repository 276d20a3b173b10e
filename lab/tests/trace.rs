//! `lab trace`, run as a user runs it, on real programs.

#[path = "trace/attach.rs"]
mod attach;
#[path = "trace/kinds.rs"]
mod kinds;
#[path = "trace/limits.rs"]
mod limits;
#[path = "trace/obstacles.rs"]
mod obstacles;
#[path = "trace/output.rs"]
mod output;
#[path = "trace/signals.rs"]
mod signals;
#[path = "trace/support.rs"]
mod support;
