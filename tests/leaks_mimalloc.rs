//! Nothing is left of a thread under mimalloc, which keeps thread-locals of its own.

#[macro_use]
mod common;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

all_tests! {}
