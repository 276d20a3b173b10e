//! `lab ask`: questions that learners ask, each answered by an experiment.

mod command;
mod costs;
mod effects;
mod fork_exec;
mod identity;
mod inheritance;
mod io_ports;
mod libc_limits;
pub(crate) mod lifecycle;
mod limits;
pub(crate) mod log;
mod questions;
mod rules;
pub(crate) mod runner;
mod sharing;
mod stacks;
mod streams;
pub(crate) mod support;
mod threads;

pub(crate) use command::run;
pub(crate) use fork_exec::exec_report;
pub(crate) use support::EXEC_REPORT;
