//! Awaiting threads without libc and without an allocator.

use super::{FIXED, PIE, program, run};

#[test]
fn threads_are_awaited_without_libc() {
    for build in [FIXED, PIE] {
        assert_eq!(run(&mut program(build, "futures"), 0), "1225\n");
    }
}
