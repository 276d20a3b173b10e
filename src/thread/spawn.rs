//! From a request to a kernel thread.
#![allow(unsafe_code, reason = "clones onto memory it prepared")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use super::builder::{Options, Retry};
use super::entry;
use super::packet::{Head, Kind, Packet, Result, Start};
use super::setup::{Setup, Steps};
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::{CloneFlags, Preset};
use crate::runtime::record::ThreadRef;
use crate::runtime::{CloneTls, Rt, Runtime, Slot, Tcb};
use crate::stack::layout;
use crate::stack::slot::{self, ALIVE, Acquired};
use crate::sys::futex::{self, Deadline, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, clone};

/// What every thread shares with its spawner, and what the kernel is to write for it.
const FLAGS: CloneFlags = Preset::RAWTHREAD.flags;

/// A thread that runs.
pub(super) struct Spawned<T> {
    pub(super) record: ThreadRef,
    /// Of the packet, in the slot or on the heap.
    pub(super) head: NonNull<Head>,
    /// In the packet.
    pub(super) result: NonNull<Result<T>>,
}

/// Makes a thread that runs `closure`.
///
/// Everything that can fail happens here, in the spawner, or is reported here before the closure
/// runs.
///
/// # Errors
/// See [`super::Builder::spawn`]. The closure is dropped; nothing else remains.
///
/// # Safety
/// Whatever the closure and its result borrow must outlive the thread and its result.
pub(super) unsafe fn spawn<F, T>(
    options: Options<'_>,
    closure: F,
) -> core::result::Result<Spawned<T>, Error>
where
    F: FnOnce() -> T,
{
    let unborn = Unborn::new(options, Packet::<F, T>::KIND)?;
    let packet = unborn.head.as_ptr().cast::<Packet<F, T>>();
    // SAFETY: the place is for a packet of this kind, and nobody else knows it yet.
    unsafe { Packet::put_closure(packet, closure) };
    let head = unborn.head;
    // SAFETY: the packet is complete, and the caller vouches for the closure.
    match unsafe { unborn.bear() } {
        Ok(record) => Ok(Spawned {
            record,
            head,
            // SAFETY: an address inside the packet is not null.
            result: unsafe { NonNull::new_unchecked(Packet::result(packet)) },
        }),
        Err(stillborn) => {
            // SAFETY: no thread runs on the slot and none took the closure.
            let closure = unsafe { Packet::take_closure(packet) };
            let error = stillborn.give_back();
            drop(closure);
            Err(error)
        }
    }
}

/// A thread that has everything but its closure and its life.
struct Unborn<'a> {
    slot: Slot,
    /// Whether the runtime makes the thread, because the slot has no identity yet.
    launch: bool,
    record: ThreadRef,
    head: NonNull<Head>,
    /// Lowest address for frames.
    low: usize,
    words: CloneTls,
    private: CloneFlags,
    retry: Retry,
    steps: &'a mut Steps,
}

/// A thread that did not come to be.
struct Stillborn {
    slot: Slot,
    minted: bool,
    error: Error,
}

impl<'a> Unborn<'a> {
    /// Takes a record and a slot, and prepares both for a packet of this kind.
    fn new(options: Options<'a>, kind: &'static Kind) -> core::result::Result<Self, Error> {
        Rt::ensure_init()?;
        let comm = options.name.comm();
        let record = ThreadRef::new(options.name)?;
        let room = options
            .stack_size
            .checked_add(kind.size + kind.align)
            .and_then(|bytes| bytes.checked_add(Rt::tcb_reserve()))
            .ok_or(ABSURD_SIZE)?;
        let align = kind.align.max(16);
        let launchable = Rt::INLINE_PACKET_MAX.is_some_and(|room| kind.size + align <= room)
            && options.private.is_empty()
            && options.stack.is_none();
        let (slot, launch) = match find(room, options.guard_size)? {
            Acquired::WithTcb(slot) => (slot, false),
            Acquired::Uninit(slot) if launchable && Rt::can_create_and_run() => (slot, true),
            Acquired::Uninit(slot) => (mint(slot)?, false),
        };
        if !options.private.is_empty() {
            PRIVATE.store(true, Ordering::Relaxed);
        }
        // The thread's own reference.
        let thread_record = record.clone().into_raw();
        record.set_slot(ptr::from_ref(slot).cast_mut().cast());
        slot.set_current_record(thread_record);

        let (stack, len) = slot.region().stack();
        let stack = stack as usize;
        let words = if launch {
            CloneTls {
                stack_top: stack + len,
                ..CloneTls::default()
            }
        } else {
            // SAFETY: the slot is ours alone, vacant, and minted.
            unsafe { Rt::prepare_clone(slot) }
        };
        let head = match layout::align_below(words.stack_top, kind.size, align) {
            Some(packet) if packet > stack => packet as *mut Head,
            _ => unreachable!("the slot was chosen to hold the packet"),
        };
        let start = Start {
            release: release_slot,
            setup: ptr::null(),
            mask: options.mask,
            comm,
            watch: options.watch,
        };
        // SAFETY: the place lies in the slot's stack, above every frame of the thread to come; a
        // packet begins with its head.
        unsafe { head.write(Head::new(Some(slot), thread_record, kind, start)) };

        let (low, top) = match options.stack {
            None => (stack, head as usize),
            Some((low, len)) => (low, (low + len) & !0xf),
        };
        record.set_stack(low, top);
        Ok(Self {
            slot,
            launch,
            record,
            // SAFETY: above `stack`, so not null.
            head: unsafe { NonNull::new_unchecked(head) },
            low,
            words: CloneTls {
                stack_top: top,
                ..words
            },
            private: options.private,
            retry: options.retry,
            steps: options.steps,
        })
    }

    /// Makes the kernel thread; waits until it has reported, if there is something to report.
    ///
    /// # Safety
    /// The packet has its closure, for which [`spawn`]'s contract holds.
    unsafe fn bear(self) -> core::result::Result<ThreadRef, Stillborn> {
        let (slot, head) = (self.slot, self.head.as_ptr());
        let setup = Setup::new(self.steps);
        // SAFETY: there is no thread yet that could use the head.
        let (mask, thread_record) = unsafe {
            // The thread uses the set-up while this frame waits for its report.
            (*head).setup = setup.as_ref().map_or(ptr::null(), |setup| {
                ptr::from_ref(setup).cast::<Setup<'static>>()
            });
            ((*head).mask, (*head).record)
        };
        slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        let request = clone::CloneArgs {
            flags: FLAGS.difference(self.private).bits(),
            stack: self.low,
            stack_size: self.words.stack_top - self.low,
            tls: self.words.tls,
            parent_tid: self.words.parent_tid,
            child_tid: slot.clear_tid().as_ptr() as usize,
            ..clone::CloneArgs::default()
        };
        // A signal that the thread is to have masked must not slip in before it does so.
        let old_mask = mask.map(|_| signal::block(SigSet::ALL_BUT_LIBC));
        // SAFETY: the stack is the slot's below the packet, or the caller's own by contract;
        // `entry::thread` takes the packet; the words outlive the thread by SLOT-3 and TCB-2.
        let cloned = self.retry.run(|| unsafe {
            if self.launch {
                Rt::create_and_run(slot, entry::launched, head.cast())
            } else {
                clone::clone_onto_stack(&request, entry::thread, head.cast())
            }
        });
        if let Some(mask) = old_mask {
            signal::set_mask(mask);
        }
        let mut minted = true;
        let error = match cloned {
            Ok(tid) => {
                // 0: a launched thread that has already left, and told its tid before.
                if tid != 0 {
                    self.record.set_tid(tid);
                }
                match setup.as_ref().map_or(Ok(()), Setup::wait) {
                    Ok(()) => return Ok(self.record),
                    // The thread leaves without running its closure.
                    Err(error) => {
                        wait_until_gone(slot, None);
                        error
                    }
                }
            }
            Err(errno) => {
                slot.clear_tid().store(0, Ordering::Relaxed);
                // SAFETY: no thread came to be: the slot is ours, and so is the thread's reference.
                unsafe {
                    if self.launch {
                        minted = false;
                    } else {
                        Rt::cancel_clone(slot);
                    }
                    drop(ThreadRef::from_raw(thread_record));
                }
                match errno {
                    Errno::EAGAIN | Errno::ENOMEM => diagnosis::clone_error(errno),
                    errno => Error::from_operation(&CLONE, errno),
                }
            }
        };
        Err(Stillborn {
            slot,
            minted,
            error,
        })
    }
}

impl Stillborn {
    /// Returns the slot, from which the closure was taken.
    fn give_back(self) -> Error {
        if self.minted {
            Rt::cache().release(self.slot);
        } else {
            Rt::cache().release_uninit(self.slot);
        }
        self.error
    }
}

/// Whether a thread was ever made that shares less than the others. Relaxed: such a thread, and
/// those it makes, come after the store.
static PRIVATE: AtomicBool = AtomicBool::new(false);

/// Whether the calling thread may have a directory or descriptors of its own.
pub(super) fn may_be_private() -> bool {
    PRIVATE.load(Ordering::Relaxed)
}

static CLONE: Operation = Operation {
    name: "clone3",
    purpose: "make the thread",
    hint: |_| {
        "See clone(2) for this errno; an emulator or a sandbox may refuse to share less than \
         threads usually do."
    },
};

const ABSURD_SIZE: Error = Error::invalid_input(
    "the stack or guard size exceeds every address space",
    "Sizes are in bytes; 2 MiB of stack and one page of guard are usual.",
);

/// Gives the slot that a packet lies in back to the cache.
///
/// # Safety
/// By SLOT-2: the caller is the last of thread and handle.
unsafe fn release_slot(head: *mut Head) {
    // SAFETY: the head is there until the slot is taken again.
    Rt::cache().release(unsafe { super::packet::slot_of(head) });
}

/// Sleeps until the kernel is done with the slot's thread; false if the deadline came first.
pub(super) fn wait_until_gone(slot: Slot, deadline: Option<Deadline>) -> bool {
    let word = slot.clear_tid();
    loop {
        let value = word.load(Ordering::Acquire);
        if value == 0 {
            return true;
        }
        // The kernel's wake is a shared one, and a wake is only a hint to look again.
        if futex::wait(word, value, deadline, Sharing::Shared).is_err() {
            return slot.has_exited();
        }
    }
}

/// A vacant slot with an identity.
pub(super) fn take(stack: usize, guard: usize) -> core::result::Result<Slot, Error> {
    match find(stack, guard)? {
        Acquired::WithTcb(slot) => Ok(slot),
        Acquired::Uninit(slot) => mint(slot),
    }
}

/// A vacant slot.
fn find(stack: usize, guard: usize) -> core::result::Result<Acquired<Tcb>, Error> {
    Rt::cache()
        .acquire(stack, guard)
        .map_err(|errno| match errno {
            Errno::EINVAL => ABSURD_SIZE,
            errno => diagnosis::map_error(errno, slot::mapping_size(stack, guard).unwrap_or(stack)),
        })
}

/// Gives an uninitialised slot an identity.
fn mint(slot: Slot) -> core::result::Result<Slot, Error> {
    // SAFETY: an uninitialised slot with guards, ours alone.
    match unsafe { Rt::create_tcb(slot) } {
        Ok(()) => Ok(slot),
        Err(error) => {
            Rt::cache().release_uninit(slot);
            Err(error)
        }
    }
}
