//! Keeping this process dumpable while children change ids in its memory.
//!
//! When a task changes its ids, the kernel marks its memory as not to be dumped or traced
//! (kernel/cred.c, `commit_creds`), for what was read by other rights lies there. Until its execve
//! the child's memory is this process's, so this process loses `/proc/self/mem`, core files and
//! debuggers for good unless the mark is put back. It must not be put back too early: while one
//! such child is left, another process of the child's new ids could trace it, and so write here.
//!
//! One word counts those children and keeps what the mark was before the first:
//!
//! | bits | meaning |
//! |---|---|
//! | 0-31 | `COUNT`: children that may have changed ids; all set, `BUSY`: the mark is being read or put back |
//! | 32-33 | `MARK`: what `PR_GET_DUMPABLE` said; 3, `UNKNOWN` |
//! | 34-63 | the process that counts |
//!
//! | from | to | by |
//! |---|---|---|
//! | 0, or another process's | mine, `BUSY`, then mine, 1 | the first, which reads the mark in between |
//! | mine, n | mine, n + 1 or n - 1 | the others |
//! | mine, 1 | mine, `BUSY`, then 0 | the last, which puts it back in between |
//!
//! A word of another process is what a fork copied while its parent was counting: no thread here
//! counts it down, but its mark is the right one. `BUSY` lasts for one system call, so others pause and
//! look again.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::primitive::pauses::Pauses;
use crate::primitive::word::Word;
use crate::sys::{process, task};

static WORD: AtomicU64 = AtomicU64::new(0);

/// More than there can be children: pids have 22 bits.
const COUNT: u64 = 0xffff_ffff;
const BUSY: u64 = COUNT;
const MARK: u64 = 3 << MARK_SHIFT;
pub(crate) const MARK_SHIFT: u32 = 32;
const UNKNOWN: u64 = MARK;
const OWNER: u64 = !(COUNT | MARK);
pub(crate) const OWNER_SHIFT: u32 = 34;

/// A child that may change its ids in this memory; dropped once it has left.
pub(super) struct DumpableGuard(());

impl DumpableGuard {
    /// Before the child is made.
    pub(super) fn begin() -> Self {
        count_up(&WORD, own_bits(), read);
        Self(())
    }
}

impl Drop for DumpableGuard {
    fn drop(&mut self) {
        count_down(&WORD, own_bits(), put_back);
    }
}

/// Counts one more child of the process `own`; the first has `read` read the mark.
pub(crate) fn count_up(word: &impl Word<u64>, own: u64, read: impl Fn() -> u64) {
    let mut pauses = Pauses::new();
    loop {
        // Acquire, here and below: pairs with `unlock`, so that the mark is read after the
        // last child's guard has put it back.
        let now = word.load(Ordering::Acquire);
        let (count, mark) = match now {
            0 => (0, UNKNOWN),
            now if now & OWNER != own => (0, now & MARK),
            now => (now & COUNT, now & MARK),
        };
        match count {
            BUSY => pauses.pause(),
            0 => {
                if exchange(word, now, own | mark | BUSY) {
                    let mark = if mark == UNKNOWN { read() } else { mark };
                    unlock(word, own | mark | 1);
                    return;
                }
            }
            _ => {
                if exchange(word, now, now + 1) {
                    return;
                }
            }
        }
    }
}

/// Counts one child less; the last has `put_back` put the mark back.
pub(crate) fn count_down(word: &impl Word<u64>, own: u64, put_back: impl Fn(u64)) {
    loop {
        let now = word.load(Ordering::Acquire);
        if now & OWNER != own {
            // A process that shares this memory took the count over, and the mark with it.
            return;
        }
        match now & COUNT {
            0 | BUSY => return,
            1 => {
                if exchange(word, now, now | BUSY) {
                    put_back(now & MARK);
                    unlock(word, 0);
                    return;
                }
            }
            _ => {
                if exchange(word, now, now - 1) {
                    return;
                }
            }
        }
    }
}

fn own_bits() -> u64 {
    u64::from(task::pid().unsigned_abs()) << OWNER_SHIFT
}

fn exchange(word: &impl Word<u64>, old: u64, new: u64) -> bool {
    word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
        .is_ok()
}

/// Ends `BUSY`. Release: what was read or put back comes before it.
fn unlock(word: &impl Word<u64>, to: u64) {
    word.store(to, Ordering::Release);
}

fn read() -> u64 {
    match process::dumpable() {
        Ok(mark @ 0..3) => (mark as u64) << MARK_SHIFT,
        _ => UNKNOWN,
    }
}

fn put_back(mark: u64) {
    if mark != UNKNOWN {
        let _ = process::set_dumpable((mark >> MARK_SHIFT) as usize);
    }
}
