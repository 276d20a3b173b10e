//! Nothing is left of a thread under mimalloc, which keeps thread-locals of its own.

mod common;
#[macro_use]
#[path = "leaks/common.rs"]
mod scenarios;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

all_tests! {}
