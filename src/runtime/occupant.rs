//! Which record belongs to the thread on a slot, and which slot to the thread of a record.
//!
//! A slot lies in a layer below records, and a record does not know the type of the runtime's TCB:
//! each has the other's address without its type. This file alone writes and reads those two.
//!
//! * OCCUPANT-1: A slot's address of a record is null or a record's, which is permanent memory.
//! * OCCUPANT-2: A record's address of a slot is null or a slot's of the cache that the process's one
//!   runtime has, whose control words are permanent memory.
#![allow(unsafe_code, reason = "gives two erased addresses their types back")]

use core::ptr;

use super::record::ThreadInner;
use crate::arena::{ArenaEntry, Zeroable};
use crate::stack::slot::{Slot, SlotRef};

/// Says whose thread runs on the slot, for the report of a stack overflow.
pub(crate) fn set_occupant<T: Zeroable>(slot: SlotRef<T>, record: &'static ThreadInner) {
    slot.set_current_record(ptr::from_ref(record).cast_mut().cast());
}

/// Says that no thread's overflow on this slot is to be reported.
pub(crate) fn clear_occupant<T: Zeroable>(slot: SlotRef<T>) {
    slot.set_current_record(ptr::null_mut());
}

/// The record of the thread that runs on the slot; `None` for an idle one.
pub(crate) fn occupant<T: Zeroable>(slot: SlotRef<T>) -> Option<&'static ThreadInner> {
    // SAFETY: OCCUPANT-1.
    unsafe { slot.current_record().cast::<ThreadInner>().as_ref() }
}

/// Says on which slot the record's thread runs.
pub(crate) fn set_slot<T: Zeroable>(record: &ThreadInner, slot: SlotRef<T>) {
    record.set_slot(ptr::from_ref(slot).cast_mut().cast());
}

/// The slot on which the record's thread runs; `None` for a thread that this crate did not make.
///
/// # Safety
/// `T` is what the process's runtime keeps on each slot.
pub(crate) unsafe fn slot_of<T: Zeroable>(record: &ThreadInner) -> Option<SlotRef<T>> {
    // SAFETY: OCCUPANT-2; the type by the contract.
    unsafe {
        record
            .slot()
            .cast_const()
            .cast::<ArenaEntry<Slot<T>>>()
            .as_ref()
    }
}
