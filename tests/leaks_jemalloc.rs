//! Nothing is left of a thread under jemalloc, which keeps thread-locals of its own.

mod common;
#[macro_use]
#[path = "leaks/common.rs"]
mod scenarios;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

all_tests! {}
