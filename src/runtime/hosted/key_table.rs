//! libc's table of the destructors of pthread keys.
#![allow(unsafe_code, reason = "reads libc's writable memory")]

use core::ffi::c_void;
use core::ops::ControlFlow;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use super::modules;

const WORD: usize = size_of::<usize>();

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
            // SAFETY: a writable segment of libc, which stays loaded.
            found = unsafe { Self::search_segment(start, end, keys, probes) };
            match found {
                Some(_) => ControlFlow::Break(()),
                None => ControlFlow::Continue(()),
            }
        });
        found
    }

    /// The table, if `[start, end)` holds it. One look at each word: only where the first probe's
    /// address lies is there anything more to compare. Every second word first: glibc's pairs are
    /// aligned.
    ///
    /// # Safety
    /// The range can be read.
    unsafe fn search_segment(
        start: usize,
        end: usize,
        keys: &[libc::pthread_key_t; 3],
        probes: &[Destructor; 3],
    ) -> Option<Self> {
        let aligned = start.next_multiple_of(2 * WORD);
        // SAFETY: passed on.
        let search = |first| unsafe { Self::search_from(first, start, end, keys, probes) };
        let before = aligned.checked_sub(WORD).filter(|first| *first >= start);
        search(before.unwrap_or(aligned + WORD)).or_else(|| search(aligned))
    }

    /// Looks at every second word from `address` on.
    ///
    /// # Safety
    /// As [`KeyTable::search_segment`].
    unsafe fn search_from(
        mut address: usize,
        start: usize,
        end: usize,
        keys: &[libc::pthread_key_t; 3],
        probes: &[Destructor; 3],
    ) -> Option<Self> {
        let first = probes[0] as usize;
        let last = end.checked_sub(WORD)?;
        while address <= last {
            // SAFETY: a whole word inside the segment.
            if unsafe { word(address) } == first {
                let table = [8, 16].into_iter().find_map(|stride| {
                    // Where key 0's destructor would lie if `address` were the first probe's.
                    let base = address.wrapping_sub(keys[0] as usize * stride);
                    let hit = keys.iter().zip(probes).all(|(key, probe)| {
                        let place = base.wrapping_add(*key as usize * stride);
                        // SAFETY: only words inside the segment are read.
                        (start..=last).contains(&place) && unsafe { word(place) } == *probe as usize
                    });
                    hit.then_some(Self { base, stride })
                });
                if table.is_some() {
                    return table;
                }
            }
            address += 2 * WORD;
        }
        None
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

/// A word of libc's data, which other threads may write.
///
/// # Safety
/// The address is a multiple of 8, and the word can be read.
unsafe fn word(address: usize) -> usize {
    // SAFETY: as the caller vouches; a word that another thread writes is not torn.
    unsafe { ptr::read_volatile(ptr::with_exposed_provenance::<usize>(address)) }
}

/// The probes must not be folded into one function, or there would be but one address.
unsafe extern "C" fn probe<const N: usize>(value: *mut c_void) {
    core::hint::black_box((N, value));
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROBES: [Destructor; 3] = [probe::<0>, probe::<1>, probe::<2>];

    /// Searches the words from the `skip`th on.
    fn search(words: &[usize], skip: usize, keys: [libc::pthread_key_t; 3]) -> Option<KeyTable> {
        let range = words[skip..].as_ptr_range();
        let (start, end) = (range.start.expose_provenance(), range.end as usize);
        // SAFETY: the range is that of the words.
        unsafe { KeyTable::search_segment(start, end, &keys, &PROBES) }
    }

    /// Words with a table that begins at `base` and has the probes at these keys.
    fn table(base: usize, stride: usize, keys: [u32; 3]) -> [usize; 64] {
        let mut words = [0; 64];
        for (key, probe) in keys.iter().zip(PROBES) {
            words[base + *key as usize * stride / WORD] = probe as usize;
        }
        words
    }

    #[test]
    fn a_table_is_found_wherever_it_lies_and_whatever_the_order_of_its_keys() {
        for stride in [8, 16] {
            for keys in [[0, 1, 2], [3, 4, 5], [7, 2, 4], [2, 9, 1]] {
                let highest = keys.into_iter().max().unwrap_or(0) as usize;
                for base in 0..64 - highest * stride / WORD {
                    let mut words = table(base, stride, keys);
                    // A word that only looks like the first key's destructor.
                    if words[0] == 0 {
                        words[0] = PROBES[0] as usize;
                    }
                    let found = search(&words, 0, keys).expect("the table is there");
                    assert_eq!(found.stride, stride);
                    assert_eq!(found.base, words[base..].as_ptr() as usize);
                }
            }
        }
    }

    #[test]
    fn no_table_is_found_that_is_not_whole_in_the_segment() {
        let keys = [4, 2, 6];
        for stride in [8, 16] {
            let lowest = 2 * stride / WORD;
            let words = table(8, stride, keys);
            assert!(search(&words, 8 + lowest, keys).is_some());
            assert!(search(&words, 8 + lowest + 1, keys).is_none());
            let end = 8 + 6 * stride / WORD;
            assert!(search(&words[..end + 1], 0, keys).is_some());
            assert!(search(&words[..end], 0, keys).is_none());
            assert!(search(&words[..0], 0, keys).is_none());
            for probe in keys {
                let mut words = words;
                words[8 + probe as usize * stride / WORD] ^= 1;
                assert!(search(&words, 0, keys).is_none());
            }
        }
    }
}
