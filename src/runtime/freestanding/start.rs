//! The start and the end of a program without libc (feature `start`).
//!
//! The kernel enters at `_start`. From there, in this order: a static PIE relocates itself, the
//! main thread gets thread-local storage and a thread control block, standard streams that are
//! closed are opened on `/dev/null`, SIGPIPE is ignored, functions in `.preinit_array` and
//! `.init_array` run, then the function that [`entry!`](crate::entry) named. What it returns is the
//! exit status of the process, whatever other threads do.
//!
//! | at the end | thread-locals of the calling thread | `.fini_array` |
//! |---|---|---|
//! | `main` returns | dropped | called, the last function first |
//! | [`exit`], on any thread | not dropped | called, the last function first |
//! | a panic that ends the process, an abort, a signal | not dropped | not called |
//! | the end of [`process::Builder`](crate::process::Builder)'s closure, in its child | not dropped | not called |
//!
//! SIGPIPE is ignored as in a program with std: a write to a pipe without a reader is an error, not
//! the end of the process. `process::Command` gives its children the default again.
//!
//! C objects may be linked in, but for those with an `ifunc` (or `target_clones`): no resolver is
//! called, and a program that has one ends at its start.
//!
//! The feature also brings the functions that compilers call unasked: `memcpy`, `memmove`,
//! `memset`, `memcmp`, `bcmp`, `strlen`, `__stack_chk_fail`. There is no other C function, and
//! `examples/no-libc/build.rs` sees to it that the linker takes none from a libc.
//!
//! | what happens | why |
//! |---|---|
//! | unwinding panics are not supported without std | `panic = "abort"` is missing in the profile |
//! | duplicate symbol `_start` | the link argument `-nostartfiles` is missing |
//! | undefined symbol `__rawthread_main` | [`entry!`](crate::entry) is missing |
//! | `fatal: not a static program` | neither the link argument `-static-pie` nor all that a fixed address takes (README) |
//! | `fatal: a relocation of kind 37 ` (1032 on AArch64) | C code with an ifunc or `target_clones` |
//! | `fatal: a relocation of kind ` and another number | an object that was made for a shared library |
//! | `fatal: relocations in code, or without addends` | the link argument `-z notext`, or an object of another ABI |
//! | any other undefined symbol | a C function; the crate `libc` has declarations only |
//! | duplicate lang item `panic_impl` | of the program's panic handler and the feature `panic-thread`, leave out one; of a test harness, it needs std: `test = false` |
//!
//! ```ignore (a program without libc cannot be a doctest)
//! #![no_std]
//! #![no_main]
//!
//! rawthread::entry!(main);
//!
//! fn main() -> i32 {
//!     let thread = rawthread::spawn(|| rawthread::start::args().count());
//!     let count = thread.join().unwrap_or(0);
//!     rawthread::start::print(format_args!("{count} arguments\n"));
//!     0
//! }
//! ```
#![allow(
    unsafe_code,
    reason = "reads what the kernel left on the initial stack"
)]

use core::ffi::{CStr, c_char};
use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering, compiler_fence};

use super::main_thread::init_main_thread;
use super::tcb::current_data;
use super::{relocate, tls_image};
use crate::error::Error;
use crate::sys::futex::{self, Sharing};
use crate::sys::{arch, file, limits, signal, task};

/// Names the function that a program without libc begins with: `fn() -> i32`, whose result is the
/// exit status.
///
/// Put it once into the program's crate, which must be `#![no_main]`.
///
/// ```ignore (a program without libc cannot be a doctest)
/// rawthread::entry!(main);
///
/// fn main() -> i32 {
///     0
/// }
/// ```
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn __rawthread_main() -> i32 {
            let main: fn() -> i32 = $main;
            main()
        }
    };
}

/// The initial stack; an empty one before the start. Relaxed: stored before there is a second
/// thread.
///
/// From it upwards: argc, argv, 0, envp, 0, the auxiliary vector.
static INITIAL_STACK: AtomicPtr<usize> = AtomicPtr::new((&raw const EMPTY).cast_mut().cast());
static EMPTY: [usize; 3] = [0; 3];

unsafe extern "C" {
    /// `entry!` defines it.
    fn __rawthread_main() -> i32;

    // The linker defines both ends of each.
    static __preinit_array_start: [Constructor; 0];
    static __preinit_array_end: [Constructor; 0];
    static __init_array_start: [Constructor; 0];
    static __init_array_end: [Constructor; 0];
    static __fini_array_start: [Destructor; 0];
    static __fini_array_end: [Destructor; 0];
}

/// As C libraries call them.
type Constructor =
    unsafe extern "C" fn(argc: i32, argv: *const *const c_char, envp: *const *const c_char);

/// As C libraries call them.
type Destructor = unsafe extern "C" fn();

/// The process that started here, or that [`note_fork`] noted. Relaxed: one thread writes it,
/// before there is a second.
static PROCESS: AtomicI32 = AtomicI32::new(0);

/// Which thread runs `.fini_array`.
///
/// | value | meaning | becomes |
/// |---|---|---|
/// | 0 | no thread called [`exit`] | a tid, by the first that does |
/// | a tid | that thread runs the functions and then ends the process | the new tid, or 0 if another thread forked, in a forked child |
///
/// Relaxed: no data goes with it.
static FINISHER: AtomicU32 = AtomicU32::new(0);

/// Where `_start` goes on.
///
/// `ifuncs` and `ifuncs_end` are the ends of the linker's table of ifuncs, if there is one outside of
/// the dynamic section.
///
/// # Safety
/// `stack` is the initial stack as the kernel left it.
#[unsafe(no_mangle)]
unsafe extern "C" fn __rawthread_begin(
    stack: *const usize,
    ifuncs: *const u8,
    ifuncs_end: *const u8,
) -> ! {
    if ifuncs != ifuncs_end {
        relocate::refuse_kind(arch::R_IRELATIVE);
    }
    // SAFETY: the kernel ends the environment with a null pointer, behind which the vector lies.
    unsafe {
        let mut word = environment(stack);
        while *word != 0 {
            word = word.wrapping_add(1);
        }
        let auxv = word.wrapping_add(1).cast::<[u64; 2]>();
        reject_dynamic_loader(auxv);
        relocate::relocate_self(auxv);
        // Addresses in the program's data are good from here on.
        compiler_fence(Ordering::SeqCst);
        run(stack, auxv)
    }
}

/// Ends a program that was linked without `-static-pie` and so came through a dynamic loader, which
/// has relocated it and knows of libraries whose start no code will run: it would crash further on.
///
/// # Safety
/// `auxv` is the auxiliary vector. Used before relocation, so it must not need any.
unsafe fn reject_dynamic_loader(mut auxv: *const [u64; 2]) {
    loop {
        // SAFETY: the vector ends in AT_NULL, where this stops.
        match unsafe { *auxv } {
            [libc::AT_NULL, _] | [libc::AT_BASE, 0] => return,
            [libc::AT_BASE, _] => relocate::refuse_library(),
            _ => auxv = auxv.wrapping_add(1),
        }
    }
}

/// # Safety
/// As [`__rawthread_begin`], and the program is relocated.
#[inline(never)]
unsafe fn run(stack: *const usize, auxv: *const [u64; 2]) -> ! {
    INITIAL_STACK.store(stack.cast_mut(), Ordering::Relaxed);
    // SAFETY: the vector stays where it is; the process has one thread, and no code that uses
    // thread-locals has run.
    let initialized = unsafe {
        limits::set_auxv(auxv);
        init_main_thread()
    };
    if initialized.is_err() {
        relocate::fatal(b"fatal: no memory for the main thread's control block\n");
    }
    arch::set_canary(tls_image::get().map_or(0, |image| image.canary));
    PROCESS.store(task::pid(), Ordering::Relaxed);
    file::occupy_standard_streams();
    let _ = signal::ignore(libc::SIGPIPE);
    // SAFETY: the linker's symbols are the ends of arrays of functions; `entry!` made the main
    // function.
    let status = unsafe {
        let (start, end) = (
            &raw const __preinit_array_start,
            &raw const __preinit_array_end,
        );
        construct(start.cast(), end.cast(), stack);
        let (start, end) = (&raw const __init_array_start, &raw const __init_array_end);
        construct(start.cast(), end.cast(), stack);
        __rawthread_main()
    };
    let record = current_data().map(|data| data.record.load(Ordering::Relaxed));
    // SAFETY: null, or the calling thread's record, which is permanent memory; `main` has returned.
    unsafe {
        if let Some(record) = record.and_then(|record| record.as_ref()) {
            record.tls_values().run_dtors();
        }
    }
    exit(status)
}

/// # Safety
/// From `next` to `end` lie functions that expect these arguments; `stack` is the initial stack.
#[inline(never)]
unsafe fn construct(mut next: *const Constructor, end: *const Constructor, stack: *const usize) {
    while next != end {
        // SAFETY: as the contract says.
        unsafe {
            let arguments = stack.wrapping_add(1).cast();
            (*next)(*stack as i32, arguments, environment(stack).cast());
        }
        next = next.wrapping_add(1);
    }
}

/// The environment's first word.
///
/// # Safety
/// `stack` is the initial stack.
unsafe fn environment(stack: *const usize) -> *const usize {
    // SAFETY: argc is the first word; argv is that long and ends in a null pointer.
    unsafe { stack.wrapping_add(2 + *stack) }
}

/// Lowest address and end of the main thread's stack: the kernel lets it grow to RLIMIT_STACK.
/// Zeroes if it may grow without limit: then there is no telling what below it is stack.
pub(super) fn main_stack() -> (usize, usize) {
    let top = INITIAL_STACK.load(Ordering::Relaxed).addr();
    match limits::rlimit(libc::RLIMIT_STACK as _) {
        Some(limit) => (top.saturating_sub(limit as usize), top),
        None => (0, 0),
    }
}

/// Ends the process, all its threads, with `status` (its lowest 8 bits reach the parent).
///
/// Nothing is dropped, and no destructor of a thread-local runs. The functions of `.fini_array`
/// (destructors of C code) run first, on the calling thread, while other threads go on. One thread
/// runs them: another that calls this meanwhile waits for the end, and one of the functions that
/// calls it ends the process at once. A child that shares the memory of the process which started
/// leaves them to that process.
///
/// ```no_run
/// rawthread::start::exit(3);
/// ```
pub fn exit(status: i32) -> ! {
    if task::pid() == PROCESS.load(Ordering::Relaxed) {
        let tid = task::tid() as u32;
        match FINISHER.compare_exchange(0, tid, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => destroy(),
            Err(finisher) if finisher == tid => {}
            // Woken by a signal only, and then sleeps again.
            Err(finisher) => loop {
                let _ = futex::wait(&FINISHER, finisher, None, Sharing::Private);
            },
        }
    }
    task::exit_group(status)
}

/// Calls the functions of `.fini_array`, the last one first.
fn destroy() {
    let start = (&raw const __fini_array_start).cast::<Destructor>();
    let mut next = (&raw const __fini_array_end).cast::<Destructor>();
    while next != start {
        next = next.wrapping_sub(1);
        // SAFETY: the linker's two symbols are the ends of one array of functions without arguments,
        // which are to run at the end.
        unsafe { (*next)() };
    }
}

/// In the child of a fork by the thread `from` of the parent, which is now `tid`.
pub(super) fn note_fork(from: i32, tid: i32) {
    PROCESS.store(task::pid(), Ordering::Relaxed);
    // A function of `.fini_array` may have forked. The parent's other threads are not here.
    let own = FINISHER.load(Ordering::Relaxed) == from as u32;
    FINISHER.store(if own { tid as u32 } else { 0 }, Ordering::Relaxed);
}

/// The program's arguments, its name first.
///
/// ```no_run
/// let verbose = rawthread::start::args().any(|argument| argument == c"-v");
/// ```
#[must_use]
pub fn args() -> CStrIter {
    let stack = INITIAL_STACK.load(Ordering::Relaxed).cast_const();
    CStrIter(stack.wrapping_add(1).cast())
}

/// The environment as the kernel gave it: `NAME=value` each.
///
/// ```no_run
/// let count = rawthread::start::env().count();
/// ```
#[must_use]
pub fn env() -> CStrIter {
    let stack = INITIAL_STACK.load(Ordering::Relaxed).cast_const();
    // SAFETY: the initial stack, stored before `main`.
    CStrIter(unsafe { environment(stack) }.cast())
}

/// The value of the environment's first `name`.
///
/// ```no_run
/// let home = rawthread::start::var(c"HOME");
/// ```
#[must_use]
pub fn var(name: &CStr) -> Option<&'static CStr> {
    env().find_map(|pair| {
        let rest = pair.to_bytes_with_nul().strip_prefix(name.to_bytes())?;
        CStr::from_bytes_with_nul(rest.strip_prefix(b"=")?).ok()
    })
}

/// A value of the auxiliary vector by its key (`libc::AT_*`, `getauxval(3)`).
///
/// ```no_run
/// assert_eq!(rawthread::start::auxv(libc::AT_PAGESZ), Some(4096));
/// ```
#[must_use]
pub fn auxv(key: u64) -> Option<usize> {
    limits::getauxval(key)
}

/// Strings that the kernel left on the initial stack; see [`args`] and [`env()`].
///
/// ```no_run
/// let first: Option<&core::ffi::CStr> = rawthread::start::args().next();
/// ```
#[derive(Clone, Debug)]
pub struct CStrIter(*const *const c_char);

// SAFETY: the strings are never unmapped, and nothing writes to them.
unsafe impl Send for CStrIter {}
// SAFETY: as above.
unsafe impl Sync for CStrIter {}

impl CStrIter {
    /// The array of those that are left, which ends in a null pointer.
    #[cfg(feature = "alloc")]
    pub(crate) fn as_ptr(&self) -> *const *const c_char {
        self.0
    }
}

impl Iterator for CStrIter {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: the array ends in a null pointer, at which this stops; what it points at are
        // strings that end in a NUL and are never unmapped.
        unsafe {
            let text = *self.0;
            if text.is_null() {
                return None;
            }
            self.0 = self.0.wrapping_add(1);
            Some(CStr::from_ptr(text))
        }
    }
}

/// Where a program prints.
///
/// ```no_run
/// use rawthread::start::{Stream, write};
///
/// write(Stream::Stderr, b"no such file\n")?;
/// # Ok::<(), rawthread::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output, descriptor 1.
    Stdout = 1,
    /// Standard error, descriptor 2.
    Stderr = 2,
}

/// Writes all of `bytes` to a standard stream (`write(2)`), signals notwithstanding.
///
/// # Errors
/// That of the write which failed; what went before it is written.
///
/// ```no_run
/// use rawthread::start::{Stream, write};
///
/// write(Stream::Stdout, b"hello\n")?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub fn write(stream: Stream, bytes: &[u8]) -> Result<(), Error> {
    write_all(stream as i32, bytes)
}

/// As [`write`](fn@write), to any descriptor.
///
/// # Errors
/// As [`write`](fn@write).
///
/// # Safety
/// The descriptor must be open, and the caller's to write to: another's may be a mapped file, or
/// belong to a value that relies on being the only one to write (I/O safety, `std::io`).
///
/// ```no_run
/// # fn open() -> i32 { 1 }
/// let descriptor = open();
/// // SAFETY: just opened, and known to no one else.
/// unsafe { rawthread::start::write_raw(descriptor, b"hello\n") }?;
/// # Ok::<(), rawthread::Error>(())
/// ```
pub unsafe fn write_raw(descriptor: i32, bytes: &[u8]) -> Result<(), Error> {
    write_all(descriptor, bytes)
}

fn write_all(descriptor: i32, bytes: &[u8]) -> Result<(), Error> {
    file::write_all(descriptor, bytes).map_err(|errno| Error::from_raw_os_error(errno.number()))
}

/// Writes text to standard output, up to 512 bytes in one `write(2)`: the lines of several threads
/// do not mix. An error is ignored.
///
/// ```no_run
/// rawthread::start::print(format_args!("{} is the answer\n", 42));
/// ```
pub fn print(text: fmt::Arguments<'_>) {
    file::write_fmt(1, text);
}

/// [`print`] to standard error.
///
/// ```no_run
/// rawthread::start::eprint(format_args!("no such file\n"));
/// ```
pub fn eprint(text: fmt::Arguments<'_>) {
    file::write_fmt(2, text);
}
