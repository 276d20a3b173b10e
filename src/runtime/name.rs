//! A thread's name.
#![allow(unsafe_code, reason = "keeps bytes that may be uninitialised")]

use core::mem::MaybeUninit;

/// Longest name that is kept without an allocator, in bytes.
const INLINE_CAP: usize = 64;

/// A thread's name: inline while it is short, on the heap where there is one.
pub(crate) struct Name {
    len: usize,
    /// The first `len - 1` bytes are a str's; the others were never written.
    inline: [MaybeUninit<u8>; INLINE_CAP],
    heap: HeapName,
}

/// A name that is too long to be kept inline.
#[cfg(feature = "alloc")]
struct HeapName(Option<alloc::string::String>);

#[cfg(feature = "alloc")]
impl HeapName {
    const NONE: Self = Self(None);

    fn new(name: &str) -> Option<Self> {
        let mut kept = alloc::string::String::new();
        kept.try_reserve_exact(name.len()).ok()?;
        kept.push_str(name);
        Some(Self(Some(kept)))
    }

    /// As it is, with room that it may have to spare: to give that back would take memory.
    fn from_string(name: alloc::string::String) -> Self {
        Self(Some(name))
    }

    fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Without an allocator no name is too long to be kept inline: such a name is refused.
#[cfg(not(feature = "alloc"))]
struct HeapName;

#[cfg(not(feature = "alloc"))]
impl HeapName {
    const NONE: Self = Self;

    fn new(_: &str) -> Option<Self> {
        None
    }

    fn as_str(&self) -> Option<&str> {
        None
    }
}

impl Name {
    /// No name.
    pub(crate) const NONE: Self = Self {
        len: 0,
        inline: [MaybeUninit::uninit(); INLINE_CAP],
        heap: HeapName::NONE,
    };

    /// Keeps a copy of `name`; `None` if it is too long for a program without an allocator, or for the memory
    /// that the allocator has.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let mut kept = Self::NONE;
        if name.len() < INLINE_CAP {
            for (place, byte) in kept.inline.iter_mut().zip(name.as_bytes()) {
                place.write(*byte);
            }
            // 0 means "no name", so an empty one counts its terminator.
            kept.len = name.len() + 1;
            return Some(kept);
        }
        kept.heap = HeapName::new(name)?;
        Some(kept)
    }

    /// Keeps `name`, without a copy if it is long.
    #[cfg(feature = "alloc")]
    pub(crate) fn from_string(name: alloc::string::String) -> Self {
        if name.len() < INLINE_CAP
            && let Some(kept) = Self::new(&name)
        {
            return kept;
        }
        Self {
            heap: HeapName::from_string(name),
            ..Self::NONE
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Some(heap) = self.heap.as_str() {
            return Some(heap);
        }
        // SAFETY: `new` copied exactly these bytes from a str.
        let text = || unsafe {
            let bytes = core::slice::from_raw_parts(self.inline.as_ptr().cast(), self.len - 1);
            core::str::from_utf8_unchecked(bytes)
        };
        (self.len > 0).then(text)
    }

    /// The first 15 bytes and a NUL, as the kernel's comm takes them.
    pub(crate) fn comm(&self) -> Option<[u8; 16]> {
        let name = self.as_str()?.as_bytes();
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name[..len]);
        Some(comm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    #[test]
    fn names_come_back_whole() {
        for len in [0, 1, 15, 16, 62, 63, 64, 65, 1000] {
            let text: String =
                "é".chars().cycle().take(len / 2).collect::<String>() + &"x".repeat(len % 2);
            let Some(name) = Name::new(&text) else {
                assert!(len >= INLINE_CAP && HeapName::new("").is_none());
                continue;
            };
            assert_eq!(name.as_str(), Some(&*text));
            #[cfg(feature = "alloc")]
            assert_eq!(Name::from_string(text.clone()).as_str(), Some(&*text));
            assert_eq!(name.comm().unwrap()[15], 0);
        }
        assert_eq!(Name::NONE.as_str(), None);
    }
}
