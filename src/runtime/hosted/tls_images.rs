//! What a thread's static TLS is at first, kept where an ending thread can read it without a lock.
//!
//! A thread that ends makes its thread-locals fresh for the next one on its slot. The loader reports
//! modules and their TLS blocks by `dl_iterate_phdr` only, under a lock that is held while visitors
//! of the program run: a thread that asked at its end would wait for user code, which may be
//! waiting for that very thread. So a *donor* asks, at its start, and only if modules have come
//! since the last donor that did; it keeps a copy of each image and where its block lies. An ending
//! thread compares the loader's count of modules, copies, and compares again. Where the count has
//! moved, it leaves its thread-locals as they are and says so (`Tcb::unrefreshed`): the next
//! taker of the slot has libc end that TCB and lay out a new one, whose donor asks.
//!
//! * The count (`dlpi_adds`) is a word of the loader's `_rtld_global`. It is found by its value: all
//!   words there that have it are compared, so one that only happens to have it costs a question
//!   too many, never one too few. No layout is assumed but that the count lies in that variable,
//!   which is so in glibc 2.17 to 2.43.
//! * A module that comes is first counted, then relocated, then registered for TLS, then its blocks
//!   in other threads are written, then its code runs. A fresh donor's DTV has a 0 where a module is
//!   not registered: then nothing is kept, for its image may not be relocated yet. So what is kept
//!   is final, and complete for that count.
//! * A module that goes does not move the count; writing its block once more does no harm, for the
//!   space is given to others only when they come.
//! * Blocks outside of the static area were allocated when this thread first used them. They are
//!   freed, as at the end of a pthread, and its next use allocates anew.
//!
//! One case is not seen: a module whose TLS was dynamic and never used gets a place in the static
//! area because another module that comes refers to it by the initial-exec model, and a donor asks
//! between that module's counting and its relocation.
#![allow(
    unsafe_code,
    reason = "reads the loader's words, writes thread-local storage"
)]

use core::ffi::c_void;
use core::ops::{ControlFlow, Range};
use core::ptr;
use core::sync::atomic::{
    AtomicBool, AtomicIsize, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence,
};

use super::tcb::Slot;
use super::{loader_lock, modules, symbols, unreported_tls};
use crate::sys::arch::thread_pointer;
use crate::sys::{arch, memory};

const WORD: usize = size_of::<usize>();
/// Blocks of more modules, or words of that value, than programs have; with more, nothing is kept.
const BLOCKS: usize = 64;
const COUNTS: usize = 16;

/// Address of `_rtld_global`, its length in bytes. 0: not found, or not looked for yet; Relaxed:
/// written by the thread that makes the first donor, before it does.
static LOADER: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// One module's block.
struct Block {
    /// From the thread pointer, the same in every thread.
    offset: AtomicIsize,
    len: AtomicUsize,
    image_len: AtomicUsize,
    /// Where the copy of the image begins in [`Kept::images`], in words.
    image: AtomicUsize,
}

/// What the last donor that asked found.
///
/// `sequence`: even: what stands here belongs together; odd: a donor is writing. It grows by two for
/// each writing. Readers copy a field, then look whether the sequence is still the same, and use the
/// field only then; they never wait. All fields are atomics: a reader may meet a writer.
///
/// Orderings: a reader's first look is an Acquire, its later looks stand behind an Acquire fence;
/// the writer's fields stand behind a Release fence after the first store, and the second store is a
/// Release: a reader that sees a field of a later writing sees its odd number in the next look.
struct Kept {
    sequence: AtomicU32,
    /// The count at that time; 0: nothing is kept (a program has a module).
    count: AtomicUsize,
    /// Addresses of the words that have the count; 0 ends them.
    counters: [AtomicUsize; COUNTS],
    blocks: [Block; BLOCKS],
    len: AtomicUsize,
    images: AtomicPtr<AtomicUsize>,
    /// Capacity of `images`, in words. The writer's alone.
    capacity: AtomicUsize,
}

static KEPT: Kept = Kept {
    sequence: AtomicU32::new(0),
    count: AtomicUsize::new(0),
    counters: [const { AtomicUsize::new(0) }; COUNTS],
    blocks: [const {
        Block {
            offset: AtomicIsize::new(0),
            len: AtomicUsize::new(0),
            image_len: AtomicUsize::new(0),
            image: AtomicUsize::new(0),
        }
    }; BLOCKS],
    len: AtomicUsize::new(0),
    images: AtomicPtr::new(ptr::null_mut()),
    capacity: AtomicUsize::new(0),
};

/// Where [`Kept::images`] lie first, if it is enough.
static FIRST_IMAGES: [AtomicUsize; 512] = [const { AtomicUsize::new(0) }; 512];

/// Whether a donor writes [`KEPT`]: another one that wants to goes without.
static WRITING: AtomicBool = AtomicBool::new(false);

/// Asks for the loader's variable; in the thread that makes the first donor, for dlsym(3) and
/// dladdr(3) wait for the thread that runs a library's constructors.
pub(super) fn look_up() {
    /// dlfcn.h
    const RTLD_DL_SYMENT: i32 = 1;
    type DlAddr1 = unsafe extern "C" fn(
        *const c_void,
        *mut libc::Dl_info,
        *mut *const libc::Elf64_Sym,
        i32,
    ) -> i32;
    let address = symbols::get(c"_rtld_global");
    // SAFETY: dladdr1's type (dlfcn.h).
    let dladdr1 = unsafe { symbols::function::<DlAddr1>(c"dladdr1") };
    let (false, Some(dladdr1)) = (address.is_null(), dladdr1) else {
        return;
    };
    let mut symbol = ptr::null();
    let mut info = core::mem::MaybeUninit::uninit();
    // SAFETY: both results are writable and of the types that the flag stands for; a symbol that
    // was found is part of the loader, which stays.
    let len = unsafe {
        dladdr1(address, info.as_mut_ptr(), &mut symbol, RTLD_DL_SYMENT);
        symbol.as_ref().map_or(0, |symbol| symbol.st_size)
    };
    LOADER[0].store(address as usize, Ordering::Relaxed);
    LOADER[1].store(len as usize, Ordering::Relaxed);
    loader_lock::find(address as usize..address as usize + len as usize);
}

/// Whether ending threads use what donors keep; else they ask the loader themselves.
pub(super) fn is_used() -> bool {
    LOADER[1].load(Ordering::Relaxed) != 0
}

/// The word at an aligned address of the loader's variable.
fn loader_word(address: usize) -> usize {
    // SAFETY: the callers' addresses lie in `_rtld_global`, which is never unmapped; the loader
    // writes its words meanwhile, so this is an atomic's load.
    unsafe { (*ptr::with_exposed_provenance::<AtomicUsize>(address)).load(Ordering::Acquire) }
}

/// Whether what is kept, under this sequence, is what the loader has now.
fn is_current(sequence: u32) -> bool {
    let count = KEPT.count.load(Ordering::Relaxed);
    let counters = KEPT.counters.iter();
    let mut counters = counters
        .map(|counter| counter.load(Ordering::Relaxed))
        .take_while(|address| *address != 0)
        .peekable();
    counters.peek().is_some()
        && counters.all(|address| loader_word(address) == count)
        && is_unchanged(sequence)
}

fn is_unchanged(sequence: u32) -> bool {
    fence(Ordering::Acquire);
    KEPT.sequence.load(Ordering::Relaxed) == sequence
}

/// Makes the static TLS of the calling thread, whose slot this is, fresh, and frees its other
/// blocks. False if that could not be done without asking the loader; then some thread-locals are
/// fresh and others are not.
///
/// # Safety
/// The slot is the calling thread's. No code that uses thread-locals of modules other than libc
/// runs on this thread any more.
pub(super) unsafe fn refresh(slot: Slot) -> bool {
    let sequence = KEPT.sequence.load(Ordering::Acquire);
    if !sequence.is_multiple_of(2) || !is_current(sequence) {
        return false;
    }
    let images = KEPT.images.load(Ordering::Relaxed);
    for block in &KEPT.blocks[..KEPT.len.load(Ordering::Relaxed).min(BLOCKS)] {
        let (offset, len) = (
            block.offset.load(Ordering::Relaxed),
            block.len.load(Ordering::Relaxed),
        );
        let (image, image_len) = (
            block.image.load(Ordering::Relaxed),
            block.image_len.load(Ordering::Relaxed),
        );
        if !is_unchanged(sequence) {
            return false;
        }
        // SAFETY: the fields belong together: the block lies in this thread's static TLS, as in
        // every thread's, and is not in use; `images` holds its image, and is never unmapped.
        unsafe {
            let target = thread_pointer().wrapping_offset(offset);
            write_image(target, images.add(image), image_len);
            target.add(image_len).write_bytes(0, len - image_len);
        }
    }
    // SAFETY: passed on.
    let freed = unsafe { free_dynamic(slot) };
    // A module that came meanwhile was counted before its image was written to this thread's block:
    // if a write of ours came after that one, its count is seen here.
    fence(Ordering::SeqCst);
    freed && is_current(sequence)
}

/// # Safety
/// `len` bytes at `target` are writable and not in use; `image` has as many, rounded up.
unsafe fn write_image(target: *mut u8, image: *const AtomicUsize, len: usize) {
    for index in 0..len.div_ceil(WORD) {
        // SAFETY: as the caller vouches.
        unsafe {
            let bytes = (*image.add(index)).load(Ordering::Relaxed).to_ne_bytes();
            let at = index * WORD;
            let some = WORD.min(len - at);
            ptr::copy_nonoverlapping(bytes.as_ptr(), target.add(at), some);
        }
    }
}

/// The vector of the calling thread's TLS blocks (dtv_t of sysdeps/generic/dl-dtv.h): two words
/// each, the block's address and what to free; the first is a generation, and the one before that
/// the number of entries.
#[derive(Clone, Copy)]
struct Vector(*mut [usize; 2]);

/// Entry of a module that is registered, whose block this thread has not got (dl-dtv.h).
const UNALLOCATED: usize = usize::MAX;

impl Vector {
    /// # Safety
    /// The calling thread's TCB is glibc's.
    unsafe fn own() -> Self {
        // SAFETY: as the caller vouches.
        Self(unsafe {
            thread_pointer()
                .cast::<*mut [usize; 2]>()
                .add(arch::TCB_DTV_WORD)
                .read()
        })
    }

    /// How many entries there are behind the first.
    ///
    /// # Safety
    /// As [`Vector::own`].
    unsafe fn len(self) -> usize {
        // SAFETY: as the caller vouches.
        unsafe { (*self.0.sub(1))[0] }
    }

    /// # Safety
    /// As [`Vector::own`]; `module` is at most [`Vector::len`].
    unsafe fn entry(self, module: usize) -> *mut [usize; 2] {
        // SAFETY: as the caller vouches.
        unsafe { self.0.add(module) }
    }
}

/// Frees the blocks of the calling thread that lie outside of its static TLS; false if it has one
/// that cannot be freed.
///
/// # Safety
/// As [`refresh`]; a donor saw that the vector is where it is looked for.
unsafe fn free_dynamic(slot: Slot) -> bool {
    let area = unreported_tls::own_static_tls_range(slot);
    // SAFETY: the entries are the calling thread's; libc reads and writes them on this thread only,
    // but for those of static blocks. What an entry says is to be freed was allocated by libc's
    // malloc for this block (elf/dl-tls.c, allocate_dtv_entry), and it is not in use any more.
    unsafe {
        let vector = Vector::own();
        for module in 1..=vector.len() {
            let entry = vector.entry(module);
            let [block, memory] = *entry;
            if block == 0 || block == UNALLOCATED || area.contains(&block) {
                continue;
            }
            // Before glibc 2.26 the second word is a flag.
            if memory <= 1 {
                return false;
            }
            *entry = [UNALLOCATED, 0];
            libc::free(ptr::with_exposed_provenance_mut(memory));
        }
    }
    true
}

/// Takes the blocks of the calling thread that lie outside of its static TLS from it, without freeing
/// them: the allocator may not be called.
///
/// # Safety
/// As [`free_dynamic`].
pub(super) unsafe fn forget_dynamic(slot: Slot) {
    let area = unreported_tls::own_static_tls_range(slot);
    // SAFETY: as in `free_dynamic`.
    unsafe {
        let vector = Vector::own();
        for module in 1..=vector.len() {
            let entry = vector.entry(module);
            let [block, memory] = *entry;
            if block != 0 && block != UNALLOCATED && memory > 1 && !area.contains(&block) {
                *entry = [UNALLOCATED, 0];
            }
        }
    }
}

/// Asks the loader, if modules have come since a donor did; in a donor, before it runs anything that
/// may use thread-locals. Goes without where a fork is under way or another donor is asking.
pub(super) fn keep(slot: Slot) {
    // A page that is read before it is written to costs the first donor two faults. Changes nothing.
    let word = &KEPT.sequence;
    let _ = word.compare_exchange(0, 0, Ordering::Relaxed, Ordering::Relaxed);
    let sequence = KEPT.sequence.load(Ordering::Acquire);
    if !is_used() || (sequence.is_multiple_of(2) && is_current(sequence)) {
        return;
    }
    if WRITING.swap(true, Ordering::Acquire) {
        return;
    }
    let mut writer = Writer {
        area: unreported_tls::own_static_tls_range(slot),
        count: 0,
        blocks: 0,
        words: 0,
        failed: false,
    };
    let sequence = KEPT.sequence.load(Ordering::Relaxed);
    KEPT.sequence
        .store(sequence.wrapping_add(1), Ordering::Relaxed);
    fence(Ordering::Release);
    KEPT.counters[0].store(0, Ordering::Relaxed);
    let asked = modules::try_each_module(|info| {
        // SAFETY: under the loader's lock, in a donor that glibc made.
        if unsafe { writer.visit(info) } {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    KEPT.len.store(writer.blocks, Ordering::Relaxed);
    KEPT.count.store(writer.count, Ordering::Relaxed);
    if !asked || writer.failed {
        KEPT.counters[0].store(0, Ordering::Relaxed);
    }
    KEPT.sequence
        .store(sequence.wrapping_add(2), Ordering::Release);
    WRITING.store(false, Ordering::Release);
}

/// In the child of a fork: the donor that was writing in the parent is not here.
pub(super) fn after_fork() {
    if WRITING.load(Ordering::Relaxed) {
        KEPT.counters[0].store(0, Ordering::Relaxed);
        let sequence = KEPT.sequence.load(Ordering::Relaxed);
        KEPT.sequence
            .store(sequence.next_multiple_of(2), Ordering::Relaxed);
        WRITING.store(false, Ordering::Relaxed);
    }
}

/// What the donor knows while it asks.
struct Writer {
    area: Range<usize>,
    count: usize,
    blocks: usize,
    words: usize,
    failed: bool,
}

impl Writer {
    /// Enters a module; false if it cannot be served, which ends the walk.
    ///
    /// # Safety
    /// As [`Writer::enter`].
    unsafe fn visit(&mut self, info: &libc::dl_phdr_info) -> bool {
        if self.count == 0 {
            self.count = info.dlpi_adds as usize;
            self.failed |= !find_counters(self.count);
        }
        // SAFETY: passed on.
        self.failed |= !unsafe { self.enter(info) };
        !self.failed
    }
}

/// Notes the words of the loader's variable that have this value; false if there is none, or too
/// many to be told apart.
fn find_counters(count: usize) -> bool {
    let [base, len] = [0, 1].map(|part: usize| LOADER[part].load(Ordering::Relaxed));
    let mut found = 0;
    for address in (base..(base + len).saturating_sub(WORD - 1)).step_by(WORD) {
        if loader_word(address) == count {
            if found == COUNTS {
                return false;
            }
            KEPT.counters[found].store(address, Ordering::Relaxed);
            found += 1;
        }
    }
    if found < COUNTS {
        KEPT.counters[found].store(0, Ordering::Relaxed);
    }
    found > 0
}

impl Writer {
    /// Keeps the module's image if its block is in the static area; false if that cannot be done.
    ///
    /// # Safety
    /// The caller is a visitor of the loader's, in a thread that glibc has just made.
    unsafe fn enter(&mut self, info: &libc::dl_phdr_info) -> bool {
        let Some(tls) = modules::tls_header(info) else {
            return true;
        };
        // SAFETY: the TCB is glibc's.
        let entry = unsafe {
            let vector = Vector::own();
            if info.dlpi_tls_modid > vector.len() {
                return false;
            }
            (*vector.entry(info.dlpi_tls_modid))[0]
        };
        let Some((block, len)) = modules::block_of(info) else {
            // Registered and not in the static area; or not registered: nothing is known yet.
            return entry == UNALLOCATED;
        };
        // What proves that the vector is where it is looked for.
        if entry != block as usize {
            return false;
        }
        // SAFETY: a pure look-up.
        let errno = unsafe { libc::__errno_location() } as usize;
        let is_libc = (entry..entry + len).contains(&errno);
        if is_libc || !self.area.contains(&entry) {
            return true;
        }
        let image_len = tls.p_filesz as usize;
        let words = image_len.div_ceil(WORD);
        if self.blocks == BLOCKS || !self.grow_images(words) {
            return false;
        }
        let images = KEPT.images.load(Ordering::Relaxed);
        let image = modules::image(info, tls);
        for index in 0..words {
            let at = index * WORD;
            let mut bytes = [0; WORD];
            // SAFETY: the image is the module's, `image_len` bytes long, and stays during the
            // visit; the copy's place is the writer's, and large enough.
            unsafe {
                let some = WORD.min(image_len - at);
                ptr::copy_nonoverlapping(image.add(at), bytes.as_mut_ptr(), some);
                (*images.add(self.words + index))
                    .store(usize::from_ne_bytes(bytes), Ordering::Relaxed);
            }
        }
        let place = &KEPT.blocks[self.blocks];
        let offset = (entry as isize).wrapping_sub(thread_pointer() as isize);
        place.offset.store(offset, Ordering::Relaxed);
        place.len.store(len, Ordering::Relaxed);
        place.image_len.store(image_len, Ordering::Relaxed);
        place.image.store(self.words, Ordering::Relaxed);
        self.blocks += 1;
        self.words += words;
        true
    }

    /// Makes space for so many words more. What was kept moves; the old place is never unmapped, for
    /// readers may still look there. It doubles, so all old places together are no larger.
    fn grow_images(&self, words: usize) -> bool {
        let (capacity, needed) = (KEPT.capacity.load(Ordering::Relaxed), self.words + words);
        if needed <= capacity {
            return true;
        }
        let old = KEPT.images.load(Ordering::Relaxed);
        let (new, capacity) = if capacity == 0 && needed <= FIRST_IMAGES.len() {
            (FIRST_IMAGES.as_ptr().cast_mut(), FIRST_IMAGES.len())
        } else {
            let bytes = (needed.max(2 * capacity) * WORD).next_multiple_of(memory::page_size());
            let Ok(mapped) = memory::map(bytes) else {
                return false;
            };
            (mapped.as_ptr().cast::<AtomicUsize>(), bytes / WORD)
        };
        for index in 0..self.words {
            // SAFETY: both places have more words than were written so far.
            unsafe {
                (*new.add(index))
                    .store((*old.add(index)).load(Ordering::Relaxed), Ordering::Relaxed);
            }
        }
        KEPT.images.store(new, Ordering::Relaxed);
        KEPT.capacity.store(capacity, Ordering::Relaxed);
        true
    }
}
