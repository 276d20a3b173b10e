//! The memory of tasks' packets. A task has no slot of its own to keep its packet in, and the
//! result may stay there while the worker runs another task.
#![allow(unsafe_code, reason = "frees packets by address")]

#[cfg(not(feature = "alloc"))]
use crate::arena::block_alloc;
use crate::diagnosis;
use crate::error::Error;
#[cfg(feature = "alloc")]
use crate::sys::Errno;
use crate::thread::spawn::packet::Packet;

/// Moves a packet into memory that [`dealloc`] frees.
///
/// # Errors
/// There is no memory for it; the closure is dropped.
#[cfg(feature = "alloc")]
pub(super) fn alloc<F, T>(packet: Packet<F, T>) -> Result<*mut Packet<F, T>, Error> {
    let layout = core::alloc::Layout::new::<Packet<F, T>>();
    // SAFETY: a packet has a header, so the size is not 0.
    let place = unsafe { alloc::alloc::alloc(layout) }.cast::<Packet<F, T>>();
    if place.is_null() {
        return Err(diagnosis::map_error(Errno::ENOMEM, layout.size()));
    }
    // SAFETY: as large and aligned as a packet, and this call's alone.
    unsafe { place.write(packet) };
    Ok(place)
}

/// Frees the memory of a packet whose closure or result was moved out or dropped already.
///
/// # Safety
/// It came from [`alloc`](fn@alloc), with these types, and is not used any more.
#[cfg(feature = "alloc")]
pub(super) unsafe fn dealloc<F, T>(packet: *mut Packet<F, T>) {
    // SAFETY: as the contract says.
    drop(unsafe { alloc::boxed::Box::from_raw(packet) });
}

/// A packet and the memory it is in; the packet first, so that both have one address.
#[cfg(not(feature = "alloc"))]
#[repr(C)]
struct PooledPacket<F, T> {
    packet: Packet<F, T>,
    storage: block_alloc::Storage,
}

/// Moves a packet into memory that [`dealloc`] frees: an entry of the arena of blocks, or pages of
/// its own if it is large.
///
/// # Errors
/// There is no memory for it; the closure is dropped.
#[cfg(not(feature = "alloc"))]
pub(super) fn alloc<F: FnOnce() -> T, T>(packet: Packet<F, T>) -> Result<*mut Packet<F, T>, Error> {
    match block_alloc::alloc::<PooledPacket<F, T>>() {
        Ok((place, storage)) => {
            // SAFETY: the block is large and aligned enough, and this call's alone.
            unsafe { place.write(PooledPacket { packet, storage }) };
            Ok(place.as_ptr().cast())
        }
        Err(errno) => {
            drop(packet.into_closure());
            Err(diagnosis::map_error(errno, size_of::<PooledPacket<F, T>>()))
        }
    }
}

/// Frees the memory of a packet whose closure or result was moved out or dropped already.
///
/// # Safety
/// It came from [`alloc`](fn@alloc), with these types, and is not used any more.
#[cfg(not(feature = "alloc"))]
pub(super) unsafe fn dealloc<F, T>(packet: *mut Packet<F, T>) {
    let pooled = packet.cast::<PooledPacket<F, T>>();
    // SAFETY: `alloc` wrote it there; a packet drops nothing by itself.
    unsafe { block_alloc::dealloc((*pooled).storage) };
}
