//! Takes back a TCB whose task ended without its exit path: a process on this memory that was killed, or
//! that became another program or ended by a system call of its own (an *intact* one).
//!
//! Its thread-locals are as they were at that moment. No destructor of theirs may run: after a kill they
//! may be half changed. So a thread of this crate is sent onto the TCB; it writes all of them anew,
//! libc's private ones too, and leaves by the exit path of every thread. What the thread-locals owned is
//! lost, as it is at the end of a process.
//!
//! Of libc's block, which [`super::tls_reset`] leaves alone,
//!
//! | words | become |
//! |---|---|
//! | that point into the TCB | stay: libc's start of the thread set them |
//! | that its allocator sets at a thread's first `malloc` | stay, but after a kill, which may have come amid `malloc`, for the one that names the thread's cache: that is lost |
//! | of the locale | the global one's, by `uselocale(3)` |
//! | others | libc's image |
//!
//! The thread calls nothing that takes a lock which a killed process may have held: neither the loader
//! nor, after a kill, the allocator.
#![allow(unsafe_code, reason = "writes libc's thread-locals")]

use core::ffi::c_void;
use core::hint::black_box;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;
use core::ptr;
use core::sync::atomic::{AtomicIsize, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

use super::libc_layout::{self, Support};
use super::modules::{block_of, image, tls_header};
use super::tcb::{self, Slot};
use super::{exit, libc_state, modules, registration, tls_images, tls_reset, tls_snapshot};
use crate::flags::{CloneFlags, Preset};
use crate::stack::slot::ALIVE;
use crate::sys::arch::{self, ChildEntry, thread_pointer};
use crate::sys::futex::{self, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{clone, memory};

const FLAGS: CloneFlags = Preset::RAWTHREAD.flags;
const WORD: usize = size_of::<usize>();

/// libc's block in every thread, from the thread pointer, its length and its image. Length 0: libc has
/// none of its own (musl, static programs); `UNKNOWN` until [`note_libc_block`]. Written before `LEN`.
static OFFSET: AtomicIsize = AtomicIsize::new(0);
static LEN: AtomicUsize = AtomicUsize::new(UNKNOWN);
static IMAGE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static IMAGE_LEN: AtomicUsize = AtomicUsize::new(0);
const UNKNOWN: usize = usize::MAX;

/// Which words of the block the allocator sets at a thread's first call, a bit for each; and those of
/// them that name what a kill may leave half changed. Written before `LEN`.
static ALLOCATOR_WORDS: AtomicU64 = AtomicU64::new(0);
static CACHE_WORDS: AtomicU64 = AtomicU64::new(0);
const MOST_WORDS: usize = 64;

/// Looks for libc's block; before the first process that may have to be recovered from, for the loader's
/// lock may then be one that it held.
pub(super) fn note_libc_block() {
    // Acquire: the words that go with it.
    if LEN.load(Ordering::Acquire) != UNKNOWN {
        return;
    }
    let mut len = 0usize;
    if !tls_snapshot::is_needed() {
        modules::for_each_module(|info| match note_if_libc(info) {
            Some(found) => {
                len = found;
                ControlFlow::Break(())
            }
            None => ControlFlow::Continue(()),
        });
    }
    if (1..=MOST_WORDS * WORD).contains(&len) {
        let mask = signal::block(SigSet::all_but_libc());
        let mut thread = MaybeUninit::uninit();
        let len = ptr::from_mut(&mut len).cast();
        // SAFETY: `len` outlives the thread, which is joined. Without one, no word is known.
        unsafe {
            if libc::pthread_create(thread.as_mut_ptr(), ptr::null(), learn, len) == 0 {
                libc::pthread_join(thread.assume_init(), ptr::null_mut());
            }
        }
        signal::set_mask(mask);
    }
    LEN.store(len, Ordering::Release);
}

/// A fresh thread's first call of the allocator shows which words it sets; the one whose target then
/// names the freed block is the cache of such blocks.
extern "C" fn learn(len: *mut c_void) -> *mut c_void {
    // SAFETY: `note_libc_block` passed it.
    let words = unsafe { len.cast::<usize>().read() } / WORD;
    let block = thread_pointer().wrapping_offset(OFFSET.load(Ordering::Relaxed));
    let (mut before, mut after) = ([0usize; MOST_WORDS], [0usize; MOST_WORDS]);
    // SAFETY: the calling thread's block; public functions.
    let freed = unsafe {
        read_words(block, &mut before[..words]);
        let some = libc::malloc(black_box(24));
        libc::free(black_box(some));
        read_words(block, &mut after[..words]);
        some as usize
    };
    let (mut all, mut caches) = (0u64, 0u64);
    for index in (0..words).filter(|index| before[*index] != after[*index]) {
        all |= 1 << index;
        // What it names can be anything: the kernel looks whether it can be read.
        let mut target = [0usize; 72];
        if !memory::read(after[index], &mut target) || target.contains(&freed) {
            caches |= 1 << index;
        }
    }
    if caches == 0 {
        // The cache was not recognised.
        caches = all;
    }
    ALLOCATOR_WORDS.store(all, Ordering::Relaxed);
    CACHE_WORDS.store(caches, Ordering::Relaxed);
    ptr::null_mut()
}

/// Notes the block of the module that has errno, and returns its length.
fn note_if_libc(info: &libc::dl_phdr_info) -> Option<usize> {
    let ((block, block_len), tls) = (block_of(info)?, tls_header(info)?);
    // SAFETY: a pure look-up.
    let errno = unsafe { libc::__errno_location() } as usize;
    if !(block as usize..block as usize + block_len).contains(&errno) {
        return None;
    }
    OFFSET.store(
        block as isize - thread_pointer() as isize,
        Ordering::Relaxed,
    );
    IMAGE.store(image(info, tls).cast_mut(), Ordering::Relaxed);
    IMAGE_LEN.store(tls.p_filesz as usize, Ordering::Relaxed);
    Some(block_len)
}

/// See [`Runtime::recover`](crate::runtime::Runtime::recover).
///
/// # Safety
/// As there.
pub(super) unsafe fn recover(slot: Slot, is_intact: bool) -> bool {
    let known = libc_layout::try_get()
        .is_some_and(|host| host.support() == Support::Full && host.layout.can_reset_tls);
    let needs_no_lock = tls_images::is_used() || tls_snapshot::is_needed();
    if !known || !needs_no_lock || LEN.load(Ordering::Acquire) == UNKNOWN {
        return false;
    }
    // SAFETY: passed on.
    let clone_tls = unsafe { exit::prepare_clone(slot) };
    let stack = slot.region().stack().0 as usize;
    let request = clone::CloneArgs {
        flags: FLAGS.bits(),
        stack,
        stack_size: clone_tls.stack_top - stack,
        tls: clone_tls.tls,
        parent_tid: clone_tls.parent_tid,
        child_tid: slot.clear_tid().as_ptr() as usize,
        ..clone::CloneArgs::default()
    };
    let entry: ChildEntry = if is_intact {
        renew::<true>
    } else {
        renew::<false>
    };
    slot.clear_tid().store(ALIVE, Ordering::Relaxed);
    let mask = signal::block(SigSet::all_but_libc());
    // SAFETY: the slot's stack is unused, and the slot outlives the thread, which is waited for.
    let cloned =
        unsafe { clone::clone_onto_stack(&request, entry, ptr::from_ref(slot).cast_mut().cast()) };
    signal::set_mask(mask);
    if cloned.is_err() {
        slot.clear_tid().store(0, Ordering::Relaxed);
        return false;
    }
    // Acquire: by SLOT-3 the thread's writes are seen with the 0.
    while slot.clear_tid().load(Ordering::Acquire) != 0 {
        let _ = futex::wait(slot.clear_tid(), ALIVE, None, Sharing::Shared);
    }
    true
}

/// # Safety
/// `argument` is the slot that this thread was cloned onto, whose last task ended as
/// [`recover`] says.
unsafe extern "C" fn renew<const INTACT: bool>(argument: *mut u8) -> ! {
    // SAFETY: `recover` passed the slot's permanent entry.
    let slot: Slot = unsafe { &*argument.cast() };
    let tcb = slot.tcb();
    // SAFETY: the slot is the calling thread's, which runs on its TCB by TCB-1. No code of the program
    // runs on this thread, whose signals are blocked but for libc's.
    unsafe {
        registration::register_rseq((*tcb).thread_pointer);
        registration::register_robust_list((*tcb).robust_head);
        if tls_snapshot::is_needed() {
            tls_snapshot::renew(slot, INTACT);
        } else {
            renew_libc_block(slot, INTACT);
        }
        tls_reset::use_global_locale();
        // Its descriptors were the other process's: here the numbers mean other files.
        libc_state::forget_resolver(libc_layout::try_get().map(|host| &host.layout.libc_state));
        if !INTACT && tls_images::is_used() {
            tls_images::forget_dynamic(slot);
        }
        exit::on_thread_exit(slot);
        exit::withdraw_tid(slot);
        arch::exit_thread()
    }
}

/// # Safety
/// The slot is the calling thread's, and libc is in none of its functions on it.
unsafe fn renew_libc_block(slot: Slot, is_intact: bool) {
    let len = LEN.load(Ordering::Acquire);
    if len == 0 {
        return;
    }
    let block = thread_pointer().wrapping_offset(OFFSET.load(Ordering::Relaxed));
    // SAFETY: the slot is the calling thread's.
    let own = unsafe { tcb::stack_top(slot) }..{
        let (base, len) = slot.region().stack();
        base as usize + len
    };
    let words = len / WORD;
    let mut old = [0usize; MOST_WORDS];
    let mut kept = ALLOCATOR_WORDS.load(Ordering::Relaxed);
    if !is_intact {
        kept &= !CACHE_WORDS.load(Ordering::Relaxed);
    }
    let noted = words.min(MOST_WORDS);
    // SAFETY: as many words of the calling thread's block.
    unsafe { read_words(block, &mut old[..noted]) };
    let image_len = IMAGE_LEN.load(Ordering::Relaxed).min(len);
    // SAFETY: the block of this thread, and the image of a module that stays loaded.
    unsafe {
        for index in 0..words {
            let place = block.add(index * WORD).cast::<usize>();
            if own.contains(&place.read_unaligned()) {
                continue;
            }
            let mut bytes = [0u8; WORD];
            let from = (index * WORD).min(image_len);
            let some = WORD.min(image_len - from);
            let image = IMAGE.load(Ordering::Relaxed).add(from);
            ptr::copy_nonoverlapping(image, bytes.as_mut_ptr(), some);
            place.write_unaligned(usize::from_ne_bytes(bytes));
        }
        // The bytes behind the last whole word belong to no pointer.
        let tail = words * WORD;
        for at in tail..len {
            let value = if at < image_len {
                IMAGE.load(Ordering::Relaxed).add(at).read()
            } else {
                0
            };
            block.add(at).write(value);
        }
    }
    for (index, word) in old[..noted].iter().enumerate() {
        if kept >> index & 1 == 1 {
            // SAFETY: as above: what the allocator itself had there.
            unsafe {
                block
                    .add(index * WORD)
                    .cast::<usize>()
                    .write_unaligned(*word)
            };
        }
    }
}

/// # Safety
/// As many words are readable at `block`.
unsafe fn read_words(block: *const u8, words: &mut [usize]) {
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: as the caller vouches.
        *word = unsafe { block.add(index * WORD).cast::<usize>().read_unaligned() };
    }
}
