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
//! | 34-63 | `OWNER`: the memory in which they are, by [`memory_id`] |
//!
//! | from | to | by |
//! |---|---|---|
//! | 0, or another memory's | mine, `UNKNOWN`, `BUSY`, then mine, 1 | the first, which reads mark and ids in between |
//! | mine, n | mine, n + 1 or n - 1 | the others, of any process in this memory |
//! | mine, 1 | mine, `BUSY`, then 0 | the last, which puts it back in between |
//! | another memory's | 0 | a child of this crate's forks, before it does anything else; it puts the mark back |
//!
//! A word of another memory is what a fork copied while children were counted: they are not in the copy.
//! `BUSY` lasts for some system calls, so others pause and look again.
//!
//! Not every mark is the children's. The process itself may have given up ids meanwhile, and what it read
//! with them must not become readable. So the ids and the permitted capabilities are kept with the mark, and it
//! is put back only by a caller that has the same. On any difference it stays as it is: the safe side. Not
//! seen are a change of ids that was taken back, one of another thread alone (by a raw system call, or of
//! `setfsuid`), and `PR_SET_DUMPABLE` meanwhile, which leaves the same mark as a child does.

use core::mem;
use core::num::NonZeroU64;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::memory_id;
use crate::primitive::pauses::Pauses;
use crate::primitive::word::Word;
use crate::sys::{credentials, process};

static WORD: AtomicU64 = AtomicU64::new(0);

/// More than there can be children: pids have 22 bits.
const COUNT: u64 = 0xffff_ffff;
const BUSY: u64 = COUNT;
const MARK: u64 = 3 << MARK_SHIFT;
pub(crate) const MARK_SHIFT: u32 = 32;
const UNKNOWN: u64 = MARK;
const OWNER: u64 = !(COUNT | MARK);
pub(crate) const OWNER_SHIFT: u32 = 34;

/// Whose mark it was: the ids and capabilities of the first child's maker. Relaxed: `BUSY` is their lock.
static RIGHTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// A child that may change its ids in this memory; dropped once it has left.
pub(super) struct DumpableGuard {
    own: NonZeroU64,
}

impl DumpableGuard {
    /// Before the child is made.
    pub(super) fn begin() -> Self {
        let own = own_bits();
        count_up(&WORD, own.get(), read);
        Self { own }
    }
}

impl Drop for DumpableGuard {
    fn drop(&mut self) {
        // In a fork's copy of the guard's memory no child is.
        if self.own == own_bits() {
            count_down(&WORD, self.own.get(), put_back);
        }
    }
}

/// A caller that changes its own ids to become a program; dropped where it has not become one.
pub(super) struct ExecGuard {
    counted: Option<DumpableGuard>,
    exec: Option<&'static Exec>,
    rights: [u64; 4],
}

impl ExecGuard {
    /// Before it changes them. If it becomes a program, or does not and has other ids then, it stays counted; in a
    /// closure's child, whose memory stays, until [`left_stack`].
    pub(super) fn begin() -> Self {
        let counted = DumpableGuard::begin();
        let here = 0u8;
        Self {
            exec: Exec::add((&raw const here).addr(), counted.own),
            counted: Some(counted),
            rights: rights(),
        }
    }
}

impl Drop for ExecGuard {
    fn drop(&mut self) {
        if self.rights != rights() {
            mem::forget(self.counted.take());
        } else if let Some(exec) = self.exec {
            exec.stack.store(0, Ordering::Release);
        }
    }
}

/// A caller that may become a program, by an address in its stack.
///
/// | `stack` | becomes | by |
/// |---|---|---|
/// | 0 | an address | that caller (AcqRel: one takes the entry), which then writes `own` |
/// | an address | 0 | it, if it did not become one and has its ids; else its parent, once it has left the stack |
struct Exec {
    stack: AtomicUsize,
    own: AtomicU64,
}

/// Where all are taken, the mark is not put back: the safe side.
static EXECS: [Exec; 16] = [const {
    Exec {
        stack: AtomicUsize::new(0),
        own: AtomicU64::new(0),
    }
}; 16];

impl Exec {
    fn add(stack: usize, own: NonZeroU64) -> Option<&'static Self> {
        let taken = EXECS.iter().find(|exec| exec.exchange(0, stack))?;
        taken.own.store(own.get(), Ordering::Release);
        Some(taken)
    }

    fn exchange(&self, old: usize, new: usize) -> bool {
        self.stack
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

/// The child of a closure has left its stack: what it counted and could not take back is taken back.
pub(super) fn left_stack(bottom: usize, top: usize) {
    if WORD.load(Ordering::Acquire) == 0 {
        return;
    }
    for exec in &EXECS {
        let stack = exec.stack.load(Ordering::Acquire);
        if (bottom..top).contains(&stack) {
            let own = exec.own.load(Ordering::Acquire);
            if let (true, Some(own)) = (exec.exchange(stack, 0), NonZeroU64::new(own)) {
                drop(DumpableGuard { own });
            }
        }
    }
}

/// In a child with a copy of its parent's memory, before anything of the program's: no child is in the copy,
/// so its mark is the parent's.
pub(super) fn after_fork() {
    let now = WORD.load(Ordering::Relaxed);
    if now != 0 && now & OWNER != own_bits().get() {
        put_back(now & MARK);
        WORD.store(0, Ordering::Relaxed);
    }
}

/// Counts one more child in the memory `own`; the first has `read` read the mark.
pub(crate) fn count_up(word: &impl Word<u64>, own: u64, read: impl Fn() -> u64) {
    let mut pauses = Pauses::new();
    loop {
        // Acquire, here and below: pairs with `unlock`, so that the mark is read after the
        // last child's guard has put it back.
        let now = word.load(Ordering::Acquire);
        let count = match now & OWNER == own {
            true => now & COUNT,
            false => 0,
        };
        match count {
            BUSY => pauses.pause(),
            0 => {
                if exchange(word, now, own | UNKNOWN | BUSY) {
                    unlock(word, own | read() | 1);
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
            // What a fork copied.
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

fn own_bits() -> NonZeroU64 {
    let number = memory_id::get(|| WORD.load(Ordering::Relaxed) >> OWNER_SHIFT);
    // It is never 0.
    NonZeroU64::new(number << OWNER_SHIFT).unwrap_or(NonZeroU64::MAX)
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
    for (kept, now) in RIGHTS.iter().zip(rights()) {
        kept.store(now, Ordering::Relaxed);
    }
    match process::dumpable() {
        Ok(mark @ 0..3) => (mark as u64) << MARK_SHIFT,
        _ => UNKNOWN,
    }
}

fn put_back(mark: u64) {
    const NONE: u64 = 0;
    const DUMPABLE: u64 = 1 << MARK_SHIFT;
    let kept = RIGHTS.each_ref().map(|kept| kept.load(Ordering::Relaxed));
    if kept != rights() {
        return;
    }
    match mark {
        DUMPABLE => {
            let _ = process::set_dumpable(1);
        }
        // 2, where fs.suid_dumpable has it: less than it was. 1 is the program's.
        NONE if process::dumpable() == Ok(2) => {
            let _ = process::set_dumpable(0);
        }
        _ => {}
    }
}

/// By what the kernel decides, in `commit_creds`, whether memory stays dumpable: ids and capabilities.
fn rights() -> [u64; 4] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let [ruid, euid, suid] = credentials::user_ids();
    let [rgid, egid, sgid] = credentials::group_ids();
    let permitted = credentials::capability_sets().map_or(0, |sets| sets.permitted);
    [
        pair(ruid, euid),
        pair(suid, rgid),
        pair(egid, sgid),
        permitted,
    ]
}
