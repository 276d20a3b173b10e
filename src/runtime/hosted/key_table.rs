//! libc's table of the destructors of pthread keys.
#![allow(unsafe_code, reason = "reads libc's writable memory")]

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::modules;

pub(super) type Destructor = unsafe extern "C" fn(*mut c_void);

/// Where libc keeps the destructors of its keys, found by looking.
///
/// In glibc the table is of pairs (sequence number, destructor), 16 bytes; a key that was never
/// created has number 0, and keys are given lowest first, so the first such entry ends the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTable {
    /// Address of key 0's destructor.
    base: usize,
    pub(super) stride: usize,
}

impl KeyTable {
    /// Creates three keys with destructors of ours and looks for them in libc's writable memory.
    pub(super) fn find() -> Option<Self> {
        let probes: [Destructor; 3] = [probe::<0>, probe::<1>, probe::<2>];
        let mut keys = [0 as libc::pthread_key_t; 3];
        let mut made = 0;
        for (key, destructor) in keys.iter_mut().zip(probes) {
            // SAFETY: a plain key; deleted below.
            if unsafe { libc::pthread_key_create(key, Some(destructor)) } != 0 {
                break;
            }
            made += 1;
        }
        let found = if made == 3 {
            Self::search(&keys, &probes)
        } else {
            None
        };
        for key in &keys[..made] {
            // SAFETY: created above, no thread has a value for it.
            unsafe { libc::pthread_key_delete(*key) };
        }
        found
    }

    fn search(keys: &[libc::pthread_key_t; 3], probes: &[Destructor; 3]) -> Option<Self> {
        let mut found = None;
        modules::for_each_libc_data_segment(|start, end| {
            for stride in [8usize, 16] {
                let offset = |index: usize| keys[index] as usize * stride;
                // Where key 0's destructor would lie if `address` were the first probe's.
                let span =
                    (0..3).map(offset).max().unwrap_or(0) - offset(0).min(offset(1)).min(offset(2));
                let mut address = start.next_multiple_of(8);
                while address + span + 8 <= end && found.is_none() {
                    let base = address.wrapping_sub(offset(0));
                    let hit = (0..3).all(|index| {
                        let place = base.wrapping_add(offset(index));
                        // SAFETY: only addresses inside the segment are read.
                        place >= start
                            && place + 8 <= end
                            && unsafe { ptr::read_volatile(place as *const usize) }
                                == probes[index] as usize
                    });
                    if hit {
                        found = Some(Self { base, stride });
                    }
                    address += 8;
                }
            }
        });
        found
    }

    pub(super) fn destructor(self, key: u32) -> Option<Destructor> {
        let place = (self.base + key as usize * self.stride) as *const AtomicUsize;
        // SAFETY: the table has PTHREAD_KEYS_MAX entries, and holds null or a destructor. Atomic,
        // for other threads may create keys meanwhile.
        unsafe {
            let address = (*place).load(Ordering::Acquire);
            core::mem::transmute::<usize, Option<Destructor>>(address)
        }
    }

    /// Whether no key from this one on was ever created.
    pub(super) fn is_past_end(self, key: u32) -> bool {
        if self.stride != 16 {
            return false;
        }
        let place = (self.base + key as usize * self.stride - 8) as *const AtomicUsize;
        // SAFETY: the entry's first word is its sequence number.
        unsafe { (*place).load(Ordering::Acquire) == 0 }
    }
}

/// The probes must not be folded into one function, or there would be but one address.
unsafe extern "C" fn probe<const N: usize>(value: *mut c_void) {
    core::hint::black_box((N, value));
}
