//! Memory of the program's allocator, where a refusal is an answer: `Box::new` and its kin end the process.
#![allow(unsafe_code, reason = "calls the allocator")]

use alloc::alloc::alloc;
use alloc::boxed::Box;
use core::alloc::Layout;
use core::ptr::NonNull;

/// Boxes `value`; gives it back where there is no memory for it.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, T> {
    let layout = Layout::new::<T>();
    let place = match layout.size() {
        0 => NonNull::dangling(),
        // SAFETY: the size is not 0.
        _ => match NonNull::new(unsafe { alloc(layout) }.cast::<T>()) {
            Some(place) => place,
            None => return Err(value),
        },
    };
    // SAFETY: the allocator's place for a `T`, this call's alone, or one of no size: as a box has them.
    unsafe {
        place.write(value);
        Ok(Box::from_raw(place.as_ptr()))
    }
}

/// Whether the allocator has all of these at once, none of them of no size. What another thread takes before
/// the caller does is not ruled out.
#[cfg(feature = "std")]
pub(crate) fn has_memory(wanted: &[Layout]) -> bool {
    let Some((first, others)) = wanted.split_first() else {
        return true;
    };
    debug_assert!(first.size() > 0);
    // SAFETY: not of no size. The address is looked at, or the compiler would take both calls out, and
    // memory for granted.
    let place = core::hint::black_box(unsafe { alloc(*first) });
    if place.is_null() {
        return false;
    }
    let enough = has_memory(others);
    // SAFETY: allocated above with this layout.
    unsafe { alloc::alloc::dealloc(place, *first) };
    enough
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use alloc::string::String;

    #[test]
    fn boxes_hold_what_they_were_given() {
        #[repr(align(256))]
        struct Aligned(String);
        let boxed = try_box(Aligned(String::from("kept"))).ok().unwrap();
        assert_eq!(&raw const *boxed as usize % 256, 0);
        assert_eq!(boxed.0, "kept");
        assert!(try_box(()).is_ok());
        assert_eq!(try_box([7_u8; 1000]).unwrap()[999], 7);
    }
}
