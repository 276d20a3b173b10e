//! `lab ask`: questions that learners ask, each answered by an experiment.

mod command;
mod fork_exec;
mod identity;
mod limits;
pub(crate) mod log;
mod questions;
mod rules;
pub(crate) mod runner;
mod sharing;
pub(crate) mod support;

pub(crate) use command::run;
pub(crate) use fork_exec::{EXEC_REPORT, exec_report};
