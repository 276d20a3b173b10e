//! Nothing is left of a thread under jemalloc, which keeps thread-locals of its own.

#[macro_use]
mod common;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

all_tests! {}
