//! The room `flags`: its tables, and its verdicts against the running kernel.

mod bare;
mod draws;
mod effects;
mod kernel;
mod places;
mod tables;
mod trial;
mod words;
mod workplace;
