//! What the kernel hands a program: arguments, environment, auxiliary vector; and the memory
//! functions.
#![no_std]
#![no_main]

use core::ffi::{c_char, c_void};
use rawthread::start;

rawthread::entry!(main);

unsafe extern "C" {
    fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void;
    fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void;
    fn memset(to: *mut c_void, byte: i32, len: usize) -> *mut c_void;
    fn memcmp(left: *const c_void, right: *const c_void, len: usize) -> i32;
    fn bcmp(left: *const c_void, right: *const c_void, len: usize) -> i32;
    fn strlen(text: *const c_char) -> usize;
}

fn main() -> i32 {
    assert_eq!(start::args().nth(1), Some(c"one"));
    assert_eq!(start::args().nth(2), Some(c""));
    assert_eq!(start::args().count(), 3);
    assert_eq!(start::var(c"RAWTHREAD"), Some(c"is=here"));
    assert_eq!(start::var(c"RAWTHREA"), None);
    assert!(start::env().any(|pair| pair == c"RAWTHREAD=is=here"));
    let page = start::auxv(6).unwrap();
    assert!(page.is_power_of_two() && page >= 4096);
    assert_eq!(start::auxv(12345), None);
    memory();
    let shallow = rawthread::stack_usage();
    assert!((1..100_000).contains(&shallow), "{shallow}");
    let deep = below_a_large_frame();
    assert!(
        (shallow + 50_000..shallow + 300_000).contains(&deep),
        "{deep}"
    );
    start::print(format_args!("{}\n", start::args().count()));
    start::exit(3)
}

#[inline(never)]
fn below_a_large_frame() -> usize {
    let frame = core::hint::black_box([0u8; 50_000]);
    rawthread::stack_usage() + usize::from(frame[0])
}

/// Every length up to 40 at every offset, against plain loops over bytes.
fn memory() {
    const SPACE: usize = 128;
    let fresh = || core::array::from_fn::<u8, SPACE, _>(|index| index as u8);
    for len in 0..=40 {
        for (to, from) in [
            (50, 50),
            (50, 53),
            (53, 50),
            (50, 58),
            (58, 50),
            (50, 70),
            (80, 30),
            (51, 50),
            (50, 51),
            (49, 9),
        ] {
            let mut expected = fresh();
            for (index, byte) in fresh()[from..from + len].iter().enumerate() {
                expected[to + index] = *byte;
            }
            let mut space = fresh();
            let base = space.as_mut_ptr();
            // SAFETY: both ranges lie inside the array.
            unsafe { memmove(base.add(to).cast(), base.add(from).cast(), len) };
            assert!(space == expected, "memmove {to} {from} {len}");
            if to.abs_diff(from) >= len {
                let mut space = fresh();
                let base = space.as_mut_ptr();
                // SAFETY: as above, and they do not overlap.
                unsafe { memcpy(base.add(to).cast(), base.add(from).cast(), len) };
                assert!(space == expected, "memcpy {to} {from} {len}");
            }
        }
        let mut space = fresh();
        // SAFETY: inside the array.
        unsafe { memset(space.as_mut_ptr().add(9).cast(), 0x1ff, len) };
        for (index, byte) in space.iter().enumerate() {
            let inside = (9..9 + len).contains(&index);
            assert_eq!(*byte, if inside { 0xff } else { index as u8 }, "memset");
        }
        let same = fresh();
        for different in 0..len {
            let mut other = fresh();
            other[different] ^= 0x80;
            other[different + 1] ^= 0xff;
            let expected = same[different].cmp(&other[different]) as i32;
            // SAFETY: inside the arrays.
            let (ordered, equal) = unsafe {
                let (left, right) = (same.as_ptr().cast(), other.as_ptr().cast());
                (memcmp(left, right, len), bcmp(left, right, different))
            };
            assert_eq!(ordered.signum(), expected, "memcmp");
            assert_eq!(equal, 0, "bcmp");
        }
        let mut text = [b'x' as c_char; 64];
        text[len] = 0;
        // SAFETY: ends in a NUL.
        assert_eq!(unsafe { strlen(text.as_ptr()) }, len);
    }
}
