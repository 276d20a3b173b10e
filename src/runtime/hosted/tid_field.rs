//! The word of a thread control block in which libc keeps the thread's tid.
//!
//! A word that holds the tid is only a candidate: a tid may equal any other word. 136 is glibc's
//! word of flags in every thread, and the halves of addresses and the stack guard's value are
//! numbers like others. So a candidate is taken with a proof:
//!
//! 1. It is the word that the kernel is to clear at the thread's end. That is the tid's in glibc,
//!    but not in musl. Not every kernel says which word that is.
//! 2. It lies where glibc has it: before the head of the list of robust mutexes, whose address the
//!    kernel returns.
//! 3. Of all candidates it is the only one that holds the tid in other threads, too. Two threads
//!    of a process have different tids at the same time, so words that are alike in all threads
//!    drop out.
#![allow(unsafe_code, reason = "looks into thread control blocks")]

use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use super::pthread::{description_end, pthread_address};
use super::pthread_create::{self, create_on};
use super::tcb_reserve::tcb_reserve;
use crate::diagnosis;
use crate::error::Error;
use crate::sys::{Errno, memory, task};

/// Bytes of a TCB in which every libc known keeps the tid.
const WINDOW: usize = 1200;

/// From the tid to the head of the robust list in glibc: a tid, padding, and the pointer with which
/// glibc makes the list a double one.
pub(super) const TID_BEFORE_ROBUST_HEAD: usize = 16;

/// How many threads are asked, at most. One decides unless it, too, has a tid that equals a word.
const WITNESSES: usize = 3;

const NOT_FOUND: Error = Error::unsupported(
    "the thread id is not found in this libc's thread control block",
    "Use std::thread here, and report the libc's name and version.",
    None,
);

const NO_TID: Error = Error::unsupported(
    "a filter refuses gettid, with which a thread's control block is looked at",
    "Make the first thread before the filter is installed, or allow gettid(2).",
    None,
);

/// What libc registered with the kernel for the calling thread: asked once.
pub(super) struct Registered {
    pub(super) robust_head: Result<*mut u8, Errno>,
    /// The word that the kernel will clear at the thread's end.
    pub(super) clear_tid: Result<*mut u32, Errno>,
}

impl Registered {
    pub(super) fn ask() -> Self {
        Self {
            robust_head: task::robust_list(),
            clear_tid: task::get_tid_address(),
        }
    }
}

/// The word of the calling thread, whose description by libc begins at `base`, and which `registered` is
/// of.
///
/// # Errors
/// `Unsupported`: it is not found where every libc keeps one. A limit: a thread that was to be
/// asked could not be made.
///
/// # Safety
/// The memory from `base` to `limit` can be read.
pub(super) unsafe fn find(
    base: *const u8,
    limit: usize,
    is_glibc: bool,
    registered: &Registered,
) -> Result<*const u8, Error> {
    let tid = task::tid();
    // A refusal is a number, too, and one that many words hold.
    if tid <= 0 {
        return Err(NO_TID);
    }
    let mut words = Words::ALL;
    // SAFETY: passed on.
    unsafe { words.keep_those_with_tid(base, limit, tid) };
    let proven = |address: usize| {
        let index = address.checked_sub(base as usize)? / 4;
        (address.is_multiple_of(4) && words.holds(index)).then_some(index)
    };
    let cleared = registered.clear_tid.map_or(0, |word| word as usize);
    let robust = match registered.robust_head {
        Ok(head) if is_glibc => (head as usize).saturating_sub(TID_BEFORE_ROBUST_HEAD),
        _ => 0,
    };
    let index = match proven(cleared).or_else(|| proven(robust)) {
        Some(index) => index,
        None => ask_others(words)?,
    };
    Ok(base.wrapping_add(index * 4))
}

/// Asks other threads until one word is left.
fn ask_others(mut words: Words) -> Result<usize, Error> {
    for _ in 0..WITNESSES {
        if words.count() == 0 {
            break;
        }
        ask(&mut words)?;
        if let Some(index) = words.only() {
            return Ok(index);
        }
    }
    Err(NOT_FOUND)
}

/// Has libc make a thread like the donors, which strikes the words that do not hold its tid; and
/// ends and joins it before its memory is given back.
fn ask(words: &mut Words) -> Result<(), Error> {
    let len = (tcb_reserve() + 64 * 1024).next_multiple_of(memory::page_size());
    let stack = memory::map(len).map_err(|errno| diagnosis::map_error(errno, len))?;
    let stack = stack.as_ptr();
    let mut witness = Witness {
        words: *words,
        stack: stack as usize..stack as usize + len,
    };
    let mut handle = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the stack is a mapping that is used for nothing else; the witness outlives the
    // thread, which is joined here.
    let joined = unsafe {
        create_on(stack, len, look, (&raw mut witness).cast(), &mut handle)
            .map(|()| libc::pthread_join(handle.assume_init(), ptr::null_mut()))
    };
    if !matches!(joined, Ok(error) if error != 0) {
        // No thread was made, or libc has ended it. A thread that could not be joined keeps its
        // memory.
        // SAFETY: the mapping is this function's, and no thread uses it any more.
        let _ = unsafe { memory::unmap(stack, len) };
    }
    match joined {
        Ok(0) => {
            *words = witness.words;
            Ok(())
        }
        Ok(_) => Err(NOT_FOUND),
        Err(errno @ (Errno::EAGAIN | Errno::ENOMEM)) => Err(diagnosis::pthread_error(errno)),
        Err(errno) => Err(Error::from_operation(&pthread_create::CREATE, errno)),
    }
}

struct Witness {
    words: Words,
    stack: Range<usize>,
}

extern "C" fn look(witness: *mut c_void) -> *mut c_void {
    let witness = witness.cast::<Witness>();
    // SAFETY: `ask` passed it and waits. libc's description of this thread can be read to its end.
    unsafe {
        let limit = description_end((*witness).stack.clone());
        (*witness)
            .words
            .keep_those_with_tid(pthread_address(), limit, task::tid());
    }
    ptr::null_mut()
}

/// A set of words of a thread control block, by their index from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Words([u64; (WINDOW / 4).div_ceil(64)]);

impl Words {
    const ALL: Self = Self([u64::MAX; (WINDOW / 4).div_ceil(64)]);

    fn holds(&self, index: usize) -> bool {
        self.0
            .get(index / 64)
            .is_some_and(|bits| bits >> (index % 64) & 1 == 1)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|bits| bits.count_ones()).sum()
    }

    /// The word, if there is but one.
    fn only(&self) -> Option<usize> {
        (0..WINDOW / 4).find(|index| self.count() == 1 && self.holds(*index))
    }

    fn keep(&mut self, mut has: impl FnMut(usize) -> bool) {
        for (group, bits) in self.0.iter_mut().enumerate() {
            for index in 0..64 {
                if *bits >> index & 1 == 1 && !has(group * 64 + index) {
                    *bits &= !(1 << index);
                }
            }
        }
    }

    /// Keeps the words that hold the calling thread's tid.
    ///
    /// # Safety
    /// As [`find`].
    unsafe fn keep_those_with_tid(&mut self, base: *const u8, limit: usize, tid: i32) {
        let tid = tid as u32;
        let len = limit.saturating_sub(base as usize).min(WINDOW);
        self.keep(|index| {
            let word = base.wrapping_add(index * 4).cast::<AtomicU32>();
            // SAFETY: inside the memory that the caller vouches for. Atomic, because libc may write
            // some of these words from other threads.
            index < len / 4 && unsafe { (*word).load(Ordering::Relaxed) } == tid
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_words_is_narrowed_to_one() {
        let mut words = Words::ALL;
        assert_eq!(words.only(), None);
        words.keep(|index| index == 7 || index == 180 || index == 299);
        assert_eq!((words.count(), words.only()), (3, None));
        words.keep(|index| index != 7 && index != 299);
        assert_eq!((words.count(), words.only()), (1, Some(180)));
        words.keep(|_| false);
        assert_eq!((words.count(), words.only()), (0, None));
        assert!(!words.holds(usize::MAX));
    }

    /// A word that equals the tid of the examined thread by chance is struck by the next thread.
    #[test]
    fn other_threads_strike_what_is_no_tid() {
        let mut words = Words::ALL;
        let base = pthread_address();
        // SAFETY: the test's thread has its description at the end of its own mapping.
        unsafe { words.keep_those_with_tid(base, base as usize + 800, task::tid()) };
        let real = words;
        assert!(real.count() >= 1);
        // Words that do not hold a tid, as if they had equalled it once.
        words.0[0] |= 0b1011;
        words.0[1] |= 1 << 9;
        let found = ask_others(words).unwrap();
        assert!(real.holds(found));
    }
}
