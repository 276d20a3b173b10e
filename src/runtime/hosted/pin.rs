//! A library that has this crate in it stays loaded once libc or the kernel knows code of it.
//!
//! `dlclose` unmaps a plugin whose references are gone, and does not ask who else comes back to it:
//! libc, which calls the destructor of the record's key at the end of every thread that has a value;
//! an idle thread of `warm`, in a sleep that ends in its code; the handlers of forks and of stack
//! overflows. std's libraries stay loaded, too, once they have a thread-local with a destructor.
#![allow(unsafe_code, reason = "asks the dynamic linker")]

/// Keeps the library that this code is in from being unmapped. Nothing, where that is the program
/// itself, or the loader does not find the library again: then `dlclose` is as before.
///
/// Takes the loader's lock in a library, and never in a program.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
pub(super) fn pin_library() {
    use core::mem::MaybeUninit;

    let here = pin_library as *const ();
    if is_in_program(here as usize) {
        return;
    }
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: dladdr fills the place if it returns something else than 0; the name is the loader's,
    // of a library that is loaded as long as its code runs. NOLOAD: nothing is loaded or initialised,
    // the library is only marked. The handle is kept for good.
    unsafe {
        if libc::dladdr(here.cast(), info.as_mut_ptr()) == 0 {
            return;
        }
        let flags = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        if libc::dlopen((*info.as_ptr()).dli_fname, flags).is_null() {
            // The failure is not the program's.
            libc::dlerror();
        }
    }
}

/// A static program has no other libraries.
#[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
pub(super) fn pin_library() {}

/// Whether the address lies in the program that the kernel started, by its own program headers: no
/// lock, no allocation. False for a program that was given to the loader as an argument.
#[cfg(not(all(target_env = "gnu", target_feature = "crt-static")))]
fn is_in_program(address: usize) -> bool {
    // SAFETY: the kernel's words about the program, whose headers stay mapped.
    let headers = unsafe {
        let table = libc::getauxval(libc::AT_PHDR) as *const libc::Elf64_Phdr;
        if table.is_null() {
            return false;
        }
        core::slice::from_raw_parts(table, libc::getauxval(libc::AT_PHNUM) as usize)
    };
    let table = headers.iter().find(|header| header.p_type == libc::PT_PHDR);
    // A program at a fixed address may have no header for the headers.
    let base = table.map_or(0, |table| {
        (headers.as_ptr() as usize).wrapping_sub(table.p_vaddr as usize)
    });
    headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD)
        .any(|header| {
            let start = base.wrapping_add(header.p_vaddr as usize);
            address.wrapping_sub(start) < header.p_memsz as usize
        })
}
