//! The room `flags`: its tables, and its verdicts against the running kernel.

mod bare;
mod effects;
mod kernel;
mod tables;
mod trial;
mod words;
mod workplace;
