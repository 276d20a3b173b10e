//! From a request to a kernel thread.
#![allow(unsafe_code, reason = "clones onto memory it prepared")]

use core::ptr::NonNull;

use super::builder::Options;
use super::entry;
use super::packet::{Packet, Result};
use crate::error::Error;
use crate::flags::CloneFlags;
use crate::runtime::record::Shared;
use crate::runtime::{Current, Runtime, Slot};
use crate::stack::layout;
use crate::stack::slot::{OCCUPIED, Taken};
use crate::sys::{Errno, clone};

/// What every thread shares with its spawner, and what the kernel is to write for it: the set of
/// NPTL and of Go's runtime.
const FLAGS: CloneFlags = CloneFlags::VM
    .union(CloneFlags::FS)
    .union(CloneFlags::FILES)
    .union(CloneFlags::SIGHAND)
    .union(CloneFlags::THREAD)
    .union(CloneFlags::SYSVSEM)
    .union(CloneFlags::SETTLS)
    .union(CloneFlags::PARENT_SETTID)
    .union(CloneFlags::CHILD_CLEARTID);

/// A thread that runs.
pub(super) struct Spawned<T> {
    pub(super) record: Shared,
    pub(super) slot: Slot,
    /// In the slot's packet.
    pub(super) result: NonNull<Result<T>>,
}

/// Makes a thread that runs `closure`.
///
/// Everything that can fail happens here, in the spawner; the thread itself cannot fail any more.
///
/// # Errors
/// See [`super::Builder::spawn`]. The closure is dropped; nothing else remains.
///
/// # Safety
/// Whatever the closure and its result borrow must outlive the thread and its result.
pub(super) unsafe fn spawn<F, T>(
    options: Options,
    closure: F,
) -> core::result::Result<Spawned<T>, Error>
where
    F: FnOnce() -> T,
{
    Current::ready()?;
    let comm = options.name.comm();
    let record = Shared::new(options.name)?;
    let room = options
        .stack_size
        .checked_add(size_of::<Packet<F, T>>() + align_of::<Packet<F, T>>())
        .and_then(|bytes| bytes.checked_add(Current::headroom()))
        .ok_or(ABSURD_SIZE)?;
    let slot = take(room, options.guard_size)?;
    // The thread's own reference.
    let thread_record = record.clone().into_raw();
    let slot_address = core::ptr::from_ref(slot).cast_mut().cast();
    record.set_slot(slot_address);
    slot.set_occupant(thread_record);

    // SAFETY: the slot is ours alone, vacant, and minted.
    let words = unsafe { Current::prepare(slot) };
    let (stack, _) = slot.region().stack();
    let packet = layout::place_below(
        words.stack_top,
        size_of::<Packet<F, T>>(),
        align_of::<Packet<F, T>>().max(16),
    );
    let Some(packet) = packet.filter(|packet| *packet > stack as usize) else {
        unreachable!("the slot was chosen to hold the packet");
    };
    let packet = packet as *mut Packet<F, T>;
    // SAFETY: the place lies in the slot's stack, above every frame of the thread to come.
    unsafe { packet.write(Packet::new(slot, thread_record, comm, closure)) };

    slot.clear_tid()
        .store(OCCUPIED, core::sync::atomic::Ordering::Relaxed);
    let request = clone::Request {
        flags: FLAGS.bits(),
        stack: stack as usize,
        stack_size: packet as usize - stack as usize,
        tls: words.tls,
        parent_tid: words.parent_tid,
        child_tid: slot.clear_tid().as_ptr() as usize,
        ..clone::Request::default()
    };
    // SAFETY: the stack is the slot's below the packet, aligned as the packet is; `entry::thread`
    // takes the packet; the words outlive the thread by S3 and I2.
    let cloned = options
        .retry
        .run(|| unsafe { clone::clone_call(&request, entry::thread, packet.cast()) });
    match cloned {
        Ok(tid) => {
            record.set_tid(tid);
            // SAFETY: inside the packet, so not null.
            let result = unsafe { NonNull::new_unchecked(Packet::result(packet)) };
            Ok(Spawned {
                record,
                slot,
                result,
            })
        }
        Err(errno) => {
            slot.clear_tid()
                .store(0, core::sync::atomic::Ordering::Relaxed);
            // SAFETY: no thread came to be: the packet is as written, the slot ours.
            let closure = unsafe {
                Current::abandon(slot);
                drop(Shared::from_raw(thread_record));
                packet.read().into_closure()
            };
            Current::cache().put(slot);
            drop(closure);
            Err(crate::runtime::limits::task(errno))
        }
    }
}

const ABSURD_SIZE: Error = Error::invalid_input(
    "the stack or guard size exceeds every address space",
    "Sizes are in bytes; 2 MiB of stack and one page of guard are usual.",
);

/// A vacant slot with an identity.
fn take(stack: usize, guard: usize) -> core::result::Result<Slot, Error> {
    let taken = Current::cache()
        .take(stack, guard)
        .map_err(|errno| match errno {
            Errno::EINVAL => ABSURD_SIZE,
            errno => crate::runtime::limits::memory(errno),
        })?;
    match taken {
        Taken::Ready(slot) => Ok(slot),
        Taken::Blank(slot) => {
            // SAFETY: a blank slot with guards, ours alone.
            match unsafe { Current::mint(slot) } {
                Ok(()) => Ok(slot),
                Err(error) => {
                    Current::cache().put_blank(slot);
                    Err(error)
                }
            }
        }
    }
}
