//! Takes a slot and a record, writes the packet, and has the kernel make the thread.
#![allow(unsafe_code, reason = "clones onto memory it prepared")]

use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use super::config::{Options, Retry};
use super::hooks::ChildHooks;
use super::packet::{Packet, PacketHeader, PacketVTable};
use super::raw_handle::{RawHandle, wait_for_exit};
use super::setup::{StartupActions, StartupHandshake};
use super::{dedicated, entry};
use crate::diagnosis;
use crate::error::{Error, Operation};
use crate::flags::{CloneFlags, Preset};
use crate::runtime::acquire::WaitingSlot;
use crate::runtime::record::ThreadRef;
use crate::runtime::{CloneTls, LibcThread, Rt, Runtime, Slot, acquire, occupant};
use crate::stack::layout;
use crate::stack::slot::ALIVE;
use crate::sys::signal::{self, SigSet};
use crate::sys::{Errno, clone};
use crate::thread::join::exit_observer::ExitObserver;

/// What every thread shares with its spawner, and what the kernel is to write for it.
const FLAGS: CloneFlags = Preset::RAWTHREAD.flags;

/// Spawns a thread that runs `closure`.
///
/// Everything that can fail happens here, in the spawner, or is reported here before the closure
/// runs.
///
/// # Errors
/// See [`crate::thread::Builder::try_spawn`]. The closure is dropped; nothing else remains.
///
/// # Safety
/// Whatever the closure and its result borrow must outlive the thread and its result, and a scope in the
/// options the thread.
pub(in crate::thread) unsafe fn spawn<F, T>(
    options: Options<'_>,
    closure: F,
) -> core::result::Result<RawHandle<T>, Error>
where
    F: FnOnce() -> T,
{
    let with_hooks = move |hooks: ChildHooks| hooks.before(closure);
    let mut prepared = PreparedThread::new(options, vtable_of(&with_hooks))?;
    let closure = with_hooks(mem::replace(&mut prepared.hooks, ChildHooks::NONE));
    // SAFETY: passed on.
    unsafe { spawn_prepared(prepared, closure) }
}

/// The operations of a packet for the closure that `with_hooks` returns.
fn vtable_of<W, F, T>(_with_hooks: &W) -> &'static PacketVTable
where
    W: FnOnce(ChildHooks) -> F,
    F: FnOnce() -> T,
{
    Packet::<F, T>::VTABLE
}

/// Spawns a thread that was prepared for this closure.
///
/// # Errors
/// As [`spawn`].
///
/// # Safety
/// As [`spawn`]; the packet has this closure's type.
unsafe fn spawn_prepared<F, T>(
    prepared: PreparedThread<'_>,
    closure: F,
) -> core::result::Result<RawHandle<T>, Error>
where
    F: FnOnce() -> T,
{
    let head = prepared.head;
    let packet = head.as_ptr().cast::<Packet<F, T>>();
    // SAFETY: the memory is for a packet of this type, and no thread knows it yet.
    unsafe { Packet::write_closure(packet, closure) };
    // SAFETY: the closure is there, and the caller vouches for it.
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

/// A thread that lacks only its packet and the call of clone.
struct PreparedThread<'a> {
    slot: Slot,
    maker: Maker,
    record: ThreadRef,
    /// The thread's own reference.
    thread_record: ThreadRef,
    /// Where the packet will be.
    head: NonNull<PacketHeader>,
    vtable: &'static PacketVTable,
    /// Lowest address for frames.
    low: usize,
    tls: CloneTls,
    /// Whether the frames have memory of the caller's own.
    on_caller_stack: bool,
    /// As [`Options::flags`].
    flags: CloneFlags,
    cgroup: i32,
    refusal: Option<&'static Operation>,
    retry: Retry,
    comm: Option<[u8; 16]>,
    /// What the closure runs first.
    hooks: ChildHooks,
    mask: Option<SigSet>,
    actions: &'a mut StartupActions,
    observer: ExitObserver,
}

/// What makes the kernel thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Maker {
    /// clone, on the slot's TCB.
    Clone,
    /// The runtime, because the slot has no TCB yet.
    Donor,
    /// libc, and it ends it.
    Libc,
}

/// What is left of a thread that could not be made.
struct FailedSpawn {
    slot: Slot,
    has_tcb: bool,
    error: Error,
}

impl<'a> PreparedThread<'a> {
    /// Takes a record and a slot, and prepares both for a packet of this type.
    fn new(
        options: Options<'a>,
        vtable: &'static PacketVTable,
    ) -> core::result::Result<Self, Error> {
        let align = vtable.align.max(16);
        let fits_donor = Rt::INLINE_PACKET_MAX.is_some_and(|max| vtable.size + align <= max)
            && options.flags.is_empty()
            && options.stack.is_none();
        // No code of the program runs while a thread waits for this one.
        let mut waiting = if fits_donor && !ChildHooks::may_run() {
            WaitingSlot::find()?
        } else {
            WaitingSlot::none()?
        };
        let comm = options.name.comm();
        let record = ThreadRef::new(options.name)?;
        // A hook may panic: no slot is taken yet.
        let hooks = ChildHooks::run(options.hooks, &record)?;
        let stack_size = options
            .stack_size
            .checked_add(vtable.size + vtable.align)
            .and_then(|bytes| bytes.checked_add(Rt::tcb_reserve()))
            .ok_or(SIZE_OVERFLOW)?;
        let by_libc = Rt::is_served_by_libc();
        if let (true, Some(refusal)) = (by_libc, options.refusal) {
            return Err(Error::from_operation(refusal, Errno::ENOSYS));
        }
        if by_libc && !options.flags.is_empty() {
            options.actions.set_unshared(options.flags);
        }
        let (slot, has_no_tcb) = match waiting.take(stack_size, options.guard_size) {
            Some(slot) => (slot, true),
            None => {
                acquire::acquire_slot_to_run(stack_size, options.guard_size, SIZE_OVERFLOW, || {
                    by_libc || (fits_donor && Rt::can_create_and_run())
                })?
            }
        };
        let maker = match (by_libc, has_no_tcb) {
            (true, _) => Maker::Libc,
            (false, true) => Maker::Donor,
            (false, false) => Maker::Clone,
        };
        if options
            .flags
            .intersects(CloneFlags::FS.union(CloneFlags::FILES))
        {
            UNSHARED_EXISTS.store(true, Ordering::Relaxed);
        }
        let thread_record = record.clone();
        occupant::set_slot(&record, slot);
        occupant::set_occupant(slot, thread_record.inner());

        let (stack, len) = slot.region().stack();
        let stack = stack as usize;
        let tls = if maker != Maker::Clone {
            CloneTls {
                stack_top: stack + len,
                ..CloneTls::default()
            }
        } else {
            // SAFETY: the slot is ours alone, vacant, and with a TCB.
            unsafe { Rt::prepare_clone(slot) }
        };
        let head = match layout::align_below(tls.stack_top, vtable.size, align) {
            Some(packet) if packet > stack => packet as *mut PacketHeader,
            _ => unreachable!("the slot was chosen to hold the packet"),
        };
        if let (Some((low, len)), false) = (options.stack, by_libc) {
            // SAFETY: as above; `caller_stack::ensure_supported` found that it can be done.
            unsafe { Rt::set_stack(slot, low, low + len) };
        }
        let (low, top) = match options.stack {
            None => (stack, head as usize),
            Some((low, len)) => (low, (low + len) & !0xf),
        };
        record.set_stack(low, top);
        Ok(Self {
            slot,
            maker,
            record,
            thread_record,
            // SAFETY: above `stack`, so not null.
            head: unsafe { NonNull::new_unchecked(head) },
            vtable,
            low,
            tls: CloneTls {
                stack_top: top,
                ..tls
            },
            on_caller_stack: options.stack.is_some(),
            flags: options.flags,
            cgroup: options.cgroup,
            refusal: options.refusal,
            retry: options.retry,
            comm,
            hooks,
            mask: options.mask,
            actions: options.actions,
            observer: options.observer,
        })
    }

    /// Writes the packet's header and makes the kernel thread; waits for its report, if there are
    /// startup actions.
    ///
    /// # Safety
    /// The packet has its closure, for which [`spawn`]'s contract holds.
    unsafe fn start(self) -> core::result::Result<ThreadRef, FailedSpawn> {
        let (slot, head, mask) = (self.slot, self.head, self.mask);
        let startup = StartupHandshake::new(self.actions);
        let ops = if self.on_caller_stack {
            &dedicated::ON_CALLER_STACK
        } else {
            &dedicated::ON_SLOT
        };
        let mut header = PacketHeader::new(Some(slot), self.thread_record, self.vtable, ops);
        // The thread uses the handshake while this frame waits for its report (PACKET-3).
        header.startup = startup
            .as_ref()
            .map(|startup| NonNull::from(startup).cast());
        header.mask = mask;
        header.comm = self.comm;
        header.observer = self.observer;
        // SAFETY: by [`spawn`]'s contract.
        let counted = unsafe { self.observer.count() };
        header.process = counted.process;
        // SAFETY: the memory lies in the slot's stack, above every frame of the thread to come; a
        // packet begins with its header.
        unsafe { head.write(header) };
        slot.clear_tid().store(ALIVE, Ordering::Relaxed);
        let request = clone::CloneArgs {
            flags: FLAGS.symmetric_difference(self.flags).bits(),
            // The kernel refuses what is no positive number of 31 bits.
            cgroup: self.cgroup as u64,
            stack: self.low,
            stack_size: self.tls.stack_top - self.low,
            tls: self.tls.tls,
            parent_tid: self.tls.parent_tid,
            child_tid: slot.clear_tid().as_ptr() as usize,
            ..clone::CloneArgs::default()
        };
        // A signal that the thread is to have masked must not slip in before it does so.
        let old_mask = mask.map(|_| signal::block(SigSet::all_but_libc()));
        // SAFETY: the stack is the slot's below the packet, or the caller's own by contract;
        // `entry::thread_main` takes the packet; the words lie in the arena (SLOT-3) and
        // in the TCB (TCB-2, OWNTCB-1), which outlive the thread.
        let cloned = self.retry.run(|| unsafe {
            let argument = head.as_ptr().cast();
            if counted.is_of_parent() {
                return Err(Errno::ECANCELED); // the slot is the parent's, too
            }
            match self.maker {
                Maker::Clone => clone::clone_onto_stack(&request, entry::thread_main, argument),
                Maker::Donor => Rt::create_and_run(slot, entry::donor_thread_main, argument),
                Maker::Libc => {
                    let thread = LibcThread {
                        main: entry::libc_thread_main,
                        end: entry::libc_thread_end,
                        argument,
                    };
                    let stack = (request.stack, request.stack_size);
                    Rt::create_libc_thread(slot, stack, thread)
                }
            }
        });
        if let Some(mask) = old_mask {
            signal::set_mask(mask);
        }
        let mut has_tcb = true;
        let error = match cloned {
            Ok(tid) => {
                // 0: a thread on a donor, or of libc's, that has already exited, and stored its tid before.
                if tid != 0 {
                    self.record.set_tid(tid);
                }
                match startup.as_ref().map_or(Ok(()), StartupHandshake::wait) {
                    Ok(()) => {
                        counted.made(&self.record);
                        return Ok(self.record);
                    }
                    // The thread exits without running its closure.
                    Err(error) => {
                        // SAFETY: its spawner, and there is no handle.
                        unsafe { wait_for_exit(slot, None) };
                        error
                    }
                }
            }
            Err(errno) => {
                slot.clear_tid().store(0, Ordering::Relaxed);
                // SAFETY: no thread was made: the slot is ours, and so is the thread's reference.
                unsafe {
                    if self.maker == Maker::Clone {
                        Rt::cancel_clone(slot);
                    } else {
                        has_tcb = false;
                    }
                    drop(head.as_ref().take_record());
                }
                match errno {
                    Errno::EAGAIN | Errno::ENOMEM if self.maker == Maker::Clone => {
                        diagnosis::clone_error(errno)
                    }
                    Errno::EAGAIN | Errno::ENOMEM => diagnosis::pthread_error(errno),
                    Errno::ECANCELED => Error::from_operation(&FORK, Errno::EAGAIN),
                    errno => {
                        let operation = match self.maker {
                            Maker::Clone => self.refusal.unwrap_or(&CLONE),
                            Maker::Donor | Maker::Libc => &PTHREAD_CREATE,
                        };
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
            // SAFETY: no thread was made, or it has exited: the slot is ours.
            unsafe { Rt::restore_stack(self.slot) };
            Rt::cache().put_idle(self.slot);
        } else {
            Rt::cache().put_uninit(self.slot);
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

static FORK: Operation = Operation {
    name: "fork",
    purpose: "make the thread in the child that a signal handler forked amid the spawn",
    hint: |_| "Spawn it again.",
};

static PTHREAD_CREATE: Operation = Operation {
    name: "pthread_create",
    purpose: "have libc make the thread",
    hint: |_| "See pthread_create(3), and clone(2) if a sandbox or an emulator is in force.",
};

pub(in crate::thread) const SIZE_OVERFLOW: Error = Error::invalid_input(
    "the stack or guard size exceeds every address space",
    "Sizes are in bytes; 2 MiB of stack and one page of guard are usual.",
);
