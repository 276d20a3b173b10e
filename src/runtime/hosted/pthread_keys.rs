//! pthread keys: the destructors libc would run at a thread's end, and the key that remembers the
//! calling thread's record.
#![allow(unsafe_code, reason = "calls destructors that C code registered")]

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use super::{libc_layout, pin};
use crate::error::{Error, Operation};
use crate::sys::Errno;

type Destructor = unsafe extern "C" fn(*mut c_void);

/// Where libc keeps the destructors of its keys, found by looking.
///
/// In glibc the table is of pairs (sequence number, destructor), 16 bytes; a key that was never
/// created has number 0, and keys are given lowest first, so the first such entry ends the search.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyTable {
    /// Address of key 0's destructor.
    base: usize,
    stride: usize,
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
        super::tls_reset::for_each_libc_data_segment(|start, end| {
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

    fn destructor(self, key: u32) -> Option<Destructor> {
        let place = (self.base + key as usize * self.stride) as *const AtomicUsize;
        // SAFETY: the table has PTHREAD_KEYS_MAX entries, and holds null or a destructor. Atomic,
        // for other threads may create keys meanwhile.
        unsafe {
            let address = (*place).load(Ordering::Acquire);
            core::mem::transmute::<usize, Option<Destructor>>(address)
        }
    }

    /// Whether no key from this one on was ever created.
    fn is_past_end(self, key: u32) -> bool {
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

/// PTHREAD_KEYS_MAX of glibc; musl has 128, all of which lie in its table.
const KEYS_MAX_GLIBC: u32 = 1024;
const KEYS_MAX_OTHER: u32 = 128;
/// PTHREAD_DESTRUCTOR_ITERATIONS.
pub(super) const ROUNDS: usize = 4;

/// Runs the destructors of the values that the calling thread's keys have now; whether there were
/// any. Values that the destructors set are for the next round.
///
/// # Safety
/// The thread's closure has ended.
pub(super) unsafe fn run_destructors() -> bool {
    let Some(table) = libc_layout::try_get().and_then(|host| host.layout.keys) else {
        return false;
    };
    let mut any = false;
    drain_values(Some(table), |key, value| {
        if let Some(destructor) = table.destructor(key) {
            // SAFETY: the one that was registered for such values.
            unsafe { destructor(value) };
            any = true;
        }
    });
    any
}

/// Leaves the calling thread without values, as a new thread is: what destructors set in their
/// last round, or nobody destroyed, is lost as it is at a pthread's end.
pub(super) fn reset() {
    drain_values(
        libc_layout::try_get().and_then(|host| host.layout.keys),
        |_, _| (),
    );
    set_current(ptr::null_mut());
}

/// Sets every value of the calling thread but its record to null and hands it to `on_value`.
fn drain_values(table: Option<KeyTable>, mut on_value: impl FnMut(u32, *mut c_void)) {
    let record_key = RECORD_KEY.load(Ordering::Relaxed);
    let max = match table {
        Some(KeyTable { stride: 16, .. }) => KEYS_MAX_GLIBC,
        _ => KEYS_MAX_OTHER,
    };
    for key in (0..max).take_while(|key| !table.is_some_and(|table| table.is_past_end(*key))) {
        if key == record_key {
            continue;
        }
        // SAFETY: asking for a key that does not exist gives null in every libc.
        let value = unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) };
        if !value.is_null() {
            // SAFETY: the key has a value, so it exists; null is what a new thread would see.
            unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, ptr::null()) };
            on_value(key, value);
        }
    }
}

/// The key under which every thread finds its record; `NO_KEY` until the first is asked for.
static RECORD_KEY: AtomicU32 = AtomicU32::new(NO_KEY);
const NO_KEY: u32 = u32::MAX;

static KEY: Operation = Operation {
    name: "pthread_key_create",
    purpose: "make a key for the current thread's record",
    hint: |_| "Delete unused keys: a process has PTHREAD_KEYS_MAX.",
};

/// Creates the key if there is none yet.
pub(super) fn create_record_key() -> Result<(), Error> {
    if RECORD_KEY.load(Ordering::Acquire) != NO_KEY {
        return Ok(());
    }
    // libc keeps the address of the destructor.
    pin::pin_library();
    let mut key: libc::pthread_key_t = 0;
    // SAFETY: the destructor takes what `set_current` stores.
    let made = unsafe { libc::pthread_key_create(&mut key, Some(native_thread_dtor)) };
    if made != 0 {
        return Err(Error::from_operation(&KEY, Errno::new(made)));
    }
    if RECORD_KEY
        .compare_exchange(NO_KEY, key as u32, Ordering::Release, Ordering::Relaxed)
        .is_err()
    {
        // SAFETY: ours, and unused.
        unsafe { libc::pthread_key_delete(key) };
    }
    Ok(())
}

/// libc calls this at the end of its own threads; raw threads let go of their record themselves.
unsafe extern "C" fn native_thread_dtor(record: *mut c_void) {
    crate::runtime::record::drop_native(record.cast());
}

pub(super) fn current() -> *mut () {
    match RECORD_KEY.load(Ordering::Relaxed) {
        NO_KEY => ptr::null_mut(),
        // SAFETY: the key exists for good.
        key => unsafe { libc::pthread_getspecific(key as libc::pthread_key_t) }.cast(),
    }
}

pub(super) fn set_current(record: *mut ()) {
    // Acquire: libc's own note that the key exists goes with it, or libc would refuse the value.
    // Who has stored one has seen that note, so `current` needs none.
    let key = match RECORD_KEY.load(Ordering::Acquire) {
        NO_KEY if create_record_key().is_ok() => RECORD_KEY.load(Ordering::Acquire),
        key => key,
    };
    if key != NO_KEY {
        // SAFETY: the key exists for good; the destructor takes such a value. Without memory for
        // the value the thread stays without a remembered record.
        unsafe { libc::pthread_setspecific(key as libc::pthread_key_t, record.cast()) };
    }
}
