//! From a request to a kernel thread.
#![allow(unsafe_code, reason = "clones onto memory it prepared")]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering};

use super::entry;
use super::packet::{Packet, PacketHeader, PacketVTable, Result, Start};
use super::setup::{StartupActions, StartupHandshake};
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::{CloneFlags, Preset};
use crate::runtime::record::ThreadRef;
use crate::runtime::{CloneTls, Rt, Runtime, Slot, acquire, current, occupant};
use crate::stack::layout;
use crate::stack::slot::ALIVE;
use crate::sys::futex::{self, Deadline, Sharing};
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, clone};
use crate::thread::builder::{Options, Retry};

/// What every thread shares with its spawner, and what the kernel is to write for it.
const FLAGS: CloneFlags = Preset::RAWTHREAD.flags;

/// A thread that runs.
pub(in crate::thread) struct RawHandle<T> {
    pub(in crate::thread) record: ThreadRef,
    /// Of the packet, in the slot or on the heap.
    pub(in crate::thread) head: NonNull<PacketHeader>,
    /// In the packet.
    pub(in crate::thread) result: NonNull<Result<T>>,
}

/// Makes a thread that runs `closure`.
///
/// Everything that can fail happens here, in the spawner, or is reported here before the closure
/// runs.
///
/// # Errors
/// See [`crate::thread::Builder::spawn`]. The closure is dropped; nothing else remains.
///
/// # Safety
/// Whatever the closure and its result borrow must outlive the thread and its result.
pub(in crate::thread) unsafe fn spawn<F, T>(
    options: Options<'_>,
    closure: F,
) -> core::result::Result<RawHandle<T>, Error>
where
    F: FnOnce() -> T,
{
    let prepared = PreparedThread::new(options, Packet::<F, T>::VTABLE)?;
    let packet = prepared.head.as_ptr().cast::<Packet<F, T>>();
    // SAFETY: the place is for a packet of this kind, and nobody else knows it yet.
    unsafe { Packet::write_closure(packet, closure) };
    let head = prepared.head;
    // SAFETY: the packet is complete, and the caller vouches for the closure.
    match unsafe { prepared.start() } {
        Ok(record) => Ok(RawHandle {
            record,
            head,
            // SAFETY: an address inside the packet is not null.
            result: unsafe { NonNull::new_unchecked(Packet::result(packet)) },
        }),
        Err(failed) => {
            // SAFETY: no thread runs on the slot and none took the closure.
            let closure = unsafe { Packet::take_closure(packet) };
            let error = failed.release();
            drop(closure);
            Err(error)
        }
    }
}

/// A thread that has everything but its closure and its life.
struct PreparedThread<'a> {
    slot: Slot,
    /// Whether the runtime makes the thread, because the slot has no identity yet.
    on_donor: bool,
    record: ThreadRef,
    head: NonNull<PacketHeader>,
    /// Lowest address for frames.
    low: usize,
    words: CloneTls,
    unshared: CloneFlags,
    retry: Retry,
    actions: &'a mut StartupActions,
}

/// A thread that did not come to be.
struct FailedSpawn {
    slot: Slot,
    has_tcb: bool,
    error: Error,
}

impl<'a> PreparedThread<'a> {
    /// Takes a record and a slot, and prepares both for a packet of this kind.
    fn new(
        options: Options<'a>,
        vtable: &'static PacketVTable,
    ) -> core::result::Result<Self, Error> {
        Rt::ensure_init()?;
        let comm = options.name.comm();
        let record = ThreadRef::new(options.name)?;
        let room = options
            .stack_size
            .checked_add(vtable.size + vtable.align)
            .and_then(|bytes| bytes.checked_add(Rt::tcb_reserve()))
            .ok_or(SIZE_OVERFLOW)?;
        let align = vtable.align.max(16);
        let fits_donor = Rt::INLINE_PACKET_MAX.is_some_and(|room| vtable.size + align <= room)
            && options.unshared.is_empty()
            && options.stack.is_none();
        let (slot, on_donor) =
            acquire::acquire_slot_to_run(room, options.guard_size, SIZE_OVERFLOW, || {
                fits_donor && Rt::can_create_and_run()
            })?;
        if !options.unshared.is_empty() {
            UNSHARED_EXISTS.store(true, Ordering::Relaxed);
        }
        // The thread's own reference.
        let thread_record = record.clone().into_raw();
        occupant::set_slot(&record, slot);
        // SAFETY: made just now.
        occupant::set_occupant(slot, unsafe { occupant::record_at(thread_record) });

        let (stack, len) = slot.region().stack();
        let stack = stack as usize;
        let words = if on_donor {
            CloneTls {
                stack_top: stack + len,
                ..CloneTls::default()
            }
        } else {
            // SAFETY: the slot is ours alone, vacant, and with a TCB.
            unsafe { Rt::prepare_clone(slot) }
        };
        let head = match layout::align_below(words.stack_top, vtable.size, align) {
            Some(packet) if packet > stack => packet as *mut PacketHeader,
            _ => unreachable!("the slot was chosen to hold the packet"),
        };
        if let Some((low, len)) = options.stack {
            // SAFETY: as above; `learn_of_own_stacks` said that it can be done.
            unsafe { Rt::set_stack(slot, low, low + len) };
        }
        let start = Start {
            release: match options.stack {
                None => release_slot,
                Some(_) => release_slot_and_stack,
            },
            setup: ptr::null(),
            mask: options.mask,
            comm,
            observer: options.observer,
        };
        // SAFETY: the place lies in the slot's stack, above every frame of the thread to come; a
        // packet begins with its head.
        unsafe { head.write(PacketHeader::new(Some(slot), thread_record, vtable, start)) };

        let (low, top) = match options.stack {
            None => (stack, head as usize),
            Some((low, len)) => (low, (low + len) & !0xf),
        };
        record.set_stack(low, top);
        Ok(Self {
            slot,
            on_donor,
            record,
            // SAFETY: above `stack`, so not null.
            head: unsafe { NonNull::new_unchecked(head) },
            low,
            words: CloneTls {
                stack_top: top,
                ..words
            },
            unshared: options.unshared,
            retry: options.retry,
            actions: options.actions,
        })
    }

    /// Makes the kernel thread; waits until it has reported, if there is something to report.
    ///
    /// # Safety
    /// The packet has its closure, for which [`spawn`]'s contract holds.
    unsafe fn start(self) -> core::result::Result<ThreadRef, FailedSpawn> {
        let (slot, head) = (self.slot, self.head.as_ptr());
        let setup = StartupHandshake::new(self.actions);
        // SAFETY: there is no thread yet that could use the head.
        let (mask, thread_record) = unsafe {
            // The thread uses the set-up while this frame waits for its report.
            (*head).setup = setup.as_ref().map_or(ptr::null(), |setup| {
                ptr::from_ref(setup).cast::<StartupHandshake<'static>>()
            });
            ((*head).mask, (*head).record)
        };
        slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        let request = clone::CloneArgs {
            flags: FLAGS.difference(self.unshared).bits(),
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
        // `entry::thread_main` takes the packet; the words outlive the thread by SLOT-3 and TCB-2.
        let cloned = self.retry.run(|| unsafe {
            if self.on_donor {
                Rt::create_and_run(slot, entry::donor_thread_main, head.cast())
            } else {
                clone::clone_onto_stack(&request, entry::thread_main, head.cast())
            }
        });
        if let Some(mask) = old_mask {
            signal::set_mask(mask);
        }
        let mut has_tcb = true;
        let error = match cloned {
            Ok(tid) => {
                // 0: a thread on a donor that has already left, and told its tid before.
                if tid != 0 {
                    self.record.set_tid(tid);
                }
                match setup.as_ref().map_or(Ok(()), StartupHandshake::wait) {
                    Ok(()) => return Ok(self.record),
                    // The thread leaves without running its closure.
                    Err(error) => {
                        wait_for_exit(slot, None);
                        error
                    }
                }
            }
            Err(errno) => {
                slot.clear_tid().store(0, Ordering::Relaxed);
                // SAFETY: no thread came to be: the slot is ours, and so is the thread's reference.
                unsafe {
                    if self.on_donor {
                        has_tcb = false;
                    } else {
                        Rt::cancel_clone(slot);
                    }
                    drop(ThreadRef::from_raw(thread_record));
                }
                match errno {
                    Errno::EAGAIN | Errno::ENOMEM => diagnosis::clone_error(errno),
                    errno => {
                        let operation = if self.on_donor { &LAUNCH } else { &CLONE };
                        diagnosis::refused(CloneFlags::from_bits_retain(request.flags), errno)
                            .unwrap_or(Error::from_operation(operation, errno))
                    }
                }
            }
        };
        Err(FailedSpawn {
            slot,
            has_tcb,
            error,
        })
    }
}

impl FailedSpawn {
    /// Returns the slot, from which the closure was taken.
    fn release(self) -> Error {
        if self.has_tcb && Rt::is_lost(self.slot) {
            occupant::clear_occupant(self.slot);
        } else if self.has_tcb {
            // SAFETY: no thread came to be, or it is gone: the slot is ours.
            unsafe { Rt::restore_stack(self.slot) };
            Rt::cache().release(self.slot);
        } else {
            Rt::cache().release_uninit(self.slot);
        }
        self.error
    }
}

/// Whether a thread was ever made that shares less than the others. Relaxed: such a thread, and
/// those it makes, come after the store.
static UNSHARED_EXISTS: AtomicBool = AtomicBool::new(false);

/// Whether the calling thread may have a directory or descriptors of its own.
pub(in crate::thread) fn may_be_unshared() -> bool {
    UNSHARED_EXISTS.load(Ordering::Relaxed)
}

static CLONE: Operation = Operation {
    name: "clone3",
    purpose: "make the thread",
    hint: |_| {
        "See clone(2) for this errno; an emulator or a sandbox may refuse to share less than \
         threads usually do."
    },
};

static LAUNCH: Operation = Operation {
    name: "pthread_create",
    purpose: "have libc make the first thread on its memory",
    hint: |_| "See pthread_create(3), and clone(2) if a sandbox or an emulator is in force.",
};

pub(in crate::thread) const SIZE_OVERFLOW: Error = Error::invalid_input(
    "the stack or guard size exceeds every address space",
    "Sizes are in bytes; 2 MiB of stack and one page of guard are usual.",
);

/// Gives the slot that a packet lies in back to the cache.
///
/// # Safety
/// By SLOT-2: the caller is the last of thread and handle.
unsafe fn release_slot(head: *mut PacketHeader) {
    // SAFETY: the head is there until the slot is taken again.
    let slot = unsafe { super::packet::slot_of(head) };
    Rt::put_used(slot);
}

/// As [`release_slot`], for a thread that stood on memory of its spawner's own.
///
/// # Safety
/// As [`release_slot`].
unsafe fn release_slot_and_stack(head: *mut PacketHeader) {
    // SAFETY: the thread has left, and has no step to do but its exit.
    unsafe {
        Rt::restore_stack(super::packet::slot_of(head));
        release_slot(head);
    }
}

/// Whether threads can stand on memory of the caller's own, so that everyone who asks about their
/// stack is told the truth. A thread finds out, once.
///
/// # Errors
/// `Unsupported` if not, or why no thread could be made.
pub(in crate::thread) fn learn_of_own_stacks() -> core::result::Result<(), Error> {
    Rt::ensure_init()?;
    if Rt::can_set_stack().is_none() {
        let learn = || {
            // SAFETY: the slot of the calling thread, which has no other stack; the runtime's type.
            unsafe {
                if let Some(slot) = occupant::slot_of(&current::current()) {
                    Rt::learn_to_set_stack(slot);
                }
            }
        };
        // Joined by its handle, whatever comes of it.
        let _ = crate::thread::Builder::new()
            .stack_size(64 * 1024)
            .spawn(learn)?
            .join();
    }
    match Rt::can_set_stack() {
        Some(true) => Ok(()),
        _ => Err(Error::unsupported(
            "this libc's word of where a thread's stack lies is not found, so pthread_getattr_np \
             would tell garbage collectors and stack checks of another stack",
            "Leave Builder::stack out: stack_size sets how much memory of this crate's there is.",
            None,
        )),
    }
}

/// Sleeps until the kernel is done with the slot's thread; false if the deadline came first.
pub(in crate::thread) fn wait_for_exit(slot: Slot, deadline: Option<Deadline>) -> bool {
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
